"""Reading and writing pipes, FIFOs and sockets by pipe transports: the same of hasten's and of asyncio's."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import random
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.net.pipes import Reader, Writer, drained, opened, reading, writing
from tests.worlds import until

Ends = tuple[Any, Any]
Run = Callable[[Any], Any]


def a_pipe(folder: Path) -> Ends:
    read, write = os.pipe()
    return os.fdopen(read, "rb", 0), os.fdopen(write, "wb", 0)


def a_fifo(folder: Path) -> Ends:
    os.mkfifo(folder / "fifo")
    read = os.open(folder / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    return os.fdopen(read, "rb", 0), open(folder / "fifo", "wb", 0)


def a_pair(folder: Path) -> Ends:
    return socket.socketpair()


@pytest.fixture(params=[a_pipe, a_fifo, a_pair])
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ends]:
    """(the end to read, the end to write) of a pipe, a FIFO, a pair of sockets."""
    read, write = request.param(tmp_path)
    yield read, write
    read.close()
    write.close()


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Ends]:
    """(the end to read, the end to write), unbuffered."""
    read, write = a_pipe(tmp_path)
    yield read, write
    read.close()
    write.close()


# ---- both ends -----------------------------------------------------------------------------------


def test_what_is_written_is_read(run: Any, ends: Ends) -> None:
    async def main() -> None:
        source, sent = await writing(ends[1])
        target, got = await reading(ends[0])
        source.write(b"one ")
        source.writelines([b"two ", bytearray(b"three "), memoryview(b"four")])
        assert await got.has(18) == b"one two three four"
        source.write(b"")
        source.close()
        await got.lost.wait()
        await sent.lost.wait()
        assert got.log == ["made", "eof", "lost"]
        assert sent.log == ["made", "lost"]
        assert got.error is sent.error is None
        assert target.is_closing()
        assert source.is_closing()

    run(main())


@pytest.mark.parametrize("size", [65536, 65537, 1 << 20, 20_000_000])
def test_a_huge_write_arrives_whole(run: Any, ends: Ends, size: int) -> None:
    data = random.Random(size).randbytes(size)

    async def main() -> None:
        source, _ = await writing(ends[1])
        _, got = await reading(ends[0])
        source.write(data)
        source.write_eof()
        assert source.is_closing()
        await got.lost.wait()
        assert hashlib.sha256(got.data).digest() == hashlib.sha256(data).digest()
        assert got.log[-2:] == ["eof", "lost"]

    run(main())


def test_many_pieces_keep_their_order(run: Any, ends: Ends) -> None:
    pieces = [bytes([i % 256]) * random.Random(i).choice((1, 100, 5000, 70_000)) for i in range(300)]

    async def main() -> None:
        source, sent = await writing(ends[1])
        _, got = await reading(ends[0])
        for i in range(0, 300, 3):
            source.write(pieces[i])
            source.writelines(pieces[i + 1 : i + 3])
            if "pause" in sent.log[-1:]:
                await sent.room.wait()
        source.close()
        await got.lost.wait()
        assert bytes(got.data) == b"".join(pieces)
        assert "pause" in sent.log

    run(main())


def test_who_they_are(run: Any, pipe: Ends) -> None:
    async def main() -> None:
        target, got = await reading(pipe[0])
        source, sent = await writing(pipe[1])
        assert isinstance(target, asyncio.ReadTransport)
        assert not isinstance(target, asyncio.WriteTransport)
        assert isinstance(source, asyncio.WriteTransport)
        assert target.get_extra_info("pipe") is pipe[0]
        assert source.get_extra_info("pipe") is pipe[1]
        assert source.get_extra_info("socket", "none") == "none"
        assert got.transport is target
        assert target.get_protocol() is got
        assert source.get_protocol() is sent
        assert source.can_write_eof()
        assert f"fd={pipe[0].fileno()}" in repr(target)
        assert f"fd={pipe[1].fileno()}" in repr(source)
        assert not target.is_closing()
        assert target.is_reading()
        source.close()
        target.close()
        assert "closing" in repr(target)
        assert "closing" in repr(source)
        await got.lost.wait()
        await sent.lost.wait()
        await asyncio.sleep(0)
        assert "closed" in repr(target)
        assert "closed" in repr(source)
        assert pipe[0].closed
        assert pipe[1].closed
        assert source.get_extra_info("pipe") is pipe[1]

    run(main())


def test_in_debug_mode(run: Any, either_loop: Any, pipe: Ends, caplog: Any) -> None:
    either_loop.set_debug(True)
    caplog.set_level("DEBUG", "asyncio")

    async def main() -> None:
        target, got = await reading(pipe[0])
        _, sent = await writing(pipe[1])
        for _ in range(2):
            target.pause_reading()
        for _ in range(2):
            target.resume_reading()
        target.close()
        await sent.lost.wait()
        await got.lost.wait()

    run(main())
    told = [record.getMessage() for record in caplog.records]
    assert any(line.startswith("Read pipe ") for line in told)
    assert any(line.startswith("Write pipe ") for line in told)
    assert any(line.endswith("was closed by peer") for line in told)
    assert len([line for line in told if line.endswith("pauses reading")]) == 1
    assert len([line for line in told if line.endswith("resumes reading")]) == 1


# ---- reading -------------------------------------------------------------------------------------


def test_a_paused_reader_gets_nothing_until_it_goes_on(run: Any, ends: Ends, settle: Any) -> None:
    async def main() -> None:
        source, _ = await writing(ends[1])
        target, got = await reading(ends[0])
        target.pause_reading()
        target.pause_reading()
        assert not target.is_reading()
        source.write(b"abc")
        await settle()
        assert got.data == b""
        target.resume_reading()
        target.resume_reading()
        assert await got.has(3) == b"abc"
        target.pause_reading()
        source.write(b"def")
        source.close()
        await settle()
        assert got.log == ["made"]
        target.resume_reading()
        await got.lost.wait()
        assert got.data == b"abcdef"
        target.pause_reading()
        target.resume_reading()
        assert got.log == ["made", "eof", "lost"]

    run(main())


def test_paused_from_the_start(run: Any, pipe: Ends, settle: Any) -> None:
    async def main() -> None:
        target, got = await reading(pipe[0], made=lambda self: self.transport.pause_reading())
        pipe[1].write(b"abc")
        await settle()
        assert got.data == b""
        target.resume_reading()
        assert await got.has(3) == b"abc"
        target.close()
        await got.lost.wait()

    run(main())


def test_paused_by_its_own_data(run: Any, pipe: Ends, settle: Any) -> None:
    async def main() -> None:
        target, got = await reading(pipe[0], data=lambda self: self.transport.pause_reading())
        pipe[1].write(b"x" * 1000)
        await got.has(1000)
        pipe[1].write(b"y" * 1000)
        await settle()
        assert len(got.data) == 1000
        target.resume_reading()
        await got.has(2000)
        target.close()
        await got.lost.wait()

    run(main())


@pytest.mark.parametrize("when", ["made", "data", "eof", "lost"])
def test_closed_by_its_own_protocol(run: Any, pipe: Ends, when: str) -> None:
    async def main() -> None:
        _, got = await reading(pipe[0], **{when: lambda self: self.transport.close()})
        if when != "made":
            pipe[1].write(b"abc")
        pipe[1].close()
        await got.lost.wait()
        assert got.data == (b"" if when == "made" else b"abc")
        assert got.log == (["made", "eof", "lost"] if when in ("eof", "lost") else ["made", "lost"])
        assert got.error is None

    run(main())


def test_another_protocol_takes_over(run: Any, pipe: Ends) -> None:
    async def main() -> None:
        target, first = await reading(pipe[0])
        pipe[1].write(b"one")
        await first.has(3)
        second = Reader()
        target.set_protocol(second)
        assert target.get_protocol() is second
        pipe[1].write(b"two")
        assert await second.has(3) == b"two"
        pipe[1].close()
        await second.lost.wait()
        assert first.log == ["made"]
        assert second.log == ["eof", "lost"]

    run(main())


def test_a_reader_that_answers_its_end_is_closed_nevertheless(run: Any, pipe: Ends) -> None:
    async def main() -> None:
        _, got = await reading(pipe[0], eof=lambda self: True)
        pipe[1].close()
        await got.lost.wait()
        assert pipe[0].closed

    run(main())


def test_a_fifo_without_a_writer_waits_for_one(run: Any, tmp_path: Path, settle: Any) -> None:
    os.mkfifo(tmp_path / "fifo")
    end = os.fdopen(os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK), "rb", 0)

    async def main() -> None:
        _, got = await reading(end)
        await settle()
        assert got.log == ["made"]
        with opened(tmp_path / "fifo", "wb") as writer:
            writer.write(b"abc")
            assert await got.has(3) == b"abc"
        await got.lost.wait()
        assert got.log == ["made", "eof", "lost"]

    run(main())


def test_datagrams_of_a_packet_pipe_all_come(run: Any) -> None:
    """A read takes one packet, whatever room there is: it says nothing of what is left."""
    read, write = os.pipe2(os.O_DIRECT) if hasattr(os, "O_DIRECT") else os.pipe()

    async def main() -> None:
        for i in range(10):
            os.write(write, b"%d" % i)
        _, got = await reading(os.fdopen(read, "rb", 0))
        assert await got.has(10) == b"0123456789"
        os.close(write)
        await got.lost.wait()

    run(main())


# ---- writing -------------------------------------------------------------------------------------


def test_a_full_pipe_pauses_and_resumes(run: Any, ends: Ends) -> None:
    async def main() -> None:
        source, sent = await writing(ends[1])
        source.set_write_buffer_limits(high=1000, low=100)
        assert source.get_write_buffer_limits() == (100, 1000)
        total = 0
        while "pause" not in sent.log:
            source.write(b"x" * 10_000)
            total += 10_000
        assert source.get_write_buffer_size() > 1000
        _, got = await reading(ends[0])
        await sent.room.wait()
        assert source.get_write_buffer_size() <= 100
        await got.has(total)
        assert sent.log == ["made", "pause", "resume"]
        source.close()
        await got.lost.wait()

    run(main())


def test_closing_waits_for_what_is_buffered(run: Any, pipe: Ends, settle: Any) -> None:
    async def main() -> None:
        source, sent = await writing(pipe[1])
        source.write(b"x" * 200_000)
        source.close()
        source.close()
        source.write_eof()
        source.write(b"dropped")
        await settle()
        assert sent.log[-1] != "lost"
        _, got = await reading(pipe[0])
        await got.lost.wait()
        await sent.lost.wait()
        assert len(got.data) == 200_000
        assert sent.error is None

    run(main())


def test_aborting_drops_what_is_buffered(run: Any, pipe: Ends) -> None:
    async def main() -> None:
        source, sent = await writing(pipe[1])
        source.write(b"x" * 200_000)
        source.abort()
        await sent.lost.wait()
        assert sent.error is None
        assert len(drained(pipe[0].fileno())) < 200_000
        assert source.get_write_buffer_size() == 0

    run(main())


def test_the_reader_goes_away(run: Any, ends: Ends) -> None:
    async def main() -> None:
        _, sent = await writing(ends[1])
        ends[0].close()
        await sent.lost.wait()
        assert sent.error is None
        assert sent.log == ["made", "lost"]

    run(main())


def test_the_reader_goes_away_with_data_on_the_way(run: Any, ends: Ends, reports: Any) -> None:
    async def main() -> None:
        source, sent = await writing(ends[1])
        source.write(b"x" * 2_000_000)
        ends[0].close()
        await sent.lost.wait()
        assert isinstance(sent.error, BrokenPipeError)
        assert source.get_write_buffer_size() == 0

    run(main())
    assert reports == []


def test_writes_after_the_reader_has_gone_are_dropped_and_told(run: Any, pipe: Ends, caplog: Any) -> None:
    async def main() -> None:
        source, sent = await writing(pipe[1])
        pipe[0].close()
        await sent.lost.wait()
        for _ in range(5):
            source.write(b"x")
            source.write(b"")
        assert not caplog.records
        source.write(b"x")
        assert "pipe closed by peer" in caplog.text

    run(main())


def test_what_a_socket_is_sent_does_not_keep_it_from_seeing_the_end(run: Any) -> None:
    one, other = socket.socketpair()

    async def main() -> None:
        _, sent = await writing(one)
        other.send(b"nobody reads this")
        other.close()
        await sent.lost.wait()

    run(main())


def test_the_protocol_of_a_writer_is_replaced(run: Any, pipe: Ends) -> None:
    async def main() -> None:
        source, first = await writing(pipe[1])
        second = Writer()
        source.set_protocol(second)
        assert source.get_protocol() is second
        source.write(b"x" * 1_000_000)
        pipe[0].close()
        await second.lost.wait()
        assert first.log == ["made"]
        assert second.log[0] == "pause"

    run(main())


def test_a_writer_has_nothing_to_read(run: Run, pipe: Ends) -> None:
    """A StreamReader knows by this that it cannot pause: its protocol may be that of both ends."""

    async def main() -> None:
        reader = asyncio.StreamReader(limit=10)
        loop = asyncio.get_running_loop()
        source, _ = await loop.connect_write_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe[1])
        for name in ("pause_reading", "resume_reading", "is_reading"):
            with pytest.raises(NotImplementedError):
                getattr(source, name)()
        reader.feed_data(b"x" * 100)
        assert await reader.read(100) == b"x" * 100
        source.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    run(main())


def packets() -> Ends:
    read, write = os.pipe2(os.O_DIRECT)
    return os.fdopen(read, "rb", 0), os.fdopen(write, "wb", 0)


@pytest.mark.parametrize(
    "kind",
    [
        lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM),
        lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET),
        pytest.param(packets, marks=pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="no such pipes here")),
    ],
    ids=["datagrams", "packets", "a pipe of packets"],
)
def test_what_is_written_apart_is_read_apart(run: Run, kind: Callable[[], Ends]) -> None:
    read, write = kind()
    os.set_blocking(read.fileno(), False)

    async def main() -> None:
        source, sent = await writing(write)
        source.write(b"one")
        source.write(b"two")
        source.writelines([b"thr", b"ee"])
        assert [os.read(read.fileno(), 100) for _ in range(3)] == [b"one", b"two", b"three"]
        source.close()
        await sent.lost.wait()
        read.close()

    run(main())


# ---- what is no pipe -----------------------------------------------------------------------------


@pytest.mark.parametrize("connect", [reading, writing])
def test_regular_files_are_refused(run: Any, tmp_path: Path, connect: Callable[..., Any]) -> None:
    async def main() -> None:
        with opened(tmp_path / "file", "wb+") as file:
            with pytest.raises(ValueError, match="Pipe transport is"):
                await connect(file)
            assert not file.closed
            assert os.get_blocking(file.fileno())

    run(main())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # asyncio's half-made transport
@pytest.mark.parametrize("connect", [reading, writing])
def test_what_is_no_file_is_refused(run: Any, pipe: Ends, connect: Callable[..., Any]) -> None:
    async def main() -> None:
        for bad in (pipe[0].fileno(), None, "path"):
            with pytest.raises(AttributeError, match="has no attribute 'fileno'"):
                await connect(bad)
        pipe[0].close()
        with pytest.raises(ValueError, match="closed"):
            await connect(pipe[0])

    run(main())


def test_a_factory_that_fails_leaves_the_pipe_alone(run: Any, pipe: Ends, either_loop: Any) -> None:
    def factory() -> Any:
        raise ZeroDivisionError

    async def main() -> None:
        for connect, end in ((either_loop.connect_read_pipe, pipe[0]), (either_loop.connect_write_pipe, pipe[1])):
            with pytest.raises(ZeroDivisionError):
                await connect(factory, end)
            assert not end.closed
            assert os.get_blocking(end.fileno())

    run(main())


@pytest.mark.parametrize("connect", [reading, writing])
def test_cancelled_while_it_connects_the_pipe_is_closed(run: Any, pipe: Ends, connect: Callable[..., Any]) -> None:
    async def main() -> None:
        end = pipe[0 if connect is reading else 1]
        task = asyncio.ensure_future(connect(end))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: end.closed)

    run(main())


def test_a_write_that_fails_ends_it_with_that_error(run: Any, reports: Any) -> None:
    full = "/dev/full"
    if not os.path.exists(full):
        full = os.devnull  # which takes everything

    async def main() -> None:
        source, sent = await writing(opened(full, "wb"))
        source.write(b"x")
        if full == os.devnull:
            source.close()
        await sent.lost.wait()
        if full != os.devnull:
            assert isinstance(sent.error, OSError)
            assert sent.error.errno == errno.ENOSPC

    run(main())
    assert reports == []
