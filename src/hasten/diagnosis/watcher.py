"""What watches one loop: it shows since when that is awake, and hands on what was seen when it did not come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cython

from hasten.core.probe import Observer
from hasten.core.scheduler import Scheduler
from hasten.core.task import Task
from hasten.kernel import step
from hasten.kernel.stalls import Watched


@cython.cclass
class Watcher(Observer):
    """`report(watcher, loop, since, now, seen)` is called in the loop's thread when a stall has ended that was sampled.

    `seen` is what Watched.take() gives, or the samples of a thread of Python's.
    """

    watched: Watched
    report: Callable[[Any, Any, float, float, Any], object]
    awake: float
    sampled: tuple[Any, ...] | None
    thread: Any
    native: Any

    def __cinit__(self, *args: Any) -> None:
        self.watched = Watched()  # for who forgets __init__(), too

    def __init__(self, report: Callable[[Any, Any, float, float, Any], object]) -> None:
        self.report = report

    def watch(self, loop: Any, threshold: float, hang: float, by_c: bool) -> bool:
        """Begin; times in seconds. `by_c`: by the thread of C; return False if it cannot be.

        `thread` says in which thread the loop runs.
        """
        if not isinstance(loop, Scheduler):
            raise TypeError(f"only hasten's own loops can be watched, got {loop!r}")
        ours, watched = cython.cast(Scheduler, loop), self.watched
        if by_c and not watched.attach(ours._step, threshold, hang, self.thread or 0):
            return False
        if not ours._poller.sleeping:  # it may run in another thread
            self.wakes(step.monotonic())
        return True

    def wakes(self, now: float) -> int:
        watched = self.watched
        self.awake = now
        watched.wakes(now)
        return 0

    def sleeps(self, loop: Any) -> int:
        since = self.awake
        watched = self.watched
        self.awake = 0.0
        if watched.sleeps() or self.sampled is not None:
            self.hand_on(loop, since)
        return 0

    def hand_on(self, loop: Any, since: float) -> int:
        now = step.monotonic()
        seen, self.sampled = self.sampled, None
        if seen is None:
            watched = self.watched
            try:
                seen = watched.take()
            except MemoryError:  # this one is not told, but it is watched on
                return 0
        # what was sampled at an earlier time, and taken too late, does not say how long that was
        if seen is not None and len(seen) != 0 and seen[0] == since:  # anybody may have set it, to anything
            self.report(self, loop, since, now, seen)
        return 0

    def loop_ends(self, loop: Any) -> None:
        self.sleeps(loop)
        self.let_go()

    def let_go(self) -> int:
        """Watch no more, and tell nothing more."""
        watched = self.watched
        self.awake = 0.0
        self.sampled = None
        watched.detach()
        return 0

    def poll_begins(self, loop: Any, timeout: float) -> None:
        self.sleeps(loop)

    def poll_ends(self, loop: Any, now: float) -> None:
        self.wakes(now)


def waiting(loop: Any) -> int:
    """Return how many entries of the ready queue, and timers that are due, wait for their turn."""
    if not isinstance(loop, Scheduler):
        raise TypeError(f"only hasten's own loops can be watched, got {loop!r}")
    ours = cython.cast(Scheduler, loop)
    queue, now, due = ours._ready, ours.now(), 0
    for handle in ours._scheduled:
        if not handle.cancelled() and handle.when() <= now:
            due += 1
    return queue.count() + due


if cython.compiled:
    show_fields(cython.cast(Task, Task.__new__(Task)))  # type: ignore[name-defined] # noqa: F821 # see the .pxd
