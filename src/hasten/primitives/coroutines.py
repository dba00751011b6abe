"""Coroutines that hasten's compiled functions need: real ones of Python's, which debuggers and inspect know."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

_T = TypeVar("_T")


async def await_it(awaitable: Awaitable[_T]) -> _T:
    """Await any awaitable: makes a coroutine of it."""
    return await awaitable


async def enter_by_acquire(lock: Any) -> None:
    """Begin `async with` for a lock whose class may have its own acquire()."""
    await lock.acquire()


async def wait_until_set(finished: Any, queue: Any) -> None:
    """Do the work of Queue.join()."""
    if queue._unfinished_tasks > 0:
        await finished.wait()


wait_until_set.__name__, wait_until_set.__qualname__ = "join", "Queue.join"  # whose coroutine it is


# ---- as_completed() ---------------------------------------------------------------------


async def feed(arrivals: Any, source: AsyncIterator[Any]) -> None:
    """Pass on what an asynchronous iterator yields, whenever there is room for one more."""
    error: BaseException | None = None
    try:
        while True:
            await arrivals.room()
            try:
                item = await anext(source)
            except StopAsyncIteration:
                break
            if not arrivals.accept(item):
                break
    except (Exception, CancelledError) as exc:
        error = exc
    finally:
        arrivals.source_ended(error)
        error = None
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()


async def close_completed(completed: Any, wait: Callable[..., Any]) -> None:
    """Call off what runs on behalf of as_completed(), and wait for its end, whatever that is."""
    tasks = completed._abandon()
    if tasks:
        await wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.exception()  # nobody else will look at it


close_completed.__name__, close_completed.__qualname__ = "aclose", "as_completed.aclose"
