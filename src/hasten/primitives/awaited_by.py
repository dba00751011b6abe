"""Who waits for whom, as it is recorded for the call graph.

An edge leads from a future to a task that waits for it, and comes from one of three places:

- the future itself, for hasten's futures (`_asyncio_awaited_by`) and, from Python 3.14, for the interpreter's own;
- `_edges`, where the future has no room for it: an interpreter's future before 3.14, or one awaited by hasten's task;
- the future's callbacks: a task that awaits it, directly or through hasten's gather(), has its wake-up among them,
  and a task group a method that knows the parent. Nothing is recorded for these most frequent cases, so that they cost
  nothing more.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from hasten.core.future import Future

if sys.version_info >= (3, 14):
    from asyncio import future_add_to_awaited_by as _std_add
    from asyncio import future_discard_from_awaited_by as _std_discard
else:
    _std_add = _std_discard = None

if TYPE_CHECKING:
    _AnyFuture = asyncio.Future[Any]

# Weak both ways: a waiter holds what it waits for, so a strong reference to it would keep the key alive.
_is_subclass = type.__subclasscheck__
_edges: WeakKeyDictionary[_AnyFuture, WeakSet[_AnyFuture]] = WeakKeyDictionary()


def _is_ours(fut: object) -> bool:
    return _is_subclass(Future, type(fut))  # by the type alone: isinstance() takes each for the other


def _keeps_edge(fut: object, waiter: object) -> bool:
    """True if the interpreter records this edge in the future."""
    return _std_add is not None and issubclass(type(fut), asyncio.Future) and issubclass(type(waiter), asyncio.Future)


def future_add_to_awaited_by(fut: Any, waiter: Any, /) -> None:
    """Record that `waiter` waits for `fut` in a way that does not show, for the call graph.

    To be taken back by future_discard_from_awaited_by(). Does nothing unless both are futures or tasks.
    """
    if _is_ours(fut):
        if asyncio.isfuture(waiter):
            if fut._asyncio_awaited_by is None:
                fut._asyncio_awaited_by = {waiter}
            else:
                fut._asyncio_awaited_by.add(waiter)
    elif _std_add is not None and _keeps_edge(fut, waiter):
        _std_add(fut, waiter)
    elif asyncio.isfuture(fut) and asyncio.isfuture(waiter):
        _edges.setdefault(fut, WeakSet()).add(waiter)


def future_discard_from_awaited_by(fut: Any, waiter: Any, /) -> None:
    """Take back what future_add_to_awaited_by() recorded; do nothing if there is no such record."""
    if _is_ours(fut):
        if fut._asyncio_awaited_by is not None:
            fut._asyncio_awaited_by.discard(waiter)
    elif _std_discard is not None and _keeps_edge(fut, waiter):
        _std_discard(fut, waiter)
    elif asyncio.isfuture(fut) and asyncio.isfuture(waiter):
        waiters = _edges.get(fut)
        if waiters is not None:
            waiters.discard(waiter)


def awaited_by(fut: Any) -> list[Any]:
    """Return all who wait for `fut`, each once."""
    found: dict[int, Any] = {}
    for waiter in getattr(fut, "_asyncio_awaited_by", None) or ():
        found[id(waiter)] = waiter
    for waiter in _edges.get(fut) or ():
        found[id(waiter)] = waiter
    for callback, *_ in getattr(fut, "_callbacks", None) or ():
        owner = getattr(callback, "__self__", None)
        if not asyncio.isfuture(owner):
            # A task group's, hasten's or asyncio's: its parent waits for the group's tasks.
            waiter = getattr(owner, "_parent_task", None)
            if waiter is not None and callback.__name__ == "_on_task_done":
                found[id(waiter)] = waiter
        elif getattr(owner, "_fut_waiter", None) is fut:
            # A task's wake-up, as opposed to some other method of a task that somebody made a callback.
            found[id(owner)] = owner
        elif _is_ours(owner) and not isinstance(owner, asyncio.Task) and callback.__name__ == "_wakeup":
            # A gather()'s future: who waits for it waits for its children.
            for waiter in awaited_by(owner):
                found[id(waiter)] = waiter
    return list(found.values())


def record_child(task: _AnyFuture, parent: _AnyFuture) -> None:
    """Record a task group's task where the interpreter's own tools look; awaited_by() finds it without."""
    if _std_add is not None:
        _std_add(task, parent)


def forget_child(task: _AnyFuture, parent: _AnyFuture) -> None:
    """Take back what record_child() recorded."""
    if _std_discard is not None:
        _std_discard(task, parent)
