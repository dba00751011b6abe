"""More of interrupted.py: connections, children, threads and signals, which take time."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import socket
import ssl
import threading
from typing import Any

import trustme

from .interrupted import LONG, It, scene
from .serving import answer


async def soon(it: It, coro: Any) -> Any:
    """Waits for what comes from outside, and gives up if it does not come."""
    return await it.ns.wait_for(coro, LONG)


@scene
async def streams(it: It) -> None:
    """A server that answers, and its end."""

    server = await it.ns.start_server(answer, "127.0.0.1", 0)
    it.closing += [server.close, lambda: hasattr(server, "abort_clients") and server.abort_clients()]
    reader, writer = await it.ns.open_connection(*server.sockets[0].getsockname())
    it.closing.append(writer.transport.abort)
    writer.write(b"line\n")
    with contextlib.suppress(TimeoutError):  # nobody answers if the other side's connection_made() is interrupted
        await soon(it, reader.read())
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    server.close()
    if hasattr(server, "abort_clients"):
        server.abort_clients()
    await server.wait_closed()


@scene
async def server_end(it: It) -> None:
    """Who waits for the end of a server and of its connections."""
    server = await it.loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    it.closing.append(server.close)
    [waiting] = it.start(server.wait_closed())
    peer = socket.create_connection(server.sockets[0].getsockname())
    it.closing.append(peer.close)
    await it.ns.sleep(0)
    await it.ns.sleep(0)
    server.close()
    peer.close()
    await it.ns.wait([waiting])


class Echo(asyncio.DatagramProtocol):
    def __init__(self, got: Any) -> None:
        self.got = got

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not self.got.done():
            self.got.set_result(data)


@scene
async def datagrams(it: It) -> None:
    got = it.loop.create_future()
    one, _ = await it.loop.create_datagram_endpoint(lambda: Echo(got), local_addr=("127.0.0.1", 0))
    it.closing.append(one.abort)
    other, _ = await it.loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, remote_addr=one.get_extra_info("sockname")
    )
    it.closing.append(other.abort)
    other.sendto(b"x")
    await it.ns.wait([got], timeout=LONG / 10)  # the one that got it was interrupted perhaps
    one.close()
    other.close()


@scene
async def names(it: It) -> None:
    assert await it.loop.getaddrinfo("127.0.0.1", 80)
    assert await it.loop.getaddrinfo("localhost", 80)
    await it.loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST)


@scene
async def signals(it: It) -> None:
    event = it.ns.Event()
    it.loop.add_signal_handler(signal.SIGUSR1, event.set)
    it.closing.append(lambda: it.loop.remove_signal_handler(signal.SIGUSR1))
    [waiting] = it.start(event.wait())
    os.kill(os.getpid(), signal.SIGUSR1)
    await it.ns.wait([waiting], timeout=LONG / 10)
    it.loop.remove_signal_handler(signal.SIGUSR1)
    event.set()
    await it.ns.wait([waiting])


@scene
async def child(it: It) -> None:
    made = await it.ns.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    it.closing.append(made._transport.close)
    await made.communicate(b"text")  # what comes while it is interrupted is lost
    assert await made.wait() == 0


@scene
async def child_that_is_killed(it: It) -> None:
    made = await it.ns.create_subprocess_exec("sleep", "20", stdin=-3, stdout=-1)
    it.closing.append(made._transport.close)
    [waiting] = it.start(made.wait())
    [reading] = it.start(made.stdout.read())
    await it.ns.sleep(0)
    with contextlib.suppress(ProcessLookupError):
        made.kill()
    await it.ns.wait([waiting, reading])


class Told(asyncio.SubprocessProtocol):
    def __init__(self, ended: Any) -> None:
        self.ended = ended

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)


@scene
async def child_by_protocol(it: It) -> None:
    ended = it.loop.create_future()
    transport, _ = await it.loop.subprocess_exec(lambda: Told(ended), "true", stdin=-1, stdout=-1, stderr=-1)
    it.closing.append(transport.close)
    await transport._wait()
    await it.ns.wait([ended], timeout=LONG / 10)


@scene
async def pool_end(it: It) -> None:
    """The default executor's end, which somebody waits for."""
    loop = it.ns.new_event_loop()
    ended = threading.Event()
    began: list[Any] = []
    it.closing += [loop.close, lambda: ended.wait(10 if began else LONG)]

    def run() -> None:
        try:
            loop.run_until_complete(work())
        finally:
            ended.set()

    async def work() -> None:
        await loop.run_in_executor(None, int)
        await loop.shutdown_asyncgens()
        await loop.shutdown_default_executor()

    began.append(it.loop.run_in_executor(None, run))
    await began[0]


@functools.cache
def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@scene
async def tls(it: It) -> None:
    ours, theirs = certificates()

    server = await it.ns.start_server(answer, "127.0.0.1", 0, ssl=ours)
    it.closing += [server.close, lambda: hasattr(server, "abort_clients") and server.abort_clients()]
    with contextlib.suppress(TimeoutError, OSError):  # the other side is interrupted perhaps
        async with it.ns.timeout(LONG):
            reader, writer = await it.ns.open_connection(*server.sockets[0].getsockname(), ssl=theirs)
            it.closing.append(writer.transport.abort)
            writer.write(b"line\n")
            await reader.read()
            writer.close()
    server.close()
    if hasattr(server, "abort_clients"):
        server.abort_clients()
    with contextlib.suppress(TimeoutError):
        await soon(it, server.wait_closed())


@scene
async def start_tls(it: It) -> None:
    ours, theirs = certificates()
    ends = []
    for sock in socket.socketpair():
        _, writer = await it.ns.open_connection(sock=sock)
        it.closing += [writer.transport.abort, sock.close]
        ends.append(writer.transport)
    one, other = ends
    with contextlib.suppress(TimeoutError, OSError):
        async with it.ns.timeout(LONG):
            await it.ns.gather(
                it.loop.start_tls(one, one.get_protocol(), ours, server_side=True),
                it.loop.start_tls(other, other.get_protocol(), theirs, server_hostname="localhost"),
            )
