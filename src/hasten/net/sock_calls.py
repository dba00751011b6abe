"""The ``sock_*`` methods but sock_connect: each is one awaitable object, which tries its system call when it is driven.

What would block waits in `core/fdwatch` until the socket is ready, and tries again by itself when its task runs: one
that is cancelled has consumed nothing, so neither bytes nor an accepted connection are lost on the way. A TCP socket
that a read has drained is not tried again before something is reported of it.
"""

from __future__ import annotations

import socket as socket_module
from collections.abc import Coroutine
from typing import Any

import cython

from hasten.core import fdwatch
from hasten.core.fdwatch import FdWatch
from hasten.core.native import NativeCoroutine
from hasten.core.scheduler import Scheduler
from hasten.kernel import functions, socket_calls, step
from hasten.net import sockets
from hasten.poll import events as ev

AGAIN = object()  # what an attempt gives that would block
_socket = socket_module.socket


@cython.cclass
class SockCall(NativeCoroutine):
    """The coroutine of a method. A subclass says in attempt() what it does: it returns AGAIN where it would block."""

    loop: Scheduler
    sock: Any
    first: Any
    second: Any
    watch: FdWatch | None
    event: int
    plain: bool

    def prepare(self) -> int:
        """Do what comes before the first attempt."""
        return 0

    def attempt(self) -> Any:
        return None

    def start(self) -> int:
        return self.proceed(True)

    def woken(self) -> int:
        return self.proceed(False)

    def failed(self, exc: BaseException) -> int:
        self.leave()
        return self.finished_by(exc)

    def proceed(self, first: bool) -> int:
        anew = False
        try:
            if first:
                sockets.check_socket(self.loop, self.sock)  # type: ignore[arg-type]
                self.plain = socket_calls.is_plain(self.sock)
                self.prepare()
            try:
                result = self.attempt()
            except (BlockingIOError, InterruptedError):  # of a method of a socket's, which may hold back what has come
                result = AGAIN
                anew = True
            kind = self.park(anew or not self.plain) if result is AGAIN else self.finished(result)
        except BaseException as exc:
            return self.finished_by(exc)
        return kind

    def park(self, anew: bool) -> int:
        """Wait until the socket is ready; with `anew` it may be so already."""
        sock = self.sock
        watch = fdwatch.wait_once(
            self.loop, sock, socket_calls.number(sock), self.event, socket_calls.is_tcp(sock), anew
        )
        self.watch = watch
        return self.suspend(watch.reading if self.event == ev.READ else watch.writing)  # type: ignore[arg-type]

    def leave(self) -> int:
        watch, fut = self.watch, self.future
        if watch is not None and fut is not None:
            fdwatch.leave(watch, self.event, fut)
        return 0

    def finished(self, result: Any) -> int:
        """End by returning `result`, holding nothing any more."""
        kind = self.give(result)
        self.sock = self.first = self.second = self.watch = None
        return kind

    def finished_by(self, exc: BaseException) -> int:
        kind = self.fail(exc)
        self.sock = self.first = self.second = self.watch = None
        return kind

    def sent(self) -> int:
        """Note that something was sent: the peer may be on this very loop."""
        poller = self.loop._poller
        poller.stirred = True
        return 0


@cython.cclass
class SockRecv(SockCall):
    """sock_recv()."""

    __name__ = __qualname__ = "sock_recv"

    def attempt(self) -> Any:
        sock = self.sock
        if not self.plain or type(self.first) is not int or self.first <= 0:
            return sock.recv(self.first)
        room = self.first
        watch = fdwatch.known_of(self.loop, socket_calls.number(sock), sock)
        if watch is not None and watch.drained:
            return AGAIN
        data = socket_calls.receive(sock, room, self.loop.workshop)
        if data is None:
            return AGAIN
        if watch is not None:
            watch.note_read(len(data), room)
        return data


@cython.cclass
class SockRecvInto(SockCall):
    """sock_recv_into()."""

    __name__ = __qualname__ = "sock_recv_into"

    def attempt(self) -> Any:
        sock = self.sock
        # what may be no writable buffer is refused by the method, and what has no room is not waited for
        if not self.plain or type(self.first) is not bytearray or not self.first:
            return sock.recv_into(self.first)
        n = socket_calls.receive_into(sock, self.first)
        return AGAIN if n < 0 else n


@cython.cclass
class SockRecvFrom(SockCall):
    """sock_recvfrom()."""

    __name__ = __qualname__ = "sock_recvfrom"

    def attempt(self) -> Any:
        return self.sock.recvfrom(self.first)


@cython.cclass
class SockRecvFromInto(SockCall):
    """sock_recvfrom_into()."""

    __name__ = __qualname__ = "sock_recvfrom_into"

    def prepare(self) -> int:
        self.second = self.second or len(self.first)
        return 0

    def attempt(self) -> Any:
        return self.sock.recvfrom_into(self.first, self.second)


@cython.cclass
class SockSendAll(SockCall):
    """sock_sendall()."""

    done: int
    size: int
    __name__ = __qualname__ = "sock_sendall"

    def prepare(self) -> int:
        if type(self.first) is bytes:
            self.size = len(self.first)
        else:  # looked at once: a second look may show other bytes
            view = memoryview(self.first)
            if not view.c_contiguous:
                raise BufferError("memoryview: underlying buffer is not C-contiguous")
            if view.nbytes == 0:
                self.first = b""
            else:
                self.first = view if view.format == "B" and view.ndim == 1 else view.cast("B")
            self.size = view.nbytes
        return 0

    def attempt(self) -> Any:
        sock = self.sock
        if self.plain:
            n = socket_calls.send(sock, self.first, self.done)
        else:
            n = sock.send(self.first if self.done == 0 else memoryview(self.first)[self.done :])
        if n < 0:
            return AGAIN
        self.sent()
        self.done += n
        return None if self.done >= self.size else AGAIN


@cython.cclass
class SockSendTo(SockCall):
    """sock_sendto()."""

    __name__ = __qualname__ = "sock_sendto"

    def attempt(self) -> Any:
        n = self.sock.sendto(self.first, self.second)
        self.sent()
        return n


@cython.cclass
class SockAccept(SockCall):
    """sock_accept()."""

    __name__ = __qualname__ = "sock_accept"

    def attempt(self) -> Any:
        conn, address = self.sock.accept()
        try:
            conn.setblocking(False)
        except BaseException:
            conn.close()
            raise
        return conn, address


@cython.cclass
class SockReady(SockCall):
    """writable()."""

    waited: bool
    __name__ = __qualname__ = "writable"

    def attempt(self) -> Any:
        self.plain = False  # it may be ready already
        if self.waited:
            return None
        self.waited = True
        return AGAIN


for _kind in (
    SockRecv,
    SockRecvInto,
    SockRecvFrom,
    SockRecvFromInto,
    SockSendAll,
    SockSendTo,
    SockAccept,
    SockReady,
):
    functions.coroutine_class(_kind, 64)


def made(call: SockCall, loop: Any, sock: Any, event: int, first: Any, second: Any) -> Any:
    """Give a new call what its method was given."""
    if not isinstance(loop, Scheduler):
        call.stage = step.ENDED  # it warns of nothing
        raise TypeError(f"a hasten event loop is needed, not {loop!r}")
    call.loop = loop
    call.sock = sock
    call.event = event
    call.first = first
    call.second = second
    return call


# ---- what the loop has as its methods ---------------------------------------------------------------
#
# All raise OSError as the system call does; TypeError for an SSLSocket; in debug mode ValueError for a blocking socket;
# RuntimeError where a transport owns the descriptor, or another task already waits on it in the same direction.


@functions.coroutine_function
@cython.binding(True)
def sock_recv(self: Any, sock: _socket, n: int) -> Coroutine[Any, Any, bytes]:
    """Receive at most `n` bytes; return them, b"" once the peer has closed its side. Raises OSError."""
    return made(SockRecv.__new__(SockRecv), self, sock, ev.READ, n, None)  # type: ignore[no-any-return]


@functions.coroutine_function
@cython.binding(True)
def sock_recv_into(self: Any, sock: _socket, buf: Any) -> Coroutine[Any, Any, int]:
    """Receive into the writable buffer `buf`; return the number of bytes, 0 at the end. Raises OSError."""
    return made(SockRecvInto.__new__(SockRecvInto), self, sock, ev.READ, buf, None)  # type: ignore[no-any-return]


@functions.coroutine_function
@cython.binding(True)
def sock_recvfrom(self: Any, sock: _socket, bufsize: int) -> Coroutine[Any, Any, Any]:
    """Receive a datagram of at most `bufsize` bytes; return it and the sender's address. Raises OSError."""
    return made(SockRecvFrom.__new__(SockRecvFrom), self, sock, ev.READ, bufsize, None)  # type: ignore[no-any-return]


@functions.coroutine_function
@cython.binding(True)
def sock_recvfrom_into(self: Any, sock: _socket, buf: Any, nbytes: int = 0) -> Coroutine[Any, Any, Any]:
    """Receive a datagram into `buf`, `nbytes` of it at most (0: all); return its size and the sender's address."""
    return made(SockRecvFromInto.__new__(SockRecvFromInto), self, sock, ev.READ, buf, nbytes)  # type: ignore[no-any-return]


@functions.coroutine_function
@cython.binding(True)
def sock_sendall(self: Any, sock: _socket, data: Any) -> Coroutine[Any, Any, None]:
    """Send all of `data`. After an error it is unknown how much of it arrived. Raises OSError."""
    return made(SockSendAll.__new__(SockSendAll), self, sock, ev.WRITE, data, None)  # type: ignore[no-any-return]


@functions.coroutine_function
@cython.binding(True)
def sock_sendto(self: Any, sock: _socket, data: Any, address: Any) -> Coroutine[Any, Any, int]:
    """Send one datagram to `address`; return the number of bytes sent. Raises OSError."""
    return made(SockSendTo.__new__(SockSendTo), self, sock, ev.WRITE, data, address)  # type: ignore[no-any-return]


@functions.coroutine_function
@cython.binding(True)
def sock_accept(self: Any, sock: _socket) -> Coroutine[Any, Any, tuple[_socket, Any]]:
    """Accept one connection; return its nonblocking socket and the peer's address. Raises OSError."""
    return made(SockAccept.__new__(SockAccept), self, sock, ev.READ, None, None)  # type: ignore[no-any-return]


@functions.coroutine_function
@cython.binding(True)
def writable(self: Any, sock: _socket) -> Coroutine[Any, Any, None]:
    """Wait until `sock` can be written to, or has connected."""
    return made(SockReady.__new__(SockReady), self, sock, ev.WRITE, None, None)  # type: ignore[no-any-return]
