"""timeout(), timeout_at(): a deadline for a block of code.

At the deadline the task is cancelled, and at the block's end that cancellation is taken back and becomes TimeoutError;
a cancellation that others asked for stays one. `Task.cancelling()` tells the two apart: it counts requests.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError, current_task
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

import cython

from hasten.core import handle as handles
from hasten.core import native, ready
from hasten.core.handle import TimerHandle
from hasten.core.native import NativeCoroutine
from hasten.core.scheduler import Scheduler
from hasten.core.task import Task
from hasten.kernel import functions, step
from hasten.kernel.step import Step

if not cython.compiled:
    CREATED, ACTIVE, EXPIRING, EXPIRED, FINISHED = 0, 1, 2, 3, 4
_STATES = ("created", "active", "expiring", "expired", "finished")


@cython.binding(True)
@cython.cclass
class Timeout:
    """What timeout() and timeout_at() give: used once, as `async with timeout(1.5): ...`.

    Arguments:
        when: the deadline in seconds of `loop.time()`; none if None. One that has passed cancels at the first await.
    """

    state: int
    _when: float | None
    _handle: Any
    _task: Any
    _cancelling: int

    def __init__(self, when: float | None) -> None:
        self._when = when

    def __dealloc__(self) -> None:
        step.drop_attributes(self)

    def __repr__(self) -> str:
        if self.state != ACTIVE:
            return f"<Timeout [{_STATES[self.state]}]>"
        when = None if self._when is None else round(self._when, 3)
        return f"<Timeout [{_STATES[self.state]}] when={when}>"

    def when(self) -> float | None:
        """Return the deadline in seconds of `loop.time()`, or None."""
        return self._when

    def expired(self) -> bool:
        """True if the deadline passed before the block's end."""
        return self.state == EXPIRING or self.state == EXPIRED

    def reschedule(self, when: float | None) -> None:
        """Set another deadline, in seconds of `loop.time()`, or none. RuntimeError outside the block, or too late."""
        if self.state != ACTIVE:
            if self.state == CREATED:
                raise RuntimeError("Timeout has not been entered")
            raise RuntimeError(f"Cannot change state of {_STATES[self.state]} Timeout")
        self._when = when
        self.disarm()
        if when is not None:
            self.arm(when)

    def __aenter__(self) -> Coroutine[Any, Any, Timeout]:
        e = cython.cast(Entering, Entering.__new__(Entering))
        e.timeout = self
        return e  # type: ignore[return-value]

    def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> Coroutine[Any, Any, None]:
        raised = self.leave(exc)
        if raised is None:
            return native.nothing  # type: ignore[return-value]
        r = cython.cast(Raising, Raising.__new__(Raising))
        r.exception = raised
        return r  # type: ignore[return-value]

    def _on_timeout(self) -> None:
        self.expire()

    # ---- what wait_for() uses too ---------------------------------------------------------

    def enter(self) -> int:
        """Begin the block. Raises RuntimeError outside a task, or for the second time."""
        if self.state != CREATED:
            raise RuntimeError("Timeout has already been entered")
        task = current_task()
        if task is None:
            raise RuntimeError("Timeout should be used inside a task")
        self.state = ACTIVE
        self._task = task
        if type(task) is Task:
            self._cancelling = cython.cast(Task, task)._num_cancels_requested
        else:
            self._cancelling = task.cancelling()
        if type(self) is not Timeout:
            self.reschedule(self._when)  # a subclass may have its own
        elif self._when is not None:
            self.arm(self._when)
        return 0

    def leave(self, exc: BaseException | None) -> BaseException | None:
        """End the block, which `exc` leaves; return what is to be raised in its place, or None."""
        self.disarm()
        if self.state == ACTIVE:
            self.state = FINISHED
        elif self.state == EXPIRING:
            self.state = EXPIRED
            if self.uncancel() and exc is not None:
                if step.is_instance(exc, CancelledError):
                    late = TimeoutError()
                    late.__cause__ = late.__context__ = exc
                    return late
                _explain(exc)
                if step.is_instance(exc, ExceptionGroup):
                    for each in exc.exceptions:
                        if step.is_instance(each, BaseException):
                            _explain(each)
        return None

    def arm(self, when: Any) -> int:
        """Set the timer for the deadline."""
        running = step.running_loop()
        if isinstance(running, Scheduler):
            loop = cython.cast(Scheduler, running)
            seconds = float(when)
            if not loop.debug and seconds - seconds == 0.0:  # neither NaN nor infinite
                return self.arm_here(loop, seconds)
        other = asyncio.get_running_loop()
        if when <= other.time():
            self._handle = other.call_soon(self._on_timeout)
        else:
            self._handle = other.call_at(when, self._on_timeout)
        return 0

    def arm_here(self, loop: Scheduler, when: float) -> int:
        """Set the timer on a loop of hasten's, where it needs no callback, arguments and context."""
        timer = Deadline.__new__(Deadline)
        timer._loop = loop
        timer.due = when
        timer.owner = self
        self._handle = timer
        if when <= loop.now():
            loop._ready.push(timer, ready.HANDLE)
        else:
            timer._scheduled = True
            timer.timers = loop._timers
            loop._timers.push(timer, when)
        return 0

    def disarm(self) -> int:
        handle = self._handle
        if handle is not None:
            self._handle = None
            if type(handle) is Deadline:
                handles.disarm(handle)
                cython.cast(Deadline, handle).owner = None
            else:
                handle.cancel()
        return 0

    def expire(self) -> int:
        """Cancel the task: the deadline has come."""
        self._handle = None
        if self._task is not None:
            self._task.cancel()
        self.state = EXPIRING
        return 0

    def uncancel(self) -> bool:
        """Take back the timeout's request to cancel; return False if others have asked too since it began."""
        task = self._task
        return task is not None and task.uncancel() <= self._cancelling


step.lazy_attributes(Timeout)


@cython.cclass
class Deadline(TimerHandle):
    """The timer of a Timeout."""

    owner: Timeout | None

    def run(self, st: Step) -> int:
        owner = self.owner
        if self._cancelled or owner is None:
            return 0
        self.owner = None
        try:
            if type(owner) is Timeout:
                owner.expire()
            else:
                owner._on_timeout()
        except BaseException as exc:
            self._callback = owner._on_timeout
            self.args = ()
            self.failed(exc)
        return 0


@cython.cclass
class Entering(NativeCoroutine):
    """The beginning of `async with timeout(...)`."""

    timeout: Timeout
    __name__ = "__aenter__"
    __qualname__ = "Timeout.__aenter__"

    def start(self) -> int:
        timeout = self.timeout
        try:
            timeout.enter()
        except BaseException as exc:
            return self.fail(exc)
        return self.give(timeout)


@cython.cclass
class Raising(NativeCoroutine):
    """The end of `async with timeout(...)` with an exception."""

    exception: BaseException
    __name__ = "__aexit__"
    __qualname__ = "Timeout.__aexit__"

    def start(self) -> int:
        return self.fail(self.exception)


def _explain(exc: BaseException) -> None:
    """Put TimeoutError into the context of an exception that was raised while our cancellation was handled."""
    slow, turn = exc, False
    while True:
        context = step.context_of(exc)
        if context is None:
            break
        if step.is_instance(context, CancelledError):
            late = TimeoutError()
            late.__context__ = late.__cause__ = context
            step.set_context(exc, late)
            break
        exc = context
        if turn:
            slow = step.context_of(slow)  # type: ignore[assignment]
            if slow is exc:  # a circle that somebody has made
                break
        turn = not turn


def deadline(delay: Any) -> Any:
    """Return the time `delay` seconds from now on the running loop's clock."""
    running = step.running_loop()
    if isinstance(running, Scheduler):
        return cython.cast(Scheduler, running).now() + delay
    return asyncio.get_running_loop().time() + delay


def limit(delay: Any) -> Timeout:
    t = Timeout.__new__(Timeout)
    t._when = None if delay is None else deadline(delay)
    return t


@functions.function
@cython.binding(True)
def timeout(delay: float | None) -> Timeout:
    """Set a deadline `delay` seconds from now for an `async with` block (None: no deadline).

    The block is cancelled when the time is up, and TimeoutError is raised where it ends.
    """
    if delay is None:
        native.running()
    return limit(delay)


@functions.function
@cython.binding(True)
def timeout_at(when: float | None) -> Timeout:
    """Do as timeout(), with the deadline as a point in time.

    Arguments:
        when: in seconds of `loop.time()` (None: no deadline).
    """
    return Timeout(when)


for _cls in (Entering, Raising):
    functions.coroutine_class(_cls, 64)
step.pool(Timeout, 64)
step.pool(Deadline, 256)
functions.publish(Timeout, "(when)", "__aenter__", "__aexit__")
functions.share(Timeout, asyncio.Timeout)
