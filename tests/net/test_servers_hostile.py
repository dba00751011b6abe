"""Servers whose attributes are put to wrong uses, and what is no server in a server's place: errors, no crashes."""

from __future__ import annotations

import asyncio
import contextvars
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import hasten
from hasten import compat
from hasten.kernel import socket_channel
from hasten.net.listening import Listener
from hasten.net.servers import Server
from hasten.net.stream import SocketTransport, open_channel, open_stream

LOCAL = "127.0.0.1"

compiled_only = pytest.mark.skipif(not compat.compiled(), reason="plain Python takes whatever has the methods")


class Echo(asyncio.Protocol):
    """Sends back what it gets, and closes."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        self.transport.close()


async def answer(server: Any) -> bytes:
    """What one connection gets back."""
    reader, writer = await hasten.open_connection(*server.sockets[0].getsockname())
    writer.write(b"x")
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


REPLACES = """\
import hasten

class Same:
    def __init__(self, number):
        self.number = number

    def __hash__(self):
        return self.number

    def __eq__(self, other):
        {replacing}
        return NotImplemented

class Protocol(hasten.Protocol):
    def connection_made(self, transport):
        server._clients = {{Same(hash(transport))}}  # only this set has a reference to itself
        transport.close()

async def main():
    global server
    server = await hasten.get_running_loop().create_server(Protocol, "127.0.0.1", 0)
    reader, writer = await hasten.open_connection(*server.sockets[0].getsockname())
    assert await reader.read() == b""
    writer.close()
    await hasten.sleep(0)
    server.close()

hasten.run(main())
print("done")
"""


@pytest.mark.parametrize("replacing", ["server._clients = set()", "server._clients = None", "del server._clients"])
def test_the_clients_are_replaced_while_they_are_searched(replacing: str) -> None:
    if "del" in replacing and not compat.compiled():
        pytest.skip("only a field is None after it was deleted")
    done = subprocess.run(
        [sys.executable, "-c", REPLACES.format(replacing=replacing)],
        env={**os.environ, "PYTHONMALLOC": "debug"},  # what is freed is no memory to go on with
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "done\n", done.stderr
    assert done.returncode == 0


@compiled_only
@pytest.mark.parametrize("value", [3, [], frozenset()])
def test_the_clients_are_a_set(value: Any) -> None:
    async def main() -> None:
        async with await hasten.get_running_loop().create_server(Echo, LOCAL, 0) as server:
            with pytest.raises(TypeError, match="set"):
                server._clients = value  # type: ignore[attr-defined]
            assert await answer(server) == b"x"

    hasten.run(main())


@pytest.mark.parametrize("name", ["_context", "_protocol_factory"])
def test_an_attribute_of_a_wrong_kind_costs_the_connection(name: str) -> None:
    async def main() -> None:
        loop = hasten.get_running_loop()
        reports: list[Any] = []
        loop.set_exception_handler(lambda loop, context: reports.append(context.get("exception")))
        loop.set_debug(True)
        async with await loop.create_server(Echo, LOCAL, 0) as server:
            right = getattr(server, name)
            for wrong in (3, None, contextvars.Context):
                setattr(server, name, wrong)
                assert await answer(server) == b""
            setattr(server, name, right)
            assert await answer(server) == b"x"
        assert [type(each) for each in reports[:2]] == [TypeError, TypeError]

    hasten.run(main())


def test_a_factory_may_run_the_loop_in_its_context() -> None:
    number = contextvars.ContextVar("number", default=0)
    seen: list[int] = []

    def factory() -> Echo:
        loop: Any = hasten.get_running_loop()
        number.set(number.get() + 1)
        loop.call_soon(lambda: seen.append(number.get()))
        loop.call_soon(number.set, 5, context=contextvars.Context())
        for _ in range(3):
            loop._run_once()
        seen.append(number.get())
        return Echo()

    async def main() -> None:
        async with await hasten.get_running_loop().create_server(factory, LOCAL, 0) as server:
            assert await answer(server) == b"x"
            assert await answer(server) == b"x"
        assert number.get() == 0

    hasten.run(main())
    assert seen == [1, 1, 1, 1]


def by_class(loop: Any, sock: socket.socket, server: Any) -> Any:
    return SocketTransport(loop, sock, Echo(), None, server)


def by_function(loop: Any, sock: socket.socket, server: Any) -> Any:
    return open_stream(loop, sock, Echo(), server=server)


def by_channel(loop: Any, sock: socket.socket, server: Any) -> Any:
    return open_channel(loop, socket_channel.hold(sock), Echo(), None, None, server, None)


@compiled_only
@pytest.mark.parametrize("make", [by_class, by_function, by_channel])
def test_what_is_no_server_is_refused(make: Callable[[Any, socket.socket, Any], Any]) -> None:
    async def main() -> None:
        for wrong in (3, [], asyncio.AbstractServer(), Server):
            ours, theirs = socket.socketpair()
            with ours, theirs:
                ours.setblocking(False)
                with pytest.raises(TypeError, match="server"):
                    make(hasten.get_running_loop(), ours, wrong)
                ours.send(b"still open")
                assert theirs.recv(100) == b"still open"

    hasten.run(main())


def test_a_listener_needs_a_server() -> None:
    async def main() -> None:
        loop: Any = hasten.get_running_loop()
        async with await loop.create_server(Echo, LOCAL, 0) as server:
            listener, sock = server._listeners[0], server._sockets[0]
            for wrong in (None, 3, asyncio.AbstractServer()):
                with pytest.raises(TypeError, match="server"):
                    Listener(loop, wrong, sock)
                with pytest.raises(TypeError, match="server"):
                    listener.__init__(loop, wrong, sock)
            assert await answer(server) == b"x"

    hasten.run(main())
