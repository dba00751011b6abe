"""What a server in a soak does by itself between the stages: datagrams, unix connections, children."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

DATAGRAMS = 2000
WINDOW = 50  # of them on their way at once
CONNECTIONS = 50
CHILDREN = 8
TEXT = b"a line\n" * 2000


class Back(asyncio.DatagramProtocol):
    """Sends back what comes."""

    transport: Any

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.transport.sendto(data, addr)


class Count(asyncio.DatagramProtocol):
    """Tells when so many datagrams have come."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.due = 0
        self.all_here: asyncio.Future[None] = loop.create_future()

    def expect(self, count: int) -> asyncio.Future[None]:
        self.due = count
        self.all_here = self.loop.create_future()
        return self.all_here

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.due -= 1
        if self.due == 0:
            self.all_here.set_result(None)


async def datagrams(loop: asyncio.AbstractEventLoop) -> None:
    """To and fro, on one machine, where none is lost as long as few are on their way."""
    server, _ = await loop.create_datagram_endpoint(Back, local_addr=("127.0.0.1", 0))
    client, count = await loop.create_datagram_endpoint(
        lambda: Count(loop), remote_addr=server.get_extra_info("sockname")
    )
    for _ in range(DATAGRAMS // WINDOW):
        arrived = count.expect(WINDOW)
        for i in range(WINDOW):
            client.sendto(b"%d" % i)
        await arrived
    client.close()
    server.close()


async def unix_connections(aio: Any) -> None:
    """Connections that are made, used and ended, all at once."""

    async def answer(reader: Any, writer: Any) -> None:
        writer.write(await reader.readline())
        writer.close()
        await writer.wait_closed()

    async def ask(path: Path) -> None:
        reader, writer = await aio.open_unix_connection(path)
        writer.write(b"a line\n")
        if await reader.read() != b"a line\n":
            raise AssertionError("another answer came than was sent")
        writer.close()
        await writer.wait_closed()

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "socket"
        server = await aio.start_unix_server(answer, path)
        await aio.gather(*(ask(path) for _ in range(CONNECTIONS)))
        server.close()
        await server.wait_closed()


async def children(aio: Any) -> None:
    """Children that copy their input to their output, all at once; one is killed."""

    async def copied() -> None:
        process = await aio.create_subprocess_shell("cat; exit 3", stdin=-1, stdout=-1)
        out, _ = await process.communicate(TEXT)
        if (out, process.returncode) != (TEXT, 3):
            raise AssertionError(f"a child gave {len(out)} bytes and ended with {process.returncode}")

    async def killed() -> None:
        process = await aio.create_subprocess_exec("sleep", "1000", stdout=-1)
        process.kill()
        await process.communicate()

    await aio.gather(*(copied() for _ in range(CHILDREN - 1)), killed())


async def one(aio: Any, loop: asyncio.AbstractEventLoop) -> None:
    """A round of each."""
    await datagrams(loop)
    await unix_connections(aio)
    await children(aio)
