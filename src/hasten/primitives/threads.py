"""to_thread(), run_coroutine_threadsafe(): from a loop to other threads, and back."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

from hasten.core import advice, again, bridging
from hasten.primitives.spawning import ensure_future

P = ParamSpec("P")
T = TypeVar("T")


async def to_thread(func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Call `func(*args, **kwargs)` in a thread of the loop's default executor; return or raise what it does.

    The function sees the caller's context variables. Cancelling the caller does not stop the function.
    """
    loop = asyncio.get_running_loop()
    call = partial(copy_context().run, func, *args, **kwargs)
    return await loop.run_in_executor(None, call)


def run_coroutine_threadsafe(
    coro: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop
) -> concurrent.futures.Future[T]:
    """Run a coroutine on a loop that runs in another thread; return a concurrent.futures.Future.

    Cancelling that future cancels the task.

    TypeError for what is no coroutine.
    """
    if not asyncio.iscoroutine(coro):
        raise advice.add(TypeError(f"A coroutine object is required, not {coro!r}"), advice.NOT_A_COROUTINE)
    future: concurrent.futures.Future[T] = concurrent.futures.Future()
    loop.call_soon_threadsafe(_begin, coro, loop, future, [])
    return future


@again.to_the_end
def _begin(coro: Any, loop: Any, future: Any, made: list[Any]) -> None:
    """Make the task, once, though this is called again if it is interrupted, and tie the future to it."""
    task = again.once(made, _task_or_error, coro, loop)
    if not isinstance(task, BaseException):
        bridging.hand_out(task, future)
        return
    if bridging.begin(future):
        future.set_exception(task)
    raise task


def _task_or_error(coro: Any, loop: Any) -> Any:
    try:
        return ensure_future(coro, loop=loop)
    except (SystemExit, KeyboardInterrupt):
        raise
    except BaseException as exc:
        return exc  # kept: it is not tried a second time
