"""What workshop.pyx does, in plain Python: nothing is used again here."""

from __future__ import annotations

CHUNK = 262144  # how much one read takes at most


class Workshop:
    """What one loop's reads and writes use again and again."""

    def give_back(self, data: bytes, room: int) -> int:
        """The protocol has seen what a read gave."""
        return 0

    def let_others_run(self) -> int:
        """Other threads may run: here they may anyway."""
        return 0
