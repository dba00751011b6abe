"""gather(), wait(), wait_for(), shield(), as_completed(), sleep(): the same of hasten's and of asyncio's."""

from __future__ import annotations

import asyncio
import gc
import inspect
import math
import sys
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
            await world.ns.sleep(i / 20)
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


# ---- native coroutines --------------------------------------------------------------------------


def test_waiting_functions_give_coroutines(world: Any) -> None:
    async def main() -> None:
        fut = asyncio.get_running_loop().create_future()
        for made in (world.ns.wait([fut]), world.ns.wait_for(fut, 1)):
            assert asyncio.iscoroutine(made)
            assert inspect.isawaitable(made)
            task = world.ns.create_task(made)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    world.run(main())


@pytest.mark.parametrize("name", ["wait", "wait_for"])
def test_never_awaited(name: str) -> None:
    with pytest.warns(RuntimeWarning, match=f"coroutine '{name}' was never awaited"):
        getattr(hasten, name)([], timeout=1)


def test_wait_for_runs_in_the_caller_s_task(world: Any) -> None:
    async def main() -> None:
        me = asyncio.current_task()

        async def who() -> Any:
            await asyncio.sleep(0)
            return asyncio.current_task()

        assert await world.ns.wait_for(who(), 10) is me
        assert await world.ns.wait_for(who(), None) is me

    if world.kind != "asyncio" or sys.version_info >= (3, 12):
        world.run(main())


def test_wait_for_shows_what_runs_inside(loop: Any) -> None:
    async def main() -> None:
        inner = value(1)
        waiting = hasten.wait_for(inner, 10)
        assert waiting.cr_await is None
        task = loop.create_task(waiting)
        await asyncio.sleep(0)
        assert waiting.cr_await is inner
        assert await task == 1
        assert waiting.cr_await is None
        fut = loop.create_future()
        waiting = hasten.wait([fut])
        task = loop.create_task(waiting)
        await asyncio.sleep(0)
        assert waiting.cr_await is not None
        fut.set_result(None)
        await task

    loop.run_until_complete(main())


def test_wait_for_awaits_anything(world: Any) -> None:
    class Slow:
        def __await__(self) -> Any:
            yield from asyncio.sleep(0).__await__()
            return "slow"

    async def main() -> None:
        loop = asyncio.get_running_loop()
        stock = asyncio.Future(loop=loop)
        loop.call_soon(stock.set_result, "stock")
        awaitables = [Slow(), stock, asyncio.Task(value("task"), loop=loop), hasten.sleep(0, "native")]
        assert [await world.ns.wait_for(a, 10) for a in awaitables] == ["slow", "stock", "task", "native"]
        assert await world.ns.wait_for(world.ns.wait_for(world.ns.wait_for(value(1), 9), 8), 7) == 1
        with pytest.raises(TypeError):
            await world.ns.wait_for(5, 1)
        with pytest.raises(TypeError):
            await world.ns.wait_for(None, 1)
        coro = value(1)
        with pytest.raises(TypeError):
            await world.ns.wait_for(coro, "soon")
        coro.close()

    world.run(main())


def test_wait_for_what_somebody_else_awaits() -> None:
    async def main() -> None:
        inner = value(1, 3)
        task = asyncio.get_running_loop().create_task(inner)
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="coroutine is being awaited already"):
            await hasten.wait_for(inner, 10)
        assert await task == 1

    hasten.run(main())


def test_wait_for_takes_its_timer_away(loop: Any) -> None:
    async def main() -> None:
        for made in (value(1), failing()):
            try:
                await hasten.wait_for(made, 3600)
            except MyError:
                pass
        waiting = hasten.wait_for(for_ever(), 3600)
        task = loop.create_task(waiting)
        await asyncio.sleep(0)
        assert [handle.cancelled() for _, handle in loop._timers.items()].count(False) == 1
        task.cancel()
        await asyncio.wait([task])
        await hasten.wait([loop.create_task(value(1))], timeout=3600)
        assert [handle for _, handle in loop._timers.items() if not handle.cancelled()] == []

    loop.run_until_complete(main())


def test_timers_set_late_go_at_once_and_others_by_sweeping(loop: Any) -> None:
    async def main() -> None:
        tasks = [loop.create_task(hasten.wait_for(for_ever(), 3600 - i)) for i in range(1000)]
        await asyncio.sleep(0)
        assert len(loop._timers.items()) == 1000
        for task in tasks[:-100]:
            task.cancel()
        await asyncio.wait(tasks[:-100])
        assert len(loop._timers.items()) <= 2 * 100 + 1
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert len(loop._timers.items()) <= 65

    loop.run_until_complete(main())


def test_wait_for_is_closed_and_thrown_into() -> None:
    log: list[str] = []

    async def inner() -> None:
        try:
            await for_ever()
        except BaseException as exc:
            log.append(type(exc).__name__)
            raise
        finally:
            log.append("over")

    async def main() -> None:
        async def drive(end: Any) -> None:
            waiting = hasten.wait_for(inner(), 10)
            waiting.send(None)
            end(waiting)

        await drive(lambda waiting: waiting.close())
        with pytest.raises(MyError):
            await drive(lambda waiting: waiting.throw(MyError()))
        assert log == ["GeneratorExit", "over", "MyError", "over"]
        waiting = hasten.wait_for(value(1), 1)
        assert await waiting == 1
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await waiting

    hasten.run(main())


@pytest.mark.slow  # deeper than any stack
def test_wait_for_inside_itself_too_deep() -> None:
    """Native coroutines have no frames of Python's that would count: the C stack is guarded all the same."""

    async def main() -> None:
        made: Any = value(1)
        for _ in range(200_000):
            made = hasten.wait_for(made, None)
        with pytest.raises(RecursionError):
            await made

    hasten.run(main())


def test_wait_for_that_swallows_the_cancellation(world: Any) -> None:
    async def stubborn() -> str:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return "kept"

    async def main() -> None:
        assert await world.ns.wait_for(stubborn(), 0.001) == "kept"
        assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]

    if world.kind != "asyncio" or sys.version_info >= (3, 12):
        world.run(main())


def test_wait_for_times_out_with_a_cause(world: Any) -> None:
    async def main() -> None:
        for timeout in (0.001, 0):
            with pytest.raises(TimeoutError) as caught:
                await world.ns.wait_for(for_ever(), timeout)
            assert isinstance(caught.value.__cause__, asyncio.CancelledError)
            assert caught.value.__context__ is caught.value.__cause__

    if world.kind != "asyncio" or sys.version_info >= (3, 12):
        world.run(main())


def test_wait_for_cancelled_from_outside(world: Any) -> None:
    async def main() -> None:
        for timeout in (10, None):
            inner = world.ns.create_task(for_ever())
            outer = world.ns.create_task(world.ns.wait_for(inner, timeout))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            outer.cancel("outside")
            with pytest.raises(asyncio.CancelledError):
                await outer
            assert inner.cancelled()

    world.run(main())


def test_wait_of_stock_and_own_futures(world: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        stock, done = asyncio.Future(loop=loop), asyncio.Future(loop=loop)
        done.set_result(None)
        fs = [stock, done, world.ns.create_task(value(1, 3)), asyncio.Task(value(2, 2), loop=loop)]
        first, rest = await world.ns.wait(fs, return_when="FIRST_COMPLETED")
        assert (first, len(rest)) == ({done}, 3)
        loop.call_later(0.001, stock.set_result, None)
        assert (await world.ns.wait(fs))[0] == set(fs)
        assert not any(f._callbacks for f in fs)

    world.run(main())


def test_wait_again_and_again_for_the_same(world: Any) -> None:
    """Nothing is left on a future that is waited for often."""

    async def main() -> None:
        fut = asyncio.get_running_loop().create_future()
        for _ in range(5):
            assert (await world.ns.wait([fut, world.ns.create_task(value())], return_when="FIRST_COMPLETED"))[1] == {
                fut
            }
            with pytest.raises(TimeoutError):
                await world.ns.wait_for(world.ns.shield(fut), 0.001)
            await asyncio.sleep(0)
            assert not fut._callbacks
        fut.cancel()

    world.run(main())


def test_wait_misused_after_some_were_hooked(loop: Any) -> None:
    async def main() -> None:
        fut = loop.create_future()
        with pytest.raises(AttributeError):
            await hasten.wait([fut, object()])
        assert not fut._callbacks

    loop.run_until_complete(main())


def test_two_wait_for_the_same(world: Any) -> None:
    async def main() -> None:
        task = world.ns.create_task(value("both", 5))
        waiting = [world.ns.create_task(world.ns.wait([task])) for _ in range(3)]
        assert await world.ns.shield(task) == "both"
        assert [await each for each in waiting] == [({task}, set())] * 3

    world.run(main())


def test_shield_of_what_is_cancelled_or_done(world: Any) -> None:
    async def main() -> None:
        inner = world.ns.create_task(for_ever())
        outer = world.ns.shield(inner)
        await asyncio.sleep(0)
        inner.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        assert outer.cancelled()
        assert world.ns.shield(inner) is inner

    world.run(main())


def test_shield_lets_go_of_the_inner_one_when_it_is_cancelled(world: Any) -> None:
    async def main() -> None:
        inner = world.ns.create_task(failing(5))
        outer = world.ns.shield(inner)
        outer.cancel()
        await asyncio.sleep(0)
        assert not inner._callbacks
        with pytest.raises(MyError):
            await inner

    world.run(main())


def test_gather_that_fails_in_the_middle(loop: Any) -> None:
    """What it has made tasks of goes on, and its errors are nobody's."""
    reports: list[Any] = []

    async def main() -> None:
        loop.set_exception_handler(lambda loop, context: reports.append(context))
        with pytest.raises(TypeError):
            hasten.gather(failing(0), 5)
        for _ in range(3):
            await asyncio.sleep(0)
        gc.collect()

    loop.run_until_complete(main())
    assert reports == []
