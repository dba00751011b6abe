"""wait(), wait_for(), shield(), as_completed(): waiting for several things, or not for ever."""

from __future__ import annotations

import asyncio
import functools
import inspect
from asyncio import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION
from collections.abc import AsyncIterator, Awaitable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

from hasten.aio.graph import future_add_to_awaited_by, future_discard_from_awaited_by
from hasten.aio.queues import Queue
from hasten.aio.spawning import ensure_future
from hasten.aio.timeouts import timeout as timeout_context
from hasten.core.registry import current_task

_T = TypeVar("_T")
_F = TypeVar("_F", bound="asyncio.Future[Any]")


def _release(waiter: Any, *_: Any) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def wait(
    fs: Iterable[_F], *, timeout: float | None = None, return_when: str = ALL_COMPLETED
) -> tuple[set[_F], set[_F]]:
    """Waits for tasks or futures; returns (done, pending). It raises nothing of theirs and cancels none.

    `timeout`: seconds at most (None: no limit). `return_when`: FIRST_COMPLETED, FIRST_EXCEPTION or ALL_COMPLETED.
    """
    if asyncio.isfuture(fs) or asyncio.iscoroutine(fs):
        raise TypeError(f"expect a list of futures, not {type(fs).__name__}: pass [it], or await it")
    if not fs:
        raise ValueError("Set of Tasks/Futures is empty.")
    if return_when not in (FIRST_COMPLETED, FIRST_EXCEPTION, ALL_COMPLETED):
        raise ValueError(
            f"Invalid return_when value: {return_when!r}: use FIRST_COMPLETED, FIRST_EXCEPTION or ALL_COMPLETED"
        )
    futures = set(fs)
    if any(asyncio.iscoroutine(f) for f in futures):
        raise TypeError("Passing coroutines is forbidden, use tasks explicitly: create_task() makes one of each.")
    loop = asyncio.get_running_loop()
    return await _wait(futures, timeout, return_when, loop)


async def _wait(futures: set[Any], timeout: float | None, return_when: str, loop: Any) -> tuple[set[Any], set[Any]]:
    waiter = loop.create_future()
    left = len(futures)

    def one_done(f: Any) -> None:
        nonlocal left
        left -= 1
        if (
            left <= 0
            or return_when == FIRST_COMPLETED
            or (return_when == FIRST_EXCEPTION and not f.cancelled() and f.exception() is not None)
        ):
            _release(waiter)

    me = current_task()
    timer = None if timeout is None else loop.call_later(timeout, _release, waiter)
    for f in futures:
        f.add_done_callback(one_done)
        future_add_to_awaited_by(f, me)
    try:
        await waiter
    finally:
        if timer is not None:
            timer.cancel()
        for f in futures:
            f.remove_done_callback(one_done)
            future_discard_from_awaited_by(f, me)
    done = {f for f in futures if f.done()}
    return done, futures - done


async def wait_for(fut: Awaitable[_T], timeout: float | None) -> _T:
    """Waits for an awaitable at most `timeout` seconds (None: no limit), then cancels it and raises TimeoutError.

    With a timeout of 0 or less it only looks whether a result is there.
    """
    if fut is not None and not asyncio.isfuture(fut) and not inspect.isawaitable(fut):
        raise TypeError(f"An asyncio.Future, a coroutine or an awaitable is required, not {fut!r}")
    if timeout is not None and timeout <= 0:
        fut = ensure_future(fut)
        if fut.done():
            return fut.result()
        await _cancel_and_wait(fut)
        try:
            return fut.result()
        except asyncio.CancelledError as exc:
            raise TimeoutError from exc
    async with timeout_context(timeout):
        return await fut


async def _cancel_and_wait(fut: Any) -> None:
    """Cancels a future and waits until it is done; being cancelled itself ends the wait."""
    waiter = asyncio.get_running_loop().create_future()
    release = functools.partial(_release, waiter)
    me = current_task()
    fut.add_done_callback(release)
    future_add_to_awaited_by(fut, me)
    try:
        fut.cancel()
        await waiter
    finally:
        fut.remove_done_callback(release)
        future_discard_from_awaited_by(fut, me)


class _AsCompleted(AsyncIterator["asyncio.Future[_T]"], Iterator[Coroutine[Any, Any, _T]]):
    """What as_completed() gives: an iterator and an asynchronous iterator."""

    def __init__(self, aws: Iterable[Awaitable[_T]], timeout: float | None) -> None:
        loop = asyncio.get_event_loop()
        self._me = _task_or_none()
        self._finished: Queue[Any] = Queue()  # None: the time is over
        self._timer: Any = None
        self._todo = {ensure_future(aw, loop=loop) for aw in set(aws)}
        self._left = len(self._todo)
        for f in self._todo:
            f.add_done_callback(self._on_done)
            future_add_to_awaited_by(f, self._me)
        if self._todo and timeout is not None:
            self._timer = loop.call_later(timeout, self._on_timeout)

    def __iter__(self) -> _AsCompleted[_T]:
        return self

    def __aiter__(self) -> _AsCompleted[_T]:
        return self

    def __next__(self) -> Coroutine[Any, Any, _T]:
        if not self._left:
            raise StopIteration
        self._left -= 1
        return self._wait_for_one(True)

    async def __anext__(self) -> asyncio.Future[_T]:
        if not self._left:
            raise StopAsyncIteration
        self._left -= 1
        return await self._wait_for_one(False)  # type: ignore[no-any-return]

    def _on_done(self, f: Any) -> None:
        if not self._todo:
            return  # the time was over first
        self._todo.remove(f)
        future_discard_from_awaited_by(f, self._me)
        self._finished.put_nowait(f)
        if not self._todo and self._timer is not None:
            self._timer.cancel()

    def _on_timeout(self) -> None:
        for f in self._todo:
            f.remove_done_callback(self._on_done)
            future_discard_from_awaited_by(f, self._me)
            self._finished.put_nowait(None)
        self._todo.clear()

    async def _wait_for_one(self, resolve: bool) -> Any:
        """The next future that is done, or with `resolve` its result."""
        try:
            f = await self._finished.get()
        except BaseException:
            self._left += 1
            raise
        if f is None:
            raise TimeoutError
        return f.result() if resolve else f


def _task_or_none() -> Any:
    return None if asyncio._get_running_loop() is None else current_task()


def as_completed(fs: Iterable[Awaitable[_T]], *, timeout: float | None = None) -> _AsCompleted[_T]:
    """Iterates over awaitables as they complete.

    `async for` gives the tasks and futures themselves, done; `for` gives coroutines, each of which returns the next
    result or raises the next exception. After `timeout` seconds (None: no limit) TimeoutError is raised instead.
    """
    if inspect.isawaitable(fs):
        raise TypeError(f"expects an iterable of awaitables, not {type(fs).__name__}")
    return _AsCompleted(fs, timeout)


def shield(arg: Awaitable[_T]) -> asyncio.Future[_T]:
    """Waits for an awaitable without cancelling it when the waiter is cancelled.

    Keep a reference to what is shielded where it must be awaited later.
    """
    inner = ensure_future(arg)
    if inner.done():
        return inner
    loop = inner.get_loop()
    outer = loop.create_future()
    me = _task_or_none()
    if me is not None:
        future_add_to_awaited_by(inner, me)

    def inner_done(inner: Any) -> None:
        if me is not None:
            future_discard_from_awaited_by(inner, me)
        if outer.cancelled():
            return
        if inner.cancelled():
            outer.cancel()
            return
        exc = inner.exception()
        if exc is not None:
            outer.set_exception(exc)
        else:
            outer.set_result(inner.result())

    def outer_done(outer: Any) -> None:
        if not inner.done():
            inner.remove_done_callback(inner_done)
            if me is not None:
                future_discard_from_awaited_by(inner, me)

    inner.add_done_callback(inner_done)
    outer.add_done_callback(outer_done)
    return outer
