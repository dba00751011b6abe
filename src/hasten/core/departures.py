"""Writes that leave together: transports put small writes off, and all of them are sent when the batch ends.

Most of what a small send costs is that the kernel wakes the peer. Sends that stand back to back cost much less of that
than sends with Python code between them, and several writes of one transport become one system call.

They wait for a batch's end, but not for long: a batch that goes on is interrupted, and while one callback blocks,
another thread sends what was written before (kernel/guard says after how long). Where batch after batch has one small
write only, which has nothing to leave together with, it is sent at once, until a second one comes in the same batch.
"""

from __future__ import annotations

import os

import cython

from hasten.core import ready, report
from hasten.core.ready import Ready
from hasten.kernel import guard
from hasten.kernel.guard import Guarded
from hasten.kernel.step import Step
from hasten.poll.contract import Poller, Watch

VARIABLE = "HASTEN_BATCH_WRITES"
if not cython.compiled:
    LONE = 16  # batches with one small write each, and the next such write is sent at once


def wanted(choice: bool | None) -> bool:
    """Return whether writes are put off: as a program says, else as the environment does, else where it can be guarded.

    Raises ValueError if HASTEN_BATCH_WRITES is neither 0 nor 1.
    """
    if choice is not None:
        return bool(choice)
    said = os.environ.get(VARIABLE, "")
    if said not in ("", "0", "1"):
        raise ValueError(f"{VARIABLE}={said!r}: 1 has small writes leave together when a batch ends, 0 each at once")
    return said == "1" if said else guard.available()


@cython.no_gc_clear  # type: ignore[attr-defined] # a loop that the collector takes apart looks here when it ticks
@cython.cclass
class Departures(Guarded):
    """The transports of a loop that have put writes off, in the order of their first such write."""

    queue: Ready
    stepper: Step
    poller: Poller
    enabled: bool
    pieces: int
    lone: int
    written: bool
    if not cython.compiled:

        def count(self) -> int:
            return self.queue.count()

        def open(self) -> bool:
            if not self.enabled or self.poller.sleeping or self.is_inherited() or not self.stepper.runs():
                return False
            return self.lone < LONE or self.written

        def adds(self, watch: Watch) -> bool:
            if not self.queue.has_room():
                return False
            self.queue.put(watch, ready.WATCH)
            return True

        def end_batch(self) -> int:
            if self.queue.count():
                self.send_off()
            self.written = False
            return 0

        def soon(self) -> int:
            self.pieces += 1
            return 0 if self.is_expected() else self.expect()

    def __init__(self, stepper: Step) -> None:
        self.queue = Ready()
        self.stepper = stepper
        self.poller = Poller()  # until the loop has its own

    def add(self, watch: Watch) -> int:
        """Have batch_ended() of a transport called when the batch ends. Only while open() is true."""
        self.queue.push(watch, ready.WATCH)
        return 0

    def send_off(self) -> int:
        """Do as send_all(), between two entries of a batch: what a failed send calls is no part of a task."""
        self.stepper.leave()
        self.stepper.step_out()
        return self.send_all()

    def send_all(self) -> int:
        """Let the transports send what they have put off. Their errors end their connections, not this."""
        queue = self.queue
        failed = None
        if self.is_inherited():  # in the child of a fork by C code, which tells Python nothing
            self.abandon()
        self.done()
        self.lone = self.lone + 1 if self.pieces == 1 and not self.written else 0
        self.pieces = 0
        end = queue.end()
        while not queue.reached(end):
            try:
                self.send_until(end)
            except BaseException as exc:  # as KeyboardInterrupt of a handler: the others leave nevertheless
                failed = report.graver(failed, exc)
        if failed is not None:
            raise failed
        return 0

    def send_until(self, end: int) -> int:
        queue = self.queue
        while not queue.reached(end):  # a destructor may run the loop itself, and with it this
            watch = cython.cast(Watch, queue.take())
            watch.batch_ended()
            watch = None  # type: ignore[assignment] # dropped before the next is taken: that may run anything
        return 0

    def wind_up(self) -> int:
        """End a run: send what was put off, and let go of the last task and context. What they write leaves at once."""
        stepper = self.stepper
        enabled, self.enabled = self.enabled, False
        try:
            try:
                self.send_off()
            finally:
                stepper.leave()
                stepper.forget_contexts()
        finally:
            self.enabled = enabled
        return 0

    def rescue(self) -> int:
        """Send what can be sent, in the guard's thread. All else, errors too, comes as soon as the callback is over."""
        self.done()
        self.make_late()  # first: there may be no memory for an error
        i = 0
        while i < self.queue.count():
            cython.cast(Watch, self.queue.at(i)).rescue()
            i += 1
        return 0

    def abandon(self) -> int:
        """Drop what was put off, in a forked child: the parent sends it. Nothing here runs Python."""
        self.done()
        i = 0
        while i < self.queue.count():
            cython.cast(Watch, self.queue.at(i)).abandon()
            i += 1
        self.disown()  # last: where there is no memory for that, it is done again
        return 0
