"""What roster.pyx does, in plain Python."""

from __future__ import annotations

from typing import Any


class Roster:
    """All unfinished tasks of a loop."""

    def __init__(self) -> None:
        self._all: dict[int, Any] = {}
        self.listed = self.delisted = 0  # how many tasks there were ever, and how many have ended

    def add(self, node: Any, owner: Any) -> None:
        """List `owner`; `node` is its place in the list: here the owner itself."""
        self._all[id(node)] = owner
        self.listed += 1

    def remove(self, node: Any) -> None:
        if self._all.pop(id(node), None) is not None:
            self.delisted += 1

    def members(self) -> list[Any]:
        """Return the tasks, oldest first."""
        return list(self._all.values())

    def let_go(self) -> None:
        """Hold none of them any more."""
        self._all.clear()

    def count(self) -> int:
        return len(self._all)
