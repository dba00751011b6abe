"""What ready.pyx does, in plain Python."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

from hasten.core import probe as probes

HANDLE, TASK, WATCH, CHILD = 0, 1, 2, 3

_show: Callable[[Any, int], Any] | None = None


def show_by(function: Callable[[Any, int], Any]) -> None:
    """Make iteration over a queue yield function(item, tag) for each item: handles, as in asyncio's queue."""
    global _show
    _show = function


class Ready:
    """The ready queue: items and what kind each is."""

    def __init__(self) -> None:
        self._items: deque[tuple[Any, int]] = deque()
        self._taken = 0
        self._dozing = False
        self.tag = HANDLE  # of the item taken last
        self.debug = False  # the loop's debug mode, for who has only the queue
        self.guarded = False  # who puts something in has to ask the loop first: it is `slow`, or closed
        self.slow = False  # debug mode, or `probe` is set
        self.probe: Any = None  # who is told of tasks
        self.poller: Any = None  # the loop's: woken by what comes while the loop dozes

    def has_room(self) -> bool:
        """True if push() would do no more than put()."""
        return not self._dozing

    def put(self, item: Any, tag: int) -> None:
        """Do as push(), where has_room() is true."""
        self._items.append((item, tag))

    def push(self, item: Any, tag: int) -> None:
        self.put(item, tag)
        if self._dozing:
            self._dozing = False
            self.poller.wake()

    def tell_of(self, event: int, task: Any) -> int:
        """Tell those who observe the loop of a task."""
        return self.tell_probe(event, task, None)

    def tell_probe(self, event: int, task: Any, future: Any) -> int:
        return 0 if self.probe is None else self.probe.of_entry(event, task, future)

    def tell_of_step(self, task: Any, future: Any) -> int:
        """Tell that a step has ended, and what it waits for, if it does."""
        self.tell_probe(probes.STEP_ENDS, task, None)
        return 0 if future is None else self.tell_probe(probes.PARKED, task, future)

    def take(self) -> Any:
        item, self.tag = self._items.popleft()
        self._taken += 1
        return item

    def at(self, i: int) -> Any:
        """Return the item that take() returns after `i` others."""
        return self._items[i][0]

    def count(self) -> int:
        return len(self._items)

    def end(self) -> int:
        """Return the number of the item that will come next: for reached()."""
        return self._taken + len(self._items)

    def taken(self) -> int:
        """Return how many items were taken, ever."""
        return self._taken

    def reached(self, end: int) -> bool:
        """True once everything was taken that came before end() returned this number, or all there is."""
        return not self._items or self._taken >= end

    def doze(self) -> None:
        """Have the next push() wake the poller, once."""
        self._dozing = True

    def rouse(self) -> None:
        """End doze()."""
        self._dozing = False

    def reserve(self, n: int) -> int:
        """Make the next `n` calls of push() succeed."""
        return 0

    def drop(self) -> None:
        """Let go of all items, and of what their destructors push."""
        while self._items:
            self._items.popleft()
            self._taken += 1

    def refill(self, entries: list[tuple[Any, int]]) -> None:
        """Have these entries, as items() gives them, in place of what stands in the queue: for tests."""
        while self._items:
            self.take()
        for item, tag in entries:
            self.push(item, tag)

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        assert _show is not None
        return iter([_show(item, tag) for item, tag in self.items()])

    def items(self) -> list[tuple[Any, int]]:
        """Return [(item, tag)], oldest first: for tests and diagnosis."""
        return list(self._items)
