"""create_task(), ensure_future(): a coroutine becomes a task."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Coroutine
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar, overload

import cython

from hasten.aio.coroutines import await_it
from hasten.core import task as tasks
from hasten.core.scheduler import Scheduler
from hasten.core.task import Task
from hasten.kernel import functions, step

_T = TypeVar("_T")
_F = TypeVar("_F", bound="asyncio.Future[Any]")


@functions.function
@cython.binding(True)
def create_task(
    coro: Coroutine[Any, Any, _T], *, name: object = None, context: Context | None = None, **kwargs: Any
) -> Task[_T]:
    """Runs a coroutine as a Task of the running loop. The loop holds the task until it is done.

    `name`: default "Task-<number>". `context`: default a copy of the current one. Other keyword arguments
    (`eager_start`) go to the loop's create_task().
    """
    running = step.running_loop()
    if running is not None and not kwargs and isinstance(running, Scheduler):
        return start(running, coro, name, context)  # type: ignore[no-any-return]
    loop: Any = asyncio.get_running_loop()
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


if TYPE_CHECKING:

    @overload
    def ensure_future(coro_or_future: _F, *, loop: asyncio.AbstractEventLoop | None = None) -> _F: ...
    @overload
    def ensure_future(
        coro_or_future: Awaitable[_T], *, loop: asyncio.AbstractEventLoop | None = None
    ) -> asyncio.Task[_T]: ...


@functions.function
@cython.binding(True)
def ensure_future(coro_or_future: Any, *, loop: Any = None) -> Any:
    """A coroutine or another awaitable becomes a task of `loop` (default: the running one); a future stays itself.

    Raises ValueError for a future of another loop, TypeError for what cannot be awaited.
    """
    if asyncio.isfuture(coro_or_future):
        if loop is not None and loop is not coro_or_future.get_loop():
            raise ValueError("The future belongs to a different loop than the one specified as the loop argument")
        return coro_or_future
    if not asyncio.iscoroutine(coro_or_future):
        if not inspect.isawaitable(coro_or_future):
            raise TypeError(
                f"An asyncio.Future, a coroutine or an awaitable is required, not {coro_or_future!r}: "
                "did you forget to call the coroutine function?"
            )
        coro_or_future = await_it(coro_or_future)
    if loop is None:
        loop = asyncio.get_event_loop()
    try:
        task = loop.create_task(coro_or_future)
    except RuntimeError:
        coro_or_future.close()  # the error says it; a warning that nobody awaited it would not help
        raise
    return task
