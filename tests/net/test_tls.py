from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import pytest

import hasten

LOCAL = "127.0.0.1"


class Echo(asyncio.Protocol):
    """Sends back what it gets; ``lost`` says how it ended."""

    def __init__(self) -> None:
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


def address(server: asyncio.Server) -> Any:
    return server.sockets[0].getsockname()


async def finish(server: asyncio.Server) -> None:
    server.close()
    await asyncio.wait_for(server.wait_closed(), 30)


async def talk(certificates: Any, where: Any, data: bytes = b"hello", **options: Any) -> bytes:
    """What the TLS server at *where* sends back of *data*."""
    options.setdefault("server_hostname", "a.example")
    options.setdefault("ssl", certificates.client)
    if isinstance(where, str):
        reader, writer = await asyncio.open_unix_connection(where, **options)
    else:
        reader, writer = await asyncio.open_connection(*where, **options)
    try:
        writer.write(data)
        return await reader.readexactly(len(data))
    finally:
        writer.close()
        await writer.wait_closed()


def test_echo(run, certificates) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, LOCAL, 0, ssl=certificates.server)
        assert server._ssl_context is certificates.server
        for options in ({}, {"server_hostname": None}, {"happy_eyeballs_delay": 1}, {"ssl_handshake_timeout": 30.0}):
            assert await talk(certificates, address(server), **options) == b"hello"
        big = bytes(range(256)) * 8000
        assert await talk(certificates, address(server), big) == big
        await finish(server)

    run(main())


def test_what_the_transport_tells(run, certificates) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, LOCAL, 0, ssl=certificates.server)
        transport, protocol = await loop.create_connection(
            Echo, *address(server), ssl=certificates.client, server_hostname="a.example"
        )
        assert isinstance(transport, asyncio.Transport)
        assert protocol.transport is transport
        assert transport.get_extra_info("peername") == address(server)
        assert transport.get_extra_info("sslcontext") is certificates.client
        assert ("DNS", "a.example") in transport.get_extra_info("peercert")["subjectAltName"]
        assert isinstance(transport.get_extra_info("ssl_object"), ssl.SSLObject)
        assert transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        transport.close()
        assert await protocol.lost is None
        await finish(server)

    run(main())


def test_over_unix_sockets(run, certificates, unix_path) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_unix_server(Echo, unix_path, ssl=certificates.server)
        assert await talk(certificates, unix_path) == b"hello"
        await finish(server)

    run(main())


def test_on_sockets_made_elsewhere(run, certificates) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        one, other = socket.socketpair()
        serving = loop.create_task(loop.connect_accepted_socket(Echo, one, ssl=certificates.server))
        reader, writer = await asyncio.open_connection(sock=other, ssl=certificates.client, server_hostname="a.example")
        _, protocol = await serving
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()
        await protocol.lost

    run(main())


@pytest.mark.parametrize(
    ("trusted", "hostname", "text"),
    [(True, "b.example", "Hostname mismatch|doesn't match"), (False, "a.example", "certificate verify failed")],
)
def test_a_certificate_that_does_not_verify(run, certificates, reports, trusted, hostname, text) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Echo, LOCAL, 0, ssl=certificates.server)
        context = certificates.client if trusted else certificates.stranger
        with pytest.raises(ssl.SSLCertVerificationError, match=text):
            await talk(certificates, address(server), ssl=context, server_hostname=hostname)
        assert await talk(certificates, address(server)) == b"hello"
        await finish(server)
        assert reports == []

    run(main())


def test_the_default_context_does_not_trust_strangers(run, certificates) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Echo, LOCAL, 0, ssl=certificates.server)
        with pytest.raises(ssl.SSLCertVerificationError):
            await talk(certificates, address(server), ssl=True)
        await finish(server)

    run(main())


def test_a_client_that_does_not_speak_tls(run, certificates, reports) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, LOCAL, 0, ssl=certificates.server)
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, address(server))
            await loop.sock_sendall(client, b"GET / HTTP/1.0\r\n\r\n")
            while await loop.sock_recv(client, 1000):
                pass
        assert await talk(certificates, address(server)) == b"hello"
        await finish(server)
        assert reports == []

    run(main())


def test_debug_mode_reports_a_failed_handshake(either_loop, run, certificates, reports) -> None:
    either_loop.set_debug(True)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, LOCAL, 0, ssl=certificates.server)
        with socket.create_connection(address(server)) as client:
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            while not reports:
                await asyncio.sleep(0.001)
        await finish(server)

    run(main())
    (told,) = reports
    assert told["message"] == "Error on transport creation for incoming connection"
    assert isinstance(told["exception"], ssl.SSLError)
    assert isinstance(told["protocol"], Echo)
    assert isinstance(told["transport"], asyncio.Transport)


def test_a_silent_server_times_out(run, certificates) -> None:
    async def main() -> None:
        with (
            socket.create_server((LOCAL, 0)) as listener,
            pytest.raises(ConnectionAbortedError, match=r"SSL handshake is taking longer than 0\.01 seconds"),
        ):
            await talk(certificates, listener.getsockname(), ssl_handshake_timeout=0.01)

    run(main())


def test_a_server_that_hangs_up(run, certificates) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        class Rude(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                transport.close()

        server = await loop.create_server(Rude, LOCAL, 0)
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await talk(certificates, address(server))
        await finish(server)

    run(main())


def test_cancelled_during_the_handshake(run, certificates) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server((LOCAL, 0)) as listener:
            listener.setblocking(False)
            task = loop.create_task(talk(certificates, listener.getsockname()))
            conn, _ = await loop.sock_accept(listener)
            with conn:
                assert await loop.sock_recv(conn, 1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                while await loop.sock_recv(conn, 1000):
                    pass

    run(main())


@pytest.mark.ours("asyncio's versions differ")
@pytest.mark.parametrize("how", ["close_clients", "abort_clients"])
def test_a_connection_closed_at_birth(run, certificates, reports, how) -> None:
    made: list[Echo] = []

    class Observer(Echo):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            made.append(self)

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def factory() -> Observer:
            loop.call_soon(getattr(server, how))
            return Observer()

        server = await loop.create_server(factory, LOCAL, 0, ssl=certificates.server)
        with pytest.raises(ConnectionError):
            await talk(certificates, address(server))
        await finish(server)
        assert made == []
        assert reports == []

    run(main())


@pytest.mark.stdlib_since(3, 13)
def test_a_server_closes_clients_in_all_states(run, certificates) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Echo, LOCAL, 0, ssl=certificates.server)
        transport, protocol = await loop.create_connection(
            Echo, *address(server), ssl=certificates.client, server_hostname="a.example"
        )
        with socket.create_connection(address(server)) as shaking:
            assert await talk(certificates, address(server)) == b"hello"  # so the one before it was accepted
            server.close()
            server.abort_clients()
            await asyncio.wait_for(server.wait_closed(), 30)
            assert shaking.recv(1) == b""
        await protocol.lost
        assert transport.is_closing()

    run(main())


@pytest.mark.parametrize("timeout", ["ssl_handshake_timeout", "ssl_shutdown_timeout"])
@pytest.mark.parametrize("value", [0, -1.5])
def test_timeouts_must_be_positive(run, certificates, timeout, value) -> None:
    async def main() -> None:
        one, other = socket.socketpair()
        with one, other, pytest.raises(ValueError, match=f"{timeout} should be a positive number, got {value}"):
            await asyncio.get_running_loop().create_connection(
                Echo, sock=one, ssl=certificates.client, server_hostname="", **{timeout: value}
            )

    run(main())


def test_an_accepted_socket_needs_a_real_context(run) -> None:
    async def main() -> None:
        one, other = socket.socketpair()
        with one, other, pytest.raises(ValueError, match="Server side SSL needs a valid SSLContext"):
            await asyncio.get_running_loop().connect_accepted_socket(Echo, one, ssl=True)  # type: ignore[arg-type]

    run(main())


@pytest.mark.ours("asyncio notices when somebody connects")
@pytest.mark.parametrize("name", ["create_server", "create_unix_server"])
def test_a_server_names_what_is_no_context(run, name) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match="ssl argument must be an SSLContext, a bool or None, not 'context'"):
            await getattr(asyncio.get_running_loop(), name)(Echo, LOCAL, ssl="context")

    run(main())


def test_wrapped_sockets_are_refused(run, certificates) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        context = ssl.create_default_context()
        context.check_hostname = False
        with context.wrap_socket(socket.socket(), do_handshake_on_connect=False) as sock:
            for refusing in (
                loop.create_connection(Echo, sock=sock),
                loop.create_server(Echo, sock=sock),
                loop.connect_accepted_socket(Echo, sock),
            ):
                with pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"):
                    await refusing

    run(main())


# start_tls


class Upgrading(Echo):
    """A server's protocol that answers STARTTLS by upgrading its connection."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__()
        self.context = context
        self.task: asyncio.Task[None] | None = None

    def data_received(self, data: bytes) -> None:
        if data == b"STARTTLS\n":
            self.task = asyncio.get_running_loop().create_task(self.upgrade())
        else:
            super().data_received(data)

    async def upgrade(self) -> None:
        plain = self.transport
        plain.write(b"GO\n")
        loop = asyncio.get_running_loop()
        self.transport = await loop.start_tls(plain, self, self.context, server_side=True)  # type: ignore[assignment]
        self.transport.write(b"READY\n")


def test_start_tls(run, certificates) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        peers: list[Upgrading] = []

        def factory() -> Upgrading:
            peers.append(Upgrading(certificates.server))
            return peers[-1]

        server = await loop.create_server(factory, LOCAL, 0)
        reader, writer = await asyncio.open_connection(*address(server))
        writer.write(b"plain\n")
        assert await reader.readline() == b"plain\n"
        writer.write(b"STARTTLS\n")
        assert await reader.readline() == b"GO\n"
        await writer.start_tls(certificates.client, server_hostname="a.example")
        assert await reader.readline() == b"READY\n"
        assert writer.get_extra_info("ssl_object") is not None
        writer.write(b"secret\n")
        assert await reader.readline() == b"secret\n"
        writer.close()
        await writer.wait_closed()
        assert await peers[0].lost is None
        await finish(server)

    run(main())


@pytest.mark.stdlib_since(3, 15)
def test_start_tls_after_the_client_hello_has_arrived(run, certificates) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        served = loop.create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await reader.readline() == b"PROXY\n"
            while not reader._buffer:  # type: ignore[attr-defined]
                await asyncio.sleep(0.001)
            await writer.start_tls(certificates.server)
            writer.write(await reader.readline())
            writer.close()
            await writer.wait_closed()
            served.set_result(None)

        server = await asyncio.start_server(serve, LOCAL, 0)
        reader, writer = await asyncio.open_connection(*address(server))
        writer.write(b"PROXY\n")
        await writer.start_tls(certificates.client, server_hostname="a.example")
        writer.write(b"secret\n")
        assert await reader.readline() == b"secret\n"
        writer.close()
        await writer.wait_closed()
        await served
        await finish(server)

    run(main())


async def connected_pair() -> tuple[asyncio.Transport, Echo, socket.socket]:
    one, other = socket.socketpair()
    transport, protocol = await asyncio.get_running_loop().create_connection(Echo, sock=one)
    return transport, protocol, other


def test_start_tls_refuses_what_it_cannot_use(run, certificates) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol, other = await connected_pair()
        with other:
            for context in (None, True, "context"):
                with pytest.raises(
                    TypeError, match=r"sslcontext is expected to be an instance of ssl\.SSLContext, got"
                ):
                    await loop.start_tls(transport, protocol, context)  # type: ignore[arg-type]
            for wrong in (None, object(), asyncio.Transport()):
                with pytest.raises(TypeError, match=r"is not supported by start_tls\(\)"):
                    await loop.start_tls(wrong, protocol, certificates.client)  # type: ignore[arg-type]
            transport.close()
            assert await protocol.lost is None

    run(main())


def test_start_tls_cancelled_closes_the_connection(run, certificates) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, _, other = await connected_pair()
        with other:
            other.setblocking(False)
            task = loop.create_task(loop.start_tls(transport, Echo(), certificates.client, server_hostname="a.example"))
            assert await loop.sock_recv(other, 1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while await loop.sock_recv(other, 1000):
                pass
        assert transport.is_closing()

    run(main())


def test_start_tls_with_a_peer_that_does_not_speak_tls(run, certificates) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, _, other = await connected_pair()
        with other:
            other.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            with pytest.raises(ssl.SSLError):
                await loop.start_tls(transport, Echo(), certificates.client, server_hostname="a.example")

    run(main())


@pytest.mark.parametrize("end", ["close", "abort"])
def test_start_tls_of_a_closed_transport_gives_none(run, certificates, end) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, _, other = await connected_pair()
        with other:
            getattr(transport, end)()
            assert await loop.start_tls(transport, Echo(), certificates.client, server_hostname="a.example") is None

    run(main())


@pytest.mark.ours("asyncio waits for the end of the handshake")
def test_start_tls_of_a_lost_connection_gives_none(run, certificates) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, _, other = await connected_pair()
        with other:
            transport.close()
            await asyncio.sleep(0)
            assert await loop.start_tls(transport, Echo(), certificates.client, server_hostname="a.example") is None

    run(main())


@pytest.mark.ours("asyncio waits for the end of the handshake")
def test_start_tls_aborted_under_the_handshake(run, certificates) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, _, other = await connected_pair()
        with other:
            other.setblocking(False)
            task = loop.create_task(loop.start_tls(transport, Echo(), certificates.client, server_hostname="a.example"))
            assert await loop.sock_recv(other, 1)
            transport.abort()
            with pytest.raises(ConnectionAbortedError, match="closed before the TLS handshake completed"):
                await task

    run(main())


class Forgetful(hasten.Future):
    """Has no memory for who waits."""

    def add_done_callback(self, fn: Any, *, context: Any = None) -> None:
        raise MemoryError


class Short(hasten.EventLoop):
    """Makes one such future, when it is told to."""

    short = False

    def create_future(self) -> Any:
        if self.short:
            self.short = False
            return Forgetful(loop=self)
        return super().create_future()


def test_a_connection_that_comes_to_nothing_does_not_cost_the_next_one(certificates) -> None:
    """Its descriptor is closed, and its number is that of the next connection."""
    loop = Short()
    told: list[Any] = []
    loop.set_exception_handler(lambda loop, context: told.append(type(context["exception"])))
    made: list[Echo] = []

    def factory() -> Echo:
        made.append(Echo())
        loop.short = len(made) == 1
        return made[-1]

    async def main() -> None:
        server = await loop.create_server(factory, LOCAL, 0, ssl=certificates.server)
        with socket.create_connection(address(server)) as first:  # both are accepted in one go
            first.settimeout(30)
            assert await talk(certificates, address(server)) == b"hello"
            assert first.recv(1) == b""
        await finish(server)

    try:
        loop.run_until_complete(asyncio.wait_for(main(), 30))
        assert told == [MemoryError]
    finally:
        loop.close()


def test_tls_inside_tls(run, certificates) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        served = loop.create_future()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert await reader.readline() == b"inner\n"
            writer.write(b"go\n")
            await writer.start_tls(certificates.server)
            writer.write(await reader.readline())
            writer.close()
            await writer.wait_closed()
            served.set_result(None)

        server = await asyncio.start_server(serve, LOCAL, 0, ssl=certificates.server)
        reader, writer = await asyncio.open_connection(
            *address(server), ssl=certificates.client, server_hostname="a.example"
        )
        writer.write(b"inner\n")
        assert await reader.readline() == b"go\n"
        await writer.start_tls(certificates.client, server_hostname="a.example")
        writer.write(b"secret\n")
        assert await reader.readline() == b"secret\n"
        writer.close()
        await writer.wait_closed()
        await served
        await finish(server)

    run(main())
