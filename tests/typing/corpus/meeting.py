"""Locks, events, conditions, semaphores, barriers, queues."""

import asyncio
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(order=True)
class Job:
    priority: int
    name: str = field(compare=False)


class Pool(Generic[T]):
    def __init__(self, things: list[T]) -> None:
        self._free: asyncio.Queue[T] = asyncio.Queue(maxsize=len(things))
        self._limit = asyncio.BoundedSemaphore(len(things))
        self._condition = asyncio.Condition()
        self._lock = asyncio.Lock()
        for thing in things:
            self._free.put_nowait(thing)

    async def take(self) -> T:
        await self._limit.acquire()
        return await self._free.get()

    async def give_back(self, thing: T) -> None:
        await self._free.put(thing)
        self._limit.release()
        async with self._condition:
            self._condition.notify_all()

    async def wait_full(self) -> bool:
        async with self._condition, self._lock:
            return await self._condition.wait_for(self._free.full)


class History(asyncio.Queue[str]):
    """A queue with storage of its own."""

    def _init(self, maxsize: int) -> None:
        self._items: deque[str] = deque()

    def _put(self, item: str) -> None:
        self._items.append(item)

    def _get(self) -> str:
        return self._items.pop()

    def qsize(self) -> int:
        return len(self._items)


async def worker(name: str, queue: asyncio.Queue[float]) -> None:
    while True:
        delay = await queue.get()
        await asyncio.sleep(delay)
        queue.task_done()
        print(f"{name} has slept for {delay:.2f} seconds")


async def produce() -> None:
    queue: asyncio.Queue[float] = asyncio.Queue()
    for _ in range(20):
        queue.put_nowait(random.uniform(0.05, 1.0))
    tasks = [asyncio.create_task(worker(f"worker-{i}", queue)) for i in range(3)]
    await queue.join()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def jobs() -> list[str]:
    urgent: asyncio.PriorityQueue[Job] = asyncio.PriorityQueue()
    last: asyncio.LifoQueue[int] = asyncio.LifoQueue(5)
    await urgent.put(Job(2, "b"))
    await last.put(1)
    queues: list[asyncio.Queue[int]] = [last]
    try:
        job = urgent.get_nowait()
    except asyncio.QueueEmpty:
        return []
    try:
        last.put_nowait(2)
    except asyncio.QueueFull as exc:
        print(exc)
    return [job.name, str(last.qsize() + last.maxsize), str(queues[0].empty())]


async def waiter(event: asyncio.Event, barrier: asyncio.Barrier) -> int:
    await event.wait()
    try:
        async with barrier as place:
            print(barrier.n_waiting, barrier.parties, barrier.broken)
            return place
    except asyncio.BrokenBarrierError:
        await barrier.reset()
        return await barrier.wait()


async def meet() -> list[int]:
    event = asyncio.Event()
    barrier = asyncio.Barrier(3)
    tasks = [asyncio.create_task(waiter(event, barrier)) for _ in range(3)]
    event.set()
    try:
        return [await task for task in tasks]
    finally:
        event.clear()
        print(event.is_set())


async def limits(semaphore: asyncio.Semaphore, lock: asyncio.Lock) -> bool:
    async with semaphore:
        if lock.locked():
            return False
        got: bool = await lock.acquire()
        lock.release()
    shared = asyncio.Condition(lock)
    async with shared:
        await shared.wait()
        shared.notify(1)
    return got and semaphore.locked()


async def main() -> None:
    async with asyncio.TaskGroup() as tg:
        tg.create_task(produce())
        tg.create_task(limits(asyncio.Semaphore(2), asyncio.Lock()))
    print(await jobs(), await meet())


asyncio.run(main())
