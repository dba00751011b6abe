"""The scheduler: one tick looks for I/O, expires timers and runs the batch that was ready when it began."""

from __future__ import annotations

import inspect
import logging
import sys
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

import cython

from hasten.core import describe, handle, ready, registry
from hasten.core import future as futures
from hasten.core import task as tasks
from hasten.core.future import Future
from hasten.core.handle import Handle, TimerHandle
from hasten.core.ready import Ready
from hasten.core.roster import Roster
from hasten.core.task import Task
from hasten.core.timers import Timers
from hasten.kernel import step
from hasten.kernel.step import Step
from hasten.poll.contract import Poller, Watch

logger = logging.getLogger("asyncio")
_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")  # Unpack[_Ts] below: Cython warns of *_Ts

# Since 3.13.3 a task factory gets every keyword argument that the caller gave, `name` among them.
FACTORY_TAKES_NAME = sys.version_info >= (3, 13, 3)


@cython.cclass
class Scheduler:
    """The part of the event loop that every task step passes through.

    `poller` tells which file descriptors are ready (see poll/contract.py).
    """

    _ready: Ready
    _step: Step
    _roster: Roster
    _timers: Timers
    _poller: Poller
    _stopping: bool
    _closed: bool
    debug: bool
    plain: bool
    _thread_id: int
    slow_callback_duration: float
    task_factory: Any
    eager: bool
    polled: float
    quiet: int
    _ticks: int
    _polls: int
    if not cython.compiled:
        _stopping = _closed = debug = False
        _thread_id = quiet = _ticks = _polls = 0
        polled = 0.0
        task_factory = None
        eager = False

    def __cinit__(self) -> None:
        # a loop whose __init__() was not called (yet) has all parts, or its methods would follow null pointers
        self.assemble()

    def assemble(self) -> int:
        self._ready = Ready()
        self._step = Step(self)
        self._roster = Roster()
        self._timers = Timers()
        self._poller = Poller()
        return 0

    def __init__(self, poller: Poller) -> None:
        if not isinstance(poller, Poller):
            raise TypeError(f"a poller is needed, not {poller!r}: see poll/choice.py")
        if not cython.compiled:
            self.assemble()
        self._poller = poller
        self.slow_callback_duration = 0.1
        self.plain = type(self).create_task is Scheduler.create_task
        registry.add(self._roster)

    # ---- scheduling -----------------------------------------------------------------------

    def call_soon(
        self,
        callback: Callable[[Unpack[_Ts]], object],
        *args: Unpack[_Ts],  # noqa: UP044
        context: Context | None = None,
    ) -> Handle:
        """Runs callback(*args) in the next batch, in `context` (None: a copy of the current one)."""
        if self.debug or self._closed or not step.is_callable(callback):
            self.check_ready(callback, "call_soon")
            if self.debug:
                return self.post_traced(callback, args, context)
        return handle.post(self, self._ready, callback, args, context)

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[_Ts]], object],
        *args: Unpack[_Ts],  # noqa: UP044
        context: Context | None = None,
    ) -> Handle:
        """call_soon() from another thread or from a signal handler: also wakes the loop."""
        if self._closed or not step.is_callable(callback):
            self._check_closed()
            self._check_callback(callback, "call_soon_threadsafe")
        if self.debug:
            self._check_callback(callback, "call_soon_threadsafe")
            h = self.post_traced(callback, args, context)
        else:
            h = handle.post(self, self._ready, callback, args, context)
        self._poller.wake()
        return h

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: Unpack[_Ts],  # noqa: UP044
        context: Context | None = None,
    ) -> TimerHandle:
        """Runs callback(*args) `delay` seconds from now, never earlier."""
        when = step.monotonic() + seconds(delay, "call_later", "delay")
        return self._call_at(when, callback, args, context, "call_later")

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: Unpack[_Ts],  # noqa: UP044
        context: Context | None = None,
    ) -> TimerHandle:
        """Runs callback(*args) when the clock of time() shows `when` seconds, never earlier."""
        h = cython.cast(
            TimerHandle, self._call_at(seconds(when, "call_at", "when"), callback, args, context, "call_at")
        )
        if type(when) is int:
            h.whole = True  # when() gives what was given: aiohttp rounds up to whole seconds, and its tests look
        return h

    def _call_at(
        self, when: float, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None, method: str
    ) -> TimerHandle:
        if self.debug or self._closed or not step.is_callable(callback):
            self.check_ready(callback, method)
        h = handle.post_at(self, self._timers, when, callback, args, context)
        if self.debug:
            h._source_traceback = describe.extract_stack(sys._getframe(0))
        return h

    def time(self) -> float:
        """The loop's clock: time.monotonic(), in seconds."""
        return step.monotonic()

    def create_future(self) -> Future[Any]:
        """A Future of this loop."""
        if self.debug:
            return Future(loop=self)
        return futures.new_future(self, self._ready)

    def create_task(
        self,
        coro: Coroutine[Any, Any, _T],
        *,
        name: object = None,
        context: Context | None = None,
        eager_start: bool | None = None,
        **more: Any,
    ) -> Task[_T]:
        """Schedules a coroutine as a Task; the keyword arguments are those of Task (or of the task factory)."""
        if self._closed:
            self._check_closed()
        if (self.task_factory is None or self.eager) and not self.debug and not more:
            eager = (self.eager if eager_start is None else bool(eager_start)) and self._thread_id != 0
            return tasks.spawn(self, self._ready, self._roster, self._step, coro, name, context, eager)
        return self.make_task(coro, name, context, eager_start, more)  # type: ignore[no-any-return]

    def make_task(
        self, coro: Any, name: object, context: Context | None, eager_start: bool | None, more: dict[str, Any]
    ) -> Any:
        """create_task() by the task factory, in debug mode, or with an eager start."""
        if context is not None:
            more["context"] = context
        if eager_start is not None:
            more["eager_start"] = eager_start
        if self.task_factory is None:
            if self.debug:
                self._check_thread()
            return Task(coro, loop=self, name=name, **more)
        if name is None:
            return self.task_factory(self, coro, **more)
        if FACTORY_TAKES_NAME:
            return self.task_factory(self, coro, name=name, **more)
        task = self.task_factory(self, coro, **more)
        set_name = getattr(task, "set_name", None)
        if set_name is not None:
            set_name(name)
        return task

    def set_task_factory(self, factory: Any) -> None:
        """Makes create_task() call factory(loop, coro, **kwargs); None: hasten's own Task."""
        if factory is not None and not callable(factory):
            raise TypeError(f"task factory must be a callable or None, not {factory!r}")
        self.task_factory = factory
        self.eager = False
        for each in tasks.eager_factories:
            if factory is not None and factory is each:
                self.eager = True

    def get_task_factory(self) -> Any:
        """What set_task_factory() set, or None."""
        return self.task_factory

    # ---- state ----------------------------------------------------------------------------

    def stop(self) -> None:
        """Ends run_forever() after the batch that runs now."""
        self._stopping = True

    def is_running(self) -> bool:
        """True while run_forever() or run_until_complete() runs."""
        return self._thread_id != 0

    def is_closed(self) -> bool:
        """True once close() was called."""
        return bool(self._closed)

    def get_debug(self) -> bool:
        """Whether debug mode is on."""
        return bool(self.debug)

    def _set_debug(self, enabled: bool) -> None:
        self.debug = self._ready.debug = bool(enabled)
        self._ready.guarded = self.debug or self._closed

    def _check_closed(self) -> None:
        if self._closed:
            raise RuntimeError("Event loop is closed")

    def _check_thread(self) -> None:
        """In debug mode: not from a wrong thread."""
        if self._thread_id != 0 and self._thread_id != threading.get_ident():
            raise RuntimeError(describe.WRONG_THREAD)

    def _check_callback(self, callback: Any, method: str) -> None:
        if inspect.iscoroutine(callback) or inspect.iscoroutinefunction(callback):
            raise TypeError(
                f"coroutines cannot be used with {method}(): use loop.create_task() to run {callback!r} as a task"
            )
        if not callable(callback):
            raise TypeError(f"a callable object was expected by {method}(), got {callback!r}")

    def check_ready(self, callback: Any, method: str) -> int:
        """What is checked before something is scheduled, where there is a doubt or in debug mode."""
        self._check_closed()
        if self.debug:
            self._check_thread()
        self._check_callback(callback, method)
        return 0

    def post_traced(self, callback: Any, args: tuple[Any, ...], context: Context | None) -> Handle:
        """Debug mode: the handle remembers where it was made."""
        h = handle.post(self, self._ready, callback, args, context)
        h._source_traceback = describe.extract_stack(sys._getframe(0))
        return h

    def _set_thread(self, ident: int) -> None:
        self._thread_id = ident

    def _shut(self) -> None:
        """Closes: nothing is run any more, the poller's fds are given back, and nothing of the loop's refers to it.

        So it goes, and its pending tasks go, when nobody else refers to them, without the garbage collector.
        """
        self._closed = self._ready.guarded = True
        self._step.detach()
        self._ready.drop()
        self._timers.drop()
        self._poller.close()
        registry.release(self._roster)

    def _post(self, h: Handle) -> None:
        """Runs a handle that exists already in the next batch."""
        if not isinstance(h, Handle):
            raise TypeError(f"a hasten.Handle was expected, got {h!r}")
        self._ready.push(h, ready.HANDLE)

    def _fire(self, watch: Watch, events: int) -> int:
        """Dispatches a watch in the next batch, whether or not its poller says so."""
        watch.fired |= events
        if not watch.queued:
            watch.queued = True
            self._ready.push(watch, ready.WATCH)
        return 0

    # ---- running --------------------------------------------------------------------------

    def _run_ticks(self) -> None:
        """Ticks until stop(). The caller has set up everything that running needs."""
        self.polled = 0.0
        try:
            while True:
                self.tick()
                if self._stopping:
                    break
        finally:
            self._step.leave()
            self._step.forget_contexts()

    def _run_once(self) -> None:
        """One tick."""
        self.polled = 0.0
        try:
            self.tick()
        finally:
            self._step.leave()
            self._step.forget_contexts()

    def tick(self) -> int:
        self._ticks += 1
        if self._ready.count() or self._stopping:
            self.look()
        else:
            timeout = self.until_timer()
            # to drop a cancelled timer may run anything, which may make work, or let another thread make some
            self.poll(0.0 if self._ready.count() else timeout)
        return self.run_batch_slowly() if self.debug else self.run_batch()

    def look(self) -> int:
        """There is work: I/O and timers are looked at only so often."""
        self.quiet += 1
        if self.quiet & 7 and self._timers.count() == 0 and not self._stopping:
            return 0
        now = step.monotonic()
        # A poll costs half a microsecond: this often it is one percent of the time, whatever the ticks are like.
        if now - self.polled >= 50e-6 or self._stopping:
            return self.poll(0.0)
        return self.expire(now)

    def until_timer(self) -> float:
        """Seconds until the first timer; -1: there is none."""
        while self._timers.count():
            h = cython.cast(TimerHandle, self._timers.at(0))
            if h._cancelled:
                self._timers.cancelled -= 1
                self._timers.pop()
                continue
            left = h.due - step.monotonic()
            return left if left > 0.0 else 0.0
        return -1.0

    def poll(self, timeout: float) -> int:
        """Asks the poller, then the timers."""
        self._step.leave()  # who looks on from a signal handler or another thread finds no current task
        self._step.forget_contexts()
        self._polls += 1
        self.quiet = 0
        poller = self._poller
        poller.wait(timeout)
        if poller.harvest:
            enqueue(self._ready, poller.harvest)
        self.polled = step.monotonic()
        return self.expire(self.polled)

    def expire(self, now: float) -> int:
        """Moves the timers that are due into the ready queue, the earliest first."""
        timers = self._timers
        while timers.count() and timers.first() <= now:
            h = cython.cast(TimerHandle, timers.pop())
            if h._cancelled:
                timers.cancelled -= 1
                continue
            h._scheduled = False
            self._ready.push(h, ready.HANDLE)
        return 0

    def run_batch(self) -> int:
        """Runs what is ready now; what that makes ready runs in the next tick.

        The task of the last step stays published as the current one until something else runs, or the poller is asked.
        """
        queue = self._ready
        st = self._step
        left = queue.count()
        while left > 0 and queue.count() > 0:  # a callback may run the queue itself, by _run_once()
            left -= 1
            item = queue.take()
            if queue.tag == ready.TASK:
                cython.cast(Task, item).run()
            else:
                st.leave()
                if queue.tag == ready.HANDLE:
                    cython.cast(Handle, item).run(st)
                else:
                    self.run_item(item, queue.tag)
            if not cython.compiled:
                item = None  # this frame may outlive the batch in an exception's traceback
        return 0

    def run_batch_slowly(self) -> int:
        """run_batch() in debug mode: tells what took long."""
        queue = self._ready
        left = queue.count()
        while left > 0 and queue.count() > 0:
            left -= 1
            item = queue.take()
            start = step.monotonic()
            self.run_item(item, queue.tag)
            took = step.monotonic() - start
            if took >= self.slow_callback_duration:
                logger.warning("Executing %s took %.3f seconds", describe.item(item), took)
        return 0

    def run_item(self, item: Any, tag: int) -> int:
        if tag == ready.TASK:
            return cython.cast(Task, item).run()
        self._step.leave()
        if tag == ready.HANDLE:
            return cython.cast(Handle, item).run(self._step)
        self._step.step_out()
        if tag == ready.CHILD:
            return cython.cast(Future, item).tell_collector()
        return cython.cast(Watch, item).dispatch()

    def _timer_handle_cancelled(self, h: Any) -> None:
        """For handles of the standard library's own classes."""


def enqueue(queue: Ready, harvest: list[Watch]) -> int:
    """Moves what a poll harvested into the ready queue."""
    for item in harvest:
        item.queued = False
        queue.push(item, ready.WATCH)
    harvest.clear()
    return 0


def seconds(value: Any, method: str, what: str) -> float:
    """A number of seconds given by a caller."""
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
