"""sleep(): a native awaitable, without a Python frame of its own."""

from __future__ import annotations

import asyncio
import collections.abc
import warnings
from collections.abc import Coroutine
from types import CodeType, CoroutineType, FrameType
from typing import TYPE_CHECKING, Any, TypeVar, overload

import cython

from hasten.core import future as futures
from hasten.core import handle, outcomes, state
from hasten.core.future import Future
from hasten.core.handle import TimerHandle
from hasten.core.scheduler import Scheduler
from hasten.kernel import codes, functions, step
from hasten.kernel.step import Awaitable

_T = TypeVar("_T")

if not cython.compiled:
    PASSED, TIMED = 1, 3


@cython.cclass
class Sleep(Awaitable):
    """The coroutine that sleep() gives.

    Its stages are FRESH: nobody awaits it yet; PASSED: it gave way once; TIMED: it waits for its timer; ENDED.
    """

    delay: Any
    result: Any
    future: Future[Any] | None
    timer: TimerHandle | None
    foreign_timer: Any
    __name__ = __qualname__ = "sleep"
    if not cython.compiled:

        def __getattr__(self, name: str) -> Any:
            if name == "__qualname__":  # only the class has it
                return type(self).__qualname__
            raise AttributeError(f"'coroutine' object has no attribute {name!r}")

    def resume(self) -> int:
        if self.stage == step.FRESH:
            return self.start()
        if self.stage == PASSED:
            return self.give()
        if self.stage == TIMED:
            f = self.future
            if f.status == state.PENDING:  # type: ignore[union-attr]
                # a second task awaits it: that one is told, and the first goes on waiting
                self.value = RuntimeError("coroutine is being awaited already")
                return step.RAISED
            self.stage = step.ENDED
            self.drop_timer()
            self.future = None
            if f.status == state.FINISHED and f.error is None:  # type: ignore[union-attr]
                return self.give()
            return self.fail(f.take_failure())  # type: ignore[union-attr]
        return self.fail(RuntimeError("cannot reuse already awaited coroutine"))

    def start(self) -> int:
        """Do what the first send asks for."""
        delay = self.delay
        try:
            over = delay <= 0
            seconds = 0.0 if over else float(delay)
        except Exception as exc:
            return self.fail(exc)
        if over:
            self.stage = PASSED
            self.value = None
            return step.YIELDED
        if seconds != seconds:  # NaN, without a look for math.isnan at each call
            return self.fail(ValueError("Invalid delay: NaN (not a number)"))
        running = step.running_loop()
        if isinstance(running, Scheduler):
            return self.start_timer(running, seconds)
        return self.start_elsewhere(seconds)

    def start_timer(self, running: Any, seconds: float) -> int:
        loop = cython.cast(Scheduler, running)
        if loop.debug or loop.odd_clock():
            return self.start_elsewhere(seconds)
        self.future = futures.new_future(loop, loop._ready)
        when = loop._poller.now() + seconds
        self.timer = handle.post_at(loop, loop._timers, when, outcomes.wake, (self.future,), None)
        return self.suspend()

    def start_elsewhere(self, seconds: float) -> int:
        """Start on a loop that is not hasten's, or in debug mode: by the loop's public methods."""
        try:
            loop = asyncio.get_running_loop()
            self.future = Future(loop=loop)
            self.foreign_timer = loop.call_later(seconds, outcomes.wake, self.future)
        except Exception as exc:
            return self.fail(exc)
        return self.suspend()

    def give(self) -> int:
        """End by returning; the object may serve the next sleep()."""
        self.stage = step.ENDED
        self.value = self.result
        self.delay = self.result = None
        step.keep_spare(step.SPARE_SLEEP, self)
        return step.RETURNED

    def suspend(self) -> int:
        fut = self.future
        self.stage = TIMED
        fut.blocking = True  # type: ignore[union-attr]
        self.value = fut
        return step.YIELDED

    def drop_timer(self) -> int:
        timer, foreign = self.timer, self.foreign_timer
        self.timer = self.foreign_timer = None
        if timer is not None:
            timer.cancel()
        elif foreign is not None:
            foreign.cancel()
        return 0

    def resume_throw(self, exc: BaseException) -> int:
        return self.fail(RuntimeError("cannot reuse already awaited coroutine") if self.stage == step.ENDED else exc)

    def fresh(self) -> bool:
        return self.stage == step.FRESH

    def fail(self, exc: BaseException) -> int:
        self.shut()
        self.value = exc
        return step.RAISED

    def shut(self) -> int:
        """End it: cancel the timer."""
        self.stage = step.ENDED
        self.drop_timer()
        self.future = self.value = None
        return step.RETURNED

    # ---- what shows it --------------------------------------------------------------------

    @property
    def cr_await(self) -> Any:
        """The object that it waits for, or None."""
        return self.future

    @property
    def cr_frame(self) -> FrameType | None:
        """A frame to look at (nothing runs in it), until it has ended."""
        return None if self.stage == step.ENDED else codes.frame_of(self)

    @property
    def cr_code(self) -> CodeType:
        """The code of sleep()."""
        return codes.coroutine_code(self)

    @property
    def cr_origin(self) -> None:
        """None: where it was made is not recorded."""
        return None

    @property
    def cr_running(self) -> bool:
        """True while it runs."""
        return bool(self.running)

    @property
    def cr_suspended(self) -> bool:
        """True while it is suspended."""
        return (self.stage == PASSED or self.stage == TIMED) and not self.running

    @property
    def cr_state(self) -> str:
        """The state, as inspect.getcoroutinestate() names it."""
        return codes.state(self.stage, self.running)

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("cannot pickle 'coroutine' object")

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # inspect.iscoroutine() holds
        return CoroutineType

    def __repr__(self) -> str:
        return f"<coroutine object sleep at {id(self):#x}>"

    def __del__(self) -> None:
        if self.stage == step.FRESH:
            if warnings is None:  # the interpreter has taken its modules apart
                return
            warnings.warn("coroutine 'sleep' was never awaited", RuntimeWarning, stacklevel=1, source=self)
        elif self.stage != step.ENDED:
            self.end_it()


functions.coroutine_class(Sleep, 256)
# asyncio.iscoroutine() goes by this; so sleep() can be given to create_task(), gather(), wait_for()...
collections.abc.Coroutine.register(Sleep)


def new_sleep() -> Sleep:
    spare = step.take_spare(step.SPARE_SLEEP)
    return cython.cast(Sleep, Sleep.__new__(Sleep) if spare is None else spare)


if TYPE_CHECKING:

    @overload
    def sleep(delay: float) -> Coroutine[Any, Any, None]: ...
    @overload
    def sleep(delay: float, result: _T) -> Coroutine[Any, Any, _T]: ...


@functions.coroutine_function
@cython.binding(True)
def sleep(delay: float, result: Any = None) -> Any:
    """Return a coroutine that ends after `delay` seconds (never earlier) and returns `result`.

    With a delay of 0 or less it gives way once to everything else that is ready.
    Awaiting it raises ValueError for NaN and TypeError for what is not a number.
    """
    s = new_sleep()
    s.delay = delay
    s.result = result
    return s
