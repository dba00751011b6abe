"""Terminals, standard input and output, and other files that a pipe transport has not for itself alone."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import pty
import select
import socket
import sys
import tty
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.net.pipes import drained, opened, reading, run_child, writing

Pty = tuple[int, int]


@pytest.fixture
def terminal() -> Iterator[Pty]:
    """(master, slave) of a pty that changes nothing on the way."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    yield master, slave
    for fd in (master, slave):
        with contextlib.suppress(OSError):  # a test has closed it
            os.close(fd)


def master_of(terminal: Pty, mode: str = "rb") -> Any:
    return os.fdopen(terminal[0], mode, 0, closefd=False)


# ---- terminals -----------------------------------------------------------------------------------


def test_the_slave_of_a_pty_that_is_closed_ends_its_master(run: Any, terminal: Pty, reports: Any) -> None:
    async def main() -> None:
        _, got = await reading(master_of(terminal))
        os.write(terminal[1], b"abc")
        assert await got.has(3) == b"abc"
        os.write(terminal[1], b"def")
        os.close(terminal[1])
        await got.lost.wait()
        assert got.data == b"abcdef"
        if sys.platform == "linux":
            assert isinstance(got.error, OSError)
            assert got.error.errno == errno.EIO
            assert got.log == ["made", "lost"]

    run(main())
    assert reports == []


def test_lines_of_a_terminal_come_one_by_one(run: Any) -> None:
    master, slave = pty.openpty()  # which gives a line with each read, however many there are

    async def main() -> None:
        _, got = await reading(os.fdopen(slave, "rb", 0))
        os.write(master, b"one\ntwo\nthree\n")
        assert await got.has(14) == b"one\ntwo\nthree\n"
        os.write(master, b"\x04")  # the end of input, typed
        await got.lost.wait()
        assert got.log == ["made", "eof", "lost"]

    try:
        run(main())
    finally:
        os.close(master)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_one_transport_reads_a_terminal_and_another_one_writes_it(run: Any, terminal: Pty, order: Any) -> None:
    async def main() -> None:
        ends = {}
        for which in order:
            connect = (reading, writing)[which]
            ends[which] = await connect(master_of(terminal, ("rb", "wb")[which]))
        (target, got), (source, sent) = ends[0], ends[1]
        os.write(terminal[1], b"out")
        source.write(b"in")
        assert await got.has(3) == b"out"
        assert os.read(terminal[1], 10) == b"in"
        source.write(b"x" * 100_000)  # more than it takes: now the poller is asked
        size = 0
        while size < 100_000:
            size += len(drained(terminal[1]))
            await asyncio.sleep(0)
        os.write(terminal[1], b"more")
        await got.has(7)
        source.close()
        target.close()
        await sent.lost.wait()
        await got.lost.wait()

    run(main())


def test_a_hang_up_while_a_terminal_is_written_ends_the_transport(run: Any, terminal: Pty, reports: Any) -> None:
    async def main() -> None:
        source, sent = await writing(os.fdopen(terminal[1], "wb", 0))
        source.write(b"x" * 1_000_000)
        assert source.get_write_buffer_size()
        os.close(terminal[0])
        await sent.lost.wait()
        assert isinstance(sent.error, OSError)

    run(main())
    assert reports == []


def test_what_others_print_keeps_its_place(run: Any, terminal: Pty) -> None:
    async def main() -> None:
        source, sent = await writing(os.fdopen(os.dup(terminal[1]), "wb", 0))
        for i in range(10):
            source.write(b"%d" % i)
            os.write(terminal[1], b"-")
        assert drained(terminal[0]) == b"0-1-2-3-4-5-6-7-8-9-"
        source.close()
        await sent.lost.wait()

    run(main())


@pytest.mark.ours("is connected, reports that it cannot be polled, and never gives anything")
def test_the_null_device_is_at_its_end(run: Any, reports: Any) -> None:
    async def main() -> None:
        _, got = await reading(opened(os.devnull, "rb"))
        await got.lost.wait()
        assert got.log == ["made", "eof", "lost"]

    run(main())
    assert reports == []


@pytest.mark.ours("as above")
@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="there is no such device")
def test_a_device_without_an_end_is_read_as_long_as_it_is_wanted(run: Any, settle: Any) -> None:
    async def main() -> None:
        target, got = await reading(opened("/dev/zero", "rb"))
        await got.has(1_000_000)
        target.pause_reading()
        await settle()
        before = len(got.data)
        await settle()
        assert len(got.data) == before
        target.resume_reading()
        await got.has(before + 1)
        target.close()
        await got.lost.wait()

    run(main())


def test_the_null_device_is_written(run: Any) -> None:
    async def main() -> None:
        source, sent = await writing(opened(os.devnull, "wb"))
        source.write(b"x" * 1_000_000)
        assert source.get_write_buffer_size() == 0
        source.close()
        await sent.lost.wait()
        assert sent.error is None

    run(main())


def test_more_than_one_write_takes_of_a_device_that_cannot_be_polled(run: Any) -> None:
    """The null device takes all, but no system call takes more than a GiB or two. No page of these bytes is touched."""

    async def main() -> None:
        source, sent = await writing(opened(os.devnull, "wb"))
        source.write(bytes((1 << 30) + 1))
        source.close()
        await sent.lost.wait()
        assert sent.error is None

    run(main())


# ---- one file object for both --------------------------------------------------------------------


def polled() -> list[str]:
    """What the epolls of this process are asked for, apart from the wake-ups of the loops."""
    found: list[str] = []
    if not os.path.isdir("/proc/self/fdinfo"):
        return found
    for name in os.listdir("/proc/self/fdinfo"):
        with contextlib.suppress(OSError), open(f"/proc/self/fdinfo/{name}") as info:
            found += [line for line in info if line.startswith("tfd:")]
    return found


@pytest.mark.ours("the other one hears nothing any more, and the file stays nonblocking")
@pytest.mark.parametrize("order", [(reading, writing), (writing, reading)])
def test_who_closes_a_file_object_ends_who_else_uses_it(run: Any, terminal: Pty, order: Any, reports: Any) -> None:
    """The poller may not keep a descriptor that is closed, where its file stays open: it would report it for ever."""

    async def main() -> None:
        before = polled()
        both = os.fdopen(os.dup(terminal[1]), "rb+", 0)
        (first, one), (second, other) = [await connect(both) for connect in order]
        second.write(b"x") if order[1] is writing else first.write(b"x")
        second.close()
        await other.lost.wait()
        if order[0] is reading:
            await one.lost.wait()
            assert isinstance(one.error, OSError)
            assert one.error.errno == errno.EBADF
        first.close()
        await one.lost.wait()
        await asyncio.sleep(0)
        assert os.get_blocking(terminal[1])
        assert both.closed
        assert len(polled()) == len(before)
        os.write(terminal[0], b"for whoever comes next")
        assert select.select([terminal[1]], [], [], 20)[0]

    run(main())
    assert reports == []


@pytest.mark.ours("the other one hears nothing any more")
@pytest.mark.parametrize("order", [(reading, writing), (writing, reading)])
@pytest.mark.parametrize("which", [0, 1])
def test_who_closes_a_socket_ends_who_else_uses_it(run: Any, order: Any, which: int) -> None:
    near, far = socket.socketpair()
    far.settimeout(20)

    async def main() -> None:
        ends = [await connect(near) for connect in order]
        ends[which][0].close()
        for _, protocol in ends:
            await protocol.lost.wait()
        assert [type(protocol.error) for _, protocol in ends] == [OSError, type(None)][:: -1 if which == 0 else 1]

    run(main())
    assert far.recv(10) == b""
    far.close()


# ---- blocking mode -------------------------------------------------------------------------------


@pytest.mark.ours("a file stays nonblocking")
@pytest.mark.parametrize("connect", [reading, writing])
def test_blocking_mode_is_given_back(run: Any, connect: Callable[..., Any]) -> None:
    read, write = os.pipe()
    fd = read if connect is reading else write

    async def main() -> None:
        transport, protocol = await connect(os.fdopen(os.dup(fd), "rb" if fd == read else "wb", 0))
        assert not os.get_blocking(fd)
        transport.close()
        await protocol.lost.wait()
        await asyncio.sleep(0)
        assert os.get_blocking(fd)

    run(main())
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("connect", [reading, writing])
def test_what_was_nonblocking_stays_so(run: Any, connect: Callable[..., Any]) -> None:
    read, write = os.pipe()
    fd = read if connect is reading else write
    os.set_blocking(fd, False)

    async def main() -> None:
        transport, protocol = await connect(os.fdopen(os.dup(fd), "rb" if fd == read else "wb", 0))
        transport.close()
        await protocol.lost.wait()
        await asyncio.sleep(0)
        assert not os.get_blocking(fd)

    run(main())
    os.close(read)
    os.close(write)


@pytest.mark.ours("a file stays nonblocking")
@pytest.mark.parametrize("first", [0, 1, 2])
def test_of_several_that_share_a_file_the_last_gives_it_back(run: Any, terminal: Pty, first: int) -> None:
    async def main() -> None:
        ends = [
            await reading(os.fdopen(os.dup(terminal[1]), "rb", 0)),
            await writing(os.fdopen(os.dup(terminal[1]), "wb", 0)),
            await writing(os.fdopen(os.dup(terminal[1]), "wb", 0)),
        ]
        for transport, protocol in ends[first:] + ends[:first]:
            assert not os.get_blocking(terminal[1])
            transport.close()
            await protocol.lost.wait()
            await asyncio.sleep(0)
        assert os.get_blocking(terminal[1])

    run(main())


@pytest.mark.ours("a file stays nonblocking")
def test_who_opened_the_same_terminal_anew_is_not_waited_for(run: Any, terminal: Pty) -> None:
    async def main() -> None:
        one, first = await reading(os.fdopen(os.dup(terminal[1]), "rb", 0))
        again = os.open(os.ttyname(terminal[1]), os.O_RDWR | os.O_NOCTTY)
        other, second = await reading(os.fdopen(os.dup(again), "rb", 0))
        one.close()
        await first.lost.wait()
        await asyncio.sleep(0)
        assert os.get_blocking(terminal[1])
        assert not os.get_blocking(again)
        other.close()
        await second.lost.wait()
        await asyncio.sleep(0)
        assert os.get_blocking(again)
        os.close(again)

    run(main())


def test_a_file_that_others_made_blocking_again_does_not_stop_the_loop(run: Any, terminal: Pty, settle: Any) -> None:
    """A shell that is started on the same terminal does this."""

    async def main() -> None:
        target, got = await reading(os.fdopen(os.dup(terminal[1]), "rb", 0))
        os.set_blocking(terminal[1], True)
        os.write(terminal[0], b"abc")
        await got.has(3)
        await settle()
        os.write(terminal[0], b"def")
        await got.has(6)
        target.pause_reading()
        target.resume_reading()
        await settle()
        target.close()
        await got.lost.wait()

    run(main())


BLOCKING = """
    import asyncio, os, pty, sys, tty, hasten

    class Reader(asyncio.Protocol):
        def data_received(self, data):
            print(data)

    async def main():
        loop = asyncio.get_running_loop()
        master, slave = pty.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        source, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(os.dup(slave), "wb", 0))
        target, _ = await loop.connect_read_pipe(Reader, os.fdopen(os.dup(slave), "rb", 0))
        os.set_blocking(slave, True)
        os.write(master, b"taken")  # by somebody else, after the poller has told of it
        loop.call_soon(os.read, slave, 100)
        await asyncio.sleep(0)
        size = 300_000
        for call in (lambda: source.write(bytes(100_000)), lambda: source.writelines([bytes(100_000)] * 2)):
            os.set_blocking(slave, True)
            call()
        while size:
            try:
                size -= len(os.read(master, 100_000))
            except BlockingIOError:
                await asyncio.sleep(0)
        source.close()
        target.close()
        await asyncio.sleep(0.01)
        os.close(master)
        os.close(slave)
        print("end")

    hasten.run(main())
"""


def test_a_terminal_that_others_made_blocking_does_not_stop_the_loop_when_it_is_full() -> None:
    done = run_child(BLOCKING)
    assert (done.stdout, done.stderr) == (b"end\n", b"")


@pytest.mark.ours("a file stays nonblocking")
def test_a_file_that_was_closed_by_its_owner_is_left_alone(run: Any) -> None:
    read, write = os.pipe()
    end = os.fdopen(read, "rb", 0)

    async def main() -> None:
        target, got = await reading(end)
        end.close()
        stranger, other = os.pipe()
        os.set_blocking(stranger, False)
        assert stranger == read
        target.close()
        await got.lost.wait()
        await asyncio.sleep(0)
        assert not os.get_blocking(stranger)
        os.fstat(stranger)
        os.close(stranger)
        os.close(other)

    run(main())
    os.close(write)


# ---- standard input and output -------------------------------------------------------------------

ECHO = """
    import asyncio, sys, hasten
    from {module} import StreamReader, StreamReaderProtocol, StreamWriter
    from asyncio.streams import FlowControlMixin

    async def main():
        loop = asyncio.get_running_loop()
        reader = StreamReader()
        await loop.connect_read_pipe(lambda: StreamReaderProtocol(reader), sys.stdin)
        transport, protocol = await loop.connect_write_pipe(FlowControlMixin, sys.stdout)
        writer = StreamWriter(transport, protocol, reader, loop)
        size = 0
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
            size += len(line)
        transport.set_write_buffer_limits(0)
        await writer.drain()  # until the last byte has left: a loop that is closed takes what is buffered with it
        print(size, file=sys.stderr)
        writer.close()

    with asyncio.Runner(loop_factory={factory}) as runner:
        runner.run(main())
"""


@pytest.mark.parametrize("factory", ["hasten.new_event_loop", "asyncio.SelectorEventLoop"])
@pytest.mark.parametrize("module", ["asyncio", "hasten"])
def test_streams_over_standard_input_and_output(factory: str, module: str) -> None:
    lines = b"".join(b"line %d\n" % i for i in range(20_000))
    done = run_child(ECHO.format(module=module, factory=factory), input=lines)
    assert done.stderr == b"%d\n" % len(lines)
    assert done.returncode == 0
    assert done.stdout == lines.upper()


def test_what_is_printed_keeps_its_place_whatever_the_number() -> None:
    """A copy of standard output's descriptor is the same file."""
    done = run_child(
        """
        import asyncio, os, sys, hasten

        async def main():
            loop = asyncio.get_running_loop()
            transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, os.fdopen(os.dup(1), "wb", 0))
            for i in range(3):
                transport.write(b"written\\n")
                print("printed", flush=True)
            transport.close()
            await asyncio.sleep(0.01)

        hasten.run(main())
        """
    )
    assert done.stderr == b""
    assert done.stdout == b"written\nprinted\n" * 3


def test_standard_output_blocks_again_for_who_comes_next() -> None:
    done = run_child(
        """
        import asyncio, os, sys, hasten

        async def main():
            loop = asyncio.get_running_loop()
            pipe = os.fdopen(1, "wb", 0, closefd=False)
            transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, pipe)
            transport.write(b"one\\n")
            print("two", flush=True)
            transport.close()
            await asyncio.sleep(0.01)

        hasten.run(main())
        print(os.get_blocking(1))
        """
    )
    assert done.stderr == b""
    assert done.stdout == b"one\ntwo\nTrue\n"


def test_a_forked_child_leaves_the_mode_of_its_parents_pipes() -> None:
    done = run_child(
        """
        import asyncio, gc, os, sys, warnings, hasten

        async def main():
            loop = asyncio.get_running_loop()
            read, write = os.pipe()
            transport, _ = await loop.connect_read_pipe(asyncio.Protocol, os.fdopen(read, "rb", 0))
            return transport, write

        loop = hasten.new_event_loop()
        transport, write = loop.run_until_complete(main())
        fd = transport.get_extra_info("pipe").fileno()
        pid = os.fork()
        if pid == 0:
            warnings.simplefilter("ignore")
            del transport
            gc.collect()
            os._exit(0)
        os.waitpid(pid, 0)
        print(os.get_blocking(fd))
        transport.close()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()
        os.close(write)
        """
    )
    assert done.stderr == b""
    assert done.stdout == b"False\n"
