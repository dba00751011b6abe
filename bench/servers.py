"""The servers that are measured: echo in the three ways that asyncio offers, and pages for the demo."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from argparse import Namespace
from typing import Any, cast

from bench import rounds
from bench.say import say

LARGEST = 1 << 18


class Echo(asyncio.Protocol):
    """Sends back what comes."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no instances of it

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def stream_echo(reader: Any, writer: Any) -> None:
    """The same with streams."""
    try:
        while data := await reader.read(LARGEST):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass  # the client broke the connection off; that is its right
    finally:
        writer.close()


async def socket_echo(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    """The same with the loop's own socket methods."""
    with connection:
        try:
            while data := await loop.sock_recv(connection, LARGEST):
                await loop.sock_sendall(connection, data)
        except ConnectionError:
            pass


async def _accept_sockets(aio: Any, loop: asyncio.AbstractEventLoop, listener: socket.socket) -> None:
    tasks = set()
    while True:
        connection, _ = await loop.sock_accept(listener)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = aio.create_task(socket_echo(loop, connection))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


def _server_side(options: Namespace) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.certificate, options.key)
    return context


async def start(aio: Any, loop: asyncio.AbstractEventLoop, options: Namespace) -> int:
    """Starts the echo server of the kind in options.name, and returns its port (0 for a unix socket)."""
    backlog = 1024
    if options.name == "unix":
        await loop.create_unix_server(Echo, options.path, backlog=backlog)
        return 0
    if options.name == "sock":
        listener = socket.create_server(("127.0.0.1", 0), backlog=backlog)
        listener.setblocking(False)
        loop.accepting = aio.create_task(_accept_sockets(aio, loop, listener))  # type: ignore[attr-defined]
        return int(listener.getsockname()[1])
    if options.name == "streams":
        server = await aio.start_server(stream_echo, "127.0.0.1", 0, backlog=backlog)
    else:
        context = _server_side(options) if options.name == "tls" else None
        server = await loop.create_server(Echo, "127.0.0.1", 0, backlog=backlog, ssl=context)
    return int(server.sockets[0].getsockname()[1])


async def serve(aio: Any, loop: asyncio.AbstractEventLoop, options: Namespace) -> None:
    """An echo server, until the process is ended."""
    port = await start(aio, loop, options)
    say("ready", port=port)
    await loop.create_future()


async def serve_for_soak(aio: Any, loop: asyncio.AbstractEventLoop, options: Namespace) -> None:
    """Two echo servers, with protocols and with streams. Ends at the end of its input.

    At each "?" it tells how many tasks there are; "round" has it do a round of all else (see rounds.py).
    """
    first = await start(aio, loop, Namespace(name="proto"))
    second = await start(aio, loop, Namespace(name="streams"))
    over = loop.create_future()

    async def one_round() -> None:
        try:
            await rounds.one(aio, loop)
            say("round", error="")
        except Exception as error:
            say("round", error=repr(error))

    def asked() -> None:
        line = os.read(0, 4096)
        if not line:
            loop.remove_reader(0)
            over.set_result(None)
            return
        if line == b"round\n":
            loop.going_on = aio.ensure_future(one_round())  # type: ignore[attr-defined]
            return
        say("tasks", asyncio=len(asyncio.all_tasks(loop)), own=len(aio.all_tasks(loop)))

    loop.add_reader(0, asked)
    say("ready", ports=[first, second])
    await over


class Pages(asyncio.Protocol):
    """A web server of a few lines: /SIZE/DELAY answers SIZE bytes after DELAY milliseconds, on kept connections."""

    transport: asyncio.Transport
    text = b"<p>All happy loops are alike.</p>\n" * 10_000

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no instances of it

    def data_received(self, data: bytes) -> None:
        self.received += data
        while b"\r\n\r\n" in self.received:
            head, _, self.received = self.received.partition(b"\r\n\r\n")
            _, size, delay = head.split(b" ", 2)[1].split(b"/")
            self.loop.call_later(int(delay) / 1000, self.answer, int(size))

    def answer(self, size: int) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {size}\r\n\r\n"
        self.transport.write(head.encode() + self.text[:size])


async def serve_pages(aio: Any, loop: asyncio.AbstractEventLoop, options: Namespace) -> None:
    """The pages of the demo, over http and (with a certificate) over https, until the process is ended."""
    kinds = [None, _server_side(options)] if options.certificate else [None]
    servers = [
        await loop.create_server(lambda: Pages(loop), "127.0.0.1", 0, backlog=1024, ssl=context) for context in kinds
    ]
    ports = [server.sockets[0].getsockname()[1] for server in servers]
    say("ready", ports=ports)
    await loop.create_future()
