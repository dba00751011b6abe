"""Task factories that run a new task's first step at once: eager_task_factory, create_eager_task_factory().

They work on every Python, also those whose own tasks cannot start eagerly yet: hasten's can.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Protocol, TypeVar, cast

from hasten.core.task import Task, eager_factories

TaskT_co = TypeVar("TaskT_co", covariant=True)
_T = TypeVar("_T")


class _Factory(Protocol[TaskT_co]):
    def __call__(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any],
        *,
        eager_start: bool = True,
        **kwargs: Any,
    ) -> TaskT_co: ...


class _OfTasks(Protocol):
    def __call__(
        self,
        loop: asyncio.AbstractEventLoop,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        eager_start: bool = True,
        **kwargs: Any,
    ) -> asyncio.Task[_T]: ...


def create_eager_task_factory(custom_task_constructor: Callable[..., TaskT_co]) -> _Factory[TaskT_co]:
    """Return a factory for `loop.set_task_factory()` whose tasks run to their first wait before create_task() returns.

    Arguments:
        custom_task_constructor: makes the task; called as `Task` is, with `loop` and `eager_start` by keyword.
    """

    def factory(
        loop: asyncio.AbstractEventLoop,
        coro: Coroutine[Any, Any, Any],
        *,
        eager_start: bool = True,
        **kwargs: Any,
    ) -> TaskT_co:
        """Make a task of the coroutine, and run it to its first wait. For `loop.set_task_factory()`."""
        return custom_task_constructor(coro, loop=loop, eager_start=eager_start, **kwargs)

    return factory


eager_task_factory = cast("_OfTasks", create_eager_task_factory(Task))
eager_task_factory.__doc__ = """For `loop.set_task_factory()`: tasks run to their first wait before create_task returns.

Arguments:
    loop: the event loop of the task.
    coro: what it runs.
    eager_start: False for a task that begins in the loop's next batch, as tasks do without this factory.
    kwargs: `name` and `context`, as for `Task`.
"""
eager_factories.append(eager_task_factory)
