"""What link.pyx does, in plain Python: here each connection has its socket object from the beginning."""

from __future__ import annotations

import socket as socket_module
from typing import Any

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

    def fileno(self) -> int:
        """The file descriptor; -1 once closed."""
        return self.fd

    def internet(self) -> bool:
        """Is it TCP?"""
        return self.domain in _INTERNET

    def socket(self) -> Any:
        """The socket.socket. The descriptor is its own from then on."""
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


def hold(sock: Any) -> Link:
    """Takes over a connected nonblocking socket.socket."""
    link = Link()
    link.made = sock
    link.domain = int(sock.family)
    link.fd = sock.fileno()
    try:
        link.peer = sock.getpeername()
    except OSError:
        pass
    return link


def accept(sock: socket_module.socket, fd: int, domain: int) -> Link | None:
    """The next connection of a listening socket, nonblocking; None: there is none yet. Raises OSError."""
    try:
        made, address = sock.accept()
    except (BlockingIOError, InterruptedError):
        return None
    made.setblocking(False)
    link = hold(made)
    link.peer = address
    return link
