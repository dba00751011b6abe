"""Unix sockets are reported as long as there is something to read, until somebody leaves it unread; then by edges.

So nothing may be lost on the way from one to the other, and nobody may be told for ever of what is not read.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import hasten
from hasten.poll import choice
from hasten.poll.virtual import VirtualPoller
from tests.worlds import opened

Pair = tuple[socket.socket, socket.socket]
FEW = 20  # polls of a loop that has nothing to do but one timer; one that spins has thousands
LIMIT = 30.0


@pytest.fixture(params=[*choice.NAMES, "virtual"])
def loop(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A loop with each of the pollers, which puts small writes off."""
    poller = VirtualPoller(choice.make()) if request.param == "virtual" else request.param
    with opened(hasten.new_event_loop(poller, batch_writes=True)) as loop:
        yield loop


@pytest.fixture
def run(loop: Any) -> Callable[[Any], Any]:
    return lambda coro: loop.run_until_complete(coro)


@pytest.fixture
def pair(pair: Pair) -> Pair:
    """(the transport's end, the peer's end): both nonblocking."""
    pair[1].setblocking(False)
    return pair


class Protocol(asyncio.Protocol):
    """Writes down what happens, and calls what `on` has for it."""

    def __init__(self, keep_open: bool = False, **on: Callable[[Any], object]) -> None:
        self.on, self.keep_open = on, keep_open
        self.data = b""
        self.log: list[str] = []
        self.news = asyncio.Event()
        self.transport: Any = None
        self.error: Exception | None = None

    def note(self, what: str) -> None:
        if self.log[-1:] != [what]:
            self.log.append(what)
        self.news.set()
        if what in self.on:
            self.on[what](self.transport)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.note("made")

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.note("data")

    def eof_received(self) -> bool:
        self.log.append("eof")
        self.note("end")
        return self.keep_open

    def connection_lost(self, exc: Exception | None) -> None:
        self.error = exc
        self.note("lost")

    async def until(self, true: Callable[[], object]) -> None:
        while not true():
            self.news.clear()
            await self.news.wait()

    async def received(self, data: bytes) -> None:
        """Exactly this has come, and nothing else."""
        await self.until(lambda: len(self.data) >= len(data))
        assert self.data == data
        self.data = b""

    async def lost(self) -> None:
        await self.until(lambda: "lost" in self.log)


class Buffered(Protocol, asyncio.BufferedProtocol):
    """The same, with a buffer of its own."""

    def get_buffer(self, sizehint: int) -> Any:
        self.buffer = bytearray(1000)
        self.note("get")
        return self.buffer

    def buffer_updated(self, count: int) -> None:
        self.data += self.buffer[:count]
        self.note("data")


KINDS = pytest.mark.parametrize("kind", [Protocol, Buffered])


async def start(sock: socket.socket, protocol: Protocol) -> Any:
    own = sock.dup()
    sock.close()
    transport, _ = await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, own)
    return transport


async def idles() -> None:
    """The loop has nothing to do."""
    loop: Any = asyncio.get_running_loop()
    await asyncio.sleep(0.01)  # what is reported once is over
    before = loop._polls
    await asyncio.sleep(0.03)
    assert loop._polls - before < FEW


async def overflow(transport: Any, protocol: Protocol) -> bytes:
    """Writes until the socket takes no more; gives what was written."""
    written = b""
    while transport.get_write_buffer_size() == 0:
        piece = bytes(range(256)) * 400
        transport.write(piece)
        written += piece
    return written


async def take(sock: socket.socket, count: int) -> bytes:
    got = bytearray()
    while len(got) < count:
        got += await asyncio.get_running_loop().sock_recv(sock, count - len(got))
    return bytes(got)


# ---- nobody reads -----------------------------------------------------------------------------------


@KINDS
def test_a_paused_one_is_left_alone(run: Any, pair: Pair, kind: type[Protocol]) -> None:
    async def main() -> None:
        protocol = kind()
        transport = await start(pair[0], protocol)
        for text in (b"level", b"edges", b"edges again"):
            transport.pause_reading()
            pair[1].send(text)
            await idles()
            assert protocol.data == b""
            transport.resume_reading()
            await protocol.received(text)
            pair[1].send(b"more")
            await protocol.received(b"more")
            await idles()
        transport.abort()
        await protocol.lost()

    run(main())


@pytest.mark.parametrize("when", ["made", "data"])
def test_one_that_pauses_in_a_callback_is_left_alone(run: Any, pair: Pair, when: str) -> None:
    def pause(transport: Any) -> None:
        transport.pause_reading()

    async def main() -> None:
        protocol = Protocol(**{when: pause})
        transport = await start(pair[0], protocol)
        if when == "data":
            pair[1].send(b"0")
            await protocol.received(b"0")
        pair[1].send(b"1")
        await idles()
        assert protocol.data == b""
        pair[1].send(b"2")
        await idles()
        transport.resume_reading()
        await protocol.received(b"12")
        transport.abort()
        await protocol.lost()

    run(main())


@KINDS
def test_after_the_end_it_is_left_alone(run: Any, pair: Pair, kind: type[Protocol]) -> None:
    """The protocol keeps its side open, writes, and sees when that is over."""

    async def main() -> None:
        protocol = kind(keep_open=True)
        transport = await start(pair[0], protocol)
        pair[1].send(b"last")
        pair[1].shutdown(socket.SHUT_WR)
        await protocol.until(lambda: "eof" in protocol.log)
        await protocol.received(b"last")
        await idles()
        transport.write(b"answer")
        assert await take(pair[1], 6) == b"answer"
        await idles()
        written = await overflow(transport, protocol)
        await idles()
        assert await take(pair[1], len(written)) == written
        await idles()
        pair[1].close()
        await idles()
        transport.write(b"for nobody")
        await protocol.lost()
        assert isinstance(protocol.error, BrokenPipeError)
        assert protocol.log.count("eof") == 1

    run(main())


@pytest.mark.parametrize("keep_open", [False, True])
def test_both_sides_have_ended(run: Any, pair: Pair, keep_open: bool) -> None:
    async def main() -> None:
        protocol = Protocol(keep_open=keep_open)
        transport = await start(pair[0], protocol)
        transport.write_eof()
        pair[1].send(b"after it")
        await protocol.received(b"after it")
        await idles()
        pair[1].shutdown(socket.SHUT_WR)
        await protocol.until(lambda: "eof" in protocol.log)
        await idles()
        assert ("lost" in protocol.log) is not keep_open
        assert pair[1].recv(1) == b""
        transport.close()
        await protocol.lost()
        assert protocol.log.count("eof") == 1

    run(main())


def test_one_that_is_closing_is_left_alone(run: Any, pair: Pair) -> None:
    """Its buffer is full, and the peer goes on sending."""

    async def main() -> None:
        protocol = Protocol()
        transport = await start(pair[0], protocol)
        written = await overflow(transport, protocol)
        transport.close()
        pair[1].send(b"for nobody")
        await idles()
        pair[1].shutdown(socket.SHUT_WR)
        await idles()
        assert "lost" not in protocol.log
        assert await take(pair[1], len(written)) == written
        await protocol.lost()
        assert protocol.error is None
        assert protocol.data == b""

    run(main())


@pytest.mark.parametrize("paused", [False, True])
def test_a_peer_that_is_reset(run: Any, pair: Pair, paused: bool) -> None:
    """It has closed with something unread."""

    async def main() -> None:
        protocol = Protocol()
        transport = await start(pair[0], protocol)
        transport.write(b"unread")
        if paused:
            transport.pause_reading()
        await idles()
        pair[1].send(b"last words")
        pair[1].close()
        if paused:
            await idles()
            transport.resume_reading()
        await protocol.lost()
        assert isinstance(protocol.error, ConnectionResetError)
        assert protocol.data == b"last words"

    run(main())


# ---- nothing is lost --------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("level", [True, False])
def test_all_data_comes_after_descriptors(run: Any, pair: Pair, kind: type[Protocol], level: bool) -> None:
    """The kernel ends a read at them, though there is more."""

    async def main() -> None:
        protocol = kind()
        transport = await start(pair[0], protocol)
        if not level:
            transport.pause_reading()
            pair[1].send(b"unread")
            await idles()
            transport.resume_reading()
            await protocol.received(b"unread")
        for size in (1, 100, 40_000):
            for _ in range(3):
                socket.send_fds(pair[1], [b"d" * size], [pair[1].fileno()])
            pair[1].send(b"end")
            await protocol.received(b"d" * (3 * size) + b"end")
        await idles()
        transport.abort()
        await protocol.lost()

    run(main())


@pytest.mark.parametrize("how", ["pause", "write", "end", "another"])
def test_all_data_comes_if_it_turns_to_edges_at_descriptors(run: Any, pair: Pair, how: str) -> None:
    """The callback for what came before them has it read in another way from now on: no report may be missing."""
    written = []

    def turn(transport: Any) -> None:
        protocol.on = {}
        if how == "pause":
            transport.pause_reading()
            asyncio.get_running_loop().call_later(0.01, transport.resume_reading)
        elif how == "write":
            written.append(bytes(1 << 20))
            transport.write(written[0])
            assert transport.get_write_buffer_size() > 0
        elif how == "end":
            transport.write_eof()
        else:
            another.transport = transport
            transport.set_protocol(another)

    protocol = another = Protocol.__new__(Protocol)

    async def main() -> None:
        protocol.__init__(data=turn)  # type: ignore[misc]
        nonlocal another
        another = Protocol() if how == "another" else protocol
        transport = await start(pair[0], protocol)
        transport.pause_reading()
        socket.send_fds(pair[1], [b"1"], [pair[1].fileno()])
        socket.send_fds(pair[1], [b"2"], [pair[1].fileno()])
        pair[1].send(b"3")
        transport.resume_reading()
        await another.until(lambda: protocol.data + (another.data if how == "another" else b"") == b"123")
        if written:
            assert await take(pair[1], len(written[0])) == written[0]
        pair[1].send(b"4")
        await another.until(lambda: another.data.endswith(b"4"))
        await idles()
        transport.abort()
        await another.lost()

    run(main())


@pytest.mark.parametrize("level", [True, False])
def test_urgent_data_does_not_hide_what_follows(run: Any, pair: Pair, level: bool) -> None:
    async def main() -> None:
        protocol = Protocol()
        transport = await start(pair[0], protocol)
        if not level:
            transport.pause_reading()
        pair[1].send(b"before")
        try:
            pair[1].send(b"!", socket.MSG_OOB)
        except OSError:  # a kernel before 5.15, or one that was built without it
            pytest.skip("unix sockets have no urgent data here")
        pair[1].send(b"after")
        await idles() if not level else None
        transport.resume_reading()
        await protocol.until(lambda: protocol.data.replace(b"!", b"") == b"beforeafter")
        pair[1].send(b"?", socket.MSG_OOB)
        await idles()  # nothing else is there
        pair[1].send(b"end")
        await protocol.until(lambda: protocol.data.endswith(b"end"))
        transport.abort()
        await protocol.lost()

    run(main())


@pytest.mark.parametrize("paused", [False, True])
def test_much_data_comes_whole(run: Any, pair: Pair, paused: bool) -> None:
    """Both ways at once: it is asked for room, and no more, again and again."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        protocol = Protocol()
        transport = await start(pair[0], protocol)
        out, back = os.urandom(1 << 21), os.urandom(1 << 21)

        async def peer() -> None:
            for i in range(0, len(out), 1 << 17):
                await loop.sock_sendall(pair[1], back[i : i + (1 << 17)])
                assert await take(pair[1], 1 << 17) == out[i : i + (1 << 17)]

        talk = asyncio.ensure_future(peer())
        for i in range(0, len(out), 1 << 10):
            transport.write(out[i : i + (1 << 10)])
            if i % (1 << 16) == 0:
                if paused:
                    transport.pause_reading()
                await asyncio.sleep(0)
                transport.resume_reading()
        await talk
        await protocol.received(back)
        await idles()
        transport.close()
        await protocol.lost()

    run(main())


# ---- callbacks that run the loop --------------------------------------------------------------------


def tick(transport: Any) -> None:
    loop: Any = asyncio.get_running_loop()
    for _ in range(5):
        loop.call_soon(int)
        loop._run_once()


@pytest.mark.parametrize("when", ["end", "get"])
def test_the_end_is_told_once_though_its_callback_runs_the_loop(run: Any, pair: Pair, when: str) -> None:
    def tick_once(transport: Any) -> None:
        if when == "get":
            protocol.on = {}
        tick(transport)

    protocol = Buffered(keep_open=True, **{when: tick_once})

    async def main() -> None:
        transport = await start(pair[0], protocol)
        pair[1].shutdown(socket.SHUT_WR)
        await protocol.until(lambda: "eof" in protocol.log)
        await idles()
        assert protocol.log.count("eof") == 1
        transport.close()
        await protocol.lost()

    run(main())


def test_a_buffer_is_not_asked_for_without_end_though_that_runs_the_loop(run: Any, pair: Pair) -> None:
    """What is there was not read yet, and would be reported in each of these ticks."""
    asked = []

    def ask(transport: Any) -> None:
        asked.append(transport)
        if len(asked) < 50:
            tick(transport)

    async def main() -> None:
        protocol = Buffered(get=ask)
        transport = await start(pair[0], protocol)
        pair[1].send(b"data")
        await protocol.received(b"data")
        await idles()
        assert len(asked) < 10
        pair[1].send(b"more")
        await protocol.received(b"more")
        transport.close()
        await protocol.lost()

    run(main())


def test_an_end_whose_callback_was_cut_short_is_told_again(loop: Any, pair: Pair) -> None:
    """By Ctrl-C, for instance: who runs the loop again gets the end."""

    def interrupt(transport: Any) -> None:
        protocol.on = {}
        raise KeyboardInterrupt

    protocol = Protocol(end=interrupt)

    loop.run_until_complete(start(pair[0], protocol))
    pair[1].shutdown(socket.SHUT_WR)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    loop.run_until_complete(asyncio.wait_for(protocol.lost(), LIMIT))
    assert protocol.log.count("eof") == 2


# ---- the first write of a batch ---------------------------------------------------------------------


def test_a_first_write_that_is_sent_in_part_goes_on(run: Any, pair: Pair) -> None:
    pair[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    data = os.urandom(60_000)

    async def main() -> None:
        protocol = Protocol()
        transport = await start(pair[0], protocol)
        for _ in range(3):
            transport.write(data)
            transport.write(b"!")
            assert await take(pair[1], len(data) + 1) == data + b"!"
            transport.write(data)
            assert await take(pair[1], len(data)) == data
        pair[1].send(b"more")
        await protocol.received(b"more")
        await idles()
        transport.close()
        await protocol.lost()
        assert pair[1].recv(1) == b""

    run(main())


def test_a_first_write_to_one_who_has_gone_is_a_broken_pipe(run: Any, pair: Pair) -> None:
    """Others send in the same batch: what became of theirs is another matter."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)

    async def main() -> None:
        protocol, other = Protocol(keep_open=True), Protocol()
        transport, others = await start(pair[0], protocol), await start(near, other)
        pair[1].close()
        await protocol.until(lambda: "eof" in protocol.log)
        transport.write(b"for nobody")
        others.write(b"for somebody")
        assert await take(far, 12) == b"for somebody"
        await protocol.lost()
        assert isinstance(protocol.error, BrokenPipeError)
        assert "lost" not in other.log
        others.close()
        await other.lost()

    with near, far:
        run(main())


# ---- descriptors that are closed behind our back ----------------------------------------------------


@pytest.mark.skipif("epoll" not in choice.NAMES, reason="the selectors module cannot be helped")
@pytest.mark.parametrize("who", ["transport", "reader"])
def test_a_file_that_stays_open_behind_a_closed_descriptor_is_not_reported_for_ever(pair: Pair, who: str) -> None:
    """Nobody can take it out of the kernel's epoll. All others are reported as before."""
    near, far = socket.socketpair()
    third, fourth = socket.socketpair()

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        level, edges = Protocol(), Protocol()
        await start(near, level)
        (await start(third, edges)).pause_reading()
        fourth.send(b"1")
        await idles()
        own = pair[0].dup()
        kept = own.dup()
        with kept:
            if who == "transport":
                protocol = Protocol()
                await loop.connect_accepted_socket(lambda: protocol, own)
                own.close()
                pair[1].send(b"unread")
                await protocol.lost()
                assert isinstance(protocol.error, OSError)
            else:
                number, called = own.fileno(), asyncio.Event()
                loop.add_reader(number, called.set)
                own.close()
                pair[1].send(b"unread")
                await called.wait()
                loop.remove_reader(number)
            await idles()
            assert await loop.run_in_executor(None, int) == 0
            edges.transport.resume_reading()
            for text in (b"2", b"3"):
                far.send(text)
                fourth.send(text)
                await level.received(text)
                await edges.until(lambda text=text: edges.data.endswith(text))
                await idles()
            assert edges.data == b"123"
            for each in (level, edges):
                each.transport.abort()
                await each.lost()

    with near, far, third, fourth, opened(hasten.new_event_loop("epoll")) as loop:
        for sock in (near, far, third, fourth):
            sock.setblocking(False)
        loop.run_until_complete(main())


@pytest.mark.skipif("epoll" not in choice.NAMES, reason="the selectors module cannot be helped")
def test_where_there_is_no_descriptor_to_begin_anew_with_all_stays_as_it_was(pair: Pair) -> None:
    near, far = socket.socketpair()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def main() -> None:
        loop, level, called = asyncio.get_running_loop(), Protocol(), asyncio.Event()
        await start(near, level)
        own = pair[0].dup()
        with own.dup():
            number = own.fileno()
            loop.add_reader(number, called.set)
            own.close()
            pair[1].send(b"unread")
            await called.wait()
            loop.remove_reader(number)
            resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
            try:
                for n in range(100):  # each time it has polled once more
                    far.send(b"%d." % n)
                    await level.received(b"%d." % n)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await idles()
        level.transport.abort()
        await level.lost()

    with near, far, opened(hasten.new_event_loop("epoll")) as loop:
        near.setblocking(False)
        loop.run_until_complete(main())
