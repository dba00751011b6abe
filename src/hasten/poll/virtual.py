"""The poller of virtual time: where nothing is left to do, the clock jumps to the first timer.

It stands before a real poller, which goes on watching descriptors. Its clock stands still while callbacks run, unless
that goes on for so long that somebody may wait for a time in a busy loop. For the
contract of pollers see contract.py. What it may not jump over it is told by its guide, an object with two methods:

- `between()` is called before each batch, in each wait(): it may put the ready queue into another order.
- `in_flight(timeout)` is called where the loop is about to sleep and the real poller has nothing. It returns how many
  seconds at most may pass as they really pass, since somebody outside the loop is at work; 0 lets the clock jump; below
  0, so long it is waited for what this process has sent to itself, before the clock jumps. It may raise.

Both may do anything, also make something ready. Whatever does that calls wake(), which is looked at after each of them.
"""

from __future__ import annotations

import math
from typing import Any

import cython

from hasten.kernel import step
from hasten.poll.contract import Poller, Watch

# A loop that has not slept for so many batches has time pass as it really does: what it waits for may be a time.
BUSY = 100_000


@cython.cclass
class VirtualPoller(Poller):
    """Watches fds with another poller, and has a clock that jumps.

    `inner`: the other poller, which nobody else uses. `start`: what the clock shows first, seconds.
    """

    inner: Poller
    guide: Any
    time: float
    batches: int
    looked: float
    name = "virtual"

    def __cinit__(self) -> None:
        self.inner = Poller()  # for who forgets __init__(): errors, not null pointers

    def __init__(self, inner: Poller, start: float = 0.0) -> None:
        if not isinstance(inner, Poller) or isinstance(inner, VirtualPoller):
            raise TypeError(f"a poller of real time is needed, not {inner!r}")
        Poller.__init__(self)
        real = cython.cast(Poller, inner)
        self.inner = real
        self.lasting = real.lasting
        self.time = start
        self.every = 0.0  # asked in each tick: when is no matter of how fast the machine is

    def register(self, watch: Watch, events: int) -> int:
        inner = cython.cast(Poller, self.inner)
        inner.register(watch, events)
        self.watching = inner.watching
        return 0

    def modify(self, watch: Watch, events: int) -> int:
        inner = cython.cast(Poller, self.inner)
        return inner.modify(watch, events)

    def unregister(self, watch: Watch) -> int:
        inner = cython.cast(Poller, self.inner)
        inner.unregister(watch)
        self.watching = inner.watching
        return 0

    def drained(self, watch: Watch, events: int) -> int:
        inner = cython.cast(Poller, self.inner)
        return inner.drained(watch, events)

    def watch_of(self, fd: int) -> Watch | None:
        inner = cython.cast(Poller, self.inner)
        return inner.watch_of(fd)

    def all_watches(self) -> list[Watch]:
        inner = cython.cast(Poller, self.inner)
        return inner.all_watches()

    def wait(self, timeout: float) -> int:
        inner, guide = cython.cast(Poller, self.inner), self.guide
        if guide is not None:
            guide.between()
        inner.wait(0.0)
        self.found = inner.found
        if timeout == 0.0 or self.found or not self.sleeping:
            self.batches += 1
            if self.batches > BUSY:
                self.drift()
            return 0
        self.batches = 0
        patience = 0.0
        if guide is not None:
            patience = float(guide.in_flight(timeout))
        if patience == 0.0 and timeout < 0.0:
            patience = math.inf  # there is nothing to jump to
        if patience < 0.0:
            self.doze(-patience)
            patience = 0.0
        if self.found or not self.sleeping:
            return 0
        if patience > 0.0:
            begun = step.monotonic()
            self.doze(min(patience, 86400.0 if timeout < 0.0 else timeout))
            passed = step.monotonic() - begun
            self.time += passed if timeout < 0.0 else min(passed, timeout)
        elif 0.0 < timeout < math.inf:
            self.jump(timeout)
        return 0

    def doze(self, seconds: float) -> int:
        """Wait for the real poller."""
        inner = cython.cast(Poller, self.inner)
        inner.sleeping = True
        try:
            inner.wait(seconds)
        finally:
            inner.sleeping = False
            self.found = inner.found
        return 0

    def take(self) -> Watch | None:
        inner = cython.cast(Poller, self.inner)
        watch = inner.take()
        self.found = inner.found
        return watch

    def drift(self) -> int:
        """Let time pass as it really passes, since the loop has not slept for long."""
        now = step.monotonic()
        if self.batches > BUSY + 1:
            self.time += now - self.looked
        self.looked = now
        return 0

    def jump(self, seconds: float) -> int:
        """Move the clock on. By its smallest step at least, or a timer would never be due."""
        then = self.time + seconds
        self.time = then if then > self.time else math.nextafter(self.time, math.inf)
        return 0

    def now(self) -> float:
        return self.time

    def attach(self, thread: int) -> int:
        Poller.attach(self, thread)
        inner = cython.cast(Poller, self.inner)
        return inner.attach(thread)

    def detach(self) -> int:
        inner = cython.cast(Poller, self.inner)
        inner.detach()
        return Poller.detach(self)

    def wake(self) -> int:
        if self.sleeping:
            self.sleeping = False
            inner = cython.cast(Poller, self.inner)
            inner.sleeping = True
            inner.wake()
        return 0

    def close(self) -> None:
        self.guide = None
        inner = cython.cast(Poller, self.inner)
        inner.close()
        self.watching = inner.watching
