"""Peers that behave badly, and very many or very large writes: the same on hasten and on asyncio."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    """(the transport's end, the peer's end) of a TCP connection: the first nonblocking, the other's calls take 20 s."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    with one, other:
        one.setblocking(False)
        other.settimeout(20)
        yield one, other


class Recorder(asyncio.Protocol):
    """Writes down what happens. `keep` is what eof_received() returns."""

    def __init__(self, keep: bool = False) -> None:
        loop = asyncio.get_running_loop()
        self.log: list[str] = []
        self.keep = keep
        self.lost: asyncio.Future[Any] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.paused: asyncio.Future[None] = loop.create_future()

    def data_received(self, data: bytes) -> None:
        self.log.append("data")

    def eof_received(self) -> bool:
        self.log.append("eof")
        self.ended.set_result(None)
        return self.keep

    def pause_writing(self) -> None:
        self.log.append("pause")
        if not self.paused.done():
            self.paused.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.log.append("lost")
        self.lost.set_result(exc)


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def start(sock: socket.socket, protocol: asyncio.Protocol) -> Any:
    own = sock.dup()
    sock.close()
    transport, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, own)
    return transport


def write_until_full(transport: Any) -> None:
    while not transport.get_write_buffer_size():
        transport.write(bytes(100_000))


STATES = ("reading", "paused", "full", "full and paused", "half-closed by us", "half-closed by it", "closing")


@pytest.mark.parametrize("state", STATES)
def test_a_peer_that_resets(run: Any, reports: list[Any], pair: Pair, state: str) -> None:
    """It is told once, with the error where something was still to be read or sent, and nothing is left waiting."""

    async def main() -> tuple[list[str], Any]:
        protocol = Recorder(keep=state == "half-closed by it")
        transport = await start(pair[0], protocol)
        if "paused" in state:
            transport.pause_reading()
        if "full" in state or state == "closing":
            write_until_full(transport)
            transport.write(bytes(1_000_000))
        if state == "half-closed by us":
            transport.write_eof()
            assert await asyncio.to_thread(pair[1].recv, 1) == b""
        elif state == "half-closed by it":
            pair[1].shutdown(socket.SHUT_WR)
            await protocol.ended
        elif state == "closing":
            transport.close()
        reset(pair[1])
        if state in ("paused", "half-closed by it"):
            # nobody reads: it is met by the next write, or by the one after that
            for _ in range(3):
                transport.write(b"!")
                await asyncio.sleep(0)
            transport.resume_reading()
        async with asyncio.timeout(20):
            error = await protocol.lost
        assert transport.is_closing()
        assert transport.get_write_buffer_size() == 0
        if state != "half-closed by us":
            transport.write(b"into the void")
        return protocol.log, type(error)

    log, error = run(main())
    assert log.count("lost") == 1
    assert log[-1] == "lost"
    assert issubclass(error, OSError)
    assert reports == []


def test_a_peer_that_reads_nothing_costs_no_more_than_the_high_water_mark(run: Any, pair: Pair) -> None:
    """A producer that heeds pause_writing() is stopped, however long the peer sleeps."""

    async def main() -> None:
        protocol = Recorder()
        transport = await start(pair[0], protocol)
        transport.set_write_buffer_limits(high=100_000)
        most = 0
        while not protocol.paused.done():
            transport.write(bytes(10_000))
            most = max(most, transport.get_write_buffer_size())
            await asyncio.sleep(0)
        assert 100_000 < most <= 110_000
        transport.abort()
        await protocol.lost

    run(main())


def test_a_peer_that_is_half_open(run: Any, pair: Pair) -> None:
    """It has ended its side, and still reads all that is written afterwards."""

    async def main() -> None:
        protocol = Recorder(keep=True)
        transport = await start(pair[0], protocol)
        pair[1].shutdown(socket.SHUT_WR)
        await protocol.ended
        transport.write(bytes(5_000_000))
        transport.write_eof()

        def read() -> int:
            got = 0
            while data := pair[1].recv(1 << 20):
                got += len(data)
            return got

        assert await asyncio.to_thread(read) == 5_000_000
        transport.close()
        assert await protocol.lost is None
        assert protocol.log == ["eof", "pause", "lost"]

    run(main())


def test_very_many_writes_of_one_byte(run: Any, pair: Pair) -> None:
    sent = bytes(i * 7 % 251 for i in range(60_000))

    async def main() -> bytes:
        protocol = Recorder()
        transport = await start(pair[0], protocol)

        def read() -> bytes:
            got = bytearray()
            while data := pair[1].recv(1 << 16):
                got += data
            return bytes(got)

        reader = asyncio.ensure_future(asyncio.to_thread(read))
        for i, byte in enumerate(sent):
            transport.write(bytes((byte,)))
            if i % 1000 == 0:
                await asyncio.sleep(0)
        transport.close()
        assert await protocol.lost is None
        return await reader

    assert run(main()) == sent


def test_one_write_of_a_gibibyte(run: Any, pair: Pair) -> None:
    """More than one system call takes."""
    size = (1 << 30) + 1

    async def main() -> int:
        protocol = Recorder()
        transport = await start(pair[0], protocol)

        def read() -> int:
            got, room = 0, bytearray(1 << 20)
            while n := pair[1].recv_into(room):
                got += n
            return got

        reader = asyncio.ensure_future(asyncio.to_thread(read))
        transport.write(bytes(size))
        transport.close()
        assert await protocol.lost is None
        return await reader

    assert run(main()) == size


MOMENTS = ("before it is made", "before its first data", "between data", "behind a write", "behind pause_reading()",
           "behind write_eof()", "twice", "close, then abort", "abort, then close")  # fmt: skip


@pytest.mark.parametrize("moment", MOMENTS)
def test_closing_at_each_point_of_a_life(run: Any, reports: list[Any], pair: Pair, moment: str) -> None:
    async def main() -> None:
        protocol = Recorder()
        loop = asyncio.get_running_loop()
        if moment == "before it is made":
            made: list[Any] = []

            def connection_made(transport: Any) -> None:
                made.append(transport)
                transport.close()

            protocol.connection_made = connection_made  # type: ignore[method-assign, assignment]
            transport = await start(pair[0], protocol)
            assert made == [transport]
        else:
            transport = await start(pair[0], protocol)
        if moment == "between data":
            pair[1].sendall(b"one")
            while not protocol.log:
                await asyncio.sleep(0)
            pair[1].sendall(b"two")
        if moment == "before its first data":
            pair[1].sendall(b"one")
        if moment == "behind a write":
            transport.write(b"last words")
        if moment == "behind pause_reading()":
            transport.pause_reading()
        if moment == "behind write_eof()":
            transport.write_eof()
        if moment == "abort, then close":
            transport.abort()
        transport.close()
        if moment == "twice":
            loop.call_soon(transport.close)
        if moment == "close, then abort":
            transport.abort()
        async with asyncio.timeout(20):
            assert await protocol.lost is None
        assert protocol.log == (["data", "lost"] if moment == "between data" else ["lost"])
        if moment == "behind a write":
            assert await asyncio.to_thread(pair[1].recv, 100) == b"last words"

    run(main())
    assert reports == []


def test_a_signal_in_the_middle_of_everything(run: Any, pair: Pair) -> None:
    """Handlers of Python's run between the reads and writes, and take nothing of them away."""
    import signal

    size = 20_000_000

    async def main() -> tuple[int, int]:
        count = 0

        def handler(number: int, frame: Any) -> None:
            nonlocal count
            count += 1

        before = signal.signal(signal.SIGUSR1, handler)
        over = threading.Event()
        me = threading.get_ident()

        def disturb() -> None:
            while not over.wait(0.0005):
                signal.pthread_kill(me, signal.SIGUSR1)

        def read() -> int:
            got = 0
            while data := pair[1].recv(1 << 16):
                got += len(data)
            return got

        disturber = threading.Thread(target=disturb)
        disturber.start()
        try:
            protocol = Recorder()
            transport = await start(pair[0], protocol)
            reader = asyncio.ensure_future(asyncio.to_thread(read))
            for _ in range(size // 10_000):
                transport.write(bytes(10_000))
                await asyncio.sleep(0)
            while count < 3:  # a fast machine may be done before the first
                await asyncio.sleep(0)
            transport.close()
            assert await protocol.lost is None
            return await reader, count
        finally:
            over.set()
            disturber.join()
            signal.signal(signal.SIGUSR1, before)

    got, count = run(main())
    assert got == size
    assert count >= 3
