"""What every poller promises, seen through a loop: poll/contract.py says it in words.

add_reader() and add_writer() are level-triggered watches, transports edge-triggered ones.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten.poll import choice

from .conftest import Pair

pytestmark = pytest.mark.timeout(60)

Loop = asyncio.AbstractEventLoop
# Ticks that a loop may take while nothing happens but one timer. A loop that spins takes thousands.
FEW = 20


def turn(loop: Loop, times: int = 1) -> None:
    """Asks the poller once without waiting, and runs what it reported."""
    for _ in range(times):
        loop.stop()
        loop.run_forever()


def fill(sock: socket.socket) -> int:
    """Sends until the socket takes no more; gives the number of bytes."""
    sent = 0
    while True:
        try:
            sent += sock.send(b"f" * 65536)
        except BlockingIOError:
            return sent


def empty(sock: socket.socket) -> int:
    """Receives until nothing is left; gives the number of bytes."""
    got = 0
    while True:
        try:
            data = sock.recv(1 << 20)
        except BlockingIOError:
            return got
        if not data:
            return got
        got += len(data)


def reset(sock: socket.socket) -> None:
    """Closes a TCP connection with a RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Recorder(asyncio.Protocol):
    """Remembers what its transport tells."""

    transport: asyncio.Transport

    def __init__(self, half_open: bool = False) -> None:
        self.half_open = half_open
        self.data = bytearray()
        self.told: list[str] = []
        self.writable = asyncio.Event()
        self.changed = asyncio.Event()
        self.exception: BaseException | None = None
        self.on_data: Callable[[], object] | None = None

    def note(self, what: str) -> None:
        if self.told[-1:] != [what]:
            self.told.append(what)
        self.changed.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.note("data")
        if self.on_data is not None:
            self.on_data()

    def eof_received(self) -> bool:
        self.note("eof")
        return self.half_open

    def connection_lost(self, exc: BaseException | None) -> None:
        self.exception = exc
        self.note("lost")

    def resume_writing(self) -> None:
        self.writable.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def until_data(self, length: int) -> None:
        await self.until(lambda: len(self.data) >= length)

    async def until_told(self, what: str) -> None:
        await self.until(lambda: what in self.told)


class SmallReads(Recorder, asyncio.BufferedProtocol):
    """Takes a thousand bytes at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.room = bytearray(1000)

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.room

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self.room[:nbytes]))


Attach = Callable[[socket.socket, Recorder], Awaitable[Recorder]]


@pytest.fixture(params=["create_connection", "connect_accepted_socket"])
def attach(request: pytest.FixtureRequest, loop: Loop) -> Attach:
    """Gives a socket to a transport with a protocol."""

    async def attach(sock: socket.socket, protocol: Recorder) -> Recorder:
        if request.param == "create_connection":
            await loop.create_connection(lambda: protocol, sock=sock)
        else:
            await loop.connect_accepted_socket(lambda: protocol, sock)
        return protocol

    return attach


async def end(*protocols: Recorder) -> None:
    """Closes transports and waits until they are."""
    for protocol in protocols:
        protocol.transport.abort()
        await protocol.until_told("lost")


async def ticks_of_a_nap(loop: Any) -> int:
    """How many ticks a loop takes while it has nothing to do but to wait for one timer."""
    before = loop._ticks
    await hasten.sleep(0.02)
    return int(loop._ticks - before)


# ---- which poller ------------------------------------------------------------------------------


def test_poller_is_chosen_by_argument(loop: Loop, poller: str) -> None:
    assert f"poller={poller}>" in repr(loop)


def test_poller_is_chosen_by_variable(poller: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASTEN_POLLER", poller)
    loop = hasten.new_event_loop()
    assert f"poller={poller}>" in repr(loop)
    loop.close()


def test_argument_goes_before_variable(poller: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASTEN_POLLER", "nonsense")
    loop = hasten.new_event_loop(poller=poller)
    assert f"poller={poller}>" in repr(loop)
    loop.close()


@pytest.mark.parametrize("value", [None, ""])
def test_platform_has_a_default(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv("HASTEN_POLLER", raising=False)
    else:
        monkeypatch.setenv("HASTEN_POLLER", value)
    loop = hasten.new_event_loop()
    assert f"poller={choice.NAMES[0]}>" in repr(loop)
    loop.close()


@pytest.mark.parametrize("name", ["nonsense", "", "EPOLL", "epoll "])
def test_unknown_poller_is_refused(name: str) -> None:
    with pytest.raises(ValueError) as caught:
        hasten.new_event_loop(poller=name)
    assert f"poller={name!r}" in str(caught.value)
    assert all(known in str(caught.value) for known in choice.NAMES)


def test_unknown_poller_in_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASTEN_POLLER", "nonsense")
    with pytest.raises(ValueError) as caught:
        hasten.new_event_loop()
    assert "HASTEN_POLLER='nonsense'" in str(caught.value)
    assert all(known in str(caught.value) for known in choice.NAMES)


# ---- level-triggered watches -------------------------------------------------------------------


def test_reader_fires_as_long_as_data_is_left(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    calls: list[str] = []
    loop.add_reader(ours, calls.append, "read")
    turn(loop, 3)
    assert calls == []
    theirs.send(b"ab")
    turn(loop, 3)
    assert calls == ["read"] * 3
    assert ours.recv(1) == b"a"
    turn(loop)
    assert calls == ["read"] * 4
    assert ours.recv(1) == b"b"
    turn(loop, 3)
    assert calls == ["read"] * 4


def test_removed_reader_is_silent(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    calls: list[str] = []
    loop.add_reader(ours, calls.append, "read")
    theirs.send(b"a")
    turn(loop)
    assert loop.remove_reader(ours) is True
    turn(loop, 3)
    assert calls == ["read"]
    assert loop.remove_reader(ours) is False


def test_reader_of_data_that_waits_already_fires(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    theirs.send(b"a")
    calls: list[str] = []
    loop.add_reader(ours, calls.append, "read")
    turn(loop)
    assert calls == ["read"]


def test_reader_fires_at_the_end_of_the_stream(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    calls: list[bytes] = []
    loop.add_reader(ours, lambda: calls.append(ours.recv(10)))
    theirs.close()
    turn(loop, 2)
    assert calls == [b"", b""]


def test_writer_fires_as_long_as_there_is_room(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    fill(ours)
    calls: list[str] = []
    loop.add_writer(ours, calls.append, "write")
    turn(loop, 3)
    assert calls == []
    empty(theirs)
    turn(loop, 3)
    assert calls == ["write"] * 3
    assert loop.remove_writer(ours) is True
    turn(loop, 3)
    assert calls == ["write"] * 3
    assert loop.remove_writer(ours) is False


def test_reader_and_writer_of_one_fd_are_independent(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    calls: list[str] = []
    loop.add_reader(ours, calls.append, "read")
    loop.add_writer(ours, calls.append, "write")
    turn(loop, 2)
    assert calls == ["write"] * 2
    theirs.send(b"a")
    calls.clear()
    turn(loop)
    assert sorted(calls) == ["read", "write"]
    assert loop.remove_writer(ours) is True
    calls.clear()
    turn(loop, 2)
    assert calls == ["read"] * 2
    loop.add_writer(ours, calls.append, "write")
    assert loop.remove_reader(ours) is True
    calls.clear()
    turn(loop, 2)
    assert calls == ["write"] * 2
    assert loop.remove_writer(ours) is True
    calls.clear()
    turn(loop, 2)
    assert calls == []


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_new_callback_replaces_the_old_one(kind: str, loop: Any, pair: Pair) -> None:
    ours, theirs = pair()
    theirs.send(b"a")
    calls: list[str] = []
    add = getattr(loop, f"_add_{kind}")
    first = add(ours.fileno(), calls.append, "first")
    turn(loop)
    second = add(ours.fileno(), calls.append, "second")
    assert first.cancelled()
    assert not second.cancelled()
    turn(loop, 2)
    assert calls == ["first", "second", "second"]
    assert getattr(loop, f"remove_{kind}")(ours) is True
    assert second.cancelled()


def test_callback_may_remove_itself(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    theirs.send(b"a")
    calls: list[bool] = []
    loop.add_reader(ours, lambda: calls.append(loop.remove_reader(ours)))
    turn(loop, 3)
    assert calls == [True]


def test_reader_may_remove_the_writer_that_is_due(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    theirs.send(b"a")
    calls: list[str] = []

    def read() -> None:
        calls.append("read")
        loop.remove_writer(ours)

    loop.add_writer(ours, calls.append, "write")
    loop.add_reader(ours, read)
    turn(loop, 3)
    assert "write" not in calls[calls.index("read") :]
    assert calls.count("read") == 3


def test_failing_callback_is_reported_and_goes_on(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    theirs.send(b"a")
    reports: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    loop.add_reader(ours, lambda: 1 // 0)
    turn(loop, 2)
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError] * 2


def test_many_fds_fire_at_once(loop: Loop, pair: Pair) -> None:
    pairs = [pair() for _ in range(300)]
    calls: list[int] = []
    for number, (ours, theirs) in enumerate(pairs):
        loop.add_reader(ours, calls.append, number)
        theirs.send(b"a")
    turn(loop)
    assert sorted(calls) == list(range(300))


# ---- what changes inside of a batch ------------------------------------------------------------


def test_removed_in_the_same_batch_does_not_fire(loop: Loop, pair: Pair) -> None:
    a, b = pair(), pair()
    calls: list[str] = []

    def first(name: str, other: socket.socket) -> None:
        calls.append(name)
        assert loop.remove_reader(other) is True

    loop.add_reader(a[0], first, "a", b[0])
    loop.add_reader(b[0], first, "b", a[0])
    a[1].send(b"a")
    b[1].send(b"b")
    turn(loop)
    assert len(calls) == 1


def test_fd_taken_over_in_the_same_batch_does_not_fire_for_its_new_owner(loop: Loop, pair: Pair) -> None:
    a, b, quiet = pair(), pair(), pair()
    calls: list[str] = []

    def first(other: socket.socket) -> None:
        calls.append("first")
        loop.remove_reader(other)
        os.dup2(quiet[0].fileno(), other.fileno())  # closes it, and its number stands for the quiet socket
        loop.add_reader(other, calls.append, "new owner")

    loop.add_reader(a[0], first, b[0])
    loop.add_reader(b[0], first, a[0])
    a[1].send(b"a")
    b[1].send(b"b")
    turn(loop)
    assert calls == ["first"]


def test_transport_aborted_in_the_same_batch_gets_nothing(loop: Loop, pair: Pair, attach: Attach) -> None:
    async def main() -> None:
        (a, to_a), (b, to_b) = pair(), pair()
        left, right = await attach(a, Recorder()), await attach(b, Recorder())
        left.on_data = right.transport.abort
        right.on_data = left.transport.abort
        to_a.send(b"data")
        to_b.send(b"data")
        await left.until(lambda: bool(left.told))
        await right.until(lambda: bool(right.told))
        assert sorted([bytes(left.data), bytes(right.data)]) == [b"", b"data"]
        await end(left, right)

    loop.run_until_complete(main())


def test_transport_paused_in_the_same_batch_keeps_its_data(loop: Loop, pair: Pair, attach: Attach) -> None:
    async def main() -> None:
        (a, to_a), (b, to_b) = pair(), pair()
        left, right = await attach(a, Recorder()), await attach(b, Recorder())
        left.on_data = right.transport.pause_reading
        right.on_data = left.transport.pause_reading
        to_a.send(b"data")
        to_b.send(b"data")
        assert await ticks_of_a_nap(loop) < FEW
        assert sorted([bytes(left.data), bytes(right.data)]) == [b"", b"data"]
        late = right if left.data else left
        late.transport.resume_reading()
        await late.until_data(4)
        assert left.data == right.data == b"data"
        await end(left, right)

    loop.run_until_complete(main())


# ---- descriptors that are odd, closed, used anew, or somebody else's ----------------------------


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_negative_fd_is_refused(kind: str, loop: Loop) -> None:
    with pytest.raises(ValueError, match="-1"):
        getattr(loop, f"add_{kind}")(-1, print)
    with pytest.raises(ValueError, match="-1"):
        getattr(loop, f"remove_{kind}")(-1)


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_closed_fd_is_refused(kind: str, loop: Loop, pair: Pair) -> None:
    ours, _ = pair()
    number = ours.fileno()
    ours.close()
    with pytest.raises(OSError):
        getattr(loop, f"add_{kind}")(number, print)
    with pytest.raises(ValueError):
        getattr(loop, f"add_{kind}")(ours, print)
    assert getattr(loop, f"remove_{kind}")(number) is False


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_regular_file_is_refused_where_it_cannot_be_polled(kind: str, loop: Loop, tmp_path: Path) -> None:
    with open(tmp_path / "file", "w+b") as file:
        with pytest.raises(PermissionError):
            getattr(loop, f"add_{kind}")(file, print)
        assert getattr(loop, f"remove_{kind}")(file) is False
    turn(loop)


def test_number_of_a_removed_and_closed_fd_is_used_anew(loop: Loop, pair: Pair) -> None:
    old, _ = pair()
    new, to_new = pair()
    calls: list[str] = []
    number = old.fileno()
    loop.add_reader(number, calls.append, "old")
    turn(loop)
    loop.remove_reader(number)
    os.dup2(new.fileno(), number)
    loop.add_reader(number, calls.append, "new")
    turn(loop)
    to_new.send(b"a")
    turn(loop)
    assert calls == ["new"]


def test_fd_closed_behind_the_loops_back_is_silent_and_can_be_removed(loop: Loop, pair: Pair) -> None:
    old, to_old = pair()
    new, to_new = pair()
    calls: list[str] = []
    number = old.fileno()
    loop.add_reader(number, calls.append, "old")
    to_old.send(b"a")
    os.dup2(new.fileno(), number)
    to_new.send(b"a")
    turn(loop, 2)
    assert calls == []
    assert loop.remove_reader(number) is True
    loop.add_reader(number, calls.append, "new")
    turn(loop)
    assert calls == ["new"]


def test_number_of_an_fd_closed_behind_the_loops_back_gets_the_other_callback(loop: Loop, pair: Pair) -> None:
    old, _ = pair()
    new, _ = pair()
    calls: list[str] = []
    number = old.fileno()
    loop.add_reader(number, calls.append, "old")
    os.dup2(new.fileno(), number)
    loop.add_writer(number, calls.append, "new")
    turn(loop)
    assert calls == ["new"]


def test_fd_of_a_closed_transport_is_used_anew(loop: Loop, pair: Pair, attach: Attach) -> None:
    async def main() -> None:
        for _ in range(5):
            ours, theirs = pair()
            protocol = await attach(ours, Recorder())
            theirs.send(b"data")
            await protocol.until_data(4)
            await end(protocol)
            theirs.close()

    loop.run_until_complete(main())


def test_fd_of_a_transport_is_refused(loop: Loop, pair: Pair, attach: Attach) -> None:
    async def main() -> None:
        ours, theirs = pair()
        number = ours.fileno()
        protocol = await attach(ours, Recorder())
        name = repr(protocol.transport)
        for method in (loop.add_reader, loop.add_writer):
            with pytest.raises(RuntimeError) as caught:
                method(number, print)
            assert str(number) in str(caught.value)
            assert name in str(caught.value)
        for method in (loop.remove_reader, loop.remove_writer):
            with pytest.raises(RuntimeError, match="is used by transport"):
                method(number)
        theirs.send(b"data")
        await protocol.until_data(4)  # it was not disturbed
        await end(protocol)

    loop.run_until_complete(main())


# ---- edge-triggered watches --------------------------------------------------------------------


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
@pytest.mark.parametrize("what", ["data", "end", "data and end"])
def test_paused_transport_costs_nothing_and_loses_nothing(
    what: str, tcp: bool, loop: Loop, pair: Pair, attach: Attach
) -> None:
    async def main() -> None:
        ours, theirs = pair(tcp)
        protocol = await attach(ours, Recorder())
        protocol.transport.pause_reading()
        if "data" in what:
            theirs.send(b"data")
        if "end" in what:
            theirs.shutdown(socket.SHUT_WR)
        assert await ticks_of_a_nap(loop) < FEW
        assert protocol.told == []
        protocol.transport.resume_reading()
        if "data" in what:
            await protocol.until_data(4)
        if "end" in what:
            await protocol.until_told("lost")
            assert protocol.exception is None
        expected = {"data": ["data"], "end": ["eof", "lost"], "data and end": ["data", "eof", "lost"]}
        assert protocol.told == expected[what]
        await end(protocol)

    loop.run_until_complete(main())


def test_more_data_while_paused_arrives_in_order(loop: Loop, pair: Pair, attach: Attach) -> None:
    async def main() -> None:
        ours, theirs = pair()
        protocol = await attach(ours, Recorder())
        for round_ in range(3):
            protocol.transport.pause_reading()
            for piece in (b"a", b"b", b"c"):
                theirs.send(piece)
                await hasten.sleep(0)
                await hasten.sleep(0.001)
            assert len(protocol.data) == 3 * round_
            protocol.transport.resume_reading()
            await protocol.until_data(3 * round_ + 3)
        assert protocol.data == b"abcabcabc"
        await end(protocol)

    loop.run_until_complete(main())


def test_paused_transport_that_has_to_write_does_not_spin(loop: Loop, pair: Pair, attach: Attach) -> None:
    async def main() -> None:
        ours, theirs = pair()
        protocol = await attach(ours, Recorder())
        protocol.transport.pause_reading()
        theirs.send(b"data")
        total = 1 << 20
        protocol.transport.write(bytes(total))
        assert await ticks_of_a_nap(loop) < FEW
        assert protocol.told == []
        got = 0
        while got < total:
            got += empty(theirs)
            await hasten.sleep(0)
        await protocol.writable.wait()
        assert protocol.transport.get_write_buffer_size() == 0
        assert await ticks_of_a_nap(loop) < FEW
        protocol.transport.resume_reading()
        await protocol.until_data(4)
        await end(protocol)

    loop.run_until_complete(main())


def test_half_closed_transport_does_not_spin(loop: Loop, pair: Pair, attach: Attach) -> None:
    async def main() -> None:
        ours, theirs = pair(tcp=True)
        protocol = await attach(ours, Recorder(half_open=True))
        theirs.shutdown(socket.SHUT_WR)
        await protocol.until_told("eof")
        assert await ticks_of_a_nap(loop) < FEW
        protocol.transport.write(b"still there")
        assert await loop.sock_recv(theirs, 100) == b"still there"
        assert protocol.told == ["eof"]
        await end(protocol)

    loop.run_until_complete(main())


@pytest.mark.parametrize("tcp", [False, True], ids=["unix", "tcp"])
@pytest.mark.parametrize("kind", [Recorder, SmallReads])
@pytest.mark.parametrize("paused", [False, True], ids=["at once", "after a pause"])
def test_all_data_is_read_before_the_end(
    kind: type[Recorder], paused: bool, tcp: bool, loop: Loop, pair: Pair, attach: Attach
) -> None:
    async def main() -> None:
        ours, theirs = pair(tcp)
        protocol = kind()
        if paused:
            await attach(ours, protocol)
            protocol.transport.pause_reading()
        sent = fill(theirs)
        theirs.close()
        if paused:
            assert await ticks_of_a_nap(loop) < FEW
            protocol.transport.resume_reading()
        else:
            await attach(ours, protocol)
        await protocol.until_told("lost")
        assert len(protocol.data) == sent
        assert protocol.told == ["data", "eof", "lost"]
        assert protocol.exception is None

    loop.run_until_complete(main())


def test_peers_reset_reaches_connection_lost(loop: Loop, pair: Pair, attach: Attach) -> None:
    async def main() -> None:
        ours, theirs = pair(tcp=True)
        protocol = await attach(ours, Recorder())
        reset(theirs)
        await protocol.until_told("lost")
        assert isinstance(protocol.exception, ConnectionResetError)
        assert protocol.told == ["lost"]

    loop.run_until_complete(main())


def test_peers_reset_reaches_a_paused_transport_that_resumes(loop: Loop, pair: Pair, attach: Attach) -> None:
    async def main() -> None:
        ours, theirs = pair(tcp=True)
        protocol = await attach(ours, Recorder())
        protocol.transport.pause_reading()
        reset(theirs)
        assert await ticks_of_a_nap(loop) < FEW
        protocol.transport.resume_reading()
        await protocol.until_told("lost")
        assert isinstance(protocol.exception, ConnectionResetError)

    loop.run_until_complete(main())


def test_peers_reset_reaches_a_transport_that_waits_to_write(loop: Loop, pair: Pair, attach: Attach) -> None:
    async def main() -> None:
        ours, theirs = pair(tcp=True)
        protocol = await attach(ours, Recorder())
        protocol.transport.pause_reading()
        while not protocol.transport.get_write_buffer_size():
            protocol.transport.write(bytes(1 << 20))
        reset(theirs)
        await protocol.until_told("lost")
        assert isinstance(protocol.exception, ConnectionError)

    loop.run_until_complete(main())


def test_many_transports_echo(loop: Loop, pair: Pair, attach: Attach) -> None:
    async def main() -> None:
        ends = [pair() for _ in range(100)]
        echoes = [await attach(ours, Recorder()) for ours, _ in ends]
        peers = [await attach(theirs, Recorder()) for _, theirs in ends]
        for number, peer in enumerate(peers):
            peer.transport.write(b"%04d" % number)
        for peer, echo in zip(peers, echoes, strict=True):
            await echo.until_data(4)
            echo.transport.write(bytes(echo.data))
            await peer.until_data(4)
        assert [int(peer.data[:4]) for peer in peers] == list(range(100))
        await end(*echoes, *peers)

    loop.run_until_complete(main())


# ---- wake-ups and signals ----------------------------------------------------------------------


def test_another_thread_wakes_a_loop_that_sleeps_without_timers(loop: Loop) -> None:
    asleep = threading.Semaphore(0)
    rounds: list[int] = []

    def answer() -> None:
        rounds.append(len(rounds))
        if len(rounds) == 50:
            loop.stop()
        else:
            asleep.release()  # nothing is left to do: the loop sleeps until the thread speaks

    def wake() -> None:
        for _ in range(50):
            asleep.acquire()
            loop.call_soon_threadsafe(answer)

    thread = threading.Thread(target=wake)
    thread.start()
    loop.call_soon(asleep.release)
    loop.run_forever()
    thread.join()
    assert rounds == list(range(50))


def test_wakeups_of_many_threads_are_all_run(loop: Loop) -> None:
    ran: list[tuple[int, int]] = []

    def called(thread: int, number: int) -> None:
        ran.append((thread, number))
        if len(ran) == 8 * 200:
            loop.stop()

    def wake(thread: int) -> None:
        for number in range(200):
            loop.call_soon_threadsafe(called, thread, number)

    threads = [threading.Thread(target=wake, args=(number,)) for number in range(8)]
    for thread in threads:
        loop.call_soon(thread.start)
    loop.run_forever()
    for thread in threads:
        thread.join()
    for thread_number in range(8):
        assert [number for thread, number in ran if thread == thread_number] == list(range(200))


def test_wakeup_before_the_loop_runs_is_not_lost(loop: Loop) -> None:
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(loop.stop,))
    thread.start()
    thread.join()
    loop.run_forever()


def test_wakeups_do_not_make_the_loop_spin(loop: Loop) -> None:
    async def main() -> int:
        done = asyncio.Event()
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(done.set,))
        thread.start()
        await done.wait()
        thread.join()
        return await ticks_of_a_nap(loop)

    assert loop.run_until_complete(main()) < FEW


def test_signal_wakes_a_sleeping_loop(loop: Loop) -> None:
    asleep = threading.Event()

    def send() -> None:
        asleep.wait()
        os.kill(os.getpid(), signal.SIGUSR1)

    thread = threading.Thread(target=send)
    thread.start()
    calls: list[str] = []

    def called() -> None:
        calls.append("usr1")
        loop.stop()

    loop.add_signal_handler(signal.SIGUSR1, called)
    loop.call_soon(asleep.set)
    loop.run_forever()
    thread.join()
    assert calls == ["usr1"]
    assert loop.remove_signal_handler(signal.SIGUSR1) is True


def test_signal_from_a_callback_is_delivered(loop: Loop) -> None:
    loop.add_signal_handler(signal.SIGUSR1, loop.stop)
    loop.call_soon(os.kill, os.getpid(), signal.SIGUSR1)
    loop.run_forever()


def test_signals_that_came_while_the_loop_did_not_run_are_delivered(loop: Loop) -> None:
    calls: list[str] = []
    loop.add_signal_handler(signal.SIGUSR1, calls.append, "usr1")
    loop.add_signal_handler(signal.SIGUSR2, calls.append, "usr2")
    os.kill(os.getpid(), signal.SIGUSR1)
    os.kill(os.getpid(), signal.SIGUSR2)
    assert calls == []
    turn(loop, 3)
    assert calls == ["usr1", "usr2"]
    turn(loop, 3)
    assert calls == ["usr1", "usr2"]


def test_exception_of_a_signal_handler_ends_the_sleep(loop: Loop) -> None:
    class Interrupted(Exception):
        pass

    def raising(signum: int, frame: object) -> None:
        raise Interrupted

    asleep = threading.Event()

    def send() -> None:
        asleep.wait()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, raising)
    thread = threading.Thread(target=send)
    thread.start()
    try:
        loop.call_soon(asleep.set)
        with pytest.raises(Interrupted):
            loop.run_forever()
    finally:
        signal.signal(signal.SIGUSR1, before)
        thread.join()
    loop.call_soon(loop.stop)
    loop.run_forever()  # it still works


# ---- timers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0.0005, 0.0007, 0.001, 0.0013, 0.002, 0.005])
def test_timer_is_never_early(delay: float, loop: Loop) -> None:
    for _ in range(20):
        due = loop.time() + delay
        fired: list[float] = []

        def called() -> None:
            fired.append(loop.time())
            loop.stop()

        loop.call_later(delay, called)
        loop.run_forever()
        assert len(fired) == 1
        assert fired[0] >= due


def test_many_timers_are_never_early_and_in_order(loop: Loop) -> None:
    fired: list[tuple[float, float]] = []
    start = loop.time()
    for step in reversed(range(1, 46)):
        when = start + 0.0005 + step * 0.0001
        loop.call_at(when, lambda when=when: fired.append((when, loop.time())))
    loop.call_at(start + 0.0055, loop.stop)
    loop.run_forever()
    assert len(fired) == 45
    assert all(at >= when for when, at in fired)
    assert fired == sorted(fired)


def test_short_timer_does_not_spin(loop: Any) -> None:
    async def main() -> int:
        before = loop._ticks
        for _ in range(20):
            await hasten.sleep(0.0005)
        return int(loop._ticks - before)

    assert loop.run_until_complete(main()) < 20 * FEW


def test_endless_work_lets_io_and_timers_through(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    left = {"timer", "reader", "thread"}

    def done(what: str) -> None:
        left.discard(what)
        if what == "reader":
            loop.remove_reader(ours)

    def work() -> None:
        if left:
            loop.call_soon(work)
        else:
            loop.stop()

    loop.add_reader(ours, done, "reader")
    loop.call_later(0.002, done, "timer")
    loop.call_later(0.002, theirs.send, b"a")
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(done, "thread"))
    loop.call_soon(work)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    assert left == set()


def test_endless_work_without_timers_lets_io_through(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    theirs.send(b"a")

    def work() -> None:
        loop.call_soon(work)

    loop.add_reader(ours, loop.stop)
    loop.call_soon(work)
    loop.run_forever()
    assert loop.remove_reader(ours) is True


# ---- the end -----------------------------------------------------------------------------------


def test_loop_is_closed_twice(loop: Loop, pair: Pair) -> None:
    ours, _ = pair()
    loop.add_reader(ours, print)
    turn(loop)
    loop.close()
    assert loop.is_closed()
    loop.close()
    assert loop.is_closed()
    assert "closed=True" in repr(loop)


def test_close_leaves_descriptors_of_others_open(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    loop.add_reader(ours, print)
    loop.close()
    theirs.send(b"a")
    assert ours.recv(10) == b"a"


def test_closed_loop_refuses_everything(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    loop.add_reader(ours, print)
    loop.close()
    uses: list[Callable[[], object]] = [
        loop.run_forever,
        lambda: loop.add_reader(theirs, print),
        lambda: loop.add_writer(theirs, print),
        lambda: loop.add_reader(ours, print),
        lambda: loop.call_soon(print),
        lambda: loop.call_soon_threadsafe(print),
        lambda: loop.call_later(1, print),
        lambda: loop.call_at(1, print),
        lambda: loop.add_signal_handler(signal.SIGUSR1, print),
    ]
    for use in uses:
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            use()
