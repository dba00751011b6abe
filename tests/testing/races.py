"""Twenty known kinds of race. Each has a wrong program, which does well in the usual order, and a right one beside it.

A program is a coroutine function; it raises, or comes to no end, where the race is lost. What takes a while (a request,
a disk) is `pauses(n)` here: n times others may go on. In the usual order one then always comes before the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple

import hasten

Program = Callable[[], Coroutine[Any, Any, Any]]


class Race(NamedTuple):
    """A kind of race: a program that has it, and one that does not."""

    name: str
    wrong: Program
    right: Program


RACES: list[Race] = []


def race(name: str) -> Callable[[Callable[[bool], Coroutine[Any, Any, Any]]], None]:
    """Enter a program, which is told whether to be right, as a race."""

    def enter(program: Callable[[bool], Coroutine[Any, Any, Any]]) -> None:
        RACES.append(Race(name, lambda: program(False), lambda: program(True)))

    return enter


async def pauses(count: int) -> None:
    for _ in range(count):
        await hasten.sleep(0)


async def after(count: int, coro: Coroutine[Any, Any, Any]) -> Any:
    await pauses(count)
    return await coro


class Box:
    """Whatever a program shares."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


@race("lost update across an await")
async def _(right: bool) -> None:
    box, lock = Box(n=0), hasten.Lock()

    async def unsafe() -> None:
        n = box.n
        await pauses(1)
        box.n = n + 1

    async def add() -> None:
        if right:
            async with lock:
                await unsafe()
        else:
            await unsafe()

    await hasten.gather(add(), after(3, add()))
    assert box.n == 2, f"two were added, and it is {box.n}"


@race("cancelled in a critical section")
async def _(right: bool) -> None:
    lock = hasten.Lock()

    async def work() -> None:
        if right:
            async with lock:
                await pauses(2)
            return
        await lock.acquire()
        await pauses(2)
        lock.release()

    task = hasten.create_task(work())
    await pauses(5)
    task.cancel()
    await hasten.wait([task])
    async with hasten.timeout(10):
        await lock.acquire()


@race("missed wake-up")
async def _(right: bool) -> None:
    event, box = hasten.Event(), Box(item=None)

    async def consume() -> Any:
        await pauses(1)
        while right and box.item is None:
            await event.wait()
        if not right:
            await event.wait()
        return box.item

    async def produce() -> None:
        await pauses(3)
        box.item = "item"
        event.set()
        event.clear()  # a pulse: who does not wait yet misses it

    got, _ = await hasten.gather(consume(), produce())
    assert got == "item"


@race("closed twice")
async def _(right: bool) -> None:
    box = Box(open=True, closing=False)

    async def close() -> None:
        if not box.open or (right and box.closing):
            return
        box.closing = True
        await pauses(1)  # what is left is sent
        assert box.open, "closed twice"
        box.open = False

    await hasten.gather(close(), after(3, close()))


@race("check, then act")
async def _(right: bool) -> None:
    names: set[str] = set()

    async def register(name: str) -> bool:
        if name in names:
            return False
        if right:
            names.add(name)
        await pauses(2)  # the database
        if not right:
            assert name not in names, f"{name} was registered twice"
            names.add(name)
        return True

    told = await hasten.gather(register("a"), after(4, register("a")))
    assert sum(told) == 1


@race("changed while it was iterated over")
async def _(right: bool) -> None:
    clients = {"a": 1, "b": 2}

    async def broadcast() -> None:
        for _client in list(clients) if right else clients:
            await pauses(1)

    async def join() -> None:
        clients["c"] = 3

    await hasten.gather(broadcast(), after(4, join()))


@race("set before anybody waited")
async def _(right: bool) -> None:
    box = Box(event=hasten.Event() if right else None)

    async def start() -> None:
        await pauses(2)
        if box.event is not None:
            box.event.set()

    async def wait_until_started() -> None:
        if box.event is None:
            box.event = hasten.Event()
        async with hasten.timeout(10):
            await box.event.wait()

    await hasten.gather(start(), after(1, wait_until_started()))


@race("a lock released by another")
async def _(right: bool) -> None:
    lock = hasten.Lock()

    async def holder() -> None:
        await lock.acquire()
        await pauses(3)
        lock.release()  # RuntimeError: it is not locked any more

    async def other() -> None:
        await pauses(5)
        if right:
            async with lock:
                await pauses(1)
            return
        try:
            await lock.acquire()
            await pauses(1)
        finally:
            if lock.locked():
                lock.release()  # also when it was cancelled while it waited

    first = hasten.create_task(holder())
    second = hasten.create_task(other())
    await pauses(9)
    second.cancel()
    await hasten.wait([second])
    await first


@race("done was said before it was done")
async def _(right: bool) -> None:
    queue: asyncio.Queue[int] = hasten.Queue()
    results: list[int] = []

    async def work() -> None:
        while True:
            item = await queue.get()
            if not right:
                queue.task_done()
            await pauses(1)
            results.append(item)
            if right:
                queue.task_done()

    worker = hasten.create_task(work())
    for n in range(3):
        queue.put_nowait(n)
    await queue.join()
    await pauses(2)
    assert len(results) == 3, f"{len(results)} of 3 results"
    worker.cancel()


@race("a result and its timeout")
async def _(right: bool) -> None:
    box = Box(result=None)

    async def fetch() -> str:
        await hasten.sleep(1)
        return "result"

    async def watch(task: Any) -> None:
        await hasten.sleep(1)
        if not task.done():
            task.cancel()

    task = hasten.create_task(fetch())
    await pauses(1)
    watcher = hasten.create_task(watch(task))
    try:
        box.result = await task
    except hasten.CancelledError:
        if not right:
            raise
        box.result = "too late"
    await watcher
    assert box.result in ("result", "too late")


@race("closed while a request is in flight")
async def _(right: bool) -> None:
    box = Box(database="open")
    requests: set[Any] = set()

    async def handle() -> None:
        await pauses(2)
        assert box.database == "open", "a request found the database closed"

    async def stop() -> None:
        await pauses(4)
        if right:
            await hasten.gather(*requests)
        box.database = "closed"

    requests.add(hasten.create_task(handle()))
    await hasten.gather(stop(), *requests)


@race("cache stampede")
async def _(right: bool) -> None:
    cache: dict[str, Any] = {}
    loads: list[str] = []

    async def load(key: str) -> str:
        loads.append(key)
        await pauses(2)
        return key.upper()

    async def get(key: str) -> Any:
        if right:
            if key not in cache:
                cache[key] = hasten.ensure_future(load(key))
            return await cache[key]
        if key not in cache:
            cache[key] = await load(key)
        return cache[key]

    await hasten.gather(get("a"), after(5, get("a")), after(6, get("a")))
    assert loads == ["a"], f"loaded {len(loads)} times"


@race("read, await, write on a dict")
async def _(right: bool) -> None:
    stock = {"apples": 0}

    async def ordered() -> int:
        await pauses(1)
        return 1

    async def add() -> None:
        if right:
            more = await ordered()
            stock["apples"] += more
        else:
            stock["apples"] += await ordered()  # the old value is read first

    await hasten.gather(add(), after(3, add()))
    assert stock["apples"] == 2, f"{stock['apples']} apples of 2"


@race("one connection for two")
async def _(right: bool) -> None:
    free = ["first", "second"]
    used: set[str] = set()

    async def ping(connection: str) -> None:
        await pauses(1)

    async def query() -> None:
        if right:
            connection = free.pop()
            await ping(connection)
        else:
            connection = free[-1]
            await ping(connection)
            free.remove(connection)
        assert connection not in used, f"the {connection} connection is used by two"
        used.add(connection)
        await pauses(2)
        used.discard(connection)
        free.append(connection)

    await hasten.gather(query(), after(2, query()))


@race("two leaders")
async def _(right: bool) -> None:
    box = Box(leader=None)
    leaders: list[int] = []

    async def run_for_it(me: int) -> None:
        await pauses(me * 4)
        if right:
            if box.leader is None:
                box.leader = me
                await pauses(2)
        elif box.leader is None:
            await pauses(2)  # the others are asked
            box.leader = me
        else:
            return
        if box.leader == me:
            leaders.append(me)

    await hasten.gather(run_for_it(0), run_for_it(1), run_for_it(2))
    assert len(leaders) == 1, f"leaders: {leaders}"


@race("the first of gather() was taken to begin first")
async def _(right: bool) -> None:
    box = Box(config=None)
    loaded = hasten.Event()

    async def load() -> None:
        box.config = {"port": 80}
        loaded.set()
        await pauses(1)

    async def serve() -> int:
        if right:
            await loaded.wait()
        return int(box.config["port"])

    await hasten.gather(load(), serve())


@race("notified, and not looked again")
async def _(right: bool) -> None:
    condition = hasten.Condition()
    items: list[int] = []

    async def consume() -> None:
        async with condition:
            if right:
                while not items:
                    await condition.wait()
            elif not items:
                await condition.wait()
            items.pop()  # IndexError: another was faster

    async def produce() -> None:
        for n in range(2):
            await pauses(4)
            async with condition:
                items.append(n)
                condition.notify()

    await hasten.gather(consume(), produce(), after(6, consume()))


@race("a semaphore lost by cancelling")
async def _(right: bool) -> None:
    semaphore = hasten.Semaphore(1)

    async def work() -> None:
        await semaphore.acquire()
        if right:
            try:
                await pauses(2)
            finally:
                semaphore.release()
            return
        await pauses(1)  # a line in the log
        try:
            await pauses(1)
        finally:
            semaphore.release()

    task = hasten.create_task(work())
    await pauses(6)
    task.cancel()
    await hasten.wait([task])
    async with hasten.timeout(10):
        await semaphore.acquire()


@race("unsubscribed while subscribers are told")
async def _(right: bool) -> None:
    told: list[str] = []
    subscribers = ["a", "b", "c"]

    async def tell() -> None:
        for each in tuple(subscribers) if right else subscribers:
            told.append(each)
            await pauses(1)

    async def unsubscribe() -> None:
        subscribers.remove("a")

    await hasten.gather(tell(), after(5, unsubscribe()))
    assert told[-1] == "c"
    assert {"b", "c"} <= set(told), f"told were only {told}"


@race("a singleton started twice")
async def _(right: bool) -> None:
    box, lock = Box(instance=None), hasten.Lock()

    async def start() -> object:
        await pauses(2)
        return object()

    async def instance() -> object:
        if right:
            async with lock:
                if box.instance is None:
                    box.instance = await start()
        elif box.instance is None:
            box.instance = await start()
        return box.instance

    first, second = await hasten.gather(instance(), after(4, instance()))
    assert first is second, "two instances"
