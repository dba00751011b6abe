"""Arrivals: where the children of as_completed() report, and what its consumers take from."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import cython

from hasten.core import outcomes
from hasten.core.future import Future
from hasten.kernel import deques, step
from hasten.primitives import many_futures, spawning
from hasten.primitives.many_futures import Collector

if not cython.compiled:
    TAKE, WAIT, OVER = 0, 1, 2


@cython.cclass
class Arrivals(Collector):
    """The children that are done and not yet taken, and who waits for one."""

    loop: Any
    finished: deque[Any]
    waiters: deque[Any] | None
    left: int
    todo: int
    timer: Any
    children: list[Any] | None
    waiting: Any

    # ---- the children's side ----------------------------------------------------------------

    def begin(self, awaitables: Any, timeout: float | None) -> int:
        """Make tasks of all."""
        self.loop = loop = asyncio.get_event_loop()
        self.finished = deque()
        self.waiting = many_futures.current_task_or_none()
        self.shown_for(self.waiting)
        foreign = False
        given = awaitables if type(awaitables) is list or type(awaitables) is tuple else list(awaitables)
        if not many_futures.all_different(given):
            given = list(dict.fromkeys(given))
        children = [spawning.adopt(each, loop) for each in given]
        self.left = self.todo = len(children)
        for child in children:
            self.collect(child)
            if not step.is_instance(child, Future):
                foreign = True
                many_futures.show_edge(child, self.waiting)
        if children and timeout is not None:
            self.start_timer(timeout)
        if foreign or self.timer is not None:
            self.children = children
        return 0

    def child_done(self, child: Any) -> int:
        if self.todo == 0:
            return 0  # the time was over first
        self.todo -= 1
        edges, waiting = self.children is not None, self.waiting
        self.put(child)  # first of all: what follows may be anybody's code
        if self.todo == 0:
            self.stop_timer()
        if edges:
            many_futures.hide_edge(child, waiting)
        return 0

    def put(self, item: Any) -> int:
        deques.push(self.finished, item)
        return self.wake_next()

    def wake_next(self) -> int:
        """Wake the first in line who is not awake yet."""
        waiters = self.waiters
        if waiters is not None:
            while deques.size(waiters) != 0:
                if outcomes.set_unless_done(deques.shift(waiters)):
                    break
        return 0

    # ---- the time ---------------------------------------------------------------------------

    def start_timer(self, timeout: float) -> int:
        self.timer = self.loop.call_later(timeout, self._on_timeout)
        return 0

    def stop_timer(self) -> int:
        timer = self.timer
        self.timer = self.children = None
        self.shown_for(None)
        if timer is not None:
            timer.cancel()
        return 0

    def _on_timeout(self) -> None:
        self.time_over()

    def time_over(self) -> int:
        """Wait no more for those that have not reported by now."""
        missing, children = self.todo, self.children
        self.todo = 0
        self.stop_timer()
        for _ in range(missing):
            self.put(None)
        error: BaseException | None = None
        for child in children or ():
            try:
                if outcomes.pending(child):
                    self.release(child)
                    many_futures.hide_edge(child, self.waiting)
            except BaseException as exc:
                error = exc
        if error is not None:
            raise error
        return 0

    # ---- the consumer's side ------------------------------------------------------------------

    def claim(self) -> bool:
        """Claim one for the caller; return False if there is none left to be handed out."""
        if self.left == 0:
            return False
        self.left -= 1
        return True

    def unclaim(self) -> int:
        self.left += 1
        return 0

    def ready(self) -> int:
        """Return whether one can be taken. TAKE: yes; WAIT: not yet; OVER: none will come any more."""
        return TAKE if deques.size(self.finished) != 0 else WAIT

    def take(self) -> Any:
        return deques.shift(self.finished)

    def take_error(self) -> Any:
        """Return why nothing comes any more: an exception, or None."""
        return None

    def is_asynchronous(self) -> bool:
        """True if it can be iterated by `async for` only."""
        return False

    def abandon(self) -> int:
        """Stop: nobody will take any more."""
        return 0

    def unfinished(self) -> list[Any]:
        """Return what abandon() called off and has not ended yet."""
        return []
