"""What the tests of datagrams share: a protocol that writes down what happens, endpoints, what lies in a socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

HOST = ("127.0.0.1", 0)


class Recorder(asyncio.DatagramProtocol):
    """Writes down what happens, and calls what `on` has for it: made, received, error, pause, resume, lost."""

    def __init__(self, **on: Callable[..., Any]) -> None:
        self.on = on
        self.log: list[str] = []
        self.got: list[tuple[bytes, Any]] = []
        self.errors: list[Exception] = []
        self.transport: Any = None
        self.lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.news = asyncio.Event()

    @property
    def data(self) -> list[bytes]:
        """The datagrams that came, without their addresses."""
        return [data for data, _ in self.got]

    def note(self, what: str, *args: Any) -> None:
        self.log.append(what)
        self.news.set()
        if what in self.on:
            self.on[what](self, *args)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.note("made")

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.got.append((data, addr))
        self.note("received", data, addr)

    def error_received(self, exc: Exception) -> None:
        self.errors.append(exc)
        self.note("error", exc)

    def pause_writing(self) -> None:
        self.note("pause")

    def resume_writing(self) -> None:
        self.note("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.note("lost")
        self.lost.set_result(exc)

    async def until(self, condition: Callable[[], Any]) -> None:
        while not condition():
            self.news.clear()
            await self.news.wait()


def echo(protocol: Recorder, data: bytes, addr: Any) -> None:
    protocol.transport.sendto(data, addr)


async def endpoint(protocol_factory: Callable[[], Recorder] = Recorder, **options: Any) -> tuple[Any, Recorder]:
    return await asyncio.get_running_loop().create_datagram_endpoint(protocol_factory, **options)


async def ended(*transports: Any) -> None:
    """Closes transports, and waits for their ends."""
    for transport in transports:
        protocol = transport.get_protocol()
        transport.close()
        if protocol is not None:
            await protocol.lost


def arrived(sock: socket.socket) -> list[bytes]:
    """The datagrams that have come to a socket, without waiting for more."""
    found = []
    before = sock.gettimeout()
    sock.setblocking(False)
    try:
        while True:
            found.append(sock.recv(70000))
    except BlockingIOError:
        return found
    finally:
        sock.settimeout(before)
