"""When a busy loop looks at I/O, other threads and signals: after long steps, after what it did itself, else rarely."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten.core.scheduler import Scheduler
from hasten.poll.contract import Poller
from tests.net.injecting import needs_strace

POLLERS = ("epoll", "selectors") if sys.platform == "linux" else ("selectors",)


@pytest.fixture(params=POLLERS)
def loop(request: pytest.FixtureRequest) -> Iterator[Any]:
    fresh = hasten.new_event_loop(request.param)
    try:
        yield fresh
        assert hasten.all_tasks(fresh) == set()
    finally:
        fresh.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


def take_long() -> None:
    """What a step of a program does that takes long."""
    time.sleep(0.001)


def test_a_ready_descriptor_waits_for_one_long_step_only(loop, pair) -> None:
    ours, theirs = pair
    seen: list[int] = []
    steps = [0]

    async def main() -> None:
        loop.add_reader(ours, lambda: seen.append(steps[0]))
        for _ in range(5):
            await hasten.sleep(0)  # what the registration stirred up has settled
        theirs.send(b"x")
        while not seen and steps[0] < 20:
            take_long()
            steps[0] += 1
            await hasten.sleep(0)
        loop.remove_reader(ours)

    loop.run_until_complete(main())
    assert seen[0] <= 2  # the one in which it came, and the one that stood in the queue before it


@pytest.mark.parametrize("busy", [False, True])
def test_what_is_readable_when_it_is_added_is_seen_at_once(loop, pair, busy) -> None:
    ours, theirs = pair
    theirs.send(b"x")
    seen: list[int] = []

    async def spin() -> None:
        while not seen:
            await hasten.sleep(0)

    async def main() -> None:
        spinning = loop.create_task(spin()) if busy else None
        await hasten.sleep(0)
        loop.add_reader(ours, seen.append, 1)
        await hasten.sleep(0)
        await hasten.sleep(0)
        loop.remove_reader(ours)
        found, seen[1:] = list(seen), []
        seen.append(0)  # ends spin()
        if spinning is not None:
            await spinning
        assert found

    loop.run_until_complete(main())


def test_a_timeout_of_zero_sees_what_is_readable(loop, pair) -> None:
    ours, theirs = pair
    theirs.send(b"x")

    async def main() -> int:
        found = 0
        for _ in range(50):
            event = hasten.Event()
            loop.add_reader(ours, event.set)
            try:
                await hasten.wait_for(event.wait(), 0)
            except TimeoutError:
                pass
            loop.remove_reader(ours)
            found += event.is_set()
        return found

    assert loop.run_until_complete(main()) == 50


class Receiver(asyncio.Protocol):
    def __init__(self) -> None:
        self.got: list[bytes] = []

    def data_received(self, data: bytes) -> None:
        self.got.append(data)

    def eof_received(self) -> None:
        self.got.append(b"end")


async def _after_a_few_ticks(receiver: Receiver) -> list[bytes]:
    for _ in range(4):
        await hasten.sleep(0)
    got, receiver.got = receiver.got, []
    return got


def _sends(name: str) -> Callable[[Any, Any], Any]:
    return {
        "write": lambda loop, transport: transport.write(b"x"),
        "writelines": lambda loop, transport: transport.writelines([b"x", b"y"]),
        "write_eof": lambda loop, transport: transport.write_eof(),
        "close": lambda loop, transport: transport.close(),
    }[name]


@pytest.mark.parametrize("way", ["write", "writelines", "write_eof", "close"])
def test_a_peer_on_the_same_loop_sees_what_a_transport_sends(loop, pair, way) -> None:
    ours, theirs = pair

    async def main() -> None:
        _, receiver = await loop.create_connection(Receiver, sock=ours)
        sender, _ = await loop.create_connection(asyncio.Protocol, sock=theirs)
        for _ in range(20):
            await hasten.sleep(0)
        for _ in range(1 if way in ("write_eof", "close") else 50):
            _sends(way)(loop, sender)
            assert await _after_a_few_ticks(receiver)
        sender.abort()
        receiver_gone = asyncio.Event()
        loop.call_soon(receiver_gone.set)
        await receiver_gone.wait()

    loop.run_until_complete(main())
    loop.run_until_complete(hasten.sleep(0.001))


def test_a_peer_on_the_same_loop_sees_what_sock_sendall_sends(loop, pair) -> None:
    ours, theirs = pair

    async def main() -> None:
        seen: list[bytes] = []
        loop.add_reader(ours, lambda: seen.append(ours.recv(100)))
        for _ in range(20):
            await hasten.sleep(0)
        for _ in range(50):
            await loop.sock_sendall(theirs, b"x")
            for _ in range(4):
                await hasten.sleep(0)
            assert seen
            seen.clear()
        loop.remove_reader(ours)

    loop.run_until_complete(main())


def test_work_without_io_is_not_polled_for(loop, pair) -> None:
    ours, _ = pair

    async def main() -> None:
        loop.add_reader(ours, lambda: None)
        for _ in range(10):
            await hasten.sleep(0)
        ticks, polls = loop._ticks, loop._polls
        while loop._ticks - ticks < 20_000:
            await hasten.sleep(0)
        assert loop._polls - polls < (loop._ticks - ticks) / 2
        loop.remove_reader(ours)

    loop.run_until_complete(main())


def test_other_threads_have_their_turn_beside_a_busy_task(loop) -> None:
    """A thread that waits for the interpreter's lock would ask for it after the switch interval only."""

    async def main() -> None:
        await hasten.to_thread(int)  # its thread is there now
        done = loop.create_task(hasten.to_thread(int))
        ticks = 0
        while not done.done() and ticks < 2_000_000:
            ticks += 1
            await hasten.sleep(0)
        assert ticks < 2_000_000
        await done

    before = sys.getswitchinterval()
    sys.setswitchinterval(100.0)
    try:
        loop.run_until_complete(main())
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        sys.setswitchinterval(before)


CALLS = 300
IN_AN_EXECUTOR = f"""
import os, sys
import hasten

async def busy(done):
    while not done.is_set():
        await hasten.sleep(0)

async def main():
    loop, done = hasten.get_running_loop(), hasten.Event()
    beside = hasten.create_task(busy(done)) if "busy" in sys.argv else hasten.sleep(0)
    for _ in range({CALLS}):
        await loop.run_in_executor(None, int)
    done.set()
    await beside

if "one core" in sys.argv:
    os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}})
hasten.run(main())
"""


def yields(folder: Path, *how: str, program: str = IN_AN_EXECUTOR) -> int:
    """Count how often threads of a program give their core away to wait for another."""
    counted = folder / "counted"
    traced = ["strace", "-f", "-o", str(counted), "-e", "trace=sched_yield"]
    subprocess.run([*traced, sys.executable, "-c", program, *how], check=True, timeout=120)
    return counted.read_text().count("sched_yield(")


@needs_strace
def test_a_loop_that_goes_to_sleep_does_not_wait_for_another_thread_before(tmp_path) -> None:
    """The poller gives the interpreter's lock away while it sleeps. Given away once more before, until the other thread
    has it, it made each call in an executor cost three times as much."""
    assert yields(tmp_path) < CALLS  # there were six for each call, and more


@needs_strace
def test_a_busy_loop_on_one_core_sees_that_the_other_thread_has_had_its_turn(tmp_path) -> None:
    """There the lock is free again when the loop looks: it went on waiting for a fifth of a millisecond."""
    assert yields(tmp_path, "busy", "one core") < 1.3 * CALLS  # there were nearly two for each call


BESIDE_THREADS = f"""
import asyncio, socket, sys, threading
import hasten

def compute():
    while not over:
        pass

async def main():
    loop = hasten.get_running_loop()
    near, far = socket.socketpair()
    near.setblocking(False)
    peer = threading.Thread(target=lambda: [far.sendall(far.recv(1)) for _ in range({CALLS})])
    for thread in (peer, *others):
        thread.start()
    for _ in range({CALLS}):
        await loop.sock_sendall(near, b"x")
        await loop.sock_recv(near, 1)
    over.append(True)
    for thread in (peer, *others):
        thread.join()
    near.close()
    far.close()

sys.setswitchinterval(1e-4)
over = []
others = [threading.Thread(target=compute) for _ in range(3)]
hasten.run(main())
"""


@needs_strace
def test_a_loop_that_has_waited_for_the_lock_does_not_give_it_away_before_it_has_looked(tmp_path) -> None:
    """Beside threads that compute, an answer took three times as long: who gets the lock keeps it for a while."""
    assert yields(tmp_path, program=BESIDE_THREADS) < CALLS / 10


C_ONLY = """
import asyncio, signal, socket, sys
import hasten

class Echo(asyncio.Protocol):
    # nothing of Python runs in the loop from here on: each end writes back what it gets
    def connection_made(self, transport):
        self.data_received = transport.write

async def main(loop):
    ends = socket.socketpair()
    transports = [(await loop.create_connection(Echo, sock=sock))[0] for sock in ends]
    for transport in transports:
        transport.set_protocol(transport.get_protocol())
    transports[0].write(b"x")
    await loop.create_future()

def ended(signum, frame):
    print("heard")
    sys.exit(0)

signal.signal(signal.SIGALRM, ended)
signal.setitimer(signal.ITIMER_REAL, 0.2)
loop = hasten.new_event_loop(sys.argv[1])
loop.run_until_complete(main(loop))
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this platform has no timers that send signals")
@pytest.mark.parametrize("poller", POLLERS)
def test_signals_have_their_turn_beside_callbacks_in_c(poller) -> None:
    done = subprocess.run(
        [sys.executable, "-c", C_ONLY, poller], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr


def test_a_destructor_may_tick_between_two_entries(loop) -> None:
    ran: list[int] = []

    class Ticks:
        def __del__(self) -> None:
            loop._run_once()

    async def task(number: int) -> None:
        for _ in range(3):
            await hasten.sleep(0)
        ran.append(number)

    tasks = []
    for number in range(4):
        tasks.append(loop.create_task(task(number)))
        loop.call_soon(lambda _: None, Ticks())
        loop.call_soon(int)
    loop.run_until_complete(asyncio.wait(tasks))
    assert sorted(ran) == [0, 1, 2, 3]


def test_a_thread_wakes_a_loop_at_any_moment(loop) -> None:
    """Whatever the loop does when another thread schedules something, it does not go to sleep on it."""
    got: list[int] = []
    told = threading.Event()
    rounds = 300

    def receive(number: int) -> None:
        got.append(number)
        told.set()
        if number == rounds - 1:
            loop.stop()

    def send() -> None:
        for number in range(rounds):
            told.clear()
            loop.call_soon_threadsafe(receive, number)
            told.wait()

    thread = threading.Thread(target=send)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    assert got == list(range(rounds))


def test_every_says_how_often_a_loop_with_work_asks(loop, pair) -> None:
    """0: in each tick, as a simulation wants it."""
    ours, _ = pair

    async def main() -> None:
        loop.add_reader(ours, lambda: None)
        await hasten.sleep(0)
        loop._poller.every = 0.0
        await hasten.sleep(0.001)  # the latest poll was before
        ticks, polls = loop._ticks, loop._polls
        for _ in range(1000):
            await hasten.sleep(0)
        assert loop._polls - polls == loop._ticks - ticks >= 1000
        loop.remove_reader(ours)

    loop.run_until_complete(main())


@pytest.mark.parametrize("every", [-1.0, math.nan, math.inf, 1e300])
def test_an_odd_every(loop, every: float) -> None:
    loop._poller.every = every

    async def main() -> None:
        for _ in range(10):
            await hasten.sleep(0)
        await hasten.sleep(0.001)

    loop.run_until_complete(main())


def test_a_loop_knows_the_thread_that_runs_it(loop) -> None:
    assert loop._thread_id is None

    async def main() -> None:
        assert loop._thread_id == threading.get_ident()

    loop.run_until_complete(main())
    assert loop._thread_id is None
    with pytest.raises(ZeroDivisionError):
        loop.run_until_complete(_fail())
    assert loop._thread_id is None


async def _fail() -> None:
    raise ZeroDivisionError


def test_two_loops_cannot_run_on_one_poller() -> None:
    outer, inner = hasten.new_event_loop(), Scheduler(Poller())

    async def main() -> None:
        Scheduler.__init__(inner, outer._poller)
        with pytest.raises(RuntimeError, match="this poller is used by a loop that runs already"):
            inner._run_ticks(threading.get_ident())
        assert hasten.get_running_loop() is outer
        await hasten.sleep(0)

    with contextlib.closing(outer):
        outer.run_until_complete(main())


REFUSED = """
import asyncio, sys
given = asyncio._set_running_loop
refused = []
def put(loop):
    if refused and refused[0] == (loop is not None):
        refused.clear()
        raise MemoryError
    given(loop)
asyncio._set_running_loop = put
import hasten
loop = hasten.new_event_loop()
refused.append(sys.argv[1] == "begin")
loop.call_soon(loop.stop)
try:
    loop.run_forever()
except MemoryError:
    print("no memory")
given(None)
print(loop.is_running(), loop._thread_id)
loop.stop()
loop.run_forever()
loop.close()
print("end")
"""


@pytest.mark.parametrize("when", ["begin", "end"])
def test_a_loop_that_cannot_be_published_does_not_run(when: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REFUSED, when],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(hasten.__file__).parents[1])},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "no memory\nFalse None\nend\n", "")
