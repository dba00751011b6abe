"""The ``sock_*`` methods: plain nonblocking sockets, awaited.

Each tries the system call first and waits for readiness only where the kernel says so. The call is then repeated by
the awaiting coroutine itself, after it has been woken: a cancelled one has consumed nothing, so neither bytes nor an
accepted connection are lost on the way.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import TYPE_CHECKING, Any

from hasten.core import outcomes
from hasten.net import dns

try:
    import ssl
except ImportError:  # an interpreter built without OpenSSL
    ssl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable

    from hasten.net.contract import NetLoop

# Waiting happens after the except clause, never inside: these exceptions would become the context of whatever is
# raised by then, a cancellation above all.
_AGAIN = (BlockingIOError, InterruptedError)
_INET = (socket.AF_INET, socket.AF_INET6)

# Seconds between two attempts to enter the full queue of a unix listener: the first pause, and the longest.
_QUEUE_PAUSE = 0.001
_QUEUE_PAUSE_MAX = 0.05


class SocketWaits:
    """Who waits inside a ``sock_*`` method, by file descriptor: each loop has one."""

    __slots__ = ("readers", "writers")

    def __init__(self) -> None:
        self.readers: dict[int, tuple[socket.socket, Any]] = {}
        self.writers: dict[int, tuple[socket.socket, Any]] = {}


async def sock_recv(loop: NetLoop, sock: socket.socket, nbytes: int) -> bytes:
    """Receive at most `nbytes` bytes; ``b""`` once the peer has closed its side.

    This and the functions below raise OSError as the system call does; TypeError for an SSLSocket; in debug mode
    ValueError for a blocking socket; RuntimeError where a transport owns the descriptor, or another task already
    waits on it in the same direction.
    """
    check_socket(loop, sock)
    while True:
        try:
            return sock.recv(nbytes)
        except _AGAIN:
            pass
        await _wait(loop, sock)


async def sock_recv_into(loop: NetLoop, sock: socket.socket, buf: Any) -> int:
    """Receive into the writable buffer `buf`; return the number of bytes, 0 at the end."""
    check_socket(loop, sock)
    while True:
        try:
            return sock.recv_into(buf)
        except _AGAIN:
            pass
        await _wait(loop, sock)


async def sock_recvfrom(loop: NetLoop, sock: socket.socket, bufsize: int) -> tuple[bytes, Any]:
    """Receive one datagram of at most `bufsize` bytes; return it and the sender's address."""
    check_socket(loop, sock)
    while True:
        try:
            return sock.recvfrom(bufsize)
        except _AGAIN:
            pass
        await _wait(loop, sock)


async def sock_recvfrom_into(loop: NetLoop, sock: socket.socket, buf: Any, nbytes: int = 0) -> tuple[int, Any]:
    """Receive one datagram into `buf`, `nbytes` of it at most (0: all); return the size and the sender's address."""
    check_socket(loop, sock)
    nbytes = nbytes or len(buf)
    while True:
        try:
            return sock.recvfrom_into(buf, nbytes)
        except _AGAIN:
            pass
        await _wait(loop, sock)


async def sock_sendall(loop: NetLoop, sock: socket.socket, data: Any) -> None:
    """Send all of `data`. After an error it is unknown how much of it arrived."""
    check_socket(loop, sock)
    with memoryview(data) as whole:  # looked at once: a second look may show other bytes
        try:
            sent = sock.send(data if type(data) is bytes else whole)
        except _AGAIN:
            sent = 0
        loop._stir()
        if sent == whole.nbytes:
            return
        with whole.cast("B") as view:
            while sent < len(view):
                await _wait(loop, sock, writing=True)
                with contextlib.suppress(*_AGAIN):
                    sent += sock.send(view[sent:])
                    loop._stir()


async def sock_sendto(loop: NetLoop, sock: socket.socket, data: Any, address: Any) -> int:
    """Send one datagram to `address`; return the number of bytes sent."""
    check_socket(loop, sock)
    while True:
        try:
            sent = sock.sendto(data, address)
        except _AGAIN:
            pass
        else:
            loop._stir()
            return sent
        await _wait(loop, sock, writing=True)


async def sock_accept(loop: NetLoop, sock: socket.socket) -> tuple[socket.socket, Any]:
    """Accept one connection; return its nonblocking socket and the peer's address."""
    check_socket(loop, sock)
    while True:
        try:
            conn, address = sock.accept()
        except _AGAIN:
            pass
        else:
            conn.setblocking(False)
            return conn, address
        await _wait(loop, sock)


async def sock_connect(loop: NetLoop, sock: socket.socket, address: Any) -> None:
    """Connect to `address`; the host of an internet address may be a name, which is looked up first."""
    check_socket(loop, sock)
    if sock.family in _INET:
        infos = await dns.ensure_resolved(loop, address, family=sock.family, type=sock.type, proto=sock.proto)
        address = infos[0][4]
    pause = _QUEUE_PAUSE
    while True:
        try:
            sock.connect(address)
        except _AGAIN as exc:
            queue_full = exc.errno == errno.EAGAIN and sock.family not in _INET
        else:
            loop._stir()
            return
        if not queue_full:
            break
        # The listener's queue is full. The socket stays unconnected and no event will tell when there is room
        # (it even counts as writable), so there is nothing better than to try again.
        await _pause(loop, pause)
        pause = min(pause * 2, _QUEUE_PAUSE_MAX)
    await _wait(loop, sock, writing=True)
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error != 0:
        raise OSError(error, f"Connect call failed {address}")


async def writable(loop: NetLoop, sock: socket.socket) -> None:
    """Wait until `sock` can be written to."""
    await _wait(loop, sock, writing=True)


def check_socket(loop: NetLoop, sock: socket.socket) -> None:
    """Raise TypeError for an SSLSocket and, in debug mode, ValueError for a blocking socket."""
    refuse_ssl_socket(sock)
    if loop.get_debug() and sock.gettimeout() != 0:
        raise ValueError("the socket must be non-blocking: call sock.setblocking(False) first")


def refuse_ssl_socket(sock: Any) -> None:
    """Raise TypeError for an SSLSocket: TLS is the loop's own work here."""
    if ssl is not None and isinstance(sock, ssl.SSLSocket):
        raise TypeError("Socket cannot be of type SSLSocket: pass the plain socket, and ssl= where TLS is wanted")


def set_nodelay(sock: socket.socket) -> None:
    """Send small writes at once on a TCP socket; leave any other socket as it is.

    A protocol number of 0 counts as TCP: it is what ``socket.socket(AF_INET, SOCK_STREAM)`` says, and what servers
    that bind for themselves pass in. Without this option their small responses wait for delayed acknowledgements.
    """
    if sock.family in _INET and sock.type == socket.SOCK_STREAM and sock.proto in (0, socket.IPPROTO_TCP):
        with contextlib.suppress(OSError):  # some systems refuse it once the peer has reset the connection
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def _wait(loop: NetLoop, sock: socket.socket, writing: bool = False) -> None:
    """Wait until `sock` can be read from, or with `writing` written to."""
    fd = sock.fileno()
    loop._ensure_fd_no_transport(fd)
    if writing:
        waits, add, remove = loop._sock_waits.writers, loop._add_writer, loop._remove_writer
    else:
        waits, add, remove = loop._sock_waits.readers, loop._add_reader, loop._remove_reader
    if fd in waits:
        _make_way(waits, fd, writing, remove)
    ready = loop.create_future()
    handle = None
    entry = waits[fd] = (sock, ready)
    try:
        handle = add(fd, outcomes.set_unless_done, ready)
        await ready
    finally:
        # A wait that began after ours was cancelled has replaced the entry and the handle: its own stay.
        if waits.get(fd) is entry:
            del waits[fd]
            if handle is not None and not handle.cancelled():
                remove(fd)


def _make_way(
    waits: dict[int, tuple[socket.socket, Any]], fd: int, writing: bool, remove: Callable[[int], bool]
) -> None:
    """Let a new wait on `fd` in, or refuse it: two cannot share one descriptor."""
    earlier, ready = waits[fd]
    if ready.done():
        return  # woken or cancelled, and about to leave
    if earlier.fileno() == fd:
        action = "write to" if writing else "read from"
        raise RuntimeError(
            f"File descriptor {fd} already has a task waiting to {action} it: await that one first, or cancel it"
        )
    # Its socket was closed under it and the number given out anew: nothing would ever wake it.
    remove(fd)
    ready.set_exception(OSError(errno.EBADF, f"Socket with file descriptor {fd} was closed while a task waited on it"))


async def _pause(loop: NetLoop, delay: float) -> None:
    """Sleep for `delay` seconds."""
    over = loop.create_future()
    timer = loop.call_later(delay, outcomes.set_unless_done, over)
    try:
        await over
    finally:
        timer.cancel()
