"""No wake-up is lost, whenever who waits is cancelled.

The errors of this kind that asyncio has had, each a waiter that hangs although what it waits for is there: of locks
bpo-27585, bpo-32734; of semaphores bpo-45997, gh-90155; of conditions bpo-22970, bpo-42600, gh-111693, gh-112202; of
queues bpo-23812, gh-108042; gh-156054.
All are some order of a few wake-ups and cancellations: here every order is tried.
"""

from __future__ import annotations

import asyncio
import itertools

import pytest

import hasten
from hasten import compat

WAITERS = 3


def spawn(coro):
    return asyncio.get_running_loop().create_task(coro)


def at_once(coro):
    """What a coroutine returns that need not wait."""
    try:
        coro.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError(f"{coro!r} had to wait")


class Line:
    """Somebody waits at a primitive. `got` lists who went on, `wakes` counts what was there for them."""

    def __init__(self, ns):
        self.got = []
        self.wakes = 0
        self.set_up(ns)

    async def take(self, i, limited):
        """Waits, as the one with number i."""
        await (limited(self.wait(), 1000) if limited else self.wait())
        self.got.append(i)

    def check(self, pending):
        """Once all is quiet. `pending`: how many wait still."""
        assert len(self.got) <= self.wakes
        if pending:
            assert len(self.got) == self.wakes, "somebody waits for what is there"


class LockLine(Line):
    def set_up(self, ns):
        self.made = ns.Lock()
        at_once(self.made.acquire())

    def wait(self):
        return self.made.acquire()

    def wake(self):
        if self.made.locked():
            self.made.release()

    def check(self, pending):
        if not self.made.locked():
            assert not pending, "somebody waits for a lock that is free"
        if pending:
            assert at_once(self.made.acquire()) if not self.made.locked() else True


class SemaphoreLine(Line):
    def set_up(self, ns):
        self.made = ns.Semaphore(0)

    def wait(self):
        return self.made.acquire()

    def wake(self):
        self.made.release()
        self.wakes += 1

    def check(self, pending):
        super().check(pending)
        for _ in range(self.wakes - len(self.got)):  # the rest is there to be had
            assert at_once(self.made.acquire())


class GetLine(Line):
    def set_up(self, ns):
        self.made = ns.Queue()

    def wait(self):
        return self.made.get()

    def wake(self):
        self.made.put_nowait(self.wakes)
        self.wakes += 1

    def check(self, pending):
        super().check(pending)
        assert self.made.qsize() == self.wakes - len(self.got)
        assert self.made.qsize() == 0 or at_once(self.made.get()) >= 0


class PutLine(Line):
    def set_up(self, ns):
        self.made = ns.Queue(2)
        at_once(self.made.put("first"))
        at_once(self.made.put("second"))

    def wait(self):
        return self.made.put("more")

    def wake(self):
        if not self.made.empty():
            self.made.get_nowait()
            self.wakes += 1

    def check(self, pending):
        super().check(pending)
        assert self.made.qsize() == 2 - self.wakes + len(self.got)
        assert self.made.full() or at_once(self.made.put("one more")) is None


class EventLine(Line):
    """Set and cleared at once: all who wait by then go on."""

    def set_up(self, ns):
        self.made = ns.Event()

    def wait(self):
        return self.made.wait()

    def wake(self):
        self.made.set()
        self.made.clear()
        self.wakes += 1

    def check(self, pending):
        assert not (self.wakes and pending)


class ConditionLine(Line):
    """Notified one by one. Who was cancelled with a notification on its way leaves it to another."""

    def set_up(self, ns):
        self.made = ns.Condition()

    async def wait(self):
        async with self.made:
            await self.made.wait()

    def wake(self):
        acquiring = self.made.acquire()
        try:
            acquiring.send(None)
        except StopIteration:
            self.made.notify(1)
            self.made.release()
            self.wakes += 1
        else:
            acquiring.close()  # somebody has the lock, or will have it next: not now

    def check(self, pending):
        assert not self.made.locked()
        if pending:
            assert len(self.got) >= self.wakes, "a notification was lost"


LINES = {
    "Lock": LockLine,
    "Semaphore": SemaphoreLine,
    "Queue.get": GetLine,
    "Queue.put": PutLine,
    "Event": EventLine,
    "Condition": ConditionLine,
}


def orders(length):
    """All orders of wake-ups, turns of the loop, and cancellations of the first, second and third in line."""
    for order in itertools.product(["wake", "turn", 0, 1, 2], repeat=length):
        if "turn" in (order[0], order[-1]) or "wake" not in order:
            continue  # all is quiet before and afterwards
        if all(order.count(i) <= 1 for i in range(WAITERS)):
            yield order


async def follow(ns, kind, order, limited):
    line = LINES[kind](ns)
    tasks = [spawn(line.take(i, limited)) for i in range(WAITERS)]
    await quiet()
    for what in order:
        if what == "wake":
            line.wake()
        elif what == "turn":
            await asyncio.sleep(0)
        else:
            tasks[what].cancel()
    await quiet()
    pending = [task for task in tasks if not task.done()]
    line.check(len(pending))
    assert line.got == sorted(line.got), "not in the order in which they came"
    for task in pending:
        task.cancel()
    await quiet()
    assert all(task.done() for task in tasks)


async def quiet():
    for _ in range(8):
        await asyncio.sleep(0)


async def follow_all(ns, kind, how):
    for order in orders(6 if how == "plain" else 5):
        try:
            await follow(ns, kind, order, None if how == "plain" else ns.wait_for)
        except AssertionError as exc:
            raise AssertionError(f"{kind}, {order}: {exc}") from exc


@pytest.mark.slow  # thousands of orders
@pytest.mark.parametrize("kind", ["Lock", "Event", "Queue.get", "Queue.put"])
def test_every_order_of_wake_ups_and_cancellations(world, kind):
    world.run(follow_all(world.ns, kind, "plain"))


@pytest.mark.slow  # thousands of orders
@pytest.mark.stdlib_since(3, 13)
@pytest.mark.parametrize("kind", ["Semaphore", "Condition"])
def test_every_order_where_older_versions_of_asyncio_lose_some(world, kind):
    world.run(follow_all(world.ns, kind, "plain"))


@pytest.mark.slow  # thousands of orders
@pytest.mark.stdlib_since(3, 13)
@pytest.mark.parametrize("kind", LINES)
def test_every_order_in_wait_for(world, kind):
    world.run(follow_all(world.ns, kind, "wait_for"))


# ---- times that are up -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", ["item", "time"])
def test_an_item_that_comes_as_the_time_is_up(world, first):
    """It is got, or it is still there: bpo-23812."""

    async def main():
        queue, limits = world.ns.Queue(), []

        async def get():
            async with world.ns.timeout(1000) as limit:
                limits.append(limit)
                return await queue.get()

        task = spawn(get())
        await quiet()
        acts = [lambda: queue.put_nowait(7), lambda: limits[0].reschedule(0)]
        for act in acts if first == "item" else acts[::-1]:
            act()
        await asyncio.wait([task])
        if task.exception() is None:
            assert task.result() == 7
            assert queue.empty()
        else:
            assert isinstance(task.exception(), TimeoutError)
            assert queue.get_nowait() == 7

    world.run(main())


def test_the_time_of_a_conditions_waiter_is_up_as_it_is_notified(world):
    """It holds the lock when it goes on, whatever came first: bpo-42600."""

    async def main():
        cond, limits, after = world.ns.Condition(), [], []

        async def wait():
            async with cond:
                try:
                    async with world.ns.timeout(1000) as limit:
                        limits.append(limit)
                        await cond.wait()
                except TimeoutError:
                    after.append("time")
                else:
                    after.append("notified")
                assert cond.locked()

        tasks = [spawn(wait()) for _ in range(2)]
        await quiet()
        async with cond:
            cond.notify(1)
            limits[0].reschedule(0)
            await quiet()
            assert not after
        await quiet()
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert after
        assert not cond.locked()

    world.run(main())


def test_the_lock_is_to_be_had_again_after_any_end_of_a_conditions_waiter(world):
    """Cancelled before the notification, with it, and while the lock is held by somebody else: bpo-22970, gh-111693."""

    async def main():
        for turns in range(5):
            cond, held = world.ns.Condition(), []

            async def wait(cond=cond, held=held):
                async with cond:
                    try:
                        await cond.wait()
                    finally:
                        held.append(cond.locked())

            task = spawn(wait())
            await quiet()
            await cond.acquire()
            cond.notify()
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await quiet()
            assert not held
            cond.release()
            await asyncio.wait([task])
            assert held == [True]
            assert at_once(cond.acquire())

    world.run(main())


# ---- semaphores ------------------------------------------------------------------------------------------------------


@pytest.mark.stdlib_since(3, 12)
@pytest.mark.parametrize("places", [1, 2])
def test_a_semaphores_next_is_cancelled_at_the_door(world, places):
    """Its place goes to the next in line, and afterwards all are to be had: gh-90155."""

    async def main():
        semaphore = world.ns.BoundedSemaphore(places)
        for _ in range(places):
            at_once(semaphore.acquire())
        tasks = [spawn(semaphore.acquire()) for _ in range(places + 1)]
        await quiet()
        for _ in range(places):
            semaphore.release()
        for task in tasks[:-1]:
            task.cancel()
        assert await asyncio.wait_for(tasks[-1], 30)
        semaphore.release()
        await quiet()
        for _ in range(places):
            assert at_once(semaphore.acquire())
        assert semaphore.locked()

    world.run(main())


@pytest.mark.stdlib_since(3, 12)
def test_a_semaphores_place_in_transit_is_not_overtaken(world):
    """Who comes between the release and the next one's turn queues behind, however often: bpo-45997."""

    async def main():
        semaphore, order = world.ns.Semaphore(1), []

        async def use(i):
            async with semaphore:
                order.append(i)
                await asyncio.sleep(0)

        async def greedy():
            for _ in range(3):
                async with semaphore:
                    order.append("greedy")

        await semaphore.acquire()
        tasks = [spawn(use(i)) for i in range(3)]
        await quiet()
        semaphore.release()
        await greedy()
        await asyncio.gather(*tasks)
        assert order[:4] == [0, 1, 2, "greedy"]

    world.run(main())


# ---- shields ---------------------------------------------------------------------------------------------------------


def test_cancelled_shields_wake_nobody_else(world):
    """Those that wait for the same one through shields of their own go on, and so does what is shielded."""

    async def main():
        inner = asyncio.get_running_loop().create_future()

        async def wait():
            return await world.ns.shield(inner)

        tasks = [spawn(wait()) for _ in range(4)]
        await quiet()
        tasks[0].cancel()
        inner.set_result(7)
        tasks[2].cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(end, asyncio.CancelledError) for end in ends] == [True, False, True, False]
        assert ends[1] == ends[3] == 7

    world.run(main())


# ---- without memory -------------------------------------------------------------------------------------------------


async def result_of(awaitable):
    return await awaitable


WAITED_FOR = {
    "future": lambda child: child,
    "future with a collector": lambda child: (hasten.gather(child), child)[1],
    "task": lambda child: hasten.create_task(result_of(child)),
    "gather": lambda child: hasten.gather(child),
    "gather_exceptions": lambda child: hasten.gather(child, return_exceptions=True),
    "shield": lambda child: hasten.shield(child),
}


@pytest.mark.skipif(not compat.compiled(), reason="in plain Python each line may need memory")
@pytest.mark.parametrize("end", ["result", "exception", "cancel"])
@pytest.mark.parametrize("what", WAITED_FOR)
def test_two_who_wait_for_the_same_are_woken_whichever_allocation_fails(what, end):
    hooks = pytest.importorskip("_testcapi", reason="this Python cannot have memory fail")
    loop = hasten.new_event_loop()
    told = []
    loop.set_exception_handler(lambda loop, context: told.append(context))

    async def main():
        for n in range(60):
            child = loop.create_future()
            outer = WAITED_FOR[what](child)
            tasks = [hasten.create_task(result_of(outer)) for _ in range(2)]
            for _ in range(3):
                await hasten.sleep(0)
            call, args = {
                "result": (child.set_result, (1,)),
                "exception": (child.set_exception, (KeyError(),)),
                "cancel": (child.cancel, ()),
            }[end]
            held = [(each,) for each in range(3000)]  # the interpreter's free list has no tuple of one left
            loop.call_soon(hooks.set_nomemory, n, n + 1)
            if what.startswith("future"):
                loop.call_soon(call, *args)
            else:
                call(*args)  # what waits for it hears of that when memory is short
            loop.call_soon(hooks.remove_mem_hooks)
            await hasten.sleep(0)
            del held
            if not child.done():  # the call has failed as a whole
                call(*args)
            _, left = await hasten.wait(tasks, timeout=5)
            assert not left, f"they wait for ever if allocation {n} fails"
            for each in (child, outer, *tasks):
                each.cancelled() or each.exception()

    try:
        loop.run_until_complete(main())
    finally:
        hooks.remove_mem_hooks()
        loop.close()


@pytest.mark.skipif(not compat.compiled(), reason="in plain Python each line may need memory")
@pytest.mark.parametrize("return_exceptions", [False, True])
def test_a_limited_gather_ends_whichever_allocation_fails(return_exceptions):
    hooks = pytest.importorskip("_testcapi", reason="this Python cannot have memory fail")
    loop = hasten.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)

    async def main():
        for n in range(60):
            first, ready = loop.create_future(), loop.create_future()
            ready.set_result(2)
            outer = hasten.gather(
                *(result_of(each) for each in (first, ready, ready)), limit=1, return_exceptions=return_exceptions
            )
            waiting = hasten.create_task(result_of(outer))
            for _ in range(3):
                await hasten.sleep(0)
            first.set_result(1)
            await hasten.sleep(0)
            # its task has ended, of which the gather is told in this batch, between these two
            loop.call_soon(hooks.remove_mem_hooks)
            hooks.set_nomemory(n, n + 1)
            try:
                await hasten.sleep(0)
            except MemoryError:
                hooks.remove_mem_hooks()
            _, left = await hasten.wait([waiting], timeout=5)
            assert not left, f"it waits for ever if allocation {n} fails"
            assert isinstance(waiting.exception(), MemoryError) or waiting.result() == [1, 2, 2]

    try:
        loop.run_until_complete(main())
    finally:
        hooks.remove_mem_hooks()
        loop.close()


async def end_without_memory(hooks, n, futures, waiting):
    """Have allocation `n` fail where a child's end is told; then the others end, and so does the one that waits."""
    asyncio.get_running_loop().call_soon(hooks.remove_mem_hooks)
    hooks.set_nomemory(n, n + 1)
    try:
        await hasten.sleep(0)
    except MemoryError:
        hooks.remove_mem_hooks()
    for each in futures:
        each.done() or each.set_result(None)
    _, left = await hasten.wait([waiting], timeout=5)
    assert not left, f"it waits for ever if allocation {n} fails"
    assert waiting.exception() is None


@pytest.mark.skipif(not compat.compiled(), reason="in plain Python each line may need memory")
def test_as_completed_with_a_limit_ends_whichever_allocation_fails():
    hooks = pytest.importorskip("_testcapi", reason="this Python cannot have memory fail")
    loop = hasten.new_event_loop()

    async def completed(futures):
        async for each in hasten.as_completed([result_of(each) for each in futures], limit=2):
            await each

    async def main():
        for n in range(60):
            futures = [loop.create_future() for _ in range(3)]
            waiting = hasten.create_task(completed(futures))
            for _ in range(4):
                await hasten.sleep(0)
            futures[1].set_result(None)
            await hasten.sleep(0)
            await end_without_memory(hooks, n, futures, waiting)

    try:
        loop.run_until_complete(main())
    finally:
        hooks.remove_mem_hooks()
        loop.close()


@pytest.mark.skipif(not compat.compiled(), reason="in plain Python each line may need memory")
@pytest.mark.parametrize("loose", [False, True], ids=["in order", "loose"])
def test_a_group_ends_whichever_allocation_fails(loose):
    hooks = pytest.importorskip("_testcapi", reason="this Python cannot have memory fail")
    loop = hasten.new_event_loop()

    async def grouped(futures):
        async with hasten.TaskGroup() as group:
            for each in futures:
                group.create_task(result_of(each))

    async def main():
        for n in range(60):
            futures = [loop.create_future() for _ in range(5)]
            waiting = hasten.create_task(grouped(futures))
            for _ in range(4):
                await hasten.sleep(0)
            if loose:
                futures[3].set_result(None)
                await quiet()
            futures[2].set_result(None)
            await hasten.sleep(0)
            await end_without_memory(hooks, n, futures, waiting)

    try:
        loop.run_until_complete(main())
    finally:
        hooks.remove_mem_hooks()
        loop.close()
