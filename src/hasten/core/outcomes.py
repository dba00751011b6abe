"""What is asked of a future of any kind, and done to it: ours go a quick way, others are called by their methods."""

from __future__ import annotations

from typing import Any

import cython

from hasten.core import state
from hasten.core.future import Future


def pending(fut: Any) -> bool:
    """Is it not done yet?"""
    if isinstance(fut, Future):
        return cython.cast(Future, fut).status == state.PENDING
    return not fut.done()


def succeeded(fut: Any) -> bool:
    """Is it done, with a result? False also of what is no future of ours."""
    if isinstance(fut, Future):
        f = cython.cast(Future, fut)
        return f.status == state.FINISHED and f.error is None
    return False


def set_unless_done(fut: Any, result: Any = None) -> bool:
    """Sets a future's result. False: somebody was faster. Raises what set_result() raises besides."""
    if type(fut) is Future:
        return cython.cast(Future, fut).finish(result)
    if fut.done():
        return False
    fut.set_result(result)
    return True


wake = set_unless_done  # the same as an object, for timers to call


def fail_unless_done(fut: Any, exc: BaseException) -> bool:
    """Sets a future's exception, the same way."""
    if type(fut) is Future:
        return cython.cast(Future, fut).fail(exc)
    if fut.done():
        return False
    fut.set_exception(exc)
    return True
