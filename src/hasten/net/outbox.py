"""What a stream has still to send: a queue of pieces."""

from __future__ import annotations

from collections import deque

import cython

from hasten.kernel import deques
from hasten.kernel.channel import Channel
from hasten.net.flow_control import WaterMarks

deques.new()  # finds the class of deques now, at import, and not during a write


# no_gc: making one must not start the collector, which may run a destructor that writes. Safe, since an outbox holds
# bytes only and so is never part of a reference cycle.
@cython.no_gc  # type: ignore[attr-defined]
@cython.cclass
class Outbox(WaterMarks):
    """The bytes that a transport has still to send. It knows nothing of protocols: the transport tells them."""

    pieces: deque[bytes] | None
    offset: int

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
