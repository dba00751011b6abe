"""Which tasks there are, under hasten's names and under asyncio's.

asyncio.all_tasks() walks a WeakSet of tasks that are not its own C tasks. Putting each of ours in there would
cost more than the rest of a task, so the set is given a class that also walks the rosters when somebody looks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

from hasten.core.roster import Roster

_rosters: WeakSet[Roster] = WeakSet()


def add(roster: Roster) -> None:
    """Makes the tasks of a roster known."""
    _rosters.add(roster)


def members() -> list[Any]:
    """All unfinished tasks of ours, in all threads."""
    for attempt in range(1000):
        try:
            rosters = list(_rosters)
        except RuntimeError:  # a loop came or went in another thread
            if attempt == 999:
                raise
            continue
        break
    return [task for roster in rosters for task in roster.members()]


class _TasksOfOthers(WeakSet[Any]):
    """asyncio's set of tasks, with ours behind them."""

    def __iter__(self) -> Iterator[Any]:
        yield from super().__iter__()
        yield from members()


def _join_asyncio() -> None:
    tasks = getattr(asyncio.tasks, "_scheduled_tasks", None)  # 3.12 and newer
    if tasks is None:
        tasks = getattr(asyncio.tasks, "_all_tasks", None)  # 3.11
    if type(tasks) is WeakSet:
        tasks.__class__ = _TasksOfOthers


_join_asyncio()


def all_tasks(loop: Any = None) -> set[Any]:
    """The unfinished tasks of `loop` (default: the running one), hasten's and stock ones."""
    return asyncio.all_tasks(loop)


def current_task(loop: Any = None) -> Any:
    """The task that runs in `loop` (default: the running one) now, or None."""
    return asyncio.current_task(loop)
