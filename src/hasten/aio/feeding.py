"""What as_completed() needs real coroutines for: reading an asynchronous iterable, waiting for what it called off."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import AsyncIterator
from typing import Any

from hasten.aio.waiting import wait


async def feed(arrivals: Any, source: AsyncIterator[Any]) -> None:
    """Hands on what an asynchronous iterator gives, whenever there is room for one more."""
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


async def close(completed: Any) -> None:
    """Calls off what runs on behalf of as_completed(), and waits for its end, whatever that is."""
    tasks = completed._abandon()
    if tasks:
        await wait(tasks)
        for task in tasks:
            if not task.cancelled():
                task.exception()  # nobody else will look at it
