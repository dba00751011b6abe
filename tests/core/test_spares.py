"""What has ended is used again, by the loop that runs: never while somebody has it, and without what it had."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import hasten
from hasten.kernel import codes

MAKERS = {
    "sleep": lambda: hasten.sleep(0),
    "get": lambda: _filled().get(),
    "put": lambda: hasten.Queue().put(1),
    "future": lambda: _done().__await__(),
}
made = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


def _filled() -> Any:
    queue: Any = hasten.Queue()
    queue.put_nowait(1)
    return queue


def _done() -> Any:
    fut = asyncio.get_running_loop().create_future()
    fut.set_result(1)
    return fut


class Wait:
    """`await` of anything that has send()."""

    def __init__(self, it: Any) -> None:
        self.it = it

    def __await__(self) -> Any:
        return self.it


class Thing:
    pass


@made
def test_it_is_not_used_again_while_somebody_has_it(make: Callable[[], Any]) -> None:
    async def main() -> None:
        first = make()
        await Wait(first)
        second = make()
        assert second is not first
        await Wait(second)
        third, fourth = make(), make()
        assert len({id(each) for each in (first, second, third, fourth)}) == 4
        await Wait(third)
        await Wait(fourth)
        if hasattr(first, "cr_await"):  # it is a coroutine, and over
            with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
                await Wait(first)

    hasten.run(main())


@pytest.mark.parametrize("name", ["sleep", "get", "put"])
def test_a_weak_reference_ends_with_what_it_refers_to(name: str) -> None:
    async def main() -> None:
        make = MAKERS[name]
        first = make()
        await first
        ended: list[Any] = []
        ref = weakref.ref(first, ended.append)
        del first
        second = make()
        assert ref() is None
        assert ended == [ref]
        await second

    hasten.run(main())


def test_what_it_had_is_let_go_of() -> None:
    async def main() -> None:
        class Delay(float):
            pass

        result, delay, item, queue = Thing(), Delay(0), Thing(), hasten.Queue[Any]()
        refs = [weakref.ref(each) for each in (result, delay, item, queue)]
        assert await hasten.sleep(delay, result) is result
        await queue.put(item)
        assert await queue.get() is item
        fut = asyncio.get_running_loop().create_future()
        fut.set_result(result)
        refs.append(weakref.ref(fut))
        assert await fut is result
        del result, delay, item, queue, fut
        assert [ref() for ref in refs] == [None] * 5

    hasten.run(main())


def test_it_goes_with_its_loop() -> None:
    def alive() -> int:
        gc.collect()
        return sum(
            codes.real_name(type(each))[1] in ("Sleep", "QueueGet", "QueuePut", "FutureIter")
            for each in gc.get_objects()
        )

    async def main() -> None:
        for make in MAKERS.values():
            await Wait(make())

    before = alive()
    hasten.run(main())
    assert alive() == before
    loop = hasten.new_event_loop()
    loop.run_until_complete(main())
    loop.run_until_complete(main())
    loop.close()
    assert alive() == before


def test_without_a_loop() -> None:
    coro: Any = hasten.sleep(0, "result")
    assert coro.send(None) is None
    with pytest.raises(StopIteration, match="^result$"):
        coro.send(None)


def test_a_loop_inside_another() -> None:
    """The outer one goes on, whatever runs in its thread meanwhile."""

    async def many() -> None:
        for _ in range(3):
            for make in MAKERS.values():
                await Wait(make())

    async def main() -> None:
        await many()
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            inner = hasten.new_event_loop()
            inner.run_until_complete(many())
            inner.close()
        finally:
            asyncio._set_running_loop(outer)
        await many()

    hasten.run(main())


def test_loops_in_threads_do_not_share_them() -> None:
    turns = threading.Barrier(2, timeout=30)
    seen: dict[str, set[int]] = {"a": set(), "b": set()}
    kept: list[Any] = []

    async def main(name: str) -> None:
        for _ in range(20):
            for make in MAKERS.values():
                await Wait(make())
            coro = hasten.sleep(0)
            turns.wait()  # both have one in hand
            seen[name].add(id(coro))
            turns.wait()
            assert not seen["a"] & seen["b"]
            turns.wait()
            seen[name].clear()
            await coro

    def run(name: str) -> None:
        try:
            hasten.run(main(name))
        except BaseException as exc:
            kept.append(exc)
            turns.abort()

    threads = [threading.Thread(target=run, args=(name,)) for name in seen]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not kept
