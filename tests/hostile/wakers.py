"""The places in which Python code runs between two ticks: each makes `notice()` be called from there, once.

    place(loop, notice)

is called in a callback or a task of `loop`, and returns before that. When it does happen the loop may have nothing else
to do, and be about to sleep.
"""

from __future__ import annotations

import _thread
import contextvars
import gc
import signal
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

Notice = Callable[[], None]
value: contextvars.ContextVar[Any] = contextvars.ContextVar("value of a waker")
SIGNAL = signal.SIGUSR2


class Last:
    """Calls `notice` when it goes."""

    def __init__(self, notice: Notice) -> None:
        self.notice = notice

    def __del__(self) -> None:
        self.notice()


class Thing:
    """What can be referred to weakly."""


_references: deque[Any] = deque(maxlen=200)  # that long a weak reference waits for its end


def forget() -> None:
    _references.clear()


def watch(thing: Any, notice: Notice) -> None:
    _references.append(weakref.ref(thing, lambda ref: notice()))


async def give(value: Any) -> Any:
    return value


def result_of_a_task(loop: Any, notice: Notice) -> None:
    loop.create_task(give(Last(notice)))


def task(loop: Any, notice: Notice) -> None:
    made = loop.create_task(give(None))
    watch(made, notice)


def value_of_a_context(loop: Any, notice: Notice) -> None:
    context = contextvars.Context()
    context.run(value.set, Last(notice))
    loop.call_soon(int, context=context)


def value_of_a_task_s_context(loop: Any, notice: Notice) -> None:
    context = contextvars.Context()
    context.run(value.set, Last(notice))
    loop.create_task(give(None), context=context)


def argument_of_a_callback(loop: Any, notice: Notice) -> None:
    loop.call_soon(id, Last(notice))


def argument_of_a_cancelled_timer(loop: Any, notice: Notice) -> None:
    """A timer that is swept out of the heap: its arguments go when it is cancelled, or when it comes to the top."""
    handle = loop.call_at(loop.time(), id, Last(notice))
    loop.call_soon(handle.cancel)


def cancelled_timer(loop: Any, notice: Notice) -> None:
    handle = loop.call_at(loop.time() + 1e-4, id, 0)
    watch(handle, notice)
    loop.call_soon(handle.cancel)


def exception_handler(loop: Any, notice: Notice) -> None:
    """An exception that nobody retrieved: the handler hears of it when the task goes."""
    before = loop.get_exception_handler()

    def handler(loop: Any, context: dict[str, Any]) -> None:
        if before is not None and "never retrieved" not in context["message"]:
            before(loop, context)  # an error that comes from elsewhere meanwhile
            return
        loop.set_exception_handler(before)
        notice()

    async def fail() -> None:
        loop.set_exception_handler(handler)
        raise ValueError

    loop.create_task(fail())


def weak_reference(loop: Any, notice: Notice) -> None:
    thing = Thing()
    watch(thing, notice)
    loop.create_task(give(thing))


def cycle(loop: Any, notice: Notice) -> None:
    """Garbage that the collector finds as the last thing that happens."""
    last: Any = Last(notice)
    last.itself = last
    loop.call_soon(gc.collect)


def collector(loop: Any, notice: Notice) -> None:
    def told(phase: str, info: Any) -> None:
        if phase == "stop" and told in gc.callbacks:
            gc.callbacks.remove(told)
            notice()

    gc.callbacks.append(told)
    loop.call_soon(gc.collect)


def _handle(notice: Notice) -> None:
    before: Any = None

    def handler(signum: int, frame: Any) -> None:
        signal.signal(SIGNAL, before)
        notice()

    before = signal.signal(SIGNAL, handler)


def signal_in_c(loop: Any, notice: Notice) -> None:
    """A callback in C after which a signal waits: Python looks at it when the poller does, at the latest."""
    _handle(notice)
    loop.call_soon(_thread.interrupt_main, SIGNAL)


def signal_in_a_destructor(loop: Any, notice: Notice) -> None:
    _handle(notice)
    loop.create_task(give(Last(lambda: signal.raise_signal(SIGNAL))))


def signal_from_a_thread(loop: Any, notice: Notice) -> None:
    """It may come at any time; if the loop sleeps by then, it is woken by it."""
    _handle(notice)
    threading.Thread(target=signal.pthread_kill, args=(threading.main_thread().ident, SIGNAL)).start()


def trace_function(loop: Any, notice: Notice) -> None:
    """A profiler that is told of the end of a callback which is written in Python."""
    before = sys.getprofile()

    def profile(frame: Any, event: str, argument: Any) -> None:
        if event == "return" and frame.f_code is last.__code__:
            sys.setprofile(before)
            notice()

    def last() -> None:
        pass

    def start() -> None:
        loop.call_soon(last)
        sys.setprofile(profile)

    loop.call_soon(start)


# The same each time, and no trace function, of which there is one only.
REPEATABLE: list[Callable[[Any, Notice], None]] = [
    *(result_of_a_task, task, value_of_a_context, value_of_a_task_s_context, argument_of_a_callback),
    *(argument_of_a_cancelled_timer, cancelled_timer, exception_handler, weak_reference, cycle, collector),
    *(signal_in_c, signal_in_a_destructor),
]
PLACES = [*REPEATABLE, signal_from_a_thread, trace_function]
