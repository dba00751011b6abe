"""What sockets are to be like, for a loop to use them."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any

try:
    import ssl
except ImportError:  # an interpreter built without OpenSSL
    ssl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from hasten.net.contract import NetLoop

_INET = (socket.AF_INET, socket.AF_INET6)


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
    proto = sock.proto  # first: `family` and `type` have to be made
    if proto == socket.IPPROTO_TCP or (proto == 0 and sock.family in _INET and sock.type == socket.SOCK_STREAM):
        with contextlib.suppress(OSError):  # some systems refuse it once the peer has reset the connection
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
