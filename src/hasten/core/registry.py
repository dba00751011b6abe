"""Which tasks there are, under hasten's names and under asyncio's.

asyncio.all_tasks() walks a WeakSet of tasks that are not its own C tasks. Putting each of ours in there would
cost more than the rest of a task, so the set is given a class that also walks the rosters when somebody looks.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

from hasten.core import report
from hasten.core.roster import Roster

_rosters: WeakSet[Roster] = WeakSet()
_HELD_AS = "_hasten_tasks"
# as they are now: install() puts ours under their names
_stdlib_all_tasks, _stdlib_current_task = asyncio.all_tasks, asyncio.current_task


def add(roster: Roster) -> None:
    """Make the tasks of a roster known."""
    _rosters.add(roster)


_homeless = Roster()
add(_homeless)


def roster_of(loop: Any) -> Roster:
    """Return the roster of hasten's unfinished tasks on a loop of another make.

    The loop holds them, by an attribute: so they are held as long as it lives, and both can be collected together. For
    a loop whose instances have no attributes of their own they are held here, until they are done.
    """
    try:
        attributes = vars(loop)
    except Exception:  # no __dict__, or one that is somebody's own code
        attributes = None
    if not isinstance(attributes, dict):
        return _homeless
    roster = attributes.get(_HELD_AS)
    if type(roster) is not Roster:
        roster = attributes[_HELD_AS] = Roster()
        add(roster)
    return roster


def release(roster: Roster) -> None:
    """Hold a closed loop's tasks no more; they stay known as long as they live, as in asyncio."""
    tasks = roster.members()
    for task in tasks:
        try:
            asyncio._register_task(task)
        except Exception:  # its __hash__ is somebody's own code, and not worth a loop that is half closed
            pass
    if tasks:
        try:
            report.note_left(tasks)
        except Exception:  # for lack of memory
            pass
    roster.let_go()  # `tasks` holds them still: so they go, whatever they do then, when all is in order


def members() -> list[Any]:
    """Return all unfinished tasks of hasten's, in all threads."""
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


class _Probe:
    """Stands for a task, to find the set that tasks of others are registered in."""


def _set_of_others() -> Any:
    """Return asyncio's WeakSet of tasks that are not its own C tasks.

    Where no name leads to it (3.14), a reference does:
    the callback of a weak reference that the set holds knows the set.
    """
    probe: Any = _Probe()
    asyncio._register_task(probe)
    try:
        for ref in weakref.getweakrefs(probe):
            for value in getattr(ref.__callback__, "__defaults__", None) or ():
                found = value() if isinstance(value, weakref.ref) else None
                if isinstance(found, WeakSet):
                    return found
    finally:
        asyncio._unregister_task(probe)
    return None


def _join_asyncio() -> None:
    tasks = _set_of_others()
    if type(tasks) is WeakSet:
        tasks.__class__ = _TasksOfOthers


_join_asyncio()


def all_tasks(loop: asyncio.AbstractEventLoop | None = None) -> set[asyncio.Task[Any]]:
    """Return the unfinished tasks of `loop` (default: the running one), hasten's and stock ones."""
    if loop is None:
        loop = asyncio.get_running_loop()
    found: set[Any] = _stdlib_all_tasks(loop)
    found.update([task for task in members() if task.get_loop() is loop and not task.done()])
    return found


def current_task(loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Task[Any] | None:
    """Return the task that runs in `loop` (default: the running one) now, or None."""
    return _stdlib_current_task(loop)
