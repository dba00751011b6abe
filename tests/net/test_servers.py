from __future__ import annotations

import asyncio
import contextvars
import errno
import logging
import os
import socket
import struct
from typing import Any

import pytest

from hasten.net import listening

from ..worlds import until

LOCAL = "127.0.0.1"


class Echo(asyncio.Protocol):
    """Sends back what it gets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


class Peers:
    """Makes Echo protocols and remembers them."""

    def __init__(self) -> None:
        self.made: list[Echo] = []

    def __call__(self) -> Echo:
        self.made.append(Echo())
        return self.made[-1]

    async def connected(self, count: int) -> None:
        await until(lambda: len(self.made) == count and all(hasattr(each, "transport") for each in self.made))


def address(server: asyncio.Server) -> Any:
    return server.sockets[0].getsockname()


async def talk(where: Any, data: bytes = b"hello") -> bytes:
    """What the server at *where* answers to *data*; ``b""`` if it closes the connection instead."""
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setblocking(False)
        await loop.sock_connect(client, where)
        await loop.sock_sendall(client, data)
        try:
            return await loop.sock_recv(client, 1000)
        except ConnectionResetError:
            return b""


async def finish(server: asyncio.Server) -> None:
    server.close()
    await asyncio.wait_for(server.wait_closed(), 30)


def test_serves_on_one_host(run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, LOCAL, 0)
        assert isinstance(server, asyncio.AbstractServer)
        assert server.is_serving()
        assert server.get_loop() is loop
        (listening,) = server.sockets
        assert isinstance(listening, asyncio.trsock.TransportSocket)
        assert repr(server) == f"<Server sockets={server.sockets!r}>"
        assert await talk(address(server)) == b"hello"
        await finish(server)
        assert server.sockets == ()
        assert not server.is_serving()
        assert listening.fileno() == -1

    run(main())


def test_serves_on_several_hosts(run) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Echo, [LOCAL, "127.0.0.2", "127.0.0.1"], 0)
        where = [sock.getsockname() for sock in server.sockets]
        assert sorted(host for host, port in where) == ["127.0.0.1", "127.0.0.2"]
        assert [await talk(each) for each in where] == [b"hello"] * 2
        await finish(server)

    run(main())


@pytest.mark.parametrize("host", [None, ""])
def test_serves_on_every_interface(run, host) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Echo, host, 0)
        kinds = {sock.family: sock for sock in server.sockets}
        assert kinds[socket.AF_INET].getsockname()[0] == "0.0.0.0"
        if socket.AF_INET6 in kinds:
            assert kinds[socket.AF_INET6].getsockname()[0] == "::"
            assert kinds[socket.AF_INET6].getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        assert await talk((LOCAL, kinds[socket.AF_INET].getsockname()[1])) == b"hello"
        await finish(server)

    run(main())


@pytest.mark.parametrize("proto", [0, socket.IPPROTO_TCP])
def test_serves_on_a_bound_socket(run, proto) -> None:
    async def main() -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, proto)
        sock.bind((LOCAL, 0))
        server = await asyncio.get_running_loop().create_server(Echo, sock=sock)
        assert sock.gettimeout() == 0
        assert await talk(sock.getsockname()) == b"hello"
        await finish(server)
        assert sock.fileno() == -1

    run(main())


def test_small_answers_are_not_delayed(run) -> None:
    run(expect_no_delay(socket.IPPROTO_TCP))


@pytest.mark.ours("asyncio sets TCP_NODELAY only where the socket names its protocol")
def test_small_answers_are_not_delayed_on_sockets_bound_elsewhere(run) -> None:
    run(expect_no_delay(0))  # which is what uvicorn and others pass in


async def expect_no_delay(proto: int) -> None:
    peers = Peers()
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, proto)
    sock.bind((LOCAL, 0))
    server = await asyncio.get_running_loop().create_server(peers, sock=sock)
    assert await talk(address(server)) == b"hello"
    conn = peers.made[0].transport.get_extra_info("socket")
    assert conn.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    await finish(server)


def test_accepts_many_at_once(run) -> None:
    async def main() -> None:
        peers = Peers()
        server = await asyncio.get_running_loop().create_server(peers, LOCAL, 0, backlog=100)
        clients = [socket.create_connection(address(server)) for _ in range(60)]
        await peers.connected(60)
        names = {each.transport.get_extra_info("peername") for each in peers.made}
        assert names == {client.getsockname() for client in clients}
        for client in clients:
            client.close()
        await finish(server)

    run(main())


def test_a_short_queue_serves_one_after_the_other(run) -> None:
    run(expect_three(1))


@pytest.mark.ours("asyncio accepts as many at once as the queue holds: none")
def test_a_queue_of_none_serves_one_after_the_other(run) -> None:
    run(expect_three(0))


async def expect_three(backlog: int) -> None:
    server = await asyncio.get_running_loop().create_server(Echo, LOCAL, 0, backlog=backlog)
    for number in (b"1", b"2", b"3"):
        assert await talk(address(server), number) == number
    await finish(server)


def test_starts_serving_when_told(run) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Echo, LOCAL, 0, start_serving=False)
        assert not server.is_serving()
        with pytest.raises(ConnectionRefusedError):
            await talk(address(server))
        await server.start_serving()
        await server.start_serving()
        assert server.is_serving()
        assert await talk(address(server)) == b"hello"
        await finish(server)

    run(main())


@pytest.mark.ours("asyncio fails with TypeError: 'NoneType' object is not iterable")
def test_a_closed_server_does_not_start(run) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Echo, LOCAL, 0)
        await finish(server)
        with pytest.raises(RuntimeError, match=r"server <Server sockets=\(\)> is closed"):
            await server.start_serving()

    run(main())


def test_serve_forever(run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, LOCAL, 0, start_serving=False)
        task = loop.create_task(server.serve_forever())
        await until(server.is_serving)
        assert await talk(address(server)) == b"hello"
        with pytest.raises(RuntimeError, match=r"is already being awaited on serve_forever\(\)"):
            await server.serve_forever()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not server.is_serving()
        with pytest.raises(RuntimeError, match="is closed"):
            await server.serve_forever()

    run(main())


def test_closing_ends_serve_forever(run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, LOCAL, 0)
        task = loop.create_task(server.serve_forever())
        await asyncio.sleep(0)
        await finish(server)
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


@pytest.mark.stdlib_since(3, 15)
def test_serve_forever_cancelled_closes_its_clients(run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        peers = Peers()
        server = await loop.create_server(peers, LOCAL, 0)
        task = loop.create_task(server.serve_forever())
        with socket.create_connection(address(server)) as client:
            await peers.connected(1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert client.recv(1) == b""

    run(main())


def test_async_with(run) -> None:
    async def main() -> None:
        async with await asyncio.get_running_loop().create_server(Echo, LOCAL, 0) as server:
            assert await talk(address(server)) == b"hello"
        assert server.sockets == ()

    run(main())


@pytest.mark.stdlib_since(3, 13)
def test_wait_closed_waits_for_connections_and_for_close(run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        peers = Peers()
        server = await loop.create_server(peers, LOCAL, 0)
        open_still = loop.create_task(server.wait_closed())
        with socket.create_connection(address(server)):
            await peers.connected(1)
            server.close()
            server.close()
            closed = loop.create_task(server.wait_closed())
            for _ in range(5):
                await asyncio.sleep(0)
            assert not open_still.done()
            assert not closed.done()
        await asyncio.gather(open_still, closed)
        await server.wait_closed()

    run(main())


@pytest.mark.stdlib_since(3, 13)
def test_a_cancelled_waiter_does_not_disturb_the_others(run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, LOCAL, 0)
        first, second = (loop.create_task(server.wait_closed()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        server.close()
        await second
        with pytest.raises(asyncio.CancelledError):
            await first

    run(main())


@pytest.mark.stdlib_since(3, 13)
@pytest.mark.parametrize("how", ["close_clients", "abort_clients"])
def test_closing_the_clients(run, how) -> None:
    async def main() -> None:
        peers = Peers()
        server = await asyncio.get_running_loop().create_server(peers, LOCAL, 0)
        clients = [socket.create_connection(address(server)) for _ in range(3)]
        await peers.connected(3)
        server.close()
        getattr(server, how)()
        await asyncio.wait_for(server.wait_closed(), 30)
        for client in clients:
            with client:
                assert client.recv(1) == b""
        getattr(server, how)()

    run(main())


@pytest.mark.stdlib_since(3, 13)
def test_closing_sends_what_is_buffered_and_aborting_does_not(run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for aborting in (False, True):
            peers = Peers()
            server = await loop.create_server(peers, LOCAL, 0)
            with socket.create_connection(address(server)) as client:
                await peers.connected(1)
                size = 20_000_000
                peers.made[0].transport.write(bytes(size))
                assert peers.made[0].transport.get_write_buffer_size()
                server.close()
                (server.abort_clients if aborting else server.close_clients)()
                client.setblocking(False)
                got = 0
                while data := await loop.sock_recv(client, 1 << 20):
                    got += len(data)
                assert (got < size) if aborting else (got == size)
            await server.wait_closed()

    run(main())


def test_a_failing_factory_costs_one_connection(run, reports) -> None:
    class Picky(Peers):
        def __call__(self) -> Echo:
            if not self.made:
                self.made.append(Echo())
                raise LookupError("not the first")
            return super().__call__()

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Picky(), LOCAL, 0)
        assert await talk(address(server)) == b""
        assert await talk(address(server)) == b"hello"
        await finish(server)
        assert reports == []

    run(main())


@pytest.mark.ours("asyncio leaves the connection open in debug mode")
def test_debug_mode_reports_a_failing_factory(either_loop, run, reports) -> None:
    either_loop.set_debug(True)

    def broken() -> asyncio.Protocol:
        raise LookupError("never")

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(broken, LOCAL, 0)
        assert await talk(address(server)) == b""
        await finish(server)

    run(main())
    (told,) = reports
    assert told["message"] == "Error on transport creation for incoming connection"
    assert isinstance(told["exception"], LookupError)


@pytest.mark.stdlib_since(3, 13)
@pytest.mark.parametrize("how", ["close_clients", "abort_clients"])
def test_a_connection_closed_at_birth_is_made_and_lost(run, how) -> None:
    events: list[str] = []

    class Observer(Echo):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            events.append("made")

        def connection_lost(self, exc: Exception | None) -> None:
            events.append("lost")

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def factory() -> Observer:
            loop.call_soon(getattr(server, how))
            return Observer()

        server = await loop.create_server(factory, LOCAL, 0)
        assert await talk(address(server)) == b""
        await finish(server)
        assert events == ["made", "lost"]

    run(main())


@pytest.mark.ours("asyncio's server goes on accepting what is in the queue")
def test_a_factory_may_close_the_server(run, reports) -> None:
    async def main() -> None:
        calls = []

        def once() -> Echo:
            calls.append(1)
            server.close()
            return Echo()

        server = await asyncio.get_running_loop().create_server(once, LOCAL, 0)
        where = address(server)
        with socket.create_connection(where) as one, socket.create_connection(where) as other:
            await asyncio.wait_for(server.wait_closed(), 30)
            for client in (one, other):
                client.settimeout(30)
                try:
                    assert client.recv(1) == b""
                except ConnectionResetError:
                    pass
        assert calls == [1]
        assert reports == []

    run(main())


class Exhausted(socket.socket):
    """A listening socket whose accept() fails with ``errors`` first, one after the other."""

    errors: list[int]

    def accept(self) -> Any:
        if self.errors:
            number = self.errors.pop(0)
            raise OSError(number, os.strerror(number))
        return super().accept()


def exhausted(*errors: int) -> Exhausted:
    sock = Exhausted()
    sock.errors = list(errors)
    sock.bind((LOCAL, 0))
    return sock


@pytest.mark.ours("the pause is shortened in hasten")
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_out_of_descriptors_it_pauses_and_says_so(run, reports, monkeypatch, number) -> None:
    monkeypatch.setattr(listening, "_ACCEPT_RETRY_DELAY", 0.01)

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Echo, sock=exhausted(number, number))
        assert await talk(address(server)) == b"hello"
        assert len(reports) == 2
        assert reports[0]["message"] == "socket.accept() out of system resource"
        assert reports[0]["exception"].errno == number
        assert reports[0]["socket"].getsockname() == address(server)
        await finish(server)

    run(main())


@pytest.mark.ours("asyncio's server listens again after the pause")
def test_closed_while_pausing_it_stays_closed(run, reports, monkeypatch) -> None:
    monkeypatch.setattr(listening, "_ACCEPT_RETRY_DELAY", 0.02)

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Echo, sock=exhausted(errno.EMFILE))
        with socket.create_connection(address(server)):
            await until(lambda: len(reports) == 1)
            await finish(server)
            await asyncio.sleep(0.05)
        assert len(reports) == 1

    run(main())


@pytest.mark.ours("the pause is shortened in hasten")
def test_closed_by_the_exception_handler_when_exhausted(either_loop, run, monkeypatch) -> None:
    monkeypatch.setattr(listening, "_ACCEPT_RETRY_DELAY", 0.0)

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Echo, sock=exhausted(errno.EMFILE))
        either_loop.set_exception_handler(lambda loop, context: server.close())
        with socket.create_connection(address(server)):
            await asyncio.wait_for(server.wait_closed(), 30)
            await asyncio.sleep(0.01)

    run(main())


@pytest.mark.ours("asyncio passes over ECONNABORTED alone")
def test_connections_lost_in_the_queue_are_passed_over(run, reports) -> None:
    lost = (errno.ECONNABORTED, errno.EPROTO, errno.EHOSTUNREACH)

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Echo, sock=exhausted(*lost))
        assert await talk(address(server)) == b"hello"
        await finish(server)
        assert reports == []

    run(main())


def test_a_connection_reset_in_the_queue(run) -> None:
    async def main() -> None:
        lost: list[Exception | None] = []

        class Observer(Echo):
            def connection_lost(self, exc: Exception | None) -> None:
                lost.append(exc)

        server = await asyncio.get_running_loop().create_server(Observer, LOCAL, 0, start_serving=False)
        sock = server._sockets[0]
        sock.listen()
        with socket.create_connection(address(server)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await server.start_serving()
        await until(lambda: len(lost) == 1)
        assert await talk(address(server)) == b"hello"
        await finish(server)

    run(main())


@pytest.mark.stdlib_since(3, 15)
def test_each_connection_runs_in_a_copy_of_the_servers_context(run) -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    seen: list[tuple[str, ...]] = []

    class Observer(Echo):
        def __init__(self) -> None:
            self.at_first = variable.get()
            variable.set("factory")

        def data_received(self, data: bytes) -> None:
            before = variable.get()
            variable.set("data")
            super().data_received(data)
            seen.append((self.at_first, before))

    async def main() -> None:
        variable.set("creation")
        server = await asyncio.get_running_loop().create_server(Observer, LOCAL, 0, start_serving=False)
        variable.set("later")
        await server.start_serving()
        for _ in range(2):
            assert await talk(address(server)) == b"hello"
        await finish(server)
        assert seen == [("creation", "factory")] * 2
        assert variable.get() == "later"

    run(main())


def test_a_taken_port(run) -> None:
    async def main() -> None:
        with socket.create_server((LOCAL, 0)) as taken:
            with pytest.raises(
                OSError, match=r"error while attempting to bind on address \('127.0.0.1', \d+\): "
            ) as caught:
                await asyncio.get_running_loop().create_server(Echo, [LOCAL, "127.0.0.2"], taken.getsockname()[1])
            assert caught.value.errno == errno.EADDRINUSE

    run(main())


@pytest.mark.stdlib_since(3, 13)
def test_an_address_that_is_not_here(run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(OSError, match=r"could not bind on any address out of \[\('192\.0\.2\.1', 0\)\]"):
            await loop.create_server(Echo, "192.0.2.1", 0)
        server = await loop.create_server(Echo, ["192.0.2.1", LOCAL], 0)
        assert [sock.getsockname()[0] for sock in server.sockets] == [LOCAL]
        await finish(server)

    run(main())


def test_reuse_port(run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        one = await loop.create_server(Echo, LOCAL, 0, reuse_port=True)
        other = await loop.create_server(Echo, *address(one), reuse_port=True)
        assert address(one) == address(other)
        await finish(one)
        assert await talk(address(other)) == b"hello"
        await finish(other)

    run(main())


def test_socket_options(run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for wanted in (True, False):
            server = await loop.create_server(Echo, LOCAL, 0, reuse_address=wanted)
            assert bool(server.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)) is wanted
            await finish(server)

    run(main())


@pytest.mark.stdlib_since(3, 13)
def test_keep_alive(run) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Echo, LOCAL, 0, keep_alive=True)
        assert server.sockets[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        await finish(server)

    run(main())


def test_debug_mode_tells_what_happens(either_loop, run, caplog) -> None:
    either_loop.set_debug(True)
    caplog.set_level(logging.DEBUG, "asyncio")

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Echo, LOCAL, 0)
        assert await talk(address(server)) == b"hello"
        await finish(server)

    run(main())
    assert "is serving" in caplog.text
    assert " got a new connection from ('127.0.0.1', " in caplog.text


WRONG: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("create_server", {}, ValueError, "Neither host/port nor sock were specified"),
    ("create_server", {"host": LOCAL, "port": 0, "sock": "tcp"}, ValueError, "host/port and sock can not be specified"),
    ("create_server", {"sock": "udp"}, ValueError, "A Stream Socket was expected, got <socket"),
    ("create_server", {"port": 0, "ssl": True}, TypeError, "ssl argument must be an SSLContext or None"),
    ("create_server", {"port": 0, "ssl": False}, TypeError, "ssl argument must be an SSLContext or None"),
    ("create_server", {"port": 0, "ssl_handshake_timeout": 1}, ValueError, "ssl_handshake_timeout is only meaningful"),
    ("create_server", {"port": 0, "ssl_shutdown_timeout": 1}, ValueError, "ssl_shutdown_timeout is only meaningful"),
    ("create_server", {"host": LOCAL, "port": 70000}, OverflowError, "port must be 0-65535"),
    ("create_server", {"host": LOCAL, "port": 0, "backlog": "many"}, TypeError, "str"),
    ("create_server", {"sock": object()}, AttributeError, "object"),
    ("create_unix_server", {}, ValueError, "path was not specified, and no sock specified"),
    ("create_unix_server", {"path": "p", "sock": "unix"}, ValueError, "path and sock can not be specified"),
    ("create_unix_server", {"sock": "tcp"}, ValueError, "A UNIX Domain Stream Socket was expected, got <socket"),
    ("create_unix_server", {"path": "p", "ssl": True}, TypeError, "ssl argument must be an SSLContext or None"),
    ("create_unix_server", {"path": "p", "ssl_handshake_timeout": 1}, ValueError, "ssl_handshake_timeout is only"),
    ("create_unix_server", {"path": "p", "ssl_shutdown_timeout": 1}, ValueError, "ssl_shutdown_timeout is only"),
    ("create_unix_server", {"path": 5}, TypeError, "PathLike"),
]


@pytest.mark.parametrize(("name", "arguments", "error", "text"), WRONG)
def test_wrong_arguments(run, name, arguments, error, text) -> None:
    async def main() -> None:
        kinds = {"tcp": (), "udp": (socket.AF_INET, socket.SOCK_DGRAM), "unix": (socket.AF_UNIX,)}
        given = dict(arguments)
        sock = socket.socket(*kinds[given["sock"]]) if isinstance(given.get("sock"), str) else None
        if sock is not None:
            given["sock"] = sock
        try:
            with pytest.raises(error, match=text):
                await getattr(asyncio.get_running_loop(), name)(Echo, **given)
        finally:
            if sock is not None:
                sock.close()

    run(main())
