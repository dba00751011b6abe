"""virtual_time(): sleeps, timeouts and timers jump; what is at work outside the loop is never jumped over."""

from __future__ import annotations

import asyncio
import os
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

import pytest

import hasten
from hasten.poll import choice
from hasten.testing import Deadlock, outside, virtual_time

LONG = 7 * 86400.0  # nobody waits for that


@pytest.fixture(autouse=True, params=choice.NAMES)
def _on_each_poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(choice.VARIABLE, request.param)


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    return hasten.run(main(), loop_factory=virtual_time())


def test_sleep_jumps_and_the_system_s_clock_does_not() -> None:
    async def main() -> None:
        loop, begun = asyncio.get_running_loop(), time.monotonic()
        assert loop.time() == 0.0
        await hasten.sleep(LONG)
        assert loop.time() == LONG
        assert time.monotonic() - begun < 60

    run(main)


def test_time_stands_still_while_callbacks_run() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        time.sleep(0.01)  # noqa: ASYNC251
        for _ in range(10):
            await hasten.sleep(0)
        assert loop.time() == 0.0

    run(main)


@pytest.mark.parametrize("ns", [hasten, asyncio])
def test_timers_run_in_their_order(ns: Any) -> None:
    async def main() -> list[tuple[float, int]]:
        loop = asyncio.get_running_loop()
        seen: list[tuple[float, int]] = []

        async def nap(seconds: float) -> None:
            await ns.sleep(seconds)
            seen.append((loop.time(), 0))

        loop.call_later(5, lambda: seen.append((loop.time(), 1)))
        loop.call_at(3, lambda: seen.append((loop.time(), 2)))
        handle = loop.call_later(4, lambda: seen.append((loop.time(), 3)))
        handle.cancel()
        await ns.gather(nap(7), nap(0.25), nap(3))
        return seen

    assert run(main) == [(0.25, 0), (3, 2), (3, 0), (5, 1), (7, 0)]


@pytest.mark.parametrize("ns", [hasten, asyncio])
def test_timeouts(ns: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with ns.timeout(LONG):
                await ns.Event().wait()
        with pytest.raises(TimeoutError):
            await ns.wait_for(ns.Event().wait(), 1)
        assert loop.time() == LONG + 1
        async with ns.timeout(10):
            await ns.sleep(9)
        done, pending = await ns.wait([ns.ensure_future(ns.sleep(n)) for n in (1, 3)], timeout=2)
        assert (len(done), len(pending)) == (1, 1)
        await pending.pop()

    run(main)


def test_the_clock_gets_to_each_timer() -> None:
    """Also where the sum of the time and the rest, as floats, falls short of it."""

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        ticks = loop._ticks
        for n in range(1, 2000):
            when = loop.time() + 1 / n
            done = loop.create_future()
            loop.call_at(when, done.set_result, None)
            await done
            assert when <= loop.time() < when + 1e-9
        assert loop._ticks - ticks < 6 * 2000

    hasten.run(main(), loop_factory=virtual_time(start=1e6 / 3))


def test_a_thread_s_work_is_waited_for() -> None:
    async def main() -> None:
        loop, go = asyncio.get_running_loop(), threading.Event()
        work = asyncio.ensure_future(hasten.to_thread(go.wait))
        hour = asyncio.ensure_future(hasten.sleep(3600))
        done, _ = await asyncio.wait([work, hour], timeout=0.05)
        assert not done
        assert 0.04 < loop.time() < 60
        go.set()
        async with hasten.timeout(3000):
            await work
        assert loop.time() < 3000
        await hour
        assert loop.time() == 3600

    run(main)


def test_a_timeout_of_a_thread_s_work_takes_its_time() -> None:
    async def main() -> None:
        go, begun = threading.Event(), time.monotonic()
        with pytest.raises(TimeoutError):
            await hasten.wait_for(hasten.to_thread(go.wait), 0.05)
        assert time.monotonic() - begun >= 0.04
        go.set()

    run(main)


def test_a_thread_that_the_loop_does_not_know() -> None:
    async def main() -> None:
        loop, done, go = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

        def work() -> None:
            go.wait(30)
            loop.call_soon_threadsafe(done.set)

        thread = threading.Thread(target=work)
        thread.start()
        loop.call_soon(loop.call_later, 0.03, go.set)  # passes in real time
        async with hasten.timeout(1000):
            await done.wait()
        assert loop.time() < 1000
        thread.join()

    run(main)


def test_a_thread_that_waits_for_work_is_not_at_work() -> None:
    async def main() -> None:
        jobs: queue.Queue[None] = queue.Queue()
        threads = [threading.Thread(target=jobs.get), threading.Thread(target=jobs.get)]
        for thread in threads:
            thread.start()
        await hasten.to_thread(int)  # the pool's thread stays
        await hasten.sleep(LONG)
        for thread in threads:
            jobs.put(None)
            thread.join()

    run(main)


def test_a_lookup_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    def lookup(*args: Any) -> list[Any]:
        go.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(0.03, go.set)
        async with hasten.timeout(1000):
            assert await loop.getaddrinfo("a.test", 1)

    run(main)


def test_a_child_is_waited_for() -> None:
    async def main() -> None:
        child = await hasten.create_subprocess_exec(
            sys.executable, "-c", "import sys; sys.stdin.read()", stdin=-1, stdout=-1
        )
        with pytest.raises(TimeoutError):
            await hasten.wait_for(child.wait(), 0.02)
        assert child.stdin is not None
        child.stdin.close()
        async with hasten.timeout(1000):
            assert await child.wait() == 0
            assert child.stdout is not None
            await child.stdout.read()

    run(main)


@pytest.mark.parametrize("kind", ["tcp", "unix", "pair"])
def test_a_server_and_its_client_on_one_loop_jump(kind: str, tmp_path: Any) -> None:
    async def serve(reader: Any, writer: Any) -> None:
        line = await reader.readline()
        await hasten.sleep(1000)
        writer.write(line)
        await writer.drain()
        await hasten.sleep(1000)
        writer.close()

    async def main() -> None:
        loop, server = asyncio.get_running_loop(), None
        if kind == "tcp":
            server = await hasten.start_server(serve, "127.0.0.1", 0)
            reader, writer = await hasten.open_connection(*server.sockets[0].getsockname())
        elif kind == "unix":
            server = await hasten.start_unix_server(serve, tmp_path / "s")
            reader, writer = await hasten.open_unix_connection(tmp_path / "s")
        else:
            ours, theirs = socket.socketpair()
            reader, writer = await hasten.open_connection(sock=ours)
            task = asyncio.ensure_future(serve(*await hasten.open_connection(sock=theirs)))
        writer.write(b"line\n")
        assert await hasten.wait_for(reader.readline(), 2000) == b"line\n"
        assert loop.time() == 1000
        assert await reader.read() == b""
        assert loop.time() == 2000
        writer.close()
        await writer.wait_closed()
        if server is None:
            await task
        else:
            server.close()
            await server.wait_closed()

    run(main)


def test_what_comes_from_elsewhere_is_waited_for() -> None:
    """A pipe: nobody can tell who holds its other end."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        read, write = os.pipe()
        came = loop.create_future()
        loop.add_reader(read, came.set_result, None)
        loop.call_later(0.03, os.write, write, b"x")
        begun = time.monotonic()
        async with hasten.timeout(1000):
            await came
        assert time.monotonic() - begun >= 0.02
        loop.remove_reader(read)
        os.close(read)
        os.close(write)
        await hasten.sleep(LONG)

    run(main)


def test_io_may_be_ignored() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        read, write = os.pipe()
        loop.add_reader(read, int)
        await hasten.sleep(LONG)
        loop.remove_reader(read)
        os.close(read)
        os.close(write)

    hasten.run(main(), loop_factory=virtual_time(ignore_io=True))


def test_a_deadlock_is_told_with_its_place() -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await asyncio.gather(hasten.create_task(stuck(), name="one"), hasten.create_task(stuck(), name="two"))

    with pytest.raises(Deadlock) as caught:
        run(main)
    text = str(caught.value)
    assert "deadlock: every task waits" in text
    first = stuck.__code__.co_firstlineno
    line = f"test_virtual_time.py:{first + 1} in test_a_deadlock_is_told_with_its_place.<locals>.stuck: await asyncio"
    assert f"{line}.Event().wait()" in text
    assert re.search(r"one waits at .*test_virtual_time\.py", text)
    assert "two waits" in text


def test_a_deadlock_in_another_thread_is_none() -> None:
    """Whoever started the thread may call in at any time."""
    loop = virtual_time().new_loop()
    result: list[str] = []

    async def main() -> None:
        event = asyncio.Event()
        waits.set_result(event)
        await event.wait()
        result.append("woken")

    waits: Future[asyncio.Event] = Future()
    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    event = waits.result(30)
    loop.call_soon_threadsafe(event.set)
    thread.join()
    loop.close()
    assert result == ["woken"]


def test_the_limit() -> None:
    async def beat() -> None:
        while True:
            await hasten.sleep(1)

    async def main() -> None:
        heart = hasten.create_task(beat())
        await asyncio.Event().wait()
        del heart

    with pytest.raises(Deadlock, match="reached its limit of 1000 seconds"):
        hasten.run(main(), loop_factory=virtual_time(limit=1000))


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (1e7, "reached its limit of"),
        (1e10, "the first timer is due in 1e+10 seconds"),
        (float("inf"), "the first timer is due in inf seconds"),
    ],
)
def test_who_sleeps_for_longer_than_the_limit(seconds: float, told: str) -> None:
    with pytest.raises(Deadlock) as caught:
        hasten.run(hasten.sleep(seconds), loop_factory=virtual_time())
    assert told in str(caught.value)
    assert "no timer is set" not in str(caught.value)


def test_a_busy_loop_that_waits_for_a_time_comes_to_it() -> None:
    async def main() -> None:
        loop, fired = asyncio.get_running_loop(), []
        loop.call_later(0.05, fired.append, True)
        while not fired:
            await hasten.sleep(0)
        assert loop.time() >= 0.05

    run(main)


def test_a_sleep_without_end_is_none() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with hasten.timeout(1000):
                await hasten.sleep(float("inf"))

    run(main)


def test_with() -> None:
    async def main() -> float:
        await asyncio.sleep(LONG)
        return asyncio.get_running_loop().time()

    simulation = virtual_time()
    with simulation:
        assert hasten.run(main()) == LONG
        assert asyncio.run(main()) == LONG
        with simulation, hasten.Runner() as runner:
            assert runner.run(main()) == LONG
        assert hasten.run(main()) == LONG
        loop = asyncio.new_event_loop()
        assert loop.run_until_complete(main()) == LONG
        loop.close()
    with hasten.Runner() as runner:
        assert runner.get_loop().time() != 0.0


@virtual_time()
async def test_as_a_decorator(tmp_path: Any) -> None:
    assert tmp_path.is_dir()
    await hasten.sleep(LONG)


@virtual_time()
def test_as_a_decorator_of_a_plain_test() -> None:
    hasten.run(hasten.sleep(LONG))


def test_what_is_made_ready_while_the_guide_looks_is_run() -> None:
    """Between "nothing is ready" and the jump, anything may run: a destructor, a signal handler."""

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        guide, seen = loop._virtual.guide, []
        real = guide.in_flight

        def in_flight(timeout: float) -> float:
            if not seen:
                seen.append(loop.time())
                loop.call_soon(lambda: seen.append(loop.time()))
            return float(real(timeout))

        guide.in_flight = in_flight
        await hasten.sleep(10)
        assert seen == [0.0, 0.0]
        del guide.in_flight

    run(main)


def test_it_is_there_without_an_import_of_its_own() -> None:
    code = "import hasten; hasten.run(hasten.sleep(1e6), loop_factory=hasten.testing.virtual_time())"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_the_poller_refuses_what_it_cannot_stand_before() -> None:
    from hasten.poll.virtual import VirtualPoller

    poller = VirtualPoller(choice.make())
    for wrong in (None, poller):
        with pytest.raises(TypeError):
            VirtualPoller(wrong)  # type: ignore[arg-type]
    poller.close()
    poller.close()


def test_a_thread_that_calls_in_and_rests_while_it_is_looked_for(monkeypatch: Any) -> None:
    async def main() -> int:
        loop = hasten.get_running_loop()
        future: Any = loop.create_future()
        found: list[int] = []

        def busy_threads(known: Any) -> list[threading.Thread]:
            if not found:
                found.append(1)
                thread = threading.Thread(target=loop.call_soon_threadsafe, args=(future.set_result, 7))
                thread.start()
                thread.join()
            return []

        monkeypatch.setattr(outside, "busy_threads", busy_threads)
        return int(await future)

    assert run(main) == 7


def test_who_has_been_notified_is_not_idle() -> None:
    condition: Any = threading.Condition()

    def waits() -> None:
        with condition:
            condition.wait()

    thread = threading.Thread(target=waits)
    thread.start()
    assert thread.ident is not None
    while not (condition._waiters and outside.is_idle(sys._current_frames()[thread.ident])):
        time.sleep(0)
    waiter = condition._waiters.popleft()  # as notify() does; that its lock is taken at once is up to the interpreter
    assert not outside.is_idle(sys._current_frames()[thread.ident])
    waiter.release()
    thread.join()


def test_a_deadlock_of_many_tasks_with_names_that_a_terminal_would_obey() -> None:
    async def main() -> None:
        event = hasten.Event()
        names = ["a\x1b[31m\r\n\ud800" + "n" * 10_000, *(f"t{i}" for i in range(99))]
        await hasten.gather(*[hasten.create_task(event.wait(), name=name) for name in names])

    with pytest.raises(Deadlock) as caught:
        hasten.run(main(), loop_factory=virtual_time())
    lines = str(caught.value).splitlines()
    assert len(lines) == 1 + 50 + 1
    assert lines[-1] == "  … and 51 more"
    assert max(map(len, lines)) < 600
    str(caught.value).encode()
