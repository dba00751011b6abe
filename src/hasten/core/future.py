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

from hasten.core import describe, handle, ready, report, state, waiters
from hasten.core import probe as probes
from hasten.core.handle import Handle
from hasten.core.ready import Ready
from hasten.kernel import functions, step
from hasten.kernel.step import Awaitable

_Stdlib, _NAMES = asyncio.Future, ("PENDING", "CANCELLED", "FINISHED")


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

        def __reduce_ex__(self, protocol: Any) -> Any:
            raise TypeError(f"cannot pickle {type(self).__name__!r} object")

        def tell_of(self, event: int) -> int:
            return 0 if self.queue is None else self.queue.tell_of(event, self)

        def tell_of_step(self, future: Any) -> int:
            return 0 if self.queue is None else self.queue.tell_of_step(self, future)

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
    def __class_getitem__(cls, item: Any, /) -> GenericAlias:
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
        return [(waiters.callback_of(entry), entry.get_context()) for entry in self.everybody()] or None

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

    # ---- asking ---------------------------------------------------------------------------

    def get_loop(self) -> Any:
        """Return the event loop that the future belongs to."""
        if self._loop is None:
            raise RuntimeError("Future object is not initialized. Call super().__init__() in its class first")
        return self._loop

    def done(self) -> bool:
        """True once the future has a result or an exception, or is cancelled."""
        return self.status != state.PENDING

    def cancelled(self) -> bool:
        """True if the future was cancelled."""
        return self.status == state.CANCELLED

    def result(self) -> Any:
        """Return the result. Raises the exception that was set, CancelledError, or InvalidStateError if not done."""
        if self.status == state.FINISHED and self.error is None:
            return self.outcome
        raise self.take_failure()

    def exception(self) -> BaseException | None:
        """Return the exception that was set, or None. Raises CancelledError, or InvalidStateError if not done."""
        if self.status == state.FINISHED:
            self.log_tb = False
            return self.error
        if self.status == state.CANCELLED:
            raise self.take_cancelled_error()
        raise InvalidStateError("Exception is not set.")

    def take_failure(self) -> BaseException:
        """Return what result() raises when there is no result."""
        if self.status == state.CANCELLED:
            return self.take_cancelled_error()
        if self.status == state.PENDING or self.error is None:
            return waiters.made(InvalidStateError, "Result is not set.")
        self.log_tb = False
        # Each raise starts from the traceback that it came with, or it would grow with every waiter.
        exc = self.error
        step.set_traceback(exc, self.error_tb)
        return exc

    def take_cancelled_error(self) -> BaseException:
        """Return the CancelledError to raise: the first time, the very one that ended a task."""
        exc = self.error
        if exc is not None and self.status == state.CANCELLED:  # else it is another one, and has to stay
            self.error = None
            return exc
        return waiters.made(CancelledError, self.cancel_message)

    def _make_cancelled_error(self) -> BaseException:
        return self.take_cancelled_error()

    # ---- finishing ------------------------------------------------------------------------

    def set_result(self, result: Any, /) -> None:
        """Mark the future done with a result. Raises InvalidStateError if it is done already."""
        if not self.finish(result):
            raise waiters.done_already(self)

    def finish(self, result: Any) -> bool:
        """Do as set_result() unless it is done; return False if it was."""
        if self.status == state.PENDING and self.guarded():
            self.check_use()
        if self.status != state.PENDING:
            return False
        self.outcome = result
        self.status = state.FINISHED
        self.schedule()
        return True

    def set_exception(self, exception: Any, /) -> None:
        """Mark it done with an exception (an instance or a class). Raises InvalidStateError if it is done already."""
        if not self.fail(exception):
            raise waiters.done_already(self)

    def fail(self, exception: Any) -> bool:
        """Do as set_exception() unless it is done; return False if it was."""
        if self.status != state.PENDING:
            return False
        # what can run anybody's code comes first: a class's __init__() may be what completes this future
        exception = waiters.as_exception(exception)
        tb = step.traceback_of(exception)
        if self.guarded():
            self.check_use()
        if self.status != state.PENDING:
            return False
        self.error = exception
        self.error_tb = tb
        self.status = state.FINISHED
        self.log_tb = True
        self.schedule()
        return True

    def cancel(self, msg: Any = None) -> bool:
        """Cancel the future and schedule its callbacks; return False if it is done already."""
        return self.do_cancel(msg)

    def do_cancel(self, msg: Any) -> bool:
        self.log_tb = False
        if self.status == state.PENDING and self.guarded():
            self.check_use()
        if self.status != state.PENDING:
            return False
        self.status = state.CANCELLED
        self.cancel_message = msg
        self.schedule()
        return True

    def check_use(self) -> int:
        """Raise RuntimeError, before anything has changed, if those who wait cannot be woken (from this thread)."""
        loop = self.get_loop()
        if self.queue is not None and self.queue.debug:
            loop._check_thread()
        if self.waiter is not None or self.callbacks is not None:
            waiters.check_loop(loop, self.queue is not None)
        return 0

    def abandoned(self) -> bool:
        """True if its loop is closed, so that no task on it goes on."""
        return self.guarded() and self._loop is not None and self._loop.is_closed()

    # ---- waiting --------------------------------------------------------------------------

    def park(self, entry: Any) -> bool:
        """Wake a task (or call a Handle that still lacks its arguments) when done, in the order in which they came.

        Returns False if it is done already: nothing will be woken.
        """
        more = [entry] if self.callbacks is None and self.waiter is not None else None
        # To make the list may have run anything. Nothing below does.
        if self.status != state.PENDING:
            return False
        if self.callbacks is not None:
            self.callbacks.append(entry)
        elif self.waiter is None:
            self.waiter = entry
        else:
            self.callbacks = more
        return True

    def collect(self, child: Any) -> int:
        """Have child_done(child) called on this future, in its turn among the child's callbacks."""
        if step.is_instance(child, Future):
            f = cython.cast(Future, child)
            if f.status == state.PENDING and f.waiter is None and f.callbacks is None and f.queue is not None:
                f.waiter = self
                f.collected = True
                return 0
        child.add_done_callback(self._wakeup)
        return 0

    def tell_collector(self) -> int:
        """Tell the collector of a child that is done, when the ready queue gets to it."""
        collector = self.waiter
        if collector is not None and self.collected:
            self.waiter = None
            self.collected = False
            try:
                cython.cast(Future, collector).child_done(self)
            except BaseException as exc:
                report.escaped(self._loop, exc, f"Exception while {describe.safe(collector)} was told of a result")
        return 0

    def child_done(self, child: Any) -> int:
        """Take note of a child that is done. For collectors."""
        return 0

    def _wakeup(self, future: Any) -> None:
        """Run as a collector's callback of a child that is no hasten future, or that has callbacks already."""
        self.child_done(future)

    def get_context(self) -> Context:
        """Return the context in which a collector looks at its children: any will do."""
        return step.copy_context()

    def schedule(self) -> int:
        """Wake who waits. Raises what refused to be called, once all the others are woken."""
        task = self.waiter
        if self.callbacks is not None or self.queue is None or self.queue.slow:
            return self.schedule_all()
        if task is None:
            return 0
        if self.collected:
            self.queue.push(self, ready.CHILD)
            return 0
        self.waiter = None
        return self.wake(task)

    def schedule_all(self) -> int:
        """Do what schedule() does for several, in debug mode, for observers, and on a loop that is not ours."""
        queue = self.queue
        if self.callbacks is None and not self.collected and queue is not None and type(self.waiter) is not Handle:
            task, self.waiter = self.waiter, None
            if task is not None:
                self.wake(task)
                queue.tell_probe(probes.WOKEN, task, self)
            return 0
        refused = None
        first = self if self.collected and queue is not None else self.waiter
        if first is not self:  # else it is told by an entry of its own kind, and stays where it is until then
            self.waiter, self.collected = None, False
        others, self.callbacks = self.callbacks, None  # a list of all would need memory, or they hang
        for i in range(0 if first is None else -1, 0 if others is None else len(others)):
            entry = first if i < 0 else others[i]  # type: ignore[index]
            try:
                self.wake(entry)
                if queue is not None and entry is not self and type(entry) is not Handle:
                    queue.tell_probe(probes.WOKEN, entry, self)
            except BaseException as exc:  # this is report.graver(), for whose call there may be no memory either
                if refused is None or (step.ends_loop(exc) and not step.ends_loop(refused)):
                    refused = exc
        if refused is not None:
            raise refused
        return 0

    def wake(self, entry: Any) -> int:
        """Schedule a callback's call, a task's step, or a collector's turn for the next batch."""
        if self.queue is None:  # on a loop that is not ours everything goes through its call_soon()
            self._loop.call_soon(waiters.callback_of(entry), self, context=entry.get_context())
        elif entry is self:
            self.queue.push(self, ready.CHILD)
        elif type(entry) is not Handle:
            self.queue.push(entry, ready.TASK)
        else:
            h = cython.cast(Handle, entry)
            if self.queue.debug:
                n = self.queue.count()
                try:
                    return self.call_back(h._callback, h.own_context())
                except BaseException as exc:  # Ctrl-C, or no memory to note the place of the call: it is called yet
                    if self.queue.count() == n and (step.ends_loop(exc) or step.is_instance(exc, MemoryError)):
                        h.args = self
                        self.queue.push(h, ready.HANDLE)
                        if not step.ends_loop(exc):
                            return 0
                    raise
            h.args = self
            self.queue.push(h, ready.HANDLE)
        return 0

    def call_back(self, fn: Any, context: Context | None) -> int:
        if self.queue is None or self.queue.guarded:
            self.get_loop().call_soon(fn, self, context=context)
        else:
            handle.post(self._loop, self.queue, fn, (self,), context)
        return 0

    def add_done_callback(self, fn: Callable[[Any], object], /, *, context: Context | None = None) -> None:
        """Call fn(future) soon after it is done, in `context` (None: a copy of the current one)."""
        if self.status != state.PENDING:
            self.call_back(fn, context)
        else:
            h = handle.prepare(self._loop if self.queue is not None else self.get_loop(), fn, context)
            if not self.park(h):
                self.call_back(fn, h.own_context())

    def remove_done_callback(self, fn: Callable[[Any], object], /) -> int:
        """Remove all instances of a callback; return how many there were."""
        if self.queue is None:
            self.get_loop()
        entries = self.everybody()
        at = waiters.find(entries, fn)  # runs nothing: the entries are still those
        if at < 0:
            return self.remove_all(waiters.equal(entries, fn)) if at == waiters.UNKNOWN else 0
        if self.waiter is not None:
            at -= 1
        if at < 0:
            self.collected, self.waiter = False, None
        else:
            del self.callbacks[at]  # type: ignore[union-attr]
        return 1

    def remove_all(self, gone: set[int]) -> int:
        """Remove entries by their identities; return how many there were."""
        kept: list[Any] = []  # to make the list may run anything; nothing does until it has its place
        removed = 0
        if self.waiter is not None and id(self.waiter) in gone:
            self.collected, self.waiter = False, None  # in this order: to drop who waits may run anything
            removed = 1
        if self.callbacks is not None:
            for entry in self.callbacks:
                if id(entry) in gone:
                    removed += 1
                else:
                    kept.append(entry)
            self.callbacks = kept or None
        return removed

    def everybody(self) -> list[Any]:
        """List who waits: tasks and handles, and collectors."""
        waiting = [] if self.waiter is None else [self.waiter]
        return waiting if self.callbacks is None else waiting + self.callbacks

    def __await__(self) -> Generator[Any, None, Any]:
        it = new_iter()
        it.future = self
        return it  # type: ignore[return-value]

    def __iter__(self) -> Generator[Any, None, Any]:
        return self.__await__()

    # ---- showing --------------------------------------------------------------------------

    def __repr__(self) -> str:
        return describe.future(self)

    def __del__(self) -> None:
        if self.log_tb and self.status == state.FINISHED and self._loop is not None:
            self.log_tb = False
            if report is not None:  # else the interpreter has taken its modules apart: there is nobody to tell
                report.unseen(self, type(self).__name__, self.error, None)

    def __dealloc__(self) -> None:
        step.drop_attributes(self)


step.lazy_attributes(Future)


@cython.cclass
class FutureIter(Awaitable):
    """The iterator of `await future`. stage 1: it has yielded the future."""

    future: Future | None

    def resume(self) -> int:
        f = self.future
        if f is None:
            self.value = None
            return step.RETURNED
        if f.status == state.PENDING:
            if self.stage == step.SUSPENDED:
                self.future = None
                self.value = RuntimeError("await wasn't used with future")
                return step.RAISED
            self.stage = step.SUSPENDED
            f.blocking = True
            self.value = f
            return step.YIELDED
        self.future = None
        if f.status == state.FINISHED and f.error is None:
            self.value = f.outcome
            step.keep_spare(step.SPARE_WAIT, self)
            return step.RETURNED
        self.value = f.take_failure()
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


def new_iter() -> FutureIter:
    spare = step.take_spare(step.SPARE_WAIT)
    return cython.cast(FutureIter, FutureIter.__new__(FutureIter) if spare is None else spare)


def new_future(loop: Any, queue: Ready) -> Future:
    """Do as loop.create_future(), by the short way."""
    f = Future.__new__(Future)
    f._loop = loop
    f.queue = queue
    return f


functions.publish(Future, "(*, loop=None)")
functions.share(Future, _Stdlib)
