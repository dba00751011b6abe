# Tasks as a type checker sees them: generic, and a subclass of asyncio's, as isinstance() says, so that they can be
# given to whatever takes an asyncio.Task[T]. Most public methods are inherited. Fields have their C types in task.pxd.

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

from hasten.core.future import Future
from hasten.core.ready import Ready
from hasten.core.roster import Roster
from hasten.kernel.step import Step

_T = TypeVar("_T")
_T_co = TypeVar("_T_co", covariant=True)

# covariant although a Future is not: set_result() always raises
class Task(asyncio.Task[_T_co], Future[_T_co]):  # type: ignore[type-var]  # pyright: ignore
    _coro: Any
    _context: Context
    _fut_waiter: Any
    name: str | None
    pending_error: BaseException | None
    origin: Any
    origin_at: int
    _num_cancels_requested: int
    must_cancel: bool
    foreign: bool
    log_destroy_pending: bool
    stepper: Step
    roster: Roster
    number: int
    def __init__(
        self,
        coro: Coroutine[Any, Any, _T_co],
        *,
        loop: Any = None,
        name: object = None,
        context: Context | None = None,
        eager_start: bool = False,
    ) -> None: ...
    def get_coro(self) -> Coroutine[Any, Any, _T_co] | None: ...  # type: ignore[override]
    def get_context(self) -> Context: ...
    def created_at(self) -> tuple[str, int, str] | None:
        """(file, line, function) where the task was made, as far as known. An addition of hasten's."""
    @property
    def _must_cancel(self) -> bool: ...
    @property
    def _log_destroy_pending(self) -> bool: ...
    @_log_destroy_pending.setter
    def _log_destroy_pending(self, value: bool) -> None: ...
    def last_in_line(self) -> Task[Any]: ...
    def enlist(self) -> None: ...
    def delist(self) -> None: ...
    def note_origin(self) -> None: ...
    def start(self, name: object, context: Context | None) -> int: ...
    def start_eagerly(self) -> int: ...
    def restep(self) -> int: ...
    def run(self) -> int: ...
    def step_once(self, context: Context | None) -> int: ...
    def wake_error(self) -> BaseException | None: ...
    def cancelled_error(self, error: BaseException | None) -> BaseException | None: ...
    def wait_for(self, y: Any) -> int: ...
    def wait_for_other(self, y: Any) -> int: ...
    def park_on(self, y: Any) -> BaseException | None: ...
    def cancel_waiter(self) -> int: ...
    def stepped_too_late(self) -> int: ...
    def step_again(self, error: BaseException) -> int: ...
    def end(self, kind: int, value: Any) -> int: ...

def spawn(
    loop: Any,
    queue: Ready,
    roster: Roster,
    stepper: Step,
    coro: Coroutine[Any, Any, _T],
    name: object,
    context: Context | None,
    eager: bool,
) -> Task[_T]: ...

eager_factories: list[Any]
