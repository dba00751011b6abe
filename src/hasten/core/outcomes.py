"""What is asked of a future of any kind, and done to it: ours go a quick way, others are called by their methods."""

from __future__ import annotations

from typing import Any

import cython

from hasten.core import state
from hasten.core.future import Future
from hasten.kernel import step


def pending(fut: Any) -> bool:
    """True if it is not done yet."""
    if step.is_instance(fut, Future):
        return cython.cast(Future, fut).status == state.PENDING
    return not fut.done()


def succeeded(fut: Any) -> bool:
    """True if it is done, with a result. False also for a future of another make."""
    if step.is_instance(fut, Future):
        f = cython.cast(Future, fut)
        return f.status == state.FINISHED and f.error is None
    return False


def set_unless_done(fut: Any, result: Any = None) -> bool:
    """Set a future's result; return False if it is done already. Raises what set_result() raises besides."""
    if type(fut) is Future:
        return cython.cast(Future, fut).finish(result)
    if fut.done():
        return False
    fut.set_result(result)
    return True


wake = set_unless_done  # the same as an object, for timers to call


def fail_unless_done(fut: Any, exc: BaseException) -> bool:
    """Set a future's exception, the same way."""
    if type(fut) is Future:
        return cython.cast(Future, fut).fail(exc)
    if fut.done():
        return False
    fut.set_exception(exc)
    return True


def if_pending(fn: Any, fut: Any, *args: Any) -> None:
    """Call fn(fut, *args) unless the future is done: then nothing of plain Python runs, which could be interrupted."""
    if pending(fut):
        fn(fut, *args)
