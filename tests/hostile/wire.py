"""A connection whose protocol strikes, and a peer that is read and written by callbacks which do."""

from __future__ import annotations

import asyncio
import random
import socket
from typing import Any


class Protocol(asyncio.Protocol):
    def __init__(self, mischief: Any) -> None:
        self.mischief = mischief
        self.lost = 0

    def connection_made(self, transport: Any) -> None:
        self.mischief.strike("connection_made")

    def data_received(self, data: bytes) -> None:
        self.mischief.strike("data_received", raising=True)

    def eof_received(self) -> bool:
        self.mischief.strike("eof_received", raising=True)
        return bool(self.mischief.rng.random() < 0.5)

    def pause_writing(self) -> None:
        self.mischief.strike("pause_writing", raising=True)

    def resume_writing(self) -> None:
        self.mischief.strike("resume_writing", raising=True)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost += 1
        self.mischief.strike("connection_lost", raising=True)


class Buffered(asyncio.BufferedProtocol, Protocol):  # type: ignore[misc]
    """The same, for a transport that receives into its buffer."""

    def get_buffer(self, sizehint: int) -> Any:
        self.mischief.strike("get_buffer", raising=True)
        return bytearray(64)

    def buffer_updated(self, nbytes: int) -> None:
        self.mischief.strike("buffer_updated", raising=True)


class Wire:
    def __init__(self, mischief: Any) -> None:
        self.mischief = mischief
        self.loop = mischief.loop
        self.made: list[tuple[Any, Protocol]] = []
        self.peers: list[socket.socket] = []
        mischief.wire = self

    async def open(self) -> None:
        near, far = socket.socketpair()
        far.setblocking(False)
        self.peers.append(far)
        kind = self.mischief.rng.choice([Protocol, Protocol, Buffered])
        try:
            self.made.append(await self.loop.create_connection(lambda: kind(self.mischief), sock=near))
        except BaseException:
            near.close()
            raise
        self.loop.add_reader(far, self.readable, far)

    def readable(self, far: socket.socket) -> None:
        try:
            data = far.recv(1 << 16)
        except OSError:
            data = b""
        if not data:
            self.loop.remove_reader(far)
        self.mischief.strike("reader", raising=True)

    def writable(self, far: socket.socket) -> None:
        self.loop.remove_writer(far)
        self.mischief.strike("writer", raising=True)

    def disturb(self, rng: random.Random) -> None:
        """Does something to a transport, or from its other end."""
        if not self.made:
            return
        at = rng.randrange(len(self.made))
        (transport, _), far = self.made[at], self.peers[at]
        deeds = [
            lambda: far.send(b"x" * rng.choice([1, 100, 70_000])),
            lambda: far.send(b"y"),
            lambda: far.shutdown(socket.SHUT_WR),
            lambda: transport.write(b"z" * rng.choice([1, 300_000])),
            lambda: transport.writelines([b"a", bytearray(b"b")]),
            transport.write_eof,
            transport.close,
            transport.abort,
            transport.pause_reading,
            transport.resume_reading,
            lambda: transport.set_protocol(transport.get_protocol()),
            lambda: self.loop.remove_reader(far),
            lambda: self.loop.add_reader(far, self.readable, far),
            lambda: self.loop.add_writer(far, self.writable, far),
            lambda: transport.set_write_buffer_limits(rng.choice([0, 10, 100_000])),
        ]
        rng.choice(deeds)()

    async def close(self) -> list[str]:
        """Ends all connections; says what is wrong."""
        for (transport, _), far in zip(self.made, self.peers, strict=False):
            self.loop.remove_reader(far)
            self.loop.remove_writer(far)
            transport.abort()
        for _ in range(4):
            await asyncio.sleep(0)
        for far in self.peers:
            self.loop.remove_reader(far)
            self.loop.remove_writer(far)
            far.close()
        return [f"connection_lost() was called {p.lost} times" for _, p in self.made if p.lost != 1]
