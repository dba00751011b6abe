"""A server of lines over streams, with a client, TLS settings and a protocol of its own."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import socket
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypedDict

log = logging.getLogger(__name__)


class Message(TypedDict):
    op: str
    args: list[int]


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.peer: Any = writer.get_extra_info("peername")

    async def send(self, message: Message) -> None:
        self.writer.write(json.dumps(message).encode() + b"\n")
        await self.writer.drain()

    async def receive(self) -> Message | None:
        try:
            line = await self.reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as exc:
            log.debug("%d bytes of a message", len(exc.partial))
            return None
        except asyncio.LimitOverrunError as exc:
            await self.reader.readexactly(exc.consumed)
            return None
        message: Message = json.loads(line)
        return message

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


class Server:
    def __init__(self, ssl_context: ssl.SSLContext | None = None) -> None:
        self._ssl = ssl_context
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[Any], Connection] = {}

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = self._connections[task] = Connection(reader, writer)
        try:
            while (message := await connection.receive()) is not None:
                async with asyncio.timeout(5):
                    await connection.send({"op": message["op"], "args": [sum(message["args"])]})
        finally:
            del self._connections[task]
            await connection.close()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> tuple[str, int]:
        self._server = await asyncio.start_server(self.handle, host, port, ssl=self._ssl, limit=2**16, backlog=10)
        address: tuple[str, int] = self._server.sockets[0].getsockname()
        return address

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def __aenter__(self) -> Server:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()


@asynccontextmanager
async def connected(host: str, port: int) -> AsyncGenerator[Connection, None]:
    reader, writer = await asyncio.open_connection(host, port, family=socket.AF_INET)
    connection = Connection(reader, writer)
    try:
        yield connection
    finally:
        await connection.close()


class Echo(asyncio.Protocol):
    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.received: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self.received.put_nowait(data)


Middleware = Callable[[Message], Awaitable[Message]]


async def apply(message: Message, middlewares: list[Middleware]) -> Message:
    for each in middlewares:
        message = await each(message)
    return message


async def add(message: Message, number: int) -> Message:
    return {**message, "args": [*message["args"], number]}


async def protocols() -> tuple[bytes, bytes]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    async with server:
        await server.start_serving()
        host, port = server.sockets[0].getsockname()
        with socket.create_connection((host, port)) as sock:
            sock.setblocking(False)
            await loop.sock_sendall(sock, b"ping")
            answer = await loop.sock_recv(sock, 100)
    transport, protocol = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
    transport.sendto(b"self", transport.get_extra_info("sockname"))
    datagram = await protocol.received.get()
    transport.close()
    return answer, datagram


async def main() -> None:
    server = Server()
    host, port = await server.start()
    plus = functools.partial(add, number=5)
    async with connected(host, port) as connection:
        await connection.send(await apply({"op": "sum", "args": [1, 2]}, [plus]))
        answer = await connection.receive()
        assert answer is not None
        print(answer["args"][0] + 1)
    await server.stop()
    print(await protocols())


if __name__ == "__main__":
    policy_free = asyncio.new_event_loop()
    try:
        policy_free.run_until_complete(main())
    finally:
        policy_free.run_until_complete(policy_free.shutdown_asyncgens())
        policy_free.close()
