"""Where observers look on: named events of a loop, told to whoever asked, at no cost to a loop that nobody observes.

An observer is told of two kinds of events. All are told when a run begins and ends and when the poller is asked; those
that say so (`detailed`) are told of tasks, batches and callbacks too. Then the loop takes the long way through a batch,
which is why such an observer costs something for each step, and one that is not detailed next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cython

from hasten.kernel import step


@cython.cclass
class Observer:
    """The base of observers: a subclass overrides what it wants to hear of. Nothing here does anything.

    Which methods its class has is looked at once, when it is attached. A method is called in the thread of the loop, in
    the middle of its work: it has to be quick, must not wait, and should keep no reference to a task or a future, which
    would live longer by that. What happens while an observer is told is not told to it again. An observer that raises
    is removed, and the loop's exception handler hears of it.
    """

    detailed: bool
    hears: int

    def loop_begins(self, loop: Any) -> None:
        """A loop begins to run, or is observed from now on while it runs."""

    def loop_ends(self, loop: Any) -> None:
        """The run ends, by whatever."""

    def poll_begins(self, loop: Any, timeout: float) -> None:
        """The poller is asked; the loop sleeps if `timeout`, in seconds, is not 0 (-1: until it is woken)."""

    def poll_ends(self, loop: Any, now: float) -> None:
        """The poller was asked, and it is `now` by time.monotonic(). What it found is about to run."""

    def batch_begins(self, loop: Any, count: int) -> None:
        """`count` entries of the ready queue are about to run. (detailed)"""

    def batch_ends(self, loop: Any) -> None:
        """They have run, and what they wrote has left. Not told if an exception ended the batch. (detailed)"""

    def task_made(self, task: Any) -> None:
        """A task was made. It is not scheduled yet. (detailed)"""

    def task_parked(self, task: Any, future: Any) -> None:
        """The task's step has ended, and it waits for `future`. (detailed)"""

    def task_woken(self, task: Any, future: Any) -> None:
        """What the task waited for is done, and its next step is scheduled. (detailed)"""

    def task_ended(self, task: Any) -> None:
        """The task is done; who waits for it was not woken yet. (detailed)"""

    def step_begins(self, task: Any) -> None:
        """A step of the task begins: its coroutine runs. (detailed)"""

    def step_ends(self, task: Any) -> None:
        """The step has ended. (detailed)"""

    def callback_begins(self, entry: Any) -> None:
        """A Handle begins to run, or a transport to which something has happened. (detailed)"""

    def callback_ends(self, entry: Any) -> None:
        """It has run. (detailed)"""

    def _hear(self, probe: Probe, event: int, entry: Any, other: Any) -> int:
        """Take an event of OfEntry from a probe; what is raised for it goes to `probe`."""
        try:
            if event == STEP_BEGINS:
                self.step_begins(entry)
            elif event == STEP_ENDS:
                self.step_ends(entry)
            elif event == PARKED:
                self.task_parked(entry, other)
            elif event == WOKEN:
                self.task_woken(entry, other)
            elif event == CALLBACK_BEGINS:
                self.callback_begins(entry)
            elif event == CALLBACK_ENDS:
                self.callback_ends(entry)
            elif event == MADE:
                self.task_made(entry)
            else:
                self.task_ended(entry)
        except BaseException as exc:
            probe.failed(self, exc)
        return 0


def ask(observer: Observer) -> int:
    """Note of what an observer wants to hear beside the beginning and the end of runs: POLLS, BATCHES, ENTRIES."""
    own = getattr(observer, "__dict__", None) or ()
    found = 0
    for kind, names in _HEARD:
        for name in names:
            if name in own or getattr(type(observer), name) is not getattr(Observer, name):
                found |= kind
                break
    observer.hears = found if observer.detailed else found & POLLS
    return 0


@cython.cclass
class Probe:
    """One loop's observers. `complain(loop, exc, observer)` is called when one raises."""

    loop: Any
    observers: tuple[Observer, ...]
    listening: tuple[Observer, ...]
    guests: tuple[Observer, ...]
    only: Observer | None
    complain: Callable[[Any, BaseException, Observer], object]
    inside: bool
    detailed: bool
    hears: int

    def __init__(self, loop: Any, complain: Callable[[Any, BaseException, Observer], object]) -> None:
        self.loop = loop
        self.complain = complain
        self.observers = self.listening = self.guests = ()
        self.only = None

    def has(self, observer: Observer) -> bool:
        for each in self.observers:  # noqa: SIM110 # no generator is to be compiled
            if each is observer:
                return True
        return False

    def is_guest(self, observer: Observer) -> bool:
        """True for one that is here since it observes every loop."""
        for each in self.guests:  # noqa: SIM110
            if each is observer:
                return True
        return False

    def add(self, observer: Observer, guest: bool) -> None:
        """Add an observer, or change how it is here. The tuple is replaced: it may be walked at this moment."""
        ask(observer)
        while not self.replace(self.observers, observer, True, guest):
            pass

    def remove(self, observer: Observer) -> None:
        """Remove an observer; one that is not there is no error."""
        while not self.replace(self.observers, observer, False, False):
            pass

    def begin(self, observer: Observer) -> None:
        """Tell one observer that the loop runs."""
        try:
            observer.loop_begins(self.loop)
        except BaseException as exc:
            self.failed(observer, exc)

    def replace(self, before: tuple[Observer, ...], observer: Observer, wanted: bool, guest: bool) -> bool:
        """Put or leave out an observer. False: nothing was done, since others were put or left out in the middle."""
        kept = [each for each in before if each is not observer]
        invited = [each for each in self.guests if each is not observer]
        if wanted:
            kept.append(observer)
        if guest:
            invited.append(observer)
        observers = tuple(kept)
        guests = tuple(invited)
        listening = tuple([each for each in kept if cython.cast(Observer, each).hears & ENTRIES])
        if self.observers is not before:  # to make these may have run anything. Nothing does below
            return False
        only = listening[0] if len(listening) == 1 else None
        self.observers = observers
        self.listening, listening = listening, self.listening  # who is left out is held until all is in its place
        self.guests, guests = guests, self.guests
        self.only, only = only, self.only
        self.detailed, self.hears = False, 0
        for each in observers:
            told = cython.cast(Observer, each)
            self.detailed = self.detailed or told.detailed
            self.hears |= told.hears
        return True

    def failed(self, observer: Observer, exc: BaseException) -> int:
        """Remove an observer that raised, and report it; a KeyboardInterrupt of a signal handler is no fault of it."""
        if not step.ends_loop(exc):
            self.remove(observer)
        self.complain(self.loop, exc, observer)
        return 0

    # ---- the events: one function for each kind of arguments ----------------------------------

    def of_loop(self, event: int, number: float) -> int:
        """Tell of LOOP_BEGINS, LOOP_ENDS, POLL_BEGINS, POLL_ENDS, BATCH_BEGINS, BATCH_ENDS."""
        wanted = 0 if event <= LOOP_ENDS else POLLS if event <= POLL_ENDS else BATCHES
        if self.inside or self.hears & wanted != wanted:
            return 0
        self.inside = True
        observers = self.observers
        try:
            for each in observers:
                observer = cython.cast(Observer, each)  # nothing else can come into a tuple
                if observer.hears & wanted != wanted:
                    continue
                if observers is not self.observers and not self.has(observer):
                    continue  # one that was told before has detached it
                try:
                    if event == POLL_BEGINS:
                        observer.poll_begins(self.loop, number)
                    elif event == POLL_ENDS:
                        observer.poll_ends(self.loop, number)
                    elif event == LOOP_BEGINS:
                        observer.loop_begins(self.loop)
                    elif event == LOOP_ENDS:
                        observer.loop_ends(self.loop)
                    elif event == BATCH_BEGINS:
                        observer.batch_begins(self.loop, int(number))
                    else:
                        observer.batch_ends(self.loop)
                except BaseException as exc:
                    self.failed(observer, exc)
        finally:
            self.inside = False
        return 0

    def of_entry(self, event: int, entry: Any, other: Any) -> int:
        """Tell of a task or another entry of the ready queue, by OfEntry; `other`: the future, or None."""
        if self.inside:
            return 0
        self.inside = True
        observer = self.only
        try:
            if observer is None:
                self.tell_all(event, entry, other)
            else:
                observer._hear(self, event, entry, other)
        finally:
            self.inside = False
        return 0

    def tell_all(self, event: int, entry: Any, other: Any) -> int:
        listening = self.listening
        for each in listening:
            if listening is self.listening or self.has(each):  # else one that was told before has detached it
                cython.cast(Observer, each)._hear(self, event, entry, other)
        return 0


if not cython.compiled:
    LOOP_BEGINS, LOOP_ENDS, POLL_BEGINS, POLL_ENDS, BATCH_BEGINS, BATCH_ENDS = range(6)
    MADE, PARKED, WOKEN, ENDED, STEP_BEGINS, STEP_ENDS, CALLBACK_BEGINS, CALLBACK_ENDS = range(8)
    POLLS, BATCHES, ENTRIES = 1, 2, 4

_HEARD = (
    (POLLS, ("poll_begins", "poll_ends")),
    (BATCHES, ("batch_begins", "batch_ends")),
    (
        ENTRIES,
        (
            "task_made",
            "task_parked",
            "task_woken",
            "task_ended",
            "step_begins",
            "step_ends",
            "callback_begins",
            "callback_ends",
        ),
    ),
)
