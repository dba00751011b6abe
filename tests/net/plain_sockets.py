"""What the tests of the ``sock_*`` methods have in common."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

Pair = tuple[socket.socket, socket.socket]

# The methods, and arguments that fit behind the socket.
CALLS: dict[str, tuple[Any, ...]] = {
    "sock_recv": (10,),
    "sock_recv_into": (bytearray(1),),
    "sock_recvfrom": (10,),
    "sock_recvfrom_into": (bytearray(1),),
    "sock_sendall": (b"x",),
    "sock_sendto": (b"x", ("127.0.0.1", 9)),
    "sock_connect": (("127.0.0.1", 9),),
    "sock_accept": (),
}


def nonblocking(*sockets: socket.socket) -> tuple[socket.socket, ...]:
    for sock in sockets:
        sock.setblocking(False)
    return sockets


def tcp_pair() -> Pair:
    """Two connected sockets, nonblocking, which send small pieces at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    for sock in nonblocking(one, other):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


async def begin(coro: Any) -> asyncio.Task[Any]:
    """A task that has got as far as it can without any event."""
    task = asyncio.get_running_loop().create_task(coro)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done()
    return task


@pytest.fixture(params=["unix", "tcp"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Two connected stream sockets, nonblocking."""
    one, other = socket.socketpair() if request.param == "unix" else tcp_pair()
    with one, other:
        nonblocking(one, other)
        yield one, other
