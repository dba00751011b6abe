"""What sockio.pyx does, in plain Python."""

from __future__ import annotations

import itertools
import socket
from collections import deque
from typing import Any

from hasten.kernel.link import Link

CHUNK = 262144  # how much one recv takes at most, and what a transport reads at once
NO_ROOM = -3
_MANY = 64  # pieces in one sendmsg

_AGAIN = (BlockingIOError, InterruptedError)


def let_others_run() -> None:
    """Other threads may run: here they may anyway."""


def recv(link: Link, expected: int, local: bool) -> bytes | None:
    """What there is, at most CHUNK bytes; b"" at the end; None if it would block. Raises OSError.

    `local`: it is a unix socket, where what follows descriptors that came with the data is left for the next call.
    """
    sock = link.made
    cut = link.foreign
    link.lent = 0
    try:
        if link.foreign or not local or not hasattr(sock, "recvmsg"):
            data = sock.recv(CHUNK)
        else:
            data, _, flags, _ = sock.recvmsg(CHUNK)
            cut = bool(flags & socket.MSG_CTRUNC)
    except _AGAIN:
        return None
    data = exact(data)
    link.full = cut or len(data) == CHUNK
    return data


def give_back(data: bytes, room: int) -> None:
    """The protocol has seen what recv() gave."""


def recv_into(link: Link, buf: Any, local: bool) -> int:
    """Fills a writable buffer: the number of bytes, 0 at the end, -1 if it would block, NO_ROOM if it is empty.

    Raises OSError; what a buffer raises that is none.
    """
    sock = link.made
    cut = link.foreign
    with memoryview(buf) as view:
        room = view.nbytes
        if room == 0:
            return NO_ROOM
        try:
            if link.foreign:
                n = sock.recv_into(buf)
            elif not local or not hasattr(sock, "recvmsg_into"):
                n = sock.recv_into(view)
            else:
                n, _, flags, _ = sock.recvmsg_into([view])
                cut = bool(flags & socket.MSG_CTRUNC)
        except _AGAIN:
            return -1
    if n < 0:
        raise ValueError(f"recv_into() of {sock!r} gave {n}: a number of bytes was expected")
    link.full = cut or n == room
    return int(n)


def plain(data: Any) -> Any:
    """What can be looked at without running anything: bytes, a bytearray or a memoryview themselves, a view of what
    else has a buffer, a copy of what does not lie in one piece."""
    if type(data) is bytes or type(data) is bytearray:
        return data
    view = memoryview(data)
    return view if view.c_contiguous else view.tobytes()


def size(data: Any) -> int:
    """The number of bytes of something plain()."""
    with memoryview(data) as view:
        return view.nbytes


def exact(data: Any) -> bytes:
    """The bytes of anything with a buffer, copied unless they cannot change."""
    if type(data) is bytes:
        return data
    with memoryview(data) as view:
        return view.tobytes()


def send(link: Link, data: Any) -> bytes | None:
    """Sends something plain(): what did not go, or None. Raises OSError."""
    with memoryview(data) as view, view.cast("B") as whole:
        try:
            n = _took(link, link.made.send(data), whole.nbytes)
        except _AGAIN:
            n = 0
        if n == whole.nbytes:
            return None
        return data if n == 0 and type(data) is bytes else whole[n:].tobytes()


def send_from(link: Link, data: bytes, offset: int) -> int:
    """Sends what lies behind `offset`: the number of bytes that went, -1 if it would block. Raises OSError."""
    try:
        return _took(link, link.made.send(memoryview(data)[offset:]), len(data) - offset)
    except _AGAIN:
        return -1


def _took(link: Link, n: int, total: int) -> int:
    if not 0 <= n <= total:
        raise ValueError(f"send() of {link.made!r} gave {n}: the number of bytes that it took of {total} was expected")
    return n


def send_many(link: Link, items: deque[bytes], offset: int) -> int:
    """send_from() of the first pieces (bytes) of a deque, in one system call."""
    if link.foreign or not hasattr(link.made, "sendmsg"):
        return send_from(link, items[0], offset)
    pieces: list[Any] = list(itertools.islice(items, _MANY))
    pieces[0] = memoryview(pieces[0])[offset:]
    try:
        return int(link.made.sendmsg(pieces))
    except _AGAIN:
        return -1
