"""More of calls.py: what the loop does in a tick, with primitives and connections.

No function is made while memory is short: CPython 3.13.0 frees something twice then.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from .calls import Call, forever, inside, nothing, outside, stepped

# ---- primitives -----------------------------------------------------------------------------------------------------


def _step(name: str, make: Callable[[Any], Any], begin: Callable[[Any], Any], end: Callable[[Any], Any]) -> None:
    """A coroutine of a primitive: its first step, then what lets it go on."""

    def scene(ns: Any, loop: Any) -> Call:
        made = make(ns)

        def call() -> None:
            coro = stepped(begin(made))
            end(made)
            coro.close()

        return call

    scene.__name__ = name
    inside(scene)


def _locked(ns: Any) -> Any:
    lock = ns.Lock()
    stepped(lock.acquire())
    return lock


def _full(ns: Any) -> Any:
    queue = ns.Queue(1)
    queue.put_nowait(1)
    return queue


_step("lock_acquire", lambda ns: ns.Lock(), lambda lock: lock.acquire(), lambda lock: lock.release())
_step("lock_wait", _locked, lambda lock: lock.acquire(), lambda lock: lock.release())
_step("semaphore_wait", lambda ns: ns.Semaphore(0), lambda it: it.acquire(), lambda it: it.release())
_step("event_wait", lambda ns: ns.Event(), lambda event: event.wait(), lambda event: event.set())
_step("queue_get", lambda ns: ns.Queue(), lambda queue: queue.get(), lambda queue: queue.put_nowait(1))
_step("queue_put", _full, lambda queue: queue.put(2), lambda queue: queue.get_nowait())
_step("queue_join", _full, lambda queue: queue.join(), lambda queue: queue.task_done())
_step("priority_queue", lambda ns: ns.PriorityQueue(), lambda q: q.put((1, "x")), lambda q: q.get_nowait())


@inside
def queue_often(ns: Any, loop: Any) -> Call:
    queue = ns.Queue()

    def call() -> None:
        for i in range(200):
            queue.put_nowait(i)
        for _ in range(queue.qsize()):
            queue.get_nowait()

    return call


# ---- ticks ----------------------------------------------------------------------------------------------------------


class Stuck(Exception):
    """A wake-up was lost for lack of memory: of that somebody has to hear."""


def run_some_ticks(loop: Any, coro: Any) -> None:
    """Runs a coroutine that is done after few ticks; where no time is needed, none is waited."""
    task = loop.create_task(coro)
    try:
        for _ in range(40):
            loop.call_soon(loop.stop)
            loop.run_forever()
            if task.done():
                return task.result()
    finally:
        task.cancel()
    raise Stuck


def cancel(task: Any) -> None:
    """A task that has failed does not tell so by itself any more once cancel() was called."""
    if not task.cancel():
        task.result()


def _program(name: str, main: Callable[[Any], Any]) -> None:
    """A coroutine that runs to its end."""

    def scene(ns: Any, loop: Any) -> Call:
        def call() -> None:
            coro = main(ns)
            try:
                run_some_ticks(loop, coro)
            finally:
                coro.close()

        return call

    scene.__name__ = name
    outside(scene)


async def _tasks(ns: Any) -> None:
    first = ns.create_task(nothing())
    second = ns.create_task(ns.sleep(0, 7))
    await first
    assert await second == 7


async def _cancelled(ns: Any) -> None:
    made = ns.create_task(forever())
    await ns.sleep(0)
    made.cancel("enough")
    try:
        await made
    except asyncio.CancelledError:
        return
    raise AssertionError("it was not cancelled")


async def fail() -> None:
    raise KeyError("x")


async def _failed(ns: Any) -> None:
    try:
        await ns.create_task(fail())
    except KeyError:
        return
    raise AssertionError("it did not fail")


async def _group(ns: Any) -> None:
    async with ns.TaskGroup() as group:
        group.create_task(nothing())
        group.create_task(ns.sleep(0))


async def _timeouts(ns: Any) -> None:
    try:
        async with ns.timeout(0):
            await forever()
    except TimeoutError:
        return
    raise AssertionError("it was not over")


async def _wait_for(ns: Any) -> None:
    await ns.wait_for(nothing(), 5)
    try:
        await ns.wait_for(forever(), 0)
    except TimeoutError:
        return
    raise AssertionError("it was not over")


async def _gather(ns: Any) -> None:
    await ns.gather(nothing(), ns.sleep(0), ns.sleep(1e-9))


async def _wait(ns: Any) -> None:
    tasks = [ns.create_task(nothing()), ns.create_task(ns.sleep(0))]
    done, pending = await ns.wait(tasks, return_when="FIRST_COMPLETED")
    for each in pending:
        await each
    for _ in done:
        pass


async def _as_completed(ns: Any) -> None:
    for each in ns.as_completed([nothing(), ns.sleep(0)]):
        await each


async def wait_for_condition(condition: Any) -> None:
    async with condition:
        await condition.wait()


async def _condition(ns: Any) -> None:
    condition = ns.Condition()
    made = ns.create_task(wait_for_condition(condition))
    await ns.sleep(0)
    async with condition:
        condition.notify()
    await made


async def generate(ns: Any) -> Any:
    try:
        yield 1
    finally:
        await ns.sleep(0)


async def _generator(ns: Any) -> None:
    async for _ in generate(ns):
        break
    await ns.sleep(0)


class Quiet(asyncio.Protocol):
    """Does nothing but count."""

    received = 0

    def data_received(self, data: bytes) -> None:
        Quiet.received += len(data)


async def _connection(ns: Any) -> None:
    near, far = socket.socketpair()
    Quiet.received = 0
    with near, far:
        transport, _ = await asyncio.get_running_loop().create_connection(Quiet, sock=near)
        try:
            transport.write(b"x" * 10)
            transport.writelines([b"y", b"z"])
            far.send(b"line\n")
            for _ in range(20):
                await ns.sleep(0)
                if Quiet.received:
                    break
            if Quiet.received != 5:
                raise Stuck
        finally:
            transport.close()
        await ns.sleep(0)


async def _full_connection(ns: Any) -> None:
    """More than the kernel takes, so that the rest waits."""
    near, far = socket.socketpair()
    with near, far:
        transport, _ = await asyncio.get_running_loop().create_connection(Quiet, sock=near)
        try:
            for size in (1_000_000, 10, 1):
                transport.write(b"x" * size)
            transport.get_extra_info("socket")
            transport.pause_reading()
            transport.resume_reading()
        finally:
            transport.abort()
        await ns.sleep(0)


async def _reader(ns: Any) -> None:
    reader = ns.StreamReader(limit=100)
    reader.feed_data(b"one\ntwo")
    assert await reader.readline() == b"one\n"
    reader.feed_eof()
    assert await reader.read() == b"two"


for _name, _main in list(globals().items()):
    if asyncio.iscoroutinefunction(_main) and _name.startswith("_"):
        _program("run" + _name, _main)
