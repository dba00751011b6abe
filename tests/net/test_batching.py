"""Small writes leave together when the batch ends, and nothing else of a transport's behaviour shows it."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import os
import random
import socket
import struct
from collections.abc import Callable
from typing import Any

import pytest

import hasten

# ---- what leaves, and when --------------------------------------------------------------------


def test_writes_of_one_batch_are_one_system_call(
    batching: hasten.Loop, messages: Any, start: Any, waiting: Any
) -> None:
    one, other = messages

    async def main() -> None:
        transport, _ = await start(one)
        transport.write(b"a")
        transport.write(bytearray(b"b"))
        transport.writelines([b"c", b"", memoryview(b"d")])
        transport.write(b"e")
        assert waiting(other) == []
        await asyncio.sleep(0)
        assert waiting(other) == [b"abcde"]
        transport.write(b"f")
        await asyncio.sleep(0)
        assert waiting(other) == [b"f"]
        transport.close()

    batching.run_until_complete(main())


def test_tasks_of_one_batch_share_a_system_call(batching: hasten.Loop, messages: Any, start: Any, waiting: Any) -> None:
    one, other = messages

    async def answer(transport: Any, piece: bytes) -> None:
        transport.write(piece)

    async def main() -> None:
        transport, _ = await start(one)
        await hasten.gather(*(answer(transport, b"%d" % i) for i in range(5)))
        assert waiting(other) == [b"01234"]
        transport.close()

    batching.run_until_complete(main())


def test_a_write_that_has_none_beside_it_leaves_at_once_after_a_while(
    batching: hasten.Loop, messages: Any, start: Any, waiting: Any
) -> None:
    one, other = messages

    async def main() -> None:
        transport, _ = await start(one)
        seen = []
        for _ in range(40):
            transport.write(b"x")
            seen.append(waiting(other))
            await asyncio.sleep(0)
            seen[-1] += waiting(other)
        assert seen == [[b"x"]] * 40
        transport.write(b"a")
        assert waiting(other) == [b"a"]
        transport.write(b"b")
        transport.write(b"c")
        assert waiting(other) == []
        await asyncio.sleep(0)
        assert waiting(other) == [b"bc"]
        transport.write(b"d")  # and from then on they leave together once more
        transport.write(b"e")
        assert waiting(other) == []
        await asyncio.sleep(0)
        assert waiting(other) == [b"de"]
        transport.close()

    batching.run_until_complete(main())


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_each_write_leaves_at_once_where_that_is_wanted(
    how: str, messages: Any, monkeypatch: Any, start: Any, waiting: Any
) -> None:
    one, other = messages
    if how == "environment":
        monkeypatch.setenv("HASTEN_BATCH_WRITES", "0")
    loop = hasten.new_event_loop(batch_writes=False if how == "argument" else None)

    async def main() -> None:
        transport, _ = await start(one)
        transport.write(b"a")
        transport.write(b"b")
        assert waiting(other) == [b"a", b"b"]
        transport.close()

    with contextlib.closing(loop):
        loop.run_until_complete(main())


def test_a_wrong_word_in_the_environment_is_refused(monkeypatch: Any) -> None:
    monkeypatch.setenv("HASTEN_BATCH_WRITES", "yes")
    with pytest.raises(ValueError, match=r"HASTEN_BATCH_WRITES='yes': 1 has small writes leave together"):
        hasten.new_event_loop()
    hasten.new_event_loop(batch_writes=True).close()


def test_large_writes_leave_at_once_behind_what_was_put_off(
    batching: hasten.Loop, pair: Any, start: Any, waiting: Any, read: Any
) -> None:
    one, other = pair
    large = os.urandom(100_000)

    async def main() -> None:
        transport, _ = await start(one)
        transport.write(b"head")
        assert waiting(other) == []
        transport.write(large)
        assert read(other, 1000) == (b"head" + large)[:1000]
        transport.write(b"tail")
        rest = asyncio.create_task(asyncio.to_thread(read, other, len(large) + 8 - 1000))
        assert await rest == (b"head" + large + b"tail")[1000:]
        transport.close()

    batching.run_until_complete(main())


@pytest.mark.parametrize("kind", [bytes, bytearray])
def test_no_more_than_64_kib_are_put_off(
    kind: Any, batching: hasten.Loop, messages: Any, start: Any, waiting: Any
) -> None:
    one, other = messages

    async def main() -> None:
        transport, _ = await start(one)
        for _ in range(4):
            transport.write(kind(16384))
        assert waiting(other) == []
        transport.write(kind(b"more"))
        assert b"".join(waiting(other)) == bytes(65536) + b"more"
        transport.close()

    batching.run_until_complete(main())


def test_many_pieces_come_in_their_order(batching: hasten.Loop, pair: Any, start: Any, read: Any) -> None:
    one, other = pair
    pieces = [b"%d," % i for i in range(1000)]

    async def main() -> None:
        transport, _ = await start(one)
        for piece in pieces[:500]:
            transport.write(piece)
        transport.writelines(pieces[500:])
        await asyncio.sleep(0)
        assert read(other, len(b"".join(pieces))) == b"".join(pieces)
        transport.close()

    batching.run_until_complete(main())


def test_what_is_changed_after_the_write_is_not_sent_changed(batching: hasten.Loop, pair: Any, start: Any) -> None:
    one, other = pair

    async def main() -> None:
        transport, _ = await start(one)
        data = bytearray(b"before")
        transport.write(data)
        transport.writelines([data])
        data[:] = b"after!"
        await asyncio.sleep(0)
        assert other.recv(100) == b"beforebefore"
        transport.close()

    batching.run_until_complete(main())


# ---- what shows the difference first has it sent ----------------------------------------------

FIRST = {
    "close": lambda transport: transport.close(),
    "abort": lambda transport: transport.abort(),
    "write_eof": lambda transport: transport.write_eof(),
    "get_write_buffer_size": lambda transport: transport.get_write_buffer_size(),
    "set_write_buffer_limits": lambda transport: transport.set_write_buffer_limits(0),
    "socket": lambda transport: transport.get_extra_info("socket"),
    "_sock": lambda transport: transport._sock,
    "_extra": lambda transport: transport._extra,
}


@pytest.mark.parametrize("method", FIRST)
def test_it_is_sent_first(method: str, batching: hasten.Loop, messages: Any, start: Any, waiting: Any) -> None:
    one, other = messages

    async def main() -> None:
        transport, protocol = await start(one)
        transport.write(b"a")
        transport.write(b"b")
        FIRST[method](transport)
        assert waiting(other)[0] == b"ab"
        transport.close()
        await protocol.lost
        assert protocol.log == ["lost"]

    batching.run_until_complete(main())


def test_the_buffer_holds_what_the_kernel_has_not_taken(
    batching: hasten.Loop, pair: Any, start: Any, read: Any
) -> None:
    one, other = pair
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    async def main() -> None:
        transport, _ = await start(one)
        transport.write(b"x" * 100)
        assert "bufsize=100" in repr(transport)
        assert transport.get_write_buffer_size() == 0
        transport.write(b"x" * 60_000)
        left = transport.get_write_buffer_size()
        assert 0 < left < 60_000
        transport.write(b"y" * 10)
        assert transport.get_write_buffer_size() == left + 10
        data = await asyncio.to_thread(read, other, 60_110)
        assert data == b"x" * 60_100 + b"y" * 10
        transport.close()

    batching.run_until_complete(main())


def test_a_water_mark_of_0_pauses_for_what_the_kernel_does_not_take(
    batching: hasten.Loop, pair: Any, start: Any, waiting: Any, read: Any
) -> None:
    one, other = pair
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    async def main() -> None:
        transport, protocol = await start(one)
        transport.set_write_buffer_limits(0)
        transport.write(b"x")
        assert protocol.log == []
        assert waiting(other) == [b"x"]
        transport.write(b"y" * 60_000)
        assert protocol.log == ["pause"]
        assert len(await asyncio.to_thread(read, other, 60_000)) == 60_000
        while protocol.log == ["pause"]:
            await asyncio.sleep(0)
        assert protocol.log == ["pause", "resume"]
        transport.close()

    batching.run_until_complete(main())


def test_the_protocol_is_paused_in_the_context_of_the_write(
    batching: hasten.Loop, pair: Any, start: Any, read: Any
) -> None:
    one, other = pair
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    where = contextvars.ContextVar("where", default="nowhere")
    seen = []

    async def main() -> None:
        where.set("made")
        transport, protocol = await start(one)
        protocol.pause_writing = lambda: seen.append(where.get())  # type: ignore[method-assign]
        transport.set_write_buffer_limits(20_000)
        where.set("written")
        transport.write(b"x" * 20_000)  # may be put off; together they are more than the mark
        transport.write(b"y" * 20_000)
        assert seen == ["written"]  # sent by write(), in whose context asyncio calls it
        assert len(await asyncio.to_thread(read, other, 40_000)) == 40_000
        transport.close()

    batching.run_until_complete(main())


# ---- errors --------------------------------------------------------------------------------------


def test_an_error_at_the_end_of_the_batch_ends_that_connection_only(
    batching: hasten.Loop, pair: Any, start: Any
) -> None:
    one, other = pair
    third, fourth = socket.socketpair()
    reports: list[Any] = []
    batching.set_exception_handler(lambda _, context: reports.append(context))

    async def main() -> None:
        broken, protocol = await start(one)
        whole, _ = await start(third)
        other.close()
        broken.write(b"x")
        broken.write(b"y")
        whole.write(b"z")
        assert isinstance(await protocol.lost, BrokenPipeError)
        assert protocol.log == ["lost"]
        assert broken.is_closing()
        assert fourth.recv(10) == b"z"
        broken.write(b"after")
        whole.close()

    with third, fourth:
        batching.run_until_complete(main())
    assert reports == []


def test_a_reset_that_abort_meets_is_told(batching: hasten.Loop, start: Any) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            one = socket.create_connection(listener.getsockname())
            other, _ = listener.accept()
        transport, protocol = await start(one)
        transport.pause_reading()
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()
        transport.write(b"x")
        transport.abort()
        assert isinstance(await protocol.lost, (ConnectionError, BrokenPipeError))
        assert protocol.log == ["lost"]

    batching.run_until_complete(main())


def test_a_protocol_that_raises_after_it_wrote_has_written(batching: hasten.Loop, pair: Any, start: Any) -> None:
    one, other = pair
    reports: list[Any] = []
    batching.set_exception_handler(lambda _, context: reports.append(context["message"]))

    async def main() -> None:
        transport, protocol = await start(one)

        def data_received(data: bytes) -> None:
            transport.write(b"answer")
            raise ZeroDivisionError

        protocol.data_received = data_received  # type: ignore[method-assign]
        transport.set_protocol(protocol)
        other.send(b"question")
        assert isinstance(await protocol.lost, ZeroDivisionError)
        assert other.recv(100) == b"answer"

    batching.run_until_complete(main())
    assert reports == ["Fatal error: protocol.data_received() call failed."]


def test_wrong_data_is_refused_at_once(batching: hasten.Loop, pair: Any, start: Any, read: Any) -> None:
    one, other = pair

    async def main() -> None:
        transport, _ = await start(one)
        transport.write(b"good")
        with pytest.raises(TypeError, match="must be a bytes-like object, not 'str'"):
            transport.write("text")
        with pytest.raises(TypeError, match="must be a bytes-like object, not 'int'"):
            transport.writelines([b"lost", 1])
        transport.write_eof()
        with pytest.raises(RuntimeError, match="after write_eof"):
            transport.write(b"late")
        assert read(other, 100) == b"good"
        transport.close()

    batching.run_until_complete(main())


def test_nothing_is_lost_among_random_writes(batching: hasten.Loop, pair: Any, start: Any, read: Any) -> None:
    one, other = pair
    rng = random.Random(5)
    sent = bytearray()

    def some() -> bytes:
        return rng.randbytes(rng.choice([1, 10, 100, 1000, 5000, 30_000, 70_000]))

    async def main() -> None:
        transport, protocol = await start(one)
        reader = asyncio.create_task(asyncio.to_thread(read, other, 1 << 40))
        actions: list[Callable[[], Any]] = [
            lambda: transport.get_write_buffer_size(),
            lambda: transport.set_write_buffer_limits(rng.choice([0, 1000, 100_000])),
            lambda: transport.get_extra_info("socket"),
        ]
        for _ in range(100):
            for _ in range(rng.randrange(8)):
                kind = rng.choice([bytes, bytearray, memoryview])
                if rng.random() < 0.3:
                    pieces = [some() for _ in range(rng.randrange(4))]
                    transport.writelines([kind(piece) for piece in pieces])
                    sent.extend(b"".join(pieces))
                else:
                    piece = some()
                    transport.write(kind(piece))
                    sent.extend(piece)
                if rng.random() < 0.2:
                    rng.choice(actions)()
            await asyncio.sleep(0)
        transport.close()
        assert await reader == sent
        assert await protocol.lost is None

    batching.run_until_complete(main())
