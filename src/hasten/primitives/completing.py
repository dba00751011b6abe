"""as_completed(): awaitables in the order in which they are done.

What the user has is an AsCompleted, which holds Arrivals, which the children report to; nothing leads back. So when the
user lets go of the iterator, be it in the middle, it is gone at once, and can call off what it has started.
"""

from __future__ import annotations

import inspect
from collections import deque
from typing import Any

import cython

from hasten.core import native, state
from hasten.core.future import Future
from hasten.core.native import NativeCoroutine
from hasten.kernel import deques, functions, step
from hasten.primitives import completing_limited, completing_queue, coroutines, waiting
from hasten.primitives.completing_queue import Arrivals


@cython.cclass
class AsCompleted:
    """What as_completed() gives: an iterator and an asynchronous iterator."""

    arrivals: Arrivals

    def __cinit__(self) -> None:
        self.arrivals = Arrivals.__new__(Arrivals)  # of no children, until it gets others

    def __iter__(self) -> Any:
        self.check_synchronous()
        return self

    def check_synchronous(self) -> Arrivals:
        arrivals = self.arrivals
        if arrivals.is_asynchronous():
            raise TypeError("the iterable given to as_completed() is asynchronous: use `async for`")
        return arrivals

    def __aiter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        arrivals = self.check_synchronous()  # held: the source may drop us
        if not arrivals.claim():
            raise StopIteration
        n = cython.cast(Next, Next.__new__(Next))
        n.owner = self
        n.resolve = n.claimed = True
        return n

    def __anext__(self) -> Any:
        n = cython.cast(Next, Next.__new__(Next))
        n.owner = self
        return n

    def aclose(self) -> Any:
        """End the iteration early: cancel what runs on its behalf, and wait for its end."""
        return coroutines.close_completed(self, waiting.wait)

    def _abandon(self) -> list[Any]:
        """Call everything off; return what has not ended yet."""
        arrivals = cython.cast(Arrivals, self.arrivals)
        arrivals.abandon()
        return arrivals.unfinished()

    def __del__(self) -> None:
        arrivals = cython.cast(Arrivals, self.arrivals)
        if arrivals is not None:  # they could not be made, for lack of memory
            arrivals.abandon()


@cython.cclass
class Next(NativeCoroutine):
    """The next one that is done, or its result."""

    owner: AsCompleted | None
    resolve: bool
    claimed: bool
    __name__ = "__next__"
    __qualname__ = "as_completed.__next__"

    def start(self) -> int:
        if not self.claimed:
            owner = cython.cast(AsCompleted, self.owner)
            arrivals = cython.cast(Arrivals, owner.arrivals)
            try:
                self.claimed = arrivals.claim()
            except BaseException as exc:
                return self.finish(exc)
            if not self.claimed:
                return self.finish(StopAsyncIteration())
        return self.go()

    def woken(self) -> int:
        return self.go()

    def go(self) -> int:
        """Take one, or wait for one."""
        owner = self.owner
        arrivals = owner.arrivals  # type: ignore[union-attr]
        try:
            there = arrivals.ready()
            if there == completing_queue.WAIT:
                line = deque() if arrivals.waiters is None else arrivals.waiters
                fut = native.new_waiter(arrivals.loop)
                there = arrivals.ready()  # again, as to make these may have run anything
                if there == completing_queue.WAIT:
                    if arrivals.waiters is None:
                        arrivals.waiters = line
                    deques.push(arrivals.waiters, fut)
            if there == completing_queue.TAKE:
                child = arrivals.take()
        except BaseException as exc:
            arrivals.unclaim()
            return self.finish(exc)
        if there == completing_queue.TAKE:
            return self.hand_out(child)
        if there == completing_queue.WAIT:
            return self.suspend(fut)
        arrivals.unclaim()
        return self.over(arrivals)

    def hand_out(self, child: Any) -> int:
        if child is None:
            return self.finish(TimeoutError())
        self.owner = None  # who keeps the coroutine does not keep the iterator
        if not self.resolve:
            return self.give(child)
        if step.is_instance(child, Future):
            f = cython.cast(Future, child)
            if f.status == state.FINISHED and f.error is None:
                return self.give(f.outcome)
            return self.fail(f.take_failure())
        try:
            value = child.result()
        except BaseException as exc:
            return self.fail(exc)
        return self.give(value)

    def over(self, arrivals: Arrivals) -> int:
        """End: there was less to come than was asked for."""
        error = arrivals.take_error()
        if error is None:
            error = RuntimeError("as_completed() was closed") if self.resolve else StopAsyncIteration()
        return self.finish(error)

    def failed(self, exc: BaseException) -> int:
        owner = cython.cast(AsCompleted, self.owner)
        arrivals = cython.cast(Arrivals, owner.arrivals)
        fut, line = self.future, arrivals.waiters
        if fut.status == state.FINISHED:  # type: ignore[union-attr]
            if deques.size(arrivals.finished) != 0:
                arrivals.wake_next()  # one was there for us: the next in line may have it
        elif line is not None and fut in line:
            line.remove(fut)
        arrivals.unclaim()
        return self.finish(exc)

    def finish(self, exc: BaseException) -> int:
        self.owner = None
        return self.fail(exc)


@functions.function
@cython.binding(True)
def as_completed(fs: Any, *, timeout: float | None = None, limit: int | None = None) -> Any:
    """Iterate over awaitables as they complete.

    `async for` gives the tasks and futures themselves, done; `for` gives coroutines, each of which returns the next
    result or raises the next exception. After `timeout` seconds (None: no limit) TimeoutError is raised instead.

    `limit` is an addition of hasten's: at most so many are in flight or wait to be taken. `fs` may be any iterable
    then, also an endless one or, for `async for`, an asynchronous one; it is read as the loop goes on, and not before
    the first turn. An exception that it raises (or what it yields and cannot be awaited) reaches the loop after the
    results of all that was started before. Tasks and futures in `fs` run already and are only waited for. When the loop
    is left early or the time is over, what was started and is not done is cancelled: as soon as nobody holds the
    iterator, or by `await iterator.aclose()`, which waits for the end of it as well; coroutines that stand in a list
    and were not started are closed. ValueError or TypeError if `limit`
    is not an int of at least 1.
    """
    if inspect.isawaitable(fs):
        raise TypeError(f"expects an iterable of awaitables, not {type(fs).__name__}")
    if limit is not None:
        arrivals = completing_limited.bounded(fs, timeout, limit)
    elif hasattr(fs, "__aiter__") and not hasattr(fs, "__iter__"):
        raise TypeError(f"an asynchronous iterable ({type(fs).__name__}) needs a limit: as_completed(..., limit=N)")
    else:
        arrivals = cython.cast(Arrivals, Arrivals.__new__(Arrivals))
        cython.cast(Arrivals, arrivals).begin(fs, timeout)
    a = cython.cast(AsCompleted, AsCompleted.__new__(AsCompleted))
    a.arrivals = arrivals
    return a


functions.coroutine_class(Next, 64)
