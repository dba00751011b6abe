"""What workshop.pyx does, in plain Python: nothing is used again here."""

from __future__ import annotations

from typing import Any

CHUNK = 262144  # how much one read takes at most


class Workshop:
    """What one loop's reads and writes use again and again."""

    def __init__(self) -> None:
        self.borrowed: Any = None
        self.large = b""
        self.lent = 0
        self.received = self.sent = 0  # bytes, ever

    def make_room(self, expected: int) -> int:
        """Make room for bytes. `expected` is how many came last time."""
        self.borrowed = None
        return 0

    def borrow_room(self, buf: Any) -> bool:
        """Take a writable buffer as room; return False if it is empty. Raises what the buffer raises."""
        with memoryview(buf) as view:
            if view.readonly:
                raise BufferError("Object is not writable.")
            if view.nbytes == 0:
                return False
        self.borrowed = buf
        return True

    def was_sent(self, n: int) -> int:
        """Note that `n` bytes have left."""
        self.sent += n
        return 0

    def leave_room(self) -> int:
        """End the use of the room: the read is over, or there will be none."""
        self.borrowed = None
        return 0

    def bring(self, data: bytes) -> int:
        """Take bytes that were read: take_bytes() returns them."""
        self.large = data
        return 0

    def take_bytes(self, n: int) -> bytes:
        """Return what was read into the room that make_room() made."""
        data, self.large = self.large, b""
        return data

    def give_back(self, data: bytes, room: int) -> int:
        """Give back what take_bytes() returned, once its user has seen it."""
        return 0

    def let_others_run(self) -> int:
        """Let other threads run: here they may anyway."""
        return 0
