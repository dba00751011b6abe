"""timeout(), timeout_at(): a deadline for a block of code.

At the deadline the task is cancelled, and at the block's end that cancellation is taken back and becomes TimeoutError;
a cancellation that others asked for stays one. `Task.cancelling()` tells the two apart: it counts requests.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError, current_task
from types import TracebackType
from typing import Any

CREATED, ACTIVE, EXPIRING, EXPIRED, FINISHED = "created", "active", "expiring", "expired", "finished"


class Timeout:
    """What timeout() and timeout_at() give: used once, as `async with timeout(1.5): ...`.

    Arguments:
        when: the deadline in seconds of `loop.time()`; none if None. One that has passed cancels at the first await.
    """

    _state: str
    _when: float | None
    _handle: asyncio.Handle | None  # what will call _on_timeout()
    _task: asyncio.Task[Any] | None
    _cancelling: int  # requests to cancel the task that were there before us

    def __init__(self, when: float | None) -> None:
        self._state = CREATED
        self._when = when
        self._handle = None
        self._task = None
        self._cancelling = 0

    def __repr__(self) -> str:
        if self._state != ACTIVE:
            return f"<Timeout [{self._state}]>"
        when = None if self._when is None else round(self._when, 3)
        return f"<Timeout [{self._state}] when={when}>"

    def when(self) -> float | None:
        """The deadline in seconds of `loop.time()`, or None."""
        return self._when

    def expired(self) -> bool:
        """Has the deadline passed before the block's end?"""
        return self._state == EXPIRING or self._state == EXPIRED

    def reschedule(self, when: float | None) -> None:
        """Sets another deadline, in seconds of `loop.time()`, or none. RuntimeError outside the block, or too late."""
        if self._state != ACTIVE:
            if self._state == CREATED:
                raise RuntimeError("Timeout has not been entered")
            raise RuntimeError(f"Cannot change state of {self._state} Timeout")
        self._when = when
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if when is None:
            return
        loop = asyncio.get_running_loop()
        if when <= loop.time():
            self._handle = loop.call_soon(self._on_timeout)
        else:
            self._handle = loop.call_at(when, self._on_timeout)

    async def __aenter__(self) -> Timeout:
        if self._state != CREATED:
            raise RuntimeError("Timeout has already been entered")
        task = current_task()
        if task is None:
            raise RuntimeError("Timeout should be used inside a task")
        self._state = ACTIVE
        self._task = task
        self._cancelling = task.cancelling()
        self.reschedule(self._when)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._state == ACTIVE:
            self._state = FINISHED
        elif self._state == EXPIRING:
            self._state = EXPIRED
            if self._uncancel() and exc is not None:
                if isinstance(exc, CancelledError):
                    raise TimeoutError from exc
                _explain(exc)
                if isinstance(exc, ExceptionGroup):
                    for each in exc.exceptions:
                        _explain(each)

    def _on_timeout(self) -> None:
        self._handle = None
        if self._task is not None:
            self._task.cancel()
        self._state = EXPIRING

    def _uncancel(self) -> bool:
        """Takes our request to cancel back. False if others have asked too since we began."""
        return self._task is not None and self._task.uncancel() <= self._cancelling


def _explain(exc: BaseException) -> None:
    """An exception raised while our cancellation was handled gets TimeoutError between the two in its context."""
    while exc.__context__ is not None:
        if isinstance(exc.__context__, CancelledError):
            late = TimeoutError()
            late.__context__ = late.__cause__ = exc.__context__
            exc.__context__ = late
            break
        exc = exc.__context__


def timeout(delay: float | None) -> Timeout:
    """A deadline `delay` seconds from now for an `async with` block (None: no deadline).

    The block is cancelled when the time is up, and TimeoutError is raised where it ends.
    """
    loop = asyncio.get_running_loop()
    return Timeout(None if delay is None else loop.time() + delay)


def timeout_at(when: float | None) -> Timeout:
    """The same with the deadline as a point in time, in seconds of `loop.time()` (None: no deadline)."""
    return Timeout(when)
