"""Loops of virtual time: `virtual_time()`, and what an order of the ready tasks (schedules.py) runs on."""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import AbstractContextManager, suppress
from typing import Any, TypeVar, TypeVarTuple

from hasten.aio.running import Runner
from hasten.core.registry import all_tasks
from hasten.diagnosis import standing
from hasten.diagnosis.showing import plain, short
from hasten.loop import Loop
from hasten.poll import choice
from hasten.poll.virtual import VirtualPoller
from hasten.testing import outside, places
from hasten.testing.policy import loops_made_by

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")
_F = TypeVar("_F", bound=Callable[..., Any])

DAY = 86400.0
MOST = 50  # tasks that are told of
FOR_EVER = 1e9  # seconds: who sleeps for so long is never to go on
# Time really passes for this long at most before it is looked again who is still at work. Seconds.
SLICE = 0.02
# What this process sends to itself over loopback has arrived when sending is over, or a moment later. Seconds.
MOMENT = 0.001


class Deadlock(RuntimeError):
    """Nothing can go on: every task waits, no timer is set, and nobody outside the loop is at work.

    Also when virtual time has reached its limit: what waits then is most likely never to happen.
    """


class SimulatedLoop(Loop):
    """A loop on virtual time. Simulation makes them."""

    __slots__ = ("_errors", "_jobs", "_virtual")

    def __init__(self, poller: VirtualPoller) -> None:
        self._jobs: list[Any] = []
        self._errors: list[dict[str, Any]] | None = None
        self._virtual = poller
        super().__init__(poller)

    def run_in_executor(self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts) -> asyncio.Future[_T]:
        """Do as Loop.run_in_executor(); time does not jump until it is done."""
        job = super().run_in_executor(executor, func, *args)
        self._jobs.append(job)
        return job

    def at_work(self) -> bool:
        """True while something that was handed to a thread or to another process is not done."""
        if self._jobs:
            self._jobs = [job for job in self._jobs if not job.done()]
        return bool(self._jobs or self._resolver._lookups)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Log an error's context; or keep it, where the simulation is to raise it."""
        if self._errors is not None and isinstance(context.get("exception"), BaseException):
            self._errors.append(context)
        else:
            super().default_exception_handler(context)

    def close(self) -> None:
        """Release everything. Closing again does nothing. Raises RuntimeError while the loop runs."""
        super().close()
        self._jobs = []


class Guide:
    """What tells a loop's VirtualPoller when its clock may jump, and gives it an order of the ready tasks."""

    def __init__(self, loop: SimulatedLoop, limit: float, ignore_io: bool, order: Any) -> None:
        self.loop: SimulatedLoop | None = loop
        self.limit = limit
        self.ignore_io = ignore_io
        self.order = order
        self.known = set(threading.enumerate())
        self.watched: list[Any] = []
        self.leads = outside.NOBODY
        self.settled = -1.0

    def between(self) -> None:
        """Put what is ready in another order. Called before each batch."""
        if self.order is not None and self.loop is not None:
            self.order(self.loop._ready)

    def in_flight(self, timeout: float) -> float:
        """Return how long time is to pass as it really passes; 0: not at all. Raises Deadlock."""
        loop = self.loop
        if loop is None:
            return 0.0
        leads = self._leads()
        if loop.at_work() or leads == outside.OTHERS or outside.busy_threads(self.known):
            return SLICE
        if not loop._virtual.sleeping:
            return 0.0  # a thread called in, and went to rest, while it was asked for
        now, there = loop._virtual.time, bool(self.watched)
        if there and self.settled != now:
            self.settled = now
            return -MOMENT
        if timeout >= 0.0 and now + timeout <= self.limit:
            return 0.0
        self._check(timeout, leads)
        return SLICE

    def _leads(self) -> int:
        """Where the descriptors lead that the loop watches. Only looked at again when others are watched."""
        assert self.loop is not None
        if self.ignore_io:
            return outside.NOBODY
        watched = self.loop._virtual.watched()
        if watched != self.watched:
            self.watched = watched
            self.leads = outside.lead_to([watch.fd for watch in watched])
        return self.leads

    def _check(self, timeout: float, leads: int) -> None:
        """Raise Deadlock if nothing will ever happen, or not within the limit."""
        loop = self.loop
        assert loop is not None
        if 0.0 <= timeout < FOR_EVER:
            text = f"virtual time has reached its limit of {self.limit:g} seconds"
            self.limit += DAY  # for what has still to be tidied up
        elif loop._until is None or threading.current_thread() is not threading.main_thread():
            return  # another thread may call in at any time
        elif loop._signals._handlers or (leads == outside.ANYBODY and self.order is None):
            return
        else:
            timer = "no timer is set" if timeout < 0.0 else f"the first timer is due in {timeout:g} seconds"
            text = f"deadlock: every task waits, {timer}, and nobody outside the loop is at work"
        tasks = sorted(_standing(task) for task in all_tasks(loop))
        more = [f"… and {len(tasks) - MOST} more"] if len(tasks) > MOST else []
        raise Deadlock("\n  ".join([text, *tasks[:MOST], *more]))


def add_note(exc: BaseException, text: str) -> None:
    """Add a note, whatever the exception's own class makes of that: the exception is what is to be raised."""
    with suppress(Exception):
        BaseException.add_note(exc, text)


def _standing(task: Any) -> str:
    """One line of text: which task, and where it waits."""
    place = places.where(task)
    text = f"{plain(short(standing.name_of(task)))} " + (
        "has not begun" if place is None else f"waits at {places.told(place)}"
    )
    if place is None or not places.is_users(place[0]):
        text += f" (made at {places.told(standing.created_at(task))})"
    return text


class Simulation:
    """Makes loops of virtual time: a loop factory, a context manager, and a decorator.

    virtual_time() and schedule() give one; it can be used again and again.
    """

    def __init__(self, start: float, limit: float, ignore_io: bool, order: Callable[[], Any] | None = None) -> None:
        self._start = start
        self._limit = limit
        self._ignore_io = ignore_io
        self._order = order
        self._inside: list[AbstractContextManager[None]] = []
        self._errors: list[dict[str, Any]] = []
        self.loop_class: type[SimulatedLoop] = SimulatedLoop

    def __call__(self, function: Any = None) -> Any:
        """Return a new loop; or, given a test function, one that runs on such a loop."""
        return self.new_loop() if function is None else self.wrap(function)

    def new_loop(self) -> SimulatedLoop:
        """Return a new loop."""
        poller = VirtualPoller(choice.make(), self._start)
        try:
            loop = self.loop_class(poller)
        except BaseException:
            poller.close()
            raise
        order = None
        if self._order is not None:
            order, loop._errors = self._order(), self._errors
        poller.guide = Guide(loop, self._start + self._limit, self._ignore_io, order)
        return loop

    def run(self, main: Awaitable[_T]) -> _T:
        """Run a coroutine on a new loop, and return what it returns."""
        with Runner(loop_factory=self.new_loop) as runner:
            return runner.run(main)

    def check(self) -> None:
        """Raise the first exception that the loops were told of, by callbacks or by tasks that nobody awaited."""
        errors, self._errors = self._errors, []
        for context in errors:
            exc: BaseException = context["exception"]
            add_note(exc, str(context.get("message")))
            raise exc

    def wrap(self, function: _F) -> _F:
        """Return a function that runs `function` so: a coroutine function on a new loop, another inside `with`."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            def run(*args: Any, **kwargs: Any) -> Any:
                return self.run(function(*args, **kwargs))
        else:

            @functools.wraps(function)
            def run(*args: Any, **kwargs: Any) -> Any:
                with self:
                    result = function(*args, **kwargs)
                return self.run(result) if inspect.iscoroutine(result) else result  # of a lambda, a partial

        return run  # type: ignore[return-value]

    def __enter__(self) -> Simulation:
        inside = loops_made_by(self.new_loop)
        inside.__enter__()
        self._inside.append(inside)
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self._inside.pop().__exit__(*exc_info)


def virtual_time(*, start: float = 0.0, limit: float = 30 * DAY, ignore_io: bool = False) -> Simulation:
    """Return what makes loops whose time jumps: where nothing is left to do, to the first timer.

    Use it as a loop factory, `hasten.run(main(), loop_factory=virtual_time())`; around what makes loops, `with
    virtual_time(): ...`; or as a decorator of a test, `@virtual_time()`.

    `start`: what loop.time() shows first. `limit`: after so many seconds of virtual time Deadlock is raised.
    `ignore_io`: jump also while the loop watches connections to others, who may be about to send something.
    """
    return Simulation(start, limit, ignore_io)
