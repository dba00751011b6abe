"""Water marks: when too much waits to be sent, a transport has its protocol pause, and go on later."""

from __future__ import annotations

import sys
from typing import Any

import cython

from hasten.net.receiver import Receiver
from hasten.poll import events as ev

HIGH_WATER = 65536  # bytes
RETRY = 0.005  # seconds; not every kind of socket tells when more can be sent


@cython.cclass
class WaterMarks:
    """How much waits to be sent, and at how much who writes is to pause and to go on."""

    size: int
    high: int
    low: int
    paused: bool

    def __init__(self) -> None:
        self.high = HIGH_WATER
        self.low = HIGH_WATER // 4

    def set_limits(self, high: Any, low: Any) -> int:
        """Set the water marks, in bytes. One that is None follows from the other.

        Raises:
            ValueError: not high >= low >= 0.
        """
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        most = sys.maxsize
        self.high, self.low = int(min(high, most)), int(min(low, most))
        return 0

    def overflows(self) -> bool:
        """True when writing must pause: once, until is_low_again() has been true."""
        if self.paused or self.size <= self.high:
            return False
        self.paused = True
        return True

    def is_low_again(self) -> bool:
        """True when writing may go on: once after overflows() was true."""
        if not self.paused or self.size > self.low:
            return False
        self.paused = False
        return True


@cython.cclass
class FlowControl(Receiver):
    """The base of transports that write: their protocols are paused and resumed by water marks."""

    def marks(self) -> WaterMarks | None:
        """The water marks; None: those of the beginning, and nothing ever waited. For subclasses."""
        return None

    def own_marks(self) -> WaterMarks:
        """The water marks, made if there were none. For subclasses."""
        raise NotImplementedError

    def get_write_buffer_size(self) -> int:
        """The number of bytes that the kernel has not taken."""
        self.depart()
        marks = self.marks()
        return 0 if marks is None else marks.size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The water marks in bytes: (low, high)."""
        marks = self.marks()
        if marks is None:
            return HIGH_WATER // 4, HIGH_WATER
        return marks.low, marks.high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the water marks: above `high` bytes the protocol is paused, at `low` it is resumed.

        One that is None follows from the other: low is a quarter of high, which is 64 KiB by default.

        Raises:
            ValueError: not high >= low >= 0.
        """
        self.depart()
        marks = self.own_marks()
        marks.set_limits(high, low)
        self.pause_if_full()

    def retry_later(self) -> int:
        """Try in a moment to send what waits: it was told of room, which took nothing, and would tell it again."""
        poller = self.scheduler._poller
        if self.events & ev.WRITE:
            poller.modify(self, ev.READ)
        if not self.retrying:
            self.scheduler.call_later(RETRY, self._retry)
            self.retrying = True
        return 0

    def _retry(self) -> None:
        self.retrying = False
        marks = self.marks()
        if marks is not None and marks.size and not self._conn_lost:
            self.look_again(ev.WRITE)

    def pause_if_full(self) -> int:
        """Pause the protocol if too much waits."""
        marks = self.marks()
        if marks is None or self._protocol is None or not marks.overflows():
            return 0
        try:
            self._protocol.pause_writing()
        except BaseException as exc:
            self.tell("protocol.pause_writing() failed", exc, self._protocol)
        return 0

    def resume_if_drained(self) -> int:
        """Let the protocol go on if little waits."""
        marks = self.marks()
        if marks is None or not marks.is_low_again():
            return 0
        try:
            self._protocol.resume_writing()
        except BaseException as exc:
            self.tell("protocol.resume_writing() failed", exc, self._protocol)
        return 0
