"""Small programs for interrupts.py: `scene(it)`, a coroutine whose tasks wait for each other.

Whichever task an interruption ends, the others go on, since none needs another one to live on: each is over in the end,
and what they used is free again. `it.free()` and its kin enter what has to hold.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

LONG = 0.4  # seconds: it does not go on
SCENES: dict[str, Callable[[Any], Coroutine[Any, Any, Any]]] = {}


def scene(main: Callable[[Any], Coroutine[Any, Any, Any]]) -> Callable[[Any], Coroutine[Any, Any, Any]]:
    SCENES[main.__name__] = main
    return main


class It:
    """What one run of a program has made."""

    def __init__(self, ns: Any, loop: Any) -> None:
        self.ns = ns
        self.loop = loop
        self.main: Any = None
        self.now: list[Callable[[], str | None]] = []  # what has to hold when nothing goes on any more
        self.last: list[Callable[[], str | None]] = []  # what has to hold when all tasks are over
        self.closing: list[Callable[[], Any]] = []

    def checked(self) -> list[str]:
        return [what for check in self.now if (what := check())]

    def ended(self) -> list[str]:
        return [what for check in self.last if (what := check())]

    def tidy(self) -> None:
        while self.closing:
            self.closing.pop()()

    def start(self, *coros: Coroutine[Any, Any, Any]) -> list[Any]:
        """Tasks; one that cannot be made leaves no coroutine behind."""
        left = list(coros)
        made = []
        try:
            while left:
                made.append(self.ns.create_task(left[0]))
                left.pop(0)
        finally:
            for coro in left:
                with contextlib.suppress(RuntimeError):  # it is a task's
                    coro.close()
        return made

    async def all(self, *coros: Coroutine[Any, Any, Any]) -> None:
        """Runs them beside each other, and waits for each, however it ends; raises what one has raised."""
        await self.unless(bool, int, *coros)

    async def unless(self, is_done: Callable[[], Any], do: Callable[[], Any], *coros: Coroutine[Any, Any, Any]) -> None:
        """The same; does what one of them should have done if it was ended before."""
        tasks = self.start(*coros)
        _, pending = await self.ns.wait(tasks, return_when="FIRST_EXCEPTION")
        if pending and not is_done():
            do()
        await self.ns.wait(tasks)
        for each in tasks:
            each.result()

    def free(self, lock: Any) -> None:
        """A lock, a semaphore: nobody waits for it while it is free, and in the end it is."""
        self.now.append(
            lambda: f"waited for while it is free: {lock!r}" if not lock.locked() and lock._waiters else None
        )
        self.last.append(lambda: f"held by nobody: {lock!r}" if lock.locked() else None)

    def counts(self, semaphore: Any, value: int) -> None:
        self.last.append(lambda: f"{semaphore!r} is not {value}" if semaphore._value != value else None)


@scene
async def lock(it: It) -> None:
    lock = it.ns.Lock()
    it.free(lock)

    async def work() -> None:
        async with lock:
            await it.ns.sleep(0)

    await it.all(work(), work(), work())


@scene
async def lock_by_hand(it: It) -> None:
    """Those that wait are cancelled meanwhile."""
    lock = it.ns.Lock()
    it.free(lock)

    async def work() -> None:
        if await lock.acquire():
            try:
                await it.ns.sleep(0)
            finally:
                lock.release()

    first, second, third = it.start(work(), work(), work())
    await it.ns.sleep(0)
    second.cancel()
    await it.ns.wait([first, second, third])


@scene
async def semaphore(it: It) -> None:
    semaphore = it.ns.Semaphore(2)
    it.free(semaphore)
    it.counts(semaphore, 2)

    async def work() -> None:
        async with semaphore:
            await it.ns.sleep(0)

    await it.all(*[work() for _ in range(5)])


@scene
async def event(it: It) -> None:
    event = it.ns.Event()

    async def wait() -> None:
        await event.wait()

    async def tell() -> None:
        await it.ns.sleep(0)
        event.set()

    await it.unless(event.is_set, event.set, wait(), wait(), tell(), wait())


@scene
async def condition(it: It) -> None:
    condition = it.ns.Condition()
    it.free(condition._lock)
    ready: list[int] = []

    async def wait() -> None:
        async with condition:
            await condition.wait_for(lambda: len(ready) > 0)

    async def tell() -> None:
        await it.ns.sleep(0)
        async with condition:
            ready.append(1)
            condition.notify_all()

    first, second, telling = it.start(wait(), wait(), tell())
    await it.ns.wait([telling])
    ready.append(2)
    async with condition:
        condition.notify_all()
    await it.ns.wait([first, second])


@scene
async def barrier(it: It) -> None:
    barrier = it.ns.Barrier(2)
    it.free(barrier._cond._lock)

    async def wait() -> None:
        try:
            await barrier.wait()
        except asyncio.BrokenBarrierError:
            return
        except BaseException:
            await barrier.abort()
            raise

    first, second = it.start(wait(), wait())
    await it.ns.wait([first, second], return_when="FIRST_COMPLETED")
    await barrier.abort()
    await it.ns.wait([first, second])


def conserved(it: It, queue: Any, put: list[int], got: list[int]) -> None:
    """What put() has said is in the queue has come out of it, or is in it, once."""

    def check() -> str | None:
        there = sorted([*got, *queue._queue])
        if len(set(there)) != len(there):
            return f"twice: put {put}, got {got}, {queue!r}"
        if set(put) - set(there):
            return f"lost: put {put}, got {got}, {queue!r}"
        return None

    it.last.append(check)
    it.now.append(
        lambda: f"a getter waits: {queue!r}" if queue.qsize() and any(not f.done() for f in queue._getters) else None
    )
    it.now.append(
        lambda: f"a putter waits: {queue!r}" if not queue.full() and any(not f.done() for f in queue._putters) else None
    )


@scene
async def queue(it: It) -> None:
    queue = it.ns.Queue(1)
    put: list[int] = []
    got: list[int] = []
    conserved(it, queue, put, got)

    async def producer(first: int) -> None:
        for i in range(first, first + 3):
            await queue.put(i)
            put.append(i)

    async def consumer() -> None:
        while True:
            got.append(await queue.get())
            queue.task_done()

    consumers = it.start(consumer(), consumer())
    try:
        await it.all(producer(0), producer(10))
    finally:
        for each in consumers:
            each.cancel()


@scene
async def queue_timeouts(it: It) -> None:
    queue = it.ns.Queue(1)
    put: list[int] = []
    got: list[int] = []
    conserved(it, queue, put, got)

    async def producer() -> None:
        for i in range(4):
            await it.ns.wait_for(queue.put(i), LONG)
            put.append(i)

    async def consumer() -> None:
        for _ in range(2):
            got.append(await it.ns.wait_for(queue.get(), LONG))
        queue.shutdown()

    with contextlib.suppress(BaseExceptionGroup):
        async with it.ns.TaskGroup() as group:
            group.create_task(producer())
            group.create_task(consumer())


@scene
async def futures(it: It) -> None:
    """Results, errors and cancellations, of which callbacks are told, too."""
    told: list[Any] = []

    async def set_it(future: Any, deed: Callable[[Any], Any]) -> None:
        await it.ns.sleep(0)
        deed(future)

    async def wait(future: Any) -> None:
        try:
            await future
        except (KeyError, asyncio.CancelledError):
            pass

    for deed in (lambda f: f.set_result(1), lambda f: f.set_exception(KeyError()), lambda f: f.cancel()):
        future = it.loop.create_future()
        future.add_done_callback(lambda f: told.append(1))
        future.add_done_callback(told.append)
        future.add_done_callback(lambda f: told.append(2))
        await it.unless(
            future.done, lambda future=future: deed(future), wait(future), set_it(future, deed), wait(future)
        )


@scene
async def failed_tasks(it: It) -> None:
    async def fail(kind: type[BaseException]) -> None:
        await it.ns.sleep(0)
        raise kind("x")

    async def typical() -> None:
        await it.ns.sleep(0)
        await 5  # type: ignore[misc]

    async def wait(task: Any) -> None:
        try:
            await task
        except (KeyError, TypeError, asyncio.CancelledError):
            pass

    for coro in (fail(KeyError), typical(), fail(asyncio.CancelledError)):
        [task] = it.start(coro)
        await it.all(wait(task), wait(task))


async def steps(it: It, n: int) -> int:
    """So many steps of a task; what takes two of them fails."""
    for _ in range(n):
        await it.ns.sleep(0)
    if n == 2:
        raise KeyError
    return n


@scene
async def gathers(it: It) -> None:
    [a, b, c] = it.start(steps(it, 1), steps(it, 2), steps(it, 3))
    try:
        await it.ns.gather(a, b, c)
    except KeyError:
        pass
    await it.ns.gather(steps(it, 1), steps(it, 2), return_exceptions=True)
    [waiting] = it.start(_await(it.ns.gather(steps(it, 5), steps(it, 6))))
    await it.ns.sleep(0)
    waiting.cancel()
    await it.ns.wait([waiting])


async def _await(it: Any) -> Any:
    return await it


@scene
async def waits(it: It) -> None:
    for when in ("FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED"):
        tasks = it.start(steps(it, 1), steps(it, 2), steps(it, 3))
        await it.ns.wait(tasks, return_when=when)
        await it.ns.wait(tasks, timeout=0)
        await it.ns.wait(tasks, timeout=LONG)
        [each.exception() for each in tasks]


@scene
async def completions(it: It) -> None:
    async def work(n: int) -> int:
        for _ in range(n):
            await it.ns.sleep(0)
        return n

    for each in it.ns.as_completed(it.start(work(1), work(2), work(0))):
        await each
    async for done in hasten_as_completed(it, it.start(work(1), work(2), work(0))):
        await done


async def hasten_as_completed(it: It, tasks: list[Any]) -> Any:
    made = it.ns.as_completed(tasks, timeout=LONG)
    if hasattr(made, "__aiter__"):
        async for each in made:
            yield each
    else:
        for each in made:
            yield each


@scene
async def shields(it: It) -> None:
    async def work() -> None:
        for _ in range(3):
            await it.ns.sleep(0)

    async def outer(task: Any) -> None:
        await it.ns.shield(task)

    [inner] = it.start(work())
    first, second = it.start(outer(inner), outer(inner))
    await it.ns.sleep(0)
    first.cancel()
    await it.ns.wait([first, second, inner])


@scene
async def group(it: It) -> None:
    async def work(n: int) -> None:
        for _ in range(n):
            await it.ns.sleep(0)
        if n == 2:
            raise KeyError

    with contextlib.suppress(KeyError, BaseExceptionGroup):
        async with it.ns.TaskGroup() as group:
            for n in range(4):
                group.create_task(work(n))
    it.last.append(lambda: f"{group._tasks} are in the group" if group._tasks else None)


@scene
async def groups(it: It) -> None:
    """One in another, whose body fails."""

    async def forever() -> None:
        await it.loop.create_future()

    with contextlib.suppress(KeyError, BaseExceptionGroup):
        async with it.ns.TaskGroup() as outer:
            outer.create_task(forever())
            async with it.ns.TaskGroup() as inner:
                inner.create_task(forever())
                await it.ns.sleep(0)
                raise KeyError


@scene
async def time_limits(it: It) -> None:
    async def forever() -> None:
        await it.loop.create_future()

    for coro in (forever(), it.ns.sleep(0)):
        with contextlib.suppress(TimeoutError):
            await it.ns.wait_for(coro, 0.001)
    with contextlib.suppress(TimeoutError):
        async with it.ns.timeout(0.001) as limit:
            await forever()
    with contextlib.suppress(TimeoutError):
        async with it.ns.timeout(LONG) as limit:
            limit.reschedule(it.loop.time())
            async with it.ns.timeout(LONG):
                await forever()


@scene
async def generators(it: It) -> None:
    async def generate() -> Any:
        try:
            for i in range(3):
                yield i
                await it.ns.sleep(0)
        finally:
            await it.ns.sleep(0)

    async for _ in generate():
        pass
    async for _ in generate():
        break
    left = generate()
    await anext(left)
    await it.ns.sleep(0)


@scene
async def threads(it: It) -> None:
    assert await it.ns.to_thread(int) == 0
    assert await it.loop.run_in_executor(None, len, "x") == 1
    with contextlib.suppress(KeyError):
        await it.loop.run_in_executor(None, {}.__getitem__, 1)
    future = it.loop.create_future()
    await it.loop.run_in_executor(None, it.loop.call_soon_threadsafe, future.set_result, 1)
    await future
    asked = await it.loop.run_in_executor(None, it.ns.run_coroutine_threadsafe, _seven(it), it.loop)
    assert await it.ns.wrap_future(asked) == 7


async def _seven(it: It) -> int:
    await it.ns.sleep(0)
    return 7
