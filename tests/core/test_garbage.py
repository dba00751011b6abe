"""What the garbage collector is told of hasten's objects, also of those whose memory is used again."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten import compat
from hasten.core import observing
from hasten.core.probe import Observer
from hasten.loop import Loop

THRESHOLD = 200
SHARE = 8  # so many of those with a free list count as one for the collector
Maker = Callable[[Any], Any]


async def nothing() -> None:
    pass


# Each gives one new object of a kind that has a free list.
KINDS: dict[str, Maker] = {
    "Future": lambda loop: loop.create_future(),
    "await": lambda loop: loop.create_future().__await__(),
    "Handle": lambda loop: hasten.Handle(print, (), loop),
    "TimerHandle": lambda loop: hasten.TimerHandle(1.0, print, (), loop),
    "timeout": lambda loop: hasten.timeout(None),
    "sleep": lambda loop: hasten.sleep(0),
    "Lock.acquire": lambda loop: hasten.Lock().acquire(),
    "Event.wait": lambda loop: hasten.Event().wait(),
    "Queue.get": lambda loop: hasten.Queue[int]().get(),
    "Queue.put": lambda loop: hasten.Queue[int]().put(1),
}


@pytest.fixture
def quiet() -> Iterator[None]:
    """No collection but those that the test asks for."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def eager_collector() -> Iterator[None]:
    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(THRESHOLD, 1, 1)
    yield
    gc.set_threshold(*before)


@pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited:RuntimeWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_made_and_freed_counts(kind: str, loop: Any, quiet: None) -> None:
    def made(number: int) -> tuple[int, int]:
        """How far the collector's count goes up with so many objects, and where it is when they are gone."""
        kept: list[Any] = [None] * number
        start = gc.get_count()[0]
        for i in range(number):
            kept[i] = KINDS[kind](loop)
        up = gc.get_count()[0] - start
        kept.clear()
        return up, gc.get_count()[0] - start

    # twice, since the first time the free lists may be empty, and more than there is room for in one of them
    async def main() -> None:
        for number in (50, 50, 400):
            up, after = made(number)
            assert up >= number // SHARE - 2
            assert after <= up - number // SHARE + 10  # what is freed counts as gone

    loop.run_until_complete(main())


def test_circles_of_recycled_objects_alone_are_collected(loop: Any, eager_collector: None) -> None:
    kept = [loop.create_future() for _ in range(300)]
    del kept  # the free list is full
    before = gc.get_stats()[0]["collections"]
    for _ in range(20 * THRESHOLD * SHARE):
        fut = loop.create_future()
        fut.set_result(fut)
    del fut
    assert gc.get_stats()[0]["collections"] >= before + 10
    gone = loop.create_future()
    ref = weakref.ref(gone)
    gone.set_result(gone)
    del gone
    for _ in range(20 * THRESHOLD * SHARE):
        fut = loop.create_future()
        fut.set_result(fut)
    assert ref() is None


def test_circles_of_handles_and_timers_are_collected(loop: Any, eager_collector: None) -> None:
    refs = []
    for make in (
        lambda args: loop.call_soon(print, args),
        lambda args: loop.call_later(1000, print, args),
        lambda args: hasten.Handle(print, args, loop),
    ):
        args: list[Any] = []
        handle = make(args)
        args.append(handle)
        refs.append(weakref.ref(handle))
        del handle, args
    gc.collect()
    assert [ref() is None for ref in refs] == [False, False, True]
    loop.close()
    gc.collect()
    assert [ref() is None for ref in refs] == [True, True, True]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__release_buffer__ came with Python 3.12")
def test_a_loop_that_the_collector_takes_apart() -> None:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("hostile_collected.py"))],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(hasten.__file__).parents[1])},
    )
    said = done.stdout.splitlines()
    assert (done.returncode, said[-1], done.stderr) == (0, "end", ""), said
    assert "it says that it runs" not in said


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.filterwarnings("ignore:unclosed event loop:ResourceWarning")
def test_a_loop_whose_task_factory_is_its_own_method_is_collected(closed: bool) -> None:
    class Own(Loop):
        def make(self, loop: Any, coro: Any, **more: Any) -> Any:
            return hasten.Task(coro, loop=loop, **more)

    own = Own()
    own.set_task_factory(own.make)
    own.call_soon(own.make)
    own.call_later(1000, own.make)
    if closed:
        own.close()
    ref = weakref.ref(own)
    del own
    gc.collect()
    assert ref() is None


def test_a_collection_at_each_allocation(loop: Any) -> None:
    """Whatever is being made when the collector runs is whole, and finalizers may use the loop."""

    class Circle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            handle = loop.call_soon(done.append, 1)
            loop.call_later(0, done.append, 2)
            if len(done) % 2:
                handle.cancel()
            fut = loop.create_future()
            fut.add_done_callback(done.append)
            fut.set_result(fut)

    done: list[Any] = []

    async def worker(queue: Any, lock: Any) -> int:
        total = 0
        for i in range(20):
            Circle()
            async with lock:
                queue.put_nowait(i)
            total += await queue.get()
            await hasten.sleep(0)
            async with hasten.timeout(10):
                await hasten.gather(hasten.sleep(0), hasten.sleep(0, i))
        return total

    async def main() -> list[int]:
        queue: Any = hasten.Queue()
        lock = hasten.Lock()
        return await hasten.gather(*[worker(queue, lock) for _ in range(4)])

    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        totals = loop.run_until_complete(main())
    finally:
        gc.set_threshold(*before)
    assert sum(totals) == 4 * sum(range(20))
    gc.collect()
    loop.run_until_complete(nothing())
    assert len(done) > 20


def test_a_finalizer_that_keeps_a_recycled_object(loop: Any, quiet: None) -> None:
    kept: list[Any] = []

    class Keeper:
        def __del__(self) -> None:
            kept.append(self.fut)  # type: ignore[attr-defined]

    for _ in range(600):
        keeper = Keeper()
        keeper.fut = fut = loop.create_future()  # type: ignore[attr-defined]
        fut.set_result(keeper)  # a circle
        del keeper, fut
    gc.collect()
    assert len({id(each) for each in kept}) == 600
    assert all(each.done() and type(each.result()) is Keeper for each in kept)
    del kept[:]
    gc.collect()
    assert not kept  # a finalizer runs once
    fresh = [loop.create_future() for _ in range(600)]
    assert not any(each.done() for each in fresh)


def test_an_exception_is_told_of_again_from_recycled_memory(loop: Any, quiet: None) -> None:
    told: list[Any] = []
    loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
    for _ in range(3):
        for _ in range(300):
            fut = loop.create_future()
            fut.set_exception(ValueError())
            fut.circle = fut
        del fut
        gc.collect()
    assert told == ["Future exception was never retrieved"] * 900


def test_a_task_on_a_loop_of_another_make_is_held_as_long_as_that_lives() -> None:
    log: list[str] = []

    async def forever(loop: Any) -> None:
        try:
            await loop.create_future()
        finally:
            log.append("ended")

    async def main(loop: Any) -> None:
        for _ in range(3):
            hasten.Task(forever(loop), loop=loop)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    told: list[str] = []
    loop = asyncio.SelectorEventLoop()
    loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
    ref = weakref.ref(loop)
    loop.run_until_complete(main(loop))
    gc.collect()
    assert not log
    assert len(hasten.all_tasks(loop)) == len(asyncio.all_tasks(loop)) == 3
    loop.close()
    gc.collect()
    assert not log
    del loop
    gc.collect()
    assert ref() is None
    assert log == ["ended"] * 3
    assert told == ["Task was destroyed but it is pending!"] * 3


@pytest.mark.parametrize("attributes", ["none", "hostile"])
def test_a_task_on_a_loop_that_takes_no_attributes(attributes: str) -> None:
    class Bare:
        __slots__ = ("__weakref__", "calls")
        if attributes == "hostile":

            @property
            def __dict__(self) -> Any:  # type: ignore[override]
                raise RuntimeError("no")

        def __init__(self) -> None:
            self.calls: list[Any] = []

        def get_debug(self) -> bool:
            return False

        def is_running(self) -> bool:
            return False

        def call_soon(self, callback: Any, *args: Any, context: Any = None) -> None:
            self.calls.append((callback, args))

        def call_exception_handler(self, context: Any) -> None:
            pass

    loop: Any = Bare()
    task = hasten.Task(nothing(), loop=loop)
    assert task in hasten.all_tasks(loop)
    callback, args = loop.calls.pop()
    callback(*args)
    assert task.done()
    assert not hasten.all_tasks(loop)
    del task, callback, args
    ref = weakref.ref(loop)
    del loop
    gc.collect()
    assert ref() is None


@pytest.mark.skipif(
    not compat.compiled() or hasattr(sys, "gettotalrefcount") or "HASTEN_SANITIZE" in os.environ,
    reason="there are no free lists",
)
def test_there_are_free_lists(loop: Any, quiet: None) -> None:
    """They are left out, silently, where the collector's numbers are not found."""
    first = [id(loop.create_future()) for _ in range(3)]
    assert len(set(first)) == 1
    kept = [loop.create_future() for _ in range(100)]
    places = {id(each) for each in kept}
    kept.clear()
    junk = [bytearray(sys.getsizeof(loop.create_future()) - 56) for _ in range(2000)]  # would get memory that is free
    again = [loop.create_future() for _ in range(100)]
    assert {id(each) for each in again} == places
    assert junk


class Detailed(Observer):
    def __init__(self) -> None:
        self.detailed = True


@pytest.mark.parametrize("observed", [False, True], ids=["", "observed"])
@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
def test_what_a_failed_or_cancelled_task_held_is_freed_without_the_collector(
    debug: bool, observed: bool, quiet: None
) -> None:
    """Also on the long way through a batch. Uncompiled, tracebacks lead to the frames that drive a task."""

    class Thing:
        pass

    async def fails(thing: Thing) -> None:
        raise ValueError("unheard")

    async def waits(thing: Thing) -> None:
        await hasten.Event().wait()

    async def main() -> list[Any]:
        loop = hasten.get_running_loop()
        loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
        if observed:
            observing.attach(Detailed(), loop)
        refs = []
        for kind in (fails, waits):
            thing = Thing()
            task = hasten.create_task(kind(thing))
            refs.append(weakref.ref(thing))
            del thing
        await hasten.sleep(0)
        await hasten.sleep(0)
        task.cancel()
        del task
        for _ in range(4):
            await hasten.sleep(0)
        return [ref() for ref in refs]

    told: list[str] = []
    assert hasten.run(main(), debug=debug) == [None, None]
    assert told == ["Task exception was never retrieved"]
