"""Pipe transports where hasten differs from asyncio, or where only hasten has something to show."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

import hasten
from hasten.net import pipes, stream
from hasten.net.pipes import ReadPipeTransport, WritePipeTransport
from tests.net.pipes import Reader, drained, reading, writing

Ends = tuple[Any, Any]


@pytest.fixture
def pipe() -> Iterator[Ends]:
    """(the end to read, the end to write), unbuffered."""
    read, write = os.pipe()
    with os.fdopen(read, "rb", 0) as one, os.fdopen(write, "wb", 0) as other:
        yield one, other


def run(loop: Any, coro: Any) -> Any:
    return loop.run_until_complete(asyncio.wait_for(coro, 30))


def test_no_transport_is_made_of_nothing() -> None:
    loop: Any = hasten.new_event_loop()
    nothing: Any = None
    try:
        with pytest.raises(ValueError, match="needs an open pipe"):
            pipes.open_reading(loop, nothing, Reader(), None)
        with pytest.raises(ValueError, match="needs an open pipe"):
            pipes.open_writing(loop, nothing, Reader(), None, True, False)
        with pytest.raises(ValueError, match="needs an open socket"):
            stream.open_channel(loop, nothing, Reader(), None, None, None, None)
    finally:
        loop.close()


class Into(Reader, asyncio.BufferedProtocol):
    room = bytearray(10)

    def get_buffer(self, hint: int) -> bytearray:
        return self.room

    def buffer_updated(self, n: int) -> None:
        self.data += self.room[:n]
        self.got.set()


def test_a_buffered_protocol_reads(loop: Any, pipe: Ends) -> None:
    async def main() -> None:
        protocol = Into()
        await loop.connect_read_pipe(lambda: protocol, pipe[0])
        pipe[1].write(b"0123456789" * 10)
        assert await protocol.has(100) == b"0123456789" * 10
        pipe[1].close()
        await protocol.lost.wait()
        assert protocol.log == ["made", "eof", "lost"]

    run(loop, main())


def test_an_empty_buffer_ends_it(loop: Any, pipe: Ends, reports: Any) -> None:
    async def main() -> None:
        protocol = Into()
        protocol.room = bytearray()
        await loop.connect_read_pipe(lambda: protocol, pipe[0])
        pipe[1].write(b"x")
        await protocol.lost.wait()
        assert isinstance(protocol.error, RuntimeError)

    run(loop, main())
    assert [report["exception"].__class__ for report in reports] == [RuntimeError]


@pytest.mark.parametrize("kind", ["socket", "fifo"])
def test_what_comes_in_does_not_end_a_writer(loop: Any, settle: Any, tmp_path: Any, kind: str) -> None:
    if kind == "socket":
        end, other = socket.socketpair()
    else:
        os.mkfifo(tmp_path / "fifo")
        end = os.fdopen(os.open(tmp_path / "fifo", os.O_RDWR), "wb", 0)
        other = None

    async def main() -> None:
        source, sent = await writing(end)
        if other is None:
            source.write(b"we could read this ourselves")
        else:
            other.send(b"nobody reads this")
        await settle()
        assert sent.log == ["made"]
        source.write(b"!")
        if other is None:
            source.close()
        else:
            await settle()
            assert other.recv(10) == b"!"
            other.close()
            source.write(b"!")  # or, where only selectors tell what is readable, its end would not be seen
        await sent.lost.wait()

    run(loop, main())


def test_a_socket_for_both_directions(loop: Any) -> None:
    one, other = socket.socketpair()
    other.setblocking(False)

    async def main() -> None:
        target, got = await reading(one)
        source, sent = await writing(one)
        other.send(b"in")
        source.write(b"out" * 200_000)
        assert await got.has(2) == b"in"
        size = 0
        while size < 600_000:
            size += len(await loop.sock_recv(other, 1 << 20))
        source.close()
        await sent.lost.wait()
        target.close()
        await got.lost.wait()
        other.close()

    run(loop, main())


def test_the_callbacks_of_a_transport_are_its_own(loop: Any, pipe: Ends) -> None:
    async def main() -> None:
        _, got = await reading(pipe[0])
        source, sent = await writing(pipe[1])
        for call in (loop.add_reader, loop.add_writer):
            for end in pipe:
                with pytest.raises(RuntimeError, match="is used by transport"):
                    call(end, print)
        for call in (loop.remove_reader, loop.remove_writer):
            for end in pipe:
                with pytest.raises(RuntimeError, match="is used by transport"):
                    call(end)
        source.write(b"abc")
        await got.has(3)
        source.close()
        await sent.lost.wait()
        await got.lost.wait()

    run(loop, main())


def test_what_is_no_bytes_is_refused(loop: Any, pipe: Ends) -> None:
    async def main() -> None:
        source, sent = await writing(pipe[1])
        for bad in ("text", 5, None, [1]):
            with pytest.raises(TypeError, match="bytes-like"):
                source.write(bad)
            with pytest.raises(TypeError):
                source.writelines([b"good", bad])
        source.write(b"abc")
        source.close()
        await sent.lost.wait()
        assert drained(pipe[0].fileno()) == b"abc"

    run(loop, main())


def test_small_writes_of_a_batch_leave_together(batching: Any, pipe: Ends) -> None:
    async def main() -> None:
        source, sent = await writing(pipe[1])
        source.write(b"one ")
        source.write(b"two")
        assert drained(pipe[0].fileno()) == b""
        assert source.get_extra_info("pipe") is pipe[1]  # whoever asks may write to it
        assert drained(pipe[0].fileno()) == b"one two"
        source.write(b"three")
        source.close()
        assert drained(pipe[0].fileno()) == b"three"
        await sent.lost.wait()

    run(batching, main())


def test_what_is_not_closed_says_so(loop: Any) -> None:
    async def main() -> list[str]:
        read, write = os.pipe()
        target, _ = await reading(os.fdopen(read, "rb", 0))
        source, _ = await writing(os.fdopen(write, "wb", 0))
        return [repr(target), repr(source)]

    names = run(loop, main())
    loop.close()
    with pytest.warns(ResourceWarning, match="unclosed") as told:
        del main
        gc.collect()
    texts = [str(each.message) for each in told]
    assert any("ReadPipeTransport" in text and "open>" in text for text in texts), (names, texts)
    assert any("WritePipeTransport" in text and "open>" in text for text in texts), (names, texts)


@pytest.mark.parametrize("cls", [ReadPipeTransport, WritePipeTransport])
def test_one_that_nobody_initialized(cls: Any) -> None:
    transport = cls()
    repr(transport)
    assert transport.get_protocol() is None
    assert transport.get_extra_info("pipe") is None
    transport.set_protocol(asyncio.Protocol())
    if cls is ReadPipeTransport:
        transport.pause_reading()
        transport.resume_reading()
    else:
        transport.set_write_buffer_limits(10)
        for name, arguments in (("write", (b"x",)), ("writelines", ([b"x"],)), ("write_eof", ())):
            with pytest.raises(RuntimeError, match="not initialized"):
                getattr(cls(), name)(*arguments)
    for name in ("close", "abort"):
        with pytest.raises(RuntimeError, match="not initialized"):
            getattr(cls(), name)()


def test_a_file_closed_by_its_owner_is_not_written_to(loop: Any, pipe: Ends) -> None:
    """Its number may belong to a stranger by now."""

    async def main() -> None:
        source, sent = await writing(pipe[1])
        number = pipe[1].fileno()
        pipe[1].close()
        read, write = os.pipe()
        assert number in (read, write)
        source.write(b"x" * 100_000)
        await sent.lost.wait()
        assert isinstance(sent.error, OSError)
        assert drained(read) == b""
        os.close(read)
        os.close(write)

    run(loop, main())


def test_hastens_run_reads_a_pipe_too(pipe: Ends) -> None:
    async def main() -> None:
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        target, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe[0])
        pipe[1].write(b"line\n" * 10_000)
        pipe[1].close()
        assert await reader.read() == b"line\n" * 10_000
        target.close()

    hasten.run(main())


class Folder:
    """What has a descriptor, and is no file object of the io module."""

    def __init__(self) -> None:
        self.fd = os.open("/", os.O_RDONLY)

    def fileno(self) -> int:
        return self.fd

    def close(self) -> None:
        os.close(self.fd)


def test_a_folder_is_refused(loop: Any) -> None:
    folder = Folder()
    with pytest.raises(ValueError, match="a folder"):
        run(loop, loop.connect_read_pipe(Reader, folder))
    folder.close()
