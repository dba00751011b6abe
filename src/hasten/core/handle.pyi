# Handles as a type checker sees them: isinstance(handle, asyncio.Handle) holds, so here it is a subclass.
# What handle.pxd declares has its C type there.

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

from hasten.core.ready import Ready
from hasten.core.timers import Timers
from hasten.kernel.step import Step

class Handle(asyncio.Handle):
    _callback: Callable[..., object] | None
    args: Any
    @property
    def _args(self) -> tuple[Any, ...] | None: ...  # type: ignore[override]
    context: Context | None
    shared: bool
    @property
    def _context(self) -> Context: ...
    _loop: Any
    _source_traceback: Any
    description: str | None
    def __init__(
        self, callback: Callable[..., object], args: Any, loop: Any, context: Context | None = None
    ) -> None: ...
    def get_context(self) -> Context: ...
    def run(self, st: Step) -> int: ...
    def own_context(self) -> Context: ...
    def drop(self) -> int: ...
    def failed(self, exc: BaseException) -> int: ...
    def _repr_info(self) -> list[str]: ...

class TimerHandle(Handle, asyncio.TimerHandle):
    due: float
    whole: bool
    @property
    def _when(self) -> float: ...  # type: ignore[override]
    _scheduled: bool
    timers: Timers | None
    def __init__(
        self, when: float, callback: Callable[..., object], args: Any, loop: Any, context: Context | None = None
    ) -> None: ...

def prepare(loop: Any, callback: Callable[..., object], context: Context | None) -> Handle: ...
def post(
    loop: Any, queue: Ready, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
) -> Handle: ...
def post_at(
    loop: Any,
    timers: Timers,
    when: float,
    callback: Callable[..., object],
    args: tuple[Any, ...],
    context: Context | None,
) -> TimerHandle: ...
def sweep(timers: Timers) -> int: ...
def disarm(timer: TimerHandle) -> int: ...
def seconds(value: Any, method: str, what: str) -> float: ...
