"""create_task(), ensure_future(): a coroutine becomes a task. isfuture(), iscoroutine(): what can be made one.

The second half is what gather(), as_completed() and groups use: the same in short for a coroutine on a loop of ours,
and an end for coroutines that will not be started.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar

import cython

from hasten.core import advice, native
from hasten.core import task as tasks
from hasten.core.future import Future
from hasten.core.scheduler import Scheduler
from hasten.kernel import deques, functions, step
from hasten.primitives.coroutines import await_it

if TYPE_CHECKING:
    from typing_extensions import TypeIs

_T = TypeVar("_T")
_isfuture = asyncio.isfuture  # as it is now: install() puts ours there


@functions.function
@cython.binding(True)
def create_task(
    coro: Coroutine[Any, Any, _T], *, name: object = None, context: Context | None = None, **kwargs: Any
) -> asyncio.Task[_T]:
    """Run a coroutine as a Task of the running loop. The loop holds the task until it is done.

    `name`: default "Task-<number>". `context`: default a copy of the current one. Other keyword arguments
    (`eager_start`) go to the loop's create_task().
    """
    running = step.running_loop()
    if running is not None and not kwargs and isinstance(running, Scheduler):
        return start(running, coro, name, context)  # type: ignore[no-any-return]
    loop: Any = native.running()
    if context is not None:
        kwargs["context"] = context
    return loop.create_task(coro, name=name, **kwargs)  # type: ignore[no-any-return]


def start(running: Any, coro: Any, name: object, context: Context | None) -> Any:
    loop = cython.cast(Scheduler, running)
    if (loop.task_factory is None or loop.eager) and not loop.debug and not loop._closed and loop.plain:
        return tasks.spawn(loop, loop._ready, loop._roster, loop._step, coro, name, context, loop.eager)
    if context is None:
        return running.create_task(coro, name=name)
    return running.create_task(coro, name=name, context=context)


@functions.function
@cython.binding(True)
def ensure_future(coro_or_future: Any, *, loop: Any = None) -> Any:
    """Make a task of `loop` (default: the running one) of a coroutine or another awaitable; return a future itself.

    Raises ValueError for a future of another loop, TypeError for what cannot be awaited.
    """
    if asyncio.isfuture(coro_or_future):
        if loop is not None and loop is not coro_or_future.get_loop():
            text = "The future belongs to a different loop than the one specified as the loop argument"
            raise advice.add(ValueError(text), advice.TWO_LOOPS)
        return coro_or_future
    if not asyncio.iscoroutine(coro_or_future):
        if not inspect.isawaitable(coro_or_future):
            text = (
                f"An asyncio.Future, a coroutine or an awaitable is required, not {coro_or_future!r}: "
                "did you forget to call the coroutine function?"
            )
            raise advice.add(TypeError(text), advice.NOT_A_COROUTINE)
        coro_or_future = await_it(coro_or_future)
    if loop is None:
        loop = asyncio.get_event_loop()
    try:
        task = loop.create_task(coro_or_future)
    except RuntimeError:
        coro_or_future.close()  # the error says it; a warning that nobody awaited it would not help
        raise
    return task


def isfuture(obj: object) -> TypeIs[asyncio.Future[Any]]:
    """True for a future or a task, of any make."""
    return isinstance(obj, Future) or _isfuture(obj)


def iscoroutine(obj: object) -> TypeIs[Coroutine[Any, Any, Any]]:
    """True for a coroutine of Python's, and for a native one of hasten's or of others. Generators are none."""
    return step.is_native_coroutine(obj) or isinstance(obj, Coroutine)


# ---- what gather(), as_completed() and groups use -------------------------------------------


def adopt(awaitable: Any, loop: Any) -> Any:
    """Do as ensure_future(awaitable, loop=loop), by a shorter way for a coroutine on the running loop."""
    if step.is_native_coroutine(awaitable) and loop is not None and loop is step.running_loop():
        if isinstance(loop, Scheduler):
            return start(loop, awaitable, None, None)
    return ensure_future(awaitable, loop=loop)


def adopt_in(awaitable: Any, loop: Any, context: Context) -> Any:
    """Make a task of a coroutine or another awaitable, in a copy of a context."""
    coro = awaitable if asyncio.iscoroutine(awaitable) else await_it(awaitable)
    try:
        context = context.copy()
        if loop is step.running_loop() and isinstance(loop, Scheduler):
            return start(loop, coro, None, context)
        return loop.create_task(coro, context=context)
    except BaseException:  # of a task factory: the error says it, a warning that nobody awaited it would not help
        coro.close()
        raise


def check_awaitable(awaitable: Any) -> int:
    """Raise TypeError if it cannot be awaited."""
    if not step.is_native_coroutine(awaitable) and not inspect.isawaitable(awaitable):
        ensure_future(awaitable)  # which raises it
    return 0


def close(awaitable: Any) -> int:
    """Close a coroutine that will not be started, so that nobody is warned that it was never awaited."""
    if asyncio.iscoroutine(awaitable):
        awaitable.close()
    return 0


def close_all(awaitables: Any) -> BaseException | None:
    """Close each in a deque, which is empty then. Return the first exception that this raised, or None."""
    error: BaseException | None = None
    while deques.size(awaitables) != 0:
        awaitable = deques.shift(awaitables)
        try:
            close(awaitable)
        except BaseException as exc:
            if error is None:
                error = exc
    return error
