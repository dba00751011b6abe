"""Random programs of tasks, futures, timers, gathers and connections, cancelled and failing at random points.

    python stress.py SEED ROUNDS [NAME]

Prints "done" when everything has ended. With a NAME only that kind of step is taken, and the numbers that must not
grow are printed after each third of the rounds; the exit status is 1 if they grew in the last third, and again in a
fourth one. A round of
"cancellations" makes a hundred tasks: `make million` takes ten thousand of them.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import hasten

Step = Callable[[Any, random.Random], Awaitable[None]]


class Failure(Exception):
    pass


async def leaf(rng: random.Random, depth: int = 0) -> int:
    """Waits in some way, and ends in some way."""
    kind = rng.randrange(9)
    if kind == 0:
        await hasten.sleep(0)
    elif kind == 1:
        await asyncio.sleep(rng.random() / 2000)
    elif kind == 2:
        await hasten.sleep(rng.random() / 2000)
    elif kind == 3:
        raise Failure
    elif kind == 4:
        asyncio.current_task().cancel()  # type: ignore[union-attr]
    elif kind == 5 and depth < 3:
        await asyncio.create_task(leaf(rng, depth + 1))
    elif kind == 6 and depth < 3:
        await hasten.gather(
            *[leaf(rng, depth + 1) for _ in range(rng.randrange(4))], return_exceptions=rng.random() < 0.5
        )
    elif kind == 7:
        try:
            await hasten.sleep(rng.random() / 1000)
        except asyncio.CancelledError:
            await hasten.sleep(0)
            if rng.random() < 0.5:
                raise
    return kind


async def settle(tasks: list[Any]) -> None:
    for task in tasks:
        try:
            await task
        except (Failure, asyncio.CancelledError):
            pass


async def tasks(loop: Any, rng: random.Random) -> None:
    kinds = [hasten.Task, hasten.Task, asyncio.Task]
    made = [rng.choice(kinds)(leaf(rng), loop=loop) for _ in range(10)]
    for _ in range(rng.randrange(5)):
        await hasten.sleep(0)
        rng.choice(made).cancel("enough")
    await settle(made)


async def eager(loop: Any, rng: random.Random) -> None:
    await settle([hasten.Task(leaf(rng), loop=loop, eager_start=True) for _ in range(5)])


async def futures(loop: Any, rng: random.Random) -> None:
    fut = loop.create_future()

    async def wait() -> None:
        await fut

    made = [loop.create_task(wait()) for _ in range(rng.randrange(5))]
    fut.add_done_callback(lambda f: None)
    await hasten.sleep(0)
    if made and rng.random() < 0.5:
        made[0].cancel()
    end = rng.randrange(3)
    if not fut.done():
        if end == 0:
            fut.set_result([fut])
        elif end == 1:
            fut.set_exception(Failure())
        else:
            fut.cancel("x")
    await settle(made)
    if fut.done() and not fut.cancelled():
        fut.exception()


async def timers(loop: Any, rng: random.Random) -> None:
    handles = [loop.call_later(rng.random() * rng.choice([0.0001, 100]), int, i) for i in range(200)]
    for handle in handles:
        if rng.random() < 0.9 or handle.when() > loop.time() + 0.001:
            handle.cancel()
    await hasten.sleep(0.0001)


async def gathers(loop: Any, rng: random.Random) -> None:
    outer = hasten.gather(*[leaf(rng) for _ in range(8)], return_exceptions=rng.random() < 0.5)
    await hasten.sleep(0)
    if rng.random() < 0.3:
        outer.cancel()
    await settle([outer])
    for _ in range(30):  # those whose gather has failed go on
        if len(asyncio.all_tasks()) == 1:
            return
        await hasten.sleep(0.0001)


async def timeouts(loop: Any, rng: random.Random) -> None:
    for wait in (hasten.wait_for, asyncio.wait_for):
        try:
            # in a task of its own, since a leaf may cancel the one that it is in
            await loop.create_task(wait(leaf(rng), rng.choice([0, 0.0001, 1])))
        except (Failure, TimeoutError, asyncio.CancelledError):
            pass
    done, pending = await hasten.wait([loop.create_task(leaf(rng)) for _ in range(4)], timeout=0.0002)
    for task in pending:
        task.cancel()
    await settle([*done, *pending])


async def connections(loop: Any, rng: random.Random) -> None:
    one, other = socket.socketpair()
    _, writer = await asyncio.open_connection(sock=one)
    answers, talker = await asyncio.open_connection(sock=other)
    for size in rng.choices([1, 1000, 70_000, 300_000], k=3):
        writer.write(bytes(size))
        if rng.random() < 0.5:
            writer.writelines([b"x"] * 3)
            size += 3
        await asyncio.gather(answers.readexactly(size), writer.drain())
    if rng.random() < 0.5:
        writer.transport.abort()
    writer.close()
    talker.close()
    for each in (writer, talker):
        try:
            await each.wait_closed()
        except OSError:
            pass


async def threads(loop: Any, rng: random.Random) -> None:
    await asyncio.gather(*[loop.run_in_executor(None, int, i) for i in range(4)])


async def sleepers(loop: Any, rng: random.Random) -> None:
    made = [loop.create_task(hasten.sleep(rng.random() / 1000)) for _ in range(20)]
    await hasten.sleep(0)
    for task in made[::2]:
        task.cancel()
    await settle(made)
    unused = hasten.sleep(1)
    unused.close()


async def iterators(loop: Any, rng: random.Random) -> None:
    fut = loop.create_future()
    it = fut.__await__()
    next(it)
    fut._asyncio_future_blocking = False
    for end in (it.close, lambda: it.throw(Failure)):
        try:
            end()
        except Failure:
            pass
    fut.cancel()


async def locks(loop: Any, rng: random.Random) -> None:
    lock, gate, event = hasten.Lock(), hasten.Semaphore(rng.randrange(1, 4)), hasten.Event()
    condition = hasten.Condition(lock)

    async def enter() -> None:
        async with gate:
            await hasten.sleep(0)
            if rng.random() < 0.3:
                await hasten.wait_for(event.wait(), 0.001)
        async with lock:
            await hasten.sleep(0)
        async with condition:
            condition.notify()

    made = [loop.create_task(enter()) for _ in range(12)]
    made += [loop.create_task(hasten.wait_for(lock.acquire(), 0)) for _ in range(2)]
    for _ in range(rng.randrange(8)):
        await hasten.sleep(0)
        rng.choice(made).cancel()
    event.set()
    for task in made[-2:]:
        try:
            await task
            lock.release()
        except (TimeoutError, asyncio.CancelledError):
            pass
    for task in made:
        try:
            await task
        except (TimeoutError, asyncio.CancelledError):
            pass


async def queues(loop: Any, rng: random.Random) -> None:
    queue = rng.choice([hasten.Queue, hasten.LifoQueue, hasten.PriorityQueue])(rng.randrange(4))

    async def put() -> None:
        for i in range(10):
            await queue.put(i)

    async def get() -> None:
        while True:
            await queue.get()
            queue.task_done()
            if rng.random() < 0.2:
                await hasten.sleep(0)

    made = [loop.create_task(kind()) for kind in (put, put, get, get)]
    if rng.random() < 0.5:
        for _ in range(rng.randrange(6)):
            await hasten.sleep(0)
        rng.choice(made).cancel()
    else:
        await hasten.wait(made[:2])
        await queue.join()
    queue.shutdown(immediate=rng.random() < 0.5)
    for task in made:
        try:
            await task
        except (hasten.QueueShutDown, asyncio.CancelledError):
            pass


async def limits(loop: Any, rng: random.Random) -> None:
    results = hasten.as_completed((leaf(rng) for _ in range(12)), limit=3)
    async for each in results:
        try:
            await each
        except (Failure, asyncio.CancelledError):
            if rng.random() < 0.2:
                break
    del results
    try:
        await loop.create_task(gather_few(rng))
    except (Failure, asyncio.CancelledError):
        pass
    for _ in range(30):
        if len(asyncio.all_tasks()) == 1:
            return
        await hasten.sleep(0.0001)


async def gather_few(rng: random.Random) -> None:
    await hasten.gather(*[leaf(rng) for _ in range(6)], limit=2, return_exceptions=rng.random() < 0.5)


async def groups(loop: Any, rng: random.Random) -> None:
    async def members() -> None:
        async with hasten.timeout(rng.choice([0.0001, 1])), hasten.TaskGroup() as group:
            for _ in range(6):
                group.create_task(leaf(rng))
            await hasten.sleep(0)

    task = loop.create_task(members())
    if rng.random() < 0.3:
        await hasten.sleep(0)
        task.cancel()
    try:
        await hasten.shield(task)
    except (TimeoutError, ExceptionGroup, asyncio.CancelledError):
        pass


class Meeting:
    """What a round's tasks wait at."""

    def __init__(self, loop: Any) -> None:
        self.lock, self.event = hasten.Lock(), hasten.Event()
        self.semaphore, self.condition = hasten.Semaphore(1), hasten.Condition()
        self.empty, self.full = hasten.Queue(), hasten.Queue(1)  # type: ignore[var-annotated]
        self.future = loop.create_future()
        self.full.put_nowait(0)

    async def by_sleep(self) -> None:
        await hasten.sleep(100)

    async def by_lock(self) -> None:
        async with self.lock:
            await hasten.sleep(0)

    async def by_semaphore(self) -> None:
        async with self.semaphore:
            await hasten.sleep(0)

    async def by_event(self) -> None:
        await self.event.wait()

    async def by_condition(self) -> None:
        async with self.condition:
            await self.condition.wait()

    async def by_get(self) -> None:
        await self.empty.get()

    async def by_put(self) -> None:
        await self.full.put(self)

    async def by_future(self) -> None:
        await self.future

    async def by_shield(self) -> None:
        await hasten.shield(self.future)

    async def by_gather(self) -> None:
        await hasten.gather(self.event.wait(), self.by_get())

    async def by_wait(self) -> None:
        inner = hasten.create_task(self.empty.get())
        try:
            await hasten.wait([inner], timeout=100)
        finally:
            inner.cancel()

    async def by_wait_for(self) -> None:
        await hasten.wait_for(self.by_event(), 100)

    async def by_timeout(self) -> None:
        async with hasten.timeout(100):
            await self.by_future()

    async def by_group(self) -> None:
        async with hasten.TaskGroup() as group:
            group.create_task(self.by_put())
            group.create_task(self.by_event())

    async def by_as_completed(self) -> None:
        async for _ in hasten.as_completed([hasten.create_task(self.by_future())]):
            pass

    async def in_finally(self) -> None:
        try:
            await hasten.sleep(100)
        finally:
            await self.by_event()

    async def in_handler(self) -> None:
        try:
            await self.by_get()
        except asyncio.CancelledError:
            await self.by_semaphore()
            raise Failure


WAITS = [getattr(Meeting, name) for name in dir(Meeting) if name.startswith(("by_", "in_"))]


async def cancellations(loop: Any, rng: random.Random) -> None:
    """A hundred tasks that wait in every way there is, cancelled before their first step or after a few."""
    meeting = Meeting(loop)

    def eagerly(coro: Any) -> Any:
        return hasten.Task(coro, loop=loop, eager_start=True)

    def stock(coro: Any) -> Any:
        return asyncio.Task(coro, loop=loop)

    kinds = [loop.create_task, loop.create_task, loop.create_task, eagerly, stock]
    made = [rng.choice(kinds)(rng.choice(WAITS)(meeting)) for _ in range(100)]
    for _ in range(rng.randrange(4)):
        for task in rng.sample(made, 20):
            task.cancel()
        await hasten.sleep(0)
    if rng.random() < 0.3:
        meeting.event.set()
    for _ in range(2):  # those in finally wait once more
        for task in made:
            task.cancel()
        await hasten.sleep(0)
        await hasten.sleep(0)
    meeting.event.set()
    meeting.future.cancel()
    for _ in range(20):
        for task in made:
            task.cancel()
        await hasten.sleep(0)
    while len(hasten.all_tasks()) > 1:
        await hasten.sleep(0)
    assert all(task.done() for task in made)
    for task in made:
        if not task.cancelled():
            task.exception()


STEPS: list[Step] = [
    tasks,
    cancellations,
    eager,
    futures,
    timers,
    gathers,
    timeouts,
    connections,
    threads,
    sleepers,
    iterators,
    locks,
    queues,
    limits,
    groups,
]


# references are counted by a debug build of Python only
NUMBERS = ("allocated blocks", "objects of the garbage collector", "KiB in memory", "files", "references")


def numbers() -> tuple[int, ...]:
    gc.collect()
    references: int = getattr(sys, "gettotalrefcount", int)()
    with open("/proc/self/statm") as file:
        rss = int(file.read().split()[1]) * (os.sysconf("SC_PAGE_SIZE") // 1024)
    return sys.getallocatedblocks(), len(gc.get_objects()), rss, len(os.listdir("/proc/self/fd")), references


def grown(early: Sequence[int], late: Sequence[int], rounds: int) -> list[str]:
    """What a third of the rounds made more of. One object leaked in each would be rounds / 3 of them."""
    allowed = (rounds / 12 + 20, rounds / 12 + 20, 2000, 0, rounds / 12 + 20)
    rows = zip(NUMBERS, early, late, allowed, strict=True)
    return [f"{name}: from {before} to {after}" for name, before, after, more in rows if after - before > more]


def main(seed: int, rounds: int, name: str | None) -> int:
    logging.disable(logging.CRITICAL)
    rng = random.Random(seed)
    chosen = [step for step in STEPS if name in (None, step.__name__)]
    loop = hasten.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    if name is None:
        gc.set_threshold(50, 2, 2)  # the collector comes in the midst of everything

    async def some(count: int) -> None:
        for _ in range(count):
            await rng.choice(chosen)(loop, rng)

    if name is not None:
        print(", ".join(NUMBERS))
    measured: list[Any] = []
    # What grows in the last third has to grow in one more: a free list may fill up late, where the machine is busy.
    while len(measured) < 3 or (name is not None and len(measured) < 4 and grown(measured[1], measured[2], rounds)):
        loop.run_until_complete(some(rounds // 3))
        measured.append(numbers())
        if name is not None:
            print(*measured[-1], flush=True)
    left = hasten.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(hasten.wait(left))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    del loop
    gc.collect()
    found = [] if name is None else grown(measured[-2], measured[-1], rounds)
    for line in found:
        print(line)
    print("grew" if found else "done")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else None))
