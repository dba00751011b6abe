"""What every poller promises of edges, wake-ups and timers: see test_contract.py.

add_reader() and add_writer() are level-triggered watches, transports edge-triggered ones.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

import hasten

from .conftest import (
    FEW,
    Attach,
    Loop,
    Pair,
    Recorder,
    SmallReads,
    empty,
    end,
    fill,
    reset,
    ticks_of_a_nap,
    turn,
)

pytestmark = pytest.mark.timeout(60)


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
