"""gather(): many awaitables, one list of results."""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from typing import Any

import cython

from hasten.aio import spawning
from hasten.core import state
from hasten.core.future import Future


@cython.cclass
class GatheringFuture(Future):
    """What gather() gives: cancelling it cancels the children that are not done."""

    children: list[Any]
    left: int
    return_exceptions: bool
    cancel_requested: bool
    if not cython.compiled:
        left = 0
        return_exceptions = cancel_requested = False

    def do_cancel(self, msg: Any) -> bool:
        if self.status != state.PENDING:
            return False
        any_cancelled = False
        for child in self.children:
            if child.cancel(msg=msg):
                any_cancelled = True
        if any_cancelled:
            # if every child were to survive it, the gather still has to raise CancelledError
            self.cancel_requested = True
        return any_cancelled

    def child_done(self, child: Any) -> int:
        self.left -= 1
        if isinstance(child, Future):
            f = cython.cast(Future, child)
            if self.status == state.PENDING and f.status == state.FINISHED and f.error is None:
                return self.end(child) if self.left == 0 else 0
        if self.status != state.PENDING:
            if not child.cancelled():
                child.exception()  # nobody else will look at it
            return 0
        if not self.return_exceptions:
            if child.cancelled():
                self.set_exception(child._make_cancelled_error())
                return 0
            exc = child.exception()
            if exc is not None:
                self.set_exception(exc)
                return 0
        return self.end(child) if self.left == 0 else 0

    def end(self, child: Any) -> int:
        """All children are done."""
        if self.cancel_requested:
            self.set_exception(child._make_cancelled_error())
        else:
            self.finish([self.ending_of(c) for c in self.children])
        return 0

    def ending_of(self, child: Any) -> Any:
        """A child's entry in the list: its result or its exception."""
        if isinstance(child, Future):
            f = cython.cast(Future, child)
            if f.status == state.FINISHED and f.error is None:
                return f.outcome
        if child.cancelled():
            return CancelledError("" if child._cancel_message is None else child._cancel_message)
        exc = child.exception()
        return child.result() if exc is None else exc


def gather(*coros_or_futures: Any, return_exceptions: bool = False) -> Any:
    """Runs awaitables concurrently; the future it returns gives the list of their results, in their order.

    The first exception is raised as soon as it comes, and the others go on; with `return_exceptions` exceptions
    are listed as results instead. Cancelling the future cancels all that are not done.
    """
    if not coros_or_futures:
        outer = asyncio.get_event_loop().create_future()
        outer.set_result([])
        return outer
    loop: Any = None
    children: list[Any] = []
    made: dict[Any, Any] = {}
    for arg in coros_or_futures:
        child = made.get(arg)
        if child is None:
            child = spawning.ensure_future(arg, loop=loop)
            if loop is None:
                loop = child.get_loop()
            if child is not arg:
                child._log_destroy_pending = False
            made[arg] = child
        children.append(child)
    return collect(loop, children, list(made.values()), return_exceptions)


def collect(loop: Any, children: list[Any], distinct: list[Any], return_exceptions: bool) -> Any:
    g = cython.cast(GatheringFuture, GatheringFuture.__new__(GatheringFuture))
    Future.__init__(g, loop=loop)
    g.children = children
    g.return_exceptions = return_exceptions
    g.left = len(distinct)
    over = []
    for child in distinct:
        if child.done():
            over.append(child)  # eager tasks
        else:
            g.collect(child)
    for child in over:
        g.child_done(child)
    return g
