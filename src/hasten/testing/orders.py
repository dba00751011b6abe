"""Schedules: a test runs under many orders of its ready tasks, and the order that failed can be run again by its seed.

What is shuffled is the order of *tasks* that are ready at the same time, and a task may be held back while others go
on. What call_soon() was given, timers, callbacks of futures and what descriptors tell keep their order among
themselves, and no task goes before a callback that was scheduled before it.
"""

from __future__ import annotations

import functools
import os
import random
import weakref
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from hasten.testing.simulation import DAY, Deadlock, Simulation, add_note

_F = TypeVar("_F", bound=Callable[..., Any])

VARIABLE = "HASTEN_SEED"
TASK = 1  # of core/ready.pxd
# So many batches a loop may run under one schedule. A program that never comes to an end is stuck, too.
BATCHES = 1_000_000
# How long a task may be held back at most, in batches: a little, and where tasks have ranks.
LITTLE, LONG = 4, 25

Entry = tuple[Any, int]


class Order:
    """The order of a loop's ready tasks that belongs to a seed. Seed 0 leaves them as they are.

    The others are of three styles, since each finds what others do not: tasks are shuffled; they are shuffled, and some
    held back for a few batches; or each task has a rank, and goes on alone until all that are above it wait. Ranks
    change now and then.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.style = (self.shuffle, self.hold_some, self.by_rank)[seed % 3] if seed else None
        self.held: list[tuple[int, Any]] = []  # until which batch, and the task
        self.ranks: dict[int, tuple[weakref.ref[Any], float]] = {}
        self.batch = 0
        self.allowed = BATCHES

    def __call__(self, ready: Any) -> None:
        """Put a loop's ready queue in order: before each batch."""
        self.batch += 1
        if self.batch > self.allowed:
            self.allowed = self.batch + 1000  # for what has still to be tidied up
            raise Deadlock(f"no end after {BATCHES} batches")
        if self.style is None:
            return
        entries: list[Entry] = ready.items()
        if not entries and not self.held:
            return
        # an empty queue: nobody is left for whose sake a task could be held back
        back = [task for until, task in self.held if until <= self.batch or not entries]
        if back:
            self.held = [each for each in self.held if each[0] > self.batch and entries]
            entries += [(task, TASK) for task in back]
        ready.refill(self.style(entries))

    def shuffle(self, entries: list[Entry]) -> list[Entry]:
        """Shuffle the tasks: between callbacks, and to after them, but never to before them."""
        callbacks: list[Entry] = []
        slots: list[list[Entry]] = [[] for _ in range(len(entries) + 1)]
        total = sum(tag != TASK for _, tag in entries)
        for entry in entries:
            if entry[1] != TASK:
                callbacks.append(entry)
            else:
                at = len(callbacks)
                slots[at if self.random.random() < 0.5 else self.random.randint(at, total)].append(entry)
        ordered: list[Entry] = []
        for at in range(total + 1):
            self.random.shuffle(slots[at])
            ordered += slots[at]
            ordered += callbacks[at : at + 1]
        return ordered

    def hold_some(self, entries: list[Entry]) -> list[Entry]:
        """Shuffle, and hold some of the tasks back, not all."""
        left: list[Entry] = []
        for entry in self.shuffle(entries):
            if entry[1] == TASK and self.random.random() < 0.25:
                self.hold(entry[0], self.random.randint(1, LITTLE))
            else:
                left.append(entry)
        return left or self.let_go()  # somebody has to go on

    def by_rank(self, entries: list[Entry]) -> list[Entry]:
        """Let callbacks go, and the task of the highest rank, also of those that are held."""
        here = [task for task, tag in entries if tag == TASK]
        tasks = here + [task for _, task in self.held]
        if len(tasks) < 2:
            return entries
        if self.random.random() < 0.1:
            self.ranks.pop(id(self.random.choice(tasks)), None)
        first = max(tasks, key=self.rank)
        self.held = [(until, task) for until, task in self.held if task is not first]
        for task in here:
            if task is not first:
                self.hold(task, LONG)
        ordered = [entry for entry in entries if entry[1] != TASK or entry[0] is first]
        return ordered if any(task is first for task in here) else [*ordered, (first, TASK)]

    def rank(self, task: Any) -> float:
        """Return a task's rank: a random one for each that is new."""
        known = self.ranks.get(id(task))
        if known is None or known[0]() is not task:
            known = self.ranks[id(task)] = weakref.ref(task), self.random.random()
        return known[1]

    def hold(self, task: Any, batches: int) -> None:
        self.held.append((self.batch + batches, task))

    def let_go(self) -> list[Entry]:
        """Return all that is held, which is held no longer."""
        held, self.held = self.held, []
        return [(task, TASK) for _, task in held]


def schedule(seed: int) -> Simulation:
    """Return what makes loops whose ready tasks run in the order of this seed, on virtual time. 0: the usual order.

    Use it as virtual_time(): as a loop factory, around what makes loops, or as a decorator.
    """
    return Simulation(0.0, DAY, False, functools.partial(Order, seed))


def wanted_seeds(seeds: Iterable[int]) -> Iterable[int]:
    """Return `seeds`, or the one that the environment variable HASTEN_SEED asks for."""
    text = os.environ.get(VARIABLE)
    if not text:
        return seeds
    try:
        return [int(text)]
    except ValueError:
        raise ValueError(f"{VARIABLE}={text!r} is not a seed: it takes one whole number") from None


def _run(seed: int, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Run a function or coroutine function under the schedule of a seed."""
    before = random.getstate()
    random.seed(seed)  # what a program decides by chance, it decides in the same way when it is run again
    try:
        simulation = schedule(seed)
        simulation.wrap(function)(*args, **kwargs)
        simulation.check()
    except BaseException as exc:
        add_note(exc, f"hasten: this came with seed {seed}. To run this schedule alone, set {VARIABLE}={seed}")
        raise
    finally:
        random.setstate(before)


def explore(main: Callable[[], Any], seeds: Iterable[int] = range(1000)) -> int:
    """Run main() under the schedule of each seed; return how many there were.

    `main`: a coroutine function, or a function that runs loops itself. Raises what `main` raises, at the first seed
    that makes it do so, with a note that tells the seed; the same for what the loop's exception handler is told, and
    Deadlock where nothing goes on. With the environment variable HASTEN_SEED, only this seed is run.
    """
    count = 0
    for seed in wanted_seeds(seeds):
        _run(seed, main, (), {})
        count += 1
    return count


def find(main: Callable[[], Any], seeds: Iterable[int] = range(1000)) -> tuple[int, BaseException] | None:
    """Do as explore(), but return the first seed that fails and what was raised; None if none does."""
    for seed in wanted_seeds(seeds):
        try:
            _run(seed, main, (), {})
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:
            return seed, exc
    return None


def schedules(function: Any = None, /, *, count: int = 100, seed: int | None = None) -> Any:
    """Decorate a test function: it runs under `count` schedules, or under the one of `seed`. As explore() does.

    `async def` tests become plain ones and need no plugin. Fixtures are made once, for all schedules.
    """
    if function is None:
        return functools.partial(schedules, count=count, seed=seed)
    if not callable(function):
        raise TypeError(f"schedules() decorates a function; {function!r} is none: use count= or seed=")
    seeds: Iterable[int] = range(count) if seed is None else [seed]

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        for each in wanted_seeds(seeds):
            _run(each, function, args, kwargs)

    return run
