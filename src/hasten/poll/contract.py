"""What a poller promises, on one page.

A poller reports which file descriptors are ready. It does no I/O of its own and calls no user code: wait()
harvests, the scheduler takes what was harvested and runs it afterwards.

*Edges.* A registration is edge-triggered: a Watch fires when its fd becomes ready, and again only after more has
come. The reader goes on until a read comes back short or would block (then it says drained(), see below); a
short read means drained, unless HANGUP was reported with it. After registering, an fd that is ready already fires
once. With LEVEL in its events a watch fires in every wait() as long as the condition holds. A poller may fire more
often than it must (a false alarm costs one system call that would block), never less.

*Drained.* Some platforms only tell what *is* ready, not what *became* so. There an event that fired is not looked
for again until drained(watch, events) says that the fd would block now. Pollers with real edges do nothing then. So
a transport that is paused, and does not read what fired, costs nothing on either kind.

*Harvest.* wait(timeout) blocks at most `timeout` seconds (0: not at all; below 0: until something happens); then
`found` is how many reports it brought. Each take() hands over one: it adds what is ready to the watch's `fired` and
returns the watch, or None where the report is nobody's any more. While reports are left, wait() returns at once. A
wait that a signal interrupts runs the signal's Python handler (its exception propagates) and may come back early with
nothing.

*Wake-up.* wake() may be called from any thread and from signal handlers: while `sleeping` is set, the wait() that goes
on or comes next returns at once. The scheduler sets `sleeping`, then looks whether there is work, then calls wait():
what is scheduled after the look wakes the poller, whatever runs in between. While it is not set, wake() does nothing.

*Clock.* now() says what time it is, in seconds, as time.monotonic() does: the loop's time() and its timers go by it,
and nothing else that runs at each tick asks the system. A poller that simulates has a clock of its own. While a loop
has work it asks its poller only `every` so many seconds (0: in each tick): is_due() tells, by a counter that costs
nearly nothing; asked() is told after each wait().

*Owner.* The thread that runs the loop calls attach() before it waits for the first time, and detach() when the loop has
stopped: `thread` is that thread, as threading.get_ident() gives it. A poller whose means belong to one thread sees to
them there. A single tick (`_run_once()`) may come without.

*Stirred.* register() and modify() set `stirred`, and so does who sends something: what came of it may be there at
once, in a peer that runs on this very loop. The scheduler then asks in each tick, until a poll shows nothing.

*Ownership.* The poller holds a watch from register() to unregister(). unregister() comes before the fd is closed;
afterwards the watch does not fire, even if its event was harvested already. An fd that was closed behind the
poller's back and that was opened anew can be asked for again with modify(). close() releases everything; it may be
called twice.

*Making way.* One watch may be registered in the place of another that nobody needs any more, or whose fd was closed:
its make_way() says so. Where a poller is `lasting`, to close an fd ends what was registered for it and harms nothing,
so a watch may stay registered while nobody needs it.

*Counting.* `watching` is how many watches are registered, for who asks whether anything can come from outside.

register() raises ValueError for an fd that has a watch which does not make way, OSError for one that cannot be polled
(EPERM: a regular file; EBADF: closed).
"""

from __future__ import annotations

import cython

from hasten.kernel import clock, step


@cython.cclass
class Watch:
    """One fd, what is asked for it, and what to do when it is ready: a subclass says so in dispatch()."""

    fd: int
    events: int
    fired: int
    queued: bool
    generation: int

    def __cinit__(self) -> None:
        self.fd = -1  # until __init__() says otherwise: 0 is standard input

    def dispatch(self) -> int:
        """Act on `fired`, and set it to 0. Runs in the tick after the harvest."""
        self.fired = 0
        return 0

    def batch_ended(self) -> int:
        """Send what was put off until the end of the batch (see core/departures)."""
        return 0

    def rescue(self) -> int:
        """Send what was put off, if that goes without an error: this is not the loop's thread, which is blocked."""
        return 0

    def abandon(self) -> int:
        """Drop what was put off, in a forked child: the parent sends it."""
        return 0

    def make_way(self) -> bool:
        """Return True if another watch may be registered in this one's place; nothing is to become of it then."""
        return False


# A poll costs half a microsecond: this often it is one percent of the time, whatever the ticks are like. Seconds.
EVERY = 50e-6


# A loop that the collector takes apart can be called, and calls its poller: what they refer to breaks the circles.
@cython.no_gc_clear  # type: ignore[attr-defined]
@cython.cclass
class Poller:
    """The base of all pollers."""

    found: int
    sleeping: bool
    stirred: bool
    lasting: bool
    watching: int
    every: float
    due: int
    thread: int
    name = "none"
    if not cython.compiled:

        def is_due(self) -> bool:
            return self.stirred or clock.reached(self.due)

    def __cinit__(self) -> None:
        self.every = EVERY

    def __init__(self) -> None:
        self.found = 0
        self.every = EVERY

    def register(self, watch: Watch, events: int) -> int:
        """Start watching watch.fd for `events`."""
        raise NotImplementedError

    def modify(self, watch: Watch, events: int) -> int:
        """Ask for other events; what holds already fires."""
        raise NotImplementedError

    def unregister(self, watch: Watch) -> int:
        """Stop watching."""
        raise NotImplementedError

    def drained(self, watch: Watch, events: int) -> int:
        """Look for `events` again: the fd would block now."""
        return 0

    def watch_of(self, fd: int) -> Watch | None:
        """Return the watch of an fd, or None."""
        raise NotImplementedError

    def all_watches(self) -> list[Watch]:
        """Return all that are registered. For rare cases, as it looks at each fd."""
        raise NotImplementedError

    def watched(self) -> list[Watch]:
        """Return what all_watches() does, to Python."""
        return self.all_watches()

    def wait(self, timeout: float) -> int:
        """Harvest; see the top of this file."""
        raise NotImplementedError

    def take(self) -> Watch | None:
        """Hand over the next report of what wait() has found: see the top of this file. Needs no memory."""
        raise NotImplementedError

    def now(self) -> float:
        """Return the time, in seconds."""
        return step.monotonic()

    def asked(self, now: float) -> int:
        """Note that a wait() is over at `now`: is_due() is true once `every` seconds have passed."""
        self.due = self.later(now)
        return 0

    def later(self, now: float) -> int:
        """Return what clock.reached() takes for the time when `every` seconds have passed."""
        # an hour at most, since the counter has an end
        return clock.due(now, min(self.every, 3600.0)) if self.every > 0.0 else 0

    def attach(self, thread: int) -> int:
        """Attach to the calling thread, whose ident is given: it will run the loop. RuntimeError if another does."""
        if self.thread != 0:
            raise RuntimeError("this poller is used by a loop that runs already")
        self.thread = thread
        self.due = 0
        return 0

    def detach(self) -> int:
        """Detach from the thread, which has stopped the loop."""
        self.thread = 0
        return 0

    def wake(self) -> int:
        """End a wait() that blocks."""
        raise NotImplementedError

    def close(self) -> None:
        """Release the poller's own fds."""
        raise NotImplementedError
