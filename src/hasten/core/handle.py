"""Callbacks that will run: Handle, and TimerHandle with a deadline."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextvars import Context
from typing import Any

import cython

from hasten.core import describe, ready, report
from hasten.core.ready import Ready
from hasten.core.timers import Timers
from hasten.kernel import functions, step
from hasten.kernel.step import Step

_StdlibHandle = asyncio.Handle
_StdlibTimerHandle: Any = asyncio.TimerHandle  # what is an instance of it has our fields, or the same in Python


@cython.cclass
class Handle:
    """A callback with its arguments and context, as call_soon() gives it.

    Arguments are those of asyncio.Handle: the callback, a sequence of its arguments, the loop, and the
    context to run in (None: a copy of the current one).
    """

    _callback: Callable[..., Any] | None
    args: Any
    context: Context | None
    shared: bool
    _loop: Any
    _source_traceback: Any
    _cancelled: bool

    def __init__(self, callback: Callable[..., Any], args: Any, loop: Any, context: Context | None = None) -> None:
        self._callback = callback
        self.args = () if args is None else tuple(args)
        self._loop = loop
        self.context = step.copy_context() if context is None else context
        self.shared = False
        if loop is not None and loop.get_debug():
            self._source_traceback = describe.extract_stack(sys._getframe(0))

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # isinstance(handle, asyncio.Handle) holds without its layout
        return _StdlibHandle

    @property
    def _args(self) -> tuple[Any, ...] | None:
        args = self.args
        return args if args is None or type(args) is tuple else (args,)

    def cancel(self) -> None:
        """Keep the callback from running. Cancelling again does nothing."""
        self.drop()

    def drop(self) -> int:
        if not self._cancelled:
            self._cancelled = True
            if self._source_traceback is not None:  # debug mode: what it was can still be told
                self._source_traceback.description = f"<{' '.join(self._repr_info())}>"
            # both are gone before what they held runs anything
            callback, args = self._callback, self.args
            self._callback = None
            self.args = None
            del callback, args
        return 0

    def cancelled(self) -> bool:
        """True once cancel() was called."""
        return self._cancelled

    def get_context(self) -> Context:
        """Return the context that the callback runs in."""
        return self.own_context()

    @property
    def _context(self) -> Context:
        return self.own_context()

    def own_context(self) -> Context:
        """Return the context for a caller who may keep it."""
        context = self.context
        if context is None:  # it runs
            return step.copy_context()
        if self.shared:
            copy = context.copy()
            if not self.shared:  # to make the copy has run somebody who asked the same
                return self.own_context()
            self.context = context = copy
            self.shared = False
        return context

    def run(self, st: Step) -> int:
        """Call the callback, unless cancelled; report its exception to the loop's handler.

        All that is called with is held here: the callback may cancel its own handle, and what is dropped then must not
        run anything before it is known how the call ended.
        """
        callback = self._callback
        args = self.args if cython.compiled else self._args
        context = self.context
        if self._cancelled or args is None:
            return 0
        if self.shared and context is not None:  # None: it runs
            self.context = None  # so that the count of its references tells who shares it
            out = st.call_shared(context, callback, args)  # type: ignore[arg-type]
            if step.ran_apart(out):
                self.shared = False
                self.context = step.take_context(out)
            else:
                self.context = context
        else:
            out = st.call(context if context is not None else step.copy_context(), callback, args)  # type: ignore[arg-type]
        value = step.take_value(out)
        if out.kind == step.RAISED:
            self.failed(value)
        return 0

    def _run(self) -> None:
        """Do as run(), for loops that are not hasten's."""
        callback = self._callback
        args = self._args
        if self._cancelled or callback is None or args is None:
            return
        try:
            self.own_context().run(callback, *args)
        except BaseException as exc:
            self.failed(exc)

    def failed(self, exc: BaseException) -> int:
        if step.ends_loop(exc):
            raise exc
        report.callback_failed(self, exc)
        return 0

    def __repr__(self) -> str:
        if self._cancelled and self._source_traceback is not None:
            return self._source_traceback.description  # type: ignore[no-any-return]
        return f"<{' '.join(self._repr_info())}>"

    def _repr_info(self) -> list[str]:
        info = [type(self).__name__]
        if self._cancelled:
            info.append("cancelled")
        if self._callback is not None:
            info.append(describe.safe_callback(self._callback, self._args, self._loop))
        if self._source_traceback:
            frame = self._source_traceback[-1]
            info.append(f"created at {frame[0]}:{frame[1]}")
        return info


@cython.cclass
class TimerHandle(Handle):
    """A Handle with a deadline, as call_later() and call_at() give it."""

    due: float
    whole: bool
    _scheduled: bool
    timers: Timers | None

    def __init__(
        self, when: float, callback: Callable[..., Any], args: Any, loop: Any, context: Context | None = None
    ) -> None:
        if when is None:
            raise TypeError("when cannot be None")
        Handle.__init__(self, callback, args, loop, context)
        self.due = when
        self.whole = type(when) is int

    @property
    def _when(self) -> float:
        return int(self.due) if self.whole else self.due

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return _StdlibTimerHandle  # type: ignore[no-any-return]

    def when(self) -> float:
        """Return the deadline, in seconds on the clock of loop.time()."""
        return self._when

    def cancel(self) -> None:
        """Keep the callback from running. Cancelling again does nothing."""
        if self._cancelled:
            return
        if not self._scheduled or self.timers is None:
            self.drop()
            if self._scheduled:
                self._loop._timer_handle_cancelled(self)
            return
        timers = cython.cast(Timers, self.timers)
        timers.cancelled += 1  # before anything is dropped: what that runs may take this one out of the heap
        self.drop()
        if timers.crowded():
            sweep(timers)

    def _repr_info(self) -> list[str]:
        info = Handle._repr_info(self)
        info.insert(2 if self._cancelled else 1, f"when={self._when!r}")
        return info

    def __hash__(self) -> int:
        return hash(self._when)

    def __lt__(self, other: Any) -> Any:
        return self._when < other._when if isinstance(other, _StdlibTimerHandle) else NotImplemented

    def __le__(self, other: Any) -> Any:
        if not isinstance(other, _StdlibTimerHandle):
            return NotImplemented
        return self._when < other._when or self.__eq__(other)

    def __gt__(self, other: Any) -> Any:
        return self._when > other._when if isinstance(other, _StdlibTimerHandle) else NotImplemented

    def __ge__(self, other: Any) -> Any:
        if not isinstance(other, _StdlibTimerHandle):
            return NotImplemented
        return self._when > other._when or self.__eq__(other)

    def __eq__(self, other: Any) -> Any:
        if not isinstance(other, _StdlibTimerHandle):
            return NotImplemented
        return (
            self._when == other._when
            and self._callback == other._callback
            and self._args == other._args
            and self._cancelled == other._cancelled
        )


def prepare(loop: Any, callback: Callable[..., Any], context: Context | None) -> Handle:
    """Return a new Handle that still lacks its arguments."""
    h = Handle.__new__(Handle)
    h._callback = callback
    h._loop = loop
    if context is None:
        h.context = step.snapshot()
        h.shared = cython.compiled
    else:
        h.context = context
    return h


def post(
    loop: Any, queue: Ready, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None
) -> Handle:
    """Put a new Handle into the ready queue."""
    h = prepare(loop, callback, context)
    h.args = args
    queue.push(h, ready.HANDLE)
    return h


def post_at(
    loop: Any, timers: Timers, when: float, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None
) -> TimerHandle:
    """Put a new TimerHandle into the heap."""
    h = TimerHandle.__new__(TimerHandle)
    h._callback = callback
    h.args = args
    h._loop = loop
    if context is None:
        h.context = step.snapshot()
        h.shared = cython.compiled
    else:
        h.context = context
    h.due = when
    h._scheduled = True
    h.timers = timers
    timers.push(h, when)
    return h


def sweep(timers: Timers) -> int:
    """Take the cancelled timers out of the heap."""
    n = timers.count()
    for i in range(n):
        if not cython.cast(TimerHandle, timers.at(i))._cancelled:
            timers.retain(i)
    return timers.end_sweep()


def disarm(timer: TimerHandle) -> int:
    """Cancel a timer that has no callback and arguments to let go of.

    Most timeouts end before their time. A timer that was set last, and later than all others, is taken out on the spot.
    """
    timers = timer.timers
    if timer._cancelled:
        return 0
    timer._cancelled = True
    if not timer._scheduled or timers is None:
        return 0
    if timers.take_last(timer):
        timer._scheduled = False
        return 0
    timers.cancelled += 1
    if timers.crowded():
        sweep(timers)
    return 0


def seconds(value: Any, method: str, what: str) -> float:
    """Return as a float the number of seconds that a caller gave. Raises TypeError or ValueError."""
    if value is None:
        raise TypeError(f"{what} must not be None: {method}() takes a number of seconds")
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError(f"{what} of {method}() must be a number of seconds, got {value!r}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{what} of {method}() must be a number of seconds, got {value!r}") from None
    if number != number:
        raise ValueError(f"Invalid {what}: NaN (not a number)")
    return number


step.pool(Handle, 256)
step.pool(TimerHandle, 256)
functions.publish(Handle, "(callback, args, loop, context=None)")
functions.publish(TimerHandle, "(when, callback, args, loop, context=None)")
functions.share(Handle, _StdlibHandle)
functions.share(TimerHandle, _StdlibTimerHandle)
