"""What only the network's tests need."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme

import hasten
from hasten.net.stream import open_stream


class Certificates(NamedTuple):
    """A server context for localhost, 127.0.0.1 and a.example; client contexts that do and do not trust it."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    stranger: ssl.SSLContext


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1", "a.example").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    stranger = ssl.create_default_context()
    trustme.CA().configure_trust(stranger)
    return Certificates(server, client, stranger)


@pytest.fixture
def unix_path(tmp_path: Path) -> str:
    """A short path for a unix socket."""
    return str(tmp_path / "s")


# ---- what writes at the end of a batch (test_batching*.py) ----------------------------------------


@pytest.fixture
def batching() -> Iterator[hasten.Loop]:
    """A loop that puts small writes off, whatever the environment says."""
    loop = hasten.new_event_loop(batch_writes=True)
    yield loop
    loop.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """(the transport's end, the peer's end) of a stream. The peer's blocks, for 20 seconds at most."""
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.settimeout(20)
        yield one, other


@pytest.fixture
def messages() -> Iterator[tuple[socket.socket, socket.socket]]:
    """(the transport's end, the peer's end) of a pair that keeps what one system call has sent apart from the next."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


class Plain(asyncio.Protocol):
    """Writes down what happens to it."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.lost = asyncio.get_running_loop().create_future()

    def pause_writing(self) -> None:
        self.log.append("pause")

    def resume_writing(self) -> None:
        self.log.append("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.log.append("lost")
        self.lost.set_result(exc)


@pytest.fixture
def start() -> Callable[[socket.socket], Any]:
    """`transport, protocol = await start(sock)`: the socket is the transport's from then on."""

    async def start(sock: socket.socket) -> tuple[Any, Plain]:
        own = sock.dup()
        sock.close()  # or the peer would see no end when the transport closes its own
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        protocol = Plain()
        transport = open_stream(loop, own, protocol, waiter=waiter)
        await waiter
        return transport, protocol

    return start


@pytest.fixture
def waiting() -> Callable[[socket.socket], list[bytes]]:
    """`waiting(sock)` is what has arrived, without waiting for more: each message by itself; the end is b""."""

    def waiting(sock: socket.socket) -> list[bytes]:
        found: list[bytes] = []
        before = sock.gettimeout()
        sock.setblocking(False)
        try:
            with contextlib.suppress(BlockingIOError):
                while not found or found[-1]:
                    found.append(sock.recv(1 << 20))
        finally:
            sock.settimeout(before)
        return found

    return waiting


@pytest.fixture
def read() -> Callable[[socket.socket, int], bytes]:
    """`read(sock, count)` blocks until so many bytes have come, or the end."""

    def read(sock: socket.socket, count: int) -> bytes:
        data = b""
        while len(data) < count and (more := sock.recv(min(count - len(data), 1 << 20))):
            data += more
        return data

    return read
