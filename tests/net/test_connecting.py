from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import socket
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from ..worlds import until

INET, INET6, STREAM, TCP = socket.AF_INET, socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP

# Addresses that no test really connects to: Addresses.connect decides what becomes of them.
SIX = [(INET6, STREAM, TCP, "", (f"2001:db8::{n}", 80, 0, 0)) for n in (1, 2)]
FOUR = [(INET, STREAM, TCP, "", (f"192.0.2.{n}", 80)) for n in (1, 2)]
ALL = ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2"]  # in the order of a race


class Client(asyncio.Protocol):
    """Collects what it receives; ``lost`` is done when the connection is."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(30)
        yield sock


class Addresses:
    """Replaces the resolver and sock_connect of a loop: ``outcome`` says what connecting to an address comes to.

    It is an exception to raise, an Event to wait for, None for success, or a function to call.
    """

    def __init__(self, loop: Any, infos: list[Any]) -> None:
        self.infos = infos
        self.outcome: dict[str, Any] = {}
        self.tried: list[str] = []
        self.sockets: list[socket.socket] = []
        self.loop = loop
        loop.getaddrinfo = self.getaddrinfo
        loop.sock_connect = self.connect

    async def getaddrinfo(self, host: str, port: int, **options: Any) -> list[Any]:
        return self.infos

    async def connect(self, sock: socket.socket, address: tuple[Any, ...]) -> None:
        self.tried.append(address[0])
        self.sockets.append(sock)
        outcome = self.outcome.get(address[0])
        if isinstance(outcome, asyncio.Event):
            await outcome.wait()
        elif isinstance(outcome, BaseException):
            raise outcome
        elif outcome is not None:
            outcome()

    def open(self) -> list[str]:
        """The addresses whose sockets are open."""
        return [name for name, sock in zip(self.tried, self.sockets, strict=True) if sock.fileno() != -1]


@pytest.fixture
def addresses(either_loop: asyncio.AbstractEventLoop) -> Iterator[Addresses]:
    made = Addresses(either_loop, SIX + FOUR)
    yield made
    for sock in made.sockets:
        sock.close()


async def end(transport: asyncio.BaseTransport) -> None:
    transport.close()
    await transport.get_protocol().lost  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["host", "sock", "racing", "local_addr"])
def test_connects_and_talks(run, listener, how) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        host, port = listener.getsockname()
        if how == "host":
            transport, protocol = await loop.create_connection(Client, host, port)
        elif how == "sock":
            sock = socket.create_connection((host, port))
            transport, protocol = await loop.create_connection(Client, sock=sock)
            assert sock.gettimeout() == 0
        elif how == "racing":
            transport, protocol = await loop.create_connection(Client, host, str(port), happy_eyeballs_delay=3600)
        else:
            transport, protocol = await loop.create_connection(Client, host, port, local_addr=("127.0.0.3", 0))
            assert transport.get_extra_info("sockname")[0] == "127.0.0.3"
        assert protocol.transport is transport
        assert transport.get_extra_info("peername") == (host, port)
        conn, _ = listener.accept()
        with conn:
            transport.write(b"hello")
            assert conn.recv(5) == b"hello"
            conn.sendall(b"world")
        assert await protocol.lost is None
        assert protocol.received == b"world"

    run(main())


def test_half_close(run, listener) -> None:
    async def main() -> None:
        transport, protocol = await asyncio.get_running_loop().create_connection(Client, *listener.getsockname())
        conn, _ = listener.accept()
        with conn:
            assert transport.can_write_eof()
            transport.write(b"question")
            transport.write_eof()
            assert conn.recv(100) == b"question"
            assert conn.recv(100) == b""
            conn.sendall(b"answer")
        assert await protocol.lost is None
        assert protocol.received == b"answer"

    run(main())


@pytest.mark.parametrize("how", ["host", "sock", "accepted"])
def test_small_writes_are_not_delayed(run, listener, how) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        if how == "host":
            transport, _ = await loop.create_connection(Client, *listener.getsockname())
        else:
            sock = socket.socket(INET, STREAM, TCP)
            sock.connect(listener.getsockname())
            if how == "sock":
                transport, _ = await loop.create_connection(Client, sock=sock)
            else:
                transport, _ = await loop.connect_accepted_socket(Client, sock)
        assert transport.get_extra_info("socket").getsockopt(TCP, socket.TCP_NODELAY)
        await end(transport)

    run(main())


def test_accepted_elsewhere(run, listener) -> None:
    async def main() -> None:
        with socket.create_connection(listener.getsockname()) as client:
            conn, address = listener.accept()
            transport, protocol = await asyncio.get_running_loop().connect_accepted_socket(Client, conn)
            assert transport.get_extra_info("peername") == address
            transport.write(b"hello")
            assert client.recv(5) == b"hello"
            client.sendall(b"world")
            client.shutdown(socket.SHUT_WR)
            assert await protocol.lost is None
            assert protocol.received == b"world"

    run(main())


def test_a_unix_socket_passes_as_a_stream(run) -> None:
    async def main() -> None:
        one, other = socket.socketpair()
        with other:
            transport, _ = await asyncio.get_running_loop().create_connection(Client, sock=one)
            await end(transport)
            assert other.recv(1) == b""

    run(main())


WRONG: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("create_connection", {}, ValueError, "host and port was not specified and no sock specified"),
    ("create_connection", {"host": "a", "sock": "tcp"}, ValueError, "host/port and sock can not be specified"),
    ("create_connection", {"port": 1, "sock": "tcp"}, ValueError, "host/port and sock can not be specified"),
    ("create_connection", {"host": "a", "server_hostname": "b"}, ValueError, "server_hostname is only meaningful"),
    ("create_connection", {"sock": "tcp", "ssl": True}, ValueError, "You must set server_hostname when using ssl"),
    ("create_connection", {"port": 1, "ssl": True}, ValueError, "You must set server_hostname when using ssl"),
    ("create_connection", {"host": "a", "ssl_handshake_timeout": 1}, ValueError, "ssl_handshake_timeout is only"),
    ("create_connection", {"host": "a", "ssl_shutdown_timeout": 1}, ValueError, "ssl_shutdown_timeout is only"),
    ("create_connection", {"sock": "udp"}, ValueError, "A Stream Socket was expected, got <socket"),
    ("create_connection", {"sock": object()}, AttributeError, "object"),
    ("create_connection", {"host": object(), "port": 1}, TypeError, "object|argument"),
    ("create_connection", {"host": "127.0.0.1", "port": 70000}, OverflowError, "port must be 0-65535"),
    ("connect_accepted_socket", {"sock": "udp"}, ValueError, "A Stream Socket was expected, got <socket"),
    ("connect_accepted_socket", {"sock": "tcp", "ssl_handshake_timeout": 1}, ValueError, "only meaningful with ssl"),
    ("connect_accepted_socket", {"sock": "tcp", "ssl_shutdown_timeout": 1}, ValueError, "only meaningful with ssl"),
    ("connect_accepted_socket", {"sock": object()}, AttributeError, "object"),
    ("create_unix_connection", {}, ValueError, "no path and sock were specified"),
    ("create_unix_connection", {"path": "p", "sock": "unix"}, ValueError, "path and sock can not be specified"),
    ("create_unix_connection", {"path": "p", "ssl": True}, ValueError, "you have to pass server_hostname"),
    ("create_unix_connection", {"path": "p", "server_hostname": "a"}, ValueError, "server_hostname is only"),
    ("create_unix_connection", {"path": "p", "ssl_handshake_timeout": 1}, ValueError, "ssl_handshake_timeout is only"),
    ("create_unix_connection", {"path": "p", "ssl_shutdown_timeout": 1}, ValueError, "ssl_shutdown_timeout is only"),
    ("create_unix_connection", {"sock": "tcp"}, ValueError, "A UNIX Domain Stream Socket was expected"),
    ("create_unix_connection", {"path": 5}, TypeError, "PathLike"),
]


@pytest.mark.parametrize(("name", "arguments", "error", "text"), WRONG)
def test_wrong_arguments(run, name, arguments, error, text) -> None:
    async def main() -> None:
        kinds = {"tcp": (INET, STREAM), "udp": (INET, socket.SOCK_DGRAM), "unix": (socket.AF_UNIX, STREAM)}
        given = dict(arguments)
        kind = kinds.get(given.get("sock"))  # type: ignore[arg-type]
        if kind:
            given["sock"] = socket.socket(*kind)
        try:
            with pytest.raises(error, match=text):
                await getattr(asyncio.get_running_loop(), name)(Client, **given)
        finally:
            if kind:
                given["sock"].close()

    run(main())


@pytest.mark.ours("asyncio connects, and fails with AttributeError then")
@pytest.mark.parametrize("context", ["context", 5, object()])
def test_what_is_no_ssl_context_is_named(run, listener, context) -> None:
    async def main() -> None:
        with pytest.raises(TypeError, match="ssl argument must be an SSLContext, a bool or None"):
            await asyncio.get_running_loop().create_connection(Client, *listener.getsockname(), ssl=context)

    run(main())


@pytest.mark.ours("asyncio's versions differ")
def test_a_socket_of_a_transport_is_refused_and_left_alone(run, listener) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        sock = socket.create_connection(listener.getsockname())
        conn, _ = listener.accept()
        transport, _ = await loop.create_connection(Client, sock=sock)
        with conn, pytest.raises(RuntimeError, match="is used by transport"):
            await loop.create_connection(Client, sock=sock)
        with conn:
            await end(transport)

    run(main())


def test_one_refusal_is_raised_as_it_is(run) -> None:
    async def main() -> None:
        with socket.socket() as deaf:
            deaf.bind(("127.0.0.1", 0))
            with pytest.raises(ConnectionRefusedError, match="Connect call failed"):
                await asyncio.get_running_loop().create_connection(Client, *deaf.getsockname())

    run(main())


@pytest.mark.parametrize("delay", [None, 3600])
def test_different_failures_are_summed_up(run, addresses, delay) -> None:
    addresses.outcome = {info[4][0]: OSError(5, f"no {info[4][0]}") for info in SIX + FOUR}

    async def main() -> None:
        with pytest.raises(
            OSError, match=r"Multiple exceptions: .*no 2001:db8::1, .*, .*, .*no 192\.0\.2\.2"
        ) as caught:
            await asyncio.get_running_loop().create_connection(
                Client, "a.example", 80, happy_eyeballs_delay=delay, interleave=0
            )
        assert not isinstance(caught.value, ExceptionGroup)
        assert addresses.tried == [info[4][0] for info in SIX + FOUR]
        assert addresses.open() == []

    run(main())


@pytest.mark.parametrize("delay", [None, 3600])
def test_equal_failures_are_raised_as_one(run, addresses, delay) -> None:
    addresses.outcome = {info[4][0]: ConnectionRefusedError(111, "refused") for info in SIX + FOUR}

    async def main() -> None:
        with pytest.raises(ConnectionRefusedError, match="refused"):
            await asyncio.get_running_loop().create_connection(Client, "a.example", 80, happy_eyeballs_delay=delay)
        assert addresses.open() == []

    run(main())


@pytest.mark.stdlib_since(3, 12)
@pytest.mark.parametrize("delay", [None, 3600])
def test_all_failures_can_be_had(run, addresses, delay) -> None:
    addresses.outcome = {info[4][0]: OSError(5, info[4][0]) for info in SIX + FOUR}

    async def main() -> None:
        with pytest.raises(ExceptionGroup, match="create_connection failed") as caught:
            await asyncio.get_running_loop().create_connection(
                Client, "a.example", 80, happy_eyeballs_delay=delay, interleave=0, all_errors=True
            )
        assert [exc.strerror for exc in caught.value.exceptions] == [info[4][0] for info in SIX + FOUR]

    run(main())


def test_no_address_at_all(run, addresses) -> None:
    addresses.infos = []

    async def main() -> None:
        with pytest.raises(OSError, match=r"getaddrinfo\(\) returned empty list"):
            await asyncio.get_running_loop().create_connection(Client, "a.example", 80)

    run(main())


def test_local_addresses_that_do_not_fit(run, listener) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(OSError, match="error while attempting to bind on address"):
            await loop.create_connection(Client, *listener.getsockname(), local_addr=("192.0.2.1", 0))

    run(main())


@pytest.mark.stdlib_since(3, 12)
def test_local_addresses_of_another_family(run, listener) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(OSError, match=r"no matching local address with family=.*AF_INET.* found"):
            await loop.create_connection(Client, *listener.getsockname(), local_addr=("::1", 0))

    run(main())


def race(delay: float, **options: Any) -> Any:
    loop = asyncio.get_running_loop()
    return loop.create_connection(Client, "a.example", 80, happy_eyeballs_delay=delay, **options)


# The sockets of a race are not really connected: a transport on one ends at once, with or without an error.


def test_race_alternates_families_by_default(run, addresses) -> None:
    addresses.outcome = {info[4][0]: OSError(5, info[4][0]) for info in SIX + FOUR}

    async def main() -> None:
        with pytest.raises(OSError, match="Multiple"):
            await race(3600)
        assert addresses.tried == ALL

    run(main())


def test_race_begins_the_next_when_one_is_slow(run, addresses) -> None:
    async def main() -> None:
        addresses.outcome = {"2001:db8::1": asyncio.Event()}
        transport, _ = await race(0.01)
        assert addresses.tried == ["2001:db8::1", "192.0.2.1"]
        assert addresses.open() in (["192.0.2.1"], [])
        assert addresses.sockets[0].fileno() == -1
        await end(transport)

    run(main())


def test_race_begins_the_next_at_once_when_one_fails(run, addresses) -> None:
    async def main() -> None:
        addresses.outcome = {"2001:db8::1": OSError(101, "unreachable")}
        transport, _ = await race(3600)
        assert addresses.tried == ["2001:db8::1", "192.0.2.1"]
        assert addresses.sockets[0].fileno() == -1
        await end(transport)

    run(main())


def test_race_won_by_the_slow_one(run, addresses) -> None:
    async def main() -> None:
        slow, never = asyncio.Event(), asyncio.Event()
        addresses.outcome = {"2001:db8::1": slow, "192.0.2.1": never, "2001:db8::2": never, "192.0.2.2": never}
        task = asyncio.create_task(race(0.001))
        await until(lambda: len(addresses.tried) == 4)
        assert len(addresses.open()) == 4
        slow.set()
        transport, _ = await task
        assert addresses.open() in (["2001:db8::1"], [])
        await end(transport)

    run(main())


def test_race_with_two_winners_keeps_one(run, addresses) -> None:
    async def main() -> None:
        both = asyncio.Event()
        addresses.outcome = dict.fromkeys(ALL, both)
        task = asyncio.create_task(race(0.001))
        await until(lambda: len(addresses.tried) == 4)
        both.set()
        transport, _ = await task
        assert len(addresses.open()) <= 1
        await end(transport)

    run(main())


def test_race_cancelled(run, addresses) -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        never = asyncio.Event()
        addresses.outcome = dict.fromkeys(ALL, never)
        task = asyncio.create_task(race(0.001))
        await until(lambda: len(addresses.tried) == 3)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert addresses.open() == []
        assert asyncio.all_tasks() == before

    run(main())


@pytest.mark.ours("in asyncio the second cancellation leaves the attempts alone")
def test_race_cancelled_again_while_it_ends(run, addresses) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ending, goodbye = asyncio.Event(), asyncio.Event()

        async def connect(sock: socket.socket, address: Any) -> None:
            addresses.tried.append(address[0])
            addresses.sockets.append(sock)
            try:
                await asyncio.Event().wait()
            finally:
                ending.set()
                await goodbye.wait()

        loop.sock_connect = connect  # type: ignore[method-assign]
        task = asyncio.create_task(race(3600))
        await until(lambda: len(addresses.tried) == 1)
        task.cancel()
        await ending.wait()
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        goodbye.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert addresses.open() == []

    run(main())


@pytest.mark.ours("it is about hasten's compiled code")
def test_what_says_that_it_is_an_oserror_is_none(run, addresses) -> None:
    class Liar(Exception):
        @property  # type: ignore[misc]
        def __class__(self) -> type:
            return OSError

    async def main() -> None:
        addresses.outcome = {SIX[0][4][0]: Liar()}
        with pytest.raises(Liar):
            await asyncio.get_running_loop().create_connection(asyncio.Protocol, "name", 80)
        assert len(addresses.tried) == 1
        assert addresses.open() == []

    run(main())


@pytest.mark.ours("asyncio goes on with the other addresses")
def test_race_raises_what_is_no_oserror(run, addresses) -> None:
    async def main() -> None:
        before = asyncio.all_tasks()
        addresses.outcome = {"2001:db8::1": asyncio.Event(), "192.0.2.1": OverflowError("port must be 0-65535")}
        with pytest.raises(OverflowError, match="port must be"):
            await race(0.001)
        assert addresses.open() == []
        assert asyncio.all_tasks() == before

    run(main())


@pytest.mark.ours("asyncio's versions differ")
@pytest.mark.parametrize("winner", ["2001:db8::1", "192.0.2.1"])
def test_race_won_and_spoilt_in_one_tick_leaks_nothing(run, addresses, winner) -> None:
    async def main() -> None:
        both = asyncio.Event()

        async def connect(sock: socket.socket, address: Any) -> None:
            addresses.tried.append(address[0])
            addresses.sockets.append(sock)
            await both.wait()
            if address[0] != winner:
                raise OverflowError("port must be 0-65535")

        addresses.infos = [SIX[0], FOUR[0]]
        asyncio.get_running_loop().sock_connect = connect  # type: ignore[method-assign]
        task = asyncio.create_task(race(0.001))
        await until(lambda: len(addresses.tried) == 2)
        both.set()
        try:
            transport, _ = await task
        except OverflowError:
            assert addresses.open() == []
        else:
            await end(transport)
            await until(lambda: addresses.open() == [])

    run(main())


@pytest.mark.ours("asyncio's race keeps its exceptions in a cycle")
@pytest.mark.parametrize("delay", [None, 3600])
@pytest.mark.parametrize("all_errors", [False, True])
def test_failures_are_not_kept_alive(run, addresses, delay, all_errors) -> None:
    class Refused(OSError):
        pass

    seen: list[weakref.ref[Refused]] = []

    def refuse() -> None:
        exc = Refused(111, f"refused {len(seen)}")
        seen.append(weakref.ref(exc))
        try:
            raise exc
        finally:
            del exc

    addresses.outcome = dict.fromkeys(ALL, refuse)

    async def attempt() -> None:
        try:
            await race(delay, all_errors=all_errors)
        except (OSError, ExceptionGroup):
            pass
        else:
            pytest.fail("connected")

    async def main() -> None:
        gc.disable()
        try:
            await attempt()
            await asyncio.sleep(0)
            assert [ref() for ref in seen] == [None] * 4
        finally:
            gc.enable()

    run(main())


@pytest.mark.stdlib_since(3, 15)
@pytest.mark.parametrize("name", ["create_connection", "connect_accepted_socket", "create_unix_connection"])
def test_a_failing_factory_closes_the_socket(run, name) -> None:
    def broken() -> asyncio.Protocol:
        raise LookupError("no protocol today")

    async def main() -> None:
        one, other = socket.socketpair()
        with other:
            with pytest.raises(LookupError, match="no protocol today"):
                await getattr(asyncio.get_running_loop(), name)(broken, sock=one)
            assert one.fileno() == -1
            assert other.recv(1) == b""

    run(main())


@pytest.mark.parametrize(("factory", "error"), [(5, TypeError), (None, TypeError), (object, AttributeError)])
def test_what_makes_no_protocol(run, listener, factory, error) -> None:
    async def main() -> None:
        with socket.create_connection(listener.getsockname()) as sock, pytest.raises(error):
            await asyncio.get_running_loop().create_connection(factory, sock=sock)

    run(main())


def test_cancelled_while_connecting(run, addresses) -> None:
    async def main() -> None:
        addresses.outcome = {"2001:db8::1": asyncio.Event()}
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.create_connection(Client, "a.example", 80))
        await until(lambda: addresses.tried == ["2001:db8::1"])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert addresses.open() == []

    run(main())


@pytest.mark.stdlib_since(3, 15)
def test_one_context_for_all_callbacks(run, listener) -> None:
    variable = contextvars.ContextVar("variable", default="unset")
    seen: dict[str, str] = {}

    class Observer(Client):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            seen["made"] = variable.get()
            variable.set("made")

        def data_received(self, data: bytes) -> None:
            seen["data"] = variable.get()
            variable.set("data")

        def connection_lost(self, exc: Exception | None) -> None:
            seen["lost"] = variable.get()
            super().connection_lost(exc)

    async def main() -> None:
        variable.set("caller")
        _, protocol = await asyncio.get_running_loop().create_connection(Observer, *listener.getsockname())
        variable.set("later")
        conn, _ = listener.accept()
        with conn:
            conn.sendall(b"data")
        await protocol.lost
        assert seen == {"made": "caller", "data": "made", "lost": "data"}
        assert variable.get() == "later"

    run(main())


def test_debug_mode_tells_of_the_connection(either_loop, run, listener, caplog) -> None:
    either_loop.set_debug(True)
    caplog.set_level(logging.DEBUG, "asyncio")

    async def main() -> None:
        transport, _ = await asyncio.get_running_loop().create_connection(Client, *listener.getsockname())
        await end(transport)

    run(main())
    assert f" connected to 127.0.0.1:{listener.getsockname()[1]}: (" in caplog.text


def test_unix_connection(run, unix_path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(unix_path)
            listener.listen()
            transport, protocol = await loop.create_unix_connection(Client, unix_path)
            conn, _ = listener.accept()
            with conn:
                transport.write(b"hello")
                assert conn.recv(5) == b"hello"
                conn.sendall(b"world")
            await protocol.lost
            assert protocol.received == b"world"

    run(main())


def test_unix_connection_to_nobody(run, unix_path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(FileNotFoundError):
            await loop.create_unix_connection(Client, unix_path)
        with socket.socket(socket.AF_UNIX) as deaf:
            deaf.bind(unix_path)
            with pytest.raises(ConnectionRefusedError):
                await loop.create_unix_connection(Client, unix_path)

    run(main())
