"""Tasks and what waits for them."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, Generic, ParamSpec, TypeVar

T = TypeVar("T")
P = ParamSpec("P")
request_id: contextvars.ContextVar[int] = contextvars.ContextVar("request_id")


async def number(n: int) -> int:
    await asyncio.sleep(0.01)
    return n


async def word(text: str) -> str:
    return text


class Background:
    """Keeps its tasks, as the documentation advises."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[Any]] = set()
        self.latest: asyncio.Task[int] | None = None

    def start(self, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.create_task(coro)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def stop(self) -> None:
        for task in self.tasks:
            task.cancel("over")
        await asyncio.gather(*self.tasks, return_exceptions=True)


class Cache(Generic[T]):
    def __init__(self, load: Callable[[str], Awaitable[T]]) -> None:
        self._load = load
        self._running: dict[str, asyncio.Task[T]] = {}

    async def get(self, key: str) -> T:
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.ensure_future(self._run(key))
        return await asyncio.shield(task)

    async def _run(self, key: str) -> T:
        return await self._load(key)


async def group() -> int:
    async with asyncio.TaskGroup() as tg:
        one = tg.create_task(number(1))
        two = tg.create_task(word("b"), name="two")
        return one.result() + len(two.result()) if one.done() else 0


async def group_returns() -> int:
    async with asyncio.TaskGroup():
        return 1


async def lock_returns(lock: asyncio.Lock) -> int:
    async with lock:
        return 1


async def gathering() -> None:
    a, b = await asyncio.gather(number(1), word("x"))
    print(a + 1, b.upper())
    many: list[int] = await asyncio.gather(*[number(n) for n in range(5)])
    mixed = await asyncio.gather(number(1), word("x"), return_exceptions=True)
    first, second = mixed
    if not isinstance(first, BaseException):
        print(first + 1)
    if isinstance(second, BaseException):
        raise second
    both: asyncio.Future[tuple[int, str]] = asyncio.gather(number(1), word("x"))
    both.add_done_callback(lambda f: print(f.result()[0] + 1))
    print(many, second.upper(), await both)


async def waiting() -> list[int]:
    tasks = {asyncio.create_task(number(n), name=f"n{n}") for n in range(3)}
    done, pending = await asyncio.wait(tasks, timeout=1, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    while pending:
        some, pending = await asyncio.wait(pending, return_when=asyncio.ALL_COMPLETED)
        done |= some
    with suppress(asyncio.TimeoutError, TimeoutError):
        print(await asyncio.wait_for(number(3), timeout=0.5))
    return [task.result() for task in done if not task.cancelled() and task.exception() is None]


async def completing(texts: Iterable[str]) -> str:
    said = ""
    for next_one in asyncio.as_completed([word(t) for t in texts], timeout=3):
        said += await next_one
    return said


async def time_limits() -> bool:
    try:
        async with asyncio.timeout(1) as limit:
            limit.reschedule(asyncio.get_running_loop().time() + 2)
            await number(1)
    except TimeoutError:
        return False
    async with asyncio.timeout_at(asyncio.get_running_loop().time() + 1):
        await number(2)
    async with asyncio.timeout(None) as later:  # noqa: ASYNC100
        deadline: float | None = later.when()
        print(deadline)
    scope: asyncio.Timeout = asyncio.timeout(3)
    return limit.expired() or scope.expired()


async def current() -> None:
    me = asyncio.current_task()
    assert me is not None
    me.set_name("me")
    others: set[asyncio.Task[Any]] = asyncio.all_tasks() - {me}
    print(me.get_name(), me.cancelling(), me.uncancel(), me.get_coro(), me.get_stack(limit=2), others)
    me.print_stack()
    for each in others:
        with suppress(asyncio.CancelledError):
            await each


async def threads() -> int:
    started = time.monotonic()
    await asyncio.to_thread(time.sleep, 0.01)
    total: int = await asyncio.to_thread(sum, [1, 2, 3])
    loop = asyncio.get_running_loop()
    more = await loop.run_in_executor(None, functools.partial(max, 1, total))
    return more + int(time.monotonic() - started)


def in_background(func: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, asyncio.Task[T]]:
    @functools.wraps(func)
    def start(*args: P.args, **kwargs: P.kwargs) -> asyncio.Task[T]:
        return asyncio.create_task(func(*args, **kwargs))

    return start


@in_background
async def work(n: int, *, factor: int = 2) -> int:
    return n * factor


@asynccontextmanager
async def running(coro: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
    task = asyncio.create_task(coro, context=contextvars.copy_context())
    try:
        yield task
    finally:
        task.cancel()


class Tracked(asyncio.Task[T]):
    """A class of one's own."""

    def __init__(self, coro: Coroutine[Any, Any, T], *, loop: asyncio.AbstractEventLoop, name: str = "") -> None:
        super().__init__(coro, loop=loop, name=name)
        self.started = loop.time()


def factory(loop: asyncio.AbstractEventLoop, coro: Coroutine[Any, Any, T], **kwargs: Any) -> Tracked[T]:
    return Tracked(coro, loop=loop)


async def kinds(thing: object) -> str:
    if isinstance(thing, asyncio.Task):
        return thing.get_name()
    if isinstance(thing, asyncio.Future):
        return str(thing.done())
    if asyncio.isfuture(thing) or asyncio.iscoroutine(thing):
        return "awaitable"
    match thing:
        case asyncio.Handle():
            return str(thing.cancelled())
        case asyncio.Lock() | asyncio.Event():
            return "primitive"
    return "nothing" if asyncio.iscoroutinefunction(thing) else ""


async def main() -> None:
    token = request_id.set(1)
    async with running(number(4)) as task:
        print(await task)
    print(await work(2, factor=3))
    request_id.reset(token)
    future: asyncio.Future[int] = asyncio.Future()
    future.set_result(1)
    print(await future, await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(number(1), future.get_loop())))


asyncio.run(main())
