"""The call graph: capture_call_graph(), format_call_graph(), print_call_graph().

This module works on the frames of its callers and stays plain Python. It is imported when it is first asked for.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from asyncio import current_task
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE, CO_GENERATOR
from types import FrameType
from typing import Any, Protocol

from hasten.kernel.step import Awaitable
from hasten.primitives.awaited_by import awaited_by

if sys.version_info >= (3, 14):
    from asyncio import FrameCallGraphEntry, FutureCallGraph
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


_AnyFuture = asyncio.Future[Any]


class _Writer(Protocol):
    def write(self, s: str, /) -> object: ...


def _is_suspendable(frame: FrameType) -> bool:
    """True if the frame belongs to a coroutine or generator of any kind."""
    return bool(frame.f_code.co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR | CO_GENERATOR))


def _is_async(frame: FrameType) -> bool:
    return bool(frame.f_code.co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR))


# The interpreter's own awaitables around a coroutine or an asynchronous generator: what `__await__()`, asend() (each
# turn of `async for`), athrow(), aclose() and anext() give. No field leads on to what they wrap, but that is the first
# thing that they show to the garbage collector.
_WRAPPERS = {"coroutine_wrapper", "async_generator_asend", "async_generator_athrow", "anext_awaitable"}
# Of coroutines, generators (those of types.coroutine() are coroutines, too) and asynchronous generators.
_FIELDS = (("cr_frame", "cr_await"), ("gi_frame", "gi_yieldfrom"), ("ag_frame", "ag_await"))


def _wrapped(awaitable: Any) -> Any:
    cls = type(awaitable)
    if cls.__module__ != "builtins" or cls.__name__ not in _WRAPPERS:
        return None
    inner = gc.get_referents(awaitable)
    return inner[0] if inner else None


def _own_frame(coro: Any) -> FrameType | None:
    if isinstance(coro, Awaitable):  # a native one: its frame is for show
        return None
    for field, _ in _FIELDS:
        frame = getattr(coro, field, None)
        if isinstance(frame, FrameType):
            return frame
    return None


def _awaited(coro: Any) -> Any:
    """The object that a coroutine or generator of any kind waits for, or None."""
    for _, field in _FIELDS:
        if hasattr(coro, field):
            return getattr(coro, field)
    return _wrapped(coro)


def _suspended_stack(coro: Any) -> list[FrameType]:
    """The frames of a coroutine that does not run now, and of what it awaits; outermost first."""
    frames = []
    seen: dict[int, Any] = {}
    while coro is not None and id(coro) not in seen:  # a class of somebody's own may lead round in a circle
        seen[id(coro)] = coro
        frame = _own_frame(coro)
        if frame is not None:  # it has none once it is finished
            frames.append(frame)
        coro = _awaited(coro)
    return frames


def place_of(task: Any) -> tuple[str, int, str] | None:
    """Return (file, line, function) where a suspended task stands, innermost, outside of asyncio and hasten."""
    get_coro = getattr(task, "get_coro", None)
    frames = [] if get_coro is None else _suspended_stack(get_coro())
    for frame in reversed(frames):
        if not frame.f_globals.get("__name__", "").startswith(("hasten.", "asyncio.")) or frame is frames[0]:
            return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname
    return None


def _running_stack(frame: FrameType | None, task: Any) -> list[FrameType]:
    """The frames from this one out to that of the running task's coroutine; innermost first."""
    get_coro = getattr(task, "get_coro", None)
    last = None if get_coro is None else _own_frame(get_coro())
    frames: list[FrameType] = []
    end = None
    while frame is not None:
        frames.append(frame)
        if frame is last:
            return frames
        back = frame.f_back
        if end is None and _is_async(frame) and back is not None and not _is_suspendable(back):
            end = len(frames)  # called by no coroutine: by the task, if its coroutine has no frame
        frame = back
    return frames[:end]


def _graph(future: Any, frames: list[FrameType], limit: int | None) -> FutureCallGraph:
    stack = tuple(FrameCallGraphEntry(frame) for frame in frames)
    return FutureCallGraph(future, stack, tuple(_suspended_graph(each, limit) for each in awaited_by(future)))


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
    """Return the call stack of a task and, recursively, those of all tasks that wait for it.

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
    frames = [] if limit == 0 else _running_stack(sys._getframe(depth), future)
    if limit is not None and limit != 0:
        frames = frames[-limit:] if limit > 0 else frames[:-limit]
    return _graph(future, frames, limit)


def format_call_graph(future: _AnyFuture | None = None, /, *, depth: int = 1, limit: int | None = None) -> str:
    """Return as text what capture_call_graph() returns for these arguments; empty if there is none."""
    graph = capture_call_graph(future, depth=depth + 1, limit=limit)
    lines: list[str] = []
    if graph is not None:
        _render(graph, lines, "")
    return "\n".join(lines)


def print_call_graph(
    future: _AnyFuture | None = None, /, *, file: _Writer | None = None, depth: int = 1, limit: int | None = None
) -> None:
    """Print what format_call_graph() returns, to `file` (default: standard output)."""
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
