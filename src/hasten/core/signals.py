"""add_signal_handler(): signals as callbacks of the loop.

Python's C-level handler writes the signal's number into a socket (signal.set_wakeup_fd); the loop reads it there.
So nothing is lost while the loop sleeps or does not run: what came meanwhile is delivered when it runs again.
"""

from __future__ import annotations

import errno
import inspect
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

from hasten.core import advice
from hasten.core.handle import Handle


def check_signal(sig: Any) -> None:
    """Raise TypeError or ValueError unless `sig` is a signal's number."""
    if not isinstance(sig, int):
        raise TypeError(f"sig must be an int, not {sig!r}")
    if sig not in signal.valid_signals():
        raise ValueError(f"invalid signal number {sig}")


_writes: set[int] = set()  # the fds, each for the number of a signal, that are ours


def _after_fork() -> None:
    """Undo the wake-up fd in a forked child: its signals are not for the parent. As asyncio from 3.12 on."""
    if not _writes:
        return
    fd = signal.set_wakeup_fd(-1)
    if fd != -1 and fd not in _writes:  # somebody else's, who has to know
        signal.set_wakeup_fd(fd, warn_on_full_buffer=False)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _wake_up(signum: int, frame: Any) -> None:
    """Do nothing as the Python-level handler: the work is done by what reads the socket."""


class Signals:
    """The signal handlers of one loop.

    It is given the loop with each call and keeps no reference to it, which would be a circle.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Handle] = {}
        self._read: socket.socket | None = None
        self._write: socket.socket | None = None

    def add(self, loop: Any, sig: int, callback: Callable[..., Any], args: tuple[Any, ...]) -> None:
        """Call callback(*args) in the loop when the signal comes. Main thread only."""
        if inspect.iscoroutine(callback) or inspect.iscoroutinefunction(callback):
            text = "coroutines cannot be used with add_signal_handler()"
            # not in a local first: an exception that its own traceback holds keeps all frames to the garbage collector
            raise advice.add(TypeError(text), advice.COROUTINE_AS_CALLBACK)
        check_signal(sig)
        loop._check_closed()
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("add_signal_handler() works in the main thread only: set_wakeup_fd needs it")
        write = self._open(loop)
        try:
            signal.set_wakeup_fd(write.fileno(), warn_on_full_buffer=False)
        except (ValueError, OSError) as exc:
            raise RuntimeError(str(exc))
        before = self._handlers.get(sig)
        self._handlers[sig] = Handle(callback, args, loop, None)
        try:
            signal.signal(sig, _wake_up)
            signal.siginterrupt(sig, False)  # system calls of others go on
        except OSError as exc:
            del self._handlers[sig]
            if not self._handlers:
                self._unhook()
            if exc.errno == errno.EINVAL:
                raise RuntimeError(f"sig {sig} cannot be caught")
            raise
        if before is not None:
            before.cancel()

    def remove(self, sig: int) -> bool:
        """Give a signal its default action back; return False if it had no handler here."""
        check_signal(sig)
        handle = self._handlers.pop(sig, None)
        if handle is None:
            return False
        handler = signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL
        try:
            signal.signal(sig, handler)
        except OSError as exc:
            if exc.errno == errno.EINVAL:
                raise RuntimeError(f"sig {sig} cannot be caught")
            raise
        if not self._handlers:
            self._unhook()
        return True

    def _open(self, loop: Any) -> socket.socket:
        if self._read is None or self._write is None:
            read, write = socket.socketpair()
            try:
                read.setblocking(False)
                write.setblocking(False)
                loop._add_reader(read.fileno(), self._deliver, loop)
            except BaseException:
                read.close()
                write.close()
                raise
            self._read, self._write = read, write
            _writes.add(write.fileno())
        return self._write

    def _unhook(self) -> None:
        try:
            signal.set_wakeup_fd(-1)
        except (ValueError, OSError):
            pass

    def _deliver(self, loop: Any) -> None:
        assert self._read is not None
        while True:
            try:
                data = self._read.recv(4096)
            except (BlockingIOError, InterruptedError):
                return
            if not data:
                return
            for signum in data:
                handle = self._handlers.get(signum)
                if handle is None:
                    continue
                if handle.cancelled():
                    self.remove(signum)
                else:
                    loop._post(handle)

    def close(self, loop: Any) -> None:
        """Give all signals their default actions back."""
        if self._read is None or self._write is None:
            return
        if threading.current_thread() is threading.main_thread():
            for sig in list(self._handlers):
                self.remove(sig)
        self._handlers.clear()
        loop._remove_reader(self._read.fileno())
        _writes.discard(self._write.fileno())
        self._read.close()
        self._write.close()
        self._read = self._write = None
