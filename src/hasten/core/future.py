"""asyncio.Future: a result to come, and who waits for it."""

from __future__ import annotations

import asyncio
import sys
from asyncio import CancelledError, InvalidStateError
from collections.abc import Callable, Generator
from contextvars import Context
from types import GenericAlias
from typing import Any

import cython

from hasten.core import describe, handle, ready, state
from hasten.core.handle import Handle
from hasten.core.ready import Ready
from hasten.kernel import step
from hasten.kernel.step import Awaitable

_Stdlib = asyncio.Future
_NAMES = ("PENDING", "CANCELLED", "FINISHED")


@cython.cclass
class Future:
    """A result to come. `loop` is the event loop it belongs to (default: the current one).

    Not thread-safe, as asyncio's: from another thread use loop.call_soon_threadsafe(fut.set_result, ...).
    """

    _loop: Any
    queue: Ready | None
    status: int
    blocking: bool
    log_tb: bool
    outcome: Any
    error: BaseException | None
    error_tb: Any
    waiter: Any
    callbacks: list[Any] | None
    cancel_message: Any
    _source_traceback: Any
    collected: bool
    _asyncio_awaited_by: set[Any] | None
    if not cython.compiled:
        _loop = queue = None
        status = state.PENDING
        blocking = log_tb = collected = False
        outcome = error = error_tb = waiter = callbacks = cancel_message = _source_traceback = None
        _asyncio_awaited_by = None

        def __reduce_ex__(self, protocol: Any) -> Any:
            raise TypeError(f"cannot pickle {type(self).__name__!r} object")

        def guarded(self) -> bool:
            return self.queue is None or self.queue.guarded

    def __init__(self, *, loop: Any = None) -> None:
        if self._loop is not None:
            raise RuntimeError(f"{type(self).__name__} object is already initialized")
        if loop is None:
            loop = asyncio.get_event_loop()
        queue = getattr(loop, "_ready", None)
        self._loop = loop
        self.queue = queue if type(queue) is Ready else None
        self.status = state.PENDING
        self.blocking = self.log_tb = False
        self.outcome = self.error = self.error_tb = None
        self.callbacks = None
        if loop.get_debug():
            self._source_traceback = describe.extract_stack(sys._getframe(0))

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # isinstance(fut, asyncio.Future) holds without its layout
        return _Stdlib

    @classmethod
    def __class_getitem__(cls, item: Any) -> GenericAlias:
        return GenericAlias(cls, item)

    # ---- what asyncio shows, and libraries read -------------------------------------------

    @property
    def _asyncio_future_blocking(self) -> bool:
        return bool(self.blocking)

    @_asyncio_future_blocking.setter
    def _asyncio_future_blocking(self, value: bool) -> None:
        self.blocking = bool(value)

    @_asyncio_future_blocking.deleter
    def _asyncio_future_blocking(self) -> None:
        raise AttributeError("cannot delete attribute")

    @property
    def _state(self) -> str:
        return _NAMES[self.status]

    @property
    def _result(self) -> Any:
        return self.outcome

    @property
    def _exception(self) -> BaseException | None:
        return self.error if self.status == state.FINISHED else None

    @property
    def _callbacks(self) -> list[Any] | None:
        return self.entries() or None

    @property
    def _log_traceback(self) -> bool:
        return bool(self.log_tb)

    @_log_traceback.setter
    def _log_traceback(self, value: bool) -> None:
        if value:
            raise ValueError("_log_traceback can only be set to False")
        self.log_tb = False

    @_log_traceback.deleter
    def _log_traceback(self) -> None:
        raise AttributeError("cannot delete attribute")

    @property
    def _cancel_message(self) -> Any:
        return self.cancel_message

    @_cancel_message.setter
    def _cancel_message(self, value: Any) -> None:
        self.cancel_message = value

    @_cancel_message.deleter
    def _cancel_message(self) -> None:
        raise AttributeError("cannot delete attribute")

    def entries(self) -> list[Any]:
        """Who waits, as asyncio lists it: (callback, context)."""
        waiting = [] if self.waiter is None else [self.waiter]
        if self.callbacks is not None:
            waiting += self.callbacks
        return [(callback_of(entry), entry.get_context()) for entry in waiting]

    # ---- asking ---------------------------------------------------------------------------

    def get_loop(self) -> Any:
        """The event loop that the future belongs to."""
        if self._loop is None:
            raise RuntimeError("Future object is not initialized. Call super().__init__() in its class first")
        return self._loop

    def done(self) -> bool:
        """True once there is a result, an exception, or it is cancelled."""
        return self.status != state.PENDING

    def cancelled(self) -> bool:
        """True if it was cancelled."""
        return self.status == state.CANCELLED

    def result(self) -> Any:
        """The result; raises the exception that was set, CancelledError, or InvalidStateError if not done."""
        if self.status == state.FINISHED and self.error is None:
            return self.outcome
        raise self.failure()

    def exception(self) -> BaseException | None:
        """The exception that was set, or None; raises CancelledError, or InvalidStateError if not done."""
        if self.status == state.FINISHED:
            self.log_tb = False
            return self.error
        if self.status == state.CANCELLED:
            raise self.make_cancelled()
        raise InvalidStateError("Exception is not set.")

    def failure(self) -> BaseException:
        """What result() raises when there is no result to give."""
        if self.status == state.CANCELLED:
            return self.make_cancelled()
        if self.status == state.PENDING or self.error is None:
            return InvalidStateError("Result is not set.")
        self.log_tb = False
        # each raise starts from the traceback that it came with, or it would grow with every waiter
        return self.error.with_traceback(self.error_tb)

    def make_cancelled(self) -> BaseException:
        """The CancelledError to raise: the very one that ended a task, the first time."""
        exc = self.error
        if exc is not None and self.status == state.CANCELLED:  # else it is another one, and has to stay
            self.error = None
            return exc
        return CancelledError() if self.cancel_message is None else CancelledError(self.cancel_message)

    def _make_cancelled_error(self) -> BaseException:
        return self.make_cancelled()

    # ---- finishing ------------------------------------------------------------------------

    def set_result(self, result: Any, /) -> None:
        """Marks it done with a result; raises InvalidStateError if it is done already."""
        self.finish(result)

    def finish(self, result: Any) -> int:
        if self.status != state.PENDING:
            raise InvalidStateError(f"invalid state: {self!r} is done already")
        if self.guarded():
            self.check_use()
        self.outcome = result
        self.status = state.FINISHED
        self.schedule()
        return 0

    def set_exception(self, exception: Any, /) -> None:
        """Marks it done with an exception (an instance or a class); InvalidStateError if it is done already."""
        if self.status != state.PENDING:
            raise InvalidStateError(f"invalid state: {self!r} is done already")
        if isinstance(exception, type):
            exception = exception()
        if not isinstance(exception, BaseException):
            raise TypeError(f"invalid exception object: an exception was expected, got {exception!r}")
        if isinstance(exception, StopIteration):
            # it would end the generator that awaits instead of reaching it
            wrapped = RuntimeError("StopIteration interacts badly with generators and cannot be raised into a Future")
            wrapped.__cause__ = wrapped.__context__ = exception
            exception = wrapped
        if self.guarded():
            self.check_use()
        self.error = exception
        self.error_tb = exception.__traceback__
        self.status = state.FINISHED
        self.schedule()
        self.log_tb = True

    def cancel(self, msg: Any = None) -> bool:
        """Cancels it and schedules its callbacks; False if it is done already."""
        return self.do_cancel(msg)

    def do_cancel(self, msg: Any) -> bool:
        self.log_tb = False
        if self.status != state.PENDING:
            return False
        if self.guarded():
            self.check_use()
        self.status = state.CANCELLED
        self.cancel_message = msg
        self.schedule()
        return True

    def check_use(self) -> int:
        """Can those who wait be woken, from this thread? RuntimeError, before anything has changed, if not."""
        loop = self.get_loop()
        if self.queue is not None and self.queue.debug:
            loop._check_thread()
        if self.waiter is None and self.callbacks is None:
            return 0
        if loop.is_closed():
            raise RuntimeError("Event loop is closed")
        if self.queue is None and loop.get_debug() and loop.is_running() and asyncio._get_running_loop() is not loop:
            raise RuntimeError(describe.WRONG_THREAD)
        return 0

    def abandoned(self) -> bool:
        """Is its loop closed, so that nobody on it goes on?"""
        return self.guarded() and self._loop is not None and self._loop.is_closed()

    # ---- waiting --------------------------------------------------------------------------

    def park(self, task: Any) -> int:
        """Wakes a task (or calls, by a Handle without its arguments) when done, in the order in which they came."""
        if self.callbacks is not None:
            self.callbacks.append(task)
        elif self.waiter is None:
            self.waiter = task
        else:
            self.callbacks = [task]
        return 0

    def collect(self, child: Any) -> int:
        """Has child_done(child) called on this future, in its turn among the child's callbacks."""
        if isinstance(child, Future):
            f = cython.cast(Future, child)
            if f.status == state.PENDING and f.waiter is None and f.callbacks is None and f.queue is not None:
                f.waiter = self
                f.collected = True
                return 0
        child.add_done_callback(self._wakeup)
        return 0

    def tell_collector(self) -> int:
        """The ready queue's turn for a child that is done."""
        collector = self.waiter
        if collector is not None:
            self.waiter = None
            self.collected = False
            cython.cast(Future, collector).child_done(self)
        return 0

    def child_done(self, child: Any) -> int:
        """For collectors."""
        return 0

    def _wakeup(self, future: Any) -> None:
        """A collector's callback for a child that is not ours, or that has callbacks already."""
        self.child_done(future)

    def get_context(self) -> Context:
        """The context in which a collector looks at its children: any."""
        return step.copy_context()

    def schedule(self) -> int:
        """Wakes who waits."""
        task = self.waiter
        if task is not None and self.queue is not None:
            if self.collected:
                self.queue.push(self, ready.CHILD)
            else:
                self.waiter = None
                self.wake(task)
        if self.callbacks is not None or self.queue is None:
            self.schedule_rest()
        return 0

    def wake(self, entry: Any) -> int:
        """A callback's call or a task's step, in the next batch."""
        if type(entry) is not Handle:
            self.queue.push(entry, ready.TASK)  # type: ignore[union-attr]
            return 0
        h = cython.cast(Handle, entry)
        if self.queue.debug:  # type: ignore[union-attr]
            return self.call_back(h._callback, h.own_context())
        h._args = (self,)
        self.queue.push(h, ready.HANDLE)  # type: ignore[union-attr]
        return 0

    def schedule_rest(self) -> int:
        if self.queue is None:
            return self.schedule_foreign()
        waiting = self.callbacks
        self.callbacks = None
        if waiting is not None:
            for entry in waiting:
                self.wake(entry)
        return 0

    def schedule_foreign(self) -> int:
        """On a loop that is not ours everything goes through its call_soon()."""
        loop = self.get_loop()
        waiting = self.entries()
        self.waiter = self.callbacks = None
        self.collected = False
        for fn, context in waiting:
            loop.call_soon(fn, self, context=context)
        return 0

    def call_back(self, fn: Any, context: Context | None) -> int:
        if self.queue is None or self.queue.guarded:
            self.get_loop().call_soon(fn, self, context=context)
        else:
            handle.post(self._loop, self.queue, fn, (self,), context)
        return 0

    def add_done_callback(self, fn: Callable[[Any], object], /, *, context: Context | None = None) -> None:
        """Calls fn(future) soon after it is done, in `context` (None: a copy of the current one)."""
        if self.status != state.PENDING:
            self.call_back(fn, context)
            return
        if self.queue is None:
            self.get_loop()
        self.park(handle.prepare(self._loop, fn, context))

    def remove_done_callback(self, fn: Callable[[Any], object], /) -> int:
        """Removes all instances of a callback; returns how many there were."""
        if self.queue is None:
            self.get_loop()
        waiter = self.waiter
        if self.callbacks is None:
            # __eq__ may be anything and do anything
            if waiter is not None and callback_of(waiter) == fn and self.waiter is waiter:
                self.waiter = None
                self.collected = False
                return 1
            return 0
        # compare over a copy, then remove by identity
        matching = [entry for entry in [waiter, *self.callbacks] if entry is not None and callback_of(entry) == fn]
        if not matching:
            return 0
        gone = {id(entry) for entry in matching}
        if self.waiter is not None and id(self.waiter) in gone:
            self.waiter = None
            self.collected = False
        if self.callbacks is not None:
            kept = [entry for entry in self.callbacks if id(entry) not in gone]
            self.callbacks = kept or None
        return len(matching)

    def __await__(self) -> Generator[Any, None, Any]:
        it = new_iter()
        it.future = self
        return it  # type: ignore[return-value]

    def __iter__(self) -> Generator[Any, None, Any]:
        it = new_iter()
        it.future = self
        return it  # type: ignore[return-value]

    # ---- showing --------------------------------------------------------------------------

    def __repr__(self) -> str:
        return describe.future(self)

    def __del__(self) -> None:
        if self.log_tb and self.status == state.FINISHED and self._loop is not None:
            self.log_tb = False
            self.report_lost(f"{type(self).__name__} exception was never retrieved")

    def __dealloc__(self) -> None:
        step.drop_attributes(self)

    def report_lost(self, message: str) -> None:
        context = {"message": message, "exception": self.error, "future": self}
        if self._source_traceback:
            context["source_traceback"] = self._source_traceback
        self._loop.call_exception_handler(context)


def callback_of(entry: Any) -> Any:
    """What somebody who waits has given, or would have, to add_done_callback()."""
    return cython.cast(Handle, entry)._callback if type(entry) is Handle else entry._wakeup


step.lazy_attributes(Future)


@cython.cclass
class FutureIter(Awaitable):
    """What `await future` drives. stage 1: it has yielded the future."""

    future: Future | None
    if not cython.compiled:
        future = None

    def resume(self) -> int:
        f = self.future
        if f is None:
            self.value = None
            return step.RETURNED
        if f.status == state.PENDING:
            if self.stage == 1:
                self.future = None
                self.value = RuntimeError("await wasn't used with future")
                return step.RAISED
            self.stage = 1
            f.blocking = True
            self.value = f
            return step.YIELDED
        self.future = None
        if f.status == state.FINISHED and f.error is None:
            self.value = f.outcome
            keep_iter(self)
            return step.RETURNED
        self.value = f.failure()
        return step.RAISED

    def resume_throw(self, exc: BaseException) -> int:
        self.future = None
        self.value = exc
        return step.RAISED

    def shut(self) -> int:
        self.future = self.value = None
        return step.RETURNED


step.native(FutureIter)
step.pool(FutureIter, 64)
step.pool(Future, 256)

# The one that ended last serves the next `await`, once nobody refers to it any more.
_spare: FutureIter | None = None


def new_iter() -> FutureIter:
    global _spare
    spare = _spare
    _spare = None
    if spare is not None and step.sole(spare):
        spare.stage = 0
        return spare
    return cython.cast(FutureIter, FutureIter.__new__(FutureIter))


def keep_iter(ended: FutureIter) -> int:
    global _spare
    _spare = ended
    return 0


def new_future(loop: Any, queue: Ready) -> Future:
    """loop.create_future() without the detours."""
    f = Future.__new__(Future)
    f._loop = loop
    f.queue = queue
    return f


def set_unless_done(fut: Any, result: Any) -> int:
    """Sets a result if nobody was faster, and if anybody can go on: for timers."""
    if type(fut) is Future:
        f = cython.cast(Future, fut)
        if f.status == state.PENDING and not (f.guarded() and f.abandoned()):
            f.finish(result)
    elif not fut.done():
        fut.set_result(result)
    return 0
