"""Children: the tasks of a group that have not ended."""

from __future__ import annotations

from typing import Any

import cython


@cython.cclass
class Children:
    """A set of tasks. Mostly they end in the order they came: as long as that holds it is a queue, which costs less."""

    order: list[Any]
    first: int
    loose: dict[int, Any] | None

    def __init__(self) -> None:
        self.order = []
        self.first = 0
        self.loose = None

    def count(self) -> int:
        return len(self.order) - self.first if self.loose is None else len(self.loose)

    def add(self, task: Any) -> int:
        if self.loose is None:
            self.order.append(task)
        else:
            self.loose[id(task)] = task
        return 0

    def discard(self, task: Any) -> int:
        if self.loose is not None:
            self.loose.pop(id(task), None)
            if len(self.loose) == 0:
                self.loose = None
            return 0
        first, size = self.first, len(self.order)
        if first == size or self.order[first] is not task:
            self.scatter()
            return self.discard(task) if self.loose is not None else 0
        self.order[first] = None  # its result is not kept
        first += 1
        if first == size:
            self.order.clear()
            first = 0
        elif first > 64 and 2 * first > size:
            del self.order[:first]
            first = 0
        self.first = first
        return 0

    def scatter(self) -> int:
        """Gives up the order."""
        self.loose = {id(task): task for task in self.members()} or None
        self.order.clear()
        self.first = 0
        return 0

    def members(self) -> list[Any]:
        """All of them, in the order they came, as a new list."""
        return self.order[self.first :] if self.loose is None else list(self.loose.values())
