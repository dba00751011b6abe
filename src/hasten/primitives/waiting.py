"""wait(), wait_for(): waiting for several things, or not for ever."""

from __future__ import annotations

import asyncio
import inspect
from asyncio import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, CancelledError, current_task
from collections.abc import Awaitable, Coroutine, Iterable
from typing import Any, TypeVar

import cython

from hasten.core import advice, native, outcomes, state
from hasten.core.future import Future
from hasten.core.native import NativeCoroutine
from hasten.kernel import functions, step
from hasten.primitives import many_futures, nested, spawning, timeouts
from hasten.primitives.many_futures import Collector
from hasten.primitives.nested import Driver
from hasten.primitives.timeouts import Timeout

_T = TypeVar("_T")
_F = TypeVar("_F", bound="asyncio.Future[Any]")

if not cython.compiled:
    FIRST_DONE, FIRST_FAILED, ALL_DONE = 0, 1, 2


def mode_of(return_when: object) -> int:
    if return_when == ALL_COMPLETED:
        return ALL_DONE
    if return_when == FIRST_EXCEPTION:
        return FIRST_FAILED
    if return_when == FIRST_COMPLETED:
        return FIRST_DONE
    raise ValueError(
        f"Invalid return_when value: {return_when!r}: use FIRST_COMPLETED, FIRST_EXCEPTION or ALL_COMPLETED"
    )


@cython.cclass
class Countdown(Collector):
    """A collector that finishes `target` when enough of the children are done.

    mode FIRST_DONE: one is; FIRST_FAILED: one has failed, or all are done; ALL_DONE: all are done.
    """

    left: int
    mode: int
    target: Future[Any] | None
    timer: Any
    over: list[Any] | None
    error: BaseException | None

    def child_done(self, child: Any) -> int:
        self.left -= 1
        enough = self.left <= 0 or self.mode == FIRST_DONE
        if self.mode == FIRST_FAILED and not enough and not outcomes.succeeded(child):
            try:
                enough = not child.cancelled() and child.exception() is not None
            except BaseException as exc:  # its methods are anybody's: who waits is told
                if step.ends_loop(exc):
                    raise
                self.error = exc
                enough = True
        if enough:
            self.release_target()
        return 0

    def catch_up(self) -> None:
        """Run as the callback for all that were done from the start."""
        over, self.over = self.over, None
        for child in over or ():
            self.child_done(child)

    def release_target(self) -> int:
        timer, target = self.timer, self.target
        self.timer = None
        if target is not None:
            outcomes.set_unless_done(target)
        if timer is not None:
            timer.cancel()
        return 0


# ---- wait ---------------------------------------------------------------------------------


@cython.cclass
class Wait(NativeCoroutine):
    """The coroutine that wait() gives."""

    given: Any
    timeout: float | None
    return_when: str
    futures: set[Any]
    countdown: Countdown | None
    waiter: Any
    foreign: bool
    __name__ = __qualname__ = "wait"

    def start(self) -> int:
        try:
            kind = self.begin()
        except BaseException as exc:
            self.unhook()
            return self.fail(exc)
        return kind

    def check(self) -> int:
        """Raise TypeError or ValueError for what cannot be waited for."""
        given = self.given
        if type(given) is not list and type(given) is not set and type(given) is not tuple:
            if asyncio.isfuture(given) or asyncio.iscoroutine(given):
                raise TypeError(f"expect a list of futures, not {type(given).__name__}: pass [it], or await it")
        if not given:
            raise ValueError("Set of Tasks/Futures is empty.")
        return 0

    def begin(self) -> int:
        self.check()
        mode = mode_of(self.return_when)
        fs = set(self.given)
        for f in fs:
            if not step.is_instance(f, Future):
                if asyncio.iscoroutine(f):
                    raise TypeError(
                        "Passing coroutines is forbidden, use tasks explicitly: create_task() makes one of each."
                    )
                if not hasattr(f, "add_done_callback"):  # before anything is hooked
                    raise AttributeError(
                        f"{type(f).__name__!r} object has no attribute 'add_done_callback': wait() takes futures and "
                        f"tasks, got {f!r}"
                    )
        loop = native.running()
        self.futures = fs
        self.given = None
        self.waiter = current_task()
        c = Countdown.__new__(Countdown)
        c.left = len(fs)
        c.mode = mode
        c.target = native.new_waiter(loop)
        c.shown_for(self.waiter)
        self.countdown = c
        if self.timeout is not None:
            c.timer = loop.call_later(self.timeout, outcomes.wake, c.target)
        self.hook(c, loop)
        return self.suspend(c.target)

    def hook(self, c: Countdown, loop: Any) -> int:
        """Have each future tell the countdown. One callback serves all that are done already."""
        for f in self.futures:
            if step.is_instance(f, Future):
                if cython.cast(Future, f).status == state.PENDING:
                    c.collect(f)
                    continue
            elif not f.done():
                f.add_done_callback(c._wakeup)
                many_futures.show_edge(f, self.waiter)
                self.foreign = True
                continue
            if c.over is None:
                c.over = []
            c.over.append(f)
        if c.over is not None:
            loop.call_soon(c.catch_up)
        return 0

    def unhook(self) -> BaseException | None:
        """Let go of all; return what one of them raised then, or when it was asked how it ended, or None."""
        c, waiter = self.countdown, self.waiter
        if c is None:
            return None
        self.countdown = self.waiter = None
        c.target = c.over = None
        c.release_target()
        error = c.error
        for f in self.futures:
            try:
                if c.left > 0:
                    c.release(f)
                if self.foreign:
                    many_futures.hide_edge(f, waiter)
            except BaseException as exc:
                error = exc
        c.shown_for(None)
        return error

    def woken(self) -> int:
        c = cython.cast(Countdown, self.countdown)
        left = c.left
        error = self.unhook()
        if error is not None:
            return self.fail(error)
        fs = self.futures
        if left <= 0:
            return self.give((fs, set()))
        done = {f for f in fs if f.done()}
        return self.give((done, fs - done))

    def failed(self, exc: BaseException) -> int:
        self.unhook()
        return self.fail(exc)


@functions.coroutine_function
@cython.binding(True)
def wait(
    fs: Iterable[_F], *, timeout: float | None = None, return_when: str = ALL_COMPLETED
) -> Coroutine[Any, Any, tuple[set[_F], set[_F]]]:
    """Wait for tasks or futures; return two sets, (done, pending). It raises nothing of theirs and cancels none.

    Arguments:
        fs: tasks and futures, of one loop.
        timeout: seconds at most (None: no limit). No exception is raised when they are over.
        return_when: FIRST_COMPLETED, FIRST_EXCEPTION or ALL_COMPLETED.

    Raises:
        TypeError: coroutines are given, or a single task.
        ValueError: there is nothing to wait for, or `return_when` is none of the three.
    """
    w = cython.cast(Wait, Wait.__new__(Wait))
    w.given = fs
    w.timeout = timeout
    w.return_when = return_when
    return w  # type: ignore[return-value]


# ---- wait_for -----------------------------------------------------------------------------


@cython.cclass
class WaitFor(Driver):
    """The coroutine that wait_for() gives: it runs what it was given inside itself, in the caller's task."""

    awaitable: Any
    timeout: float | None
    limit: Timeout | None
    ended: Any
    countdown: Countdown | None
    __name__ = __qualname__ = "wait_for"

    def start(self) -> int:
        try:
            kind = self.begin()
        except BaseException as exc:
            if self.countdown is not None:
                self.let_go()
            return self.fail(exc)
        if self.limit is None:
            return kind
        # from here, since the frames between this and the next wait_for() inside are what bounds how deep they go
        return self.go(self.drive() if kind == step.YIELDED else kind)

    def begin(self) -> int:
        """Get ready to run the inner one, or do all that is to be done if the time is up from the start."""
        awaitable = self.awaitable
        if not step.is_native_coroutine(awaitable) and not isinstance(awaitable, NativeCoroutine):
            if awaitable is not None and not asyncio.isfuture(awaitable) and not inspect.isawaitable(awaitable):
                text = f"An asyncio.Future, a coroutine or an awaitable is required, not {awaitable!r}"
                raise advice.add(TypeError(text), advice.NOT_A_COROUTINE)
        if self.timeout is not None and self.timeout <= 0:
            return self.at_once()
        limit = timeouts.limit(self.timeout)
        limit.enter()
        self.limit = limit
        self.awaitable = None
        self.stage = step.SUSPENDED
        try:
            self.inner = nested.iterator_of(awaitable)
        except BaseException as exc:
            self.value = exc
            return step.RAISED
        return step.YIELDED

    def go(self, kind: int) -> int:
        """Go on after the inner one ran."""
        value = self.value
        if kind == step.YIELDED:
            # to tell whether who sends next has waited for it
            self.future = cython.cast(Future, value) if step.is_instance(value, Future) else None
            return kind
        limit = self.limit
        self.inner = self.limit = self.future = None
        if kind == step.RETURNED:
            limit.leave(None)  # type: ignore[union-attr]
            return self.give(value)
        late = limit.leave(value)  # type: ignore[union-attr]
        return self.fail(value if late is None else late)

    def resume(self) -> int:
        if self.inner is not None:
            f = self.future
            if f is not None and f.status == state.PENDING:
                # a second task runs it: that one is told, and the first goes on waiting
                self.value = RuntimeError("coroutine is being awaited already")
                return step.RAISED
            return self.go(self.drive())
        return NativeCoroutine.resume(self)

    def resume_throw(self, exc: BaseException) -> int:
        if self.inner is not None:
            return self.go(self.drive_throw(exc))
        return NativeCoroutine.resume_throw(self, exc)

    def shut(self) -> int:
        """End it where it is suspended, after ending what runs inside."""
        if self.inner is None:
            return NativeCoroutine.shut(self)
        inner, limit = self.inner, self.limit
        self.inner = self.limit = self.future = None
        self.stage = step.ENDED
        try:
            inner.close()
        except BaseException as exc:
            late = limit.leave(exc)  # type: ignore[union-attr]
            return self.fail(exc if late is None else late)
        limit.leave(None)  # type: ignore[union-attr]
        self.value = None
        return step.RETURNED

    # ---- a time that is up from the start --------------------------------------------------

    def at_once(self) -> int:
        """Look whether a result is there; else cancel, and wait until that is done."""
        fut: Any = spawning.ensure_future(self.awaitable)
        self.awaitable = None
        if fut.done():
            return self.give(fut.result())
        loop = native.running()
        c = Countdown.__new__(Countdown)
        c.left = 1
        c.target = native.new_waiter(loop)
        task = current_task()
        c.shown_for(task)
        c.collect(fut)
        many_futures.show_edge(fut, task)
        self.countdown = c
        self.ended = fut
        # Not waiting for the future itself: being cancelled ends the wait.
        fut.cancel()
        return self.suspend(c.target)

    def let_go(self) -> Any:
        fut, c = self.ended, self.countdown
        self.ended = self.countdown = None
        if c is None:  # it was never suspended
            return fut
        c.release(fut)
        many_futures.hide_edge(fut, current_task())
        return fut

    def woken(self) -> int:
        fut = self.let_go()
        try:
            value = fut.result()
        except CancelledError as exc:
            late = TimeoutError()
            late.__cause__ = late.__context__ = exc
            return self.fail(late)
        except BaseException as exc:
            return self.fail(exc)
        return self.give(value)

    def failed(self, exc: BaseException) -> int:
        self.let_go()
        return self.fail(exc)


@functions.coroutine_function
@cython.binding(True)
def wait_for(fut: Awaitable[_T], timeout: float | None) -> Coroutine[Any, Any, _T]:
    """Wait for an awaitable at most `timeout` seconds, then cancel it; return its result.

    Arguments:
        fut: a coroutine, task, future or another awaitable.
        timeout: seconds (None: no limit); with 0 or less, only look whether a result is there.

    Raises:
        TimeoutError: the time was up.
    """
    w = cython.cast(WaitFor, WaitFor.__new__(WaitFor))
    w.awaitable = fut
    w.timeout = timeout
    return w  # type: ignore[return-value]


for _cls in (Wait, WaitFor):
    functions.coroutine_class(_cls, 64)
