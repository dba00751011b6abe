"""hasten's additions for bounded concurrency: gather(..., limit=N) and as_completed(..., limit=N)."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import itertools
import warnings
from contextlib import aclosing

import pytest

import hasten

pytestmark = pytest.mark.ours("asyncio has no limits")


class MyError(Exception):
    pass


class Meter:
    """How many run, and ran at most at a time; who was started."""

    def __init__(self):
        self.now = self.most = 0
        self.started = []

    async def job(self, result, rounds=1, error=None):
        self.started.append(result)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            for _ in range(rounds):
                await asyncio.sleep(0)
            if error is not None:
                raise error
            return result
        finally:
            self.now -= 1


@pytest.fixture
def meter():
    return Meter()


@pytest.fixture(autouse=True)
def _nobody_is_warned():
    """A coroutine that is not started must be closed: no warning may come that it was never awaited."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert [str(w.message) for w in caught if issubclass(w.category, RuntimeWarning)] == []


# ---- gather ------------------------------------------------------------


@pytest.mark.parametrize("limit", [1, 3, 10, 99])
def test_gather_runs_so_many_at_a_time(world, meter, limit):
    async def main():
        jobs = [meter.job(i, 1 + (7 * i) % 5) for i in range(10)]
        assert await world.ns.gather(*jobs, limit=limit) == list(range(10))

    world.run(main())
    assert meter.most == min(limit, 10)
    assert meter.started == list(range(10))


@pytest.mark.parametrize(("wrong", "kind"), [(0, ValueError), (-3, ValueError), (1.5, TypeError), ("2", TypeError)])
def test_limit_has_to_be_a_number_of_at_least_one(world, wrong, kind):
    async def main():
        with pytest.raises(kind, match="limit must be"):
            world.ns.gather(limit=wrong)
        with pytest.raises(kind, match="limit must be"):
            world.ns.as_completed([], limit=wrong)

    world.run(main())


def test_gather_of_nothing(world):
    async def main():
        assert await world.ns.gather(limit=3) == []

    world.run(main())


def test_gather_stops_at_the_first_exception(world, meter, settle):
    async def main():
        jobs = [meter.job(i, 1 if i == 1 else 3, MyError() if i == 1 else None) for i in range(8)]
        with pytest.raises(MyError):
            await world.ns.gather(*jobs, limit=2)
        await settle()

    world.run(main())
    assert meter.started == [0, 1]
    assert meter.now == 0


def test_gather_lists_exceptions_and_goes_on(world, meter):
    async def main():
        jobs = [meter.job(i, 1, MyError() if i % 2 else None) for i in range(6)]
        results = await world.ns.gather(*jobs, limit=2, return_exceptions=True)
        assert [type(r) for r in results] == [int, MyError] * 3

    world.run(main())


@pytest.mark.parametrize("flag", [False, True])
def test_gather_is_cancelled(world, meter, settle, flag):
    async def main():
        outer = world.ns.gather(*[meter.job(i, 99) for i in range(6)], limit=2, return_exceptions=flag)
        await settle(2)
        assert outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        assert not outer.cancel()

    world.run(main())
    assert meter.started == [0, 1]
    assert meter.now == 0


def test_gather_is_cancelled_between_two(world, meter):
    """All that run have ended, and what comes next has not begun: there is something to cancel all the same."""

    async def main():
        outer = world.ns.gather(*[meter.job(i, 0) for i in range(4)], limit=2)
        await asyncio.sleep(0)
        assert outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer

    world.run(main())
    assert len(meter.started) == 2


def test_gather_a_child_that_is_cancelled_stops_the_rest(world, meter):
    async def main():
        task = asyncio.get_running_loop().create_task(meter.job("task", 99))
        outer = world.ns.gather(task, *[meter.job(i, 99) for i in range(4)], limit=2)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        others = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for other in others:
            other.cancel()
        await asyncio.wait(others)

    world.run(main())
    assert meter.started == ["task", 0, 1]


def test_gather_does_not_count_what_runs_already(world, meter):
    async def main():
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(meter.job(f"task {i}", 3)) for i in range(3)]
        done = loop.create_future()
        done.set_result("there")
        jobs = [meter.job(i) for i in range(3)]
        expected = ["task 0", 0, "there", 1, "task 1", 2, "task 2"]
        got = await world.ns.gather(tasks[0], jobs[0], done, jobs[1], tasks[1], jobs[2], tasks[2], limit=1)
        assert got == expected

    world.run(main())
    assert meter.most == 4


def test_gather_of_the_same_twice(world, meter):
    async def main():
        jobs = [meter.job(i) for i in range(3)]
        assert await world.ns.gather(jobs[0], jobs[1], jobs[0], jobs[2], jobs[1], limit=2) == [0, 1, 0, 2, 1]

    world.run(main())


def test_gather_refuses_at_once_what_cannot_be_awaited(world, meter):
    async def main():
        job = meter.job(1)
        with pytest.raises(TypeError):
            world.ns.gather(job, meter, limit=1)
        job.close()

    world.run(main())
    assert meter.started == []


def test_gather_of_other_awaitables_and_native_ones(world):
    class Slow:
        def __await__(self):
            yield from asyncio.sleep(0).__await__()
            return "slow"

    async def main():
        got = await world.ns.gather(Slow(), hasten.sleep(0, "a"), Slow(), hasten.sleep(0, "b"), limit=1)
        assert got == ["slow", "a", "slow", "b"]

    world.run(main())


def test_gather_starts_each_in_the_caller_s_context(world):
    var = contextvars.ContextVar("var", default="none")

    async def look(change):
        seen = var.get()
        var.set(change)
        await asyncio.sleep(0)
        return seen

    async def main():
        var.set("caller's")
        assert await world.ns.gather(*[look(i) for i in range(4)], limit=1) == ["caller's"] * 4

    world.run(main())


def test_gather_of_eager_tasks(world, meter):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(hasten.eager_task_factory)
        assert await world.ns.gather(*[meter.job(i, 0) for i in range(2000)], limit=2) == list(range(2000))
        assert await world.ns.gather(*[meter.job(i, i % 2) for i in range(9)], limit=2) == list(range(9))
        with pytest.raises(MyError):
            await world.ns.gather(*[meter.job(i, 0, MyError()) for i in range(9)], limit=2)
        # some versions of uvloop, on some Pythons, tell the factory that the task is not to start eagerly
        assert len(meter.started) - 2009 in ((1, 2) if world.kind == "hasten-on-uvloop" else (1,))

    world.run(main())


# ---- as_completed, read by `for` ------------------------------------------------------------


def test_for_reads_as_it_goes(world, meter):
    async def main():
        read = []

        def source():
            for i in itertools.count():
                read.append(i)
                yield meter.job(i, 2)

        seen = []
        for each in world.ns.as_completed(source(), limit=3):
            seen.append(await each)
            assert len(read) <= len(seen) + 3
            if len(seen) == 50:
                break
        assert sorted(seen) == list(range(50))
        await asyncio.sleep(0)
        assert meter.most == 3

    world.run(main())


def test_nothing_is_read_before_the_first_turn(world, meter):
    async def main():
        read = []
        completed = world.ns.as_completed((read.append(i) or meter.job(i) for i in range(3)), limit=2)
        await asyncio.sleep(0)
        assert read == []
        assert [await each for each in completed] == [0, 1, 2]

    world.run(main())


@pytest.mark.parametrize("limit", [1, 2, 7, 50])
def test_for_gives_all(world, meter, limit):
    async def main():
        jobs = [meter.job(i, 1 + (3 * i) % 4) for i in range(20)]
        assert sorted([await each for each in world.ns.as_completed(jobs, limit=limit)]) == list(range(20))

    world.run(main())
    assert meter.most == min(limit, 20)


def test_coroutines_collected_before_any_is_awaited(world, meter):
    async def main():
        waiting = list(world.ns.as_completed([meter.job(i) for i in range(9)], limit=2))
        assert len(waiting) == 9
        assert await asyncio.gather(*waiting) == list(range(9))

    world.run(main())
    assert meter.most == 2


def test_memory_stays_flat(world):
    async def main():
        alive = 0

        class Result:
            def __init__(self):
                nonlocal alive
                alive += 1

            def __del__(self):
                nonlocal alive
                alive -= 1

        async def make():
            return Result()

        most = 0
        for each in world.ns.as_completed((make() for _ in range(1000)), limit=5):
            result = await each
            await asyncio.sleep(0)
            most = max(most, alive)
            del result
        assert most <= 7

    world.run(main())


@pytest.mark.parametrize("limit", [1, 2, 9])
def test_exception_of_the_source_comes_after_the_results(world, meter, limit):
    async def main():
        def source():
            yield meter.job(1, 5)
            yield meter.job(2, 5)
            raise MyError

        seen = []
        with pytest.raises(MyError):
            for each in world.ns.as_completed(source(), limit=limit):
                seen.append(await each)
        assert seen == [1, 2]

    world.run(main())


def test_what_cannot_be_awaited_ends_the_source(world, meter):
    async def main():
        seen = []
        with pytest.raises(TypeError, match="awaitable is required"):
            for each in world.ns.as_completed([meter.job(1), "x", meter.job(2)], limit=2):
                seen.append(await each)
        assert seen == [1]

    world.run(main())


def test_exceptions_of_the_jobs(world, meter):
    async def main():
        seen = []
        for each in world.ns.as_completed((meter.job(i, 1, MyError() if i % 2 else None) for i in range(6)), limit=2):
            try:
                seen.append(await each)
            except MyError:
                seen.append("error")
        assert sorted(map(str, seen)) == ["0", "2", "4", "error", "error", "error"]

    world.run(main())


def test_leaving_early_cancels_what_was_started(world, meter, settle):
    async def main():
        closed = []

        def source():
            try:
                while True:
                    yield meter.job(len(meter.started), 1 if not meter.started else 99)
            finally:
                closed.append(True)

        mine = asyncio.get_running_loop().create_task(meter.job("mine", 20))
        for each in world.ns.as_completed(itertools.chain([mine], source()), limit=4):
            await each
            break
        await settle(3)
        assert closed == [True]
        assert meter.now == 1
        assert not mine.done()
        assert await mine == "mine"  # a task of the user's own goes on

    world.run(main())


def test_coroutines_in_a_list_that_are_not_started_are_closed(world, meter, settle):
    async def main():
        for each in world.ns.as_completed([meter.job(i, i) for i in range(9)], limit=2):
            await each
            break
        await settle()

    world.run(main())
    assert len(meter.started) < 9


def test_aclose_waits_for_the_end(world, meter):
    async def main():
        async def stubborn():
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                for _ in range(5):
                    await asyncio.sleep(0)
                ended.append(True)

        ended = []
        async with aclosing(world.ns.as_completed((stubborn() for _ in range(9)), limit=3)) as completed:
            waiting = next(completed)
            await asyncio.sleep(0)
            closing = asyncio.get_running_loop().create_task(completed.aclose())
            with pytest.raises(RuntimeError, match="was closed"):
                await waiting
            assert not closing.done()
        assert closing.done()
        assert ended == [True] * 3
        assert list(completed) == []

    world.run(main())


def test_time_is_over(world, meter, settle):
    async def main():
        seen = []
        for each in world.ns.as_completed(
            (meter.job(i, 0 if i == 0 else 10**9) for i in itertools.count()), limit=2, timeout=0.01
        ):
            try:
                seen.append(await each)
            except TimeoutError:
                seen.append("late")
        assert seen == [0, "late"]
        await settle(3)
        assert meter.now == 0

    world.run(main())


def test_timer_goes_with_the_last(loop, meter):
    async def main():
        for each in hasten.as_completed([meter.job(1), meter.job(2)], limit=1, timeout=3600):
            await each
        assert [handle for _, handle in loop._timers.items() if not handle.cancelled()] == []

    loop.run_until_complete(main())


def test_given_twice_it_counts_once(world, meter):
    async def main():
        task = asyncio.get_running_loop().create_task(meter.job("task", 3))
        assert [await each for each in world.ns.as_completed([task, task, meter.job(1, 9)], limit=3)] == ["task", 1]

    world.run(main())


# ---- read by `async for` ------------------------------------------------------------


def test_async_for_over_a_synchronous_source(world, meter):
    async def main():
        tasks = [each async for each in world.ns.as_completed((meter.job(i, 2) for i in range(9)), limit=2)]
        assert [task.result() for task in tasks] == list(range(9))

    world.run(main())
    assert meter.most == 2


def test_async_for_over_an_asynchronous_source(world, meter):
    async def main():
        read = 0

        async def source():
            nonlocal read
            for i in range(30):
                await asyncio.sleep(0)
                read += 1
                yield meter.job(i, 5)

        seen = []
        async for task in world.ns.as_completed(source(), limit=3):
            seen.append(task.result())
            assert read <= len(seen) + 4
        assert sorted(seen) == list(range(30))

    world.run(main())
    assert meter.most == 3


def test_source_is_read_on_while_the_consumer_is_busy(world, meter, settle):
    async def main():
        async def source():
            for i in range(9):
                yield meter.job(i)

        async for _ in world.ns.as_completed(source(), limit=3):
            await settle()
            break
        assert len(meter.started) == 4  # one taken, and as many as the limit allows

    world.run(main())


def test_asynchronous_source_that_fails(world, meter):
    async def main():
        async def source():
            yield meter.job(1, 3)
            yield meter.job(2, 3)
            raise MyError

        seen = []
        with pytest.raises(MyError):
            async for task in world.ns.as_completed(source(), limit=9):
                seen.append(task.result())
        assert seen == [1, 2]

    world.run(main())


def test_asynchronous_source_of_nothing(world):
    async def main():
        async def source():
            for each in ():
                yield each

        assert [each async for each in world.ns.as_completed(source(), limit=2)] == []

    world.run(main())


@pytest.mark.parametrize("how", ["break", "aclose", "cancel", "timeout"])
def test_leaving_an_asynchronous_source(world, meter, settle, how):
    async def main():
        closed = []

        async def source():
            try:
                for i in itertools.count():
                    yield meter.job(i, 1 if i == 0 else 10**9)
                    await asyncio.sleep(0)
            finally:
                closed.append(True)

        async def consume():
            completed = world.ns.as_completed(source(), limit=3, timeout=0.01 if how == "timeout" else None)
            async for _ in completed:
                if how == "break":
                    break
                if how == "aclose":
                    await completed.aclose()
                    assert meter.now == 0
                    assert closed == [True]

        task = asyncio.get_running_loop().create_task(consume())
        if how == "cancel":
            await settle()
            task.cancel()
        await asyncio.wait([task])
        expected = {"cancel": asyncio.CancelledError, "timeout": TimeoutError}.get(how)
        if expected is None:
            task.result()
        else:
            with pytest.raises(expected):
                task.result()
            del task
        await settle()
        gc.collect()
        await settle()
        assert closed == [True]
        assert meter.now == 0
        assert len(asyncio.all_tasks()) == 1

    world.run(main())


def test_several_consumers(world, meter):
    async def main():
        async def source():
            for i in range(20):
                yield meter.job(i, 1 + i % 3)

        completed = world.ns.as_completed(source(), limit=4)
        seen = []

        async def consume():
            async for task in completed:
                seen.append(task.result())
                await asyncio.sleep(0)

        await asyncio.gather(*[consume() for _ in range(5)])
        assert sorted(seen) == list(range(20))

    world.run(main())


def test_for_over_an_asynchronous_source(world):
    async def main():
        async def source():
            yield asyncio.sleep(0)

        completed = world.ns.as_completed(source(), limit=2)
        with pytest.raises(TypeError, match="use `async for`"):
            iter(completed)
        with pytest.raises(TypeError, match="use `async for`"):
            next(completed)

    world.run(main())


def test_dropped_when_the_loop_has_stopped(meter):
    loop = hasten.new_event_loop()
    completed = None

    async def main():
        nonlocal completed
        completed = hasten.as_completed((meter.job(i, 99) for i in itertools.count()), limit=2)
        waiting = next(completed)
        await asyncio.sleep(0)
        waiting.close()

    try:
        loop.run_until_complete(main())
        assert meter.now == 2
        completed = None
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
        assert meter.now == 0
    finally:
        loop.close()


def test_refcounts(meter):
    """Nothing is left to the garbage collector."""

    async def main():
        for _ in range(3):
            async for _ in hasten.as_completed((meter.job(i) for i in range(9)), limit=2):
                pass
        await asyncio.sleep(0)
        gc.collect()
        gc.disable()
        try:
            before = len(gc.get_objects())
            for _ in range(50):
                async for _ in hasten.as_completed((meter.job(i) for i in range(9)), limit=2):
                    pass
                await hasten.gather(*[meter.job(i) for i in range(9)], limit=2)
            await asyncio.sleep(0)
            meter.started.clear()
            return len(gc.get_objects()) - before
        finally:
            gc.enable()

    assert hasten.run(main()) < 50
