"""The flight recorder of one loop: its latest events, in a ring of memory that is overwritten again and again."""

from __future__ import annotations

from types import BuiltinFunctionType, FunctionType, GeneratorType, MethodType
from typing import Any

import cython

from hasten.core import probe as probes
from hasten.core.future import Future
from hasten.core.handle import Handle
from hasten.core.probe import Observer, Probe
from hasten.core.task import Task
from hasten.kernel import clock, step
from hasten.kernel.step import Awaitable

if not cython.compiled:
    BEGINS, ENDS, POLLS, POLLED, MADE, PARKED, WOKEN, ENDED, STEP, STEPPED, CALL, CALLED = range(12)

MOST = 1 << 26  # events of one loop that can be kept, which take 2.7 GB
NAMES = (
    "loop begins",
    "loop ends",
    "poll begins",
    "poll ends",
    "made",
    "parked",
    "woken",
    "ended",
    "step begins",
    "step ends",
    "callback begins",
    "callback ends",
)


_name_of_class = type.__dict__["__name__"].__get__
_plain_text = str.__str__


# no_gc: all that it holds is text and code.
@cython.no_gc  # type: ignore[attr-defined]
@cython.cclass
class Title:
    """What a task is called, of which no more than that is kept."""

    name: str | None
    coroutine: Any
    origin: Any
    origin_at: int

    def shown(self) -> tuple[str | None, Any, str | None]:
        """Return (name, what its coroutine is called, "file:line" of where it was made); None where there is none."""
        found = step.origin_place(self.origin, self.origin_at)
        return self.name, self.coroutine, None if found is None else f"{found[0]}:{found[1]}"


@cython.cclass
class Recorder(Observer):
    """Keeps the last `size` events of a loop, a power of two.

    It keeps nothing alive but names: strings of tasks that have ended, and of callbacks.
    """

    ring: list[tuple[int, int, int, int]]
    labels: list[Any]
    mask: int
    used: int
    thread: str

    def __init__(self, size: int, thread: str) -> None:
        if size < 1 or size > MOST or size & (size - 1):
            raise ValueError(f"a ring has a power of two of events, at most {MOST}, not {size!r}")
        self.make_ring(size)
        self.detailed = True
        self.thread = thread

    def make_ring(self, size: int) -> int:
        """Begin with an empty ring. All of it fits together at any moment: events may be told in the middle of this."""
        labels = [None] * size
        self.reserve(size)  # nothing fails from here on, and nobody's code runs until the old labels are dropped
        self.mask, self.used = size - 1, 0
        self.labels, labels = labels, self.labels
        return 0

    def note(self, kind: int, task: int, other: int) -> int:
        """Write one event over the oldest; a label that may be there from an older one is left, and not looked at."""
        self.put(self.used & self.mask, kind, task, other)
        self.used += 1
        return 0

    def label(self, kind: int, task: int, label: Any) -> int:
        """Write an event that has a label: ENDED or CALL."""
        at = self.used & self.mask
        self.note(kind, task, 0)
        if self.labels is not None:
            self.labels[at] = label
        return 0

    def loop_begins(self, loop: Any) -> None:
        self.note(BEGINS, 0, 0)

    def loop_ends(self, loop: Any) -> None:
        self.note(ENDS, 0, 0)

    def poll_begins(self, loop: Any, timeout: float) -> None:
        self.note(POLLS, 0, 1 if timeout else 0)

    def poll_ends(self, loop: Any, now: float) -> None:
        self.note(POLLED, 0, 0)

    def _hear(self, probe: Probe, event: int, entry: Any, other: Any) -> int:
        """Take an event from a probe. Two have names, which memory is needed for: they go the longer way."""
        if event == probes.ENDED or event == probes.CALLBACK_BEGINS:
            return Observer._hear(self, probe, event, entry, other)
        about = 0
        if event == probes.CALLBACK_ENDS:
            return self.note(CALLED, 0, 0)  # of no task: what has run may be the end of one, which somebody collects
        if event == probes.PARKED:
            about = number(other)
        elif event == probes.MADE or event == probes.WOKEN:
            about = current(entry)
        return self.note(MADE + event, number(entry), about)  # the kinds stand in the order of the events

    def task_ended(self, task: Any) -> None:
        self.label(ENDED, number(task), title(task))

    def callback_begins(self, entry: Any) -> None:
        self.label(CALL, 0, callback_title(entry))

    def __dealloc__(self) -> None:
        self.release()

    def events(self) -> list[tuple[int, str, int, int, Any]]:
        """Return (counter, kind, task, other, label) of each event, oldest first.

        `counter` is what counter() showed. `task` is a task's number, 0: none. `other`: of "made" and "woken" the
        number of the task that did it; of "parked" that of the task that it waits for; 0: none; of "poll begins" 1 if
        the loop sleeps.
        """
        first = self.used - self.mask - 1 if self.used > self.mask else 0
        return [self.event(i & self.mask) for i in range(first, self.used)]

    def event(self, at: int) -> tuple[int, str, int, int, Any]:
        count, kind, task, other = self.get(at)
        label = self.labels[at] if kind == ENDED or kind == CALL else None  # noqa: SIM109 # no tuple is to be made
        if step.is_instance(label, Title):
            label = cython.cast(Title, label).shown()
        return count, NAMES[kind], task, other, label

    if not cython.compiled:

        def release(self) -> int:
            return 0

        def reserve(self, size: int) -> int:
            self.ring = [(0, 0, 0, 0)] * size
            return 0

        def put(self, at: int, kind: int, task: int, other: int) -> int:
            self.ring[at] = (clock.count(), kind, task, other)
            return 0

        def get(self, at: int) -> tuple[int, int, int, int]:
            return self.ring[at]


def counter() -> int:
    """Return what the counter shows that events are stamped with."""
    return clock.count()


def number(thing: Any) -> int:
    """Return a task's number; 0 for what is no task of hasten's."""
    return cython.cast(Task, thing).number if type(thing) is Task else 0


def current(task: Any) -> int:
    """Return the number of the task that runs now on the loop of `task`; 0: none does."""
    if type(task) is not Task:
        return 0
    st = cython.cast(Task, task).stepper
    return number(st.published())


def title(task: Any) -> Title | None:
    """Return what a task of hasten's is called."""
    if type(task) is not Task:
        return None
    ours = cython.cast(Task, task)
    made = cython.cast(Title, Title.__new__(Title))
    made.name, made.coroutine = None if ours.name is None else text(ours.name), coroutine_title(ours._coro)
    made.origin, made.origin_at = ours.origin, ours.origin_at
    return made


def text(name: Any) -> str:
    """Return a name as a plain str: one of a class of the program's could hold anything, and run code when it goes."""
    if type(name) is str:
        return name
    return _plain_text(name) if step.is_instance(name, str) else kind_title(name)


def kind_title(thing: Any) -> str:
    """Return the name of a thing's class, whatever a metaclass says of it."""
    return text(_name_of_class(type(thing)))


def coroutine_title(coro: Any) -> str:
    """Return what a coroutine is called; of one of another make, its class. Runs no code of others."""
    if step.is_native_coroutine(coro) or type(coro) is GeneratorType:
        return text(coro.__qualname__)
    own = getattr(coro, "__qualname__", None) if step.is_instance(coro, Awaitable) else None
    return kind_title(coro) if own is None else text(own)


def callback_title(entry: Any) -> str:
    """Return what a callback is called; of what is no function and no method, its class. Runs no code of others."""
    thing = cython.cast(Handle, entry)._callback if step.is_instance(entry, Handle) else entry
    if type(thing) is MethodType:
        thing = thing.__func__
    if type(thing) is FunctionType or type(thing) is BuiltinFunctionType:
        return text(thing.__qualname__)
    return "a task's end" if step.is_instance(thing, Future) else kind_title(thing)
