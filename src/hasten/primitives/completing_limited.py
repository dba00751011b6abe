"""as_completed() with a limit: so many at a time, drawn from any iterable as they are wanted.

What is in flight and what is done and not taken together are at most `limit`, so a slow consumer slows the source down
and memory stays flat. Only a consumer that asks for more coroutines than that before it awaits any has the source read
ahead: each coroutine handed out by `for` stands for one item read.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import cython

from hasten.core import native, outcomes
from hasten.core.future import Future
from hasten.kernel import deques
from hasten.primitives import completing_queue, coroutines, many_futures, spawning
from hasten.primitives.completing_queue import Arrivals

_FINITE = (list, tuple, set, frozenset, deque)


@cython.cclass
class Bounded(Arrivals):
    """Arrivals of a source that is read as we go."""

    limit: int
    source: Any
    asynchronous: bool
    finite: bool
    feeder: Any
    wanted: Future[Any] | None
    flying: dict[int, tuple[Any, bool]]
    queued: deque[Any]
    claimed: int
    drawn: Any
    error: BaseException | None
    called_off: bool
    ending: list[Any]

    # ---- counting -----------------------------------------------------------------------------

    def coming(self) -> int:
        """Return how much can still be taken of what was read."""
        return len(self.flying) + deques.size(self.finished) + deques.size(self.queued)

    def has_room(self) -> bool:
        return len(self.flying) + deques.size(self.finished) < self.limit

    def exhausted(self) -> bool:
        """True if nothing more will be read."""
        return self.source is None

    def is_asynchronous(self) -> bool:
        return self.asynchronous

    # ---- the source's side ----------------------------------------------------------------------

    def draw(self) -> bool:
        """Read one from a synchronous source. Its exception is kept for the end."""
        source = self.source
        if source is None or self.asynchronous:
            return False
        try:
            self.drawn = next(source)
        except StopIteration:
            self.source = None
            return False
        except Exception as exc:
            self.source = None
            self.error = exc
            return False
        return True

    def start(self, awaitable: Any) -> bool:
        """Start one; return False if it cannot be awaited: that ends the source."""
        child: Any = None
        if self.called_off:  # by what has given it
            spawning.close(awaitable)
            return False
        try:
            child = spawning.adopt(awaitable, self.loop)
            if self.called_off:  # by its first step, or by a task factory
                if child is not awaitable:
                    child.cancel()
                return False
            if id(child) in self.flying:
                return True  # given twice, it counts once
            self.flying[id(child)] = (child, child is not awaitable)
            self.collect(child)
            many_futures.show_edge(child, self.waiting)
        except Exception as exc:  # its methods may be anybody's code
            return self.refused(child, exc)
        return True

    def refused(self, child: Any, exc: Exception) -> bool:
        """End the source because of what cannot be awaited, or cannot be waited for."""
        entry = None if child is None else self.flying.pop(id(child), None)
        if self.error is None:
            self.error = exc
        if entry is not None and entry[1]:
            child.cancel()
        self.drop_source()
        return False

    def drop_source(self) -> int:
        """Read no more. Coroutines that stand ready in a list will not be started: they are closed."""
        source = self.source
        self.source = None
        if source is not None and self.finite:
            error = spawning.close_all(deque(source))
            if error is not None:
                raise error
        return 0

    def refill(self) -> int:
        """Start as many as there is room for."""
        while self.has_room():
            if deques.size(self.queued) != 0:
                self.start(deques.shift(self.queued))
            elif self.draw():
                drawn = self.drawn
                self.drawn = None
                self.start(drawn)
            else:
                break
        return 0

    def room(self) -> Any:
        """Return what the feeder awaits until there is room for one more."""
        if self.has_room():
            return native.nothing
        wanted = native.new_waiter(self.loop)
        if self.has_room():  # again, as to make it may have run anything
            return native.nothing
        self.wanted = wanted
        return wanted

    def accept(self, awaitable: Any) -> bool:
        """Take one more from the feeder; return False if it is not wanted."""
        if self.called_off:
            spawning.close(awaitable)
            return False
        return self.start(awaitable)

    def source_ended(self, error: BaseException | None) -> None:
        """Learn from the feeder that there will be no more."""
        self.source = None
        if self.error is None and not self.called_off:
            self.error = error
        self.feeder = None
        if self.coming() == 0:
            self.stop_timer()
            self.wake_all()

    # ---- the children's side ----------------------------------------------------------------------

    def child_done(self, child: Any) -> int:
        key = many_futures.key_of(child, self.flying)
        if key is None:
            return 0
        del self.flying[key]
        waiting = self.waiting
        self.put(child)  # first of all: what follows may be anybody's code
        if self.exhausted() and len(self.flying) == 0 and deques.size(self.queued) == 0:
            self.stop_timer()
            if self.asynchronous:
                self.wake_all()  # there may be more who wait than there is to take
        many_futures.hide_edge(child, waiting)
        return 0

    def wake_all(self) -> int:
        line = self.waiters
        self.waiters = None
        if line is not None:
            for fut in line:
                outcomes.set_unless_done(fut)
        return 0

    # ---- the consumer's side ------------------------------------------------------------------------

    def claim(self) -> bool:
        if self.asynchronous:
            if self.source is not None and self.feeder is None:
                self.feeder = spawning.adopt(coroutines.feed(self, self.source), self.loop)
            if self.source is None and self.coming() <= self.claimed:
                return self.finish_or_fail()
            self.claimed += 1
            return True
        self.refill()
        if self.coming() <= self.claimed:
            if not self.draw():
                return self.finish_or_fail()
            drawn = self.drawn
            self.drawn = None
            if self.called_off:  # by what has given it
                spawning.close(drawn)
                return self.finish_or_fail()
            deques.push(self.queued, drawn)
        self.claimed += 1
        return True

    def finish_or_fail(self) -> bool:
        """End; or raise the source's exception, once."""
        self.stop_timer()
        error = self.error
        if error is None:
            return False
        self.error = None
        raise error

    def take_error(self) -> BaseException | None:
        error = self.error
        self.error = None
        return error

    def unclaim(self) -> int:
        self.claimed -= 1
        return 0

    def ready(self) -> int:
        if deques.size(self.finished) != 0:
            return completing_queue.TAKE
        over = self.exhausted() and len(self.flying) == 0 and deques.size(self.queued) == 0
        return completing_queue.OVER if over else completing_queue.WAIT

    def take(self) -> Any:
        item = deques.shift(self.finished)  # before anything runs that may take it, too
        self.claimed -= 1
        try:
            self.refill()
        except BaseException:
            self.finished.appendleft(item)
            self.claimed += 1
            raise
        wanted = self.wanted
        if wanted is not None and self.has_room():
            self.wanted = None
            outcomes.set_unless_done(wanted)
        return item

    # ---- calling off --------------------------------------------------------------------------------

    def time_over(self) -> int:
        if self.exhausted() and len(self.flying) == 0 and deques.size(self.queued) == 0:
            return 0
        missing = self.claimed - deques.size(self.finished)
        try:
            self.call_off()
        finally:
            for _ in range(missing if missing > 0 else 1):
                self.put(None)
        return 0

    def abandon(self) -> int:
        if not self.flying and self.feeder is None:
            return self.call_off()
        if asyncio._get_running_loop() is self.loop:
            return self.call_off()
        # Dropped by another thread, or while the loop does not run: cancelling is for the loop's own thread.
        try:
            self.loop.call_soon_threadsafe(self._call_off)
        except RuntimeError:
            pass  # the loop is closed: nothing runs on it any more
        return 0

    def _call_off(self) -> None:
        self.call_off()

    def call_off(self) -> int:
        """Cancel what was started here and is not done, and read no more."""
        self.called_off = True
        failures: list[BaseException] = []
        waiting, flying, feeder = self.waiting, self.flying, self.feeder
        self.flying = {}
        self.feeder = None
        try:
            self.drop_source()
        except BaseException as exc:
            failures.append(exc)
        self.error = None
        for child, made in list(flying.values()):
            try:
                if made and child.cancel():
                    self.ending.append(child)
                self.release(child)
                many_futures.hide_edge(child, waiting)
            except BaseException as exc:  # the others are called off all the same
                failures.append(exc)
        if feeder is not None:
            feeder.cancel()
            self.ending.append(feeder)
        self.stop_timer()
        self.wake_all()
        error = spawning.close_all(self.queued)
        if error is not None:
            failures.append(error)
        if failures:
            raise failures[0]
        return 0

    def unfinished(self) -> list[Any]:
        return [each for each in self.ending if not each.done()]


def bounded(source: Any, timeout: float | None, limit: Any) -> Arrivals:
    """Return Arrivals that draw from an iterable of any kind."""
    b = Bounded.__new__(Bounded)
    b.limit = many_futures.check_limit(limit)
    b.loop = asyncio.get_event_loop()
    if hasattr(source, "__iter__") or not hasattr(source, "__aiter__"):
        b.source = iter(source)
        b.finite = type(source) in _FINITE
    else:
        b.source = aiter(source)
        b.asynchronous = True
    b.finished = deque()
    b.queued = deque()
    b.flying = {}
    b.ending = []
    b.waiting = many_futures.current_task_or_none()
    b.shown_for(b.waiting)
    if timeout is not None:
        b.start_timer(timeout)
    return b
