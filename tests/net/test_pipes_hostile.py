"""Pipe transports against hostile protocols, files and moments: the loop goes on, and nothing is lost silently."""

from __future__ import annotations

import asyncio
import gc
import os
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from tests.net.pipes import Reader, Writer, drained, reading, writing

Ends = tuple[Any, Any]


@pytest.fixture
def pipe() -> Iterator[Ends]:
    """(the end to read, the end to write), unbuffered."""
    read, write = os.pipe()
    with os.fdopen(read, "rb", 0) as one, os.fdopen(write, "wb", 0) as other:
        yield one, other


def fail(protocol: Any) -> None:
    raise ZeroDivisionError


def interrupt(protocol: Any) -> None:
    raise KeyboardInterrupt


def kinds(reports: list[dict[str, Any]]) -> list[str]:
    return [type(report["exception"]).__name__ for report in reports]


# ---- callbacks that raise ------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["made", "data", "eof", "lost"])
def test_a_reader_whose_callback_fails(run: Any, pipe: Ends, reports: Any, when: str) -> None:
    """It is told, and what comes then comes nevertheless."""

    async def main() -> None:
        _, got = await reading(pipe[0], **{when: fail})
        pipe[1].write(b"one")
        await got.has(3)
        pipe[1].write(b"two")
        assert await got.has(6) == b"onetwo"
        pipe[1].close()
        await got.lost.wait()
        assert got.log == ["made", "eof", "lost"]
        assert got.error is None
        await asyncio.sleep(0)
        assert pipe[0].closed

    run(main())
    assert set(kinds(reports)) == {"ZeroDivisionError"}


@pytest.mark.parametrize("when", ["made", "pause", "resume", "lost"])
def test_a_writer_whose_callback_fails(run: Any, pipe: Ends, reports: Any, when: str) -> None:
    async def main() -> None:
        source, sent = await writing(pipe[1], **{when: fail})
        _, got = await reading(pipe[0])
        source.write(b"x" * 1_000_000)
        await sent.room.wait()
        source.close()
        await got.lost.wait()
        await sent.lost.wait()
        assert len(got.data) == 1_000_000
        assert sent.log == ["made", "pause", "resume", "lost"]

    run(main())
    assert kinds(reports) == ["ZeroDivisionError"]


@pytest.mark.ours("without eof_received(), connection_lost() does not come")
def test_an_end_that_is_not_heard(run: Any, pipe: Ends, reports: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        _, sent = await loop.connect_read_pipe(Writer, pipe[0])
        pipe[1].close()
        await sent.lost.wait()

    run(main())
    assert kinds(reports) == ["AttributeError"]


@pytest.mark.parametrize("when", ["made", "data", "eof", "lost"])
def test_a_reader_interrupted(either_loop: Any, pipe: Ends, when: str) -> None:
    """Ctrl-C comes to whoever runs the loop; who runs it again finds the transport where it was."""
    protocol: Any = None

    async def main() -> None:
        nonlocal protocol
        loop = asyncio.get_running_loop()
        protocol = Reader(**{when: interrupt})
        await loop.connect_read_pipe(lambda: protocol, pipe[0])
        await protocol.lost.wait()
        await asyncio.sleep(0)

    pipe[1].write(b"abc")
    pipe[1].close()
    task = either_loop.create_task(main())
    with pytest.raises(KeyboardInterrupt):
        either_loop.run_until_complete(task)
    protocol.on.clear()
    either_loop.run_until_complete(asyncio.wait_for(asyncio.shield(task), 30))
    assert protocol.data == b"abc"
    assert protocol.log == ["made", "eof", "lost"]
    assert pipe[0].closed


@pytest.mark.parametrize("when", ["made", "pause", "resume", "lost"])
def test_a_writer_interrupted(either_loop: Any, pipe: Ends, when: str) -> None:
    protocol: Any = None

    async def main() -> None:
        nonlocal protocol
        loop = asyncio.get_running_loop()
        protocol = Writer(**{when: interrupt})
        source, _ = await loop.connect_write_pipe(lambda: protocol, pipe[1])
        _, got = await reading(pipe[0])
        loop.call_soon(source.write, b"x" * 1_000_000)
        await got.has(1_000_000)
        source.close()
        await protocol.lost.wait()
        await got.lost.wait()

    task = either_loop.create_task(main())
    with pytest.raises(KeyboardInterrupt):
        either_loop.run_until_complete(task)
    protocol.on.clear()
    either_loop.run_until_complete(asyncio.wait_for(asyncio.shield(task), 30))
    assert protocol.log == ["made", "pause", "resume", "lost"]


class Unreadable(Reader):
    """A protocol whose methods cannot be looked up."""

    @property
    def data_received(self) -> Any:  # type: ignore[override]
        raise ZeroDivisionError


@pytest.mark.ours("finds out when data come")
def test_a_protocol_that_cannot_be_asked_leaves_the_pipe_alone(run: Any, pipe: Ends) -> None:
    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await asyncio.get_running_loop().connect_read_pipe(Unreadable, pipe[0])
        gc.collect()
        assert not pipe[0].closed
        assert os.get_blocking(pipe[0].fileno())

    run(main())


# ---- close() and abort() inside callbacks --------------------------------------------------------


@pytest.mark.parametrize("call", ["close", "abort", "write_eof"])
@pytest.mark.parametrize("when", ["made", "pause", "resume", "lost"])
def test_a_writer_ended_inside_a_callback(run: Any, pipe: Ends, when: str, call: str) -> None:
    async def main() -> None:
        source, sent = await writing(pipe[1], **{when: lambda self: getattr(self.transport, call)()})
        _, got = await reading(pipe[0])
        source.write(b"x" * 1_000_000)
        if when == "lost":
            source.close()
        await sent.lost.wait()
        await got.lost.wait()
        assert sent.log.count("lost") == 1
        if when == "made":
            assert got.data == b""
        elif call != "abort" or when != "pause":
            assert len(got.data) == 1_000_000

    run(main())


def test_written_to_by_its_own_protocol_at_each_moment(run: Any, pipe: Ends) -> None:
    def write(text: bytes) -> Any:
        return lambda self: self.transport.write(text)

    async def main() -> None:
        source, sent = await writing(
            pipe[1], made=write(b"made"), pause=write(b"pause"), resume=write(b"resume"), lost=write(b"lost")
        )
        source.write(b"x" * 1_000_000)
        _, got = await reading(pipe[0])
        await sent.room.wait()
        source.close()
        await got.lost.wait()
        assert bytes(got.data) == b"made" + b"x" * 1_000_000 + b"pause" + b"resume"

    run(main())


def test_another_protocol_is_set_by_a_callback(run: Any, pipe: Ends) -> None:
    async def main() -> None:
        second = Reader()
        _, first = await reading(pipe[0], data=lambda self: self.transport.set_protocol(second))
        pipe[1].write(b"one")
        await first.has(3)
        pipe[1].write(b"two")
        await second.has(3)
        pipe[1].close()
        await second.lost.wait()
        assert bytes(first.data + second.data) == b"onetwo"

    run(main())


# ---- files that go away, or have a will of their own ---------------------------------------------


@pytest.mark.parametrize("connect", [reading, writing])
def test_a_file_closed_by_its_owner(run: Any, pipe: Ends, connect: Any) -> None:
    async def main() -> None:
        end = pipe[0 if connect is reading else 1]
        transport, protocol = await connect(end)
        end.close()
        transport.close()
        await protocol.lost.wait()
        assert protocol.log[-1] == "lost"

    run(main())


class Wrapper:
    """A file object as programs write them: pexpect's are such."""

    def __init__(self, file: Any, *, fails: bool = False) -> None:
        self.file = file
        self.fails = fails
        self.closed = 0

    def fileno(self) -> int:
        return int(self.file.fileno())

    def close(self) -> None:
        self.closed += 1
        self.file.close()
        if self.fails:
            raise ZeroDivisionError


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("connect", [reading, writing])
def test_a_file_object_of_any_make(run: Any, pipe: Ends, connect: Any, fails: bool, reports: Any) -> None:
    async def main() -> None:
        end = Wrapper(pipe[0 if connect is reading else 1], fails=fails)
        transport, protocol = await connect(end)
        assert transport.get_extra_info("pipe") is end
        if connect is reading:
            pipe[1].write(b"abc")
            await protocol.has(3)
        else:
            transport.write(b"abc")
        transport.close()
        await protocol.lost.wait()
        await asyncio.sleep(0)
        assert end.closed == 1
        if connect is writing:
            assert drained(pipe[0].fileno()) == b"abc"

    run(main())
    assert kinds(reports) == ["ZeroDivisionError"] * fails


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # asyncio's half-made transports
@pytest.mark.parametrize("number", [-1, 1 << 40, "three", None, 1.5])
def test_a_file_object_with_a_wrong_number(run: Any, number: Any) -> None:
    class Wrong:
        def fileno(self) -> Any:
            return number

        def close(self) -> None:
            raise AssertionError

    async def main() -> None:
        for connect in (reading, writing):
            with pytest.raises((TypeError, ValueError, OverflowError, OSError)):
                await connect(Wrong())

    run(main())


def test_buffered_and_text_files(run: Any, pipe: Ends) -> None:
    """What standard input and output are by default."""
    source_file = os.fdopen(os.dup(pipe[1].fileno()), "w")
    target_file = os.fdopen(os.dup(pipe[0].fileno()), "r")
    pipe[1].close()

    async def main() -> None:
        source, sent = await writing(source_file)
        _, got = await reading(target_file)
        source.write(b"abc")
        await got.has(3)
        source_file.write("kept by the file object until it is closed")
        source.close()
        await got.lost.wait()
        await sent.lost.wait()
        assert got.data == b"abckept by the file object until it is closed"

    run(main())


# ---- the loop and the collector ------------------------------------------------------------------


def test_a_loop_closed_under_them(loop: Any, pipe: Ends, collect: Any) -> None:
    async def main() -> Any:
        return await reading(pipe[0]), await writing(pipe[1])

    (target, got), (source, sent) = loop.run_until_complete(main())
    loop.close()
    source.write(b"abc")
    assert drained(pipe[0].fileno()) == b"abc"
    assert "open" in repr(source)
    with pytest.warns(ResourceWarning, match="unclosed transport"):
        del source, target, sent, got
        collect()
    assert pipe[0].closed
    assert pipe[1].closed


def test_collected_with_all_that_refers_to_them(loop: Any, collect: Any) -> None:
    made: list[Any] = []

    async def main() -> None:
        for _ in range(20):
            read, write = os.pipe()
            target, got = await reading(os.fdopen(read, "rb", 0))
            source, sent = await writing(os.fdopen(write, "wb", 0))
            got.on = {"circle": got, "target": target, "source": source}  # type: ignore[dict-item]
            made.extend((weakref.ref(target), weakref.ref(source)))
            source.write(b"x" * 100_000)
            target.pause_reading()
            await asyncio.sleep(0)
            target.close()
            source.abort()
            await got.lost.wait()
            await sent.lost.wait()

    loop.run_until_complete(main())
    collect()
    assert not [each() for each in made if each() is not None]
