"""Pipe transports against hostile protocols, files and moments: the loop goes on, and nothing is lost silently."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import socket
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hasten.kernel import blocking, pipe_channel
from hasten.net import pipes
from tests.net.injecting import needs_strace, run_failing
from tests.net.pipes import Reader, Writer, drained, reading, run_child, writing
from tests.worlds import until

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


def test_interrupted_in_the_beginning_it_writes_nevertheless(either_loop: Any, pipe: Ends) -> None:
    """That the pipe has room again is told once, and this may be before the beginning is over."""

    def fill(protocol: Any) -> None:
        protocol.transport.write(b"x" * 200_000)
        raise KeyboardInterrupt

    task = either_loop.create_task(writing(pipe[1], made=fill))
    with pytest.raises(KeyboardInterrupt):
        either_loop.run_until_complete(task)
    size = len(drained(pipe[0].fileno()))

    async def rest() -> None:
        source, sent = await task
        _, got = await reading(pipe[0])
        await got.has(200_000 - size)
        source.close()
        await sent.lost.wait()
        await got.lost.wait()

    either_loop.run_until_complete(asyncio.wait_for(rest(), 30))


@pytest.mark.ours("stays open for ever")
@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_interrupted_when_all_is_written_it_closes_nevertheless(either_loop: Any, kind: str) -> None:
    async def start() -> tuple[Any, Any, Any]:
        loop = asyncio.get_running_loop()
        protocol = Writer(resume=interrupt)
        if kind == "pipe":
            near, far = (os.fdopen(fd, mode, 0) for fd, mode in zip(os.pipe()[::-1], ("wb", "rb"), strict=True))
            source, _ = await loop.connect_write_pipe(lambda: protocol, near)
        else:
            near, far = socket.socketpair()
            source, _ = await loop.create_connection(lambda: protocol, sock=near)  # type: ignore[arg-type,type-var]
        source.set_write_buffer_limits(high=0)
        source.write(b"x" * 1_000_000)
        source.close()
        await reading(far)
        return protocol, near, far

    protocol, near, far = either_loop.run_until_complete(start())
    with pytest.raises(KeyboardInterrupt):
        either_loop.run_until_complete(asyncio.wait_for(protocol.lost.wait(), 30))
    either_loop.run_until_complete(asyncio.wait_for(protocol.lost.wait(), 30))
    assert protocol.log == ["made", "pause", "resume", "lost"]
    either_loop.run_until_complete(until(lambda: far.fileno() == -1 if kind == "socket" else far.closed))
    assert near.fileno() == -1 if kind == "socket" else near.closed


AFTER_AN_INTERRUPTION = """
    import asyncio, os, sys, hasten

    class Reader(asyncio.Protocol):
        def data_received(self, data):
            raise KeyboardInterrupt

    async def start():
        loop = asyncio.get_running_loop()
        return await loop.connect_read_pipe(Reader, os.fdopen(read, "rb", 0))

    read, write = os.pipe()
    loop = hasten.new_event_loop()
    transport, protocol = loop.run_until_complete(start())
    os.set_blocking(read, True)  # as another process does that has the same file
    os.write(write, b"x")
    try:
        loop.run_forever()
    except KeyboardInterrupt:
        print("interrupted")
    loop.run_until_complete(asyncio.sleep(0.01))
    transport.close()
    loop.run_until_complete(asyncio.sleep(0))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    print("end")
"""


def test_interrupted_it_does_not_read_what_may_block() -> None:
    done = run_child(AFTER_AN_INTERRUPTION)
    assert (done.stdout, done.stderr) == (b"interrupted\nend\n", b"")


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


@pytest.mark.ours("looks into hasten")
@pytest.mark.parametrize("interrupted", ["append", "set_blocking"])
def test_interrupted_while_it_is_made_nonblocking(monkeypatch: Any, interrupted: str) -> None:
    """By Ctrl-C, which comes when a call has done its work. The file blocks as before, and is not noted as in use."""

    class Users(list[Any]):
        def append(self, mode: Any) -> None:
            super().append(mode)
            raise KeyboardInterrupt

    def set_blocking(fd: int, wanted: bool) -> None:
        monkeypatch.undo()
        os.set_blocking(fd, wanted)
        raise KeyboardInterrupt

    read, write = os.pipe()
    try:
        found = os.fstat(read)
        file = found.st_dev, found.st_ino
        if interrupted == "append":
            blocking.in_use[file] = Users()
        else:
            monkeypatch.setattr(os, "set_blocking", set_blocking)
        with pytest.raises(KeyboardInterrupt):
            blocking.leave(read, file, 1)
        assert os.get_blocking(read)
        assert file not in blocking.in_use
    finally:
        blocking.in_use.pop(file, None)
        os.close(read)
        os.close(write)


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


class OwnFile(io.FileIO):
    """A file object of a class of its own."""


@pytest.mark.ours("writes to the stranger, and gives the protocol what the stranger has")
@pytest.mark.parametrize("kind", ["socket", "file", "buffered"])
def test_a_number_that_is_a_strangers_by_now(run: Any, kind: str) -> None:
    """The owner has closed the file, and the number has been given to another one."""

    def file() -> tuple[Any, Any]:
        near, far = socket.socketpair()
        if kind == "socket":
            return near, far
        return OwnFile(near.detach(), "r+"), far

    async def main() -> None:
        for connect in (writing, reading):
            near, far = file()
            if kind == "buffered":
                near = (io.BufferedReader if connect is reading else io.BufferedWriter)(near)
            transport, protocol = await connect(near)
            number = near.fileno()
            near.close()
            stranger, other = socket.socketpair()
            with stranger, other, far:
                assert stranger.fileno() == number
                other.setblocking(False)
                if connect is writing:
                    transport.write(b"x" * 100_000)
                    await protocol.lost.wait()
                    assert isinstance(protocol.error, OSError)
                    with pytest.raises(BlockingIOError):
                        other.recv(10)
                else:
                    transport.close()
                    await protocol.lost.wait()
                assert stranger.fileno() == number
                stranger.send(b"still open")

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


# ---- what the kernel answers ---------------------------------------------------------------------

TALK = """
import asyncio, os, sys, hasten

class Protocol(asyncio.Protocol):
    def __init__(self):
        self.size = 0
        self.lost = asyncio.get_running_loop().create_future()
    def data_received(self, data):
        self.size += len(data)
    def connection_lost(self, exc):
        self.lost.set_result(exc)

async def main(path):
    loop = asyncio.get_running_loop()
    read, write = os.open(path, os.O_RDONLY | os.O_NONBLOCK), os.open(path, os.O_WRONLY)
    _, got = await loop.connect_read_pipe(Protocol, os.fdopen(read, "rb", 0))
    source, sent = await loop.connect_write_pipe(Protocol, os.fdopen(write, "wb", 0))
    for _ in range(3):
        source.write(b"one")
        await asyncio.sleep(0)
        source.writelines([b"two", b"three"])
        await asyncio.sleep(0)
    source.write(bytes(300_000))
    source.close()
    print(await got.lost, await sent.lost, got.size)

hasten.run(asyncio.wait_for(main(sys.argv[1]), 30))
"""


@needs_strace
@pytest.mark.parametrize("error", ["EINTR", "EAGAIN"])
@pytest.mark.parametrize("when", ["1+2", "1..2", "2", "3..20"])
@pytest.mark.parametrize("calls", ["read", "write,writev"])
def test_what_the_kernel_answers(tmp_path: Path, calls: str, error: str, when: str) -> None:
    """A call that is interrupted, or that would block though there is room, is made again."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    done = run_failing(TALK, f"{calls}:error={error}:when={when}", str(path), path=str(path))
    assert (done.returncode, done.stdout) == (0, "None None 300033\n"), done.stderr


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


@pytest.mark.ours("looks into hasten")
def test_without_memory_a_pipe_to_a_child_does_not_stay_noted(run: Any, pipe: Ends) -> None:
    """A set whose table cannot grow raises MemoryError, and has the new element all the same."""
    testcapi = pytest.importorskip("_testcapi")

    async def main() -> None:
        loop, protocol = asyncio.get_running_loop(), Reader()
        for n in range(100):
            channel = pipe_channel.hold(pipe[0])
            channel.private = True
            blocking.private_files.clear()
            blocking.private_files.update((0, other) for other in range(4))  # with a fifth its table grows
            testcapi.set_nomemory(n, n + 1)
            try:
                transport = pipes.open_reading(loop, channel, protocol, None)
            except MemoryError:
                testcapi.remove_mem_hooks()
                assert len(blocking.private_files) == 4
            else:
                testcapi.remove_mem_hooks()
                break
        assert len(blocking.private_files) == 5
        transport.close()
        await protocol.lost.wait()
        assert len(blocking.private_files) == 4

    try:
        run(main())
    finally:
        blocking.private_files.clear()
