"""What timers.pyx does, in plain Python."""

from __future__ import annotations

import heapq
from typing import Any


class Timers:
    """The pending timers of a loop. Cancelled ones stay until they surface, or until they are more than half."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Any]] = []
        self._order = 0
        self.cancelled = 0  # entries whose handle is cancelled
        self.dozing = False  # what is pushed wakes the poller, once
        self.poller: Any = None  # the loop's

    def push(self, handle: Any, when: float) -> None:
        heapq.heappush(self._heap, (when, self._order, handle))
        self._order += 1
        if self.dozing:
            self.dozing = False
            self.poller.wake()

    def pop(self) -> Any:
        """Take out and return the earliest handle."""
        return heapq.heappop(self._heap)[2]

    def crowded(self) -> bool:
        return self.cancelled > 64 and 2 * self.cancelled > len(self._heap)

    def at(self, i: int) -> Any:
        return self._heap[i][2]

    def retain(self, i: int) -> None:
        """Do nothing: here end_sweep() sees by itself what is cancelled."""

    def take_last(self, handle: Any) -> bool:
        """Take a handle out if it stands last, where nothing has to move; return whether it did."""
        if not self._heap or self._heap[-1][2] is not handle:
            return False
        self._heap.pop()
        return True

    def end_sweep(self) -> int:
        """Let go of the cancelled entries."""
        # what is set meanwhile, by a destructor say, goes into the new heap
        before, self._heap = self._heap, []
        self.cancelled = 0
        for entry in before:
            if not entry[2]._cancelled:
                heapq.heappush(self._heap, entry)
        return 0

    def count(self) -> int:
        return len(self._heap)

    def first(self) -> float:
        return self._heap[0][0]

    def drop(self) -> None:
        """Let go of all entries."""
        self._heap.clear()
        self.cancelled = 0

    def items(self) -> list[tuple[float, Any]]:
        """Return [(when, handle)] in heap order: for tests and diagnosis."""
        return [(when, handle) for when, _, handle in self._heap]
