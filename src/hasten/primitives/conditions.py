"""Condition and Barrier: what tasks wait for each other with, made of a Lock.

As with locks, who must wait appends a future to `_waiters` and awaits it, and nobody's wake-up may be lost.
"""

from __future__ import annotations

import asyncio
from asyncio import BrokenBarrierError, CancelledError
from collections import deque
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Literal, Protocol, TypeVar

from hasten.core import outcomes
from hasten.kernel import sharing
from hasten.primitives.locks import EnteredByLock, Lock
from hasten.primitives.loop_bound import LoopBound

T = TypeVar("T")


def _wake(waiters: deque[asyncio.Future[bool]], n: int) -> None:
    """Wake the first `n` that are not awake yet."""
    for fut in waiters:
        if n <= 0:
            break
        if outcomes.set_unless_done(fut, True):
            n -= 1


class _LockLike(Protocol):
    def locked(self) -> bool: ...
    def acquire(self) -> Coroutine[Any, Any, Literal[True]]: ...
    def release(self) -> None: ...


class Condition(EnteredByLock):
    """A lock, and a place to wait at until another task says that something has changed.

    Arguments:
        lock: the lock to use, an asyncio or hasten Lock; a new one if None. Several conditions may share one.
    """

    _waiters: deque[asyncio.Future[bool]]
    locked: Callable[[], bool]
    acquire: Callable[[], Coroutine[Any, Any, Literal[True]]]
    release: Callable[[], None]

    def __init__(self, lock: _LockLike | None = None) -> None:
        if lock is None:
            lock = Lock()
        self._lock = lock
        # The lock's own methods: holding the condition is holding the lock.
        self.locked = lock.locked
        self.acquire = lock.acquire
        self.release = lock.release
        self._waiters = deque()

    def __repr__(self) -> str:
        return self._describe("locked" if self.locked() else "unlocked", self._waiters)

    async def wait(self) -> Literal[True]:
        """Free the lock, wait for a notification, take the lock again and return True.

        It may wake up without cause: look at what was waited for again, or use wait_for(). The lock is held again
        however the wait ends. RuntimeError if the lock is not held.
        """
        if not self.locked():
            raise RuntimeError("cannot wait on un-acquired lock")
        fut: asyncio.Future[bool] = self._get_loop().create_future()
        self.release()
        try:
            try:
                try:
                    self._waiters.append(fut)
                    await fut
                finally:
                    if fut in self._waiters:
                        self._waiters.remove(fut)
            finally:
                await self._reacquire()
        except BaseException:
            # The notification may have come to us before the exception did. To wake one too many is allowed, to wake
            # one too few is not.
            _wake(self._waiters, 1)
            raise
        return True

    async def _reacquire(self) -> None:
        """Take the lock in any case; raise the latest cancellation that arrived meanwhile afterwards."""
        cancelled: CancelledError | None = None
        while True:
            try:
                await self.acquire()
                break
            except CancelledError as exc:
                cancelled = exc
        if cancelled is not None:
            try:
                raise cancelled
            finally:
                cancelled = None  # else the exception's traceback would hold the exception

    async def wait_for(self, predicate: Callable[[], T]) -> T:
        """Wait until `predicate()` is true, and return what it returned. The lock must be held."""
        result = predicate()
        while not result:
            await self.wait()
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        """Wake the first `n` who wait, or all if they are fewer; they go on once they get the lock.

        RuntimeError if the lock is not held.
        """
        if not self.locked():
            raise RuntimeError("cannot notify on un-acquired lock")
        _wake(self._waiters, n)

    def notify_all(self) -> None:
        """Wake all who wait. Raises RuntimeError if the lock is not held."""
        self.notify(len(self._waiters))


# A barrier fills up until `parties` tasks wait at it, then drains until the last of them has left, and fills again.
# While it drains, or after a reset until those who waited have left, new arrivals wait outside.
FILLING, DRAINING, RESETTING, BROKEN = "filling", "draining", "resetting", "broken"


class Barrier(LoopBound):
    """A place where tasks wait until a given number of them has arrived, again and again.

    Arguments:
        parties: how many; ValueError if it is less than 1.
    """

    _cond: Condition
    _parties: int
    _state: str
    _count: int  # tasks inside: waiting, or released and not gone yet

    def __init__(self, parties: int) -> None:
        if parties < 1:
            raise ValueError("parties must be >= 1")
        self._cond = Condition()
        self._parties = parties
        self._state = FILLING
        self._count = 0

    def __repr__(self) -> str:
        state = self._state
        if state != BROKEN:
            state += f", waiters:{self.n_waiting}/{self._parties}"
        return self._describe(state, None)

    @property
    def parties(self) -> int:
        """The number of tasks that it takes to pass."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """The number of tasks that wait for others to arrive."""
        return self._count if self._state == FILLING else 0

    @property
    def broken(self) -> bool:
        """True if abort() was called, and reset() was not called since."""
        return self._state == BROKEN

    async def __aenter__(self) -> int:
        return await self.wait()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        pass

    async def wait(self) -> int:
        """Wait for the others; return this task's number, from 0 for the first to arrive.

        BrokenBarrierError if the barrier is broken, or gets broken or reset meanwhile.
        """
        async with self._cond:
            await self._cond.wait_for(self._open)
            if self._state == BROKEN:
                raise BrokenBarrierError("Barrier aborted")
            index = self._count
            self._count += 1
            try:
                if self._count == self._parties:
                    self._state = DRAINING
                    self._cond.notify_all()
                else:
                    await self._cond.wait_for(self._full)
                    if self._state != DRAINING:
                        raise BrokenBarrierError("Abort or reset of barrier")
                return index
            finally:
                self._count -= 1
                if self._count == 0:
                    if self._state != BROKEN:
                        self._state = FILLING
                    self._cond.notify_all()

    def _open(self) -> bool:
        return self._state == FILLING or self._state == BROKEN

    def _full(self) -> bool:
        return self._state != FILLING

    async def reset(self) -> None:
        """Make the barrier as new. Tasks that wait at it get BrokenBarrierError."""
        async with self._cond:
            self._state = RESETTING if self._count > 0 else FILLING
            self._cond.notify_all()

    async def abort(self) -> None:
        """Break the barrier: who waits at it, or comes later, gets BrokenBarrierError, until a reset()."""
        async with self._cond:
            self._state = BROKEN
            self._cond.notify_all()


sharing.share(Condition, asyncio.Condition)
sharing.share(Barrier, asyncio.Barrier)
