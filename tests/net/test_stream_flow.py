"""Streams under load and at their edges: water marks, calls from within callbacks, what is kept of large reads."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import random
import re
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture(params=["unix", "tcp"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """(the transport's end, the peer's end): nonblocking."""
    if request.param == "unix":
        one, other = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            one = socket.create_connection(listener.getsockname())
            other, _ = listener.accept()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


class Recorder(asyncio.Protocol):
    """Writes down what happens, and calls what `on` has for it."""

    def __init__(self, **on: Callable[[Any], Any]) -> None:
        self.on = on
        self.log: list[str] = []
        self.data = bytearray()
        self.transport: Any = None
        self.lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.news = asyncio.Event()

    def note(self, what: str) -> Any:
        self.log.append(what)
        self.news.set()
        return self.on[what](self.transport) if what in self.on else None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.note("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.note("data")

    def eof_received(self) -> Any:
        return self.note("eof")

    def pause_writing(self) -> None:
        self.note("pause")

    def resume_writing(self) -> None:
        self.note("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)
        self.note("lost")

    async def until(self, true: Callable[[], bool]) -> None:
        while not true():
            self.news.clear()
            await self.news.wait()


class Buffered(Recorder, asyncio.BufferedProtocol):
    """The same, with a buffer of its own."""

    def __init__(self, room: int = 1000, **on: Callable[[Any], Any]) -> None:
        super().__init__(**on)
        self.buffer = bytearray(room)

    def get_buffer(self, sizehint: int) -> Any:
        self.note("get")
        return memoryview(self.buffer)

    def buffer_updated(self, count: int) -> None:
        self.data += self.buffer[:count]
        self.note("data")


async def start(sock: socket.socket, protocol: Any) -> Any:
    own = sock.dup()
    sock.close()  # or the peer would see no end when the transport closes its own
    transport, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, own)
    return transport


async def receive(sock: socket.socket, count: int | None = None) -> bytes:
    """`count` bytes, or all up to the end of the stream."""
    got = bytearray()
    while count is None or len(got) < count:
        data = await asyncio.get_running_loop().sock_recv(sock, 1 << 18 if count is None else count - len(got))
        if not data:
            break
        got += data
    return bytes(got)


async def end(transport: Any, protocol: Any) -> None:
    transport.abort()
    await protocol.lost


def noise(count: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(count)


def narrow(pair: Pair) -> None:
    """Lets the sockets hold little, so that a large write has to wait."""
    for sock in pair:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)


def fill(transport: Any) -> int:
    """Writes until something has to wait; the number of bytes written."""
    written = 0
    while not transport.get_write_buffer_size():
        transport.write(b"\0" * 50_000)
        written += 50_000
    return written


# ---- writing ------------------------------------------------------------------------------------


def test_pieces_of_every_size_arrive_in_order(run: Any, pair: Pair) -> None:
    async def main() -> None:
        protocol = Recorder()
        transport = await start(pair[0], protocol)
        rng = random.Random(7)
        expected = bytearray()
        for i in range(600):
            data = bytes([i % 251]) * rng.choice([0, 1, 2, 77, 1500, 9000])
            expected += data
            kind = rng.choice([bytes, bytearray, memoryview])
            if i % 3:
                transport.write(kind(data))
            else:
                transport.writelines([kind(data), b"", memoryview(b"<>"), bytearray()])
                expected += b"<>"
        transport.close()
        assert await receive(pair[1]) == expected
        assert await protocol.lost is None

    run(main())


def test_eight_megabytes_both_ways_at_once(run: Any, pair: Pair) -> None:
    size = 8 << 20
    here, there = noise(size, 1), noise(size, 2)

    async def main() -> None:
        first, second = Recorder(), Recorder()
        one, other = await start(pair[0], first), await start(pair[1], second)
        one.write(here)
        other.write(there)
        await first.until(lambda: len(first.data) >= size)
        await second.until(lambda: len(second.data) >= size)
        assert first.data == there
        assert second.data == here
        one.close()
        assert await first.lost is None
        assert await second.lost is None

    run(main())


def test_the_water_marks_are_exact(run: Any, pair: Pair, settle: Any) -> None:
    sizes = []

    async def main() -> None:
        protocol = Recorder(resume=lambda transport: sizes.append(transport.get_write_buffer_size()))
        transport = await start(pair[0], protocol)
        transport.set_write_buffer_limits(high=1 << 30)
        written = fill(transport)
        waiting = transport.get_write_buffer_size()
        transport.set_write_buffer_limits(high=waiting + 10, low=3)
        transport.write(b"x" * 10)
        assert transport.get_write_buffer_size() == waiting + 10
        assert protocol.log == ["made"]
        transport.write(b"y")
        assert protocol.log == ["made", "pause"]
        transport.write(b"z")
        transport.set_write_buffer_limits(high=5, low=3)
        assert protocol.log == ["made", "pause"]
        assert (await receive(pair[1], written + 12))[written:] == b"x" * 10 + b"yz"
        await protocol.until(lambda: "resume" in protocol.log)
        await settle()
        assert protocol.log == ["made", "pause", "resume"]
        assert sizes[0] <= 3
        await end(transport, protocol)

    run(main())


def test_lower_limits_pause_at_once(run: Any, pair: Pair) -> None:
    async def main() -> None:
        protocol = Recorder()
        transport = await start(pair[0], protocol)
        transport.set_write_buffer_limits(high=1 << 30)
        fill(transport)
        assert protocol.log == ["made"]
        with pytest.raises(ValueError, match="must be >= low"):
            transport.set_write_buffer_limits(high=1, low=2)
        assert transport.get_write_buffer_limits() == (1 << 28, 1 << 30)
        transport.set_write_buffer_limits(high=0)
        assert protocol.log == ["made", "pause"]
        await end(transport, protocol)
        assert protocol.log == ["made", "pause", "lost"]

    run(main())


@pytest.mark.ours("in asyncio writelines() does not pause the protocol")
def test_writelines_pauses_too(run: Any, pair: Pair) -> None:
    async def main() -> None:
        protocol = Recorder()
        transport = await start(pair[0], protocol)
        transport.writelines([b"x" * 50_000] * 100)
        assert protocol.log == ["made", "pause"]
        transport.close()
        assert len(await receive(pair[1])) == 5_000_000
        assert await protocol.lost is None
        assert protocol.log == ["made", "pause", "resume", "lost"]

    run(main())


def test_writing_on_from_resume_writing(run: Any, pair: Pair) -> None:
    narrow(pair)
    rounds = list(range(1, 6))

    def more(transport: Any) -> None:
        if rounds:
            transport.write(bytes([rounds.pop(0)]) * 1_000_000)
        else:
            transport.close()

    async def main() -> None:
        protocol = Recorder(resume=more)
        transport = await start(pair[0], protocol)
        transport.write(b"\0" * 1_000_000)
        got = await receive(pair[1])
        assert got == b"".join(bytes([i]) * 1_000_000 for i in range(6))
        assert await protocol.lost is None
        assert protocol.log == ["made", *["pause", "resume"] * 6, "lost"]

    run(main())


def test_write_while_closing_still_goes_out(run: Any, pair: Pair) -> None:
    """As long as something is buffered, what is written after close() is sent as well."""

    async def main() -> None:
        protocol = Recorder()
        transport = await start(pair[0], protocol)
        written = fill(transport)
        transport.close()
        transport.write(b"postscript")
        assert (await receive(pair[1]))[written:] == b"postscript"
        assert await protocol.lost is None

    run(main())


@pytest.mark.ours("asyncio's versions differ")
def test_write_after_close_of_an_idle_transport_is_dropped(run: Any, pair: Pair) -> None:
    async def main() -> None:
        protocol = Recorder()
        transport = await start(pair[0], protocol)
        transport.write(b"in time")
        transport.close()
        transport.write(b"too late")
        transport.write(b"")
        with pytest.raises(TypeError, match=r"data argument must be a bytes-like object, not 'str'"):
            transport.write("text")
        assert await receive(pair[1]) == b"in time"
        assert await protocol.lost is None

    run(main())


def test_empty_writes_after_write_eof(run: Any, pair: Pair) -> None:
    async def main() -> None:
        protocol = Recorder()
        transport = await start(pair[0], protocol)
        transport.write_eof()
        for data in (b"", b"x", bytearray(), memoryview(b"")):
            with pytest.raises(RuntimeError, match="after write_eof"):
                transport.write(data)
        with pytest.raises(RuntimeError, match="after write_eof"):
            transport.writelines([b"x"])
        assert await receive(pair[1]) == b""
        assert not transport.is_closing()
        await end(transport, protocol)

    run(main())


def test_write_eof_after_close_does_nothing(run: Any, pair: Pair) -> None:
    async def main() -> None:
        protocol = Recorder()
        transport = await start(pair[0], protocol)
        written = fill(transport)
        transport.close()
        transport.write_eof()
        transport.write(b"!")
        assert len(await receive(pair[1])) == written + 1
        assert await protocol.lost is None

    run(main())


# ---- calls from within callbacks ------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("where", ["made", "data", "eof", "pause", "resume", "get"])
def test_ending_from_within(
    run: Any, either_loop: Any, pair: Pair, reports: list[Any], where: str, how: str, settle: Any
) -> None:
    narrow(pair)

    async def main() -> None:
        on = {where: lambda transport: getattr(transport, how)()}
        protocol = Buffered(1000, **on) if where == "get" else Recorder(**on)
        transport = await start(pair[0], protocol)
        if where in ("pause", "resume"):
            transport.write(b"x" * 1_000_000)
            got = await receive(pair[1])
            assert len(got) == 1_000_000 or how == "abort"
        elif where != "made":
            pair[1].send(b"y" * 5000)
            pair[1].shutdown(socket.SHUT_WR)
        assert await protocol.lost is None
        await settle()
        assert protocol.log.count("lost") == 1
        assert protocol.log[-1] == "lost"
        if where in ("data", "get"):
            assert protocol.log.count(where) == 1
        if where == "made":
            assert protocol.log == ["made", "lost"]

    run(main())
    # asyncio loses a connection twice that ends in resume_writing() when nothing is left to send
    if where != "resume" or type(either_loop).__module__.startswith("hasten"):
        assert reports == []


@pytest.mark.parametrize("kind", [Recorder, Buffered])
def test_pausing_with_much_more_waiting(run: Any, pair: Pair, kind: type[Recorder], settle: Any) -> None:
    data = noise(1 << 20)

    async def main() -> None:
        protocol = kind(data=lambda transport: transport.pause_reading())
        if isinstance(protocol, Buffered):
            protocol.buffer = bytearray(70_000)
        transport = await start(pair[0], protocol)
        sending = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(pair[1], data))
        seen = 0
        while seen < len(data):
            calls = protocol.log.count("data")
            await protocol.until(lambda calls=calls: protocol.log.count("data") > calls)
            seen = len(protocol.data)
            await settle()
            assert len(protocol.data) == seen
            assert not transport.is_reading()
            transport.resume_reading()
        await sending
        assert protocol.data == data
        await end(transport, protocol)

    run(main())


def test_pausing_and_resuming_at_once(run: Any, pair: Pair) -> None:
    data = noise(2 << 20)

    def flip(transport: Any) -> None:
        transport.pause_reading()
        transport.resume_reading()

    async def main() -> None:
        protocol = Recorder(data=flip)
        transport = await start(pair[0], protocol)
        sending = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(pair[1], data))
        await sending
        pair[1].close()
        assert await protocol.lost is None
        assert protocol.data == data
        assert transport.is_closing()

    run(main())


def test_an_echo_of_large_data(run: Any, pair: Pair) -> None:
    data = noise(3 << 20)

    class Echo(Recorder):
        def data_received(self, data: bytes) -> None:
            self.transport.write(data)
            self.note("data")

    async def main() -> None:
        protocol = Echo(pause=lambda t: t.pause_reading(), resume=lambda t: t.resume_reading())
        transport = await start(pair[0], protocol)
        sending = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(pair[1], data))
        assert await receive(pair[1], len(data)) == data
        await sending
        await end(transport, protocol)

    run(main())


def test_protocols_take_turns_within_their_callbacks(run: Any, pair: Pair) -> None:
    data = noise(600_000)
    got = bytearray()

    async def main() -> None:
        turns: list[Recorder] = []

        def hand_over(_: Any) -> None:
            turn = turns[0]
            transport = first.transport  # connection_made() is called of the first one only
            got.extend(turn.data)
            turn.data.clear()
            turns.append(turns.pop(0))
            transport.set_protocol(turns[0])
            if len(got) == len(data):
                done.set()

        done = asyncio.Event()
        turns += [Recorder(data=hand_over), Buffered(3000, data=hand_over), Buffered(100_000, data=hand_over)]
        first = turns[0]
        transport = await start(pair[0], first)
        sending = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(pair[1], data))
        await done.wait()
        await sending
        assert got == data
        last = transport.get_protocol()
        assert last is turns[0]
        await end(transport, last)
        assert sum(turn.log.count("made") for turn in turns) == 1
        assert sum(turn.log.count("lost") for turn in turns) == 1

    run(main())


# ---- ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["data", "eof"])
def test_writing_in_the_last_callbacks(run: Any, pair: Pair, what: str) -> None:
    async def main() -> None:
        protocol = Recorder(**{what: lambda transport: transport.write(b"w" * 2_000_000)})
        await start(pair[0], protocol)
        pair[1].send(b"q")
        pair[1].shutdown(socket.SHUT_WR)
        assert await receive(pair[1]) == b"w" * 2_000_000
        assert await protocol.lost is None

    run(main())


def test_the_peer_goes_while_closing(run: Any, pair: Pair, reports: list[Any], settle: Any) -> None:
    async def main() -> None:
        protocol = Recorder()
        transport = await start(pair[0], protocol)
        fill(transport)
        transport.close()
        pair[1].close()
        assert isinstance(await protocol.lost, OSError)
        await settle()
        assert protocol.log.count("lost") == 1

    run(main())
    assert reports == []


MESSAGES = {
    "data": "Fatal error: protocol.data_received() call failed.",
    "updated": "Fatal error: protocol.buffer_updated() call failed.",
    "get": "Fatal error: protocol.get_buffer() call failed.",
    "eof": "Fatal error: protocol.eof_received() call failed.",
    "pause": "protocol.pause_writing() failed",
    "resume": "protocol.resume_writing() failed",
}


@pytest.mark.parametrize("what", MESSAGES)
def test_what_the_exception_handler_is_told(run: Any, pair: Pair, reports: list[Any], what: str) -> None:
    narrow(pair)
    seen = []

    def fail(transport: Any) -> None:
        raise ZeroDivisionError(what)

    async def main() -> None:
        on = {"data" if what == "updated" else what: fail}
        protocol = Buffered(1000, **on) if what in ("updated", "get") else Recorder(**on)
        transport = await start(pair[0], protocol)
        seen.extend([transport, protocol])
        goes_on = what in ("pause", "resume")
        if goes_on:
            transport.write(b"x" * 1_000_000)
            assert len(await receive(pair[1], 1_000_000)) == 1_000_000
            await protocol.until(lambda: "resume" in protocol.log)
            assert not transport.is_closing()
        pair[1].send(b"x")
        pair[1].shutdown(socket.SHUT_WR)
        exc = await protocol.lost
        assert exc is None if goes_on else isinstance(exc, ZeroDivisionError)

    run(main())
    (report,) = reports
    assert report["message"] == MESSAGES[what]
    assert isinstance(report["exception"], ZeroDivisionError)
    assert report["transport"] is seen[0]
    assert report["protocol"] is seen[1]


def test_an_empty_buffer_is_an_error(run: Any, pair: Pair, reports: list[Any]) -> None:
    async def main() -> None:
        protocol = Buffered(0)
        await start(pair[0], protocol)
        pair[1].send(b"x")
        assert isinstance(await protocol.lost, RuntimeError)

    run(main())
    (report,) = reports
    assert str(report["exception"]) == "get_buffer() returned an empty buffer"


# ---- what it tells of itself ------------------------------------------------------------------------


def test_repr(run: Any, pair: Pair, settle: Any) -> None:
    async def main() -> None:
        protocol = Recorder()
        transport = await start(pair[0], protocol)
        fd = transport.get_extra_info("socket").fileno()
        assert re.fullmatch(rf"<\w+ fd={fd} read=polling write=<idle, bufsize=0>>", repr(transport))
        transport.pause_reading()
        assert " read=idle " in repr(transport)
        fill(transport)
        size = transport.get_write_buffer_size()
        assert repr(transport).endswith(f" read=idle write=<polling, bufsize={size}>>")
        transport.close()
        assert re.match(rf"<\w+ closing fd={fd} ", repr(transport))
        await end(transport, protocol)
        await settle(1)
        assert repr(transport) == f"<{type(transport).__name__} closed fd={fd}>"

    run(main())


def test_a_transport_that_is_never_closed_is_warned_of(either_loop: Any, pair: Pair) -> None:
    async def main() -> None:
        await start(pair[0], Recorder())

    either_loop.run_until_complete(main())
    either_loop.close()
    with pytest.warns(ResourceWarning, match=r"unclosed transport <.* fd=\d+"):
        gc.collect()
    assert pair[1].recv(1) == b""


# ---- large reads --------------------------------------------------------------------------------------

SIZES = [16_383, 16_384, 16_385, 32_768, 65_536, 65_537, 131_072, 262_143, 262_144, 262_145, 1 << 20]
KEEPERS: dict[str, Callable[[int, bytes], Any]] = {
    "all": lambda i, data: data,
    "every third": lambda i, data: data if i % 3 == 0 else None,
    "slices": lambda i, data: data[len(data) // 3 :],
    "views": lambda i, data: memoryview(data)[len(data) // 3 :] if i % 2 else None,
    "in a closure": lambda i, data: (lambda: data) if i % 3 else None,
    "in a generator": lambda i, data: (each for each in (data,)),
    "in an exception": lambda i, data: ValueError(data) if i % 2 else None,
}


def content(kept: Any) -> bytes:
    if isinstance(kept, ValueError):
        kept = kept.args[0]
    elif hasattr(kept, "__next__"):
        kept = next(kept)
    elif callable(kept):
        kept = kept()
    return bytes(kept)


@pytest.mark.parametrize("keeper", KEEPERS)
def test_what_is_kept_stays_intact(run: Any, pair: Pair, keeper: str) -> None:
    keep = KEEPERS[keeper]
    kept: list[tuple[Any, str]] = []
    whole = hashlib.md5()

    class Keeping(Recorder):
        def data_received(self, data: bytes) -> None:
            whole.update(data)
            thing = keep(len(kept), data)
            part = data[len(data) // 3 :] if keeper in ("slices", "views") else data
            kept.append((thing, hashlib.md5(part).hexdigest()))
            # a hash that an earlier content had must not stick to the object
            assert hash(data) == hash(bytes(bytearray(data)))
            self.total = getattr(self, "total", 0) + len(data)
            self.note("data")

    async def main() -> None:
        for sock in pair:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        protocol = Keeping()
        transport = await start(pair[0], protocol)
        expected, total = hashlib.md5(), 0
        for i, size in enumerate(SIZES * 2 + [10] + SIZES[::-1]):
            data = noise(size, i)
            expected.update(data)
            total += size
            await asyncio.get_running_loop().sock_sendall(pair[1], data)
            await protocol.until(lambda total=total: getattr(protocol, "total", 0) >= total)
        assert whole.hexdigest() == expected.hexdigest()
        for thing, digest in kept:
            if thing is not None:
                assert hashlib.md5(content(thing)).hexdigest() == digest
        await end(transport, protocol)

    run(main())
