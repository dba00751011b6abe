from __future__ import annotations

import array
import asyncio
import errno
import socket
import ssl
from collections.abc import Iterator

import pytest

from .plain_sockets import CALLS, Pair, begin, nonblocking


@pytest.fixture
def pair() -> Iterator[Pair]:
    one, other = socket.socketpair()
    with one, other:
        nonblocking(one, other)
        yield one, other


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.setblocking(False)
        yield sock


@pytest.fixture
def udp_pair() -> Iterator[Pair]:
    with socket.socket(type=socket.SOCK_DGRAM) as one, socket.socket(type=socket.SOCK_DGRAM) as other:
        for sock in nonblocking(one, other):
            sock.bind(("127.0.0.1", 0))
        yield one, other


def test_recv_takes_what_is_there_and_waits_for_what_is_not(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        pair[1].send(b"early")
        assert await loop.sock_recv(pair[0], 100) == b"early"
        task = await begin(loop.sock_recv(pair[0], 3))
        pair[1].send(b"later")
        assert await task == b"lat"
        assert await loop.sock_recv(pair[0], 100) == b"er"
        task = await begin(loop.sock_recv(pair[0], 3))
        pair[1].close()
        assert await task == b""

    run(main())


def test_recv_into(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        buffer = bytearray(4)
        pair[1].send(b"ab")
        assert await loop.sock_recv_into(pair[0], buffer) == 2
        task = await begin(loop.sock_recv_into(pair[0], memoryview(buffer)[2:]))
        pair[1].send(b"cdef")
        assert await task == 2
        assert buffer == b"abcd"

    run(main())


def test_sendall_sends_more_than_the_kernel_holds(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        data = bytes(range(256)) * 20_000
        task = await begin(loop.sock_sendall(pair[0], data))
        got = bytearray()
        while len(got) < len(data):
            got += await loop.sock_recv(pair[1], 1 << 20)
        await task
        assert got == data

    run(main())


@pytest.mark.ours("asyncio counts the items of the buffer")
def test_sendall_counts_bytes_not_items(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        data = array.array("i", range(300_000))
        task = await begin(loop.sock_sendall(pair[0], data))
        got = bytearray()
        while len(got) < len(data) * data.itemsize:
            got += await loop.sock_recv(pair[1], 1 << 20)
        await task
        assert got == data.tobytes()
        await loop.sock_sendall(pair[0], data[:2])
        assert await loop.sock_recv(pair[1], 100) == data[:2].tobytes()

    run(main())


def test_sendall_of_nothing(run, pair) -> None:
    async def main() -> None:
        assert await asyncio.get_running_loop().sock_sendall(pair[0], b"") is None

    run(main())


def test_datagrams(run, udp_pair) -> None:
    one, other = udp_pair

    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert await loop.sock_sendto(other, b"early", one.getsockname()) == 5
        assert await loop.sock_recvfrom(one, 100) == (b"early", other.getsockname())
        task = await begin(loop.sock_recvfrom(one, 100))
        await loop.sock_sendto(other, b"later", one.getsockname())
        assert await task == (b"later", other.getsockname())

        buffer = bytearray(8)
        task = await begin(loop.sock_recvfrom_into(one, buffer))
        await loop.sock_sendto(other, b"123456789", one.getsockname())
        assert await task == (8, other.getsockname())
        await loop.sock_sendto(other, b"abcdef", one.getsockname())
        assert await loop.sock_recvfrom_into(one, buffer, 3) == (3, other.getsockname())
        assert buffer == b"abc45678"

    run(main())


class Refusing(socket.socket):
    def setblocking(self, flag: bool) -> None:
        raise PermissionError


class Giving(socket.socket):
    """A listening socket whose connections can be used for nothing."""

    given: Refusing

    def accept(self) -> Any:
        conn, address = super().accept()
        self.given = Refusing(fileno=conn.detach())
        return self.given, address


@pytest.mark.ours("asyncio leaves it to the collector")
def test_an_accepted_connection_that_cannot_be_used_is_closed(run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with Giving() as listener, socket.socket() as client:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            listener.setblocking(False)
            client.connect(listener.getsockname())
            with pytest.raises(PermissionError):
                await loop.sock_accept(listener)
            assert listener.given.fileno() == -1

    run(main())


def test_accept_and_connect(run, listener) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = await begin(loop.sock_accept(listener))
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, listener.getsockname())
            conn, address = await task
            with conn:
                assert address == client.getsockname()
                assert conn.gettimeout() == 0
                await loop.sock_sendall(conn, b"hello")
                assert await loop.sock_recv(client, 100) == b"hello"

    run(main())


def test_connect_looks_names_up(either_loop, run, listener) -> None:
    async def resolve(host, port, **options):
        assert (host, port, options["family"]) == ("a.example", "echo", socket.AF_INET)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", listener.getsockname())]

    either_loop.getaddrinfo = resolve

    async def main() -> None:
        with socket.socket() as client:
            client.setblocking(False)
            await asyncio.get_running_loop().sock_connect(client, ("a.example", "echo"))
            assert client.getpeername() == listener.getsockname()

    run(main())


def test_connect_refused(run) -> None:
    async def main() -> None:
        with socket.socket() as deaf, socket.socket() as client:
            deaf.bind(("127.0.0.1", 0))
            client.setblocking(False)
            with pytest.raises(ConnectionRefusedError, match="Connect call failed"):
                await asyncio.get_running_loop().sock_connect(client, deaf.getsockname())

    run(main())


def test_connect_to_a_missing_unix_socket(run, unix_path) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as client:
            client.setblocking(False)
            with pytest.raises(FileNotFoundError):
                await asyncio.get_running_loop().sock_connect(client, unix_path)

    run(main())


def fill_queue(path: str) -> list[socket.socket]:
    """Clients of the unix listener at *path*; there was no room for the last one."""
    clients = []
    while True:
        clients.append(socket.socket(socket.AF_UNIX))
        clients[-1].setblocking(False)
        try:
            clients[-1].connect(path)
        except BlockingIOError:
            return clients


@pytest.mark.ours("asyncio takes EAGAIN for a connection that is on its way")
def test_connect_waits_for_room_in_a_unix_queue(run, unix_path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as late:
            listener.bind(unix_path)
            listener.listen(0)
            early = fill_queue(unix_path)
            late.setblocking(False)
            task = await begin(loop.sock_connect(late, unix_path))
            accepted = [listener.accept()[0] for _ in early[:-1]]
            await task
            accepted.append(listener.accept()[0])
            late.send(b"here")
            assert accepted[-1].recv(100) == b"here"
            for sock in early + accepted:
                sock.close()

    run(main())


def test_a_cancelled_recv_takes_nothing_and_leaves_no_reader(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = await begin(loop.sock_recv(pair[0], 100))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert loop.remove_reader(pair[0]) is False
        pair[1].send(b"kept")
        assert await loop.sock_recv(pair[0], 100) == b"kept"

    run(main())


@pytest.mark.ours("the bytes may be lost")
def test_a_recv_cancelled_when_it_was_woken_takes_nothing(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = await begin(loop.sock_recv(pair[0], 100))
        task._fut_waiter.add_done_callback(lambda _: task.cancel())  # type: ignore[attr-defined]
        pair[1].send(b"kept")
        try:
            got = await task
        except asyncio.CancelledError:
            got = pair[0].recv(100)
        assert got == b"kept"
        assert loop.remove_reader(pair[0]) is False

    run(main())


@pytest.mark.stdlib_since(3, 15)
def test_a_cancelled_accept_leaves_the_connection_in_the_queue(run, listener) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = await begin(loop.sock_accept(listener))
        with socket.create_connection(listener.getsockname()) as client:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            conn, address = await loop.sock_accept(listener)
            with conn:
                assert address == client.getsockname()

    run(main())


def test_a_cancelled_sendall_leaves_no_writer(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = await begin(loop.sock_sendall(pair[0], bytes(10_000_000)))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert loop.remove_writer(pair[0]) is False

    run(main())


def test_who_waits_after_a_cancelled_one_is_woken(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        first = await begin(loop.sock_recv(pair[0], 100))
        first.cancel()
        second = loop.create_task(loop.sock_recv(pair[0], 100))
        await asyncio.wait([first])
        assert first.cancelled()
        pair[1].send(b"second")
        assert await second == b"second"

    run(main())


@pytest.mark.ours("in asyncio the first one waits for ever")
def test_two_waiters_in_one_direction_are_refused(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        first = await begin(loop.sock_recv(pair[0], 100))
        with pytest.raises(RuntimeError, match=r"already has a task waiting to read from it: await that one first"):
            await loop.sock_recv(pair[0], 100)
        pair[1].send(b"first")
        assert await first == b"first"

        sending = await begin(loop.sock_sendall(pair[0], bytes(10_000_000)))
        with pytest.raises(RuntimeError, match="already has a task waiting to write to it"):
            await loop.sock_sendall(pair[0], b"more")
        sending.cancel()
        await asyncio.wait([sending])

    run(main())


def test_one_may_read_while_another_writes(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        sending = await begin(loop.sock_sendall(pair[0], bytes(5_000_000)))
        reading = await begin(loop.sock_recv(pair[0], 100))
        pair[1].send(b"across")
        assert await reading == b"across"
        left = 5_000_000
        while left:
            left -= len(await loop.sock_recv(pair[1], 1 << 20))
        await sending

    run(main())


@pytest.mark.ours("in asyncio the first one waits for ever")
def test_a_wait_on_a_closed_socket_ends_when_its_number_is_used_again(run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        one, other = nonblocking(*socket.socketpair())
        fd = one.fileno()
        stale = await begin(loop.sock_recv(one, 100))
        one.close()
        fresh = nonblocking(*socket.socketpair())
        reader, writer = fresh if fresh[0].fileno() == fd else fresh[::-1]
        assert reader.fileno() == fd
        task = loop.create_task(loop.sock_recv(reader, 100))
        with pytest.raises(OSError, match="was closed while a task waited on it") as caught:
            await stale
        assert caught.value.errno == errno.EBADF
        writer.send(b"fresh")
        assert await task == b"fresh"
        for sock in (other, reader, writer):
            sock.close()

    run(main())


@pytest.mark.parametrize("name", CALLS)
def test_ssl_sockets_are_refused(run, name) -> None:
    async def main() -> None:
        context = ssl.create_default_context()
        context.check_hostname = False
        with (
            context.wrap_socket(socket.socket(), do_handshake_on_connect=False) as sock,
            pytest.raises(TypeError, match="Socket cannot be of type SSLSocket"),
        ):
            await getattr(asyncio.get_running_loop(), name)(sock, *CALLS[name])

    run(main())


@pytest.mark.parametrize("name", CALLS)
def test_debug_mode_refuses_blocking_sockets(either_loop, run, name) -> None:
    either_loop.set_debug(True)

    async def main() -> None:
        with socket.socket() as sock, pytest.raises(ValueError, match="the socket must be non-blocking"):
            await getattr(asyncio.get_running_loop(), name)(sock, *CALLS[name])

    run(main())


@pytest.mark.parametrize("name", CALLS)
def test_closed_sockets_raise(run, name) -> None:
    async def main() -> None:
        sock = socket.socket()
        sock.close()
        with pytest.raises(OSError):
            await getattr(asyncio.get_running_loop(), name)(sock, *CALLS[name])

    run(main())


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("sock_recv", ("10",), TypeError),
        ("sock_recv", (-1,), ValueError),
        ("sock_recv_into", (b"constant",), TypeError),
        ("sock_recvfrom_into", (bytearray(1), 2), ValueError),
        ("sock_sendall", ("text",), TypeError),
        ("sock_sendall", (None,), TypeError),
        ("sock_sendto", (b"x", 5), TypeError),
        ("sock_connect", (5,), TypeError),
    ],
)
def test_wrong_arguments(run, pair, name, arguments, error) -> None:
    async def main() -> None:
        with pytest.raises(error):
            await getattr(asyncio.get_running_loop(), name)(pair[0], *arguments)

    run(main())


@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_socket(run, name) -> None:
    async def main() -> None:
        with pytest.raises((AttributeError, TypeError)):
            await getattr(asyncio.get_running_loop(), name)(object(), *CALLS[name])

    run(main())


def test_a_transports_descriptor_is_refused(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        lost = loop.create_future()

        class Client(asyncio.Protocol):
            def connection_lost(self, exc: Exception | None) -> None:
                lost.set_result(exc)

        transport, _ = await loop.create_connection(Client, sock=pair[0])
        with pytest.raises(RuntimeError, match="is used by transport"):
            await loop.sock_recv(pair[0], 100)
        transport.close()
        assert await lost is None

    run(main())
