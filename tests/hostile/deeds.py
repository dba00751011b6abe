"""What hostile code does to what is being worked on, drawn by a seeded generator.

`Mischief.strike(place)` is called by every hostile object (objects.py) from wherever it got to run: a destructor, a
comparison, an attribute, a signal handler. It does one deed or none, at most a few inside each other and a certain
number for a program, so that each program ends.
"""

from __future__ import annotations

import _thread
import asyncio
import gc
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable
from types import CoroutineType
from typing import Any

from . import objects

SOON = 1e-9
DEEP = 3  # deeds within deeds
EXPECTED = (  # what a deed's own call may be told
    *(asyncio.InvalidStateError, asyncio.CancelledError, asyncio.QueueEmpty, asyncio.QueueFull),
    *(RuntimeError, ValueError, TypeError, IndexError, KeyError, StopIteration, RecursionError, OSError),
    *(objects.Trouble, objects.Stranger, GeneratorExit),
)


class Mischief:
    """The hostility of one run: who draws, what is at hand, what was done.

    Arguments:
        rng: draws the deeds.
        loop: the loop that runs.
        ticks: whether the loop permits a tick inside a tick (asyncio's own does not).
        budget: how many deeds.
        rate: how probable a deed is at each opportunity.
    """

    def __init__(
        self, rng: random.Random, loop: Any, *, ticks: bool = True, budget: int = 60, rate: float = 0.3
    ) -> None:
        self.rng = rng
        self.loop = loop
        self.ticks = ticks
        self.left = budget
        self.rate = rate
        self.depth = 0
        self.machine: Any = None  # whose tasks, futures and primitives are at hand
        self.main: Any = None  # the task that runs the program: it alone is spared
        self.wire: Any = None
        self.done: Counter[str] = Counter()  # how often each place struck
        self.trace: list[tuple[str, str]] = []
        self.wrong: list[str] = []  # what must never happen, and did
        self.thrown: list[BaseException] = []  # exceptions of which somebody has to hear
        self.caught: list[BaseException] = []  # what reached a deed

    def strike(self, place: str, raising: bool = False) -> None:
        """Perhaps does a deed. `raising`: this place may raise, and somebody hears of it."""
        if self.left <= 0 or self.depth >= DEEP or not self.machine.tasks or self.rng.random() > self.rate:
            return
        self.left -= 1
        self.done[place] += 1
        self.depth += 1
        deed = self.rng.choice(DEEDS)
        self.trace.append((place, deed.__name__))
        try:
            deed(self)
        except EXPECTED as exc:
            self.caught.append(exc)
            self.inspect(exc, place, deed.__name__)
        except (SystemError, MemoryError, AttributeError, AssertionError, NameError) as exc:
            if not any(exc is each for each in self.thrown):
                self.wrong.append(f"{deed.__name__} at {place} raised {type(exc).__name__}: {exc}")
        except BaseException as exc:  # raised on purpose, by what the deed ran
            self.caught.append(exc)
        finally:
            self.depth -= 1
        if raising and self.rng.random() < 0.2:
            self.trace.append((place, "raise"))
            raise self.keep(self.rng.choice(objects.RAISED)())

    def keep(self, exc: BaseException) -> BaseException:
        self.thrown.append(exc)
        return exc

    def inspect(self, exc: BaseException, place: str, deed: str) -> None:
        """A RuntimeError is what a deed may be told, unless it speaks of our own mistakes."""
        text = str(exc) if type(exc) in (RuntimeError, TypeError) else ""
        if "NoneType" in text or "internal" in text:
            self.wrong.append(f"{deed} at {place} raised {type(exc).__name__}: {text}")

    def evil(self, place: str) -> Any:
        """An object that strikes when it dies, is compared, hashed, shown or called."""
        return objects.Evil(self, place)

    def pick(self, items: Any) -> Any:
        items = list(items)
        return self.rng.choice(items) if items else None

    def task(self) -> Any:
        return self.pick(self.machine.tasks[1:])

    def future(self) -> Any:
        return self.pick([*self.machine.futures, *self.machine.kept])


# ---- schedule -------------------------------------------------------------------------------------------------------


def call_soon(m: Mischief) -> None:
    m.machine.handles.append(m.loop.call_soon(m.evil("callback"), m.evil("argument")))


def call_soon_in_c(m: Mischief) -> None:
    """A callback without a line of Python, after which a signal waits to be handled."""
    m.machine.handles.append(m.loop.call_soon(_thread.interrupt_main, signal.SIGUSR1))


def call_threadsafe(m: Mischief) -> None:
    m.loop.call_soon_threadsafe(m.evil("callback"))


def set_timer(m: Mischief) -> None:
    when = m.rng.choice([0, -1, SOON, 1e6])
    handle = m.loop.call_later(when, m.evil("timer"), m.evil("argument of a timer"))
    m.machine.handles.append(handle)
    if when > 1 and m.rng.random() < 0.8:
        handle.cancel()


def cancel_handle(m: Mischief) -> None:
    handle = m.pick(m.machine.handles)
    if handle is not None:
        handle.cancel()


# ---- end what is being worked on ------------------------------------------------------------------------------------


def cancel_task(m: Mischief) -> None:
    task = m.task()
    if task is not None:
        task.cancel(m.evil("message"))


def cancel_current(m: Mischief) -> None:
    task = m.machine.current()
    if task is not None and task is not m.main:
        task.cancel()


def cancel_future(m: Mischief) -> None:
    future = m.future()
    if future is not None:
        future.cancel(m.evil("message"))


def set_result(m: Mischief) -> None:
    future = m.future()
    if future is not None and not future.done():
        future.set_result(m.evil("result"))


def set_exception(m: Mischief) -> None:
    future = m.future()
    if future is not None:
        future.set_exception(m.rng.choice([objects.Trouble(m), objects.trouble_class(m)]))


def renew_futures(m: Mischief) -> None:
    """Drops futures that somebody may be waiting for, done or not."""
    for i, future in enumerate(m.machine.futures):
        if future.done():
            m.machine.futures[i] = m.machine.new_future()
    m.machine.kept.clear()


def drop_references(m: Mischief) -> None:
    m.machine.handles.clear()
    m.machine.timeouts.clear()
    m.machine.groups.clear()
    m.machine.pokable.clear()


# ---- run ------------------------------------------------------------------------------------------------------------


def tick(m: Mischief) -> None:
    """A tick inside whatever runs; there is work for it, so it does not wait long."""
    if m.ticks and m.loop.is_running():
        timer = m.loop.call_later(0.01, int)  # a tick inside of this one may do the other work
        m.loop.call_soon(int)
        m.loop._run_once()
        timer.cancel()


def collect(m: Mischief) -> None:
    gc.collect(m.rng.randrange(3))


def start_task(m: Mischief) -> None:
    m.machine.spawn_hostile(eagerly=False)


def start_eagerly(m: Mischief) -> None:
    if m.loop.is_running():
        m.machine.spawn_hostile(eagerly=True)


def stop(m: Mischief) -> None:
    m.loop.stop()


def raise_signal(m: Mischief) -> None:
    signal.raise_signal(signal.SIGUSR1)


def let_a_signal_wait(m: Mischief) -> None:
    """It is handled when somebody looks: soon, in Python, and in C when the poller does."""
    _thread.interrupt_main(signal.SIGUSR1)


# ---- the primitives -------------------------------------------------------------------------------------------------


def poke(m: Mischief) -> None:
    """Enters a coroutine that somebody else drives."""
    coro = m.pick(m.machine.pokable)
    if coro is None:
        return
    how = m.rng.choice(["send", "throw", "close"])
    if how == "send":
        coro.send(None)
    elif how == "throw":
        if type(coro) is CoroutineType and coro.cr_running and sys.version_info < (3, 12):
            return  # 3.11 refuses it, and has changed the coroutine's stack by then: it crashes, with any loop
        coro.throw(objects.Trouble(m))
    else:
        coro.close()


def steal(m: Mischief) -> None:
    """A second task awaits what one awaits already."""
    coro = m.pick(m.machine.pokable)
    if coro is not None:
        m.machine.spawn_stealing(coro)


def primitives(m: Mischief) -> None:
    machine = m.machine
    choice = m.rng.randrange(9)
    if choice == 0:
        m.pick(machine.events).set()
    elif choice == 1:
        m.pick(machine.events).clear()
    elif choice == 2:
        m.pick(machine.locks).release()
    elif choice == 3:
        m.pick(machine.semaphores).release()
    elif choice == 4:
        m.pick(machine.queues).put_nowait(objects.Item(m))
    elif choice == 5:
        m.pick(machine.queues).get_nowait()
    elif choice == 6:
        m.pick(machine.conditions).notify(2)
    elif choice == 7 and machine.timeouts:
        m.pick(machine.timeouts).reschedule(m.loop.time() - m.rng.choice([-100, 1]))
    elif choice == 8 and machine.groups:
        group = m.pick(machine.groups)
        group.create_task(machine.body([("sleep", "zero")], "added"))


def add_callback(m: Mischief) -> None:
    target = m.pick([m.task(), m.future()])
    if target is not None:
        target.add_done_callback(m.machine.evil_callback())


def remove_callback(m: Mischief) -> None:
    target = m.pick([m.task(), m.future()])
    if target is not None:
        target.remove_done_callback(m.evil("comparison"))


def pull_the_wire(m: Mischief) -> None:
    if m.wire is not None:
        m.wire.disturb(m.rng)


DEEDS: list[Callable[[Mischief], None]] = [
    *(call_soon, call_soon, call_soon_in_c, call_threadsafe, set_timer, cancel_handle),
    *(cancel_task, cancel_task, cancel_current, cancel_future, set_result, set_result, set_exception),
    *(renew_futures, drop_references, tick, tick, collect, start_task, start_eagerly, start_eagerly, stop),
    *(raise_signal, let_a_signal_wait, poke, poke, steal, primitives, primitives, primitives),
    *(add_callback, remove_callback, pull_the_wire, pull_the_wire),
]
