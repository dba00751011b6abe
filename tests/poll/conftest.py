"""Tests of the pollers run on every poller that the platform has."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator

import pytest

import hasten
from hasten.poll import choice

Pair = Callable[..., tuple[socket.socket, socket.socket]]


@pytest.fixture(params=choice.NAMES)
def poller(request: pytest.FixtureRequest) -> str:
    """A poller's name."""
    return str(request.param)


@pytest.fixture
def loop(poller: str) -> Iterator[asyncio.AbstractEventLoop]:
    """A fresh loop with that poller."""
    fresh = hasten.new_event_loop(poller=poller)
    try:
        yield fresh
    finally:
        fresh.close()


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
