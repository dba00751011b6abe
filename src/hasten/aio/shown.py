"""Task groups and queues as type checkers are shown them, for Pythons whose asyncio's can do less.

What programs may use, and nothing else: a checker must not mind when a program's own class, which derives from one of
these, has a method or an attribute by a name that hasten uses inside.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine, Generator
    from types import GenericAlias
    from typing import Unpack

    from _typeshed import SupportsDunderLT

    from hasten.primitives.taskgroups import _Options

    _T = TypeVar("_T")
    _S = TypeVar("_S", bound=SupportsDunderLT[Any])

    class TaskGroup(asyncio.TaskGroup):
        def create_task(
            self, coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T], **kwargs: Unpack[_Options]
        ) -> asyncio.Task[_T]: ...
        def cancel(self) -> None: ...

    class Queue(asyncio.Queue[_T]):
        @classmethod
        def __class_getitem__(cls, item: Any, /) -> GenericAlias: ...
        def shutdown(self, immediate: bool = False) -> None: ...

    class PriorityQueue(Queue[_S], asyncio.PriorityQueue[_S]): ...

    class LifoQueue(Queue[_T], asyncio.LifoQueue[_T]): ...

else:
    from hasten.primitives.queues import LifoQueue as LifoQueue
    from hasten.primitives.queues import PriorityQueue as PriorityQueue
    from hasten.primitives.queues import Queue as Queue
    from hasten.primitives.taskgroups import TaskGroup as TaskGroup
