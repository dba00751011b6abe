"""Who wants to be told when a loop begins to run, is in debug mode or has nothing to do, and when a task fails.

Companions enter themselves here; the loop knows none of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from hasten.core import advice, report

# Each is called with the loop, in its thread, before its first batch.
on_run: list[Callable[[Any], object]] = []
# Called with a loop and True when it runs in debug mode from now on, with False when no longer; in its thread.
on_debug: Callable[[Any, bool], object] | None = None
# Called with a loop that watches no descriptor, has no timer, and has had nothing to do for 0.1 s.
on_idle: Callable[[Any], object] | None = None
# Each is called with a loop and the context of an error that nobody awaits, before the loop's exception handler is.
on_report: list[Callable[[Any, dict[str, Any]], object]] = []
# Called with a task that has ended by an exception.
on_failed: Callable[[Any], object] | None = None


def begin(loop: Any) -> None:
    """Tell all of them; one that raises is removed, and its error is logged: the loop runs nevertheless."""
    for attend in on_run[:]:
        try:
            attend(loop)
        except Exception as error:
            if attend in on_run:
                on_run.remove(attend)
            _off(error)


def debugged(loop: Any, enabled: bool) -> None:
    """Tell that a loop runs in debug mode from now on, or no longer."""
    global on_debug
    attend = on_debug
    if attend is None:
        return
    try:
        attend(loop, enabled)
    except Exception as error:
        on_debug = None
        _off(error)


def nothing_to_do(loop: Any) -> None:
    """Tell that a loop has nothing to do."""
    global on_idle
    attend = on_idle
    # it may be one that the collector has taken apart, and that somebody ticks
    if attend is None or not loop.is_running() or loop._stopping or len(loop._ready):
        return
    try:
        attend(loop)
    except Exception as error:
        on_idle = None
        _off(error)


def failed(task: Any, error: BaseException) -> None:
    """Tell that a task has failed; its exception gets a note if it is one of the mistakes that asyncio only names."""
    global on_failed
    try:
        advice.recognize(error)
    except Exception:  # no memory: the exception itself goes to who awaits the task
        pass
    attend = on_failed
    if attend is None:
        return
    try:
        attend(task)
    except Exception as error:
        on_failed = None
        _off(error)


def reported(loop: Any, context: dict[str, Any]) -> None:
    """Tell that an error is reported that nobody awaits."""
    for attend in on_report[:]:
        try:
            attend(loop, context)
        except Exception as error:
            if attend in on_report:
                on_report.remove(attend)
            _off(error)


def _off(error: Exception) -> None:
    report.note(logging.ERROR, f"a companion of hasten's failed and is off now: {report.text_of(error)}", error)
