"""What socket_calls.pyx does, in plain Python."""

from __future__ import annotations

import os
import socket as socket_module
from typing import Any

from hasten.kernel.workshop import Workshop

_socket = socket_module.socket  # the true one, whatever is put there later


def is_plain(sock: Any) -> bool:
    """True for what the functions below may be called with: a socket with the socket module's own methods."""
    return type(sock) is _socket


def number(sock: Any) -> int:
    """Return the descriptor of a socket of any kind; -1 once closed."""
    return int(sock.fileno())


def is_tcp(sock: Any) -> bool:
    """True for a plain stream socket of an internet family, unless it says that its protocol is another (SCTP, say)."""
    if not is_plain(sock) or sock.type != socket_module.SOCK_STREAM or sock.proto not in (0, socket_module.IPPROTO_TCP):
        return False
    return sock.family in (socket_module.AF_INET, socket_module.AF_INET6)


def receive(sock: socket_module.socket, room: int, workshop: Workshop) -> bytes | None:
    """Receive at most `room` bytes; return None if it would block. Raises OSError."""
    try:
        return sock.recv(room)
    except BlockingIOError:
        return None


def receive_into(sock: socket_module.socket, buf: Any) -> int:
    """Receive into a writable buffer; return the number of bytes, -1 if it would block. Raises OSError."""
    try:
        return sock.recv_into(buf)
    except BlockingIOError:
        return -1


def send(sock: socket_module.socket, data: Any, offset: int) -> int:
    """Send what lies behind `offset`; return the number of bytes sent, -1 if it would block. Raises OSError."""
    with memoryview(data) as view, view.cast("B") as whole:
        try:
            return sock.send(whole[offset:])
        except BlockingIOError:
            return -1


def send_file(to: int, file: int, offset: int, count: int) -> int:
    """Send at most `count` bytes of a file from `offset` on; return how many, 0 at its end. Raises OSError."""
    return os.sendfile(to, file, offset, count)
