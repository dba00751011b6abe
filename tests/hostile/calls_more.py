"""More of calls.py: tasks, futures and the loop in all their ways.

Not here, since the interpreter itself crashes then: what makes functions, such as print_stack() and debug mode, whose
tracebacks do.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import signal
import sys
from collections.abc import Callable
from typing import Any

from .calls import Call, forever, inside, nothing, outside
from .ticks import Stuck, fail


def _inside(name: str, scene: Callable[[Any, Any], Call]) -> None:
    scene.__name__ = name
    inside(scene)


# ---- tasks ----------------------------------------------------------------------------------------------------------


def _pending(ns: Any, loop: Any) -> Any:
    made = ns.create_task(forever(), name="pending")
    made.add_done_callback(id)
    return made


def _of_task(name: str, deed: Callable[[Any], Any]) -> None:
    _inside(name, lambda ns, loop: lambda made=_pending(ns, loop): deed(made))


_of_task("task_cancel_uncancel", lambda t: (t.cancel(), t.cancelling(), t.uncancel()))
_of_task(
    "task_callbacks", lambda t: (t.add_done_callback(int), t.remove_done_callback(int), t.remove_done_callback(id))
)
_of_task("task_callback_context", lambda t: t.add_done_callback(int, context=contextvars.copy_context()))
_of_task("task_stack", lambda t: t.get_stack(limit=3))
_of_task("task_attributes", lambda t: (t._callbacks, t._state, t._fut_waiter, t.__class__, t._source_traceback, str(t)))
_of_task("task_result", lambda t: _raised(t.result))
_of_task("task_set_result", lambda t: _raised(t.set_result, 1))
_of_task("task_attribute", lambda t: (setattr(t, "own", 1), t.own, vars(t)))
_of_task("task_getitem", lambda t: (type(t)[int], hash(t), t == t))


def _raised(f: Callable[..., Any], *args: Any) -> None:
    """Raises what the rules of futures say."""
    try:
        f(*args)
    except (asyncio.InvalidStateError, RuntimeError):
        return
    raise AssertionError("nothing was raised")


@inside
def eager_task(ns: Any, loop: Any) -> Call:
    coro = forever()
    return lambda: ns.Task(coro, loop=loop, eager_start=True)


@inside
def eager_task_in_a_context(ns: Any, loop: Any) -> Call:
    """One that cannot be made leaves nothing behind: neither itself nor its context."""
    context = contextvars.copy_context()
    coro = forever()

    def call() -> None:
        listed = ns.all_tasks()
        try:
            ns.Task(coro, loop=loop, context=context, eager_start=True)
        except MemoryError:
            context.run(int)
            assert ns.all_tasks() == listed
            assert ns.current_task() is None
            raise

    return call


@inside
def eager_tasks_one_after_the_other(ns: Any, loop: Any) -> Call:
    """The dict in which some Pythons keep the current task has to grow now and then."""

    def call() -> None:
        for _ in range(12):
            context = contextvars.copy_context()
            try:
                ns.Task(nothing(), loop=loop, context=context, eager_start=True)
            except MemoryError:
                context.run(int)
                assert ns.current_task() is None
                assert not ns.all_tasks()
                raise

    return call


@inside
def eager_task_that_ends(ns: Any, loop: Any) -> Call:
    coro = nothing()
    return lambda: ns.Task(coro, loop=loop, eager_start=True, name="x").result()


@inside
def eager_task_that_fails(ns: Any, loop: Any) -> Call:
    coro = fail()
    return lambda: ns.Task(coro, loop=loop, eager_start=True).exception()


@inside
def eager_tasks_of_the_factory(ns: Any, loop: Any) -> Call:
    def call() -> None:
        loop.set_task_factory(ns.eager_task_factory)
        try:
            ns.create_task(nothing())
            ns.create_task(forever())
            loop.create_task(fail()).exception()
        finally:
            loop.set_task_factory(None)

    return call


@inside
def create_tasks_often(ns: Any, loop: Any) -> Call:
    def call() -> None:
        for _ in range(300):
            ns.create_task(nothing())

    return call


@inside
def tasks_in_a_chain(ns: Any, loop: Any) -> Call:
    """Each waits for the next; the first is cancelled."""
    first = _chain(ns, 5)

    def call() -> None:
        first.cancel("why")

    return call


def _chain(ns: Any, n: int) -> Any:
    made = ns.create_task(forever())
    for _ in range(n):
        made = ns.create_task(_wait_for_it(made))
    return made


async def _wait_for_it(made: Any) -> Any:
    return await made


@inside
def wrong_arguments(ns: Any, loop: Any) -> Call:
    wrong = [
        (ns.create_task, (5,), {}),
        (ns.Task, (5,), {"loop": loop}),
        (ns.Task, (), {}),
        (ns.sleep, (), {}),
        (ns.sleep, (1, 2, 3), {}),
        (ns.wait, (), {"timeout": 5}),
        (ns.gather, (5,), {}),
        (ns.gather, (), {"x": 5}),
        (ns.shield, (5,), {}),
        (ns.ensure_future, (5,), {}),
        (ns.Queue, (), {"x": 1}),
        (ns.Lock, (1,), {}),
        (ns.Event, (), {"y": 1}),
        (ns.Semaphore, (-1,), {}),
        (ns.Barrier, (0,), {}),
        (ns.timeout, (), {}),
        (ns.timeout, ("x",), {}),
        (ns.TaskGroup, (1,), {}),
        (ns.Future, (1,), {}),
        (ns.Future, (), {"x": 5}),
        (ns.Handle, (), {}),
        (ns.TimerHandle, (None, id, (), loop), {}),
        (loop.call_soon, (5,), {}),
        (loop.call_soon, (id,), {"x": 5}),
        (loop.call_soon, (), {}),
        (loop.call_later, ("x", id), {}),
        (loop.call_at, (None, id), {}),
        (loop.call_soon_threadsafe, (), {}),
        (loop.create_task, (5,), {"name": 1, "eager_start": 0}),
        (loop.set_task_factory, (5,), {}),
        (loop.run_until_complete, (5,), {}),
    ]

    def call() -> None:
        for f, args, kwargs in wrong:
            try:
                f(*args, **kwargs)
            except (TypeError, ValueError, RuntimeError):
                continue
            raise AssertionError(f)

    return call


# ---- futures --------------------------------------------------------------------------------------------------------


@inside
def future_of_many(ns: Any, loop: Any) -> Call:
    future = loop.create_future()

    def call() -> None:
        for _ in range(30):
            future.add_done_callback(id)
        future.set_result(5)
        future.add_done_callback(id)
        future.result()

    return call


@inside
def future_states(ns: Any, loop: Any) -> Call:
    good, bad, gone, waiting = (ns.Future(loop=loop) for _ in range(4))
    good.set_result(1)
    bad.set_exception(ValueError("x"))
    gone.cancel("message")

    def call() -> None:
        for each in (good, bad, gone, waiting):
            repr(each), each.done(), each.cancelled(), each._callbacks, each._state, each._exception
            for f in (each.result, each.exception):
                try:
                    f()
                except (ValueError, asyncio.CancelledError, asyncio.InvalidStateError):
                    pass
        for f, value in ((good.set_result, 2), (bad.set_exception, KeyError), (waiting.set_exception, 5)):
            try:
                f(value)
            except (asyncio.InvalidStateError, TypeError):
                pass

    return call


@inside
def future_stop_iteration(ns: Any, loop: Any) -> Call:
    future = loop.create_future()

    def call() -> None:
        future.set_exception(StopIteration)
        future.exception()

    return call


@inside
def future_never_looked_at(ns: Any, loop: Any) -> Call:
    def call() -> None:
        future = loop.create_future()
        future.set_exception(ValueError())

    return call


@inside
def future_attributes(ns: Any, loop: Any) -> Call:
    future = loop.create_future()

    def call() -> None:
        future.own = 1
        future._cancel_message = "x"
        future._asyncio_future_blocking = False
        future._log_traceback = False
        vars(future)
        del future.own

    return call


@inside
def future_of_a_thread(ns: Any, loop: Any) -> Call:
    def call() -> None:
        theirs: Any = concurrent.futures.Future()
        ns.wrap_future(theirs, loop=loop)
        theirs.set_result(1)

    return call


@inside
def threadsafe_coroutine(ns: Any, loop: Any) -> Call:
    return lambda: ns.run_coroutine_threadsafe(nothing(), loop)


# ---- the loop -------------------------------------------------------------------------------------------------------


class _Pool(concurrent.futures.Executor):
    def submit(self, f: Any, /, *args: Any, **kwargs: Any) -> Any:
        theirs: Any = concurrent.futures.Future()
        theirs.set_result(1)
        return theirs


_POOL = _Pool()


@inside
def executor_at_once(ns: Any, loop: Any) -> Call:
    return lambda: loop.run_in_executor(_POOL, id, 1)


@inside
def signals(ns: Any, loop: Any) -> Call:
    def call() -> None:
        try:
            loop.add_signal_handler(signal.SIGUSR1, id, 1)
        finally:
            loop.remove_signal_handler(signal.SIGUSR1)

    return call


@inside
def timers_in_order(ns: Any, loop: Any) -> Call:
    def call() -> None:
        one, two = loop.call_at(loop.time() + 50, id, 1), loop.call_later(60, id, 2)
        try:
            one < two, one == two, hash(one), one >= two, repr(one), one.when(), one.cancelled()
        finally:
            one.cancel()
            two.cancel()

    return call


@outside
def runner(ns: Any, loop: Any) -> Call:
    """Nothing of one that failed hears of the next Ctrl-C."""
    if ns is not asyncio and signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        raise Stuck

    def call() -> None:
        with ns.Runner() as made:
            made.get_loop()
            made.run(nothing())
            made.run(ns.sleep(0))

    return call


@outside
def run(ns: Any, loop: Any) -> Call:
    return lambda: ns.run(ns.sleep(0, 1))


@outside
def run_until_complete(ns: Any, loop: Any) -> Call:
    return lambda: loop.run_until_complete(ns.sleep(0))


@outside
def run_until_complete_fails(ns: Any, loop: Any) -> Call:
    def call() -> None:
        try:
            loop.run_until_complete(fail())
        except KeyError:
            return
        raise AssertionError("it did not fail")

    return call


def a_thousand(loop: Any) -> float:
    return 1000.0


@outside
def own_clock(ns: Any, loop: Any) -> Call:
    """time() is replaced while memory is short: it is the clock of all later timers nevertheless."""
    if ns is asyncio:
        return nothing_to_do
    kind = type("Own", (type(loop),), {})
    made = kind()

    def call() -> None:
        kind.time = a_thousand
        try:
            made.call_later(1, id)
        except MemoryError:
            pass
        try:
            assert made.call_later(1, id).when() == 1001.0
        finally:
            made.close()

    return call


def nothing_to_do() -> None:
    pass


@outside
def interrupted(ns: Any, loop: Any) -> Call:
    """A KeyboardInterrupt gets to who runs the loop, even if there is no memory for its traceback."""

    def call() -> None:
        sys._getframe()  # made now, since the interpreter loses an exception when it has no memory for its own frame
        ran: list[Any] = []
        loop.call_soon(ran.append, 1)
        loop.call_soon(signal.default_int_handler, signal.SIGINT, None)
        raised = None
        try:
            loop._run_once()
        except (KeyboardInterrupt, MemoryError) as exc:
            raised = exc
        if ran and len(loop._ready) == 0:
            while raised is not None and not isinstance(raised, KeyboardInterrupt):
                raised = raised.__context__
            if raised is None:
                raise Stuck

    return call


@outside
def close_with_tasks(ns: Any, loop: Any) -> Call:
    def call() -> None:
        made = ns.new_event_loop()
        try:
            made.create_task(forever())
            made.create_task(ns.sleep(0))
            made._run_once()
            made.call_later(10, id, 1)
            made.call_soon(id)
        finally:
            made.close()

    return call
