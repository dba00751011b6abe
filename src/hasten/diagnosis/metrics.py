"""Figures of the event loops of this process: how busy each is, how long it lets others wait, what runs on it.

Most of them are numbers that a loop keeps anyway. How busy it is and its lag are measured at each poll, from the first
call of metrics() or measure() on.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Any

from hasten.core import observing
from hasten.core.scheduler import Scheduler
from hasten.diagnosis import meter
from hasten.diagnosis.meter import Opener


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often something took how long: `counts[i]` times up to `bounds[i]` seconds and more than the bound before.

    `counts` has one entry more than `bounds`, for what took longer than all of them. `total` is the sum, in seconds.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    total: float
    longest: float

    @property
    def count(self) -> int:
        """How often."""
        return sum(self.counts)

    def quantile(self, share: float) -> float:
        """Return a bound, in seconds, that `share` (0 to 1) of all stayed within; 0.0 where there is nothing.

        Raises ValueError for another share.
        """
        if not 0.0 <= share <= 1.0:
            raise ValueError(f"a share between 0 and 1 is needed, not {share!r}")
        wanted, seen = share * self.count, 0
        for bound, count in zip(self.bounds, self.counts, strict=False):
            seen += count
            if seen >= wanted:
                return min(bound, self.longest)
        return self.longest


@dataclass(frozen=True, slots=True)
class Metrics:
    """Figures of one loop at one moment. Times are in seconds; what is "ever" only grows until the loop is closed."""

    thread: str  # the name of the thread that runs the loop; "" if it does not run
    measured: float  # for how long the loop ran while `busy` and `lag` were measured
    busy: float  # how much of this it did not sleep
    lag: Histogram  # the time between two looks for events: so long had what happened meanwhile to wait, at most
    tasks: int  # unfinished ones
    tasks_made: int  # ever
    tasks_ended: int  # ever
    steps: int  # steps of tasks, callbacks and events of transports that have run, ever
    ready: int  # of these, those that wait for their turn
    batches: int  # rounds of the loop, ever
    polls: int  # of the poller, ever
    timers: int  # that are set
    transports: int  # connections, pipes and datagram sockets that are open
    transports_made: int  # ever
    bytes_received: int  # by transports, ever
    bytes_sent: int  # ever

    @property
    def utilisation(self) -> float:
        """The share of the time that the loop did not sleep: 0 to 1."""
        return self.busy / self.measured if self.measured > 0.0 else 0.0


_opener = Opener()


def metrics(loop: Any = None) -> Metrics:
    """Return the figures of a loop now, and measure all loops of hasten from the first call on.

    Arguments:
        loop: one of hasten's loops, also one that runs in another thread; None: the running one.

    Raises:
        RuntimeError: no loop runs here, and none was given.
        TypeError: the loop is none of hasten's.
    """
    measure()
    if loop is None:
        loop = asyncio.get_running_loop()
    if not isinstance(loop, Scheduler):
        raise TypeError(f"only hasten's own loops have metrics, got {loop!r}")
    return figures(loop)


def all_metrics() -> list[Metrics]:
    """Return the figures of each loop of hasten that runs now, in any thread: for exporters. See metrics()."""
    measure()
    return [figures(loop) for loop in list(observing.running)]


def measure() -> None:
    """Begin to measure busy times and lags, of all loops."""
    observing.attach(_opener)


def stop_measuring() -> None:
    """Measure no more. What was measured until now is forgotten."""
    global _opener
    before, _opener = _opener, Opener()
    before.close()
    observing.detach(before)
    for loop in list(observing.running):
        meter.drop_meters(loop, before)


def figures(loop: Any) -> Metrics:
    measured, busy, counts, total, longest = meter.meter_of(loop, _opener).seen()
    lag = Histogram(meter.BOUNDS, counts, total, longest)
    return Metrics(thread=thread_name(loop._thread_id), measured=measured, busy=busy, lag=lag, **meter.kept(loop))


def thread_name(ident: int | None) -> str:
    for thread in threading.enumerate():
        if thread.ident == ident:
            return thread.name
    return "" if ident is None else f"thread {ident}"
