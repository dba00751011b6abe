"""What sockio.pyx does, in plain Python."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Iterable
from typing import Any

CHUNK = 262144  # how much one recv takes at most, and what a transport reads at once
capacity = CHUNK  # what the latest recv() or recv_into() could take: one that gave as much has not drained the socket
lent = 0  # room of the object that give_back() wants; 0: an ordinary one
_MANY = 64  # pieces in one sendmsg

_AGAIN = (BlockingIOError, InterruptedError)


def recv(sock: socket.socket, fd: int, expected: int, local: bool) -> bytes | None:
    """What there is, at most CHUNK bytes; b"" at the end; None if it would block. Raises OSError.

    `local`: it is a unix socket, where what follows descriptors that came with the data is left for the next call.
    """
    global capacity
    capacity = CHUNK
    try:
        if not local or not hasattr(sock, "recvmsg"):
            return sock.recv(CHUNK)
        data, _, flags, _ = sock.recvmsg(CHUNK)
        if flags & socket.MSG_CTRUNC:
            capacity = len(data)
        return data
    except _AGAIN:
        return None


def give_back(data: bytes, room: int) -> None:
    """The protocol has seen what recv() gave."""


def recv_into(sock: socket.socket, fd: int, buf: Any, local: bool) -> int:
    """Fills a writable buffer: the number of bytes, 0 at the end, -1 if it would block. Raises OSError."""
    global capacity
    capacity = memoryview(buf).nbytes
    try:
        if not local or not hasattr(sock, "recvmsg_into"):
            return sock.recv_into(buf)
        n, _, flags, _ = sock.recvmsg_into([buf])
        if flags & socket.MSG_CTRUNC:
            capacity = n
        return n
    except _AGAIN:
        return -1


def send(sock: socket.socket, fd: int, data: Any) -> int:
    """Sends a bytes-like object: the number of bytes that went, -1 if it would block. Raises OSError."""
    try:
        return sock.send(data)
    except _AGAIN:
        return -1


def send_from(sock: socket.socket, fd: int, data: Any, offset: int) -> int:
    """send() of what lies behind `offset`."""
    return send(sock, fd, memoryview(data)[offset:])


def send_many(sock: socket.socket, fd: int, items: Iterable[bytes], offset: int) -> int:
    """send() of the first pieces (bytes) of a sequence in one system call, without `offset` bytes of the first."""
    pieces: list[Any] = list(itertools.islice(items, _MANY))
    pieces[0] = memoryview(pieces[0])[offset:]
    try:
        if hasattr(sock, "sendmsg"):
            return sock.sendmsg(pieces)
        return sock.send(b"".join(pieces))
    except _AGAIN:
        return -1
