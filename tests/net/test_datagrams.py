"""create_datagram_endpoint: what asyncio promises of it, on hasten's loop and on asyncio's."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.net.datagrams import HOST, Recorder, echo, ended, endpoint

Run = Callable[[Any], Any]
needs_unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs unix sockets")
var: contextvars.ContextVar[int] = contextvars.ContextVar("var", default=0)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


# ---- sending and receiving -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6"))],
)
def test_datagrams_go_to_and_fro(host: str, run: Run) -> None:
    async def main() -> None:
        server, _ = await endpoint(lambda: Recorder(received=echo), local_addr=(host, 0))
        address = server.get_extra_info("sockname")
        client, protocol = await endpoint(remote_addr=address[:2])
        assert isinstance(client, asyncio.Transport)
        assert client.get_extra_info("peername") == address
        assert server.get_extra_info("peername") is None
        sent = [b"%d" % i for i in range(50)]
        for data in sent:
            client.sendto(data)
        await protocol.until(lambda: len(protocol.got) == len(sent))
        assert protocol.got == [(data, address) for data in sent]
        assert {addr for _, addr in server.get_protocol().got} == {client.get_extra_info("sockname")}
        await ended(server, client)

    run(main())


@pytest.mark.stdlib_since(3, 12)
def test_what_it_is(run: Run) -> None:
    async def main() -> None:
        server, _ = await endpoint(local_addr=HOST)
        assert isinstance(server, asyncio.DatagramTransport)
        await ended(server)

    run(main())


def test_the_addresses_of_many_peers(run: Run) -> None:
    async def main() -> None:
        server, protocol = await endpoint(lambda: Recorder(received=echo), local_addr=HOST)
        address = server.get_extra_info("sockname")
        with contextlib.ExitStack() as stack:
            peers = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(200)]
            for _ in range(3):
                for peer in peers:
                    peer.settimeout(20)
                    peer.sendto(b"%d" % peer.fileno(), address)
                    await protocol.until(lambda: protocol.got)
                    assert protocol.got == [(b"%d" % peer.fileno(), ("127.0.0.1", peer.getsockname()[1]))]
                    protocol.got.clear()
                    assert await asyncio.to_thread(peer.recvfrom, 100) == (b"%d" % peer.fileno(), address)
        await ended(server)

    run(main())


@pytest.mark.parametrize("kind", [bytearray, memoryview, lambda data: memoryview(data + b"..")[: len(data)]])
def test_what_is_sent_is_what_it_was(kind: Callable[[Any], Any], run: Run) -> None:
    async def main() -> None:
        server, protocol = await endpoint(local_addr=HOST)
        client, _ = await endpoint(remote_addr=server.get_extra_info("sockname"))
        data = bytearray(b"abc")
        client.sendto(kind(data))
        data[:] = b"xyz"
        await protocol.until(lambda: protocol.got)
        assert protocol.got[0][0] == b"abc"
        assert type(protocol.got[0][0]) is bytes
        await ended(server, client)

    run(main())


@pytest.mark.stdlib_since(3, 13)
def test_an_empty_datagram(run: Run) -> None:
    async def main() -> None:
        server, protocol = await endpoint(local_addr=HOST)
        client, _ = await endpoint(remote_addr=server.get_extra_info("sockname"))
        client.sendto(b"")
        client.sendto(b"x")
        client.sendto(bytearray())
        await protocol.until(lambda: len(protocol.got) == 3)
        assert [data for data, _ in protocol.got] == [b"", b"x", b""]
        await ended(server, client)

    run(main())


def test_the_largest_datagram(run: Run) -> None:
    async def main() -> None:
        server, protocol = await endpoint(local_addr=HOST)
        client, _ = await endpoint(remote_addr=server.get_extra_info("sockname"))
        data = os.urandom(65507)
        client.sendto(data)
        await protocol.until(lambda: protocol.got)
        assert protocol.got[0][0] == data
        await ended(server, client)

    run(main())


def test_a_host_name_as_address(run: Run) -> None:
    async def main() -> None:
        server, protocol = await endpoint(local_addr=HOST)
        client, _ = await endpoint(local_addr=HOST)
        port = server.get_extra_info("sockname")[1]
        client.sendto(b"number", ("127.0.0.1", port))
        client.sendto(b"name", ("localhost", port))
        client.sendto(b"number", ("127.0.0.1", port))
        await protocol.until(lambda: len(protocol.got) == 3)
        assert [data for data, _ in protocol.got] == [b"number", b"name", b"number"]
        await ended(server, client)

    run(main())


def test_broadcast_leaves_the_socket_unconnected(run: Run) -> None:
    async def main() -> None:
        server, _ = await endpoint(local_addr=HOST)
        address = server.get_extra_info("sockname")
        client, protocol = await endpoint(local_addr=HOST, remote_addr=address, allow_broadcast=True)
        assert client.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
        assert client.get_extra_info("peername") is None
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(b"from elsewhere", client.get_extra_info("sockname"))
            await protocol.until(lambda: protocol.got)
        client.sendto(b"x")
        client.sendto(b"y", address)
        seen = server.get_protocol()
        await seen.until(lambda: len(seen.got) == 2)
        with pytest.raises(ValueError, match="must be None or"):
            client.sendto(b"x", ("127.0.0.1", 1))
        await ended(server, client)

    run(main())


@pytest.mark.skipif(sys.platform != "linux", reason="the loopback interface takes part in multicast on Linux only")
def test_multicast(run: Run) -> None:
    group = "239.255.77.77"

    async def main() -> None:
        server, protocol = await endpoint(local_addr=("0.0.0.0", 0))
        sock = server.get_extra_info("socket")
        membership = socket.inet_aton(group) + socket.inet_aton("127.0.0.1")
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        client, _ = await endpoint(local_addr=HOST)
        own = client.get_extra_info("socket")
        own.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        client.sendto(b"all", (group, sock.getsockname()[1]))
        await protocol.until(lambda: protocol.got)
        assert protocol.got == [(b"all", own.getsockname())]
        await ended(server, client)

    run(main())


# ---- unix sockets --------------------------------------------------------------------------------


@needs_unix
def test_unix_sockets_by_their_paths(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        here, there = str(tmp_path / "a"), str(tmp_path / "b")
        for _ in range(2):  # the second time, the files of the first are there
            server, _ = await endpoint(lambda: Recorder(received=echo), local_addr=there, family=socket.AF_UNIX)
            client, protocol = await endpoint(local_addr=here, remote_addr=there, family=socket.AF_UNIX)
            client.sendto(b"x")
            await protocol.until(lambda: protocol.got)
            assert protocol.got == [(b"x", there)]
            assert server.get_protocol().got == [(b"x", here)]
            await ended(server, client)

    run(main())


@needs_unix
def test_a_unix_socket_without_a_name(tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        path = str(tmp_path / "a")
        server, protocol = await endpoint(local_addr=path, family=socket.AF_UNIX)
        client, _ = await endpoint(family=socket.AF_UNIX)
        client.sendto(b"x", path)
        await protocol.until(lambda: protocol.got)
        assert protocol.got == [(b"x", None)]
        await ended(server, client)

    run(main())


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
def test_an_abstract_name(run: Run) -> None:
    async def main() -> None:
        name = f"\0hasten-datagrams-{os.getpid()}"
        server, _ = await endpoint(lambda: Recorder(received=echo), local_addr=name, family=socket.AF_UNIX)
        client, protocol = await endpoint(remote_addr=name, local_addr=name + "-2", family=socket.AF_UNIX)
        client.sendto(b"x")
        await protocol.until(lambda: protocol.got)
        assert protocol.got == [(b"x", name.encode())]
        await ended(server, client)

    run(main())


@needs_unix
def test_a_peer_that_reads_slowly(tmp_path: Path, run: Run) -> None:
    """The kernel keeps few datagrams for a unix socket: the others wait, the protocol is paused, none is lost."""

    async def main() -> None:
        path = str(tmp_path / "a")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.bind(path)
            peer.settimeout(20)
            client, protocol = await endpoint(remote_addr=path, family=socket.AF_UNIX)
            client.set_write_buffer_limits(high=3000, low=1000)
            sent = 0
            while "pause" not in protocol.log:
                client.sendto(b"%04d" % sent + b"." * 96)
                sent += 1
                if sent % 10 == 0:
                    await asyncio.sleep(0)
            assert client.get_write_buffer_size() > 3000
            for i in range(sent):
                data = await asyncio.to_thread(peer.recv, 1000)
                assert data[:4] == b"%04d" % i
            await protocol.until(lambda: protocol.log.count("resume") == 1)
            client.sendto(b"x")
            assert await asyncio.to_thread(peer.recv, 1000) == b"x"
            await ended(client)
            assert protocol.log == ["made", "pause", "resume", "lost"]

    run(main())


@needs_unix
@pytest.mark.parametrize("way", ["close", "abort"])
def test_the_end_of_an_endpoint_that_has_something_to_send(way: str, tmp_path: Path, run: Run) -> None:
    async def main() -> None:
        path = str(tmp_path / "a")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as peer:
            peer.bind(path)
            peer.settimeout(20)
            client, protocol = await endpoint(remote_addr=path, family=socket.AF_UNIX)
            count = 0
            while not client.get_write_buffer_size():
                client.sendto(b"%d" % count)
                count += 1
            getattr(client, way)()
            assert client.is_closing()
            if way == "close":
                for i in range(count):
                    assert await asyncio.to_thread(peer.recv, 1000) == b"%d" % i
            assert await protocol.lost is None

    run(main())


# ---- errors --------------------------------------------------------------------------------------


def test_a_refusal_is_told_and_ends_nothing(run: Run) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(HOST)
            address = peer.getsockname()
        client, protocol = await endpoint(remote_addr=address)
        client.sendto(b"x")
        await protocol.until(lambda: protocol.errors)
        assert isinstance(protocol.errors[0], ConnectionRefusedError)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(address)
            peer.settimeout(20)
            client.sendto(b"y")
            assert await asyncio.to_thread(peer.recv, 10) == b"y"
            peer.sendto(b"z", client.get_extra_info("sockname"))
            await protocol.until(lambda: protocol.got)
        assert protocol.got == [(b"z", address)]
        await ended(client)

    run(main())


def test_one_that_is_too_long_is_told_and_the_others_arrive(run: Run) -> None:
    async def main() -> None:
        server, seen = await endpoint(local_addr=HOST)
        client, protocol = await endpoint(remote_addr=server.get_extra_info("sockname"))
        client.sendto(b"a")
        client.sendto(bytes(70000))
        client.sendto(b"b")
        client.sendto(bytes(70000))
        client.sendto(b"c")
        await seen.until(lambda: len(seen.got) == 3)
        await protocol.until(lambda: len(protocol.errors) == 2)
        assert [data for data, _ in seen.got] == [b"a", b"b", b"c"]
        assert all(isinstance(exc, OSError) for exc in protocol.errors)
        await ended(server, client)

    run(main())


def test_an_address_that_is_missing_ends_the_transport(run: Run, reports: list[dict[str, Any]]) -> None:
    async def main() -> None:
        client, protocol = await endpoint(local_addr=HOST)
        client.sendto(b"x")
        assert isinstance(await protocol.lost, TypeError)
        assert reports[0]["transport"] is client

    run(main())


def test_what_is_no_data(run: Run) -> None:
    async def main() -> None:
        client, _ = await endpoint(local_addr=HOST)
        for data in "text", 5, None, [b"x"]:
            with pytest.raises(TypeError, match="bytes-like"):
                client.sendto(data, ("127.0.0.1", 9))
        await ended(client)

    run(main())


@pytest.mark.parametrize("method", ["received", "error"])
def test_what_the_protocol_raises_is_reported(method: str, run: Run, reports: list[dict[str, Any]]) -> None:
    def fail(*args: Any) -> None:
        raise LookupError("own")

    async def main() -> None:
        on: dict[str, Any] = {method: fail}
        server, _ = await endpoint(lambda: Recorder(received=echo), local_addr=HOST)
        address = server.get_extra_info("sockname")
        client, protocol = await endpoint(lambda: Recorder(**on), remote_addr=address)
        if method == "error":
            await ended(server)
            client.sendto(b"x")
            await protocol.until(lambda: protocol.errors)
            server, _ = await endpoint(lambda: Recorder(received=echo), local_addr=address)
        client.sendto(b"a")
        await protocol.until(lambda: len(protocol.got) == 1)
        client.sendto(b"b")
        await protocol.until(lambda: len(protocol.got) == 2)
        await asyncio.sleep(0)
        assert all(isinstance(told["exception"], LookupError) for told in reports)
        assert len(reports) == (2 if method == "received" else 1)
        await ended(server, client)

    run(main())


def test_nothing_is_delivered_once_it_is_closed(run: Run) -> None:
    async def main() -> None:
        def close(protocol: Recorder, data: bytes, addr: Any) -> None:
            protocol.transport.close()

        server, protocol = await endpoint(lambda: Recorder(received=close), local_addr=HOST)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for i in range(10):
                peer.sendto(b"%d" % i, server.get_extra_info("sockname"))
            assert await protocol.lost is None
        assert [data for data, _ in protocol.got] == [b"0"]
        server.close()
        server.abort()

    run(main())


# ---- pausing -------------------------------------------------------------------------------------


def test_one_that_is_paused_gets_nothing_until_it_goes_on(run: Run, settle: Any) -> None:
    async def main() -> None:
        server, protocol = await endpoint(local_addr=HOST)
        assert server.is_reading()
        server.pause_reading()
        server.pause_reading()
        assert not server.is_reading()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for i in range(100):
                peer.sendto(b"%d" % i, server.get_extra_info("sockname"))
            await settle()
            assert protocol.got == []
            server.resume_reading()
            server.resume_reading()
            assert server.is_reading()
            await protocol.until(lambda: len(protocol.got) == 100)
            assert protocol.data == [b"%d" % i for i in range(100)]
            server.pause_reading()
            peer.sendto(b"x", server.get_extra_info("sockname"))
            await settle()
        await ended(server)
        assert not server.is_reading()
        server.resume_reading()
        await settle()
        assert len(protocol.got) == 100

    run(main())


def test_one_that_pauses_after_each(run: Run, settle: Any) -> None:
    """What was received together with the one that it pauses at comes when it goes on."""

    async def main() -> None:
        pause = lambda self, *_: self.transport.pause_reading()  # noqa: E731
        server, protocol = await endpoint(lambda: Recorder(received=pause), local_addr=HOST)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for i in range(5):
                peer.sendto(b"%d" % i, server.get_extra_info("sockname"))
        for i in range(5):
            await protocol.until(lambda: len(protocol.got) == i + 1)
            await settle()
            assert protocol.data == [b"%d" % j for j in range(i + 1)]
            server.resume_reading()
        await ended(server)

    run(main())


def test_one_that_is_paused_from_the_beginning(run: Run, settle: Any) -> None:
    async def main() -> None:
        pause = lambda self: self.transport.pause_reading()  # noqa: E731
        server, protocol = await endpoint(lambda: Recorder(made=pause), local_addr=HOST)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.sendto(b"x", server.get_extra_info("sockname"))
        await settle()
        assert protocol.got == []
        server.resume_reading()
        await protocol.until(lambda: protocol.got)
        await ended(server)

    run(main())


@pytest.mark.ours("asyncio has no socket any more, and reports the AttributeError")
def test_to_send_after_the_end(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        client, protocol = await endpoint(local_addr=HOST)
        client.close()
        client.sendto(b"x", ("127.0.0.1", 9))
        await protocol.lost
        for _ in range(6):
            client.sendto(b"x", ("127.0.0.1", 9))

    run(main())
    assert "socket.send() raised exception" in caplog.text


# ---- making one ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, ValueError),
        ({"local_addr": "127.0.0.1"}, TypeError),
        ({"local_addr": ("127.0.0.1", 1, 2)}, TypeError),
        ({"remote_addr": ["127.0.0.1", 1]}, TypeError),
        ({"local_addr": ("127.0.0.1", 0), "remote_addr": ("::1", 1)}, ValueError),
        ({"local_addr": ("127.0.0.1", 0), "family": getattr(socket, "AF_UNIX", 1)}, TypeError),
        ({"local_addr": ("203.0.113.1", 1)}, OSError),
    ],
)
def test_arguments_that_do_not_fit(options: dict[str, Any], error: type[Exception], run: Run) -> None:
    async def main() -> None:
        with pytest.raises(error):
            await endpoint(**options)

    run(main())


def test_own_sockets(run: Run) -> None:
    async def main() -> None:
        stream = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        with stream, pytest.raises(ValueError, match="[Ss]ocket was expected"):
            await endpoint(sock=stream)
        server, seen = await endpoint(local_addr=HOST)
        address = server.get_extra_info("sockname")
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        options = [{"local_addr": HOST}, {"remote_addr": address}, {"family": 1}, {"proto": 1}, {"flags": 1}]
        options += [{"reuse_port": True}, {"allow_broadcast": True}]
        for option in options:
            with pytest.raises(ValueError, match=next(iter(option))):
                await endpoint(sock=sock, **option)
        sock.connect(address)
        client, _ = await endpoint(sock=sock)
        assert client.get_extra_info("peername") == address
        assert sock.gettimeout() == 0
        client.sendto(b"x")
        client.sendto(b"y", ("127.0.0.1", 9))  # not looked at: the socket is connected
        await seen.until(lambda: len(seen.got) == 2)
        await ended(server, client)
        assert sock.fileno() == -1

    run(main())


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="this system has no SO_REUSEPORT")
def test_two_share_a_port(run: Run) -> None:
    async def main() -> None:
        one, _ = await endpoint(local_addr=HOST, reuse_port=True)
        address = one.get_extra_info("sockname")
        two, _ = await endpoint(local_addr=address, reuse_port=True)
        with pytest.raises(OSError):
            await endpoint(local_addr=address)
        await ended(one, two)

    run(main())


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[socket.socket]:
    """The sockets that are made."""
    sockets: list[socket.socket] = []

    class Noted(socket.socket):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            sockets.append(self)

    monkeypatch.setattr(socket, "socket", Noted)
    return sockets


@pytest.mark.parametrize("cancelled", [True, False])
def test_no_socket_is_left_where_it_fails(cancelled: bool, made: list[socket.socket], run: Run) -> None:
    async def no_connect(sock: Any, address: Any) -> None:
        raise LookupError("own")

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        if not cancelled:
            loop.sock_connect = no_connect
        made.clear()
        task = asyncio.ensure_future(endpoint(remote_addr=("127.0.0.1", 9)))
        if cancelled:
            while not made:
                await asyncio.sleep(0)
            task.cancel()
        with pytest.raises(asyncio.CancelledError if cancelled else LookupError):
            await task
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [sock.fileno() for sock in made] == [-1]

    run(main())


@pytest.mark.ours("asyncio leaves it to the collector")
def test_no_socket_is_left_without_a_protocol(made: list[socket.socket], run: Run) -> None:
    def refuse() -> Any:
        raise LookupError("own")

    async def main() -> None:
        for factory, error in ((refuse, LookupError), (object, AttributeError)):
            made.clear()
            with pytest.raises(error):
                await endpoint(factory, local_addr=HOST)
            assert [sock.fileno() for sock in made] == [-1]

    run(main())


@pytest.mark.ours("asyncio's streams have one context since 3.15, its datagrams a new one for each callback")
def test_the_protocol_has_one_context(run: Run) -> None:
    async def main() -> None:
        seen: list[int] = []
        protocol = lambda: Recorder(  # noqa: E731
            made=lambda self: var.set(7),
            received=lambda *_: seen.append(var.get()),
            lost=lambda *_: seen.append(var.get()),
        )
        server, recorder = await endpoint(protocol, local_addr=HOST)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.sendto(b"x", server.get_extra_info("sockname"))
            await recorder.until(lambda: recorder.got)
        await ended(server)
        assert seen == [7, 7]
        assert var.get() == 0

    run(main())


def test_another_protocol(run: Run) -> None:
    async def main() -> None:
        server, first = await endpoint(local_addr=HOST)
        second = Recorder()
        server.set_protocol(second)
        assert server.get_protocol() is second
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.sendto(b"x", server.get_extra_info("sockname"))
            await second.until(lambda: second.got)
        assert first.log == ["made"]
        await ended(server)

    run(main())


def test_one_that_nobody_closed(run: Run) -> None:
    async def main() -> None:
        server, _ = await endpoint(local_addr=HOST)
        assert "fd=" in repr(server)
        server.get_extra_info("socket")
        with pytest.warns(ResourceWarning, match="unclosed transport"):
            server.__del__()
        server.abort()
        assert "clos" in repr(server)

    run(main())
