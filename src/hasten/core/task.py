"""asyncio.Task: runs a coroutine, one step per wake-up."""

from __future__ import annotations

import asyncio
import sys
from asyncio import CancelledError
from collections.abc import Coroutine
from contextvars import Context
from types import FrameType
from typing import Any

import cython

from hasten.core import advice, attending, describe, ready, registry, report, state, waiters
from hasten.core import probe as probes
from hasten.core.future import Future
from hasten.core.ready import Ready
from hasten.core.roster import Roster
from hasten.kernel import functions, step
from hasten.kernel.step import Step

_Stdlib, _numbers = asyncio.Task, 0
# task factories that mean: hasten's own tasks, started eagerly
eager_factories: list[Any] = [getattr(asyncio, "eager_task_factory", None)]


@cython.cclass
class Task(Future):
    """A coroutine that runs on a loop. The loop holds it until it is done, even if the program keeps no reference.

    `loop`: the event loop (default: the current one). `name`: default "Task-<number>". `context`: the context
    to run in (default: a copy of the current one). `eager_start`: run the first step at once, if the loop runs.
    """

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
    if not cython.compiled:

        def enlist(self) -> None:
            self.roster.add(self, self)

        def delist(self) -> None:
            self.roster.remove(self)

        def note_origin(self) -> None:
            self.origin = step.origin(0)

        def step_apart(self) -> int:
            return self.first_step()  # which sees what its maker handles: Python cannot hide that

    def __init__(
        self,
        coro: Any,
        *,
        loop: Any = None,
        name: object = None,
        context: Context | None = None,
        eager_start: bool = False,
    ) -> None:
        if not step.is_coroutine(coro):
            raise advice.no_coroutine(coro)
        if self.roster is not None and self.status == state.PENDING:
            raise RuntimeError(f"__init__() was called on {self!r}, which runs already")
        if name is not None:
            name = str(name)
        Future.__init__(self, loop=loop)
        stepper = getattr(self._loop, "_step", None)
        roster = getattr(self._loop, "_roster", None)
        if self.queue is not None and type(stepper) is Step and type(roster) is Roster:
            self.stepper, self.roster, self.foreign = stepper, roster, False
        else:
            self.stepper = Step(self._loop)
            self.roster = registry.roster_of(self._loop)
            self.foreign, self.queue = True, None
        self._coro, self.must_cancel, self._num_cancels_requested = coro, False, 0
        self._fut_waiter = self.pending_error = None
        self.start(name, context)
        self.enlist()
        if eager_start and self._loop.is_running():
            self.start_eagerly()
            return
        try:
            if not self.foreign:
                self._loop._check_closed()
            self.restep()
        except BaseException:  # most often a closed loop
            self.delist()
            raise

    def start(self, name: object, context: Context | None) -> int:
        """Set up all that a new task needs but its first step and its place in the roster."""
        if context is not None and type(context) is not Context:
            raise TypeError(f"a contextvars.Context was expected as context, got {context!r}")
        global _numbers
        _numbers += 1
        self.number = _numbers
        if name is not None:
            self.name = str(name)
        self._context = step.copy_context() if context is None else context
        self.log_destroy_pending = True
        self.note_origin()
        return self.tell_of(probes.MADE)

    def start_eagerly(self) -> int:
        """Run the first step, inside the caller's."""
        stepper, ours, entered = self.stepper, self.stepper.busy(), False
        try:
            if step.running_loop() is not self._loop and asyncio._get_running_loop() is not self._loop:
                raise RuntimeError(f"loop {describe.safe(self._loop)} is not the running loop")
            step.context_enter(self._context)
            entered = True
            before = stepper.swap(self)
        except BaseException:  # the context is entered already, or there is no memory. It will never run
            if entered:
                step.context_exit(self._context)
                if not ours:  # only here: in a wrong thread, what the loop's own publishes meanwhile is not ours
                    stepper.forget()
            self.delist()
            self.log_destroy_pending = False
            raise
        self.tell_of(probes.STEP_BEGINS)
        error = self.pending_error if self.step_apart() else None
        if error is not None:
            self.pending_error = None
        self.tell_of_step(self._fut_waiter)
        step.context_exit(self._context)
        stepper.swap(before)
        if self.status != state.PENDING:
            self._coro = None  # as asyncio's eager tasks do
        if not ours:
            stepper.forget()
        if error is not None:
            raise error
        return 0

    def first_step(self) -> int:
        """Run the first step for start_eagerly(); return 1 if it raised pending_error."""
        try:
            self.step_once(None if cython.compiled else self._context)
        except BaseException as exc:
            self.pending_error = exc
            return 1
        return 0

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return _Stdlib

    @property
    def _log_destroy_pending(self) -> bool:
        return bool(self.log_destroy_pending)

    @_log_destroy_pending.setter
    def _log_destroy_pending(self, value: bool) -> None:
        self.log_destroy_pending = bool(value)

    @_log_destroy_pending.deleter
    def _log_destroy_pending(self) -> None:
        raise AttributeError("cannot delete attribute")

    @property
    def _must_cancel(self) -> bool:
        return bool(self.must_cancel)

    def get_coro(self) -> Coroutine[Any, Any, Any] | None:
        """Return the coroutine that the task runs; None for one that completed eagerly and let go of it."""
        return self._coro  # type: ignore[no-any-return]

    def get_context(self) -> Context:
        """Return the context that the coroutine runs in."""
        return self._context

    def get_name(self) -> str:
        """Return the task's name."""
        if self.name is None:
            self.name = f"Task-{self.number}"
        return self.name

    def set_name(self, value: object, /) -> None:
        """Set the task's name, made a str if it is none."""
        self.name = str(value)

    def get_stack(self, *, limit: int | None = None) -> list[FrameType]:
        """Return the frames where the task is suspended, or those of its exception; at most `limit`."""
        return describe.stack_of(self, limit)

    def print_stack(self, *, limit: int | None = None, file: Any = None) -> None:
        """Print what get_stack() returns, as a traceback, to `file` (default: stderr)."""
        describe.print_stack_of(self, limit, sys.stderr if file is None else file)

    def created_at(self) -> tuple[str, int, str] | None:
        """The (file, line, function) where the task was made, or None if unknown. An addition of hasten's."""
        return step.origin_place(self.origin, self.origin_at)

    def set_result(self, result: Any, /) -> None:
        raise RuntimeError("Task does not support set_result operation: its coroutine gives the result")

    def set_exception(self, exception: Any, /) -> None:
        raise RuntimeError("Task does not support set_exception operation: its coroutine raises the exception")

    # ---- cancellation ---------------------------------------------------------------------

    def cancel(self, msg: Any = None) -> bool:
        """Ask for CancelledError(msg) to be thrown into the coroutine; return False if it is done already."""
        return self.do_cancel(msg)

    def do_cancel(self, msg: Any) -> bool:
        self.log_tb = False
        if self.status != state.PENDING:
            return False
        self._num_cancels_requested += 1
        t, waiter = self, self._fut_waiter
        if type(waiter) is Task:
            t = self.last_in_line()
            waiter = t._fut_waiter
        if waiter is not None:
            if type(waiter) is Future or type(waiter) is Task:
                if cython.cast(Future, waiter).do_cancel(msg):
                    return True
            elif waiter.cancel(msg=msg):
                return True
        t.must_cancel = True
        t.cancel_message = msg
        return True

    def last_in_line(self) -> Task:
        """Find the last task of the chain in which each waits for the next. All after this one are told."""
        t = seen = self  # a loop, since a chain can be longer than the C stack is deep
        steps = limit = 0
        while type(t._fut_waiter) is Task and cython.cast(Task, t._fut_waiter).status == state.PENDING:
            t = t._fut_waiter
            if t is seen:
                raise RecursionError(f"tasks wait for each other in a circle: {t!r}")
            steps += 1
            if steps > limit:  # if there is a circle, `seen` is in it before long
                seen = t
                limit = 2 * steps
            t.log_tb = False
            t._num_cancels_requested += 1
        return t

    def cancelling(self) -> int:
        """Return how many cancellations were asked for and not taken back."""
        return self._num_cancels_requested

    def uncancel(self) -> int:
        """Take one cancellation back; return how many are left."""
        if self._num_cancels_requested > 0:
            self._num_cancels_requested -= 1
            if self._num_cancels_requested == 0:
                self.must_cancel = False
        return self._num_cancels_requested

    def _interrupt(self, exc: BaseException) -> None:
        """Throw an exception in at the next step: for diagnosis, of a task that nothing will wake any more."""
        waiter, self._fut_waiter = self._fut_waiter, None
        if waiter is not None and self.status == state.PENDING:
            waiter.remove_done_callback(self._wakeup)  # or its end would wake the task a second time
            self.step_again(exc)

    # ---- stepping -------------------------------------------------------------------------

    def restep(self) -> int:
        """Schedule the next step."""
        if self.foreign:
            self._loop.call_soon(self._wakeup, None, context=self._context)
        else:
            self.queue.push(self, ready.TASK)  # type: ignore[union-attr]
        return 0

    def _wakeup(self, future: Any) -> None:
        """Step at once, as the callback of a future or loop of another make, which runs it in the task's context."""
        if self._coro is None:  # __init__() was not called
            return
        if self.status != state.PENDING:
            if self.foreign:
                self.stepped_too_late()
            return
        try:
            before = self.stepper.swap(self) if self.foreign else self.stepper.enter(self)
        except BaseException:  # no memory: the loop is told, and the step comes again, or nobody would wake the task
            self.restep()
            raise
        try:
            self.step_once(None)
        finally:
            if self.foreign:
                self.stepper.swap(before)

    def run(self) -> int:
        """Run one step, published as the current task. The next handle or poll takes that back."""
        if self.status != state.PENDING:
            return self.stepped_too_late()
        if not self.stepper.publishes(self):
            try:
                self.stepper.publish(self)
            except BaseException as exc:  # for lack of memory: the coroutine is told, if that can be done
                return self.step_again(exc) if self.pending_error is None else self.end(step.RAISED, exc)
        return self.step_once(self._context)

    def stepped_too_late(self) -> int:
        """Deal with a task that others have ended by Future.set_result(task, ...)."""
        self.delist()
        report.ended_already(self)
        return 0

    def step_once(self, context: Context | None) -> int:
        """Send or throw into the coroutine in `context` (None: as it is), then park, reschedule or end."""
        st = self.stepper
        error = None
        if self._fut_waiter is not None:
            error = self.take_wake_error()
        elif self.pending_error is not None:
            error = self.pending_error
            self.pending_error = None
        if self.must_cancel:
            error = self.take_cancellation(error)
        if error is None:
            out = st.send(self._coro, context)
        else:
            out = st.throw(self._coro, context, error)
        value = step.take_value(out)
        if out.kind != step.YIELDED:
            return self.end(out.kind, value)
        if value is None:
            return self.restep()
        return self.wait_for(value)

    def take_wake_error(self) -> BaseException | None:
        """Look how the future that it was parked on ended; return None, or the exception to throw."""
        waiter = self._fut_waiter
        self._fut_waiter = None
        if type(waiter) is Future or type(waiter) is Task:
            f = cython.cast(Future, waiter)
            if f.status == state.FINISHED and f.error is None:
                return None
            return f.take_failure()
        try:
            waiter.result()
        except BaseException as exc:
            return exc
        return None

    def take_cancellation(self, error: BaseException | None) -> BaseException | None:
        """Return the CancelledError to throw, unless one is on its way already."""
        self.must_cancel = False
        if step.is_instance(error, CancelledError):
            return error
        return self.take_cancelled_error()

    def wait_for(self, y: Any) -> int:
        """Park on what the coroutine yielded."""
        if type(y) is Future or type(y) is Task:
            f = cython.cast(Future, y)
            if not f.blocking or f._loop is not self._loop or y is self:
                return self.wait_for_other(y)
            f.blocking = False
            self._fut_waiter = y
            if not f.park(self):
                f.call_back(self._wakeup, self._context) if self.foreign else self.restep()
            elif self.must_cancel:
                self.cancel_waiter()
            return 0
        return self.wait_for_other(y)

    def wait_for_other(self, y: Any) -> int:
        """Park on a future of another make; or report a mistake to the coroutine."""
        try:
            error = self.park_on(y)
        except BaseException as exc:  # its methods may be anybody's code
            error = exc
        if error is not None and (self._fut_waiter is None or not step.ends_loop(error)):
            self.step_again(error)  # also where it ends the loop: the coroutine would wait for ever
        if error is not None and step.ends_loop(error):
            raise error
        return 0

    def park_on(self, y: Any) -> BaseException | None:
        blocking = getattr(y, "_asyncio_future_blocking", None)
        if blocking is None:
            return describe.bad_yield(self, y)
        loop = y.get_loop() if hasattr(y, "get_loop") else y._loop
        if loop is not self._loop or not blocking or y is self:
            return describe.bad_await(self, y, loop, blocking)
        y._asyncio_future_blocking = False
        self._fut_waiter = y  # first: what follows may be anybody's code, and has to find the task parked
        try:
            y.add_done_callback(self._wakeup, context=self._context)
        except BaseException:
            if self._fut_waiter is y:
                self._fut_waiter = None
            raise
        if self.must_cancel and self._fut_waiter is y:
            self.cancel_waiter()
        return None

    def cancel_waiter(self) -> int:
        """Cancel what it waits for now: it was cancelled itself while it ran."""
        try:
            if self._fut_waiter.cancel(msg=self.cancel_message):
                self.must_cancel = False
        except BaseException as exc:
            report.escaped(self._loop, exc, f"cancel() failed of what {describe.safe(self)} waits for")
        return 0

    def step_again(self, error: BaseException) -> int:
        """Throw `error` at the next step."""
        self.pending_error = error
        return self.restep()

    def end(self, kind: int, value: Any) -> int:
        """End the task: the coroutine returned or raised."""
        self.delist()
        if kind != step.RETURNED:
            return self.end_by(value)
        if self.status != state.PENDING:
            return self.stepped_too_late()
        if self.must_cancel:  # cancelled right before it returned
            self.must_cancel = False
            self.status = state.CANCELLED
        else:
            self.outcome = value
            self.status = state.FINISHED
        return self.schedule() if not self.guarded() else self.schedule_guarded()

    def end_by(self, exc: Any) -> int:
        """End the task by an exception. Whatever the exception's own class does, the task is done afterwards."""
        cancelled = step.is_instance(exc, CancelledError)
        error = exc
        if step.is_instance(exc, StopIteration):
            error = waiters.not_stopping(exc, "coroutine raised StopIteration")
        tb = step.traceback_of(exc)
        if self.status != state.PENDING:
            if not cancelled and not step.ends_loop(exc):
                self.stepped_too_late()
        else:
            self.error = error
            if cancelled:
                self.status = state.CANCELLED
                self.cancel_message = None  # this error has it; who asks after the first gets one without
            else:
                self.error_tb = tb
                self.status = state.FINISHED
                self.log_tb = True
            self.schedule_guarded()
            if not cancelled and (type(error) in advice.TYPES or attending.on_failed is not None):
                attending.failed(self, error)  # last: it may be interrupted, and who waits for the task is woken anyway
        if step.ends_loop(exc):
            raise exc
        return 0

    def schedule_guarded(self) -> int:
        """Call schedule() and report what the loop refuses: no caller could hear of it. Before that, tell observers."""
        try:
            self.tell_of(probes.ENDED)
        finally:
            try:
                self.schedule()
            except BaseException as exc:
                report.escaped(self._loop, exc, f"Exception in callback of {describe.safe(self)}", task=self)
        return 0

    # ---- showing --------------------------------------------------------------------------

    def __repr__(self) -> str:
        return describe.task(self)

    def __del__(self) -> None:
        if self._loop is None:
            return
        if self.status == state.PENDING:  # at the interpreter's very end, without modules, nobody can be told
            if self.log_destroy_pending and report is not None:
                report.destroyed(self, self._coro, self.created_at())
        elif self.log_tb and self.status == state.FINISHED and report is not None:
            self.log_tb = False
            report.unseen(self, "Task", self.error, self.created_at())


def spawn(
    loop: Any, queue: Ready, roster: Roster, st: Step, coro: Any, name: object, context: Context | None, eager: bool
) -> Task:
    """Do as loop.create_task(), by the short way. `eager`: run the first step at once; the loop has to run."""
    if not step.is_native_coroutine(coro) and not step.is_coroutine(coro):
        raise advice.no_coroutine(coro)
    t = Task.__new__(Task)
    t._loop = loop
    t.queue = queue
    t.roster = roster
    t.stepper = st
    t._coro = coro
    t.start(name, context)
    if eager:
        t.enlist()
        t.start_eagerly()
    else:
        queue.push(t, ready.TASK)  # may find no memory
        t.enlist()
    return t


step.skip_origin(asyncio.create_task, asyncio.TaskGroup.create_task, asyncio.Runner.run, asyncio.to_thread)
step.pool(Task, 256)
functions.publish(Task, "(coro, *, loop=None, name=None, context=None, eager_start=False)")
functions.share(Task, _Stdlib)
