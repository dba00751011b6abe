"""What link.pyx does, in plain Python: here each connection has its socket object from the beginning."""

from __future__ import annotations

import socket as socket_module
from typing import Any

_socket = socket_module.socket  # the true one, whatever is put there later
_true_accept = socket_module.socket.accept
_base = _socket.__base__
# What a transport calls of a socket. Where somebody has put methods of their own there, these are called.
_METHODS = ("recv", "recv_into", "recvmsg", "recvmsg_into", "send", "sendmsg", "shutdown")
_INTERNET = (socket_module.AF_INET, getattr(socket_module, "AF_INET6", socket_module.AF_INET))


class Link:
    """A connected socket as a transport holds it: its descriptor, its addresses, a socket object for who asks."""

    def __init__(self) -> None:
        self.fd = -1  # -1: closed, or nothing yet
        self.domain = 0
        self.made: Any = None
        self.peer: Any = None
        self.local: Any = None
        self.peer_shown = self.local_shown = True
        self.foreign = False  # `made` has methods of its own to read and write with
        # of the latest recv() or recv_into() (see sockio)
        self.full = False  # it gave as much as it could take: the socket may have more
        self.lent = 0  # room of the object that give_back() wants; 0: an ordinary one

    def fileno(self) -> int:
        """The file descriptor; -1 once closed."""
        return self.fd

    def internet(self) -> bool:
        """Is it TCP?"""
        return self.domain in _INTERNET

    def socket(self) -> Any:
        """The socket.socket. The descriptor is its own from then on."""
        if self.made is None:
            self.made = _socket(self.domain or _INTERNET[0], socket_module.SOCK_STREAM)
            self.made.close()
        return self.made

    def close(self) -> int:
        self.fd = -1
        if self.made is not None:
            self.made.close()
        return 0

    def shut_writing(self) -> int:
        """The peer will see the end of what we sent. Raises OSError."""
        self.made.shutdown(socket_module.SHUT_WR)
        return 0

    def note_sockname(self) -> int:
        """For sockname() after the end."""
        if self.fd >= 0 and self.local is None:
            try:
                self.local = self.made.getsockname()
            except OSError:
                pass
        return 0

    def sockname(self) -> Any:
        """Our address, or None."""
        self.note_sockname()
        return self.local

    def peername(self) -> Any:
        """The peer's address, or None."""
        return self.peer


def _is_true_socket(sock: Any) -> bool:
    """Is it an object of the socket module, whatever its `__class__` says?"""
    return _base in type(sock).__mro__


def _has_own_methods(sock: Any) -> bool:
    kind = type(sock)
    if kind is _socket or kind is _base:
        return False
    own = getattr(sock, "__dict__", ())
    return any(name in own or getattr(kind, name, None) is not getattr(_base, name, None) for name in _METHODS)


def descriptor(link: Link) -> int:
    """The number for a system call; -1 once closed, by whomever."""
    return link.fd if link.fd < 0 else int(link.made.fileno())


def hold(sock: Any) -> Link:
    """Takes over a connected nonblocking socket.socket, or what has its methods. Its owner closes it, or close()."""
    link = Link()
    link.made = sock
    link.domain = int(sock.family)
    link.foreign = not _is_true_socket(sock) or _has_own_methods(sock)
    link.fd = sock.fileno()
    try:
        link.peer = sock.getpeername()
    except OSError:
        pass
    return link


def acceptor(sock: Any) -> Any:
    """The socket.socket whose accept() that of `sock` is: itself, or what a wrapper holds; None: its own."""
    if type(sock) is _socket:
        return sock
    method = sock.accept
    inner: Any = getattr(method, "__self__", None)
    if getattr(method, "__func__", None) is not _true_accept or not _is_true_socket(inner):
        return None
    return inner if inner is sock or inner.fileno() == sock.fileno() else None


def accept(sock: Any, fd: int, domain: int) -> Link | None:
    """The next connection of a listening socket, nonblocking; None: there is none yet. Raises OSError."""
    try:
        made, address = sock.accept()
    except (BlockingIOError, InterruptedError):
        return None
    try:
        made.setblocking(False)
        link = hold(made)
    except BaseException:
        made.close()
        raise
    link.peer = address
    return link
