"""What ready.pyx does, in plain Python."""

from __future__ import annotations

from collections import deque
from typing import Any

HANDLE, TASK, WATCH, CHILD = 0, 1, 2, 3


class Ready:
    """The ready queue: items and what kind each is."""

    def __init__(self) -> None:
        self._items: deque[tuple[Any, int]] = deque()
        self.tag = HANDLE  # of the item taken last
        self.debug = False  # the loop's debug mode, for who has only the queue
        self.guarded = False  # who puts something in has to ask the loop first: debug mode, or it is closed

    def push(self, item: Any, tag: int) -> None:
        self._items.append((item, tag))

    def take(self) -> Any:
        item, self.tag = self._items.popleft()
        return item

    def count(self) -> int:
        return len(self._items)

    def drop(self) -> None:
        """Lets go of all items; what their destructors push goes too."""
        while self._items:
            self._items.popleft()

    def __len__(self) -> int:
        return len(self._items)

    def items(self) -> list[tuple[Any, int]]:
        """[(item, tag)], oldest first: for tests and diagnosis."""
        return list(self._items)
