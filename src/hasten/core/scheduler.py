"""The scheduler: one tick looks for I/O, expires timers and runs the batch that was ready when it began."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

import cython

from hasten.core import advice, attending, describe, handle, listing, ready, registry, report, state
from hasten.core import future as futures
from hasten.core import probe as probes
from hasten.core import task as tasks
from hasten.core.batches import Batches
from hasten.core.departures import Departures
from hasten.core.future import Future
from hasten.core.handle import Handle, TimerHandle
from hasten.core.ready import Ready
from hasten.core.roster import Roster
from hasten.core.task import Task
from hasten.core.timers import Timers
from hasten.kernel import clock, interpreter, step
from hasten.kernel.step import Step
from hasten.kernel.workshop import Workshop
from hasten.poll.contract import Poller, Watch

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")  # Unpack[_Ts] below: Cython warns of *_Ts

_NEVER = math.inf  # in a variable of C: each time the loop sleeps, `math.inf` would be looked up
FACTORY_TAKES_NAME = sys.version_info >= (3, 13, 3)  # and every other keyword argument that the caller gave


@cython.no_gc_clear  # type: ignore[attr-defined] # its methods can be called while the collector takes it apart
@cython.cclass
class Scheduler(Batches):
    """The part of the event loop that every task step passes through.

    `poller` tells which file descriptors are ready (see poll/contract.py); `batch_writes`: see core/departures.
    """

    _roster: Roster
    _timers: Timers
    _poller: Poller
    workshop: Workshop
    _stopping: bool
    _closed: bool
    plain: bool
    task_factory: Any
    eager: bool
    share_due: int
    own_clock: bool
    idle: int
    clock_version: int
    _until: Future[Any] | None
    _ticks: int
    _polls: int
    transports: int
    transports_made: int
    if not cython.compiled:

        def odd_clock(self) -> bool:
            self._look_at_clock()
            return self.own_clock

        def now(self) -> float:
            return self.ask_clock()

        def running(self) -> bool:
            return self._poller.thread != 0

    def __cinit__(self) -> None:
        # a loop whose __init__() was not called (yet) has all parts, or its methods would follow null pointers
        self._ready = Ready()
        self._step = Step(self)
        self._roster = Roster()
        self._timers = Timers()
        self._poller, self.workshop, self.departures = Poller(), Workshop(), Departures(self._step)

    def __init__(self, poller: Poller, batch_writes: bool = False) -> None:
        if not isinstance(poller, Poller):
            raise TypeError(f"a poller is needed, not {poller!r}: see poll/choice.py")
        self._poller = self._ready.poller = self._timers.poller = self.departures.poller = poller
        self.departures.enabled = batch_writes
        self.slow_callback_duration = 0.1
        self.plain = type(self).create_task is Scheduler.create_task
        registry.add(self._roster)

    # ---- scheduling -----------------------------------------------------------------------

    def call_soon(
        self,
        callback: Callable[[Unpack[_Ts]], object],
        *args: Unpack[_Ts],  # noqa: UP044
        context: Context | None = None,
    ) -> asyncio.Handle:
        """Run callback(*args) in the next batch, in `context` (None: a copy of the current one)."""
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
    ) -> asyncio.Handle:
        """Do as call_soon(), from another thread or a signal handler: also wake the loop."""
        if self.debug or self._closed or not step.is_callable(callback):
            self._check_closed()
            describe.check_callback(callback, "call_soon_threadsafe")
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
    ) -> asyncio.TimerHandle:
        """Run callback(*args) `delay` seconds from now, never earlier."""
        when = self.now() + handle.seconds(delay, "call_later", "delay")
        return self._call_at(when, callback, args, context, "call_later")

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[_Ts]], object],
        *args: Unpack[_Ts],  # noqa: UP044
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run callback(*args) when the clock of time() shows `when` seconds, never earlier."""
        number = handle.seconds(when, "call_at", "when")
        h = cython.cast(TimerHandle, self._call_at(number, callback, args, context, "call_at"))
        h.whole = type(when) is int  # when() gives what was given: aiohttp rounds up, and its tests look
        return h

    def _call_at(
        self, when: float, callback: Callable[..., Any], args: tuple[Any, ...], context: Context | None, method: str
    ) -> TimerHandle:
        if self.debug or self._closed or not step.is_callable(callback):
            self.check_ready(callback, method)
        stack = describe.extract_stack(sys._getframe(0)) if self.debug else None
        h = handle.post_at(self, self._timers, when, callback, args, context)
        h._source_traceback = stack
        return h

    def time(self) -> float:
        """Return the loop's clock, in seconds: time.monotonic(). A replacement is the clock of the loop's timers."""
        return self._poller.now()

    def ask_clock(self) -> float:
        """Return the time by time(), also where a program has replaced it."""
        self._look_at_clock()
        return float(self.time()) if self.own_clock else self._poller.now()

    def _look_at_clock(self) -> None:
        """Look whether a program has replaced time(). Not by __dict__: without one, methods are found faster."""
        version, ours, found = interpreter.class_version(self), _time.__get__(self), self.time
        self.own_clock = type(found) is not type(ours) or ours != found
        self.clock_version = version  # last: had the above failed, for lack of memory, it would not look again

    @property
    def _scheduled(self) -> list[TimerHandle]:
        """The timers that are set, also cancelled ones, in no order, for who looks through asyncio's."""
        return [h for _, h in self._timers.items()]

    def create_future(self) -> asyncio.Future[Any]:
        """Return a new Future of this loop."""
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
    ) -> asyncio.Task[_T]:
        """Schedule a coroutine as a Task; the keyword arguments are those of Task (or of the task factory)."""
        if self._closed:
            self._check_closed()
        if (self.task_factory is None or self.eager) and not self.debug and not more:
            eager = (self.eager if eager_start is None else bool(eager_start)) and self.running()
            return tasks.spawn(self, self._ready, self._roster, self._step, coro, name, context, eager)
        return self.make_task(coro, name, context, eager_start, more)  # type: ignore[no-any-return]

    def make_task(
        self, coro: Any, name: object, context: Context | None, eager_start: bool | None, more: dict[str, Any]
    ) -> Any:
        """Do as create_task() by the task factory, in debug mode, or with an eager start."""
        if context is not None:
            more["context"] = context
        if eager_start is not None:
            more["eager_start"] = eager_start
        if self.task_factory is None:
            if self.debug:
                self._check_thread()
            return Task(coro, loop=self, name=name, **more)
        if name is not None and FACTORY_TAKES_NAME:
            more["name"] = name
        task = self.task_factory(self, coro, **more)
        if name is not None and not FACTORY_TAKES_NAME and hasattr(task, "set_name"):
            task.set_name(name)
        return task

    def set_task_factory(self, factory: Any) -> None:
        """Make create_task() call factory(loop, coro, **kwargs); None: hasten's own Task."""
        if factory is not None and not callable(factory):
            raise TypeError(f"task factory must be a callable or None, not {factory!r}")
        self.task_factory = factory
        self.eager = False
        if factory is not None:  # None also where modules are no more: when the interpreter ends
            for each in tasks.eager_factories:
                self.eager = self.eager or each is factory

    def get_task_factory(self) -> Any:
        """Return what set_task_factory() set, or None."""
        return self.task_factory

    # ---- state ----------------------------------------------------------------------------

    def stop(self) -> None:
        """End run_forever() after the batch that runs now."""
        self._stopping = True
        poller = self._poller
        if poller.sleeping:  # a destructor or a handler calls it while the loop goes to sleep
            poller.wake()

    def is_running(self) -> bool:
        """True while run_forever() or run_until_complete() runs."""
        return self.running()

    @property
    def _thread_id(self) -> int | None:
        """The thread that runs the loop, as in asyncio."""
        return self._poller.thread or None

    def is_closed(self) -> bool:
        """True once close() was called."""
        return bool(self._closed)

    def get_debug(self) -> bool:
        """True if debug mode is on."""
        return bool(self.debug)

    def _set_debug(self, enabled: bool) -> None:
        queue = self._ready
        self.debug = queue.debug = bool(enabled)
        self.slowly = queue.slow = self.debug or queue.probe is not None
        queue.guarded = queue.slow or self._closed

    def _check_closed(self) -> None:
        if self._closed:
            raise advice.add(RuntimeError("Event loop is closed"), advice.CLOSED_LOOP)

    def _check_thread(self) -> None:
        """Raise RuntimeError in a wrong thread, in debug mode."""
        if self.running() and self._poller.thread != threading.get_ident():
            raise advice.add(RuntimeError(describe.WRONG_THREAD), advice.WRONG_THREAD)

    def check_ready(self, callback: Any, method: str) -> int:
        """Check what is to be scheduled, where there is a doubt or in debug mode."""
        self._check_closed()
        if self.debug:
            self._check_thread()
        describe.check_callback(callback, method)
        return 0

    def post_traced(self, callback: Any, args: tuple[Any, ...], context: Context | None) -> Handle:
        """Schedule a handle that remembers where it was made: for debug mode."""
        stack = describe.extract_stack(sys._getframe(0))  # first: an error here means that nothing is scheduled
        h = handle.post(self, self._ready, callback, args, context)
        h._source_traceback = stack
        return h

    def _shut(self) -> None:
        """End for good, and drop what refers to the loop: it goes, with its tasks, without the collector."""
        self._closed = self._ready.guarded = True
        self._step.detach()
        self._ready.drop()
        self._timers.drop()
        self._poller.close()
        registry.release(self._roster)

    def _post(self, h: Handle) -> None:
        """Run a handle that exists already in the next batch."""
        if not step.is_instance(h, Handle):
            raise TypeError(f"a hasten.Handle was expected, got {h!r}")
        self._ready.push(h, ready.HANDLE)

    def _fire(self, watch: Watch, events: int) -> int:
        """Dispatch a watch in the next batch, whether or not its poller says so."""
        watch.fired |= events
        if not watch.queued:
            self._ready.push(watch, ready.WATCH)  # may find no memory
            watch.queued = True
        return 0

    def _stir(self) -> None:
        """Have the next ticks ask the poller: something was sent past the transports, perhaps to a peer here."""
        self._poller.stirred = True

    # ---- running --------------------------------------------------------------------------

    def _run_ticks(self, ident: int) -> None:
        """Tick until stop(), as the running loop of the caller's thread. Taking back what is set needs no memory."""
        poller = self._poller
        self.share_due = 0
        poller.attach(ident)
        try:
            before = step.set_running_loop(self, self._step)  # may find no memory
            try:
                try:
                    self.run_ticks(False)
                finally:
                    self.departures.wind_up()
            finally:
                self._stopping = False
                step.set_running_loop(before)
        finally:
            poller.detach()

    def _stop_when_done(self, fut: Future[Any] | None) -> None:
        """Set what the loop is to run for; by a function of C, before and after which alone an interruption comes."""
        self._until = fut

    def _run_once(self) -> None:
        """Run one tick, also inside another one."""
        outer = self.in_batch
        self._poller.due = 0
        try:
            self.departures.send_off()  # an outer tick's
            self.run_ticks(True)
        finally:
            self.in_batch = outer
            self.departures.wind_up()

    def run_ticks(self, once: bool) -> int:
        while True:
            try:
                while True:
                    self.tick()
                    if once or self._stopping:
                        return 0
            except BaseException as exc:
                # Each kind of entry sees to its own. If one does not, the rest of the batch runs in the next tick.
                if not self.in_batch or step.ends_loop(exc):
                    raise
                report.tell(self, {"message": "Exception in the event loop", "exception": exc})
            if once or self._stopping:
                return 0

    def tick(self) -> int:
        self._ticks += 1
        self.in_batch = False
        if self._ready.count() or self._stopping:
            self.look()
        else:
            self.sleep()
        self.in_batch = True
        if self.slowly:
            return self.run_batch_slowly()
        self.run_batch()
        return self.departures.end_batch()

    def look(self) -> int:
        """Ask for I/O and timers, if it is time, while there is work."""
        poller = self._poller
        if not poller.is_due() and not self._stopping:
            return self.expire(self.now()) if self._timers.count() else 0
        self.settle()
        self.share()
        if self.probe is not None:
            self.tell_of_poll(0.0)
        poller.wait(0.0)
        return self.reap()

    def sleep(self) -> int:
        """Wait for I/O, for the first timer, or until the loop is woken: there is no work."""
        # What can run Python comes first, then the flags are set, and only then it looks for how long it may sleep.
        # What is scheduled after that look wakes the poller.
        self.settle()
        if self.idle == 1:
            self.idle = 2
            attending.nothing_to_do(self)
            self.settle()
        timers, queue, poller = self._timers, self._ready, self._poller
        if self.probe is not None:
            self.tell_of_poll(self.patience(self.now() if timers.count() else _NEVER))
        now = self.now() if timers.count() else _NEVER  # so a timer that comes meanwhile does not let it sleep
        poller.sleeping = timers.dozing = True
        queue.doze()
        try:
            seconds = self.patience(now)
            if seconds < 0.0 and self.idle == 0 and poller.watching == 0:
                self.idle, seconds = 1, 0.1
            poller.wait(seconds)
        finally:
            poller.sleeping = timers.dozing = False
            queue.rouse()
        self.share()  # not before: a poller that sleeps gives the lock away itself, and once is enough
        self.reap()
        if self.idle > 0 and queue.count():
            self.idle = 0
        return 0

    def _attend(self) -> None:
        """Look whether somebody wants to know when there is nothing to do: for each sleep that would cost too much."""
        self.idle = -1 if attending.on_idle is None else 0

    def tell_of_poll(self, timeout: float) -> int:
        """Tell observers that the poller is about to be asked; that may run any Python."""
        self._step.leave()
        probe = self.probe
        if probe is not None:
            probe.of_loop(probes.POLL_BEGINS, timeout)
        return 0

    def settle(self) -> int:
        """Do what may run any Python between two batches: destructors, signal handlers."""
        self._step.leave()  # who looks on from a signal handler or another thread finds no current task
        self._step.forget_contexts()
        interpreter.check_signals()
        self._stopping = self._stopping or (self._until is not None and self._until.status != state.PENDING)
        timers = self._timers
        while timers.count():
            h = cython.cast(TimerHandle, timers.at(0))
            if not h._cancelled:
                break
            timers.cancelled -= 1
            timers.pop()
            h = None  # type: ignore[assignment] # dropped before the heap is looked at again: that may run anything
        return 0

    def share(self) -> int:
        """Let a thread that waits for the interpreter's lock have it, if it is time."""
        if clock.reached(self.share_due):
            interpreter.share_lock()
            self.share_due = self._poller.later(self._poller.now())
        return 0

    def patience(self, now: float) -> float:
        """Return how many seconds the loop may sleep; -1: without limit. Nothing here runs Python."""
        timers = self._timers
        if self._ready.count() or self._stopping or self.departures.count():
            return 0.0
        return max(timers.first() - now, 0.0) if timers.count() else -1.0

    def reap(self) -> int:
        """Make ready what a poll has found, and the timers that are due."""
        poller = self._poller
        self._polls += 1
        if poller.found == 0 or not self.harvest():
            poller.stirred = False
        now = self.now()
        real = poller.now() if self.own_clock else now
        poller.asked(real)
        probe = self.probe
        if probe is not None:
            probe.of_loop(probes.POLL_ENDS, real)
        return self.expire(now)

    def harvest(self) -> bool:
        """Put what the poller has found into the ready queue; return True if there was anything new."""
        poller, queue = self._poller, self._ready
        queue.reserve(poller.found)  # before a report is taken, which would be lost
        end = queue.end()
        while poller.found > 0:
            watch = poller.take()
            if watch is not None and not watch.queued:
                queue.push(watch, ready.WATCH)
        return queue.end() != end

    def expire(self, now: float) -> int:
        """Move the timers that are due into the ready queue, the earliest first."""
        timers, queue = self._timers, self._ready
        while timers.count() and timers.first() <= now:
            queue.reserve(1)
            h = cython.cast(TimerHandle, timers.pop())
            if h._cancelled:
                timers.cancelled -= 1
            else:
                h._scheduled = False
                queue.push(h, ready.HANDLE)
            h = None  # type: ignore[assignment] # dropped before the heap is looked at again: that may run anything
        return 0

    def _timer_handle_cancelled(self, h: Any) -> None:
        """Do nothing: handles of the standard library's own classes call this."""


_time = Scheduler.time  # not replaced yet
ready.show_by(listing.shown)


def task_by_class(loop: Any, coro: Any, name: object, context: Context | None, eager: bool) -> Any:
    """Do as Task(coro, loop=loop, ...), by the short way: what asyncio.Task(...) is after install()."""
    if not isinstance(loop, Scheduler):
        raise TypeError(f"a loop of hasten's was expected, got {loop!r}")
    s = cython.cast(Scheduler, loop)
    if s._closed or s.debug:
        return Task(coro, loop=loop, name=name, context=context, eager_start=eager)
    return tasks.spawn(loop, s._ready, s._roster, s._step, coro, name, context, eager and s.running())
