"""Who waits for whom: capture_call_graph(), format_call_graph(), print_call_graph().

An edge leads from a future to a task that waits for it, and comes from one of three places:

- the future itself, for hasten's futures (`_asyncio_awaited_by`) and, from Python 3.14, for the interpreter's own;
- `_edges`, where the future has no room for it: an interpreter's future before 3.14, or one awaited by hasten's task;
- the future's callbacks: a task that awaits it, directly or through hasten's gather(), has its wake-up among them,
  and a task group a method that knows the parent. Nothing is recorded for these most frequent cases, so that they cost
  nothing more.

This module works on the frames of its callers and stays plain Python.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import current_task
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

from hasten.core.future import Future

if sys.version_info >= (3, 14):
    from asyncio import FrameCallGraphEntry, FutureCallGraph
    from asyncio import future_add_to_awaited_by as _std_add
    from asyncio import future_discard_from_awaited_by as _std_discard
else:
    from dataclasses import dataclass

    @dataclass(frozen=True, slots=True)
    class FrameCallGraphEntry:
        """One frame of a call stack."""

        frame: FrameType

    @dataclass(frozen=True, slots=True)
    class FutureCallGraph:
        """A future, where its coroutine stands (innermost frame first), and the graphs of those who wait for it."""

        future: asyncio.Future[Any]
        call_stack: tuple[FrameCallGraphEntry, ...]
        awaited_by: tuple[FutureCallGraph, ...]

    _std_add = _std_discard = None


if TYPE_CHECKING:
    _AnyFuture = asyncio.Future[Any]


class _Writer(Protocol):
    def write(self, s: str, /) -> object: ...


# Weak both ways: a waiter holds what it waits for, so a strong reference to it would keep the key alive.
_edges: WeakKeyDictionary[_AnyFuture, WeakSet[_AnyFuture]] = WeakKeyDictionary()


def _is_ours(fut: object) -> bool:
    return issubclass(type(fut), Future)  # by type(): our __class__ says asyncio.Future


def _keeps_edge(fut: object, waiter: object) -> bool:
    """Does the interpreter record this edge in the future?"""
    return _std_add is not None and issubclass(type(fut), asyncio.Future) and issubclass(type(waiter), asyncio.Future)


def future_add_to_awaited_by(fut: Any, waiter: Any, /) -> None:
    """Records that `waiter` waits for `fut` in a way that does not show, for the call graph.

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
    """Takes back what future_add_to_awaited_by() recorded; does nothing if there is no such record."""
    if _is_ours(fut):
        if fut._asyncio_awaited_by is not None:
            fut._asyncio_awaited_by.discard(waiter)
    elif _std_discard is not None and _keeps_edge(fut, waiter):
        _std_discard(fut, waiter)
    elif asyncio.isfuture(fut) and asyncio.isfuture(waiter):
        waiters = _edges.get(fut)
        if waiters is not None:
            waiters.discard(waiter)


def _awaited_by(fut: Any) -> list[Any]:
    """All who wait for `fut`, each once."""
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
            for waiter in _awaited_by(owner):
                found[id(waiter)] = waiter
    return list(found.values())


def record_child(task: _AnyFuture, parent: _AnyFuture) -> None:
    """Records a task group's task where the interpreter's own tools look; _awaited_by() finds it without."""
    if _std_add is not None:
        _std_add(task, parent)


def forget_child(task: _AnyFuture, parent: _AnyFuture) -> None:
    """Takes back what record_child() recorded."""
    if _std_discard is not None:
        _std_discard(task, parent)


def _is_suspendable(frame: FrameType) -> bool:
    """Does the frame belong to a coroutine or generator of any kind?"""
    return bool(frame.f_code.co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR | CO_GENERATOR))


def _is_async(frame: FrameType) -> bool:
    return bool(frame.f_code.co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR))


def _suspended_stack(coro: Any) -> list[FrameType]:
    """The frames of a coroutine that does not run now, and of what it awaits; outermost first."""
    frames = []
    while coro is not None:
        if hasattr(coro, "cr_await"):
            frame, coro = coro.cr_frame, coro.cr_await
        elif hasattr(coro, "ag_await"):
            frame, coro = coro.ag_frame, coro.ag_await
        else:
            break
        if frame is not None:  # it has none once it is finished
            frames.append(frame)
    return frames


def _running_stack(frame: FrameType | None) -> list[FrameType]:
    """The frames from this one out to that of the running task's coroutine; innermost first."""
    frames = []
    while frame is not None:
        frames.append(frame)
        back = frame.f_back
        if _is_async(frame) and back is not None and not _is_suspendable(back):
            break  # called by no coroutine, so by the task
        frame = back
    return frames


def _graph(future: Any, frames: list[FrameType], limit: int | None) -> FutureCallGraph:
    stack = tuple(FrameCallGraphEntry(frame) for frame in frames)
    return FutureCallGraph(future, stack, tuple(_suspended_graph(each, limit) for each in _awaited_by(future)))


def _suspended_graph(future: Any, limit: int | None) -> FutureCallGraph:
    get_coro = getattr(future, "get_coro", None)
    frames = [] if get_coro is None or limit == 0 else _suspended_stack(get_coro())
    if limit is not None:
        frames = frames[:limit] if limit > 0 else frames[limit:]
    frames.reverse()
    return _graph(future, frames, limit)


def _check_future(future: object) -> None:
    if not asyncio.isfuture(future):
        raise TypeError(f"{future!r} object does not appear to be compatible with asyncio.Future")


def capture_call_graph(
    future: _AnyFuture | None = None, /, *, depth: int = 1, limit: int | None = None
) -> FutureCallGraph | None:
    """The call stack of a task and, recursively, those of all tasks that wait for it.

    Arguments:
        future: a task or future; the current task if None.
        depth: how many frames to leave out at the top, when it is the current task; 1 is this function's own.
        limit: how many frames to keep of each stack: the outermost if positive, the innermost if negative, none if
            zero, all if None.

    Returns None if no future is given and no task is running. RuntimeError if no future is given and no loop is
    running; TypeError if what is given is no future.
    """
    loop = asyncio._get_running_loop()
    if future is None:
        if loop is None:
            raise RuntimeError(
                "capture_call_graph() is called outside of a running event loop and no *future* to introspect was "
                "provided"
            )
        future = current_task(loop)
        if future is None:
            return None
    elif loop is None or future is not current_task(loop):
        _check_future(future)
        return _suspended_graph(future, limit)
    frames = [] if limit == 0 else _running_stack(sys._getframe(depth))
    if limit is not None and limit != 0:
        frames = frames[-limit:] if limit > 0 else frames[:-limit]
    return _graph(future, frames, limit)


def format_call_graph(future: _AnyFuture | None = None, /, *, depth: int = 1, limit: int | None = None) -> str:
    """The graph that capture_call_graph() gives for these arguments, as text; empty if there is none."""
    graph = capture_call_graph(future, depth=depth + 1, limit=limit)
    lines: list[str] = []
    if graph is not None:
        _render(graph, lines, "")
    return "\n".join(lines)


def print_call_graph(
    future: _AnyFuture | None = None, /, *, file: _Writer | None = None, depth: int = 1, limit: int | None = None
) -> None:
    """Prints what format_call_graph() gives, to `file` (default: standard output)."""
    print(format_call_graph(future, depth=depth, limit=limit), file=file)


def _render(graph: FutureCallGraph, lines: list[str], indent: str) -> None:
    future = graph.future
    if isinstance(future, asyncio.Task):
        lines.append(f"{indent}* Task(name={future.get_name()!r}, id={id(future):#x})")
    else:
        lines.append(f"{indent}* Future(id={id(future):#x})")
    if graph.call_stack:
        lines.append(f"{indent}  + Call stack:")
        for entry in graph.call_stack:
            frame = entry.frame
            code = frame.f_code
            lines.append(
                f"{indent}  |   File {code.co_filename!r}, line {frame.f_lineno}, in {_kind(frame)}{code.co_qualname}()"
            )
    if graph.awaited_by:
        lines.append(f"{indent}  + Awaited by:")
        for each in graph.awaited_by:
            _render(each, lines, indent + "    ")


def _kind(frame: FrameType) -> str:
    flags = frame.f_code.co_flags
    if flags & CO_COROUTINE:
        return "async "
    if flags & CO_ASYNC_GENERATOR:
        return "async generator "
    return "generator " if flags & CO_GENERATOR else ""
