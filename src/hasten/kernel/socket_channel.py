"""What socket_channel.pyx does, in plain Python: here each connection has its socket object from the beginning."""

from __future__ import annotations

import socket as socket_module
from collections.abc import Sequence
from typing import Any

from hasten.kernel import addresses, buffers, socket_calls
from hasten.kernel.channel import Channel
from hasten.kernel.workshop import CHUNK

_socket = socket_module.socket  # the true one, whatever is put there later
_true_accept = socket_module.socket.accept
_base = _socket.__base__
# The methods of a socket that a transport calls. Where the program has set methods of its own, those are called.
_METHODS = ("recv", "recv_into", "recvmsg", "recvmsg_into", "send", "sendmsg", "shutdown")
_AGAIN = (BlockingIOError, InterruptedError)
_LOCAL_FAMILY = getattr(socket_module, "AF_UNIX", -1)

# Manners of reading
WHOLE = 0  # by recv(2): a read that does not fill the room has taken all there was, or the poller tells of the rest
MESSAGES = 1  # by recv(2), of a stream that is no TCP (SCTP): such a read may not be the last
LOCAL = 2  # by recvmsg(2): it tells whether descriptors that came with the data have ended the read


class SocketChannel(Channel):
    """A connected socket as a transport holds it: its descriptor, its addresses, its socket object."""

    def __init__(self) -> None:
        super().__init__()
        self.manner = WHOLE  # how it is read
        self.family = 0
        self.made: Any = None
        self.peer: Any = None
        self.local: Any = None

    def _receive(self, buf: Any) -> tuple[int, bool]:
        if self.manner != LOCAL or not hasattr(self.made, "recvmsg_into"):
            n = self.made.recv_into(buf)
            return n, self.manner == MESSAGES and n > 0
        # what follows descriptors that came with the data is left for the next call
        n, _, flags, _ = self.made.recvmsg_into([buf])
        return n, bool(flags & socket_module.MSG_CTRUNC)

    def read_by_level(self, level: bool) -> bool:
        """Have a unix socket read by recv(2), which is cheaper, where the poller tells of what a read has left."""
        if self.family != _LOCAL_FAMILY:
            return False
        self.manner = WHOLE if level else LOCAL
        return True

    def _transmit(self, data: Any) -> int:
        return int(self.made.send(data))

    def _transmit_many(self, pieces: list[Any]) -> int:
        return int(self.made.sendmsg(pieces)) if hasattr(self.made, "sendmsg") else self._transmit(pieces[0])

    def send_file(self, fd: int, offset: int, count: int) -> int:
        n = socket_calls.send_file(self.descriptor(), fd, offset, count)
        self.workshop.was_sent(n)
        return n

    def descriptor(self) -> int:
        """Return the number for a system call; -1 once the socket is closed, by this channel or by others."""
        return self.fd if self.fd < 0 else int(self.made.fileno())

    def internet(self) -> bool:
        return addresses.internet(self.family)

    def socket(self) -> Any:
        """Return the socket.socket, which owns the descriptor from then on."""
        if self.made is None:
            self.made = _socket(self.family or socket_module.AF_INET, socket_module.SOCK_STREAM)
            self.made.close()
        return self.made

    def close(self) -> int:
        self.fd = -1
        if self.made is not None:
            self.made.close()
        return 0

    def shut_writing(self) -> int:
        self.made.shutdown(socket_module.SHUT_WR)
        return 0

    def told(self, name: str) -> Any:
        if name == "peername":
            return self.peername()
        if name == "sockname":
            return self.sockname()
        return self.socket() if name == "socket" else None

    def note_end(self) -> int:
        if self.fd >= 0 and self.local is None:
            try:
                self.local = self.made.getsockname()
            except OSError:
                pass
        return 0

    def sockname(self) -> Any:
        """Return our address, or None."""
        self.note_end()
        return self.local

    def peername(self) -> Any:
        """Return the peer's address, or None."""
        return self.peer


class ForeignChannel(SocketChannel):
    """What has methods of its own to read and write with: these are called, whatever they do."""

    def read_by_level(self, level: bool) -> bool:
        return False

    def fill(self) -> int:
        workshop = self.workshop
        borrowed = workshop.borrowed
        workshop.leave_room()  # what is called now may read from another channel
        data = b""
        try:
            if borrowed is None:
                data = buffers.exact(self.made.recv(CHUNK))
                n = len(data)
            else:
                n = self.made.recv_into(borrowed)
        except _AGAIN:
            return -1
        if self.fd < 0:  # closed meanwhile: there is nothing to report
            return -1
        if n < 0:
            raise ValueError(f"recv_into() of {self.made!r} gave {n}: a number of bytes was expected")
        workshop.received += n
        if borrowed is None:
            workshop.bring(data)
        self.full = True
        return int(n)

    def _transmit(self, data: Any) -> int:
        n, total = self.made.send(data), buffers.size(data)
        if not 0 <= n <= total:
            raise ValueError(
                f"send() of {self.made!r} gave {n}: the number of bytes that it took of {total} was expected"
            )
        return int(n)

    def send_many(self, items: Sequence[bytes], offset: int) -> int:
        return self.send_from(items[0], offset)


def is_true_socket(sock: Any) -> bool:
    """True for an object of the socket module, whatever its `__class__` says."""
    return _base in type(sock).__mro__


def has_own_methods(sock: Any, methods: tuple[str, ...]) -> bool:
    """True if the program has set one of the methods, on the object or its class."""
    kind = type(sock)
    if kind is _socket or kind is _base:
        return False
    own = getattr(sock, "__dict__", ())
    return any(name in own or getattr(kind, name, None) is not getattr(_base, name, None) for name in methods)


def hold(sock: Any) -> SocketChannel:
    """Take over a connected nonblocking socket.socket, or what has its methods. Its owner closes it, or close()."""
    foreign = not is_true_socket(sock) or has_own_methods(sock, _METHODS)
    channel = ForeignChannel() if foreign else SocketChannel()
    channel.unseen = channel.at_once = foreign
    take_over(channel, sock)
    return channel


def manner_of(family: int, messages: bool) -> int:
    if not addresses.internet(family):
        return LOCAL
    return MESSAGES if messages else WHOLE


def has_messages(sock: Any) -> bool:
    """True if a socket object says that it has another protocol than TCP."""
    return sock.proto not in (0, socket_module.IPPROTO_TCP)


def take_over(channel: SocketChannel, sock: Any) -> int:
    """Make a new channel one for the descriptor of a socket object."""
    channel.made = sock
    channel.family = int(sock.family)
    channel.manner = manner_of(channel.family, is_true_socket(sock) and has_messages(sock))
    channel.fd = sock.fileno()
    try:
        channel.peer = sock.getpeername()
    except OSError:
        pass
    return 0


def acceptor(sock: Any) -> Any:
    """Return the socket.socket whose accept() `sock` uses: itself, or what a wrapper holds; None if it has its own."""
    if type(sock) is _socket:
        return sock
    method = sock.accept
    inner: Any = getattr(method, "__self__", None)
    if getattr(method, "__func__", None) is not _true_accept or not is_true_socket(inner):
        return None
    return inner if inner is sock or inner.fileno() == sock.fileno() else None


def accept(sock: Any, fd: int, family: int) -> SocketChannel | None:
    """Take the next connection of a listening socket, nonblocking; return None if there is none yet. Raises OSError."""
    try:
        made, address = sock.accept()
    except _AGAIN:
        return None
    try:
        made.setblocking(False)
        channel = hold(made)
    except BaseException:
        made.close()
        raise
    channel.peer = address
    return channel
