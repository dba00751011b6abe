"""Coroutines that hasten's compiled functions need: real ones of Python's, which debuggers and inspect know."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar

_T = TypeVar("_T")


async def await_it(awaitable: Awaitable[_T]) -> _T:
    """Any awaitable as a coroutine."""
    return await awaitable


async def enter_by_acquire(lock: Any) -> None:
    """The beginning of `async with` for a lock whose class may have its own acquire()."""
    await lock.acquire()


async def wait_until_set(finished: Any, queue: Any) -> None:
    """Queue.join()."""
    if queue._unfinished_tasks > 0:
        await finished.wait()


wait_until_set.__name__, wait_until_set.__qualname__ = "join", "Queue.join"  # whose coroutine it is
