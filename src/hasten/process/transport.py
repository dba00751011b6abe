"""The transport of a child process: its pipes, its end, and what its protocol is told of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import subprocess
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from hasten.primitives import sleeping
from hasten.process import watching

logger = logging.getLogger("asyncio")


class SubprocessTransport(asyncio.SubprocessTransport):
    """asyncio.SubprocessTransport for a child that runs. Made by spawning.start().

    The protocol hears nothing before connection_made(): what happens until all pipes are connected waits in
    `_pending`. Each callback is scheduled, so that it is called by the loop and its exception is the loop's to report.
    """

    _closed = True  # until all is set

    def __init__(self, loop: Any, protocol: Any, popen: subprocess.Popen[bytes], extra: dict[str, Any] | None) -> None:
        super().__init__(extra)
        self._loop = loop
        self._protocol = protocol
        self._proc: subprocess.Popen[bytes] | None = popen
        self._pid = popen.pid
        self._returncode: int | None = None
        self._finished = False
        self._exit_waiters: set[Any] = set()
        self._pending: list[tuple[Any, ...]] | None = []
        # by the child's number of it; None: not connected yet
        self._pipes: dict[int, Pipe | None] = {}
        self._child: watching.Child | None = None  # None: an asyncio child watcher of the program's waits for it
        self._extra: dict[str, Any]
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
        if self._proc is None:
            raise ProcessLookupError(f"the process {self._pid} has ended, and its transport is done")
        if self._returncode is not None:
            return
        if self._child is not None:
            self._child.send_signal(signal)
            return
        try:
            os.kill(self._pid, signal)
        except ProcessLookupError:
            pass

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
        for pipe in self._pipes.values():
            if pipe is not None and pipe.pipe is not None and not over:
                pipe.pipe.close()
        popen = self._proc
        if popen is None or self._returncode is not None or self._reap(popen) is not None:
            return
        if self._loop.get_debug():
            logger.warning("Close running child process: kill %r", self)
        try:
            popen.kill()
        except (ProcessLookupError, PermissionError):
            return  # it has ended by now, or runs as another user
        if self._child is not None:
            self._child.killed = True
        if over:  # no loop will reap it
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._returncode = popen.wait(watching.LAST)

    def _reap(self, popen: subprocess.Popen[bytes]) -> int | None:
        """Return the return code of a child that has ended, though the loop was not told yet."""
        return popen.poll() if self._child is None else self._child.reap()

    # ---- connecting the pipes -------------------------------------------------------------

    async def _connect_pipes(self) -> None:
        """Make transports of the pipes to the child; then connection_made() is called."""
        loop, popen = self._loop, self._proc
        assert popen is not None
        files = (popen.stdin, popen.stdout, popen.stderr)
        for fd, file in enumerate(files):
            if file is not None:
                self._pipes[fd] = None
        try:
            for fd, file in enumerate(files):
                if file is not None:
                    connect = loop.connect_read_pipe if fd else loop.connect_write_pipe
                    _, self._pipes[fd] = await connect(partial(ReadingPipe if fd else Pipe, self, fd), file)
        except BaseException:
            for fd, file in enumerate(files):
                if file is not None and self._pipes[fd] is None:  # the others are closed by their transports
                    file.close()
            raise
        loop.call_soon(self._protocol.connection_made, self)
        pending, self._pending = self._pending, None
        for callback, *args in pending or ():
            loop.call_soon(callback, *args)
        await sleeping.sleep(0)  # who gets the transport finds it as connection_made() has left it

    # ---- what happens ---------------------------------------------------------------------

    def _call(self, callback: Callable[..., object], *args: Any) -> None:
        """Have the loop call something, not before connection_made()."""
        if self._pending is not None:
            self._pending.append((callback, *args))
        else:
            self._loop.call_soon(callback, *args)

    def _pipe_data_received(self, fd: int, data: bytes) -> None:
        self._call(self._protocol.pipe_data_received, fd, data)

    def _pipe_connection_lost(self, fd: int, exc: BaseException | None) -> None:
        try:
            self._call(self._protocol.pipe_connection_lost, fd, exc)
        finally:  # whatever the protocol lacks, nobody waits for ever
            self._try_finish()

    def _process_exited(self, returncode: int) -> None:
        """Note the child's end: called in the loop, by what watches the child."""
        if self._returncode is not None:
            return
        if self._loop.get_debug():
            logger.info("%r exited with return code %r", self, returncode)
        self._returncode = returncode
        if self._proc is not None and self._proc.returncode is None:  # somebody else's watcher has reaped it
            self._proc.returncode = returncode
        try:
            self._call(self._protocol.process_exited)
        finally:
            self._try_finish()
            for waiter in self._exit_waiters:
                if not waiter.done():
                    waiter.set_result(returncode)

    def _try_finish(self) -> None:
        """Schedule connection_lost() if the child has ended and all pipes are closed."""
        if self._finished or self._returncode is None:
            return
        if all(pipe is not None and pipe.disconnected for pipe in self._pipes.values()):
            self._finished = True
            self._call(self._call_connection_lost, None)

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        try:
            self._protocol.connection_lost(exc)
        finally:
            self._loop = self._proc = self._protocol = self._child = None


class Pipe(asyncio.Protocol):
    """The protocol of one pipe of a child: passes on what happens to the transport of the child. This one: stdin's."""

    def __init__(self, child: SubprocessTransport, fd: int) -> None:
        self.proc: Any = child  # None once the pipe is closed
        self.fd = fd
        self.pipe: Any = None
        self.disconnected = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} fd={self.fd} pipe={self.pipe!r}>"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.pipe = transport

    def connection_lost(self, exc: BaseException | None) -> None:
        self.disconnected = True
        child, self.proc = self.proc, None
        child._pipe_connection_lost(self.fd, exc)

    def pause_writing(self) -> None:
        self.proc._protocol.pause_writing()

    def resume_writing(self) -> None:
        self.proc._protocol.resume_writing()


class ReadingPipe(Pipe):
    """The protocol of a pipe from a child."""

    def data_received(self, data: bytes) -> None:
        self.proc._pipe_data_received(self.fd, data)
