"""The main thread is called in the middle of what it does, without the interpreter's lock."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import hasten
from hasten.diagnosis import sampling
from hasten.kernel import nudge

needs_nudging = pytest.mark.skipif(
    not nudge.available() or sys.platform != "linux", reason="the main thread cannot be nudged here"
)


def state() -> bytes:
    return b"/proc/self/task/%d/stat" % os.getpid()


@pytest.fixture
def nudging() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Starts a thread that nudges the main thread again and again, until the test ends."""
    end = threading.Event()
    threads = []

    def nudges() -> None:
        while not end.is_set():
            nudge.after(0.0001, state())

    def start(hook: Callable[[], object]) -> None:
        nudge.set_hook(hook)
        thread = threading.Thread(target=nudges)
        thread.start()
        threads.append(thread)

    yield start
    end.set()
    for thread in threads:
        thread.join()
    nudge.set_hook(None)


@needs_nudging
def test_it_is_called_where_the_main_thread_is(nudging: Callable[[Callable[[], object]], None]) -> None:
    found: list[str] = []

    def spins() -> None:
        while not found:
            pass

    nudging(lambda: found.append(sys._getframe(1).f_code.co_name))
    while "spins" not in found:
        found.clear()
        spins()


@needs_nudging
def test_its_errors_end_nothing_but_an_interrupt_does(nudging: Callable[[Callable[[], object]], None]) -> None:
    calls: list[int] = []

    def fails() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise ValueError
        if len(calls) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nudging(fails)
        while True:
            pass
    assert len(calls) >= 3


@needs_nudging
def test_who_sleeps_is_left_alone() -> None:
    calls: list[int] = []
    answers: list[bool] = []
    nudge.set_hook(lambda: calls.append(1))
    thread = threading.Thread(target=lambda: answers.append(nudge.after(0.05, state())))
    thread.start()
    thread.join()
    nudge.set_hook(None)
    assert answers == [False]
    assert calls == []


@needs_nudging
def test_steps_that_are_shorter_than_the_switch_interval_are_seen() -> None:
    """What keeps the loop busy is seen, though the lock is never waited for in it."""
    sampler = sampling.Sampler()
    end = threading.Event()

    def looks() -> None:
        for _ in range(200):
            on = sampling.pause()
            sampler.sample([loop], on)
            if sum(sampler._busy.values()) > 5:
                break
        end.set()

    async def busy() -> None:
        while not end.is_set():
            until = time.perf_counter() + 0.0005
            while time.perf_counter() < until:
                pass
            await hasten.sleep(0)

    loop = hasten.new_event_loop()
    thread = threading.Thread(target=looks)
    try:
        loop.call_soon(thread.start)
        loop.run_until_complete(busy())
        thread.join()
        told = sampler.report([loop])
    finally:
        sampler.close()
        loop.close()
    assert told["busy"][0]["root"][2].endswith("busy")


def test_uncompiled_or_not_it_sleeps() -> None:
    start = time.monotonic()
    nudge.after(0.01, b"/a/file/that/is/not/there")
    assert time.monotonic() - start >= 0.01
