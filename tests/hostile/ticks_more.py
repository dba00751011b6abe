"""More of ticks.py: coroutines that run to their end, of what waits for several and of primitives, in all ways."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

from .calls import Call, forever, nothing, outside, stepped
from .ticks import _program, cancel, fail

VAR: contextvars.ContextVar[Any] = contextvars.ContextVar("VAR")


def program(main: Callable[[Any], Any]) -> Callable[[Any], Any]:
    _program("more_" + main.__name__, main)
    return main


async def raises(kind: type[BaseException], awaited: Any) -> None:
    """Awaits what has to end with such an exception."""
    try:
        await awaited
    except kind:
        return
    raise AssertionError(f"no {kind.__name__}")


# ---- what waits for several -----------------------------------------------------------------------------------------


@program
async def gather_of_all_kinds(ns: Any) -> None:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.set_result, 3)
    found = await ns.gather(nothing(), fail(), future, future, ns.sleep(0, 1), return_exceptions=True)
    for each in found:
        if isinstance(each, MemoryError):
            raise each
    assert found[0] is None
    assert found[2:] == [3, 3, 1]


@program
async def gather_that_fails(ns: Any) -> None:
    await raises(KeyError, ns.gather(ns.sleep(0), fail(), forever()))


@program
async def gather_cancelled(ns: Any) -> None:
    made = ns.gather(forever(), forever())
    repr(made)
    await ns.sleep(0)
    made.cancel()
    await raises(asyncio.CancelledError, made)


@program
async def gather_nothing(ns: Any) -> None:
    assert await ns.gather() == []


@program
async def wait_all(ns: Any) -> None:
    tasks = [ns.create_task(each) for each in (nothing(), ns.sleep(0), fail())]
    done, pending = await ns.wait(tasks, timeout=5)
    assert len(done) == 3
    assert not pending
    for each in done:
        each.exception()


@program
async def wait_exception(ns: Any) -> None:
    tasks = {ns.create_task(forever()), ns.create_task(fail())}
    done, pending = await ns.wait(tasks, return_when="FIRST_EXCEPTION")
    for each in done:
        each.exception()
    for each in pending:
        each.cancel()
    await ns.wait(tasks)


@program
async def wait_no_time(ns: Any) -> None:
    tasks = {ns.create_task(forever())}
    done, pending = await ns.wait(tasks, timeout=0)
    for each in done:
        each.result()
    assert not done
    assert len(pending) == 1


@program
async def as_completed_async(ns: Any) -> None:
    async for each in ns.as_completed([ns.create_task(nothing()), ns.create_task(ns.sleep(0))]):
        await each


@program
async def as_completed_late(ns: Any) -> None:
    try:
        for each in ns.as_completed([forever()], timeout=0):
            await each
    except TimeoutError:
        return
    raise AssertionError("it was not over")


@program
async def shield(ns: Any) -> None:
    inner = ns.create_task(ns.sleep(0, 5))
    outer = ns.shield(inner)
    repr(outer)
    outer.cancel()
    try:
        await outer
    except asyncio.CancelledError:
        pass
    assert await ns.shield(inner) == 5


@program
async def shield_coroutine(ns: Any) -> None:
    await raises(KeyError, ns.shield(fail()))


@program
async def timeout_objects(ns: Any) -> None:
    loop = asyncio.get_running_loop()
    async with ns.timeout(5) as limit:
        repr(limit)
        limit.reschedule(loop.time() + 10)
        limit.when()
        limit.expired()
        await ns.sleep(0)
    repr(limit)
    async with ns.timeout(None), ns.timeout_at(loop.time() + 5):
        await ns.sleep(0)
    try:
        async with ns.timeout_at(0):
            await ns.sleep(1)
    except TimeoutError:
        return
    raise AssertionError("it was not over")


@program
async def wait_for_more(ns: Any) -> None:
    loop = asyncio.get_running_loop()
    future = loop.create_future()
    loop.call_soon(future.set_result, 3)
    assert await ns.wait_for(future, 5) == 3
    assert await ns.wait_for(ns.sleep(0, 4), None) == 4
    assert await ns.wait_for(future, 0) == 3
    await raises(KeyError, ns.wait_for(fail(), 5))
    made = ns.create_task(forever())
    await raises(TimeoutError, ns.wait_for(made, 1e-9))


@program
async def group_that_fails(ns: Any) -> None:
    try:
        async with ns.TaskGroup() as group:
            group.create_task(forever(), name="one")
            group.create_task(fail(), context=contextvars.copy_context())
            repr(group)
            await forever()
    except BaseExceptionGroup as group:
        if group.subgroup(KeyError) is None:
            raise
        return
    raise AssertionError("it did not fail")


@program
async def group_block_fails(ns: Any) -> None:
    try:
        async with ns.TaskGroup() as group:
            group.create_task(forever())
            await ns.sleep(0)
            raise KeyError
    except BaseExceptionGroup as group:
        if group.subgroup(KeyError) is None:
            raise
        return
    raise AssertionError("it did not fail")


async def _in_a_group(ns: Any) -> None:
    async with ns.TaskGroup() as group:
        group.create_task(forever())
        await forever()


@program
async def group_cancelled(ns: Any) -> None:
    made = ns.create_task(_in_a_group(ns))
    await ns.sleep(0)
    await ns.sleep(0)
    made.cancel()
    await raises(asyncio.CancelledError, made)


@program
async def group_eager(ns: Any) -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(ns.eager_task_factory)
    try:
        async with ns.TaskGroup() as group:
            group.create_task(nothing())
            group.create_task(ns.sleep(0))
    finally:
        loop.set_task_factory(None)


@program
async def group_in_group(ns: Any) -> None:
    async with ns.TaskGroup() as group:
        async with ns.TaskGroup() as inner:
            inner.create_task(ns.sleep(0))
        group.create_task(nothing())


# ---- primitives -----------------------------------------------------------------------------------------------------


async def _hold(lock: Any, ns: Any) -> None:
    async with lock:
        await ns.sleep(0)


async def _ended(ns: Any, tasks: list[Any]) -> None:
    await ns.wait(tasks)
    for each in tasks:
        if not each.cancelled():
            each.result()


@program
async def locks(ns: Any) -> None:
    lock = ns.Lock()
    tasks = [ns.create_task(_hold(lock, ns)) for _ in range(3)]
    await ns.sleep(0)
    repr(lock), lock.locked()
    cancel(tasks[1])
    await _ended(ns, tasks)
    assert not lock.locked()


@program
async def semaphores(ns: Any) -> None:
    for make in (ns.Semaphore, ns.BoundedSemaphore):
        it = make(1)
        tasks = [ns.create_task(_hold(it, ns)) for _ in range(3)]
        await ns.sleep(0)
        repr(it), it.locked()
        cancel(tasks[2])
        await _ended(ns, tasks)
    try:
        it.release()
    except ValueError:
        return
    raise AssertionError("it was not bounded")


@program
async def events(ns: Any) -> None:
    event = ns.Event()
    tasks = [ns.create_task(event.wait()) for _ in range(3)]
    await ns.sleep(0)
    repr(event), event.is_set()
    cancel(tasks[0])
    event.set()
    await ns.wait(tasks)
    event.clear()


async def _await_condition(condition: Any) -> None:
    async with condition:
        await condition.wait_for(_ready.append_and_tell)


class _Ready:
    """A predicate that is true from the second time on."""

    asked = 0

    def append_and_tell(self) -> bool:
        self.asked += 1
        return self.asked > 3


_ready = _Ready()


@program
async def conditions(ns: Any) -> None:
    _ready.asked = 0
    condition = ns.Condition(ns.Lock())
    tasks = [ns.create_task(_await_condition(condition)) for _ in range(3)]
    await ns.sleep(0)
    await ns.sleep(0)
    repr(condition), condition.locked()
    cancel(tasks[0])
    for _ in range(4):
        async with condition:
            condition.notify_all()
        await ns.sleep(0)
    await ns.wait(tasks)


@program
async def barriers(ns: Any) -> None:
    barrier = ns.Barrier(2)
    made = ns.create_task(barrier.wait())
    await ns.sleep(0)
    repr(barrier), barrier.n_waiting, barrier.parties, barrier.broken
    await barrier.wait()
    await made
    made = ns.create_task(barrier.wait())
    await ns.sleep(0)
    await barrier.abort()
    try:
        await made
    except asyncio.BrokenBarrierError:
        await barrier.reset()
        return
    raise AssertionError("it was not broken")


async def _put(queue: Any) -> None:
    for i in range(5):
        await queue.put((i, "x"))


@program
async def queues(ns: Any) -> None:
    for kind in (ns.Queue, ns.LifoQueue, ns.PriorityQueue):
        queue = kind(2)
        made = ns.create_task(_put(queue))
        await ns.sleep(0)
        repr(queue), queue.full(), queue.empty(), queue.qsize(), queue.maxsize
        for _ in range(5):
            await queue.get()
            queue.task_done()
        await queue.join()
        await made
        made = ns.create_task(queue.get())
        await ns.sleep(0)
        repr(queue)
        cancel(made)
        await ns.wait([made])


@program
async def queue_shut(ns: Any) -> None:
    queue = ns.Queue(1)
    tasks = [ns.create_task(queue.get()), ns.create_task(queue.get())]
    await ns.sleep(0)
    queue.shutdown()
    await ns.wait(tasks)
    for each in tasks:
        if not isinstance(each.exception(), ns.QueueShutDown):
            each.result()
    for f, args in ((queue.put_nowait, (1,)), (queue.get_nowait, ())):
        try:
            f(*args)
        except ns.QueueShutDown:
            continue
        raise AssertionError("it was not shut")


@program
async def queue_errors(ns: Any) -> None:
    queue = ns.Queue(1)
    for f, args in ((queue.get_nowait, ()), (queue.task_done, ()), (queue.put_nowait, (1,)), (queue.put_nowait, (1,))):
        try:
            f(*args)
        except (ns.QueueEmpty, ns.QueueFull, ValueError):
            pass


# ---- the current task ---

OTHER_LOOPS = {object(): object() for _ in range(7)}


async def who_am_i(ns: Any, me: list[Any]) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(15):
        loop.call_soon(int)  # before it runs, the current task is taken back
        try:
            await ns.sleep(0)
        except MemoryError:
            pass  # it could not be published: now it is
        assert ns.current_task() is me[0]


@outside
def run_current_tasks(ns: Any, loop: Any) -> Call:
    """All in one run: stop() would take back what is published."""
    return lambda: loop.run_until_complete(current_tasks(ns))


async def current_tasks(ns: Any) -> None:
    """Each step's task is the current one, whichever could not be published before."""
    current = getattr(asyncio.tasks, "_current_tasks", None)  # where some Pythons keep it: it has to grow now and then
    others = OTHER_LOOPS if type(current) is dict else {}
    try:
        if others:
            current.update(others)
        me: list[Any] = []
        me.append(ns.create_task(who_am_i(ns, me)))
        await me[0]
    finally:
        for each in others:
            current.pop(each, None)


# ---- contexts -------------------------------------------------------------------------------------------------------


def _set(value: Any) -> None:
    VAR.set(value)


async def _in_context(ns: Any) -> None:
    VAR.set(object())
    await ns.sleep(0)
    VAR.set(object())


@program
async def contexts(ns: Any) -> None:
    loop = asyncio.get_running_loop()
    for _ in range(3):
        VAR.set(object())
        handle = loop.call_soon(id, 1)
        loop.call_soon(_set, object())
        loop.call_soon(_set, object(), context=contextvars.copy_context())
        loop.call_soon(int)
        handle.get_context() if hasattr(handle, "get_context") else None
        ns.create_task(_in_context(ns))
        await ns.sleep(0)
    await ns.sleep(0)


def _bad() -> None:
    raise KeyError


@program
async def callbacks_that_fail(ns: Any) -> None:
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.call_soon(_bad)
    loop.call_later(0, _bad)
    await ns.sleep(0)
    loop.set_exception_handler(None)
    try:
        loop.call_soon(_bad)
        await ns.sleep(0)
        await ns.sleep(0)
    finally:
        loop.set_exception_handler(before)


@program
async def awaits_wrongly(ns: Any) -> None:
    for each in (5, ns.Future(loop=asyncio.get_running_loop())):
        try:
            await _yielding(each)
        except RuntimeError:
            continue
        raise AssertionError("that was no future to wait for")


class _yielding:
    def __init__(self, what: Any) -> None:
        self.what = what

    def __await__(self) -> Any:
        yield self.what


@program
async def native_coroutines(ns: Any) -> None:
    """Thrown into, closed, awaited twice."""
    lock = ns.Lock()
    await lock.acquire()
    queue = ns.Queue()
    for make in (lock.acquire, queue.get, ns.Event().wait, forever):
        coro = stepped(make())
        repr(coro), getattr(coro, "cr_frame", None), getattr(coro, "cr_await", None)
        try:
            coro.throw(KeyError("thrown"))
        except KeyError:
            pass
        coro = stepped(make())
        coro.close()
        try:
            coro.send(None)
        except (RuntimeError, StopIteration):
            pass
