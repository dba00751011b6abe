"""Collector: is told of each of many futures that is done, without a callback or a Handle of its own for each."""

from __future__ import annotations

import asyncio
import operator
from typing import Any

import cython

from hasten.core import state
from hasten.core.future import Future
from hasten.core.task import Task
from hasten.kernel import step
from hasten.primitives.awaited_by import future_add_to_awaited_by, future_discard_from_awaited_by


@cython.cclass
class Collector(Future):  # type: ignore[type-arg]
    """A future whose child_done(child) is called for each child given to collect(), in the loop's next batch.

    It is a future so that it can stand where a waiting task would, and only that: its own result is not used.
    """

    def release(self, child: Any) -> int:
        """Take collect() back."""
        if step.is_instance(child, Future):
            f = cython.cast(Future, child)
            if f.waiter is self:
                f.waiter = None
                f.collected = False
                return 0
        child.remove_done_callback(self._wakeup)
        return 0

    def conclude(self, exc: Any) -> int:
        """End it with what a child's methods returned or raised, unless these have completed it."""
        try:
            self.fail(exc)
        except Exception as refused:
            if self.status != state.PENDING:
                raise
            self.fail(refused)
        return 0

    def shown_for(self, waiter: Any) -> int:
        """Show `waiter` as the one who waits for the children, in the call graph."""
        self._asyncio_awaited_by = None if waiter is None else {waiter}
        return 0


def all_different(items: Any) -> bool:
    """True if nothing is twice in a list or tuple."""
    return len(set(items)) == len(items)


def key_of(child: Any, by_id: dict[int, Any]) -> Any:
    """Return a child's key in a dict by id(), or None. Needs no memory: who tells of a child does so once only.

    The values are the children, or tuples that begin with one.
    """
    try:
        key: Any = id(child)
        return key if key in by_id else None
    except MemoryError:
        for key, each in by_id.items():
            if each is child or (type(each) is tuple and each[0] is child):
                return key
    return None


def check_limit(limit: Any) -> int:
    """Return how many at a time. Raises TypeError or ValueError if it is no int of at least 1."""
    try:
        number = operator.index(limit)
    except TypeError:
        raise TypeError(f"limit must be an int (or None: no limit), not {limit!r}") from None
    if number < 1:
        raise ValueError(f"limit must be at least 1, not {number}")
    return number


def silence(child: Any) -> int:
    """Report nothing if this task is lost while it is pending: nobody else knows of it."""
    if step.is_instance(child, Task):
        cython.cast(Task, child).log_destroy_pending = False
    else:
        child._log_destroy_pending = False
    return 0


def show_edge(fut: Any, waiter: Any) -> None:
    """Record that `waiter` waits for `fut`, where the interpreter's own tools look: in futures of its own."""
    if not step.is_instance(fut, Future) and waiter is not None:
        future_add_to_awaited_by(fut, waiter)


def hide_edge(fut: Any, waiter: Any) -> None:
    """Take back what show_edge() recorded."""
    if not step.is_instance(fut, Future) and waiter is not None:
        future_discard_from_awaited_by(fut, waiter)


def current_task_or_none() -> Any:
    """Return the running task; None if there is none, or no loop."""
    return None if asyncio._get_running_loop() is None else asyncio.current_task()
