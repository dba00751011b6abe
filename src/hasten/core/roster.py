"""What roster.pyx does, in plain Python."""

from __future__ import annotations

from typing import Any


class Roster:
    """All unfinished tasks of a loop."""

    def __init__(self) -> None:
        self._all: dict[int, Any] = {}

    def add(self, node: Any, owner: Any) -> None:
        """List `owner`; `node` is its place in the list: here the owner itself."""
        self._all[id(node)] = owner

    def remove(self, node: Any) -> None:
        self._all.pop(id(node), None)

    def members(self) -> list[Any]:
        """Return the tasks, oldest first."""
        return list(self._all.values())

    def let_go(self) -> None:
        """Hold none of them any more."""
        self._all.clear()

    def count(self) -> int:
        return len(self._all)
