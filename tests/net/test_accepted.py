"""What an accepted connection tells of itself: names and socket, while it lives and after it; hasten's as asyncio's."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

LOCAL = "127.0.0.1"


class Peer(asyncio.Protocol):
    """Keeps its transport, and tells of the beginning and the end."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.made: asyncio.Future[Any] = loop.create_future()
        self.lost: asyncio.Future[Any] = loop.create_future()

    def connection_made(self, transport: Any) -> None:
        self.made.set_result(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


class Accepting:
    """A server whose connections are looked at one after the other."""

    def __init__(self, family: int, address: Any, listener: socket.socket | None = None) -> None:
        self.family = family
        self.sock = listener or socket.socket(family, socket.SOCK_STREAM)
        self.sock.bind(address)
        self.peers: asyncio.Queue[Peer] = asyncio.Queue()

    def factory(self) -> Peer:
        peer = Peer()
        self.peers.put_nowait(peer)
        return peer

    async def __aenter__(self) -> Accepting:
        self.server = await asyncio.get_running_loop().create_server(self.factory, sock=self.sock)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.server.close()
        await self.server.wait_closed()

    async def connect(self, bind_to: Any = None) -> tuple[socket.socket, Peer, Any]:
        """The client's socket, and the protocol and transport that serve it."""
        client = socket.socket(self.family, socket.SOCK_STREAM)
        if bind_to is not None:
            client.bind(bind_to)
        client.connect(self.sock.getsockname())
        peer = await self.peers.get()
        return client, peer, await peer.made


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


def families() -> list[Any]:
    v6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
    linux = pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
    return [
        pytest.param(socket.AF_INET, (LOCAL, 0), None, id="ipv4"),
        pytest.param(socket.AF_INET6, ("::1", 0), None, id="ipv6", marks=v6),
        pytest.param(socket.AF_UNIX, "server", None, id="unix-unnamed"),
        pytest.param(socket.AF_UNIX, "server", "client-é", id="unix"),
        pytest.param(socket.AF_UNIX, b"\0server-%d", b"\0client-%d", id="unix-abstract", marks=linux),
    ]


def place(name: Any, folder: Path) -> Any:
    if isinstance(name, bytes):
        return name % os.getpid()
    return str(folder / name) if isinstance(name, str) else name


@pytest.mark.parametrize(("family", "name", "client_name"), families())
@pytest.mark.parametrize("asked", ["alive", "after"])
def test_names(run: Any, unix_path: str, family: int, name: Any, client_name: Any, asked: str) -> None:
    folder = Path(unix_path).parent

    async def main() -> None:
        async with Accepting(family, place(name, folder)) as accepting:
            client, peer, transport = await accepting.connect(place(client_name, folder))
            ours, theirs = client.getpeername(), client.getsockname()
            if asked == "after":
                client.close()
                await peer.lost
                await asyncio.sleep(0)
            assert transport.get_extra_info("peername") == theirs
            assert transport.get_extra_info("peername") is transport.get_extra_info("peername")
            assert transport.get_extra_info("sockname") == ours
            assert transport.get_extra_info("sockname") == ours
            client.close()
            await peer.lost

    run(main())


def test_the_socket_object(run: Any) -> None:
    async def main() -> None:
        async with Accepting(socket.AF_INET, (LOCAL, 0)) as accepting:
            client, peer, transport = await accepting.connect()
            sock = transport.get_extra_info("socket")
            assert isinstance(sock, asyncio.trsock.TransportSocket)
            assert sock is transport.get_extra_info("socket")
            assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
            assert (sock.getsockname(), sock.getpeername()) == (client.getpeername(), client.getsockname())
            assert sock.gettimeout() == 0
            assert not os.get_inheritable(sock.fileno())
            assert not os.get_blocking(sock.fileno())
            client.send(b"x")
            client.close()
            await peer.lost
            await asyncio.sleep(0)
            assert sock.fileno() == -1
            assert transport.get_extra_info("socket") is sock

    run(main())


def test_get_extra_info_of_asyncio_replaced(run: Any) -> None:
    """As tests do it, on asyncio's class, by a mock or by something that calls the original."""
    stock = asyncio.Transport.get_extra_info

    def wrapper(self: Any, name: str, default: Any = None) -> Any:
        return "wrapped", stock(self, name, default)

    async def main() -> None:
        async with Accepting(socket.AF_INET, (LOCAL, 0)) as accepting:
            client, peer, transport = await accepting.connect()
            with mock.patch("asyncio.Transport.get_extra_info", return_value="mocked") as mocked:
                assert transport.get_extra_info("sockname") == "mocked"
                mocked.assert_called_once_with("sockname")
            with mock.patch("asyncio.Transport.get_extra_info", wrapper):
                assert transport.get_extra_info("peername") == ("wrapped", client.getsockname())
                assert transport.get_extra_info("sockname") == ("wrapped", client.getpeername())
                assert transport.get_extra_info("socket")[1].fileno() > 0
                assert transport.get_extra_info("nothing", 5) == ("wrapped", 5)
            assert transport.get_extra_info("peername") == client.getsockname()
            client.close()
            await peer.lost

    run(main())


def test_the_socket_object_asked_for_after_the_end(run: Any) -> None:
    async def main() -> None:
        async with Accepting(socket.AF_INET, (LOCAL, 0)) as accepting:
            client, peer, transport = await accepting.connect()
            client.close()
            await peer.lost
            await asyncio.sleep(0)
            sock = transport.get_extra_info("socket", "none")
            assert sock.fileno() == -1
            assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
            with pytest.raises(OSError, match="Bad file descriptor"):
                sock.getsockname()

    run(main())


def test_an_accept_of_their_own_is_called(run: Any) -> None:
    class Counting(socket.socket):
        taken = 0

        def accept(self) -> Any:
            pair = super().accept()
            Counting.taken += 1
            return pair

    async def main() -> None:
        async with Accepting(socket.AF_INET, (LOCAL, 0), Counting()) as accepting:
            for _ in range(3):
                client, peer, transport = await accepting.connect()
                assert transport.get_extra_info("peername") == client.getsockname()
                client.close()
                await peer.lost
        assert Counting.taken == 3

    run(main())


def test_what_is_written_at_once_is_sent_before_the_end(run: Any) -> None:
    """connection_made() writes more than fits, and closes: reading has not begun by then."""

    class Brief(Peer):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
            transport.write(bytes(1_000_000))
            transport.close()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Brief, LOCAL, 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert len(await reader.read()) == 1_000_000
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.ours("asyncio's versions differ")
def test_a_transport_that_is_forgotten_is_found_out(either_loop: Any) -> None:
    async def main() -> socket.socket:
        accepting = await Accepting(socket.AF_INET, (LOCAL, 0)).__aenter__()
        client, _, _ = await accepting.connect()
        accepting.server.close()
        return client

    client = either_loop.run_until_complete(main())
    either_loop.close()
    with client, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.collect()
        assert client.recv(1) == b""
    assert any("unclosed transport" in str(each.message) for each in caught)
