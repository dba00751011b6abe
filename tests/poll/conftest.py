"""Tests of the pollers run on every poller that the platform has."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

import hasten
from hasten.poll import choice
from hasten.poll.virtual import VirtualPoller

from ..worlds import opened

Pair = Callable[..., tuple[socket.socket, socket.socket]]


@pytest.fixture(params=[*choice.NAMES, "virtual"])
def poller(request: pytest.FixtureRequest) -> str:
    """A poller's name."""
    return str(request.param)


def new_loop(poller: str) -> asyncio.AbstractEventLoop:
    """A loop with the poller of this name."""
    return hasten.new_event_loop(VirtualPoller(choice.make()) if poller == "virtual" else poller)


@pytest.fixture
def loop(poller: str) -> Iterator[asyncio.AbstractEventLoop]:
    """A fresh loop with that poller."""
    with opened(new_loop(poller)) as loop:
        yield loop


@pytest.fixture
def pair(loop: asyncio.AbstractEventLoop) -> Iterator[Pair]:
    """Makes connected nonblocking sockets: pair() of the unix kind, pair(tcp=True) over loopback."""
    made: list[socket.socket] = []

    def pair(tcp: bool = False) -> tuple[socket.socket, socket.socket]:
        if tcp:
            with socket.create_server(("127.0.0.1", 0)) as server:
                ours = socket.create_connection(server.getsockname())
                theirs = server.accept()[0]
        else:
            ours, theirs = socket.socketpair()
        for sock in (ours, theirs):
            sock.setblocking(False)
            made.append(sock)
        return ours, theirs

    yield pair
    loop.close()  # before its descriptors are
    for sock in made:
        sock.close()


Loop = asyncio.AbstractEventLoop
# Ticks that a loop may take while nothing happens but one timer. A loop that spins takes thousands.
FEW = 20


def turn(loop: Loop, times: int = 1) -> None:
    """Asks the poller once without waiting, and runs what it reported."""
    for _ in range(times):
        loop.stop()
        loop.run_forever()


def fill(sock: socket.socket) -> int:
    """Sends until the socket takes no more; gives the number of bytes."""
    sent = 0
    while True:
        try:
            sent += sock.send(b"f" * 65536)
        except BlockingIOError:
            return sent


def empty(sock: socket.socket) -> int:
    """Receives until nothing is left; gives the number of bytes."""
    got = 0
    while True:
        try:
            data = sock.recv(1 << 20)
        except BlockingIOError:
            return got
        if not data:
            return got
        got += len(data)


def reset(sock: socket.socket) -> None:
    """Closes a TCP connection with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Recorder(asyncio.Protocol):
    """Remembers what its transport tells."""

    transport: asyncio.Transport

    def __init__(self, half_open: bool = False) -> None:
        self.half_open = half_open
        self.data = bytearray()
        self.told: list[str] = []
        self.writable = asyncio.Event()
        self.changed = asyncio.Event()
        self.exception: BaseException | None = None
        self.on_data: Callable[[], object] | None = None

    def note(self, what: str) -> None:
        if self.told[-1:] != [what]:
            self.told.append(what)
        self.changed.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.note("data")
        if self.on_data is not None:
            self.on_data()

    def eof_received(self) -> bool:
        self.note("eof")
        return self.half_open

    def connection_lost(self, exc: BaseException | None) -> None:
        self.exception = exc
        self.note("lost")

    def resume_writing(self) -> None:
        self.writable.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def until_data(self, length: int) -> None:
        await self.until(lambda: len(self.data) >= length)

    async def until_told(self, what: str) -> None:
        await self.until(lambda: what in self.told)


class SmallReads(Recorder, asyncio.BufferedProtocol):
    """Takes a thousand bytes at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.room = bytearray(1000)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.room

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.room[:nbytes]))


Attach = Callable[[socket.socket, Recorder], Awaitable[Recorder]]


@pytest.fixture(params=["create_connection", "connect_accepted_socket"])
def attach(request: pytest.FixtureRequest, loop: Loop) -> Attach:
    """Gives a socket to a transport with a protocol."""

    async def attach(sock: socket.socket, protocol: Recorder) -> Recorder:
        if request.param == "create_connection":
            await loop.create_connection(lambda: protocol, sock=sock)
        else:
            await loop.connect_accepted_socket(lambda: protocol, sock)
        return protocol

    return attach


async def end(*protocols: Recorder) -> None:
    """Closes transports and waits until they are."""
    for protocol in protocols:
        protocol.transport.abort()
        await protocol.until_told("lost")


async def ticks_of_a_nap(loop: Any) -> int:
    """How many ticks a loop takes while it has nothing to do but to wait for one timer."""
    before = loop._ticks
    await hasten.sleep(0.02)
    return int(loop._ticks - before)
