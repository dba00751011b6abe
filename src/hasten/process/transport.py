"""The transport of a child process: its pipes, its end, and what its protocol is told of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import warnings
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from hasten.core import again, outcomes
from hasten.core.again import to_the_end
from hasten.kernel import pipe_channel
from hasten.net import pipes
from hasten.primitives import sleeping
from hasten.process import watching

logger = logging.getLogger("asyncio")


class SubprocessTransport(asyncio.SubprocessTransport):
    """asyncio.SubprocessTransport for a child that runs. Made by spawning.subprocess_exec().

    The protocol hears nothing before connection_made(): what happens until all pipes are connected waits in
    `_pending`. Each callback is scheduled, so that it is called by the loop and its exception is the loop's to report.
    """

    _closed = True  # until all is set
    _returncode: int | None = None
    _finished = False
    _child: watching.Child | None = None  # None: an asyncio child watcher of the program's waits for it
    _extra: dict[str, Any]

    def __init__(self, loop: Any, protocol: Any, popen: subprocess.Popen[bytes], extra: dict[str, Any] | None) -> None:
        super().__init__(extra)
        self._loop = loop
        self._protocol = protocol
        self._proc: subprocess.Popen[bytes] | None = popen
        self._pid = popen.pid
        self._exit_told: list[Any] = []  # what was scheduled to tell of the child's end, and of the transport's
        self._ending: list[Any] = []
        self._exit_waiters: set[Any] = set()
        self._pending: list[tuple[Any, ...]] | None = []
        # by the child's number of it; None: not connected yet
        self._pipes: dict[int, Pipe | None] = {}
        self._extra["subprocess"] = popen
        self._closed = False

    def __repr__(self) -> str:
        info = [type(self).__name__]
        if self._closed:
            info.append("closed")
        if self._pid is not None:
            info.append(f"pid={self._pid}")
        if self._returncode is not None:
            info.append(f"returncode={self._returncode}")
        else:
            info.append("running" if self._pid is not None else "not started")
        for fd, name in enumerate(("stdin", "stdout", "stderr")):
            pipe = self._pipes.get(fd)
            if pipe is not None:
                info.append(f"{name}={pipe.pipe}")
        return f"<{' '.join(info)}>"

    def __del__(self, _warn: Any = warnings.warn) -> None:
        if not self._closed:
            _warn(f"unclosed transport {self!r}", ResourceWarning, source=self)
            self.close()

    # ---- what is known of the child -------------------------------------------------------

    def get_pid(self) -> int:
        """The child's process number."""
        return self._pid

    def get_returncode(self) -> int | None:
        """How the child ended: its exit status, or minus the signal that killed it; None while it runs."""
        return self._returncode

    def get_pipe_transport(self, fd: int) -> asyncio.BaseTransport | None:  # type: ignore[override]
        """The transport of the pipe to the child's stdin (0), stdout (1) or stderr (2); None if that is no pipe."""
        pipe = self._pipes.get(fd)
        return None if pipe is None else pipe.pipe

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Have another protocol told from now on."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """The protocol; None once all is over."""
        return self._protocol

    async def _wait(self) -> int:
        """Wait for the child's end, whoever still holds its pipes; return the return code."""
        if self._returncode is not None:
            return self._returncode
        waiter = self._loop.create_future()
        self._exit_waiters.add(waiter)
        try:
            code: int = await waiter
        finally:
            self._exit_waiters.discard(waiter)
        return code

    # ---- signals, and the end from our side -----------------------------------------------

    def send_signal(self, signal: int) -> None:
        """Send a signal; nothing happens if the child has ended.

        Raises ProcessLookupError once connection_lost() was called; OSError for what is no signal, or not allowed.
        """
        popen = self._proc
        if popen is None:
            raise ProcessLookupError(f"the process {self._pid} has ended, and its transport is done")
        if self._child is not None:
            self._child.send_signal(signal)
        elif popen.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def is_closing(self) -> bool:
        """True once close() was called."""
        return self._closed

    def close(self) -> None:
        """Close the pipes, and kill the child if it runs. Its end is still waited for, by the loop."""
        if self._closed:
            return
        self._closed = True
        over = self._loop is None or self._loop.is_closed()
        if self._finished and not over:
            return  # the child has ended, and all pipes are closed
        popen = self._proc
        if popen is None:
            return
        try:
            for fd, file in enumerate((popen.stdin, popen.stdout, popen.stderr)):
                pipe = self._pipes.get(fd)
                if pipe is not None and pipe.pipe is not None and not over:
                    pipe.pipe.close()
                elif file is not None:  # no loop will close it; or it could not be connected, for whatever reason
                    file.close()
        finally:
            self._end(popen, over)

    def _end(self, popen: subprocess.Popen[bytes], over: bool) -> None:
        """Kill the child if it runs; `over`: no loop will reap it."""
        if self._returncode is not None or self._has_ended(popen):
            return
        if self._loop.get_debug():
            logger.warning("Close running child process: kill %r", self)
        try:
            popen.kill()
        except (ProcessLookupError, PermissionError):
            return  # it has ended by now, or runs as another user
        if self._child is not None:
            self._child.killed = True
        if over:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._returncode = popen.wait(watching.LAST)

    def _has_ended(self, popen: subprocess.Popen[bytes]) -> bool:
        """Reap the child if it has ended, though the loop was not told yet; return True if it has."""
        child = self._child or watching.Child(popen, self._process_exited)
        try:
            code = child.reap()
        except ChildProcessError:
            return True  # somebody else has reaped it; who watches it tells
        except OSError:
            return False
        if code is not None and self._child is None and not self._loop.is_closed():
            # the program's watcher may never hear of it now, FastChildWatcher for one
            self._loop.call_soon(self._process_exited, code)
        return code is not None

    # ---- connecting the pipes -------------------------------------------------------------

    def _connect_pipes(self) -> Awaitable[None]:
        """Make transports of the pipes to the child; connection_made() was called when what this gives is done.

        If it fails, or is cancelled, the transport is to be closed.
        """
        loop, popen = self._loop, self._proc
        assert popen is not None
        given = (0, popen.stdin), (1, popen.stdout), (2, popen.stderr)
        files = [(fd, file) for fd, file in given if file is not None]
        self._pipes = dict.fromkeys([fd for fd, _ in files])
        if loop.get_debug() or not loop._connects_pipes_plainly():
            return self._connect_by_loop(files)
        connected: Awaitable[None] = loop.create_future()
        begun = [self._open(fd, file) for fd, file in files]
        loop.call_soon(self._introduce_soon, connected, begun)  # they begin before
        return connected

    def _open(self, fd: int, file: Any) -> Any:
        """Begin a pipe's transport; return a future that is done when it has begun."""
        begun = self._loop.create_future()
        pipe = self._pipes[fd] = ReadingPipe(self, fd) if fd else Pipe(self, fd)
        channel = pipe_channel.hold(file)
        channel.private = True  # the child has the other end
        if fd:
            pipe.pipe = pipes.open_reading(self._loop, channel, pipe, begun)
        else:
            pipe.pipe = pipes.open_writing(self._loop, channel, pipe, begun, True, False)
        return begun

    @to_the_end
    def _introduce_soon(self, connected: Any, begun: list[Any]) -> None:
        """Have connection_made() called, and then wake who waits; unless a pipe could not begin."""
        try:
            errors = [each.exception() for each in begun if each.done()]
            if connected.done():  # cancelled, or this was interrupted
                return
            if len(errors) < len(begun):  # what ended the loop came between
                self._loop.call_soon(self._introduce_soon, connected, begun)
                return
            for error in errors:
                if error is not None:
                    raise error
            self._introduce()
            connected.set_result(None)
        except BaseException as exc:
            outcomes.fail_unless_done(connected, exc)
            if not isinstance(exc, Exception):
                raise

    async def _connect_by_loop(self, files: list[tuple[int, Any]]) -> None:
        """Have the loop connect the pipes, by methods that a program may have replaced."""
        loop = self._loop
        for fd, file in files:
            connect = loop.connect_read_pipe if fd else loop.connect_write_pipe
            _, self._pipes[fd] = await connect(partial(ReadingPipe if fd else Pipe, self, fd), file)
        self._introduce()
        await sleeping.sleep(0)  # who gets the transport finds it as connection_made() has left it

    def _introduce(self) -> None:
        """Have connection_made() called, and then what was to be called since."""
        loop = self._loop
        loop.call_soon(self._protocol.connection_made, self)
        pending, self._pending = self._pending, None
        for callback, *args in pending or ():
            loop.call_soon(callback, *args)

    # ---- what happens ---------------------------------------------------------------------

    def _call(self, callback: Callable[..., object], *args: Any) -> None:
        """Have the loop call something, not before connection_made()."""
        if self._pending is not None:
            self._pending.append((callback, *args))
        else:
            self._loop.call_soon(callback, *args)

    def _call_once(self, told: list[Any], callback: Callable[..., object], *args: Any) -> None:
        """Do as _call(), but not a second time for one event: an interruption can come at once after the first."""
        if self._pending is not None:
            again.once(told, self._pending.append, (callback, *args))
        else:
            again.once(told, self._loop.call_soon, callback, *args)

    def _pipe_data_received(self, fd: int, data: bytes) -> None:
        self._call(self._protocol.pipe_data_received, fd, data)

    def _pipe_connection_lost(self, fd: int, exc: BaseException | None, told: list[Any]) -> None:
        try:
            self._call_once(told, self._protocol.pipe_connection_lost, fd, exc)
        finally:  # whatever the protocol lacks, nobody waits for ever
            self._try_finish()

    def _process_exited(self, returncode: int) -> None:
        """Note the child's end: called in the loop, by what watches the child."""
        if self._protocol is None:  # all is told; but who waits may not have been woken, for lack of memory
            self._wake_waiters()
            return
        if self._returncode is None:
            if self._loop.get_debug():
                logger.info("%r exited with return code %r", self, returncode)
            self._returncode = returncode  # from here on nothing is left out, nor done twice
        if self._proc is not None and self._proc.returncode is None:  # somebody else's watcher has reaped it
            self._proc.returncode = returncode
        try:
            self._call_once(self._exit_told, self._protocol.process_exited)
        finally:
            try:
                self._try_finish()
            finally:  # after connection_lost() is scheduled: who has waited cannot send a signal any more
                self._wake_waiters()

    @to_the_end
    def _wake_waiters(self) -> None:
        for waiter in self._exit_waiters:
            outcomes.set_unless_done(waiter, self._returncode)

    @to_the_end
    def _try_finish(self) -> None:
        """Schedule connection_lost() if the child has ended and all pipes are closed."""
        if self._finished or self._returncode is None:
            return
        for pipe in self._pipes.values():
            if pipe is None or not pipe.disconnected:
                return
        self._call_once(self._ending, self._call_connection_lost, None)
        self._finished = True

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(exc)
        finally:
            self._loop = self._proc = self._protocol = self._child = None
            self._exit_told = self._ending = []


class Pipe(asyncio.Protocol):
    """The protocol of one pipe of a child: passes on what happens to the transport of the child. This one: stdin's."""

    def __init__(self, child: SubprocessTransport, fd: int) -> None:
        self.proc: Any = child  # None once the pipe is closed
        self.fd = fd
        self.pipe: Any = None
        self.disconnected = False
        self.told: list[Any] = []  # what was scheduled to tell the child's protocol of the end

    def __repr__(self) -> str:
        return f"<{type(self).__name__} fd={self.fd} pipe={self.pipe!r}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.pipe = transport

    @to_the_end  # who reads to the end would wait for ever if it were lost
    def connection_lost(self, exc: BaseException | None) -> None:
        child = self.proc
        if child is None:
            return
        self.disconnected = True
        child._pipe_connection_lost(self.fd, exc, self.told)
        self.proc, self.told = None, []

    def pause_writing(self) -> None:
        self.proc._protocol.pause_writing()

    def resume_writing(self) -> None:
        self.proc._protocol.resume_writing()


class ReadingPipe(Pipe):
    """The protocol of a pipe from a child."""

    def data_received(self, data: bytes) -> None:
        self.proc._pipe_data_received(self.fd, data)
