"""as_completed(): the same of hasten's and of asyncio's. With a limit: test_completing_limited.py."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Iterator

import pytest

import hasten


class MyError(Exception):
    pass


async def value(result, rounds=1):
    for _ in range(rounds):
        await asyncio.sleep(0)
    return result


async def failing(rounds=1):
    await value(None, rounds)
    raise MyError


async def forever():
    await asyncio.get_running_loop().create_future()


def spawn(coro):
    return asyncio.get_running_loop().create_task(coro)


@pytest.mark.stdlib_since(3, 13)
def test_asynchronous_iteration_gives_the_futures(world):
    async def main():
        tasks = [spawn(value(i, 9 - i)) for i in range(3)]
        fut = asyncio.get_running_loop().create_future()
        fut.set_result("there")
        seen = []
        async for each in world.ns.as_completed([*tasks, fut, tasks[0]]):
            assert each.done()
            seen.append(each)
        assert seen == [fut, tasks[2], tasks[1], tasks[0]]

    world.run(main())


@pytest.mark.stdlib_since(3, 13)
def test_coroutines_are_given_as_tasks(world):
    async def main():
        seen = [each.result() async for each in world.ns.as_completed([value("a", 2), value("b", 1)])]
        assert seen == ["b", "a"]

    world.run(main())


def test_exceptions_come_in_their_turn(world):
    async def main():
        seen = []
        for each in world.ns.as_completed([value(1, 1), failing(2), value(3, 3)]):
            try:
                seen.append(await each)
            except MyError:
                seen.append("error")
        assert seen == [1, "error", 3]

    world.run(main())


def test_coroutines_may_be_awaited_in_any_order(world):
    async def main():
        waiting = list(world.ns.as_completed([value(i, i + 1) for i in range(4)]))
        assert len(waiting) == 4
        tasks = [spawn(each) for each in reversed(waiting)]
        assert await asyncio.gather(*tasks) == [0, 1, 2, 3]

    world.run(main())


def test_nothing_to_wait_for(world):
    async def main():
        assert list(world.ns.as_completed([])) == []
        assert list(world.ns.as_completed([], timeout=0)) == []

    world.run(main())


def test_time_is_over_for_all_that_is_left(world):
    async def main():
        tasks = [spawn(forever()) for _ in range(3)]
        seen = []
        for each in world.ns.as_completed([*tasks, value(1)], timeout=0.01):
            try:
                seen.append(await each)
            except TimeoutError:
                seen.append("late")
        assert seen == [1, "late", "late", "late"]
        assert not any(task.done() or task._callbacks for task in tasks)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    world.run(main())


@pytest.mark.stdlib_since(3, 13)
def test_time_is_over_in_asynchronous_iteration(world):
    async def main():
        task = spawn(forever())
        with pytest.raises(TimeoutError):
            async for _ in world.ns.as_completed([task], timeout=0.001):
                pytest.fail("it cannot be done")
        task.cancel()
        await asyncio.wait([task])

    world.run(main())


def test_timer_goes_with_the_last(loop):
    async def main():
        for each in hasten.as_completed([value(1), value(2)], timeout=3600):
            await each
        assert [handle for _, handle in loop._timers.items() if not handle.cancelled()] == []

    loop.run_until_complete(main())


@pytest.mark.stdlib_since(3, 15)
def test_cancelled_wait_takes_nothing_away(world, settle):
    async def main():
        fut = asyncio.get_running_loop().create_future()
        completed = world.ns.as_completed([fut])
        first = spawn(wrap(completed))
        await settle()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        second = spawn(wrap(completed))
        await settle()
        fut.set_result("kept")
        assert (await second).result() == "kept"
        with pytest.raises(StopAsyncIteration):
            await anext(completed)

    async def wrap(completed):
        return await anext(completed)

    world.run(main())


def test_wake_up_that_comes_with_a_cancellation_is_passed_on(world, settle):
    async def main():
        futures = [asyncio.get_running_loop().create_future() for _ in range(2)]
        one, other = (spawn(each) for each in world.ns.as_completed(futures))
        await settle()
        futures[0].set_result("first")
        await asyncio.sleep(0)  # `one` is woken, and has not run yet
        one.cancel()
        await settle()
        assert one.cancelled()
        assert other.done()
        assert other.result() == "first"

    world.run(main())


@pytest.mark.stdlib_since(3, 13)
@pytest.mark.parametrize("wrong", [5, None])
def test_of_what_cannot_be_iterated(world, wrong):
    async def main():
        with pytest.raises(TypeError):
            world.ns.as_completed(wrong)

    world.run(main())


@pytest.mark.stdlib_since(3, 13)
def test_of_an_awaitable(world):
    async def main():
        coro = value(1)
        with pytest.raises(TypeError, match="expects an iterable of awaitables, not coroutine"):
            world.ns.as_completed(coro)
        coro.close()

    world.run(main())


def test_asynchronous_iterable_needs_a_limit():
    async def numbers():
        yield value(1)

    async def main():
        with pytest.raises(TypeError, match="needs a limit"):
            hasten.as_completed(numbers())

    hasten.run(main())


def test_interfaces():
    async def main():
        completed = hasten.as_completed([])
        assert isinstance(completed, Iterator)
        assert isinstance(completed, AsyncIterator)
        empty = type(completed)()
        assert list(empty) == []
        await empty.aclose()

    hasten.run(main())


def test_coroutine_that_nobody_awaits_is_told_of():
    async def main():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for each in hasten.as_completed([value(1)]):
                del each
            gc.collect()
        assert [str(w.message) for w in caught] == ["coroutine 'as_completed.__next__' was never awaited"]

    hasten.run(main())


def test_stock_children_on_hasten_s_loop(settle):
    """Stock tasks and futures report by callbacks, and are shown in the interpreter's call graph."""

    async def main():
        loop = asyncio.get_running_loop()
        stock = asyncio.Task(value("stock", 3), loop=loop)
        late = asyncio.Future(loop=loop)
        seen = []
        for each in hasten.as_completed([stock, value("ours"), late], timeout=0.05):
            try:
                seen.append(await each)
            except TimeoutError:
                seen.append("late")
        assert seen == ["ours", "stock", "late"]
        assert not late._callbacks

    hasten.run(main())
