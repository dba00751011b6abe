"""shield(): an awaitable that is not cancelled together with who waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import cython

from hasten.core import outcomes, state
from hasten.core.future import Future
from hasten.kernel import functions, step
from hasten.primitives import many_futures, spawning
from hasten.primitives.many_futures import Collector

_T = TypeVar("_T")


@cython.cclass
class Shield(Collector):
    """The outer future: ends as the inner one does, and leaves that alone when it is cancelled itself."""

    inner: Any

    def child_done(self, child: Any) -> int:
        self.inner = None
        if self.status == state.CANCELLED:
            return 0
        result = None
        try:
            exc = None if outcomes.succeeded(child) or child.cancelled() else child.exception()
            if exc is None and not child.cancelled():
                result = child.result()
        except BaseException as raised:  # its methods are anybody's: who awaits it is told
            if step.ends_loop(raised):
                raise
            exc = raised
        if self.status != state.PENDING:
            return 0
        if exc is not None:
            self.conclude(exc)
        elif child.cancelled():
            self.do_cancel(None)
        else:
            self.finish(result)
        return 0

    def schedule(self) -> int:
        """Wake who waits for the outer one. If the inner one is not done, it need not tell any more."""
        if self.inner is not None:
            self.part()
        return Collector.schedule(self)

    def part(self) -> int:
        inner = self.inner
        self.inner = None
        if outcomes.pending(inner):
            self.release(inner)
        return 0


@functions.function
@cython.binding(True)
def shield(arg: Awaitable[_T]) -> asyncio.Future[_T]:
    """Wait for an awaitable without cancelling it when the waiter is cancelled.

    Keep a reference to what is shielded where it must be awaited later.

    Arguments:
        arg: a task or future; of a coroutine, a task is made.

    Raises:
        CancelledError: the waiter was cancelled, and what is shielded goes on; or that one was cancelled itself.
    """
    inner: Any = spawning.ensure_future(arg)
    if not outcomes.pending(inner):
        return inner  # type: ignore[no-any-return]
    outer = cython.cast(Shield, Shield.__new__(Shield))
    Future.__init__(outer, loop=inner.get_loop())
    outer.inner = inner
    outer.shown_for(many_futures.current_task_or_none())
    outer.collect(inner)
    return outer


step.pool(Shield, 64)
