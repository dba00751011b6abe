"""Who observes which loop: attach() and detach(). What observers are told of: core/probe."""

from __future__ import annotations

import os
from typing import Any

import cython

from hasten.core import describe, report
from hasten.core import probe as probes
from hasten.core.probe import Observer, Probe
from hasten.core.scheduler import Scheduler
from hasten.kernel import step

everywhere: list[Observer] = []  # they observe each loop that runs
running: list[Scheduler] = []  # the loops that run now, in any thread


def attach(observer: Observer, loop: Any = None) -> None:
    """Have `observer` told of what happens on `loop`; None: on each loop of hasten while it runs, now and from now on.

    Raises:
        TypeError: it is no Observer, or the loop is none of hasten's.
    """
    check(observer, loop)
    if loop is not None:
        observe(loop, observer, False)
        return
    if not is_in(everywhere, observer):
        everywhere.append(observer)
    for each in list(running):
        observe(each, observer, True)


def detach(observer: Observer, loop: Any = None) -> None:
    """Take back attach(observer, loop). What was not attached is no error."""
    check(observer, loop)
    if loop is not None:
        ignore(loop, observer)
        return
    everywhere[:] = [each for each in everywhere if each is not observer]
    for each in list(running):
        dismiss(each, observer)


def observers_of(loop: Any) -> list[Observer]:
    """Return who observes a loop of hasten's. Raises TypeError for another one."""
    check_loop(loop)
    probe = cython.cast(Scheduler, loop).probe
    return [] if probe is None else list(probe.observers)  # a copy: the loop relies on what is in its own


def check(observer: Any, loop: Any) -> int:
    if not isinstance(observer, Observer):
        raise TypeError(f"an observer derives from hasten.core.probe.Observer, got {observer!r}")
    return 0 if loop is None else check_loop(loop)


def check_loop(loop: Any) -> int:
    """Raise TypeError for what is no loop of hasten's: the fields of one are looked at."""
    if not isinstance(loop, Scheduler):
        raise TypeError(f"only hasten's own loops can be observed, got {loop!r}")
    return 0


def is_in(items: list[Any], thing: Any) -> bool:
    """Return whether a list has this very object: `in` asks the objects, which may be anybody's."""
    for each in items:  # noqa: SIM110 # no generator is to be compiled
        if each is thing:
            return True
    return False


def observe(loop: Any, observer: Observer, guest: bool) -> int:
    if guest and not is_in(everywhere, observer):  # the loop before, which told it that it runs, has had it detached
        return 0
    if not observe_quietly(loop, observer, guest):
        return 0
    runs = is_in(running, loop)
    if guest and not (runs and is_in(everywhere, observer)):  # it has ended, or a destructor has detached the observer
        return dismiss(loop, observer)
    if runs:
        probe = cython.cast(Scheduler, loop).probe
        if probe is not None:
            probe.begin(observer)
    return 0


def observe_quietly(loop: Any, observer: Observer, guest: bool) -> bool:
    """Enter an observer, and tell it nothing yet. Return False if it was there already."""
    ours = cython.cast(Scheduler, loop)
    while True:
        before = ours.probe
        probe = Probe(ours, tell) if before is None else before
        known = probe.has(observer)
        if known and (guest or not probe.is_guest(observer)):
            return False
        probe.add(observer, guest)
        if ours.probe is before:  # else a destructor, where memory was asked for, has attached or detached another
            apply(ours, probe)
            return not known


def receive(loop: Any) -> int:
    """Have all those that observe every loop observe this one, and nobody who did once.

    Destructors may attach and detach others meanwhile. The last round finds nothing to do, and asks for no memory.
    """
    ours = cython.cast(Scheduler, loop)
    changed = True
    while changed:
        changed = False
        for observer in everywhere:
            if observe_quietly(loop, observer, True):
                changed = True
        probe = ours.probe
        if probe is not None:
            guests = probe.guests
            for observer in guests:
                if not is_in(everywhere, observer):
                    dismiss(loop, observer)
                    changed = True
    return 0


def see_off(loop: Any) -> int:
    """Let go of those that observe every loop that runs: this one does not any more. Needs no memory."""
    probe = cython.cast(Scheduler, loop).probe
    if probe is not None:
        guests = probe.guests
        for observer in guests:
            try:
                dismiss(loop, observer)
            except MemoryError:  # then it goes when the loop runs again, unless it is still one of them
                pass
    return 0


def dismiss(loop: Any, observer: Observer) -> int:
    """Let go of an observer of all loops, unless it was attached to this one."""
    probe = cython.cast(Scheduler, loop).probe
    return ignore(loop, observer) if probe is not None and probe.is_guest(observer) else 0


def ignore(loop: Any, observer: Observer) -> int:
    ours = cython.cast(Scheduler, loop)
    probe = ours.probe
    if probe is not None:
        probe.remove(observer)
        if ours.probe is probe:  # else a destructor has detached the last one, and perhaps attached another
            apply(ours, probe)
    return 0


def apply(loop: Scheduler, probe: Probe) -> int:
    """Have the loop take the long ways that observers need, and no others."""
    loop.probe = probe if probe.observers else None
    loop._ready.probe = probe if probe.detailed else None
    loop._set_debug(loop.debug)
    return 0


def tell(loop: Any, exc: BaseException, observer: Observer) -> None:
    """Report an observer that raised and is removed. What is to end the loop, its next entry raises."""
    check_loop(loop)
    probe = cython.cast(Scheduler, loop).probe
    if probe is not None:
        apply(loop, probe)
    ends = step.ends_loop(exc)
    context = {
        "message": f"an observer raised and is told nothing any more: {describe.safe(observer)}",
        "exception": exc,
    }
    try:  # not now: the exception handler may be anybody's code, and the loop is in the middle of something
        if ends:
            loop.call_soon(throw, exc)
        else:
            loop.call_soon(report.tell, loop, context)
    except BaseException:  # it is closed, or there is no memory
        if ends:
            raise exc from None
        report.tell(loop, context)


def throw(exc: BaseException) -> None:
    raise exc


def begin(loop: Any) -> None:
    """Note that a loop begins to run, and tell those who observe it, or all loops."""
    check_loop(loop)
    receive(loop)
    running.append(loop)  # from here on who is attached is told at once
    if not cython.compiled:
        receive(loop)  # another thread may have attached one between these lines
    of_loop(loop, probes.LOOP_BEGINS)


def end(loop: Any) -> None:
    """Take begin() back. Needs no memory."""
    check_loop(loop)
    try:
        of_loop(loop, probes.LOOP_ENDS)
    finally:
        for i in range(len(running) - 1, -1, -1):  # others may go meanwhile, in their threads: what is left moves down
            try:
                if running[i] is loop:
                    del running[i]
                    break
            except IndexError:
                pass
        see_off(loop)


def forget(loop: Any) -> None:
    """Let go of the observers of a loop that is closed."""
    check_loop(loop)
    ours = cython.cast(Scheduler, loop)
    ours.probe = ours._ready.probe = None
    ours._set_debug(ours.debug)


def of_loop(loop: Any, event: int) -> int:
    probe = cython.cast(Scheduler, loop).probe
    if probe is not None:
        probe.of_loop(event, 0.0)
    return 0


if hasattr(os, "register_at_fork"):
    # The loops of other threads do not run in the child, and that of this thread is said to run no more, as in asyncio.
    os.register_at_fork(after_in_child=running.clear)
