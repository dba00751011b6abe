# create_task() and its kin as a type checker sees them: also that of a user who has no Cython, whose decorators then
# say nothing.

import asyncio
from asyncio import ensure_future as ensure_future
from collections.abc import Coroutine, Generator
from contextvars import Context
from typing import Any, TypedDict, TypeVar, Unpack

from typing_extensions import TypeIs

_T = TypeVar("_T")

_Options = TypedDict("_Options", {"eager_start": bool | None}, total=False)  # noqa: UP013 # a name, no class of ours

def create_task(
    coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
    *,
    name: str | None = None,
    context: Context | None = None,
    **kwargs: Unpack[_Options],
) -> asyncio.Task[_T]: ...
def start(running: Any, coro: Any, name: object, context: Context | None) -> Any: ...
def isfuture(obj: object) -> TypeIs[asyncio.Future[Any]]: ...
def iscoroutine(obj: object) -> TypeIs[Coroutine[Any, Any, Any]]: ...
def adopt(awaitable: Any, loop: Any) -> Any: ...
def adopt_in(awaitable: Any, loop: Any, context: Context) -> Any: ...
def check_awaitable(awaitable: Any) -> int: ...
def close(awaitable: Any) -> int: ...
def close_all(awaitables: Any) -> BaseException | None: ...
