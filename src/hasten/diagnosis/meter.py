"""What measures one loop, at each poll, and where the figures are that a loop keeps anyway."""

from __future__ import annotations

from typing import Any

import cython

from hasten.core import observing
from hasten.core.probe import Observer
from hasten.core.scheduler import Scheduler
from hasten.kernel import step

# Seconds. Up to a millisecond nobody notices, from 100 ms on everybody does.
BOUNDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
if not cython.compiled:
    LENGTH = 15  # of BOUNDS


@cython.cclass
class Meter(Observer):
    """Measures one loop, at each poll, until its opener is closed."""

    opener: Opener
    begun: float
    woken: float
    measured: float
    asleep: float
    lag: float
    longest: float
    bounds: list[float]
    counts: list[int]

    def __init__(self, opener: Opener) -> None:
        self.opener = opener
        if not cython.compiled:
            self.bounds, self.counts = [0.0] * LENGTH, [0] * (LENGTH + 1)
        for i, bound in enumerate(BOUNDS):
            self.bounds[i] = bound

    def loop_begins(self, loop: Any) -> None:
        if self.opener.closed:  # while the loop stood still
            observing.detach(self, loop)
            return
        self.begun = self.woken = step.monotonic()

    def loop_ends(self, loop: Any) -> None:
        if self.begun > 0.0:
            self.measured += step.monotonic() - self.begun
        self.begun = self.woken = 0.0

    def poll_begins(self, loop: Any, timeout: float) -> None:
        now = step.monotonic()
        if self.woken > 0.0:
            took = now - self.woken
            self.lag += took
            if took > self.longest:
                self.longest = took
            i = 0
            while i < LENGTH and took > self.bounds[i]:  # nearly always it is one of the first few
                i += 1
            self.counts[i] += 1
        self.woken = now

    def poll_ends(self, loop: Any, now: float) -> None:
        self.asleep += now - self.woken
        self.woken = now

    def seen(self) -> tuple[float, float, tuple[int, ...], float, float]:
        """Return for how long it has measured, how much of that was work, and the lags: counts, sum, the longest."""
        measured = self.measured
        if self.begun > 0.0:
            measured += step.monotonic() - self.begun
        return (
            measured,
            max(measured - self.asleep, 0.0),
            tuple([self.counts[i] for i in range(LENGTH + 1)]),
            self.lag,
            self.longest,
        )


@cython.cclass
class Opener(Observer):
    """Gives each loop that begins to run a meter."""

    closed: bool

    def loop_begins(self, loop: Any) -> None:
        if not self.closed:
            meter_of(loop, self)

    def close(self) -> None:
        """Have its meters go by themselves, when their loops begin to run. See drop_meters() for those that run."""
        self.closed = True


def meter_of(loop: Any, opener: Opener) -> Meter:
    """Return the loop's meter of an opener; it gets one if it has none."""
    for observer in observing.observers_of(loop):
        if type(observer) is Meter and cython.cast(Meter, observer).opener is opener:
            return observer
    meter = Meter(opener)
    observing.attach(meter, loop)
    return meter


def drop_meters(loop: Any, opener: Opener) -> None:
    """Take an opener's meter off a loop."""
    for observer in observing.observers_of(loop):
        if type(observer) is Meter and cython.cast(Meter, observer).opener is opener:
            observing.detach(observer, loop)


def kept(loop: Any) -> dict[str, int]:
    """Return the figures that a loop of hasten keeps anyway, by the names of Metrics' fields. Raises TypeError."""
    observing.observers_of(loop)  # raises for what is no loop of hasten's
    ours = cython.cast(Scheduler, loop)
    roster, queue, timers, workshop = ours._roster, ours._ready, ours._timers, ours.workshop
    return {
        "tasks": roster.listed - roster.delisted,
        "tasks_made": roster.listed,
        "tasks_ended": roster.delisted,
        "steps": queue.taken(),
        "ready": queue.count(),
        "batches": ours._ticks,
        "polls": ours._polls,
        "timers": timers.count() - timers.cancelled,
        "transports": ours.transports,
        "transports_made": ours.transports_made,
        "bytes_received": workshop.received,
        "bytes_sent": workshop.sent,
    }
