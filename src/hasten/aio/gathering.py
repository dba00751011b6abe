"""gather(): many awaitables, one list of results."""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from collections import deque
from contextvars import Context
from typing import Any

import cython

from hasten.aio import collecting
from hasten.aio.collecting import Collector
from hasten.core import state
from hasten.core.future import Future
from hasten.kernel import deques, step


@cython.cclass
class GatheringFuture(Collector):
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
            # As asyncio has it: all are looked at, and the words are those of the last in the list, not of the last to
            # end. (None: a limited gather has not begun it.)
            last = child
            for each in self.children:
                if each is not None:
                    last = each
                    self.ending_of(each)
            self.set_exception(last._make_cancelled_error())
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


def gather(*coros_or_futures: Any, return_exceptions: bool = False, limit: int | None = None) -> Any:
    """Runs awaitables concurrently; the future it returns gives the list of their results, in their order.

    The first exception is raised as soon as it comes, and the others go on; with `return_exceptions` exceptions
    are listed as results instead. Cancelling the future cancels all that are not done.

    `limit` is an addition of hasten's: at most so many coroutines run at a time, the others are started in their order
    as those end. Tasks and futures run already and do not count. Once an exception is raised, or the future is
    cancelled, no more are started: what has not been is closed. ValueError or TypeError if `limit` is not an int of at
    least 1.
    """
    if limit is not None:
        limit = collecting.check_limit(limit)
    if not coros_or_futures:
        outer = asyncio.get_event_loop().create_future()
        outer.set_result([])
        return outer
    if limit is not None and limit < len(coros_or_futures):
        return begin_limited(coros_or_futures, return_exceptions, limit)
    return begin(coros_or_futures, return_exceptions)


def begin(awaitables: tuple[Any, ...], return_exceptions: bool) -> Any:
    loop: Any = step.running_loop()
    if loop is None:
        loop = asyncio._get_running_loop()
    over: list[Any] | None = None
    made: dict[Any, Any] | None = None if collecting.all_different(awaitables) else {}
    children: list[Any] = []
    g = GatheringFuture.__new__(GatheringFuture)
    g.children = children
    g.return_exceptions = return_exceptions
    try:
        for arg in awaitables:
            child = None if made is None else made.get(arg)
            if child is None:
                child = collecting.adopt(arg, loop)
                if made is not None:
                    made[arg] = child
                if loop is None:
                    loop = child.get_loop()
                if child is not arg:
                    collecting.silence(child)
                g.left += 1
                if collecting.pending(child):
                    g.collect(child)
                else:
                    if over is None:
                        over = []
                    over.append(child)  # eager tasks
            children.append(child)
    except BaseException:
        g.status = state.CANCELLED  # nobody will look at those that run already
        raise
    Future.__init__(g, loop=loop)
    if over is not None:
        for child in over:
            g.child_done(child)
    return g


# ---- with a limit ---------------------------------------------------------------------------


@cython.cclass
class LimitedGathering(GatheringFuture):
    """Starts its children as others end.

    children: None where it is not started yet. places: for each awaitable that waits for its turn, where its result
    goes.
    """

    limit: int
    running: set[Any]
    queued: deque[Any]
    places: dict[Any, list[int]]
    context: Context
    if not cython.compiled:
        limit = 0

    def child_done(self, child: Any) -> int:
        self.running.discard(child)
        GatheringFuture.child_done(self, child)
        if self.status == state.PENDING and not self.cancel_requested:
            return self.refill()
        return self.drop()

    def refill(self) -> int:
        """Starts as many as there is room for."""
        while len(self.running) < self.limit and deques.size(self.queued) != 0:
            awaitable = deques.shift(self.queued)
            child = collecting.adopt_in(awaitable, self._loop, self.context)
            collecting.silence(child)
            for place in self.places.pop(awaitable):
                self.children[place] = child
            if collecting.pending(child):
                self.running.add(child)
                self.collect(child)
                continue
            GatheringFuture.child_done(self, child)  # an eager task
            if self.status != state.PENDING:
                return self.drop()
        return 0

    def drop(self) -> int:
        """No more will be started."""
        while deques.size(self.queued) != 0:
            self.left -= 1
            collecting.close(deques.shift(self.queued))
        return 0

    def do_cancel(self, msg: Any) -> bool:
        if self.status != state.PENDING:
            return False
        waiting = deques.size(self.queued) != 0
        self.drop()
        any_cancelled = waiting
        for child in self.children:
            if child is not None and child.cancel(msg=msg):
                any_cancelled = True
        if any_cancelled:
            self.cancel_requested = True
        return any_cancelled


def begin_limited(awaitables: tuple[Any, ...], return_exceptions: bool, limit: int) -> Any:
    g = LimitedGathering.__new__(LimitedGathering)
    Future.__init__(g, loop=asyncio.get_event_loop())
    g.return_exceptions = return_exceptions
    g.limit = limit
    g.running = set()
    g.queued = deque()
    g.places = {}
    g.context = step.copy_context()
    g.children = [None] * len(awaitables)
    over = []
    for place, awaitable in enumerate(awaitables):
        places = g.places.get(awaitable)
        if places is not None:
            places.append(place)
            continue
        g.places[awaitable] = [place]
        if not asyncio.isfuture(awaitable):
            collecting.check_awaitable(awaitable)
            deques.push(g.queued, awaitable)
    g.left = len(g.places)
    for awaitable in list(g.places):
        if asyncio.isfuture(awaitable):
            child = collecting.adopt(awaitable, g._loop)
            for place in g.places.pop(awaitable):
                g.children[place] = child
            if collecting.pending(child):
                g.collect(child)
            else:
                over.append(child)
    for child in over:
        g.child_done(child)
    if g.status == state.PENDING:
        g.refill()
    return g


for _cls in (GatheringFuture, LimitedGathering):
    step.pool(_cls, 64)
