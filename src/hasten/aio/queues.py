"""Queue, PriorityQueue, LifoQueue: items from tasks that make them to tasks that use them.

A blocked get() or put() parks a future in `_getters` or `_putters`. Whoever adds an item (or frees a slot) takes the
first of them out and completes it: one item, one wake-up. A woken task that does not take what it was woken for, for
whatever reason, wakes the next in its place (`_pass_on`).
"""

from __future__ import annotations

import asyncio
import heapq
import sys
from asyncio import QueueEmpty, QueueFull
from collections import deque
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from hasten.aio.locks import Event, LoopBound

if sys.version_info >= (3, 13):
    from asyncio import QueueShutDown
else:

    class QueueShutDown(Exception):
        """Raised by put() and get() of a queue that has been shut down."""


class _Comparable(Protocol):
    def __lt__(self, other: Any, /) -> bool: ...


T = TypeVar("T")
S = TypeVar("S", bound=_Comparable)


class Queue(LoopBound, Generic[T]):
    """Items come out in the order in which they went in. Not safe between threads.

    Arguments:
        maxsize: how many items it holds at most before put() waits; unlimited if zero or negative.
    """

    _maxsize: int
    _getters: deque[asyncio.Future[None]]
    _putters: deque[asyncio.Future[None]]
    _unfinished_tasks: int  # items put, and not reported done
    _finished: Event  # set while there are none of these
    _is_shutdown: bool
    _queue: Any  # made by _init(); whatever it is, it has a length, and iterates over the items

    if not TYPE_CHECKING:
        __class_getitem__ = classmethod(GenericAlias)

    def __init__(self, maxsize: int = 0) -> None:
        self._maxsize = maxsize
        self._getters = deque()
        self._putters = deque()
        self._unfinished_tasks = 0
        self._finished = Event()
        self._finished.set()
        self._is_shutdown = False
        self._init(maxsize)

    # A subclass says by these three in which order items come out.

    def _init(self, maxsize: int) -> None:
        self._queue = deque()

    def _put(self, item: T) -> None:
        self._queue.append(item)

    def _get(self) -> T:
        item: T = self._queue.popleft()
        return item

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

    @property
    def maxsize(self) -> int:
        """How many items the queue holds at most; unlimited if zero or negative."""
        return self._maxsize

    def qsize(self) -> int:
        """How many items are in the queue."""
        return len(self._queue)

    def empty(self) -> bool:
        """Is there no item in the queue?"""
        return not self._queue

    def full(self) -> bool:
        """Are there `maxsize` items in the queue?"""
        return 0 < self._maxsize <= self.qsize()

    async def put(self, item: T) -> None:
        """Adds an item, as soon as there is room for it. QueueShutDown if the queue is, or gets, shut down."""
        while self.full():
            if self._is_shutdown:
                raise QueueShutDown
            putter: asyncio.Future[None] = self._get_loop().create_future()
            self._putters.append(putter)
            try:
                await putter
            except BaseException:
                if not _withdraw(putter, self._putters) and not self.full():
                    self._wakeup_next(self._putters)
                raise
        try:
            self.put_nowait(item)
        except BaseException:
            # It is the item that does not fit (into a heap, say): the slot is still there, for the next in line.
            if not self.full():
                self._wakeup_next(self._putters)
            raise

    def put_nowait(self, item: T) -> None:
        """Adds an item. QueueFull if there is no room for it, QueueShutDown if the queue has been shut down."""
        if self._is_shutdown:
            raise QueueShutDown
        if self.full():
            raise QueueFull
        self._put(item)
        self._unfinished_tasks += 1
        self._finished.clear()
        self._wakeup_next(self._getters)

    async def get(self) -> T:
        """Removes and returns the next item, as soon as there is one.

        QueueShutDown if the queue is empty and is, or gets, shut down.
        """
        while self.empty():
            if self._is_shutdown:
                raise QueueShutDown
            getter: asyncio.Future[None] = self._get_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except BaseException:
                if not _withdraw(getter, self._getters) and not self.empty():
                    self._wakeup_next(self._getters)
                raise
        try:
            return self.get_nowait()
        except BaseException:
            if not self.empty():
                self._wakeup_next(self._getters)
            raise

    def get_nowait(self) -> T:
        """Removes and returns the next item. QueueEmpty (or QueueShutDown, after a shutdown) if there is none."""
        if self.empty():
            if self._is_shutdown:
                raise QueueShutDown
            raise QueueEmpty
        item = self._get()
        self._wakeup_next(self._putters)
        return item

    def task_done(self) -> None:
        """Reports an item that was got as dealt with. ValueError if more are reported than were put."""
        if self._unfinished_tasks <= 0:
            raise ValueError("task_done() called too many times")
        self._unfinished_tasks -= 1
        if self._unfinished_tasks == 0:
            self._finished.set()

    async def join(self) -> None:
        """Waits until each item that was put has been got and reported by task_done()."""
        if self._unfinished_tasks > 0:
            await self._finished.wait()

    def shutdown(self, immediate: bool = False) -> None:
        """Ends the queue: put() raises QueueShutDown from now on, and get() once the queue is empty.

        Arguments:
            immediate: drop the items that are in the queue (they count as done), so that get() raises now.
        """
        self._is_shutdown = True
        if immediate:
            while not self.empty():
                self._get()
                if self._unfinished_tasks > 0:
                    self._unfinished_tasks -= 1
            if self._unfinished_tasks == 0:
                self._finished.set()
        # All look again, and find that there is nothing to wait for.
        while self._getters:
            self._wakeup_next(self._getters)
        while self._putters:
            self._wakeup_next(self._putters)

    def _wakeup_next(self, waiters: deque[asyncio.Future[None]]) -> None:
        """Wakes the first that still waits."""
        while waiters:
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                break


def _withdraw(waiter: asyncio.Future[None], waiters: deque[asyncio.Future[None]]) -> bool:
    """Takes a waiter that gives up out of the line. False if it had been woken before."""
    woken = waiter.done() and not waiter.cancelled()
    waiter.cancel()
    if not woken:
        try:
            waiters.remove(waiter)
        except ValueError:
            pass  # _wakeup_next() came across it, cancelled, and took it out
    return not woken


class PriorityQueue(Queue[S]):
    """The smallest item comes out first. Items are often tuples: (priority, data)."""

    def _init(self, maxsize: int) -> None:
        self._queue = []

    def _put(self, item: S) -> None:
        heap = self._queue
        try:
            heapq.heappush(heap, item)
        except BaseException:
            _unpush(heap, item)
            raise

    def _get(self) -> S:
        item: S = heapq.heappop(self._queue)
        return item


def _unpush(heap: list[Any], item: object) -> None:
    """Undoes a heappush() that a comparison ended: the item is in the heap, on its way from the end to the root."""
    at = len(heap) - 1
    path = [at]
    while at > 0 and heap[at] is not item:
        at = (at - 1) // 2
        path.append(at)
    for to, fro in zip(reversed(path), reversed(path[:-1]), strict=False):
        heap[to] = heap[fro]
    heap.pop()


class LifoQueue(Queue[T]):
    """The item that was put last comes out first."""

    def _init(self, maxsize: int) -> None:
        self._queue = []

    def _get(self) -> T:
        item: T = self._queue.pop()
        return item
