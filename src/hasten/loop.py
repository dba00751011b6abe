"""The event loop: the composition root. It inherits the scheduler and puts the rest together from below."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
import warnings

# Others look for this very function to tell the task that the loop runs for (anyio keeps its threads as long as that).
from asyncio.base_events import _run_until_complete_cb  # type: ignore[attr-defined]
from collections.abc import Awaitable, Callable, Generator
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from hasten.core import advice, attending, departures, fdwatch, observing, report
from hasten.core.again import to_the_end
from hasten.core.future import Future
from hasten.core.scheduler import Scheduler
from hasten.core.signals import Signals
from hasten.loop_io import IoMethods
from hasten.net import dns
from hasten.poll import choice
from hasten.poll import events as ev
from hasten.poll.choice import AnyPoller
from hasten.poll.contract import Poller
from hasten.primitives.asyncgens import AsyncGenerators
from hasten.primitives.executors import Executors

if TYPE_CHECKING:
    from hasten.process.watching import Children

logger = logging.getLogger("asyncio")
_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


class Loop(Scheduler, IoMethods, asyncio.AbstractEventLoop):
    """hasten's event loop, with the interface of asyncio's.

    `poller`: "epoll" or "selectors"; None takes the environment variable HASTEN_POLLER, else the platform's best. Or a
    poller of one's own, which no other loop has: `testing` has one of virtual time.
    `batch_writes`: small writes leave when a batch ends. None: by HASTEN_BATCH_WRITES (1 or 0), else True if compiled.
    """

    # An instance whose __dict__ is empty has its methods found faster, call_soon() and create_future() among them.
    __slots__ = (
        "_asyncgens",
        "_children",
        "_exception_handler",
        "_executors",
        "_origin_depth",
        "_resolver",
        "_signals",
    )

    def __init__(self, poller: str | Poller | None = None, *, batch_writes: bool | None = None) -> None:
        made = choice.make(poller)
        logger.debug("Using selector: %s", type(made).__name__)  # asyncio's words: programs know this line by them
        Scheduler.__init__(self, batch_writes=departures.wanted(batch_writes), poller=made)
        self._exception_handler: report.Handler | None = None
        self._signals = Signals()
        self._asyncgens = AsyncGenerators()
        self._executors = Executors()
        self._resolver = dns.Resolver()
        self._children: Children | None = None
        self._origin_depth: int | None = None
        self.set_debug(report.debug_by_default())

    def __repr__(self) -> str:
        states = f"running={self.is_running()} closed={self.is_closed()} debug={self.get_debug()}"
        kind = type(self)
        module = "hasten" if kind.__module__ == __name__ else kind.__module__  # so that it tells whose loop it is
        return f"<{module}.{kind.__qualname__} {states} poller={self._poller.name}>"

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "time":
            self._look_at_clock()

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        if name == "time":
            self._look_at_clock()

    # ---- running --------------------------------------------------------------------------

    def run_forever(self) -> None:
        """Run until stop() is called. Raises RuntimeError if a loop runs in this thread already."""
        self._check_closed()
        self._check_running()
        first, final = sys.get_asyncgen_hooks()  # first: an interruption may come as soon as ours are set
        try:
            self._asyncgens.hook(self)
            if attending.on_run:
                attending.begin(self)
            self._attend()
            self._enter_debug(self.get_debug())
            try:
                observing.begin(self)
                self._run_ticks(threading.get_ident())
            finally:
                observing.end(self)
        finally:
            try:
                self._enter_debug(False)
            finally:
                sys.set_asyncgen_hooks(first, final)

    def run_until_complete(self, future: Generator[Any, None, _T] | Awaitable[_T]) -> _T:
        """Run until `future` (a coroutine becomes a task) is done; return its result or raise its exception."""
        self._check_closed()
        self._check_running()
        new = not asyncio.isfuture(future)  # asyncio's own: imported already, while ours might not be needed else
        awaitable: Any = future
        try:
            fut: Any = asyncio.ensure_future(awaitable, loop=self)
        except TypeError as exc:
            if inspect.iscoroutinefunction(future):
                advice.add(exc, advice.NOT_A_COROUTINE)
            raise
        if new:
            fut._log_destroy_pending = False  # the caller sees what ended the loop, not a task that was left
        fut.add_done_callback(_run_until_complete_cb)
        before = self._until
        ours = type.__subclasscheck__(Future, type(fut))  # stock futures are instances, too
        if ours and self.stop == Scheduler.stop.__get__(self):  # a program's own stop() goes on
            self._stop_when_done(fut)  # the callback may find no memory
        try:
            self.run_forever()
        except BaseException:
            if fut.done():
                self._call_stop_off(fut)
            if new and fut.done() and not fut.cancelled():
                fut.exception()  # raised already: nobody has to be told
            raise
        finally:
            try:
                self._stop_when_done(before)
            finally:
                fut.remove_done_callback(_run_until_complete_cb)
        if not fut.done():
            raise RuntimeError("Event loop stopped before Future completed.")
        try:
            result: _T = fut.result()
            return result
        finally:
            del fut  # the exception's traceback knows this frame: with it in the frame, they would be a circle

    def _call_stop_off(self, fut: Any) -> None:
        """Call off what the end of `fut` has scheduled, where something else has ended the run first: the next run, in
        which what is left is cancelled, would stop at once."""
        for h in self._ready:
            if h._callback is _run_until_complete_cb and h._args and h._args[0] is fut:
                h.cancel()
                if not fut.cancelled():
                    fut.exception()  # as what is called off would: sys.exit() in main() is no error to be told

    def _check_running(self) -> None:
        if self.is_running():
            text = "This event loop is already running: await the coroutine, or hand it to create_task()"
            raise advice.add(RuntimeError(text), advice.NESTED_RUN)
        if asyncio._get_running_loop() is not None:
            text = (
                "Cannot run the event loop while another loop is running: await inside it, or use a thread of its own"
            )
            raise advice.add(RuntimeError(text), advice.NESTED_RUN)

    def close(self) -> None:
        """Release everything. Closing again does nothing. Raises RuntimeError while the loop runs."""
        if self.is_running():
            raise RuntimeError("Cannot close a running event loop: call stop() and let it end first")
        if self.is_closed():
            return
        if self.get_debug():
            logger.debug("Close %r", self)
        self._signals.close(self)
        if self._children is not None:
            self._children.close(self)
        self._executors.close()
        self._resolver.close()
        observing.forget(self)
        self._shut()

    def __del__(self, _warn: Any = warnings.warn) -> None:
        super().set_task_factory(None)  # a bound method, it would be a circle that the collector cannot break
        if getattr(self, "_origin_depth", self) is not self and not self.is_closed():
            _warn(f"unclosed event loop {self!r}", ResourceWarning, source=self)
            if not self.is_running():
                self.close()

    async def shutdown_asyncgens(self) -> None:
        """Close all asynchronous generators that were started and not finished."""
        await self._asyncgens.shut_down(self)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the default executor's threads, at most `timeout` seconds (None: without limit)."""
        await self._executors.shut_down(self, timeout)

    # ---- debugging and errors -------------------------------------------------------------

    def set_debug(self, enabled: bool) -> None:
        """Turn debug mode on or off: checks of the thread, places of creation, reports of slow callbacks."""
        self._set_debug(enabled)
        if self.is_running():
            self.call_soon_threadsafe(self._enter_debug, enabled)

    @to_the_end  # else coroutines would go on recording where they are made
    def _enter_debug(self, enabled: bool) -> None:
        """Have coroutines remember where they were made, and what blocks the loop be told, or no longer."""
        if bool(enabled) == (self._origin_depth is not None):
            return
        attending.debugged(self, enabled)  # first: what is noted last says that all is done
        if enabled:
            self._origin_depth = sys.get_coroutine_origin_tracking_depth()
            sys.set_coroutine_origin_tracking_depth(10)
        elif self._origin_depth is not None:
            sys.set_coroutine_origin_tracking_depth(self._origin_depth)
            self._origin_depth = None

    def set_exception_handler(self, handler: report.Handler | None) -> None:
        """Have `handler(loop, context)` called for errors that nobody awaits; None: they are logged."""
        if handler is not None and not callable(handler):
            raise TypeError(f"A callable object or None is expected, got {handler!r}")
        self._exception_handler = handler

    def get_exception_handler(self) -> report.Handler | None:
        """The handler that set_exception_handler() set, or None."""
        return self._exception_handler

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Log an error's context."""
        report.log(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report an error to the exception handler; `context` has a "message" and perhaps an "exception"."""
        if attending.on_report:
            attending.reported(self, context)
        report.call(self, self._exception_handler, context)

    # ---- threads --------------------------------------------------------------------------

    def run_in_executor(self, executor: Executor | None, func: Callable[[*_Ts], _T], *args: *_Ts) -> asyncio.Future[_T]:
        """Call func(*args) in an executor (None: the loop's own threads); return a Future."""
        return self._executors.run(self, executor, func, args)

    def set_default_executor(self, executor: Any) -> None:
        """Use `executor`, a ThreadPoolExecutor, for run_in_executor(None, ...). Raises TypeError for any other."""
        self._executors.set_default(executor)

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        """Look up as socket.getaddrinfo() does; in a thread unless the host is a number. Raises socket.gaierror."""
        return await dns.getaddrinfo(
            self, self._resolver, host, port, family=family, type=type, proto=proto, flags=flags
        )

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> Any:
        """Look up as socket.getnameinfo() does; in a thread if a name is wanted. Raises socket.gaierror."""
        return await dns.getnameinfo(self, self._resolver, sockaddr, flags)

    # ---- file descriptors and signals -----------------------------------------------------

    def add_reader(self, fd: Any, callback: Callable[[*_Ts], Any], *args: *_Ts) -> None:
        """Call callback(*args) whenever `fd` (an int, or an object with fileno()) can be read from."""
        fdwatch.add(self, fdwatch.fileno(fd), ev.READ, callback, args, fd)

    def remove_reader(self, fd: Any) -> bool:
        """Undo add_reader(); return False if there was nothing to undo."""
        return fdwatch.remove(self, fdwatch.known(self, fd), ev.READ)

    def add_writer(self, fd: Any, callback: Callable[[*_Ts], Any], *args: *_Ts) -> None:
        """Call callback(*args) whenever `fd` (an int, or an object with fileno()) can be written to."""
        fdwatch.add(self, fdwatch.fileno(fd), ev.WRITE, callback, args, fd)

    def remove_writer(self, fd: Any) -> bool:
        """Undo add_writer(); return False if there was nothing to undo."""
        return fdwatch.remove(self, fdwatch.known(self, fd), ev.WRITE)

    def _add_reader(self, fd: int, callback: Callable[..., Any], *args: Any) -> Any:
        return fdwatch.add(self, fd, ev.READ, callback, args)

    def _remove_reader(self, fd: int) -> bool:
        return fdwatch.remove(self, fd, ev.READ)

    def _add_writer(self, fd: int, callback: Callable[..., Any], *args: Any) -> Any:
        return fdwatch.add(self, fd, ev.WRITE, callback, args)

    def _remove_writer(self, fd: int) -> bool:
        return fdwatch.remove(self, fd, ev.WRITE)

    def _ensure_fd_no_transport(self, fd: Any) -> None:
        fdwatch.check_free(self, fdwatch.fileno(fd))

    def add_signal_handler(self, sig: int, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
        """Call callback(*args) in the loop when the signal comes. Allowed in the main thread only."""
        self._signals.add(self, sig, callback, args)

    def remove_signal_handler(self, sig: int) -> bool:
        """Undo add_signal_handler(); return False if there was nothing to undo."""
        return self._signals.remove(sig)


def new_event_loop(poller: str | AnyPoller | None = None, *, batch_writes: bool | None = None) -> Loop:
    """Return a new event loop. Whoever makes one closes it.

    Arguments:
        poller: "epoll" or "selectors"; None takes the environment variable HASTEN_POLLER, else the platform's best.
        batch_writes: small writes leave together when a batch ends (None: by HASTEN_BATCH_WRITES, else if compiled).

    Raises:
        ValueError: there is no such poller on this platform.
    """
    return Loop(poller, batch_writes=batch_writes)  # type: ignore[arg-type]


EventLoop = Loop  # asyncio's name for the class that new_event_loop() makes
