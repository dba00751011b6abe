"""More of entries.py: the methods of protocols."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from .entries import KINDS, Run


class Failing(asyncio.Protocol):
    """Fails in one of its methods."""

    def __init__(self, run: Run, where: str) -> None:
        self.run = run
        self.where = where

    def at(self, where: str) -> None:
        if where == self.where:
            self.run.fail()

    def connection_made(self, transport: Any) -> None:
        self.at("connection_made")

    def data_received(self, data: bytes) -> None:
        self.at("data_received")

    def eof_received(self) -> None:
        self.at("eof_received")

    def pause_writing(self) -> None:
        self.at("pause_writing")

    def resume_writing(self) -> None:
        self.at("resume_writing")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.at("connection_lost")


class FailingBuffered(Failing, asyncio.BufferedProtocol):  # type: ignore[misc]
    def get_buffer(self, sizehint: int) -> bytearray:
        self.at("get_buffer")
        return bytearray(100)

    def buffer_updated(self, nbytes: int) -> None:
        self.at("buffer_updated")


async def connected(run: Run, kind: type[Failing], where: str, far: socket.socket, near: socket.socket) -> None:
    transport, _ = await run.loop.create_connection(lambda: kind(run, where), sock=near)
    run.closing.insert(0, transport.abort)
    if where in ("data_received", "get_buffer", "buffer_updated"):
        far.send(b"x")
    elif where == "eof_received":
        far.shutdown(socket.SHUT_WR)
    elif where in ("pause_writing", "resume_writing"):
        transport.write(b"x" * 1_000_000)
        for _ in range(30):
            try:
                far.recv(1 << 20)
            except BlockingIOError:
                pass
            await asyncio.sleep(0)
    elif where == "connection_lost":
        transport.close()


def protocol_method(kind: type[Failing], where: str) -> None:
    def entry(run: Run) -> None:
        near, far = run.pair()
        run.closing.remove(near.close)
        run.tasks.append(run.loop.create_task(connected(run, kind, where, far, near)))

    entry.__name__ = f"{where}_of_{kind.__name__}"
    KINDS.append(entry)


for _where in ("data_received", "eof_received", "pause_writing", "resume_writing", "connection_lost"):
    protocol_method(Failing, _where)
for _where in ("get_buffer", "buffer_updated"):
    protocol_method(FailingBuffered, _where)


def protocol_factory(run: Run) -> None:
    """Of a server: nobody waits for it, and it is told in debug mode, as asyncio has it."""
    run.loop.set_debug(True)
    server_socket = socket.create_server(("127.0.0.1", 0))

    async def serve() -> None:
        server = await run.loop.create_server(run.fail, sock=server_socket)
        client = socket.create_connection(server_socket.getsockname())
        run.closing.insert(0, client.close)
        run.closing.insert(0, server.close)

    run.tasks.append(run.loop.create_task(serve()))


KINDS.append(protocol_factory)
