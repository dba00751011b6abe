"""Small programs of tasks, futures, primitives and timers: what a loop does when no socket is involved.

Each takes an Env and a size, does its work, and returns the number of operations done. They are written as a
program would be; nothing here knows which loop runs it.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bench.failures import Unsupported


@dataclass(frozen=True)
class Env:
    """aio: the module in asyncio's place. loop: the running loop."""

    aio: Any
    loop: asyncio.AbstractEventLoop


Program = Callable[[Env, int], Awaitable[int]]


@dataclass(frozen=True)
class Task:
    """A workload. size: what `program` is called with; about 0.1 s of asyncio's time."""

    program: Program
    size: int
    what: str


TASKS: dict[str, Task] = {}


def task(name: str, size: int, what: str) -> Callable[[Program], Program]:
    def register(program: Program) -> Program:
        TASKS[name] = Task(program, size, what)
        return program

    return register


async def _nothing() -> None:
    pass


def _yielder(env: Env) -> Callable[[], Awaitable[None]]:
    sleep = env.aio.sleep

    async def yield_once() -> None:
        await sleep(0)

    return yield_once


@task("create_task", 25_000, "create a task and await it")
async def create_and_await(env: Env, size: int) -> int:
    create_task = env.aio.create_task
    for _ in range(size):
        await create_task(_nothing())
    return size


async def _sleepers(env: Env, tasks: int, times: int) -> int:
    sleep = env.aio.sleep

    async def sleeper() -> None:
        for _ in range(times):
            await sleep(0)

    running = [env.aio.create_task(sleeper()) for _ in range(tasks)]
    for each in running:
        await each
    return tasks * times


@task("sleep0_1", 80_000, "sleep(0), one task")
async def sleep0_1(env: Env, size: int) -> int:
    return await _sleepers(env, 1, size)


@task("sleep0_100", 1_500, "sleep(0), 100 tasks")
async def sleep0_100(env: Env, size: int) -> int:
    return await _sleepers(env, 100, size)


@task("sleep0_10k", 15, "sleep(0), 10,000 tasks")
async def sleep0_10k(env: Env, size: int) -> int:
    return await _sleepers(env, 10_000, size)


@task("gather_100", 400, "gather of 100 coroutines, each yields once")
async def gather_100(env: Env, size: int) -> int:
    child = _yielder(env)
    for _ in range(size):
        await env.aio.gather(*(child() for _ in range(100)))
    return 100 * size


@task("future_pingpong", 50_000, "two tasks wake each other by futures")
async def future_pingpong(env: Env, size: int) -> int:
    new = env.loop.create_future
    court = [new(), new()]

    async def player(mine: int, serves: bool) -> None:
        theirs = 1 - mine
        if serves:
            court[theirs].set_result(None)
        for _ in range(size):
            await court[mine]
            court[mine] = new()
            if not court[theirs].done():
                court[theirs].set_result(None)

    first = env.aio.create_task(player(0, False))
    second = env.aio.create_task(player(1, True))
    await first
    await second
    return 2 * size


async def _pipe(env: Env, room: int, size: int) -> int:
    line = env.aio.Queue(room)

    async def reader() -> None:
        for _ in range(size):
            await line.get()

    reading = env.aio.create_task(reader())
    for item in range(size):
        await line.put(item)
    await reading
    return size


@task("queue_1", 25_000, "Queue(1), one task puts, one gets")
async def queue_1(env: Env, size: int) -> int:
    return await _pipe(env, 1, size)


@task("queue_64", 100_000, "Queue(64), one task puts, one gets")
async def queue_64(env: Env, size: int) -> int:
    return await _pipe(env, 64, size)


async def _contend(env: Env, guard: Any, tasks: int, times: int) -> int:
    sleep = env.aio.sleep

    async def worker() -> None:
        for _ in range(times):
            async with guard:
                await sleep(0)

    await env.aio.gather(*(worker() for _ in range(tasks)))
    return tasks * times


@task("lock_50", 600, "a Lock that 50 tasks want")
async def lock_50(env: Env, size: int) -> int:
    return await _contend(env, env.aio.Lock(), 50, size)


@task("semaphore_50", 800, "a Semaphore(10) that 50 tasks want")
async def semaphore_50(env: Env, size: int) -> int:
    return await _contend(env, env.aio.Semaphore(10), 50, size)


@task("lock_free", 200_000, "a Lock that nobody else wants")
async def lock_free(env: Env, size: int) -> int:
    lock = env.aio.Lock()
    for _ in range(size):
        async with lock:
            pass
    return size


@task("event_100", 500, "an Event that 100 tasks wait for")
async def event_100(env: Env, size: int) -> int:
    event = env.aio.Event()
    waiting = 0

    async def waiter() -> None:
        nonlocal waiting
        for _ in range(size):
            waiting += 1
            await event.wait()

    tasks = [env.aio.create_task(waiter()) for _ in range(100)]
    for turn in range(1, size + 1):
        while waiting < 100 * turn:
            await env.aio.sleep(0)
        event.set()
        event.clear()
    for each in tasks:
        await each
    return 100 * size


async def _callbacks(env: Env, chains: int, size: int) -> int:
    call_soon = env.loop.call_soon
    finished = env.loop.create_future()
    alive = chains

    def step(left: int) -> None:
        nonlocal alive
        if left:
            call_soon(step, left - 1)
            return
        alive -= 1
        if not alive:
            finished.set_result(None)

    for _ in range(chains):
        call_soon(step, size - 1)
    await finished
    return chains * size


@task("call_soon_1", 200_000, "call_soon, one callback at a time")
async def call_soon_1(env: Env, size: int) -> int:
    return await _callbacks(env, 1, size)


@task("call_soon_100", 4_000, "call_soon, 100 callbacks at a time")
async def call_soon_100(env: Env, size: int) -> int:
    return await _callbacks(env, 100, size)


@task("timers", 50_000, "call_later; nine of ten are cancelled, the others fire within 2 ms")
async def timers(env: Env, size: int) -> int:
    call_later = env.loop.call_later
    finished = env.loop.create_future()
    due = size // 10

    def fire() -> None:
        nonlocal due
        due -= 1
        if not due:
            finished.set_result(None)

    def never() -> None:
        raise AssertionError("a cancelled timer fired")

    for start in range(0, size // 10 * 10, 1000):
        some = range(start, min(start + 1000, size // 10 * 10))
        far = [call_later(30 + number * 7 % 31, never) for number in some if number % 10]
        for number in some:
            if number % 10 == 0:
                call_later(number * 7 % 20 / 10_000, fire)
        for handle in far:
            handle.cancel()
    await finished
    return size // 10 * 10


@task("taskgroup_100", 300, "TaskGroup of 100 tasks, each yields once")
async def taskgroup_100(env: Env, size: int) -> int:
    child = _yielder(env)
    for _ in range(size):
        async with env.aio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(child())
    return 100 * size


@task("timeout_ctx", 40_000, "async with timeout(…) around a coroutine that does not wait")
async def timeout_ctx(env: Env, size: int) -> int:
    timeout = env.aio.timeout
    for _ in range(size):
        async with timeout(30):
            await _nothing()
    return size


@task("wait_for", 20_000, "wait_for(…) around a coroutine that yields once")
async def wait_for(env: Env, size: int) -> int:
    child, limited = _yielder(env), env.aio.wait_for
    for _ in range(size):
        await limited(child(), 30)
    return size


@task("wait_1000", 25, "wait(…) for 1,000 tasks, each yields once")
async def wait_1000(env: Env, size: int) -> int:
    child = _yielder(env)
    for _ in range(size):
        await env.aio.wait([env.aio.create_task(child()) for _ in range(1000)])
    return 1000 * size


@task("as_completed_100", 250, "as_completed over 100 coroutines, each yields once")
async def as_completed_100(env: Env, size: int) -> int:
    child = _yielder(env)
    for _ in range(size):
        for each in env.aio.as_completed([child() for _ in range(100)]):
            await each
    return 100 * size


@task("threadsafe", 4_000, "to a thread and back by call_soon_threadsafe")
async def threadsafe(env: Env, size: int) -> int:
    work: queue.SimpleQueue[asyncio.Future[None] | None] = queue.SimpleQueue()

    def answer() -> None:
        while (future := work.get()) is not None:
            env.loop.call_soon_threadsafe(future.set_result, None)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        for _ in range(size):
            future: asyncio.Future[None] = env.loop.create_future()
            work.put(future)
            await future
    finally:
        work.put(None)
        thread.join()
    return size


@task("run_in_executor", 3_000, "run_in_executor of a function that does nothing")
async def run_in_executor(env: Env, size: int) -> int:
    for _ in range(size):
        await env.loop.run_in_executor(None, int)
    return size


@task("eager_task", 50_000, "create a task and await it, with eager_task_factory")
async def eager_task(env: Env, size: int) -> int:
    if not hasattr(env.aio, "eager_task_factory"):
        raise Unsupported("asyncio has eager tasks from Python 3.12 on")
    env.loop.set_task_factory(env.aio.eager_task_factory)
    try:
        return await create_and_await(env, size)
    finally:
        env.loop.set_task_factory(None)
