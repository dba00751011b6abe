"""How tasks, futures, callbacks and coroutines show themselves in reprs and messages.

The forms are those of asyncio, which logs and tests rely on.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import linecache
import reprlib
import sys
import threading
import traceback
from types import CodeType, FrameType
from typing import Any

from hasten.core import advice

STACK_DEPTH = 10  # frames of a source traceback
CHAIN_DEPTH = 8  # tasks that wait for each other in one repr
WRONG_THREAD = (
    "Non-thread-safe operation invoked on an event loop other than the current one: "
    "from another thread use loop.call_soon_threadsafe() or asyncio.run_coroutine_threadsafe()"
)
_nesting = threading.local()
_traceback: Any = BaseException.__dict__["__traceback__"]  # what a class makes of this name may be anything


def extract_stack(frame: FrameType | None = None, limit: int = STACK_DEPTH) -> traceback.StackSummary:
    """Return the stack above `frame` (default: the caller). Source lines are read only when they are asked for."""
    if frame is None:
        frame = sys._getframe(1)
    while frame.f_globals.get("__name__", "").startswith("hasten.core.") and frame.f_back is not None:
        frame = frame.f_back  # uncompiled, our own functions have frames
    stack = traceback.StackSummary.extract(traceback.walk_stack(frame), limit=limit, lookup_lines=False)
    stack.reverse()
    return stack


def _source(func: Any) -> tuple[str, int] | None:
    """Return file and line where a function was defined, or None."""
    func = inspect.unwrap(func)
    if inspect.isfunction(func):
        return func.__code__.co_filename, func.__code__.co_firstlineno
    if isinstance(func, functools.partial):
        return _source(func.func)
    if isinstance(func, functools.partialmethod):
        return _source(func.func)
    return None


def _arguments(args: tuple[Any, ...] | None, kwargs: dict[str, Any] | None, debug: bool) -> str:
    if not debug:  # they may be long, or secret
        return "()"
    items = [reprlib.repr(arg) for arg in args] if args else []
    if kwargs:
        items.extend(f"{name}={reprlib.repr(value)}" for name, value in kwargs.items())
    return f"({', '.join(items)})"


def callback(
    func: Any, args: tuple[Any, ...] | None, kwargs: dict[str, Any] | None, debug: bool = False, suffix: str = ""
) -> str:
    """Show a call as it would be written: `name()`, in debug mode with its arguments."""
    if isinstance(func, functools.partial):
        return callback(func.func, func.args, func.keywords, debug, _arguments(args, kwargs, debug) + suffix)
    name = getattr(func, "__qualname__", None) or getattr(func, "__name__", None) or repr(func)
    return f"{name}{_arguments(args, kwargs, debug)}{suffix}"


def callback_source(func: Any, args: tuple[Any, ...] | None, debug: bool = False) -> str:
    """Show a call, and where its function stands: `name() at file:line`."""
    text = callback(func, args, None, debug)
    try:
        source = _source(func)
    except ValueError:  # inspect.unwrap met a cycle
        source = None
    return f"{text} at {source[0]}:{source[1]}" if source else text


def safe(obj: object) -> str:
    """Return repr(obj), or what can be said of an object whose __repr__() fails."""
    try:
        return repr(obj)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as exc:
        return f"<{type(obj).__name__} object at {id(obj):#x}, whose __repr__() raised {type(exc).__name__}>"


def safe_callback(func: Any, args: tuple[Any, ...] | None, loop: Any) -> str:
    """Do as callback_source() in the loop's mode; say what can be said of a callback whose attributes fail."""
    try:
        return callback_source(func, args, bool(loop.get_debug()))
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException:
        return f"{safe(func)}()"


def _callbacks(entries: list[Any]) -> str:
    shown = [callback_source(entry[0], ()) for entry in (entries if len(entries) < 3 else (entries[0], entries[-1]))]
    if len(entries) > 2:
        shown.insert(1, f"<{len(entries) - 2} more>")
    return f"cb=[{', '.join(shown)}]"


@reprlib.recursive_repr()
def future(fut: Any) -> str:
    """Return the repr of a Future."""
    return f"<{' '.join(future_info(fut))}>"


def future_info(fut: Any) -> list[str]:
    """List state, result or exception, callbacks, and place of creation."""
    state = fut._state
    info = [type(fut).__name__, state.lower()]
    if state == "FINISHED":
        exc = fut._exception
        info.append(f"exception={exc!r}" if exc is not None else f"result={reprlib.repr(fut._result)}")
    waiting = fut._callbacks  # once: a repr may run anything, which may complete it
    if waiting:
        info.append(_callbacks(waiting))
    made = fut._source_traceback
    if made:
        info.append(f"created at {made[-1][0]}:{made[-1][1]}")
    return info


def task(t: Any) -> str:
    """Return the repr of a Task: name, coroutine and what it waits for besides what a Future shows.

    In a long chain of tasks that wait for each other, only the first few are shown.
    """
    depth = getattr(_nesting, "depth", 0)
    if depth >= CHAIN_DEPTH:
        return f"<{type(t).__name__} {t._state.lower()} name={t.get_name()!r} ...>"
    _nesting.depth = depth + 1
    try:
        return _task(t)
    finally:
        _nesting.depth = depth


@reprlib.recursive_repr()
def _task(t: Any) -> str:
    info = future_info(t)
    if t.cancelling() and not t.done():
        info[1] = "cancelling"
    info.insert(2, f"name={t.get_name()!r}")
    at = 3
    coro = t.get_coro()
    if coro is not None:
        info.insert(3, f"coro=<{coroutine(coro)}>")
        at = 4
    waiter = t._fut_waiter
    if waiter is not None:
        info.insert(at, f"wait_for={waiter!r}")
    return f"<{' '.join(info)}>"


def coroutine(coro: Any) -> str:
    """Show a coroutine's name, state and place: `f() running at file:line`."""
    name = getattr(coro, "__qualname__", None) or getattr(coro, "__name__", None)
    name = f"{name}()" if name else f"<{type(coro).__name__} without __name__>()"
    code: CodeType | None = getattr(coro, "cr_code", None) or getattr(coro, "gi_code", None)
    running = bool(getattr(coro, "cr_running", False) or getattr(coro, "gi_running", False))
    if code is None:
        return f"{name} running" if running else name
    frame: FrameType | None = getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None)
    filename = code.co_filename or "<empty co_filename>"
    if frame is not None:
        return f"{name} running at {filename}:{frame.f_lineno}"
    return f"{name} done, defined at {filename}:{code.co_firstlineno}"


def bad_yield(t: Any, y: Any) -> RuntimeError:
    """Return the error for a coroutine that yielded something that is no future."""
    if hasattr(y, "gi_frame"):
        return RuntimeError(f"yield was used instead of yield from for generator in task {safe(t)} with {safe(y)}")
    return RuntimeError(f"Task got bad yield: {safe(y)}")


def bad_await(t: Any, y: Any, loop: Any, blocking: Any) -> RuntimeError:
    """Return the error for a coroutine that yielded a future that it cannot wait for."""
    if loop is not t._loop:
        text = f"Task {safe(t)} got Future {safe(y)} attached to a different loop"
        return advice.add(RuntimeError(text), advice.TWO_LOOPS)
    if not blocking:
        return RuntimeError(f"yield was used instead of yield from in task {safe(t)} with {safe(y)}")
    return RuntimeError(f"Task cannot await on itself: {safe(t)}")


def stack_of(t: Any, limit: int | None) -> list[FrameType]:
    """Return the frames of a task: where it is suspended, or the traceback of its exception."""
    frames: list[FrameType] = []
    coro = t.get_coro()
    frame: FrameType | None = (
        getattr(coro, "cr_frame", None) or getattr(coro, "gi_frame", None) or getattr(coro, "ag_frame", None)
    )
    if frame is not None:
        while frame is not None and (limit is None or limit > 0):
            if limit is not None:
                limit -= 1
            frames.append(frame)
            frame = frame.f_back
        frames.reverse()
    elif t._exception is not None:
        tb = _traceback.__get__(t._exception)
        while tb is not None and (limit is None or limit > 0):
            if limit is not None:
                limit -= 1
            frames.append(tb.tb_frame)
            tb = tb.tb_next
    return frames


def print_stack_of(t: Any, limit: int | None, file: Any) -> None:
    """Do the work of Task.print_stack()."""
    extracted = []
    checked: set[str] = set()
    for frame in t.get_stack(limit=limit):
        filename = frame.f_code.co_filename
        if filename not in checked:
            checked.add(filename)
            linecache.checkcache(filename)
        line = linecache.getline(filename, frame.f_lineno, frame.f_globals)
        extracted.append((filename, frame.f_lineno, frame.f_code.co_name, line))
    exc = t._exception
    if not extracted:
        print(f"No stack for {t!r}", file=file)
    elif exc is not None:
        print(f"Traceback for {t!r} (most recent call last):", file=file)
    else:
        print(f"Stack for {t!r} (most recent call last):", file=file)
    traceback.print_list(extracted, file=file)
    if exc is not None:
        for line in traceback.format_exception_only(type(exc), exc):
            print(line, file=file, end="")


def item(entry: Any) -> str:
    """Name what a ready queue's entry runs, for messages: the task rather than its handle."""
    owner = getattr(getattr(entry, "_callback", None), "__self__", None)
    if owner is not None and isinstance(owner, asyncio.Task):
        return repr(owner)
    return repr(entry)


def check_callback(callback: Any, method: str) -> None:
    """Raise TypeError if the callback that was given to `method` is none, and say what is wrong with it."""
    if inspect.iscoroutine(callback) or inspect.iscoroutinefunction(callback):
        text = f"coroutines cannot be used with {method}(): use loop.create_task() to run {callback!r} as a task"
        raise advice.add(TypeError(text), advice.COROUTINE_AS_CALLBACK)
    if not callable(callback):
        raise TypeError(f"a callable object was expected by {method}(), got {callback!r}")
