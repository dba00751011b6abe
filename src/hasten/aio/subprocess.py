"""Subprocesses with streams: `create_subprocess_exec`, `create_subprocess_shell` and the Process that they give."""

from __future__ import annotations

import asyncio
import asyncio.subprocess as _std
import logging
from asyncio.subprocess import DEVNULL as DEVNULL
from asyncio.subprocess import PIPE as PIPE
from asyncio.subprocess import STDOUT as STDOUT
from asyncio.subprocess import SubprocessStreamProtocol as SubprocessStreamProtocol
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from hasten.aio import streams
from hasten.core.again import to_the_end
from hasten.primitives.gathering import gather

logger = logging.getLogger("asyncio")
_LIMIT = 2**16  # bytes that a stream of the process buffers
_Input = bytes | bytearray | memoryview


class _Protocol(SubprocessStreamProtocol):
    """The same, but no Ctrl-C that comes while it is told of something leaves somebody waiting for ever."""

    if TYPE_CHECKING:
        _loop: asyncio.AbstractEventLoop
        _limit: int
        _pipe_fds: list[int]
        _stdin_closed: asyncio.Future[None]
        _transport: asyncio.SubprocessTransport

    @to_the_end
    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._pipe_fds.clear()
        pipe = transport.get_pipe_transport(1)
        if pipe is not None:
            self.stdout = self._reader_of(pipe, 1)
        pipe = transport.get_pipe_transport(2)
        if pipe is not None:
            self.stderr = self._reader_of(pipe, 2)
        pipe = transport.get_pipe_transport(0)
        if pipe is not None:
            # held first: dropped when it is interrupted, it would close the pipe
            writer: Any = self.stdin or asyncio.StreamWriter.__new__(asyncio.StreamWriter)
            self.stdin = writer
            writer.__init__(pipe, self, None, self._loop)

    def _reader_of(self, pipe: Any, fd: int) -> streams.StreamReader:
        reader = streams.StreamReader(limit=self._limit, loop=self._loop)
        reader.set_transport(pipe)
        self._pipe_fds.append(fd)
        return reader

    @to_the_end
    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        if fd != 0 or not self._stdin_closed.done():
            super().pipe_connection_lost(fd, exc)

    process_exited = to_the_end(SubprocessStreamProtocol.process_exited)


class Process(_std.Process):
    """A running subprocess: see asyncio.subprocess.Process."""

    if TYPE_CHECKING:
        _loop: asyncio.AbstractEventLoop
        _transport: asyncio.SubprocessTransport

    async def communicate(self, input: _Input | None = None) -> tuple[Any, Any]:
        """Send `input` to the process, close its standard input, and return all of (stdout, stderr).

        What is no pipe gives None. It ends when the pipes are at their end, which others may hold too, and the process
        has ended.
        """
        work: list[Coroutine[Any, Any, Any]] = []
        stdout, stderr = self.stdout, self.stderr
        if self.stdin is not None:
            work.append(self._feed(self.stdin, input))
        if stdout is not None:
            work.append(self._read(1, stdout))
        if stderr is not None:
            work.append(self._read(2, stderr))
        results = [await work[0]] if len(work) == 1 else list(await gather(*work))
        await self.wait()
        errors = None if stderr is None else results.pop()
        return None if stdout is None else results.pop(), errors

    async def _feed(self, stdin: asyncio.StreamWriter, data: _Input | None) -> None:
        """Write what the process is to read, and close. That it does not read all of it is no error."""
        debug = self._loop.get_debug()
        try:
            if data is not None and not stdin.is_closing():  # uvloop refuses to write where the child has ended
                stdin.write(data)
                if debug:
                    logger.debug("%r communicate: feed stdin (%s bytes)", self, len(data))
            await stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as exc:
            if debug:
                logger.debug("%r communicate: stdin got %r", self, exc)
        if debug:
            logger.debug("%r communicate: close stdin", self)
        stdin.close()

    async def _read(self, fd: int, stream: asyncio.StreamReader) -> bytes:
        """Read all that the process writes, and close."""
        name = "stdout" if fd == 1 else "stderr"
        if self._loop.get_debug():
            logger.debug("%r communicate: read %s", self, name)
        output = await stream.read()
        if self._loop.get_debug():
            logger.debug("%r communicate: close %s", self, name)
        transport = self._transport.get_pipe_transport(fd)
        if transport is not None:
            transport.close()
        return output


async def create_subprocess_shell(
    cmd: str | bytes, stdin: Any = None, stdout: Any = None, stderr: Any = None, limit: int = _LIMIT, **kwds: Any
) -> Process:
    """Run a command by the shell; return its Process.

    Arguments:
        cmd: the command; quote what comes from others (shlex.quote), or use create_subprocess_exec().
        stdin: PIPE, DEVNULL, a file, or None: the parent's.
        stdout: the same.
        stderr: the same, or STDOUT.
        limit: how many bytes a stream of the Process buffers.
        kwds: those of subprocess.Popen, as `env` and `cwd`.

    Raises:
        OSError: the shell cannot be started.
    """
    loop = asyncio.get_running_loop()
    factory = partial(_Protocol, limit=limit, loop=loop)
    started = await loop.subprocess_shell(factory, cmd, stdin=stdin, stdout=stdout, stderr=stderr, **kwds)
    try:
        return Process(*started, loop)
    except BaseException:  # no memory, or a signal handler raises: nobody else has the child to end it
        started[0].close()
        raise


async def create_subprocess_exec(
    program: Any,
    *args: Any,
    stdin: Any = None,
    stdout: Any = None,
    stderr: Any = None,
    limit: int = _LIMIT,
    **kwds: Any,
) -> Process:
    """Run a program with arguments, without a shell; return its Process.

    Arguments:
        program: its name, or the path of its file.
        args: its arguments.
        stdin: PIPE, DEVNULL, a file, or None: the parent's.
        stdout: the same.
        stderr: the same, or STDOUT.
        limit: how many bytes a stream of the Process buffers.
        kwds: those of subprocess.Popen, as `env` and `cwd`.

    Raises:
        FileNotFoundError: there is no such program.
        OSError: it cannot be started.
    """
    loop = asyncio.get_running_loop()
    factory = partial(_Protocol, limit=limit, loop=loop)
    started = await loop.subprocess_exec(factory, program, *args, stdin=stdin, stdout=stdout, stderr=stderr, **kwds)
    try:
        return Process(*started, loop)
    except BaseException:  # no memory, or a signal handler raises: nobody else has the child to end it
        started[0].close()
        raise
