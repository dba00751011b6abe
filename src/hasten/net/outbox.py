"""What waits to be sent: a queue of pieces, and the water marks at which who writes is to pause and to go on."""

from __future__ import annotations

import sys
from collections import deque
from typing import Any

import cython

from hasten.kernel import deques
from hasten.kernel.channel import Channel

HIGH_WATER = 65536  # bytes

deques.new()  # finds the class of deques now, at import, and not during a write


# no_gc: making one must not start the collector, which may run a destructor that writes. Safe, since an outbox holds
# bytes only and so is never part of a reference cycle.
@cython.no_gc  # type: ignore[attr-defined]
@cython.cclass
class Outbox:
    """The bytes that a transport has still to send. It knows nothing of protocols: the transport tells them."""

    pieces: deque[bytes] | None
    offset: int
    size: int
    high: int
    low: int
    paused: bool

    def __init__(self) -> None:
        self.high = HIGH_WATER
        self.low = HIGH_WATER // 4

    def put(self, piece: bytes) -> int:
        """Put a piece, which is not empty, behind what waits.

        No other code runs meanwhile (making a deque does not start the collector): it could write, and its bytes
        would come first.
        """
        if self.pieces is None:
            self.pieces = deques.new()
        deques.push(self.pieces, piece)
        self.size += len(piece)
        return 0

    def flush(self, channel: Channel) -> int:
        """Send until nothing waits, or it would block. Raises what the channel raises."""
        while self.size:
            pieces = self.pieces
            if deques.size(pieces) == 1:  # type: ignore[arg-type]
                n = channel.send_from(pieces[0], self.offset)  # type: ignore[index]
            else:
                n = channel.send_many(pieces, self.offset)  # type: ignore[arg-type]
            if n <= 0:
                break
            self.consume(n)
        return 0

    def consume(self, n: int) -> int:
        """Remove `n` bytes, which were sent, from the front."""
        pieces = self.pieces
        if pieces is None or n > self.size:
            return 0  # it was cleared meanwhile
        self.size -= n
        while n > 0:
            first = pieces[0]
            left = len(first) - self.offset
            if n < left:
                self.offset += n
                return 0
            n -= left
            self.offset = 0
            deques.shift(pieces)
        return 0

    def clear(self) -> int:
        """Drop what waits."""
        self.pieces = None
        self.size = self.offset = 0
        return 0

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
