"""to_thread: a blocking function, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


async def to_thread(func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls `func(*args, **kwargs)` in a thread of the loop's default executor; returns or raises what it does.

    The function sees the caller's context variables. Cancelling the caller does not stop the function.
    """
    loop = asyncio.get_running_loop()
    call = partial(copy_context().run, func, *args, **kwargs)
    return await loop.run_in_executor(None, call)
