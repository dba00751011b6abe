"""Streams, protocols, servers, sockets, subprocesses."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from typing import Any, cast


async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        data = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(10)
        line: bytes = await reader.readline()
    except asyncio.IncompleteReadError as exc:
        data, line = exc.partial, b""
    except asyncio.LimitOverrunError as exc:
        data, line = await reader.read(exc.consumed), b""
    peer: tuple[str, int] = writer.get_extra_info("peername")
    writer.writelines([data, line, repr(peer).encode()])
    await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
    writer.close()
    await writer.wait_closed()


async def serve() -> None:
    server = await asyncio.start_server(handle, "127.0.0.1", 0, backlog=5)
    sockets: tuple[Any, ...] = tuple(s.getsockname() for s in server.sockets)
    print(sockets)
    async with server:
        await server.serve_forever()


async def client(host: str, port: int, context: ssl.SSLContext | None) -> str:
    reader, writer = await asyncio.open_connection(host, port, ssl=context)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    lines: list[str] = []
    async for line in reader:
        lines.append(line.decode())
    sock = cast("socket.socket | None", writer.transport.get_extra_info("socket"))
    print(sock, reader.at_eof(), writer.is_closing())
    return "".join(lines)


async def local(path: str) -> None:
    if sys.platform != "win32":
        server: asyncio.Server = await asyncio.start_unix_server(handle, path)
        reader, writer = await asyncio.open_unix_connection(path)
        pair: tuple[StreamReader, StreamWriter] = reader, writer
        pair[1].write(b"x")
        server.close()
        await server.wait_closed()


class Echo(asyncio.Protocol):
    transport: asyncio.Transport

    def __init__(self, lost: asyncio.Future[bool]) -> None:
        self.lost = lost
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.timer = asyncio.get_running_loop().call_later(5, self.transport.abort)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        self.transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.lost.set_result(True)


class Datagrams(asyncio.DatagramProtocol):
    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        print(data.decode(), addr[0])


class Buffered(asyncio.BufferedProtocol):
    def get_buffer(self, sizehint: int) -> bytearray:
        return bytearray(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        print(nbytes)


async def protocols() -> None:
    loop = asyncio.get_running_loop()
    lost: asyncio.Future[bool] = loop.create_future()
    server = await loop.create_server(lambda: Echo(lost), "127.0.0.1", 0)
    transport, protocol = await loop.create_connection(lambda: Echo(lost), "127.0.0.1", 8888)
    protocol.lost.cancel()
    transport.set_write_buffer_limits(high=10)
    endpoint, datagrams = await loop.create_datagram_endpoint(Datagrams, remote_addr=("127.0.0.1", 9999))
    endpoint.sendto(b"x")
    datagrams.datagram_received(b"", ("", 1))
    endpoint.close()
    await loop.create_connection(Buffered, sock=socket.socket())
    server.close()
    abstract: asyncio.AbstractServer = server
    await abstract.wait_closed()


async def sockets(own: asyncio.AbstractEventLoop) -> bytes:
    loop = asyncio.get_running_loop()
    a, b = socket.socketpair()
    a.setblocking(False)
    loop.add_reader(a, print, "readable")
    removed: bool = loop.remove_reader(a)
    await loop.sock_sendall(b, b"x")
    data = await loop.sock_recv(a, 10)
    n: int = await loop.sock_recv_into(a, bytearray(10))
    connection, address = await loop.sock_accept(a)
    info = await own.getaddrinfo("localhost", 80, type=socket.SOCK_STREAM)
    for family, kind, proto, name, where in info:
        print(family, kind, proto, name, where, removed, n, address, connection.fileno())
    return data


async def child() -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "print(1)",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ,
    )
    out, err = await process.communicate()
    print(out.decode(), err)
    shell: asyncio.subprocess.Process = await asyncio.create_subprocess_shell("cat", stdin=PIPE, stdout=PIPE)
    both: list[Process] = [process, shell]
    assert shell.stdin is not None
    assert shell.stdout is not None
    shell.stdin.write(b"x")
    await shell.stdin.drain()
    line: bytes = await shell.stdout.readline()
    shell.send_signal(9)
    shell.kill()
    print(line, [each.pid for each in both], process.returncode)
    return await shell.wait()


class Exit(asyncio.SubprocessProtocol):
    def __init__(self, ended: asyncio.Future[bool]) -> None:
        self.ended = ended

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        print(fd, data)

    def process_exited(self) -> None:
        self.ended.set_result(True)


async def low_child() -> None:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[bool] = loop.create_future()
    transport, protocol = await loop.subprocess_exec(lambda: Exit(ended), "true", stdin=None)
    code: int | None = transport.get_returncode()
    print(code, protocol.ended)
    if sys.platform != "win32":
        pipe, _ = await loop.connect_read_pipe(lambda: Echo(ended), sys.stdin)
        pipe.close()


asyncio.run(serve())
