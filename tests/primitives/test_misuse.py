"""Primitives misused, and their coroutines treated in every way: asyncio's exceptions, no hang, no crash.

What test_locks.py, test_queues.py, test_waiting.py, test_timeouts.py and test_taskgroups.py say of misuse is not
repeated here.
"""

from __future__ import annotations

import asyncio
import collections.abc
import gc
import inspect
import sys
import threading
import warnings

import pytest

from hasten import compat


def spawn(coro):
    return asyncio.get_running_loop().create_task(coro)


async def outcomes(*tasks):
    return await asyncio.gather(*tasks, return_exceptions=True)


class Case:
    """A coroutine of a primitive's: one that waits, or one that does not."""

    def __init__(self, qualname, what, ready):
        self.qualname = qualname  # of the method
        self.what = what
        self.ready = ready  # what it returns where it need not wait

    def make(self, ns, waits):
        """(the primitive, the coroutine)"""
        return self.what(ns, waits)

    def line(self, primitive):
        """How many are in line at the primitive."""
        if primitive is None:
            return 0
        said = repr(primitive)
        for mark in ("waiters:", "_getters[", "_putters["):
            if mark in said:
                return int(said.partition(mark)[2].rstrip("]>").split("]")[0].split(" ")[0])
        return 0


def lock(ns, waits):
    made = ns.Lock()
    if waits:
        with pytest.raises(StopIteration):
            made.acquire().send(None)
    return made, made.acquire()


def event(ns, waits):
    made = ns.Event()
    if not waits:
        made.set()
    return made, made.wait()


def semaphore(ns, waits, kind="Semaphore"):
    made = getattr(ns, kind)(0 if waits else 1)
    return made, made.acquire()


def condition(ns, waits):
    inner, _ = lock(ns, waits)
    _.close()
    made = ns.Condition(inner)
    return inner, made.acquire()


def get(ns, waits, kind="Queue"):
    made = getattr(ns, kind)()
    if not waits:
        made.put_nowait(7)
    return made, made.get()


def put(ns, waits):
    made = ns.Queue(1)
    if waits:
        made.put_nowait(0)
    return made, made.put(7)


def sleep(ns, waits):
    return None, ns.sleep(1000 if waits else 0, 7)


CASES = {
    "Lock": Case("Lock.acquire", lock, True),
    "Event": Case("Event.wait", event, True),
    "Semaphore": Case("Semaphore.acquire", semaphore, True),
    "BoundedSemaphore": Case("Semaphore.acquire", lambda ns, w: semaphore(ns, w, "BoundedSemaphore"), True),
    "Condition": Case("Lock.acquire", condition, True),
    "Queue.get": Case("Queue.get", get, 7),
    "PriorityQueue.get": Case("Queue.get", lambda ns, w: get(ns, w, "PriorityQueue"), 7),
    "LifoQueue.get": Case("Queue.get", lambda ns, w: get(ns, w, "LifoQueue"), 7),
    "Queue.put": Case("Queue.put", put, None),
    "sleep": Case("sleep", sleep, 7),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


# ---- coroutines ------------------------------------------------------------------------------------------------------


def test_it_is_a_coroutine(world, case):
    _, coro = case.make(world.ns, False)
    assert asyncio.iscoroutine(coro)
    assert world.ns.iscoroutine(coro)
    assert inspect.isawaitable(coro)
    assert isinstance(coro, collections.abc.Coroutine)
    assert not asyncio.isfuture(coro)
    if world.ns is asyncio or compat.compiled():  # else only the class has them
        assert coro.__qualname__ == case.qualname
        assert coro.__name__ == case.qualname.rpartition(".")[2]
    assert repr(coro).startswith(f"<coroutine object {case.qualname} at 0x")
    coro.close()


@pytest.mark.parametrize("waits", [False, True])
def test_it_can_be_given_to_everything(world, case, waits):
    """To create_task(), ensure_future(), gather(), wait_for(), shield(), as_completed(), TaskGroup."""
    ns = world.ns

    async def in_group(coro):
        async with ns.TaskGroup() as group:
            task = group.create_task(coro)
        return task.result()

    async def main():
        ways = [
            ns.create_task,
            ns.ensure_future,
            ns.shield,
            in_group,
            lambda coro: ns.wait_for(coro, None if waits else 30),
            lambda coro: next(iter(ns.as_completed([coro]))),
        ]
        for way in ways:
            primitive, coro = case.make(ns, waits)
            if not waits:
                assert await way(coro) == case.ready
                continue
            task = spawn(as_coroutine(way(coro)))
            for _ in range(5):
                await asyncio.sleep(0)
            assert not task.done()
            assert case.line(primitive) == (0 if primitive is None else 1)
            for each in asyncio.all_tasks() - {asyncio.current_task()}:
                each.cancel()
            assert isinstance((await outcomes(task))[0], asyncio.CancelledError)
            await asyncio.sleep(0)
            assert case.line(primitive) == 0
        if not waits:
            made = [case.make(ns, False)[1] for _ in range(3)]
            assert await ns.gather(*made) == [case.ready] * 3

    async def as_coroutine(awaitable):
        return await awaitable

    world.run(main())


def test_never_awaited_it_warns(world, case):
    with pytest.warns(RuntimeWarning, match=f"^coroutine '{case.qualname}' was never awaited"):
        case.make(world.ns, True)
        gc.collect()


@pytest.mark.parametrize("stage", ["fresh", "waiting", "ended"])
@pytest.mark.parametrize("how", ["close", "class", "instance", "exit"])
def test_closed_or_thrown_into(world, case, stage, how):
    """Each on a fresh one, one that waits, and one that has ended; nobody is left in line."""

    async def main():
        primitive, coro = case.make(world.ns, stage != "ended")
        if stage == "waiting":
            coro.send(None)
            assert case.line(primitive) == (0 if primitive is None else 1)
        elif stage == "ended":
            with pytest.raises(StopIteration) as caught:
                while True:
                    coro.send(None)
            assert caught.value.value == case.ready
        if how == "close":
            coro.close()
            coro.close()
        else:
            exc = {"class": KeyError, "instance": ValueError("thrown"), "exit": GeneratorExit()}[how]
            # an ended one does not take what is thrown
            expected = RuntimeError if stage == "ended" else exc if isinstance(exc, type) else type(exc)
            with pytest.raises(expected) as thrown:
                coro.throw(exc)
            assert thrown.value is exc or how == "class" or stage == "ended"
        assert case.line(primitive) == 0
        for _ in range(2):
            with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
                coro.send(None)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        world.run(main())
        gc.collect()


def test_throw_refuses_what_is_no_exception(world, case):
    async def main():
        for wrong in (7, int, "no", None):  # each into another: on 3.15 it ends a coroutine of Python's
            _, coro = case.make(world.ns, True)
            coro.send(None)
            with pytest.raises(TypeError):
                coro.throw(wrong)
            coro.close()

    world.run(main())


@pytest.mark.parametrize("stage", ["fresh", "waiting", "ended"])
def test_send_something_into_it(world, case, stage):
    """A fresh one says no and stays fresh; one that waits on a future goes the way of its future, as with asyncio."""

    async def main():
        _, coro = case.make(world.ns, stage == "waiting")
        if stage == "fresh":
            with pytest.raises(TypeError, match="^can't send non-None value to a just-started coroutine$"):
                coro.send(7)
            assert await coro == case.ready
        elif stage == "waiting":
            coro.send(None)
            with pytest.raises(
                RuntimeError, match="^(await wasn't used with future|coroutine is being awaited already)"
            ):
                coro.send(7)
            coro.close()
        else:
            assert await coro == case.ready
            with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
                coro.send(7)

    world.run(main())


def test_awaited_again(world, case):
    async def main():
        _, coro = case.make(world.ns, False)
        assert await coro == case.ready
        for _ in range(2):
            with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
                await coro

    world.run(main())


def test_awaited_by_two_tasks(world, case, settle):
    """The second is told, and the first waits on."""

    async def main():
        primitive, coro = case.make(world.ns, True)

        async def wait():
            return await coro

        first = spawn(wait())
        await settle()
        with pytest.raises(RuntimeError, match=r"^coroutine is being awaited already(\n|$)"):
            await asyncio.wait_for(wait(), 30)
        await settle()
        assert not first.done()
        assert case.line(primitive) == (0 if primitive is None else 1)
        first.cancel()
        await outcomes(first)
        assert case.line(primitive) == 0

    world.run(main())


@pytest.mark.ours("asyncio: AttributeError: 'NoneType' object has no attribute 'create_future', but for sleep()")
def test_waiting_without_a_loop(world, case):
    _, coro = case.make(world.ns, True)
    with pytest.raises(RuntimeError, match="no running event loop"):
        coro.send(None)
    with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
        coro.send(None)


# ---- loops and threads -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["get", "put", "condition", "barrier", "join"])
def test_used_from_a_second_loop(world, settle, kind):
    ns = world.ns
    queue, cond, barrier = ns.Queue(1), ns.Condition(), ns.Barrier(2)

    async def wait():
        if kind == "get":
            await queue.get()
        elif kind == "put":
            await queue.put(0)
            await queue.put(1)
        elif kind == "join":
            queue.put_nowait(0)
            await queue.join()
        elif kind == "barrier":
            await barrier.wait()
        else:
            async with cond:
                await cond.wait()

    async def first():
        task = spawn(wait())
        await settle()
        assert not task.done()
        task.cancel()
        await outcomes(task)
        if kind in ("put", "join"):
            queue.get_nowait()

    world.run(first())
    with pytest.raises(RuntimeError, match="is bound to a different event loop(?m:$)"):
        world.run(asyncio.wait_for(wait(), 30))


class Used:
    """A primitive, somebody who waits at it, and what wakes that one."""

    def __init__(self, kind, ns, loop):
        self.ns, self.loop = ns, loop
        self.wait, self.act = getattr(self, kind)()

    def event(self):
        event = self.ns.Event()
        return event.wait, event.set

    def lock(self):
        lock = self.ns.Lock()
        with pytest.raises(StopIteration):
            lock.acquire().send(None)
        return lock.acquire, lock.release

    def semaphore(self):
        semaphore = self.ns.BoundedSemaphore(1)
        with pytest.raises(StopIteration):
            semaphore.acquire().send(None)
        return semaphore.acquire, semaphore.release

    def queue(self):
        queue = self.ns.Queue()
        return queue.get, lambda: queue.put_nowait(1)

    def full_queue(self):
        queue = self.ns.Queue(2)
        queue.put_nowait(0)
        queue.put_nowait(0)
        return lambda: queue.put(1), queue.get_nowait

    def result(self):
        future = self.loop.create_future() if self.ns is asyncio else self.ns.Future(loop=self.loop)
        return lambda: self.ns.wait_for(future, None), lambda: future.set_result(1)

    def error(self):
        future = self.loop.create_future() if self.ns is asyncio else self.ns.Future(loop=self.loop)
        return lambda: self.ns.wait_for(future, None), lambda: future.set_exception(KeyError())

    def cancelled(self):
        future = self.loop.create_future() if self.ns is asyncio else self.ns.Future(loop=self.loop)
        return lambda: self.ns.wait_for(future, None), lambda: future.cancel()

    def task(self):
        task = self.loop.create_task(self.ns.sleep(1000))
        return lambda: self.ns.wait_for(task, None), task.cancel


USES = ["event", "lock", "semaphore", "queue", "full_queue", "result", "error", "cancelled", "task"]


@pytest.mark.parametrize("kind", USES)
def test_used_from_another_thread_in_debug_mode(world, kind, settle):
    """The thread that does so is told, where somebody waits; with hasten nothing has changed then, but in queues."""
    loop = world.loop_factory()
    loop.set_debug(True)
    told = []

    def act(used):
        try:
            used.act()
        except RuntimeError as exc:
            told.append(str(exc))

    async def main():
        used = Used(kind, world.ns, loop)
        waiting = loop.create_task(used.wait())
        await settle()
        thread = threading.Thread(target=act, args=(used,))
        thread.start()
        thread.join()
        await settle()
        assert not waiting.done()
        if world.ns is asyncio or "queue" in kind:
            waiting._log_destroy_pending = False  # it will never wake up
            return
        used.act()
        await asyncio.wait([waiting], timeout=30)
        assert waiting.done()
        waiting.cancelled() or waiting.exception()

    loop.run_until_complete(main())
    loop.close()
    assert len(told) == 1
    assert told[0].startswith("Non-thread-safe operation invoked on an event loop other than the current one")


@pytest.mark.parametrize("name", ["set_result", "set_exception", "cancel"])
def test_a_future_done_from_another_thread_in_debug_mode(world, name):
    """hasten's loop is told of each; other loops, and asyncio's futures, find it out where somebody waits."""
    told = []

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        future = loop.create_future()

        def act():
            try:
                getattr(future, name)(KeyError())
            except RuntimeError as exc:
                told.append(str(exc))

        thread = threading.Thread(target=act)
        thread.start()
        thread.join()
        assert future.done() is (world.kind != "hasten")
        if not future.cancelled() and future.done():
            future.exception()

    world.run(main())
    assert len(told) == (world.kind == "hasten")


def test_a_task_made_in_another_thread_in_debug_mode(world):
    loop = world.loop_factory()
    loop.set_debug(True)
    told = []

    def make():
        coro = world.ns.sleep(0)
        try:
            loop.create_task(coro)
        except RuntimeError as exc:
            told.append(str(exc))
        coro.close()

    async def main():
        thread = threading.Thread(target=make)
        thread.start()
        thread.join()

    loop.run_until_complete(main())
    loop.close()
    assert len(told) == 1
    assert told[0].startswith("Non-thread-safe operation invoked on an event loop other than the current one")


@pytest.mark.parametrize("kind", USES)
def test_waking_somebody_on_a_closed_loop(world, kind, settle):
    """It says so; it does not put something into the queue of a loop that is no more."""
    loop = world.loop_factory()

    async def main():
        used = Used(kind, world.ns, loop)
        waiting = loop.create_task(used.wait())
        await settle()
        return waiting, used

    task, used = loop.run_until_complete(main())
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed(?m:$)"):
        used.act()
    task._log_destroy_pending = False


def test_nobody_waits_on_a_closed_loop(world):
    """Then nobody need be woken, and there is nothing to complain of."""
    loop = world.loop_factory()
    made = [loop.create_future() for _ in range(3)]
    event, lock, queue = world.ns.Event(), world.ns.Lock(), world.ns.Queue()
    loop.run_until_complete(lock.acquire())
    loop.close()
    made[0].set_result(1)
    made[1].set_exception(KeyError())
    made[2].cancel()
    event.set()
    lock.release()
    queue.put_nowait(1)
    assert made[0].result() == 1
    assert isinstance(made[1].exception(), KeyError)
    assert made[2].cancelled()


@pytest.mark.ours("asyncio: 'Exception ignored in ... RuntimeError: Event loop is closed'")
@pytest.mark.parametrize("kind", USES)
def test_what_waits_on_a_closed_loop_is_freed_quietly(world, kind, settle, recwarn):
    """It leaves the line, and does not try to wake the next."""
    loop = world.loop_factory()
    ignored = []

    async def main():
        used = Used(kind, world.ns, loop)
        made = [loop.create_task(used.wait()) for _ in range(3)]
        await settle()
        if kind != "cancelled":
            used.act()  # the first is awake when the loop goes
        return made

    made = loop.run_until_complete(main())
    loop.close()
    hook, sys.unraisablehook = sys.unraisablehook, ignored.append
    try:
        for task in made:
            task._log_destroy_pending = False
            task.cancelled() or (task.done() and task.exception())
        del made, task
        gc.collect()
    finally:
        sys.unraisablehook = hook
    assert not ignored
    assert not recwarn.list


# ---- groups and timeouts ---------------------------------------------------------------------------------------------


def test_group_entered_again(world):
    async def main():
        async with world.ns.TaskGroup() as group:
            with pytest.raises(RuntimeError, match="has already been entered$"):
                await group.__aenter__()
        with pytest.raises(RuntimeError, match="has already been entered$"):
            async with group:
                pass

    world.run(main())


def test_group_outside_a_task(world):
    loop = world.loop_factory()

    async def enter():
        await world.ns.TaskGroup().__aenter__()

    def step():
        with pytest.raises(RuntimeError, match="cannot determine the parent task$"):
            enter().send(None)
        loop.stop()

    loop.call_soon(step)
    loop.run_forever()
    loop.close()


@pytest.mark.parametrize("wrong", [None, 7, print])
def test_group_given_what_is_no_coroutine(world, wrong):
    async def main():
        async with world.ns.TaskGroup() as group:
            with pytest.raises(TypeError, match="a coroutine was expected, got"):
                group.create_task(wrong)

    world.run(main())


# ---- functions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [None, 7, "no", print, [asyncio]])
@pytest.mark.parametrize("name", ["gather", "shield", "wait_for", "as_completed", "ensure_future", "create_task"])
def test_functions_given_what_cannot_be_awaited(world, name, wrong):
    ns = world.ns

    async def main():
        with pytest.raises(TypeError):
            if name == "wait_for":
                await ns.wait_for(wrong, 1)
            elif name == "as_completed":
                for each in ns.as_completed([wrong]):
                    await each
            else:
                await getattr(ns, name)(wrong)
        assert len(asyncio.all_tasks()) == 1

    world.run(main())


@pytest.mark.parametrize("wrong", [None, 7, "no", print])
def test_wait_for_what_is_no_future(world, wrong):
    """Before anything is hooked to the others."""

    async def main():
        task = spawn(world.ns.sleep(0))
        with pytest.raises(
            AttributeError, match=f"^'{type(wrong).__name__}' object has no attribute 'add_done_callback'"
        ):
            await world.ns.wait([wrong, task])
        await task
        assert len(asyncio.all_tasks()) == 1

    world.run(main())


@pytest.mark.parametrize("made", ["coroutine", "task"])
def test_as_completed_of_one_awaitable(world, made):
    async def main():
        coro = world.ns.sleep(0)
        one = coro if made == "coroutine" else spawn(coro)
        with pytest.raises(TypeError, match="^expect"):
            for each in world.ns.as_completed(one):
                await each
        coro.close()
        if one is not coro:
            one.cancel()
            await outcomes(one)

    world.run(main())


def test_a_task_awaits_itself(world):
    async def main():
        me = []

        async def narcissus():
            with pytest.raises(RuntimeError, match="^Task cannot await on itself"):
                await me[0]
            return "well"

        me.append(world.ns.create_task(narcissus()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert me[0].result() == "well"

    world.run(main())
