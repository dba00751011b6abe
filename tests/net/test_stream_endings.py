"""How a stream's connection pauses, half-closes, breaks and ends: the same of hasten's transport and of asyncio's."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Pair = tuple[socket.socket, socket.socket]


def tcp_pair() -> Pair:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    return one, other


@pytest.fixture(params=["unix", "tcp"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    one, other = socket.socketpair() if request.param == "unix" else tcp_pair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


class Recorder(asyncio.Protocol):
    def __init__(self, keep_open: bool = False) -> None:
        self.log: list[Any] = []
        self.data = b""
        self.keep_open = keep_open
        self.transport: Any = None
        self.lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self.got = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.log.append("made")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.log.append("data")
        self.data += data
        self.got.set()

    def eof_received(self) -> bool:
        self.log.append("eof")
        self.ended.set()
        return self.keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.log.append("lost")
        self.lost.set_result(exc)

    async def received(self, count: int) -> bytes:
        while len(self.data) < count:
            self.got.clear()
            await self.got.wait()
        return self.data


async def start(sock: socket.socket, factory: Callable[[], Any] = Recorder) -> tuple[Any, Any]:
    own = sock.dup()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)  # or TCP would take megabytes at once
    sock.close()
    return await asyncio.get_running_loop().connect_accepted_socket(factory, own)


async def end_of(sock: socket.socket) -> bytes:
    """All that comes until the end."""
    data = b""
    while part := await asyncio.get_running_loop().sock_recv(sock, 1 << 18):
        data += part
    return data


async def look_at_sockets(rounds: int = 3) -> None:
    """Lets everything happen that is ready: the loop has looked at its sockets and run what they made ready."""
    loop = asyncio.get_running_loop()
    one, other = socket.socketpair()
    with one, other:
        other.send(b"x")
        for _ in range(rounds):
            seen = asyncio.Event()
            loop.add_reader(one, seen.set)
            await seen.wait()
            loop.remove_reader(one)
            await asyncio.sleep(0)


def reset(sock: socket.socket) -> None:
    """Closes a TCP socket with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# ---- pausing ------------------------------------------------------------------------------------


def test_pause_and_resume_reading(run: Any, pair: Pair) -> None:
    async def main() -> None:
        transport, protocol = await start(pair[0])
        assert transport.is_reading()
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        for _ in range(3):
            pair[1].send(b"x")
            await look_at_sockets()
        assert protocol.data == b""
        transport.resume_reading()
        transport.resume_reading()
        assert transport.is_reading()
        assert await protocol.received(3) == b"xxx"
        pair[1].send(b"y")
        assert await protocol.received(4) == b"xxxy"
        transport.close()
        transport.pause_reading()
        transport.resume_reading()
        assert not transport.is_reading()
        await protocol.lost

    run(main())


def test_pausing_within_data_received(run: Any, pair: Pair) -> None:
    class Pausing(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self.transport.pause_reading()

    async def main() -> None:
        transport, protocol = await start(pair[0], Pausing)
        expected = b""
        for i in range(10):
            pair[1].send(bytes([i]) * 3)
            await look_at_sockets()
            expected += bytes([i]) * 3
            assert await protocol.received(len(expected)) == expected
            assert not transport.is_reading()
            transport.resume_reading()
        assert protocol.data == expected
        transport.abort()
        await protocol.lost

    run(main())


def test_pausing_in_connection_made(run: Any, pair: Pair) -> None:
    class Paused(Recorder):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            transport.pause_reading()

    async def main() -> None:
        pair[1].send(b"early")
        transport, protocol = await start(pair[0], Paused)
        await look_at_sockets()
        assert protocol.data == b""
        transport.resume_reading()
        assert await protocol.received(5) == b"early"
        transport.abort()
        await protocol.lost

    run(main())


@pytest.mark.parametrize("flips", [1, 2, 5])
def test_data_and_the_end_while_paused(run: Any, pair: Pair, flips: int) -> None:
    async def main() -> None:
        transport, protocol = await start(pair[0])
        transport.pause_reading()
        pair[1].send(b"last words")
        pair[1].shutdown(socket.SHUT_WR)
        await look_at_sockets()
        assert protocol.log == ["made"]
        for _ in range(flips - 1):
            transport.resume_reading()
            transport.pause_reading()
            await look_at_sockets(1)
        transport.resume_reading()
        assert await protocol.lost is None
        assert protocol.data == b"last words"
        assert protocol.log == ["made", "data", "eof", "lost"]

    run(main())


def test_much_data_and_the_end(run: Any, pair: Pair) -> None:
    async def main() -> None:
        _, protocol = await start(pair[0])
        data = bytes(range(256)) * 8000
        await asyncio.get_running_loop().sock_sendall(pair[1], data)
        pair[1].close()
        assert await protocol.lost is None
        assert protocol.data == data
        assert protocol.log[-2:] == ["eof", "lost"]

    run(main())


# ---- half-closing -------------------------------------------------------------------------------


def test_write_eof(run: Any, pair: Pair) -> None:
    async def main() -> None:
        transport, protocol = await start(pair[0])
        assert transport.can_write_eof()
        transport.write(b"x" * 300_000)
        transport.write_eof()
        transport.write_eof()
        with pytest.raises(RuntimeError, match=r"Cannot call write\(\) after write_eof\(\)"):
            transport.write(b"more")
        assert await end_of(pair[1]) == b"x" * 300_000
        pair[1].send(b"answer")
        assert await protocol.received(6) == b"answer"
        pair[1].close()
        assert await protocol.lost is None

    run(main())


def test_eof_received_keeps_it_open(run: Any, pair: Pair) -> None:
    async def main() -> None:
        transport, protocol = await start(pair[0], lambda: Recorder(keep_open=True))
        pair[1].send(b"question")
        pair[1].shutdown(socket.SHUT_WR)
        await protocol.ended.wait()
        await look_at_sockets()
        assert protocol.log == ["made", "data", "eof"]
        transport.write(b"a long answer" * 50_000)
        transport.write_eof()
        assert await end_of(pair[1]) == b"a long answer" * 50_000
        transport.close()
        assert await protocol.lost is None

    run(main())


# ---- ends ---------------------------------------------------------------------------------------


def test_close_sends_what_is_buffered(run: Any, pair: Pair) -> None:
    async def main() -> None:
        transport, protocol = await start(pair[0])
        transport.write(b"z" * 3_000_000)
        assert transport.get_write_buffer_size() > 0
        transport.close()
        transport.close()
        assert transport.is_closing()
        await look_at_sockets()
        assert not protocol.lost.done()
        assert len(await end_of(pair[1])) == 3_000_000
        assert await protocol.lost is None

    run(main())


def test_abort_drops_what_is_buffered(run: Any, pair: Pair) -> None:
    async def main() -> None:
        transport, protocol = await start(pair[0])
        transport.write(b"z" * 3_000_000)
        transport.abort()
        transport.abort()
        assert transport.get_write_buffer_size() == 0
        assert await protocol.lost is None
        assert len(await end_of(pair[1])) < 3_000_000

    run(main())


def test_abort_while_closing(run: Any, pair: Pair) -> None:
    async def main() -> None:
        transport, protocol = await start(pair[0])
        transport.write(b"z" * 3_000_000)
        transport.close()
        transport.abort()
        assert await protocol.lost is None
        assert protocol.log == ["made", "lost"]

    run(main())


def test_the_peer_resets(run: Any) -> None:
    one, other = tcp_pair()
    with one, other:
        one.setblocking(False)

        async def main() -> None:
            transport, protocol = await start(one)
            reset(other)
            assert isinstance(await protocol.lost, ConnectionResetError)
            assert protocol.log == ["made", "lost"]
            assert transport.is_closing()

        run(main())


def test_the_peer_resets_while_we_write(run: Any, pair: Pair, reports: list[Any]) -> None:
    async def main() -> None:
        transport, protocol = await start(pair[0])
        transport.write(b"z" * 3_000_000)
        pair[1].recv(1000)
        reset(pair[1]) if pair[1].family != socket.AF_UNIX else pair[1].close()
        assert isinstance(await protocol.lost, OSError)
        for _ in range(10):
            transport.write(b"into the void")
        if type(transport).__module__.startswith("hasten"):  # asyncio's fails with an AttributeError
            transport.writelines([b"into", b"the", b"void"])
        assert transport.get_write_buffer_size() == 0

    run(main())
    assert reports == []


def test_writes_to_a_lost_connection_are_told_of_in_the_log(run: Any, pair: Pair, caplog: Any) -> None:
    async def main() -> None:
        transport, protocol = await start(pair[0])
        transport.abort()
        await protocol.lost
        for _ in range(3):
            transport.write(b"x")
        assert "socket.send() raised exception" not in caplog.text
        for _ in range(5):
            transport.write(b"x")
        assert "socket.send() raised exception" in caplog.text

    run(main())


def test_after_the_end_everything_still_answers(run: Any, pair: Pair) -> None:
    async def main() -> None:
        transport, protocol = await start(pair[0])
        transport.close()
        await protocol.lost
        await look_at_sockets(1)
        assert transport.is_closing()
        assert not transport.is_reading()
        assert transport.get_write_buffer_size() == 0
        transport.pause_reading()
        transport.resume_reading()
        transport.close()
        transport.abort()
        assert "closed" in repr(transport)
        assert transport.get_extra_info("nothing", 7) == 7

    run(main())


# ---- errors of the protocol -----------------------------------------------------------------------


@pytest.mark.parametrize("method", ["data_received", "eof_received", "connection_lost", "connection_made"])
def test_a_protocol_that_fails(run: Any, pair: Pair, reports: list[Any], method: str) -> None:
    class Failing(Recorder):
        pass

    original = getattr(Recorder, method)

    def fail(self: Any, *args: Any) -> Any:
        original(self, *args)
        raise ZeroDivisionError(method)

    setattr(Failing, method, fail)

    async def main() -> None:
        transport, protocol = await start(pair[0], Failing)
        sock = transport.get_extra_info("socket")
        pair[1].send(b"x")
        pair[1].shutdown(socket.SHUT_WR)
        exc = await protocol.lost
        assert isinstance(exc, ZeroDivisionError) == (method in ("data_received", "eof_received"))
        await look_at_sockets(1)
        assert sock.fileno() == -1

    run(main())
    assert [str(report["exception"]) for report in reports] == [method]


@pytest.mark.parametrize("method", ["pause_writing", "resume_writing"])
def test_flow_control_that_fails_does_not_end_the_connection(
    run: Any, pair: Pair, reports: list[Any], method: str
) -> None:
    class Failing(Recorder):
        pass

    def fail(self: Any) -> None:
        raise ZeroDivisionError(method)

    setattr(Failing, method, fail)

    async def main() -> None:
        transport, protocol = await start(pair[0], Failing)
        transport.write(b"z" * 3_000_000)
        transport.close()
        assert len(await end_of(pair[1])) == 3_000_000
        assert await protocol.lost is None

    run(main())
    assert [str(report["exception"]) for report in reports] == [method]


@pytest.mark.parametrize("what", ["get_buffer raises", "get_buffer empty", "not a buffer", "read-only", "updated"])
def test_a_buffered_protocol_that_fails(run: Any, pair: Pair, reports: list[Any], what: str) -> None:
    class Failing(Recorder, asyncio.BufferedProtocol):
        def get_buffer(self, sizehint: int) -> Any:
            if what == "get_buffer raises":
                raise ZeroDivisionError
            return {"get_buffer empty": bytearray(), "not a buffer": [1, 2], "read-only": b"abc"}.get(
                what, bytearray(10)
            )

        def buffer_updated(self, count: int) -> None:
            raise ZeroDivisionError

    async def main() -> None:
        _, protocol = await start(pair[0], Failing)
        pair[1].send(b"x")
        assert await protocol.lost is not None

    run(main())
    assert len(reports) == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exit_in_data_received_comes_out_of_the_loop(
    either_loop: Any, pair: Pair, kind: type[BaseException]
) -> None:
    class Leaving(Recorder):
        def data_received(self, data: bytes) -> None:
            raise kind

    async def main() -> Any:
        return await start(pair[0], Leaving)

    transport, protocol = either_loop.run_until_complete(main())
    pair[1].send(b"x")
    with pytest.raises(kind):
        either_loop.run_forever()
    transport.abort()
    either_loop.run_until_complete(protocol.lost)


# ---- other protocols, other methods -----------------------------------------------------------------


def test_set_protocol_in_midstream(run: Any, pair: Pair) -> None:
    class Buffered(Recorder, asyncio.BufferedProtocol):
        def get_buffer(self, sizehint: int) -> Any:
            self.buffer = bytearray(3)
            return self.buffer

        def buffer_updated(self, count: int) -> None:
            self.data_received(bytes(self.buffer[:count]))

    async def main() -> None:
        transport, first = await start(pair[0])
        pair[1].send(b"one")
        await first.received(3)
        second = Buffered()
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        pair[1].send(b"two more")
        assert await second.received(8) == b"two more"
        third = Recorder()
        transport.set_protocol(third)
        pair[1].send(b"three")
        assert await third.received(5) == b"three"
        pair[1].close()
        assert await third.lost is None
        assert first.data == b"one"
        assert not first.lost.done()

    run(main())


def test_methods_can_be_replaced_on_an_instance(run: Any, pair: Pair) -> None:
    async def main() -> None:
        transport, protocol = await start(pair[0])
        seen: list[bytes] = []
        original = transport.write
        transport.write = lambda data: (seen.append(data), original(data))
        transport.write(b"x")
        assert seen == [b"x"]
        assert (await asyncio.get_running_loop().sock_recv(pair[1], 10)) == b"x"
        transport.anything = 1
        transport.abort()
        await protocol.lost

    run(main())


def test_extra_info(run: Any, pair: Pair) -> None:
    async def main() -> None:
        names = pair[0].getsockname(), pair[0].getpeername()
        transport, protocol = await start(pair[0])
        sock = transport.get_extra_info("socket")
        assert isinstance(sock, asyncio.trsock.TransportSocket)
        assert sock.family == pair[1].family
        if sock.family != socket.AF_UNIX:
            assert (transport.get_extra_info("sockname"), transport.get_extra_info("peername")) == names
        assert transport.get_extra_info("unknown") is None
        assert transport.get_extra_info("unknown", 5) == 5
        with pytest.raises(RuntimeError, match="File descriptor .* is used by transport"):
            asyncio.get_running_loop().add_reader(sock.fileno(), print)
        transport.abort()
        await protocol.lost

    run(main())


def test_it_goes_when_nobody_needs_it(run: Any, pair: Pair) -> None:
    async def main() -> Any:
        transport, protocol = await start(pair[0])
        transport.close()
        await protocol.lost
        return weakref.ref(protocol)

    gone = run(main())
    gc.collect()
    assert gone() is None


# ---- what comes beside the data -------------------------------------------------------------------


class Filling(asyncio.BufferedProtocol):
    """Receives into a buffer of its own."""

    def __init__(self) -> None:
        self.data = b""
        self.got = asyncio.Event()
        self.lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.space = bytearray(1 << 16)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.space

    def buffer_updated(self, nbytes: int) -> None:
        self.data += self.space[:nbytes]
        self.got.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)

    received = Recorder.received


@pytest.mark.parametrize("factory", [Recorder, Filling])
@pytest.mark.parametrize("size", [10, 40_000])  # small reads are copied, large ones are not
def test_descriptors_between_the_data_do_not_end_a_read(run: Any, factory: Any, size: int) -> None:
    """The kernel ends a read at them, though more data is there already."""

    async def main() -> None:
        one, other = socket.socketpair()
        with other:
            transport, protocol = await start(one, factory)
            other.send(bytes(size))  # what comes next is read as what came last
            await protocol.received(size)
            for _ in range(3):
                socket.send_fds(other, [bytes(size)], [other.fileno(), other.fileno()])
            other.send(b"end")
            assert (await protocol.received(4 * size + 3)).endswith(b"end")
            transport.close()
            await protocol.lost

    run(main())
