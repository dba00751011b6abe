"""Queue, PriorityQueue, LifoQueue: items from tasks that make them to tasks that use them.

A blocked get() or put() parks a future in `_getters` or `_putters`. The call that adds an item (or frees a slot) takes
the first of them out and completes it: one item, one wake-up. A woken task that does not take what it was woken for,
for whatever reason, wakes the next in its place.

Users derive queues of their own, by `_init`, `_put` and `_get`, or with methods that look after themselves. So what
happens inside goes through the methods of a derived class, and straight only in our own three (`kind`).
"""

from __future__ import annotations

import asyncio
import heapq
import sys
from asyncio import QueueEmpty, QueueFull
from collections import deque
from collections.abc import Coroutine
from types import GenericAlias
from typing import Any

import cython

from hasten.core import native, outcomes, state
from hasten.core.future import Future
from hasten.core.native import NativeCoroutine
from hasten.kernel import deques, functions, step
from hasten.primitives.coroutines import wait_until_set
from hasten.primitives.locks import Event
from hasten.primitives.loop_bound import LoopBound

if sys.version_info >= (3, 13):
    from asyncio import QueueShutDown
else:

    class QueueShutDown(Exception):
        """Raised by put() and get() of a queue that has been shut down."""


if not cython.compiled:
    DERIVED, FIFO, HEAP, LIFO = 0, 1, 2, 3


@cython.binding(True)
@cython.cclass
class Queue(LoopBound):
    """A queue whose items come out in the order in which they went in. Not safe between threads.

    Arguments:
        maxsize: how many items it holds at most before put() waits; unlimited if zero or negative.
    """

    _maxsize: Any
    _getters: Any
    _putters: Any
    _unfinished_tasks: int
    _finished: Any
    _is_shutdown: bool
    _queue: Any  # made by _init(); whatever it is, it has a length, and iterates over the items
    limit: float
    kind: int
    elsewhere: bool
    if not cython.compiled:
        _queue = None
        elsewhere = False

    def __init__(self, maxsize: float = 0) -> None:
        if not isinstance(maxsize, (int, float)) and not hasattr(maxsize, "__float__"):
            raise TypeError(f"maxsize must be a number of items, got {maxsize!r}")
        self._maxsize = maxsize
        self.limit = float(maxsize)
        self.kind = DERIVED
        if type(self) is Queue:
            self.kind = FIFO
        elif type(self) is PriorityQueue:
            self.kind = HEAP
        elif type(self) is LifoQueue:
            self.kind = LIFO
        self._getters = deque()
        self._putters = deque()
        self._unfinished_tasks = 0
        self._finished = Event()
        self._finished.set()
        self._is_shutdown = False
        self._init(maxsize)

    @classmethod
    def __class_getitem__(cls, item: Any, /) -> GenericAlias:
        return GenericAlias(cls, item)

    # A subclass says by these three in which order items come out.

    def _init(self, maxsize: float) -> None:
        self._queue = deque()

    def _put(self, item: Any) -> None:
        self._queue.append(item)

    def _get(self) -> Any:
        return self._queue.popleft()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {id(self):#x} {self._format()}>"

    def __str__(self) -> str:
        return f"<{type(self).__name__} {self._format()}>"

    def _format(self) -> str:
        parts = [f"maxsize={self._maxsize!r}"]
        if getattr(self, "_queue", None):
            parts.append(f"_queue={list(self._queue)!r}")
        if self._getters:
            parts.append(f"_getters[{len(self._getters)}]")
        if self._putters:
            parts.append(f"_putters[{len(self._putters)}]")
        if self._unfinished_tasks:
            parts.append(f"tasks={self._unfinished_tasks}")
        if self._is_shutdown:
            parts.append("shutdown")
        return " ".join(parts)

    # ---- asking ---------------------------------------------------------------------------

    @property
    def maxsize(self) -> float:
        """The number of items that the queue holds at most; unlimited if zero or negative."""
        return self._maxsize  # type: ignore[no-any-return]

    def qsize(self) -> int:
        """Return how many items are in the queue."""
        queue = self._queue
        if queue is None:  # a derived class has a storage of its own, and says nowhere how much is in there
            raise AttributeError(f"{type(self).__name__!r} object has no attribute '_queue': it needs a qsize()")
        return len(queue)

    def empty(self) -> bool:
        """True while no item is in the queue."""
        if self.elsewhere or self._queue is None:
            return bool(self.qsize() == 0)
        return not self._queue

    def full(self) -> bool:
        """True while `maxsize` items are in the queue."""
        return bool(0 < self._maxsize <= self.qsize())

    def is_empty(self) -> bool:
        if self.kind != DERIVED:
            return deques.size(self._queue) == 0
        return bool(self.empty())

    def is_full(self) -> bool:
        if self.kind != DERIVED:
            return 0 < self.limit <= deques.size(self._queue)
        return bool(self.full())

    # ---- putting --------------------------------------------------------------------------

    def put(self, item: Any) -> Coroutine[Any, Any, None]:
        """Add an item, as soon as there is room for it. Raises QueueShutDown if the queue is, or gets, shut down."""
        p = new_put()
        p.queue = self
        p.item = item
        return p  # type: ignore[return-value]

    def put_nowait(self, item: Any) -> None:
        """Add an item. Raises QueueFull if there is no room for it, QueueShutDown if the queue has been shut down."""
        if self._is_shutdown:
            raise QueueShutDown
        if self.is_full():
            raise QueueFull
        self.add(item)

    def add(self, item: Any) -> int:
        """Add an item where there is room, and wake who waits for one."""
        if self.kind == FIFO:
            deques.push(self._queue, item)
        elif self.kind == LIFO:
            self._queue.append(item)
        else:
            self._put(item)
            if self.kind == DERIVED:
                queue = self._queue
                self.elsewhere = type(queue) is deque and deques.size(queue) == 0
        self._unfinished_tasks += 1
        finished = self._finished
        if type(finished) is Event:
            cython.cast(Event, finished)._value = False
        else:
            finished.clear()
        self.wake_next(self._getters)
        return 0

    def put_or_hand_on(self, item: Any) -> int:
        """Do as put_nowait(), for put()."""
        try:
            if self.kind != DERIVED:
                if self._is_shutdown:
                    raise QueueShutDown
                self.add(item)
            else:
                self.put_nowait(item)
        except BaseException:
            # It is the item that does not fit (into a heap, say): the slot is still there, for the next in line.
            if not self.is_full():
                self.wake_next(self._putters)
            raise
        return 0

    # ---- getting --------------------------------------------------------------------------

    def get(self) -> Coroutine[Any, Any, Any]:
        """Remove and return the next item, as soon as there is one.

        Raises QueueShutDown if the queue is empty and is, or gets, shut down.
        """
        g = new_get()
        g.queue = self
        return g  # type: ignore[return-value]

    def get_nowait(self) -> Any:
        """Remove and return the next item. Raises QueueEmpty (after a shutdown, QueueShutDown) if there is none."""
        if self.is_empty():
            if self._is_shutdown:
                raise QueueShutDown
            raise QueueEmpty
        return self.take()

    def take(self) -> Any:
        """Remove and return the next item, which has to be there, and wake who waits for a slot."""
        item = deques.shift(self._queue) if self.kind == FIFO else self._get()
        self.wake_next(self._putters)
        return item

    def get_or_hand_on(self) -> Any:
        """Do as get_nowait(), for get()."""
        try:
            item = self.take() if self.kind != DERIVED else self.get_nowait()
        except BaseException:
            if not self.is_empty():
                self.wake_next(self._getters)
            raise
        return item

    # ---- finishing ------------------------------------------------------------------------

    def task_done(self) -> None:
        """Report an item that was got as dealt with. Raises ValueError if more are reported than were put."""
        if self._unfinished_tasks <= 0:
            raise ValueError("task_done() called too many times")
        self._unfinished_tasks -= 1
        if self._unfinished_tasks == 0:
            self._finished.set()

    def join(self) -> Coroutine[Any, Any, None]:
        """Wait until each item that was put has been got and reported by task_done()."""
        return wait_until_set(self._finished, self)

    def shutdown(self, immediate: bool = False) -> None:
        """End the queue: put() raises QueueShutDown from now on, and get() once the queue is empty.

        Arguments:
            immediate: drop the items that are in the queue (they count as done), so that get() raises now.
        """
        self._is_shutdown = True
        if immediate:
            while not self.is_empty():
                self._get()
                if self._unfinished_tasks > 0:
                    self._unfinished_tasks -= 1
            if self._unfinished_tasks == 0:
                self._finished.set()
        # All look again, and find that there is nothing to wait for.
        while self._getters:
            self.wake_first(self._getters)
        while self._putters:
            self.wake_first(self._putters)

    def wake_next(self, waiters: Any) -> int:
        """Wake the first that still waits, by the method that a subclass may have."""
        if self.kind != DERIVED:
            return self.wake_first(waiters)
        self._wakeup_next(waiters)
        return 0

    def wake_first(self, waiters: Any) -> int:
        """Wake the first that still waits."""
        while deques.size(waiters) != 0:
            if outcomes.set_unless_done(deques.shift(waiters)):
                break
        return 0

    def _wakeup_next(self, waiters: Any) -> None:
        self.wake_first(waiters)


def withdraw(waiter: Future, line: Any) -> bool:
    """Take a waiter that gives up out of its line; return False if it was woken before: another may be, instead."""
    if waiter.status == state.FINISHED:
        return waiter.abandoned()
    if not waiter.abandoned():
        waiter.do_cancel(None)
    try:
        line.remove(waiter)
    except ValueError:
        pass  # wake_next() came across it, cancelled, and took it out
    return True


@cython.cclass
class QueueGet(NativeCoroutine):
    """Queue.get()."""

    queue: Queue
    __name__ = "get"
    __qualname__ = "Queue.get"

    def start(self) -> int:
        q = self.queue
        try:
            if not q.is_empty():
                kind = self.take()
            elif q._is_shutdown:
                raise QueueShutDown
            else:
                fut = native.new_waiter(q.bound_loop())
                if not q.is_empty():  # again, as to make it may have run anything
                    kind = self.take()
                elif q._is_shutdown:
                    raise QueueShutDown
                else:
                    deques.push(q._getters, fut)
                    kind = self.suspend(fut)
        except BaseException as exc:
            return self.fail(exc)
        return kind

    def take(self) -> int:
        q = self.queue
        self.give(q.get_or_hand_on())
        self.queue = None  # type: ignore[assignment]
        step.keep_spare(step.SPARE_GET, self)
        return step.RETURNED

    def woken(self) -> int:
        return self.start()  # somebody else may have taken what we were woken for

    def failed(self, exc: BaseException) -> int:
        q = self.queue
        try:
            if not withdraw(self.future, q._getters) and not q.is_empty():  # type: ignore[arg-type]
                q.wake_next(q._getters)
        except BaseException as error:
            return self.fail(error)
        return self.fail(exc)


@cython.cclass
class QueuePut(NativeCoroutine):
    """Queue.put()."""

    queue: Queue
    item: Any
    __name__ = "put"
    __qualname__ = "Queue.put"

    def start(self) -> int:
        q = self.queue
        try:
            if not q.is_full():
                kind = self.add()
            elif q._is_shutdown:
                raise QueueShutDown
            else:
                fut = native.new_waiter(q.bound_loop())
                if not q.is_full():  # again, as to make it may have run anything
                    kind = self.add()
                elif q._is_shutdown:
                    raise QueueShutDown
                else:
                    deques.push(q._putters, fut)
                    kind = self.suspend(fut)
        except BaseException as exc:
            return self.fail(exc)
        return kind

    def add(self) -> int:
        q = self.queue
        q.put_or_hand_on(self.item)
        self.give(None)
        self.queue = self.item = None  # type: ignore[assignment]
        step.keep_spare(step.SPARE_PUT, self)
        return step.RETURNED

    def woken(self) -> int:
        return self.start()  # somebody else may have taken the slot that we were woken for

    def failed(self, exc: BaseException) -> int:
        q = self.queue
        try:
            if not withdraw(self.future, q._putters) and not q.is_full():  # type: ignore[arg-type]
                q.wake_next(q._putters)
        except BaseException as error:
            return self.fail(error)
        return self.fail(exc)


for _cls in (QueueGet, QueuePut):
    functions.coroutine_class(_cls, 64)


def new_get() -> QueueGet:
    spare = step.take_spare(step.SPARE_GET)
    return cython.cast(QueueGet, QueueGet.__new__(QueueGet) if spare is None else spare)


def new_put() -> QueuePut:
    spare = step.take_spare(step.SPARE_PUT)
    return cython.cast(QueuePut, QueuePut.__new__(QueuePut) if spare is None else spare)


@cython.binding(True)
@cython.cclass
class PriorityQueue(Queue):
    """A queue whose smallest item comes out first. Items are often tuples: (priority, data)."""

    def _init(self, maxsize: float) -> None:
        self._queue = []

    def _put(self, item: Any) -> None:
        heap = self._queue
        size = len(heap)
        try:
            heapq.heappush(heap, item)
        except BaseException:
            if len(heap) > size:  # there was memory for it
                _unpush(heap, item)
            raise

    def _get(self) -> Any:
        return heapq.heappop(self._queue)


def _unpush(heap: list[Any], item: object) -> None:
    """Undo a heappush() that a comparison ended: the item is in the heap, on its way from the end to the root."""
    at = len(heap) - 1
    path = [at]
    while at > 0 and heap[at] is not item:
        at = (at - 1) // 2
        path.append(at)
    for to, fro in zip(reversed(path), reversed(path[:-1]), strict=False):
        heap[to] = heap[fro]
    heap.pop()


@cython.binding(True)
@cython.cclass
class LifoQueue(Queue):
    """A queue whose item that was put last comes out first."""

    def _init(self, maxsize: float) -> None:
        self._queue = []

    def _get(self) -> Any:
        return self._queue.pop()


functions.publish(Queue, "(maxsize=0)", "get", "put", "join")
functions.publish(PriorityQueue, "(maxsize=0)")
functions.publish(LifoQueue, "(maxsize=0)")
functions.share(Queue, asyncio.Queue)
functions.share(PriorityQueue, asyncio.PriorityQueue)
functions.share(LifoQueue, asyncio.LifoQueue)
