"""Collector: is told of each of many futures that is done, without a callback or a Handle of its own for each."""

from __future__ import annotations

import asyncio
import inspect
import operator
from contextvars import Context
from typing import Any

import cython

from hasten.aio import spawning
from hasten.aio.coroutines import await_it
from hasten.aio.edges import future_add_to_awaited_by, future_discard_from_awaited_by
from hasten.core import state
from hasten.core.future import Future
from hasten.core.scheduler import Scheduler
from hasten.core.task import Task
from hasten.kernel import deques, step


@cython.cclass
class Collector(Future):  # type: ignore[type-arg]
    """Has child_done(child) called for each child that was given to collect(), in the loop's next batch.

    It is a future so that it can stand where a waiting task would, and only that: its own result is not used.
    """

    def release(self, child: Any) -> int:
        """Takes collect() back."""
        if isinstance(child, Future):
            f = cython.cast(Future, child)
            if f.waiter is self:
                f.waiter = None
                f.collected = False
                return 0
        child.remove_done_callback(self._wakeup)
        return 0

    def conclude(self, exc: Any) -> int:
        """Ends it with what a child's methods gave or raised, unless these have completed it."""
        if self.status == state.PENDING:
            try:
                self.set_exception(exc)
            except Exception as refused:
                if self.status != state.PENDING:
                    raise
                self.set_exception(refused)
        return 0

    def shown_for(self, waiter: Any) -> int:
        """In the call graph, who waits for the children is `waiter`."""
        self._asyncio_awaited_by = None if waiter is None else {waiter}
        return 0


def all_different(items: Any) -> bool:
    """Is nothing in a list or tuple twice?"""
    return len(set(items)) == len(items)


def adopt(awaitable: Any, loop: Any) -> Any:
    """ensure_future(awaitable, loop=loop), in short where it is a coroutine for the loop that runs."""
    if step.is_native_coroutine(awaitable) and loop is not None and loop is step.running_loop():
        if isinstance(loop, Scheduler):
            return spawning.start(loop, awaitable, None, None)
    return spawning.ensure_future(awaitable, loop=loop)


def adopt_in(awaitable: Any, loop: Any, context: Context) -> Any:
    """Makes a task of a coroutine or another awaitable, in a copy of a context."""
    context = context.copy()
    coro = awaitable if asyncio.iscoroutine(awaitable) else await_it(awaitable)
    try:
        if loop is step.running_loop() and isinstance(loop, Scheduler):
            return spawning.start(loop, coro, None, context)
        return loop.create_task(coro, context=context)
    except BaseException:  # of a task factory: the error says it, a warning that nobody awaited it would not help
        coro.close()
        raise


def check_awaitable(awaitable: Any) -> int:
    """TypeError if it cannot be awaited."""
    if not step.is_native_coroutine(awaitable) and not inspect.isawaitable(awaitable):
        spawning.ensure_future(awaitable)  # which raises it
    return 0


def close(awaitable: Any) -> int:
    """Closes a coroutine that will not be started, so that nobody is warned that it was never awaited."""
    if asyncio.iscoroutine(awaitable):
        awaitable.close()
    return 0


def close_all(awaitables: Any) -> BaseException | None:
    """close() for each in a deque, which is empty then. The first exception that came of it, or None."""
    error: BaseException | None = None
    while deques.size(awaitables) != 0:
        awaitable = deques.shift(awaitables)
        try:
            close(awaitable)
        except BaseException as exc:
            if error is None:
                error = exc
    return error


def ends_the_loop(exc: object) -> bool:
    """Is it an exception that nobody but the caller of run() may handle?"""
    return step.is_instance(exc, KeyboardInterrupt) or step.is_instance(exc, SystemExit)


def check_limit(limit: Any) -> int:
    """How many at a time. TypeError or ValueError if it is no int of at least 1."""
    try:
        number = operator.index(limit)
    except TypeError:
        raise TypeError(f"limit must be an int (or None: no limit), not {limit!r}") from None
    if number < 1:
        raise ValueError(f"limit must be at least 1, not {number}")
    return number


def silence(child: Any) -> int:
    """Nobody else knows of this task: if it is lost while it is pending, nobody is to be told."""
    if isinstance(child, Task):
        cython.cast(Task, child).log_destroy_pending = False
    else:
        child._log_destroy_pending = False
    return 0


def pending(child: Any) -> bool:
    """Is it not done yet?"""
    if isinstance(child, Future):
        return cython.cast(Future, child).status == state.PENDING
    return not child.done()


def succeeded(child: Any) -> bool:
    """Is it done, with a result? False also of what is no future of ours."""
    if isinstance(child, Future):
        f = cython.cast(Future, child)
        return f.status == state.FINISHED and f.error is None
    return False


def chain(raised: BaseException, handled: BaseException | None) -> int:
    """What the interpreter does when `raised` is raised while `handled` is being handled."""
    if handled is None or handled is raised:
        return 0
    at = slow = handled
    turn = False
    while True:
        context = step.context_of(at)
        if context is None:
            break
        if context is raised:
            step.set_context(at, None)
            break
        at = context
        if turn:
            slow = step.context_of(slow)  # type: ignore[assignment]
            if slow is at:  # a circle that somebody has made
                break
        turn = not turn
    step.set_context(raised, handled)
    return 0


def is_ours(fut: object) -> bool:
    """Is it a future of hasten's? By type(), as `__class__` says asyncio.Future."""
    return issubclass(type(fut), Future)


def show_edge(fut: Any, waiter: Any) -> None:
    """Records that `waiter` waits for `fut`, where the interpreter's own tools look: in futures of its own."""
    if not is_ours(fut) and waiter is not None:
        future_add_to_awaited_by(fut, waiter)


def hide_edge(fut: Any, waiter: Any) -> None:
    """Takes back what show_edge() recorded."""
    if not is_ours(fut) and waiter is not None:
        future_discard_from_awaited_by(fut, waiter)


def current_task_or_none() -> Any:
    """The running task; None if there is none, or no loop."""
    return None if asyncio._get_running_loop() is None else asyncio.current_task()
