"""gather(): many awaitables, one list of results."""

from __future__ import annotations

import asyncio
from asyncio import CancelledError
from collections import deque
from contextvars import Context
from typing import Any

import cython

from hasten.core import outcomes, state
from hasten.core.future import Future
from hasten.kernel import deques, functions, step
from hasten.primitives import many_futures, spawning
from hasten.primitives.many_futures import Collector


@cython.cclass
class GatheringFuture(Collector):
    """What gather() gives: cancelling it cancels the children that are not done."""

    children: list[Any]
    left: int
    return_exceptions: bool
    cancel_requested: bool
    over: list[Any] | None

    def do_cancel(self, msg: Any) -> bool:
        if self.status != state.PENDING:
            return False
        return self.cancel_children(msg)

    def cancel_children(self, msg: Any) -> bool:
        """Cancel all, also if one cannot be; then raise what that one raised."""
        any_cancelled = False
        error: BaseException | None = None
        for child in list(self.children):
            try:
                if child is not None and child.cancel(msg=msg):
                    any_cancelled = True
            except BaseException as exc:
                error = exc
        if any_cancelled:
            # if every child were to survive it, the gather still has to raise CancelledError
            self.cancel_requested = True
        if error is not None:
            raise error
        return any_cancelled

    def child_done(self, child: Any) -> int:
        over = self.over
        if over is not None:  # gather() has not returned yet
            over.append(child)
            return 0
        self.left -= 1
        if step.is_instance(child, Future):
            f = cython.cast(Future, child)
            if self.status == state.PENDING and f.status == state.FINISHED and f.error is None and self.left != 0:
                return 0
        try:
            return self.look_at(child)
        except BaseException as exc:
            return self.broken(exc)

    def look_at(self, child: Any) -> int:
        """Do what a child's end asks for. Its methods may be code of others."""
        if self.status != state.PENDING:
            if not child.cancelled():
                child.exception()  # nobody else will look at it
            return 0
        if not self.return_exceptions and not outcomes.succeeded(child):
            exc = child._make_cancelled_error() if child.cancelled() else child.exception()
            if exc is not None:
                return self.conclude(exc)
        return self.end(child) if self.left == 0 else 0

    def broken(self, exc: BaseException) -> int:
        """Tell who awaits the children, else the loop's exception handler, that a child's methods have failed."""
        if self.status != state.PENDING or step.ends_loop(exc):
            raise exc
        return self.conclude(exc)

    def end(self, child: Any) -> int:
        """End: all children are done."""
        if self.cancel_requested:
            # As asyncio has it: all are looked at, and the words are those of the last in the list, not of the last to
            # end. (None: a limited gather has not begun it.)
            last = child
            for each in list(self.children):
                if each is not None:
                    last = each
                    self.ending_of(each)
            return self.conclude(last._make_cancelled_error())
        results = [self.ending_of(c) for c in self.children]
        self.finish(results)
        return 0

    def ending_of(self, child: Any) -> Any:
        """Return a child's entry in the list: its result or its exception."""
        if step.is_instance(child, Future):
            f = cython.cast(Future, child)
            if f.status == state.FINISHED and f.error is None:
                return f.outcome
        if child.cancelled():
            return CancelledError("" if child._cancel_message is None else child._cancel_message)
        exc = child.exception()
        return child.result() if exc is None else exc


@functions.function
@cython.binding(True)
def gather(*coros_or_futures: Any, return_exceptions: bool = False, limit: int | None = None) -> Any:
    """Run awaitables concurrently; return a future whose result is the list of their results, in their order.

    The first exception is raised as soon as it comes, and the others go on; with `return_exceptions` exceptions
    are listed as results instead. Cancelling the future cancels all that are not done.

    `limit` is an addition of hasten's: at most so many coroutines run at a time, the others are started in their order
    as those end. Tasks and futures run already and do not count. Once an exception is raised, or the future is
    cancelled, no more are started: what has not been is closed. ValueError or TypeError if `limit` is not an int of at
    least 1.
    """
    if limit is not None:
        limit = many_futures.check_limit(limit)
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
    made: dict[Any, Any] | None = None if many_futures.all_different(awaitables) else {}
    children: list[Any] = []
    over: list[Any] = []
    g = GatheringFuture.__new__(GatheringFuture)
    g.children = children
    g.return_exceptions = return_exceptions
    g.over = over
    try:
        for arg in awaitables:
            child = None if made is None else made.get(arg)
            if child is None:
                child = spawning.adopt(arg, loop)
                if made is not None:
                    made[arg] = child
                if loop is None:
                    loop = child.get_loop()
                if child is not arg:
                    many_futures.silence(child)
                g.left += 1
                if outcomes.pending(child):
                    g.collect(child)
                else:
                    over.append(child)  # eager tasks
            children.append(child)
        Future.__init__(g, loop=loop)
    except BaseException:
        g.over = None
        g.status = state.CANCELLED  # nobody will look at those that run already
        raise
    g.over = None
    for child in over:
        g.child_done(child)
    return g


# ---- with a limit ---------------------------------------------------------------------------


@cython.cclass
class LimitedGathering(GatheringFuture):
    """A gathering future that starts its children as others end.

    children: None where it is not started yet. places: for each awaitable that waits for its turn, where its result
    goes.
    """

    limit: int
    running: dict[int, Any]
    queued: deque[Any]
    places: dict[Any, list[int]]
    context: Context

    def child_done(self, child: Any) -> int:
        key = many_futures.key_of(child, self.running)
        if key is not None:
            del self.running[key]
        GatheringFuture.child_done(self, child)
        if self.over is not None:
            return 0
        if self.status == state.PENDING and not self.cancel_requested:
            try:
                return self.refill()
            except BaseException as exc:
                return self.broken(exc)
        return self.drop()

    def refill(self) -> int:
        """Start as many as there is room for."""
        while len(self.running) < self.limit and deques.size(self.queued) != 0:
            awaitable = deques.shift(self.queued)
            child = spawning.adopt_in(awaitable, self._loop, self.context)
            many_futures.silence(child)
            for place in self.places.pop(awaitable):
                self.children[place] = child
            if outcomes.pending(child):
                self.running[id(child)] = child
                self.collect(child)
            else:
                GatheringFuture.child_done(self, child)  # an eager task
            if self.status != state.PENDING:
                return self.drop()
        return 0

    def broken(self, exc: BaseException) -> int:
        """Do as the base, also for what cannot be started: a task factory may refuse it."""
        try:
            return GatheringFuture.broken(self, exc)
        finally:
            self.drop()

    def drop(self) -> int:
        """Start no more; close what was not started."""
        self.left -= deques.size(self.queued)
        error = spawning.close_all(self.queued)
        if error is not None:
            raise error
        return 0

    def do_cancel(self, msg: Any) -> bool:
        if self.status != state.PENDING:
            return False
        waiting = deques.size(self.queued) != 0
        if waiting:
            self.cancel_requested = True
        try:
            self.drop()
        finally:
            if self.cancel_children(msg):
                waiting = True
        return waiting


def begin_limited(awaitables: tuple[Any, ...], return_exceptions: bool, limit: int) -> Any:
    g = LimitedGathering.__new__(LimitedGathering)
    Future.__init__(g, loop=asyncio.get_event_loop())
    g.return_exceptions = return_exceptions
    g.limit = limit
    g.running = {}
    g.queued = deque()
    g.places = {}
    g.context = step.copy_context()
    g.children = [None] * len(awaitables)
    g.over = over = []
    run_already = []
    for place, awaitable in enumerate(awaitables):
        places = g.places.get(awaitable)
        if places is not None:
            places.append(place)
            continue
        g.places[awaitable] = [place]
        if asyncio.isfuture(awaitable):
            run_already.append(awaitable)
        else:
            spawning.check_awaitable(awaitable)
            deques.push(g.queued, awaitable)
    g.left = len(g.places)
    try:
        for awaitable in run_already:
            child = spawning.adopt(awaitable, g._loop)
            for place in g.places.pop(awaitable):
                g.children[place] = child
            if outcomes.pending(child):
                g.collect(child)
            else:
                over.append(child)
    finally:
        g.over = None
    for child in over:
        g.child_done(child)
    if g.status == state.PENDING:
        try:
            g.refill()
        except BaseException as exc:
            g.broken(exc)
    return g


step.pool(GatheringFuture, 64)
step.pool(LimitedGathering, 64)
