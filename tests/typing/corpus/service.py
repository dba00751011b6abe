"""A service: workers, a queue, timeouts, signals, a periodic job, results by futures."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import signal
from asyncio import CancelledError, Task, TaskGroup, timeout
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="-")


@dataclass(order=True)
class Job:
    priority: int
    name: str = field(compare=False)
    done: asyncio.Future[str] = field(compare=False, repr=False)


class Pool(Generic[T, R]):
    def __init__(self, work: Callable[[T], Awaitable[R]], size: int = 4) -> None:
        self._work = work
        self._size = size
        self._queue: asyncio.Queue[tuple[T, asyncio.Future[R]]] = asyncio.Queue(maxsize=100)
        self._tasks: set[asyncio.Task[None]] = set()
        self._limit = asyncio.Semaphore(size)
        self._started = asyncio.Event()
        self._lock = asyncio.Lock()
        self._changed = asyncio.Condition(self._lock)
        self.count = 0

    async def __aenter__(self) -> Pool[T, R]:
        for number in range(self._size):
            task = asyncio.create_task(self._run(), name=f"worker-{number}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._started.set()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._queue.join()
        for task in self._tasks:
            task.cancel("the pool ends")
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self) -> None:
        await self._started.wait()
        while True:
            item, future = await self._queue.get()
            try:
                async with self._limit:
                    result = await self._work(item)
            except Exception as exc:
                if not future.done():
                    future.set_exception(exc)
            else:
                if not future.done():
                    future.set_result(result)
            finally:
                self._queue.task_done()
                async with self._changed:
                    self.count += 1
                    self._changed.notify_all()

    async def submit(self, item: T) -> R:
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        await self._queue.put((item, future))
        return await future

    async def wait_count(self, n: int) -> bool:
        async with self._changed:
            return await self._changed.wait_for(lambda: self.count >= n)


async def square(n: int) -> int:
    await asyncio.sleep(0)
    return n * n


class Ticker:
    def __init__(self, interval: float, callback: Callable[[], None]) -> None:
        self._interval = interval
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()

    def start(self) -> None:
        self._handle = self._loop.call_later(self._interval, self._fire)

    def _fire(self) -> None:
        self._callback()
        self.start()

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


@contextlib.asynccontextmanager
async def ticking(interval: float) -> AsyncGenerator[list[float], None]:
    seen: list[float] = []
    loop = asyncio.get_running_loop()
    ticker = Ticker(interval, lambda: seen.append(loop.time()))
    ticker.start()
    try:
        yield seen
    finally:
        ticker.stop()


async def with_timeout(coro: Coroutine[Any, Any, T], seconds: float, default: T) -> T:
    try:
        async with timeout(seconds) as scope:
            value = await coro
            scope.reschedule(None)
            return value
    except TimeoutError:
        return default


async def first_of(coros: Iterable[Coroutine[Any, Any, T]]) -> T:
    tasks = [asyncio.ensure_future(coro) for coro in coros]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    return next(iter(done)).result()


async def supervise() -> dict[str, int]:
    results: dict[str, int] = {}

    async def child(name: str, n: int) -> int:
        request_id.set(name)
        results[name] = await square(n)
        return results[name]

    async with TaskGroup() as group:
        tasks: list[Task[int]] = [group.create_task(child(f"c{n}", n), name=f"child {n}") for n in range(5)]
        extra = group.create_task(square(9), context=contextvars.copy_context())
    assert sum(task.result() for task in tasks) + extra.result() == 111
    return results


async def failures() -> list[str]:
    async def fails() -> None:
        raise ValueError("wrong")

    texts: list[str] = []
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fails())
    except* ValueError as group_error:
        texts += [str(each) for each in group_error.exceptions]
    task = asyncio.create_task(fails())
    await asyncio.wait([task])
    error = task.exception()
    if isinstance(error, ValueError):
        texts.append(error.args[0])
    return texts


async def priorities() -> list[str]:
    queue: asyncio.PriorityQueue[Job] = asyncio.PriorityQueue()
    loop = asyncio.get_running_loop()
    for priority, name in ((2, "b"), (1, "a"), (3, "c")):
        queue.put_nowait(Job(priority, name, loop.create_future()))
    names: list[str] = []
    while not queue.empty():
        job = await queue.get()
        job.done.set_result(job.name)
        names.append(await job.done)
    lifo: asyncio.LifoQueue[int] = asyncio.LifoQueue()
    lifo.put_nowait(1)
    names.append(str(lifo.get_nowait() + 1))
    try:
        queue.get_nowait()
    except asyncio.QueueEmpty:
        names.append("empty")
    return names


async def shielded() -> str:
    inner = asyncio.create_task(square(3))
    try:
        value = await asyncio.wait_for(asyncio.shield(inner), timeout=1)
    except (TimeoutError, CancelledError):
        return "late"
    return f"{value:04d}"


async def bounded() -> list[int]:
    out: list[int] = []
    for nxt in asyncio.as_completed([square(n) for n in range(4)], timeout=5):
        out.append(await nxt)
    results = await asyncio.gather(*(square(n) for n in range(20)))
    a, b = await asyncio.gather(square(1), asyncio.sleep(0, "x"))
    return [*out, *results, a, len(b)]


def blocking(path: str, *, size: int) -> bytes:
    return path.encode()[:size]


async def main() -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.set_exception_handler(lambda _loop, context: print(context["message"]))
    async with Pool(square) as pool, ticking(0.001) as seen:
        values = await asyncio.gather(*(pool.submit(n) for n in range(10)))
        assert await pool.wait_count(5)
    assert sum(values) == 285
    assert isinstance(seen, list)
    print(await supervise(), await failures(), await priorities(), await shielded(), await bounded())
    print(await with_timeout(square(4), 1, -1), await first_of([square(1), square(2)]))
    data = await asyncio.to_thread(blocking, "abcdef", size=3)
    more = await loop.run_in_executor(None, len, data)
    thread_future = asyncio.run_coroutine_threadsafe(square(2), loop)
    wrapped = await asyncio.wrap_future(thread_future)
    me = asyncio.current_task()
    assert me is not None
    name: str = me.get_name()
    others = {task.get_name() for task in asyncio.all_tasks() if task is not me}
    loop.remove_signal_handler(signal.SIGTERM)
    barrier = asyncio.Barrier(2)
    position, _ = await asyncio.gather(barrier.wait(), barrier.wait())
    return more + wrapped + len(name) * 0 + len(others) * 0 + position * 0


if __name__ == "__main__":
    with asyncio.Runner(debug=False) as runner:
        print(runner.run(main()))
