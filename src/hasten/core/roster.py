"""What roster.pyx does, in plain Python."""

from __future__ import annotations

from typing import Any


class Roster:
    """All unfinished tasks of a loop."""

    def __init__(self) -> None:
        self._all: dict[int, Any] = {}

    def enlist(self, task: Any) -> None:
        self._all[id(task)] = task

    def delist(self, task: Any) -> None:
        self._all.pop(id(task), None)

    def members(self) -> list[Any]:
        """The tasks, oldest first."""
        return list(self._all.values())
