"""Runs one program in hostile surroundings, and says what is wrong with how it went.

However hostile the surroundings are: the loop ends, nothing but KeyboardInterrupt and SystemExit leaves it, who waits
for something done is woken, all tasks end when they are told to, connections are lost once, what was raised is heard of
by somebody, and afterwards everything goes.
"""

from __future__ import annotations

import asyncio
import logging
import random
import signal
import sys
import traceback
from typing import Any

from . import objects, settings
from .deeds import Mischief
from .hostile_machine import HostileMachine
from .wire import Wire

OURS = (SystemError, AttributeError, UnboundLocalError, NameError, AssertionError)  # they tell of our own mistakes
HEAPQ = "list changed size during iteration"  # a timer that asyncio's loop is told of while it compares timers
logger = logging.getLogger("asyncio")


class Ear(logging.Handler):
    """Hears what is logged as an error. Of a Liar, which cannot be shown, the text tells; so it does of an exception
    that was raised while a Liar was handled."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[BaseException] = []
        self.liars = 0
        self.hidden: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self.liars += "Liar" in text
        if "it cannot be shown" in text:
            self.hidden.append(text)
        if record.exc_info and record.exc_info[1] is not None:
            self.heard.append(record.exc_info[1])


_running: Any = None  # the machine of the run that is on


def what_waits() -> list[str]:
    """For who looks into a hang: the tasks that are not done, and how they came there."""
    if _running is None:
        return ["nothing runs"]
    loop = _running.loop
    lines = [repr(loop)]
    lines += [repr(task) for task in [_running.mischief.main, *_running.tasks] if task is not None and not task.done()]
    lines.append(repr(_running.mischief.trace))
    return lines


def run(seed: int, program: Any, setting: settings.Setting) -> tuple[list[str], Mischief]:
    """What is wrong, and what was done."""
    world = settings.WORLDS[setting.world]
    loop = world.make_loop()
    mischief = Mischief(random.Random(seed), loop, ticks=setting.permits_ticks())
    global _running
    machine = _running = HostileMachine(world.ns, loop, mischief)
    wire = Wire(mischief) if world.ours else None
    loop.set_debug(setting.debug)
    loop.slow_callback_duration = 1e9
    settings.install_factory(setting.factory, loop, world.ns, mischief)
    ear = Ear()
    logger.addHandler(ear)
    sys.unraisablehook = lambda info: unraisable(info, mischief)
    signal.signal(signal.SIGUSR1, lambda *args: mischief.strike("signal handler"))
    if isinstance(loop, settings.HostileLoop):
        loop.mischief = mischief
    left = mischief.left
    mischief.left = 0
    try:
        mischief.main = main = loop.create_task(play(machine, wire, program, left))
        with settings.collecting(setting.threshold, mischief), settings.tracing(setting.tracer, mischief):
            left_by = drive(loop, main, mischief)
        examine(machine, main, mischief)
        told_to(machine, ear, left_by, mischief)
    finally:
        sys.unraisablehook = sys.__unraisablehook__
        logger.removeHandler(ear)
        loop.set_task_factory(None)
        mischief.left = 0
        loop.close()
    _running = None
    del machine, wire, main
    forget(loop, mischief)
    return mischief.wrong, mischief


def unraisable(info: Any, mischief: Mischief) -> None:
    mischief.caught.append(info.exc_value)
    if type(info.exc_value) in OURS:
        mischief.wrong.append(f"unraisable: {info.exc_value!r} in {info.object!r}")
    mischief.strike("unraisable hook")


async def play(machine: HostileMachine, wire: Wire | None, program: Any, budget: int) -> None:
    """The program, with connections beside it, if they are ours."""
    for _ in range(2 if wire is not None else 0):
        await wire.open()
    machine.mischief.left = budget
    try:
        await machine.main(*program)
    finally:
        machine.mischief.left = 0
        if wire is not None:
            machine.mischief.wrong += await wire.close()
    await machine.settle()
    await end_the_rest(machine)


async def end_the_rest(machine: HostileMachine) -> None:
    """What hostile code started last is told to end; nothing is hostile any more."""
    me = machine.ns.current_task()
    for turn in range(60):
        left = [task for task in machine.ns.all_tasks() if task is not me]
        if not left:
            return
        waiting = [task for task in left if getattr(task, "_fut_waiter", None) is not None]
        for task in waiting:
            if task._fut_waiter is not None and task._fut_waiter.done():
                unwoken = f"not woken though what it waits for is done: {task!r}"
                if unwoken not in machine.mischief.wrong:
                    machine.mischief.wrong.append(unwoken)
        for lock in (*machine.locks, *machine.conditions) if turn > 2 else ():  # whoever held it is gone
            if lock.locked():
                lock.release()
        for task in left:
            task.cancel()
        for _ in range(6):
            await machine.ns.sleep(0)
    machine.mischief.wrong += [f"does not end: {task!r}" for task in left]


def drive(loop: Any, main: Any, mischief: Mischief) -> list[BaseException]:
    """Runs the loop until `main` is done, again and again if somebody ends it. What left it."""
    left_by: list[BaseException] = []
    for _ in range(1000):
        try:
            loop.run_until_complete(main)
        except (KeyboardInterrupt, SystemExit) as exc:
            left_by.append(exc)
        except RuntimeError as exc:
            stopped = str(exc) == "Event loop stopped before Future completed."
            if not stopped and not main.done() and str(exc) != HEAPQ:
                mischief.wrong.append(f"this left the loop: {exc!r}")
        except BaseException as exc:
            if not main.done():
                mischief.wrong.append(f"this left the loop: {type(exc)} {exc!r}")
        if main.done():
            return left_by
    mischief.wrong.append("the loop was left a thousand times")
    return left_by


def examine(machine: HostileMachine, main: Any, mischief: Mischief) -> None:
    if not main.done():
        mischief.wrong.append("main is not done")
    elif main.cancelled():
        mischief.wrong.append("main was cancelled")
    elif main.exception() is not None:
        where = traceback.extract_tb(main.exception().__traceback__)[-1]
        mischief.wrong.append(f"main failed: {main.exception()!r} at {where.filename}:{where.lineno}")
    for task in machine.tasks:
        if not task.done():
            mischief.wrong.append(f"not done: {task!r}")
    for context in machine.told:
        exc = context.get("exception")
        if type(exc) in OURS:
            mischief.wrong.append(f"the exception handler was told of {exc!r}: {context['message']}")


def told_to(machine: HostileMachine, ear: Ear, left_by: list[BaseException], mischief: Mischief) -> None:
    """Each exception that was raised on purpose has reached somebody."""
    heard: list[Any] = [context.get("exception") for context in machine.told] + ear.heard + left_by + mischief.caught
    for task in machine.tasks:
        if task.done() and not task.cancelled():
            heard.append(task.exception())
    known = {id(exc) for exc in heard}
    for exc in list(heard):  # what was raised while another was handled
        while isinstance(exc, BaseException) and type(exc) is not objects.Liar:
            known.add(id(exc))
            exc = BaseException.__dict__["__context__"].__get__(exc)
    for exc in mischief.thrown:
        if type(exc) is objects.Liar and (ear.liars or not mischief.ticks):  # asyncio's loop fails to log one
            continue
        if any(f"{type(exc).__name__}: it cannot be shown" in text for text in ear.hidden):
            continue
        if id(exc) not in known and not issubclass(type(exc), asyncio.CancelledError):
            mischief.wrong.append(f"nobody heard of the {type(exc).__name__} that was raised")


def forget(loop: Any, mischief: Mischief) -> None:
    """Nothing of the run is held any more."""
    mischief.loop = mischief.machine = mischief.wire = mischief.main = None
    mischief.thrown.clear()
    mischief.caught.clear()
    loop.set_exception_handler(None)
