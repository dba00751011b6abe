"""gather(), wait(), wait_for(), shield(), as_completed(), sleep(): the same of hasten's and of asyncio's."""

from __future__ import annotations

import asyncio
import inspect
import math
from typing import Any

import pytest

import hasten


class MyError(Exception):
    pass


async def value(result: Any = None, rounds: int = 1) -> Any:
    for _ in range(rounds):
        await asyncio.sleep(0)
    return result


async def failing(rounds: int = 1) -> None:
    for _ in range(rounds):
        await asyncio.sleep(0)
    raise MyError(rounds)


async def for_ever() -> None:
    await asyncio.get_running_loop().create_future()


def test_gather_keeps_the_order(world: Any) -> None:
    async def main() -> Any:
        fut = asyncio.get_running_loop().create_future()
        fut.set_result("f")
        return await world.ns.gather(value(1, 3), value(2, 1), world.ns.create_task(value(3, 2)), fut, value(4, 0))

    assert world.run(main()) == [1, 2, 3, "f", 4]


def test_gather_of_nothing(world: Any) -> None:
    async def main() -> Any:
        return await world.ns.gather()

    assert world.run(main()) == []


def test_gather_of_the_same_twice(world: Any) -> None:
    async def main() -> Any:
        coro = value(5)
        return await world.ns.gather(coro, value(6), coro)

    assert world.run(main()) == [5, 6, 5]


def test_gather_raises_the_first_exception_and_the_others_go_on(world: Any) -> None:
    async def main() -> None:
        last = world.ns.create_task(value("last", 10))
        with pytest.raises(MyError) as caught:
            await world.ns.gather(failing(3), failing(1), last)
        assert caught.value.args == (1,)
        assert not last.done()
        assert await last == "last"

    world.run(main())


def test_gather_of_exceptions(world: Any) -> None:
    async def main() -> Any:
        cancelled = world.ns.create_task(for_ever())
        asyncio.get_running_loop().call_soon(cancelled.cancel, "why")
        return await world.ns.gather(failing(2), value(1), cancelled, return_exceptions=True)

    error, one, cancelled = world.run(main())
    assert isinstance(error, MyError)
    assert one == 1
    assert isinstance(cancelled, asyncio.CancelledError)


def test_gather_is_cancelled_with_its_children(world: Any) -> None:
    async def main() -> None:
        children = [world.ns.create_task(for_ever()) for _ in range(3)]
        outer = world.ns.gather(*children)
        await asyncio.sleep(0)
        assert outer.cancel("all")
        assert not outer.done()
        with pytest.raises(asyncio.CancelledError):
            await outer
        assert all(child.cancelled() for child in children)
        assert outer.cancelled() or outer.done()

    world.run(main())


def test_gather_whose_children_refuse_to_be_cancelled(world: Any) -> None:
    async def stubborn() -> str:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            pass
        return "stayed"

    async def main() -> None:
        for flag in (False, True):
            outer = world.ns.gather(stubborn(), stubborn(), return_exceptions=flag)
            await asyncio.sleep(0)
            outer.cancel()
            with pytest.raises(asyncio.CancelledError):
                await outer

    world.run(main())


@pytest.mark.parametrize("what", [None, 5, "x", object()])
def test_gather_of_what_cannot_be_awaited(world: Any, what: Any) -> None:
    async def main() -> None:
        with pytest.raises(TypeError):
            world.ns.gather(what)

    world.run(main())


def test_gather_across_loops(world: Any) -> None:
    other = asyncio.SelectorEventLoop()

    async def main() -> None:
        with pytest.raises(ValueError, match="different loop"):
            world.ns.gather(asyncio.get_running_loop().create_future(), other.create_future())

    try:
        world.run(main())
    finally:
        other.close()


@pytest.mark.parametrize("when", ["FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED"])
def test_wait(world: Any, when: str) -> None:
    async def main() -> tuple[int, int]:
        tasks = [world.ns.create_task(c) for c in (value(1, 1), failing(5), value(3, 9))]
        done, pending = await world.ns.wait(tasks, return_when=when)
        counts = len(done), len(pending)
        assert done | pending == set(tasks)
        await asyncio.gather(*tasks, return_exceptions=True)
        return counts

    expected = {"FIRST_COMPLETED": (1, 2), "FIRST_EXCEPTION": (2, 1), "ALL_COMPLETED": (3, 0)}
    assert world.run(main()) == expected[when]


def test_wait_with_a_timeout(world: Any) -> None:
    async def main() -> None:
        task = world.ns.create_task(for_ever())
        done, pending = await world.ns.wait([task], timeout=0.001)
        assert (done, pending) == (set(), {task})
        assert not task.cancelled()
        task.cancel()
        assert (await world.ns.wait({task}))[0] == {task}

    world.run(main())


def test_wait_being_cancelled_leaves_the_tasks(world: Any) -> None:
    async def main() -> None:
        task = world.ns.create_task(for_ever())
        waiting = world.ns.create_task(world.ns.wait([task]))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not task.done()
        assert not task._callbacks
        task.cancel()
        await world.ns.wait([task])

    world.run(main())


def test_wait_misused(world: Any) -> None:
    async def main() -> None:
        task = world.ns.create_task(value())
        coro = value()
        with pytest.raises(TypeError, match="expect a list of futures"):
            await world.ns.wait(task)
        with pytest.raises(TypeError, match="Passing coroutines is forbidden"):
            await world.ns.wait([coro])
        with pytest.raises(ValueError, match="empty"):
            await world.ns.wait([])
        with pytest.raises(ValueError, match="Invalid return_when value"):
            await world.ns.wait([task], return_when="SOMETIME")
        coro.close()
        await task

    world.run(main())


def test_wait_for(world: Any) -> None:
    async def main() -> None:
        assert await world.ns.wait_for(value(1), 10) == 1
        assert await world.ns.wait_for(value(2), None) == 2
        with pytest.raises(MyError):
            await world.ns.wait_for(failing(), 10)
        task = world.ns.create_task(for_ever())
        with pytest.raises(TimeoutError):
            await world.ns.wait_for(task, 0.001)
        assert task.cancelled()
        task = world.ns.create_task(for_ever())
        with pytest.raises(TimeoutError):
            await world.ns.wait_for(task, 0)
        assert task.cancelled()
        fut = asyncio.get_running_loop().create_future()
        fut.set_result("there")
        assert await world.ns.wait_for(fut, 0) == "there"
        assert await world.ns.wait_for(fut, -1) == "there"

    world.run(main())


def test_shield(world: Any) -> None:
    async def main() -> None:
        fut = asyncio.get_running_loop().create_future()
        inner = world.ns.create_task(asyncio.wait_for(fut, None))
        outer = world.ns.shield(inner)
        await asyncio.sleep(0)
        outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        assert not inner.done()
        fut.set_result("inner")
        assert await inner == "inner"
        assert await world.ns.shield(value(3)) == 3
        with pytest.raises(MyError):
            await world.ns.shield(failing())

    world.run(main())


def test_as_completed(world: Any) -> None:
    async def main() -> list[Any]:
        return [await each for each in world.ns.as_completed([value(1, 7), value(2, 1), value(3, 4)])]

    assert world.run(main()) == [2, 3, 1]


def test_as_completed_with_a_timeout(world: Any) -> None:
    async def main() -> None:
        task = world.ns.create_task(for_ever())
        out: list[Any] = []
        for each in world.ns.as_completed([task, value(1)], timeout=0.01):
            try:
                out.append(await each)
            except TimeoutError:
                out.append("timeout")
        assert out == [1, "timeout"]
        task.cancel()
        await asyncio.wait([task])

    world.run(main())


# ---- sleep --------------------------------------------------------------------------------------


def test_sleep_gives_its_result(world: Any) -> None:
    async def main() -> list[Any]:
        return [await world.ns.sleep(delay, "r") for delay in (0, -1, 0.0001, False)]

    assert world.run(main()) == ["r"] * 4


def test_sleep_is_never_early(world: Any) -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        start = loop.time()
        await world.ns.sleep(0.0042)
        return loop.time() - start

    if world.kind == "hasten":
        assert world.run(main()) >= 0.0042


def test_sleepers_wake_in_order(world: Any) -> None:
    out: list[int] = []

    async def main() -> None:
        async def one(i: int) -> None:
            await world.ns.sleep(i / 500)
            out.append(i)

        await asyncio.gather(*[one(i) for i in (3, 1, 2)])

    world.run(main())
    assert out == [1, 2, 3]


def test_sleep_refuses_nan_and_what_is_no_number(world: Any) -> None:
    async def main() -> None:
        if world.kind != "asyncio" or hasattr(asyncio, "Runner"):
            for wrong in ("1", None, [], 1j):
                with pytest.raises(TypeError):
                    await world.ns.sleep(wrong)
        if world.kind != "asyncio":
            with pytest.raises(ValueError, match="NaN"):
                await world.ns.sleep(math.nan)

    world.run(main())


def test_sleep_is_cancelled(world: Any) -> None:
    async def main() -> int:
        task = world.ns.create_task(world.ns.sleep(3600))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return 1

    assert world.run(main()) == 1


def test_sleep_is_a_coroutine_to_everybody() -> None:
    made = hasten.sleep(0)
    assert asyncio.iscoroutine(made)
    assert inspect.isawaitable(made)
    made.close()
    with pytest.warns(RuntimeWarning, match="coroutine 'sleep' was never awaited"):
        hasten.sleep(0)


def test_sleep_awaited_twice() -> None:
    async def main() -> None:
        once = hasten.sleep(0)
        await once
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await once

    hasten.run(main())


def test_closing_a_sleep_takes_its_timer_away(loop: Any) -> None:
    async def main() -> None:
        task = loop.create_task(hasten.sleep(3600))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert [handle for _, handle in loop._timers.items() if not handle.cancelled()] == []

    loop.run_until_complete(main())
