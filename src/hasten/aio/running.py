"""run() and Runner: from ordinary code into the event loop and back."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import asyncio
import contextvars
import functools
import inspect
import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine
from types import FrameType
from typing import Any, TypeVar

from hasten.aio.install import chosen_policy
from hasten.core import advice, again, report
from hasten.core.registry import all_tasks
from hasten.core.scheduler import Scheduler
from hasten.core.task import Task
from hasten.kernel import sharing
from hasten.loop import new_event_loop
from hasten.primitives.coroutines import await_it

_T = TypeVar("_T")
_CREATED, _OPEN, _CLOSED = range(3)
# seconds that threads of the default executor get to end
THREAD_JOIN_TIMEOUT = 300
# seconds that tasks get to end once they are cancelled, before it is told which do not
CANCEL_TIMEOUT = 5.0
MOST_TOLD = 20  # tasks, of those that do not end


class Runner(asyncio.Runner, metaclass=sharing.Shared):  # type: ignore[misc] # final
    """A context manager that runs coroutines one after the other on one event loop, and ends it properly.

    `debug`: debug mode on or off (None: as the interpreter's options say).
    `loop_factory`: makes the event loop (None: hasten's).
    """

    def __init__(
        self, *, debug: bool | None = None, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None
    ) -> None:
        if loop_factory is not None and not callable(loop_factory):
            raise TypeError(f"loop_factory must be a callable that makes an event loop, or None, not {loop_factory!r}")
        self._state = _CREATED
        self._debug = debug
        self._loop_factory = loop_factory
        self._loop: Any = None
        self._context: contextvars.Context | None = None
        self._interrupts = 0
        self._set_event_loop = False

    def __enter__(self) -> Runner:
        self._open()
        return self

    @again.to_the_end  # the loop is closed although a Ctrl-C comes first
    def __exit__(self, exc_type: object, exc: object, tb: object) -> None:
        self.close()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop, made at the first need. Raises RuntimeError once the runner is closed."""
        self._open()
        return self._loop  # type: ignore[no-any-return]

    def close(self) -> None:
        """Cancel what still runs, close asynchronous generators and the default executor, then the loop."""
        if self._state != _OPEN:
            return
        loop = self._loop
        try:
            _cancel_all(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(_join_executor(loop))
        finally:
            try:
                if self._set_event_loop:
                    asyncio.set_event_loop(None)
            finally:
                loop.close()
                self._loop = None
                self._state = _CLOSED

    def run(self, coro: Awaitable[_T], *, context: contextvars.Context | None = None) -> _T:
        """Run a coroutine (or another awaitable) to its end; return its result or raise its exception.

        `context`: the contextvars to run in (None: the runner's own, which lasts from one run to the next).
        """
        if asyncio._get_running_loop() is not None:
            text = "Runner.run() cannot be called from a running event loop: inside a coroutine, await the other one"
            raise advice.add(RuntimeError(text), advice.NESTED_RUN)
        coro = as_coroutine(coro)
        try:
            self._open()
        except BaseException:
            coro.close()  # the error says it; a warning that nobody awaited it would not help
            raise
        task = self._loop.create_task(coro, context=self._context if context is None else context)
        handler = None
        self._interrupts = 0  # before the handler is there, which counts
        try:
            handler = self._take_sigint(task)
            result: _T = self._loop.run_until_complete(task)
            return result
        except asyncio.CancelledError:
            if self._interrupts > 0 and getattr(task, "uncancel", int)() == 0:
                raise KeyboardInterrupt()
            raise
        finally:
            if handler is not None:
                again.finish(_give_sigint_back, handler)

    def _open(self) -> None:
        if self._state == _CLOSED:
            raise advice.add(RuntimeError("Runner is closed: make a new one"), advice.CLOSED_LOOP)
        if self._state == _OPEN:
            return
        try:
            if self._loop_factory is None:
                policy = chosen_policy()
                self._loop = new_event_loop() if policy is None else policy.new_event_loop()
                if not self._set_event_loop:
                    self._set_event_loop = True
                    asyncio.set_event_loop(self._loop)
            else:
                self._loop = self._loop_factory()
            if self._debug is not None:
                self._loop.set_debug(self._debug)
            self._context = contextvars.copy_context()
            self._state = _OPEN
        except BaseException:  # a Ctrl-C: nobody would close the loop
            if self._loop is not None and self._state == _CREATED:
                self._give_up()
            raise

    def _give_up(self) -> None:
        """Close a loop that nobody was given."""
        loop, self._loop = self._loop, None
        try:
            if self._set_event_loop:
                self._set_event_loop = False
                asyncio.set_event_loop(None)
        finally:
            loop.close()

    def _take_sigint(self, task: Any) -> Any:
        """Take Ctrl-C over: the first cancels the task, so that it can clean up; a second one ends at once."""
        if (
            threading.current_thread() is not threading.main_thread()
            or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        ):
            return None
        handler = functools.partial(self._on_sigint, task)
        try:
            signal.signal(signal.SIGINT, handler)
        except ValueError:  # an embedded interpreter without signals
            return None
        except BaseException:
            again.finish(_give_sigint_back, handler)
            raise
        return handler

    def _on_sigint(self, task: Any, signum: int, frame: FrameType | None) -> None:
        self._interrupts += 1
        if self._interrupts == 1 and not task.done():
            task.cancel()
            # a loop that sleeps has to look at it
            self._loop.call_soon_threadsafe(_nothing)
            return
        raise KeyboardInterrupt()


sharing.note(Runner, asyncio.Runner)


def run(
    main: Awaitable[_T],
    *,
    debug: bool | None = None,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> _T:
    """Run a coroutine on a new event loop, close the loop, and return the result: a program's entry point.

    Tasks that are left are cancelled and waited for; asynchronous generators and the default executor are closed.

    Arguments:
        main: the coroutine, or another awaitable.
        debug: debug mode on or off (None: as the interpreter's options say).
        loop_factory: makes the event loop (None: hasten's).

    Raises:
        RuntimeError: a loop runs in this thread already.
    """
    if asyncio._get_running_loop() is not None:
        text = (
            "asyncio.run() cannot be called from a running event loop: inside a coroutine, await the other one "
            "or use create_task()"
        )
        raise advice.add(RuntimeError(text), advice.NESTED_RUN)
    with Runner(debug=debug, loop_factory=loop_factory) as runner:
        return runner.run(main)


def as_coroutine(obj: Awaitable[_T]) -> Coroutine[Any, Any, _T]:
    """Return a coroutine that awaits `obj`. Raises TypeError for what is not awaitable."""
    if asyncio.iscoroutine(obj):
        return obj
    if inspect.isawaitable(obj):
        return await_it(obj)
    if inspect.iscoroutinefunction(obj):
        name = getattr(obj, "__name__", "main")
        text = f"An asyncio.Future, a coroutine or an awaitable is required: {obj!r} is a function, call it: {name}()"
    else:
        text = f"An asyncio.Future, a coroutine or an awaitable is required, not {obj!r}"
    raise advice.add(TypeError(text), advice.NOT_A_COROUTINE)


def _join_executor(loop: Any) -> Any:
    """Call shutdown_default_executor(), with a timeout where the loop takes one (Python 3.11's own do not)."""
    method = loop.shutdown_default_executor
    takes_timeout = isinstance(loop, Scheduler) or "timeout" in inspect.signature(method).parameters
    return method(THREAD_JOIN_TIMEOUT) if takes_timeout else method()


def _nothing() -> None:
    pass


def _give_sigint_back(handler: Any) -> None:
    """Restore SIGINT's handler by the C functions: `signal`'s own make enums, for which memory may be lacking."""
    if _signal.getsignal(signal.SIGINT) is handler:
        _signal.signal(signal.SIGINT, signal.default_int_handler)


def _tell_left(left: set[Any]) -> None:
    """Tell which tasks have not ended although run() has cancelled them: it goes on waiting, perhaps for ever."""
    from hasten.aio.graph import place_of

    lines = []
    for task in left:
        if task.done():
            continue
        made = task.created_at() if type(task) is Task else None
        make = next((each for each in (Task, asyncio.Task) if each in type(task).__mro__), type(task))
        parts = [f"  task {make.get_name(task)!r}"]  # its class's own method may be anybody's
        if made is not None:
            parts.append(f'made at File "{made[0]}", line {made[1]}, in {made[2]}')
        place = place_of(task)
        if place is not None:
            parts.append(f'stands at File "{place[0]}", line {place[1]}, in {place[2]}')
        lines.append("\n    ".join(parts))
    if lines:
        lines.sort()
        n = len(lines)
        tasks, have, them = ("task", "has", "it") if n == 1 else ("tasks", "have", "them")
        text = (
            f"{n} {tasks} that run() cancelled {CANCEL_TIMEOUT:g} s ago {have} not ended, and run() waits for {them}:"
        )
        lines = [text, *lines[:MOST_TOLD], *([f"  … and {n - MOST_TOLD} more"] if n > MOST_TOLD else [])]
        report.note(logging.WARNING, "\n".join([*lines, advice.text(advice.NOT_ENDING)]))


def _cancel_all(loop: Any) -> None:
    """Cancel the tasks that are left, and wait until they have ended."""
    left = all_tasks(loop)
    if not left:
        return
    from hasten.primitives.gathering import gather  # only now: most programs leave nothing

    for task in left:
        task.cancel()
    patience = loop.call_later(CANCEL_TIMEOUT, _tell_left, left)
    loop.run_until_complete(gather(*left, return_exceptions=True))
    patience.cancel()
    for task in left:
        if task.cancelled():
            continue
        exc = task.exception()
        if exc is not None:
            loop.call_exception_handler(
                {"message": "unhandled exception during asyncio.run() shutdown", "exception": exc, "task": task}
            )
