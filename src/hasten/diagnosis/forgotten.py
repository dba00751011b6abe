"""Forgotten things, with their places: coroutines that nobody awaited, exceptions that nobody took.

What is dropped is told when it is dropped, as by asyncio: Python's own warning of a coroutine that was never awaited,
and the loop's exception handler for tasks. This module adds to the first where that coroutine was made and who
probably meant to await it; and a task that failed, and that somebody still holds when the interpreter ends, is told
then (while the program runs, somebody might still ask it).
"""

from __future__ import annotations

import atexit
import logging
import sys
import traceback
import warnings
import weakref
from inspect import CO_NEWLOCALS
from types import FrameType
from typing import Any

from hasten.core import advice, attending, report
from hasten.diagnosis import standing
from hasten.diagnosis.showing import plain, short

_stock: Any = None  # warnings' own function, while ours is in its place
_failed: dict[int, weakref.ref[Any]] = {}  # by id(): a __hash__ may be anything
_origins_before = 0


def tell_forgotten(enabled: bool = True, *, origins: bool = False) -> None:
    """Add to the warnings of forgotten coroutines where they were made, from now on; and tell of failed tasks at exit.

    Arguments:
        enabled: False: no longer.
        origins: have each coroutine that the calling thread makes note where it was made: 0.1 microseconds for each.
            Without, the place where it was dropped is told, which mostly is the same line.
    """
    global _stock, _origins_before
    stock = getattr(warnings, "_warn_unawaited_coroutine", None)
    if enabled and _stock is None and stock is not _warn:  # not by another thread, meanwhile
        _stock = stock
        warnings._warn_unawaited_coroutine = _warn  # type: ignore[attr-defined]
        attending.on_failed = _note_failed
        atexit.register(_tell_failed)
    elif not enabled and _stock is not None:
        if getattr(warnings, "_warn_unawaited_coroutine", None) is _warn:
            warnings._warn_unawaited_coroutine = _stock  # type: ignore[attr-defined]
        _stock = None
        attending.on_failed = None
        atexit.unregister(_tell_failed)
        _failed.clear()
    depth = sys.get_coroutine_origin_tracking_depth()
    if enabled and origins and depth == 0:
        sys.set_coroutine_origin_tracking_depth(1)
        _origins_before = 1
    elif not enabled and _origins_before and depth == 1:
        sys.set_coroutine_origin_tracking_depth(0)
        _origins_before = 0


# ---- coroutines ----------------------------------------------------------------------------


def _warn(coro: Any) -> None:
    """Warn of a coroutine that was never awaited, in the place of the function in `warnings`."""
    frame = sys._getframe().f_back
    lines = [f"coroutine '{plain(short(coro.__qualname__))}' was never awaited", *_places(coro, frame)]
    lines.append(advice.text(advice.NEVER_AWAITED))
    warnings.warn("\n".join(lines), RuntimeWarning, stacklevel=2, source=coro)


def _places(coro: Any, frame: FrameType | None) -> list[str]:
    lines = []
    origin = coro.cr_origin
    if origin:
        file, line, function = origin[0]
        lines.append(f"made at {standing.show((file, line, function))}, which probably meant to await it")
        if len(origin) > 1:  # debug mode
            stack = [(each[0], each[1], each[2], None) for each in reversed(origin)]
            lines.append("Coroutine created at (most recent call last)")
            lines.append("".join(traceback.format_list(traceback.StackSummary.from_list(stack))).rstrip())
    elif frame is not None and standing.is_users((frame.f_code.co_filename, 0, "")):
        code = frame.f_code
        where = standing.show((code.co_filename, frame.f_lineno, code.co_qualname))
        # a function that names it has probably called it
        meant = code.co_flags & CO_NEWLOCALS and coro.__name__ in code.co_names
        lines.append(f"dropped at {where}{', which probably meant to await it' if meant else ''}")
    else:
        lines.append("dropped when what had made it ended (HASTEN_ORIGINS=1 tells where that was)")
    code = coro.cr_code
    lines.append(plain(f'defined at File "{code.co_filename}", line {code.co_firstlineno}'))
    return lines


# ---- exceptions ----------------------------------------------------------------------------


def _note_failed(task: Any) -> None:
    """Remember weakly a task that has just ended by an exception."""
    key = id(task)
    _failed[key] = weakref.ref(task, lambda _: _failed.pop(key, None))


def _tell_failed() -> None:
    """Tell of the failed tasks that are still held, at the interpreter's exit: nobody can ask them any more."""
    for ref in list(_failed.values()):
        task = ref()
        try:
            if task is None or not task._log_traceback:
                continue
            exc = task._exception
            task._log_traceback = False
        except Exception:  # of a class of somebody's own
            continue
        lines = ["Task exception was never retrieved", f"future: task {short(standing.name_of(task))!r}"]
        place = standing.made_at(task)
        if place is not None:
            lines.append(f"created_at: {standing.show(place)}")
        lines.append(advice.text(advice.EXCEPTION_UNSEEN))
        report.note(logging.ERROR, "\n".join(lines), exc)
