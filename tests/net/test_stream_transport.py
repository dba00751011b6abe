"""The stream transport over connected socket pairs, TCP and unix: the same of hasten's and of asyncio's."""

from __future__ import annotations

import array
import asyncio
import hashlib
import random
import socket
import struct
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
    """(the transport's end, the peer's end): nonblocking."""
    one, other = socket.socketpair() if request.param == "unix" else tcp_pair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


class Recorder(asyncio.Protocol):
    """Writes down what happens to it."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.data = b""
        self.transport: Any = None
        self.lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()
        self.got = asyncio.Event()
        self.room = asyncio.Event()
        self.keep_open = False

    def connection_made(self, transport: Any) -> None:
        self.log.append("made")
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.data += data
        self.got.set()

    def eof_received(self) -> bool:
        self.log.append("eof")
        self.ended.set()
        return self.keep_open

    def pause_writing(self) -> None:
        self.log.append("pause")
        self.room.clear()

    def resume_writing(self) -> None:
        self.log.append("resume")
        self.room.set()

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
    sock.close()  # or the peer would see no end when the transport closes its own
    return await asyncio.get_running_loop().connect_accepted_socket(factory, own)


async def receive(sock: socket.socket, count: int) -> bytes:
    """`count` bytes, or fewer at the end of the stream."""
    parts: list[bytes] = []
    while count > 0:
        data = await asyncio.get_running_loop().sock_recv(sock, min(count, 1 << 18))
        if not data:
            break
        parts.append(data)
        count -= len(data)
    return b"".join(parts)


def noise(count: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(count)


def small_buffers(*socks: socket.socket) -> None:
    for sock in socks:
        # TCP with less waits for delayed acknowledgements
        size = 4096 if sock.family == socket.AF_UNIX else 65536
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)


def test_hello(run: Any, pair: Pair) -> None:
    async def main() -> None:
        transport, protocol = await start(pair[0])
        assert protocol.log == ["made"]
        assert protocol.transport is transport
        assert isinstance(transport, asyncio.Transport)
        assert transport.get_protocol() is protocol
        pair[1].send(b"hello")
        assert await protocol.received(5) == b"hello"
        transport.write(b"and ")
        transport.write(bytearray(b"back "))
        transport.write(memoryview(b"again"))
        transport.write(b"")
        assert await receive(pair[1], 14) == b"and back again"
        assert transport.get_write_buffer_size() == 0
        transport.close()
        assert transport.is_closing()
        assert await protocol.lost is None
        assert protocol.log == ["made", "lost"]
        assert await receive(pair[1], 1) == b""

    run(main())


@pytest.mark.slow  # each size of pieces there may be, some megabytes of each
@pytest.mark.parametrize("chunk", [1, 1000, 16_384, 20_000, 65_536, 262_144, 300_000])
@pytest.mark.parametrize("kind", ["protocol", "buffered", "items"])
def test_nothing_is_left_behind(run: Any, pair: Pair, chunk: int, kind: str, settle: Any) -> None:
    """Whatever the sizes of reads before: the transport reads on until the socket is drained."""
    total = min(chunk * 60, 3_000_000)
    data = noise(total)

    class Buffered(Recorder, asyncio.BufferedProtocol):
        def __init__(self) -> None:
            super().__init__()
            self.buffer = bytearray(1000) if kind == "buffered" else array.array("I", bytes(4000))

        def get_buffer(self, sizehint: int) -> Any:
            return self.buffer

        def buffer_updated(self, count: int) -> None:
            self.data_received(bytes(memoryview(self.buffer).cast("B")[:count]))

    async def main() -> None:
        for sock in pair:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        transport, protocol = await start(pair[0], Recorder if kind == "protocol" else Buffered)
        sent = 0
        while sent < total:
            await asyncio.get_running_loop().sock_sendall(pair[1], data[sent : sent + chunk])
            sent += chunk
            if sent % (chunk * 7) == 0:
                await settle(2)
        assert await protocol.received(total) == data
        transport.abort()
        await protocol.lost

    run(main())


def test_urgent_data_does_not_hide_what_follows(run: Any, settle: Any) -> None:
    """A read of TCP ends at the urgent mark, with more behind it."""
    one, other = tcp_pair()
    with one, other:

        async def main() -> None:
            transport, protocol = await start(one)
            transport.pause_reading()
            other.send(b"before")
            other.send(b"!", socket.MSG_OOB)
            other.send(b"after")
            await settle()
            transport.resume_reading()
            await protocol.received(11)
            assert protocol.data.replace(b"!", b"") == b"beforeafter"
            transport.abort()
            await protocol.lost

        run(main())


def test_received_bytes_stay_what_they_are(run: Any, pair: Pair) -> None:
    """Large reads reuse memory: never that of bytes which somebody has kept."""

    class Keeping(Recorder):
        def __init__(self) -> None:
            super().__init__()
            self.kept: list[Any] = []
            self.sums: list[str] = []
            self.count = 0

        def data_received(self, data: bytes) -> None:
            how = len(self.kept) % 4
            self.kept.append([data, memoryview(data), {data: 1}, data[:]][how] if self.count % 2 else None)
            self.sums.append(hashlib.sha256(data).hexdigest())
            self.count += len(data)
            self.got.set()

        async def until(self, count: int) -> None:
            while self.count < count:
                self.got.clear()
                await self.got.wait()

    async def main() -> None:
        transport, protocol = await start(pair[0], Keeping)
        data = noise(4_000_000)
        sending = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(pair[1], data))
        await protocol.until(len(data))
        await sending
        for kept, expected in zip(protocol.kept, protocol.sums, strict=True):
            if kept is not None:
                value = next(iter(kept)) if isinstance(kept, dict) else bytes(kept)
                assert hashlib.sha256(value).hexdigest() == expected
        transport.abort()
        await protocol.lost

    run(main())


def test_an_error_in_the_midst_of_large_reads(run: Any, reports: list[Any], settle: Any) -> None:
    """Memory that was lent to a protocol which fails is not taken for something else later."""

    class Failing(Recorder):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if len(self.data) > 200_000:
                raise ZeroDivisionError

    async def main() -> None:
        for round_ in range(10):
            one, other = socket.socketpair()
            with one, other:
                other.setblocking(False)
                one.setblocking(False)
                _, protocol = await start(one, Failing)
                sending = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(other, noise(400_000, round_)))
                assert isinstance(await protocol.lost, ZeroDivisionError)
                sending.cancel()
                await asyncio.wait([sending])
                if not sending.cancelled():
                    sending.exception()
                small, still = socket.socketpair()
                with small, still:
                    still.setblocking(False)
                    transport, fresh = await start(small)
                    for i in range(50):
                        still.send(bytes([i]) * (i * 37 + 1))
                        await settle(2)
                    expected = b"".join(bytes([i]) * (i * 37 + 1) for i in range(50))
                    assert await fresh.received(len(expected)) == expected
                    transport.abort()
                    await fresh.lost

    run(main())
    assert {type(report["exception"]) for report in reports} == {ZeroDivisionError}


# ---- writing ------------------------------------------------------------------------------------


def test_write_takes_bytes_like_objects_only(run: Any, pair: Pair) -> None:
    async def main() -> None:
        transport, protocol = await start(pair[0])
        for wrong in ("text", 5, None, [b"x"], array.array("b", b"x")):
            with pytest.raises(TypeError):
                transport.write(wrong)
        if type(transport).__module__.startswith("hasten"):
            for wrong_lines in ([b"x", "text"], [None], 5, None):
                with pytest.raises(TypeError):
                    transport.writelines(wrong_lines)
        transport.close()
        await protocol.lost

    run(main())


def test_writelines(run: Any, pair: Pair) -> None:
    async def main() -> None:
        transport, protocol = await start(pair[0])
        transport.writelines([b"a", bytearray(b"b"), memoryview(b"c"), b"", b"d"])
        transport.writelines(iter([b"e", b"f"]))
        transport.writelines([])
        many = [bytes([65 + i % 26]) for i in range(300)]
        transport.writelines(many)
        assert await receive(pair[1], 306) == b"abcdef" + b"".join(many)
        transport.close()
        await protocol.lost

    run(main())


@pytest.mark.stdlib_since(3, 12)
def test_writelines_is_one_message(run: Any) -> None:
    """A socket of packets shows how many system calls there were."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with one, other:
        one.setblocking(False)
        other.setblocking(False)

        async def main() -> None:
            transport, protocol = await start(one)
            transport.writelines([b"x" * 100, b"y" * 100, b"z" * 100])
            await asyncio.sleep(0)  # small writes leave when the batch ends
            # a unix socket queues each sendmsg() as one buffer: its overhead counts once
            first = unread(other)
            assert len(other.recv(1000)) == 300
            for byte in (b"x", b"y", b"z"):
                transport.write(byte * 100)
            await asyncio.sleep(0)
            assert unread(other) == first
            assert len(other.recv(1000)) == 300
            transport.close()
            await protocol.lost

        run(main())


def unread(sock: socket.socket) -> int:
    """Bytes that wait in a socket."""
    import fcntl
    import termios

    (count,) = struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, b"\0" * 4))
    return int(count)


@pytest.mark.ours("asyncio keeps a view of the buffer")
def test_a_mutable_buffer_may_change_after_write(run: Any, pair: Pair) -> None:
    small_buffers(*pair)

    async def main() -> None:
        transport, protocol = await start(pair[0])
        expected = b""
        for i in range(20):
            buffer = bytearray(bytes([i]) * 30_000)
            view = memoryview(buffer)
            (transport.write if i % 2 else lambda data: transport.writelines([data]))(view)
            expected += bytes(buffer)
            buffer[:] = b"\xff" * 30_000
        assert await receive(pair[1], len(expected)) == expected
        transport.close()
        await protocol.lost

    run(main())


@pytest.mark.ours("asyncio counts the items of the buffer")
def test_large_items_are_counted_in_bytes(run: Any, pair: Pair) -> None:
    small_buffers(*pair)

    async def main() -> None:
        transport, protocol = await start(pair[0])
        view = memoryview(noise(800_000)).cast("I").cast("B").cast("Q")
        transport.write(view)
        assert await receive(pair[1], 800_000) == bytes(view)
        transport.close()
        await protocol.lost

    run(main())


def test_flow_control(run: Any, pair: Pair) -> None:
    small_buffers(*pair)

    async def main() -> None:
        transport, protocol = await start(pair[0])
        low, high = transport.get_write_buffer_limits()
        assert 0 <= low < high
        transport.set_write_buffer_limits(high=1000, low=200)
        assert transport.get_write_buffer_limits() == (200, 1000)
        sent = b""
        while "pause" not in protocol.log:
            data = noise(700, len(sent))
            transport.write(data)
            sent += data
        assert transport.get_write_buffer_size() > 1000
        transport.write(b"more")
        assert protocol.log.count("pause") == 1
        assert await receive(pair[1], len(sent) + 4) == sent + b"more"
        await protocol.room.wait()
        assert protocol.log == ["made", "pause", "resume"]
        assert transport.get_write_buffer_size() <= 200
        transport.close()
        await protocol.lost

    run(main())


def test_flow_control_limits(run: Any, pair: Pair) -> None:
    async def main() -> None:
        transport, protocol = await start(pair[0])
        transport.set_write_buffer_limits(high=0)
        assert transport.get_write_buffer_limits() == (0, 0)
        transport.set_write_buffer_limits(low=10)
        assert transport.get_write_buffer_limits() == (10, 40)
        transport.set_write_buffer_limits()
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        for high, low in [(1, 2), (-1, -1), (5, -1)]:
            with pytest.raises(ValueError, match=r"high .* must be >= low"):
                transport.set_write_buffer_limits(high=high, low=low)
        transport.close()
        await protocol.lost

    run(main())


@pytest.mark.parametrize("seed", range(3))
def test_big_transfers_both_ways_at_once(run: Any, pair: Pair, seed: int) -> None:
    small_buffers(*pair)
    here, there = noise(2_000_000, seed), noise(2_000_000, seed + 100)

    async def main() -> None:
        one, first = await start(pair[0])
        other, second = await start(pair[1])
        rng = random.Random(seed)

        async def write(transport: Any, protocol: Any, data: bytes) -> None:
            protocol.room.set()
            at = 0
            while at < len(data):
                size = rng.choice([1, 100, 5000, 70_000, 300_000])
                if rng.random() < 0.3:
                    pieces = [data[i : i + size // 7 + 1] for i in range(at, min(at + size, len(data)), size // 7 + 1)]
                    transport.writelines(pieces)
                    at += sum(map(len, pieces))
                else:
                    transport.write(data[at : at + size])
                    at += size
                await protocol.room.wait()

        await asyncio.gather(
            write(one, first, here), write(other, second, there), second.received(len(here)), first.received(len(there))
        )
        assert second.data == here
        assert first.data == there
        for transport, protocol in ((one, first), (other, second)):
            transport.close()
            await protocol.lost

    run(main())


def test_one_busy_connection_does_not_starve_the_others(run: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        one, other = socket.socketpair()
        quiet, peer = socket.socketpair()
        with one, other, quiet, peer:
            for sock in (one, other, quiet, peer):
                sock.setblocking(False)
            (busy, flooded), (calm, answered) = await start(one), await start(quiet)
            block = bytes(1 << 18)

            async def flood() -> None:
                while True:
                    await loop.sock_sendall(other, block)

            flooding = asyncio.ensure_future(flood())
            await flooded.received(1 << 20)
            for i in range(20):
                flooded.data = b""
                peer.send(b"x")
                await answered.received(i + 1)
            flooding.cancel()
            await asyncio.wait([flooding])
            for transport, protocol in ((busy, flooded), (calm, answered)):
                transport.abort()
                await protocol.lost

    run(main())


def test_messages_of_a_stream_that_is_no_tcp(run: Any) -> None:
    async def main() -> None:
        near, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sctp = 132  # its reads end at the end of a message, as those of the kind that it is made of here
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, sctp, near.detach()) as one, other:
            one.setblocking(False)
            other.setblocking(False)
            for message in (b"one", b"two", b"three"):
                other.send(message)
            transport, protocol = await start(one)
            await protocol.received(11)
            assert protocol.data == b"onetwothree"
            transport.abort()
            await protocol.lost

    run(main())
