# gather() as a type checker sees it: one type for each result, up to six; one for all of a longer list.

from asyncio import Future
from collections import deque
from collections.abc import Awaitable
from contextvars import Context
from typing import Any, Literal, TypeAlias, TypeVar, overload

from hasten.primitives.many_futures import Collector

_T = TypeVar("_T")
_1 = TypeVar("_1")
_2 = TypeVar("_2")
_3 = TypeVar("_3")
_4 = TypeVar("_4")
_5 = TypeVar("_5")
_6 = TypeVar("_6")
_A: TypeAlias = Awaitable[_T]
_E: TypeAlias = _T | BaseException
_No: TypeAlias = Literal[False]
_L: TypeAlias = int | None

class GatheringFuture(Collector):
    children: list[Any]
    left: int
    return_exceptions: bool
    cancel_requested: bool
    over: list[Any] | None
    def cancel_children(self, msg: Any) -> bool: ...
    def look_at(self, child: Any) -> int: ...
    def broken(self, exc: BaseException) -> int: ...
    def end(self, child: Any) -> int: ...
    def ending_of(self, child: Any) -> Any: ...
    def child_done(self, child: Any) -> int: ...
    def do_cancel(self, msg: Any) -> bool: ...

@overload
def gather(a: _A[_1], /, *, return_exceptions: _No = False, limit: _L = None) -> Future[tuple[_1]]: ...
@overload
def gather(a: _A[_1], b: _A[_2], /, *, return_exceptions: _No = False, limit: _L = None) -> Future[tuple[_1, _2]]: ...
@overload
def gather(
    a: _A[_1], b: _A[_2], c: _A[_3], /, *, return_exceptions: _No = False, limit: _L = None
) -> Future[tuple[_1, _2, _3]]: ...
@overload
def gather(
    a: _A[_1], b: _A[_2], c: _A[_3], d: _A[_4], /, *, return_exceptions: _No = False, limit: _L = None
) -> Future[tuple[_1, _2, _3, _4]]: ...
@overload
def gather(
    a: _A[_1], b: _A[_2], c: _A[_3], d: _A[_4], e: _A[_5], /, *, return_exceptions: _No = False, limit: _L = None
) -> Future[tuple[_1, _2, _3, _4, _5]]: ...
@overload
def gather(
    a: _A[_1],
    b: _A[_2],
    c: _A[_3],
    d: _A[_4],
    e: _A[_5],
    f: _A[_6],
    /,
    *,
    return_exceptions: _No = False,
    limit: _L = None,
) -> Future[tuple[_1, _2, _3, _4, _5, _6]]: ...
@overload
def gather(*coros_or_futures: _A[_T], return_exceptions: _No = False, limit: _L = None) -> Future[list[_T]]: ...
@overload
def gather(a: _A[_1], /, *, return_exceptions: bool, limit: _L = None) -> Future[tuple[_E[_1]]]: ...
@overload
def gather(a: _A[_1], b: _A[_2], /, *, return_exceptions: bool, limit: _L = None) -> Future[tuple[_E[_1], _E[_2]]]: ...
@overload
def gather(
    a: _A[_1], b: _A[_2], c: _A[_3], /, *, return_exceptions: bool, limit: _L = None
) -> Future[tuple[_E[_1], _E[_2], _E[_3]]]: ...
@overload
def gather(
    a: _A[_1], b: _A[_2], c: _A[_3], d: _A[_4], /, *, return_exceptions: bool, limit: _L = None
) -> Future[tuple[_E[_1], _E[_2], _E[_3], _E[_4]]]: ...
@overload
def gather(
    a: _A[_1], b: _A[_2], c: _A[_3], d: _A[_4], e: _A[_5], /, *, return_exceptions: bool, limit: _L = None
) -> Future[tuple[_E[_1], _E[_2], _E[_3], _E[_4], _E[_5]]]: ...
@overload
def gather(
    a: _A[_1], b: _A[_2], c: _A[_3], d: _A[_4], e: _A[_5], f: _A[_6], /, *, return_exceptions: bool, limit: _L = None
) -> Future[tuple[_E[_1], _E[_2], _E[_3], _E[_4], _E[_5], _E[_6]]]: ...
@overload
def gather(*coros_or_futures: _A[_T], return_exceptions: bool, limit: _L = None) -> Future[list[_E[_T]]]: ...
def begin(awaitables: tuple[Any, ...], return_exceptions: bool) -> Any: ...

class LimitedGathering(GatheringFuture):
    limit: int
    running: dict[int, Any]
    queued: deque[Any]
    places: dict[Any, list[int]]
    context: Context
    def refill(self) -> int: ...
    def drop(self) -> int: ...
    def child_done(self, child: Any) -> int: ...
    def do_cancel(self, msg: Any) -> bool: ...

def begin_limited(awaitables: tuple[Any, ...], return_exceptions: bool, limit: int) -> Any: ...
