"""What tasks wait for each other with: Lock, Event, Condition, Semaphore, BoundedSemaphore, Barrier.

One shape throughout. Who must wait appends a future to `_waiters` and awaits it; who hands something over completes
the future of the first in line. From then until the waiter's next step the thing is *in transit*: the waiter still
stands in `_waiters`, its future is done and not cancelled, and nobody may overtake it. A waiter that ends in any other
way than by taking what it was given (cancelled, closed, another exception thrown in) gives it to the next in line; else
a wake-up would be lost, and with it everybody behind.
"""

from __future__ import annotations

import asyncio
import threading
from asyncio import BrokenBarrierError, CancelledError
from collections import deque
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Literal, Protocol, TypeVar

T = TypeVar("T")

_binding = threading.Lock()


class LoopBound:
    """Belongs to the first loop that it has to wait on, and to no other from then on."""

    _loop: asyncio.AbstractEventLoop | None = None

    def _get_loop(self) -> asyncio.AbstractEventLoop:
        """The running loop. RuntimeError if none runs, or if it is not the one that this object belongs to."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            with _binding:  # loops of two threads may come here at once: one gets it, the other is told
                if self._loop is None:
                    self._loop = loop
        if self._loop is not loop:
            raise RuntimeError(f"{self!r} is bound to a different event loop")
        return loop

    def _describe(self, state: str, waiters: deque[asyncio.Future[bool]] | None) -> str:
        extra = f"{state}, waiters:{len(waiters)}" if waiters else state
        return f"<{object.__repr__(self)[1:-1]} [{extra}]>"


def _all_cancelled(waiters: deque[asyncio.Future[bool]]) -> bool:
    """Is nobody left in line? Cancelled waiters stay in it until they run."""
    return all(fut.cancelled() for fut in waiters)


def _wake(waiters: deque[asyncio.Future[bool]], n: int) -> None:
    """Wakes the first `n` that are not awake yet."""
    for fut in waiters:
        if n <= 0:
            break
        if not fut.done():
            n -= 1
            fut.set_result(True)


class Lock(LoopBound):
    """A mutual exclusion lock for tasks, used as `async with lock: ...`.

    It is handed over in the order in which tasks asked for it. Not safe between threads, and not reentrant: a task that
    acquires it twice waits for itself.
    """

    _waiters: deque[asyncio.Future[bool]] | None
    _locked: bool

    def __init__(self) -> None:
        self._waiters = None
        self._locked = False

    def __repr__(self) -> str:
        return self._describe("locked" if self._locked else "unlocked", self._waiters)

    def locked(self) -> bool:
        """Is the lock held?"""
        return self._locked

    async def acquire(self) -> Literal[True]:
        """Waits until the lock is free and this task's turn has come, takes it, and returns True."""
        waiters = self._waiters
        if not self._locked and (not waiters or _all_cancelled(waiters)):
            self._locked = True
            return True
        fut: asyncio.Future[bool] = self._get_loop().create_future()
        if waiters is None:
            waiters = self._waiters = deque()
        waiters.append(fut)
        try:
            await fut
        except BaseException:
            waiters.remove(fut)
            self._pass_on()
            raise
        waiters.remove(fut)
        self._locked = True
        return True

    def release(self) -> None:
        """Frees the lock and wakes the first task in line. RuntimeError if the lock is not held."""
        if not self._locked:
            raise RuntimeError("Lock is not acquired.")
        self._locked = False
        self._pass_on()

    def _pass_on(self) -> None:
        # The first in line may be awake already (then the lock is in transit to it) or cancelled (then it passes the
        # lock on when it runs): in both cases nobody else may be woken.
        if not self._locked and self._waiters:
            fut = self._waiters[0]
            if not fut.done():
                fut.set_result(True)

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.release()


class Event(LoopBound):
    """A flag that tasks wait for. It is unset at first."""

    _waiters: deque[asyncio.Future[bool]]
    _value: bool

    def __init__(self) -> None:
        self._waiters = deque()
        self._value = False

    def __repr__(self) -> str:
        return self._describe("set" if self._value else "unset", self._waiters)

    def is_set(self) -> bool:
        """Is the flag set?"""
        return self._value

    def set(self) -> None:
        """Sets the flag and wakes all who wait for it, even if it is cleared again before they run."""
        if not self._value:
            self._value = True
            _wake(self._waiters, len(self._waiters))

    def clear(self) -> None:
        """Unsets the flag: who calls wait() from now on waits until the next set()."""
        self._value = False

    async def wait(self) -> Literal[True]:
        """Returns True, at once if the flag is set, else as soon as it gets set."""
        if self._value:
            return True
        fut: asyncio.Future[bool] = self._get_loop().create_future()
        self._waiters.append(fut)
        try:
            await fut
        finally:
            self._waiters.remove(fut)
        return True


class _LockLike(Protocol):
    def locked(self) -> bool: ...
    def acquire(self) -> Coroutine[Any, Any, Literal[True]]: ...
    def release(self) -> None: ...


class Condition(LoopBound):
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
        """Frees the lock, waits for a notification, takes the lock again and returns True.

        It may wake up without cause: look at what was waited for again, or use wait_for(). The lock is held again
        however the wait ends. RuntimeError if the lock is not held.
        """
        if not self.locked():
            raise RuntimeError("cannot wait on un-acquired lock")
        fut: asyncio.Future[bool] = self._get_loop().create_future()
        self.release()
        try:
            self._waiters.append(fut)
            try:
                await fut
            finally:
                self._waiters.remove(fut)
                await self._reacquire()
        except BaseException:
            # The notification may have come to us before the exception did. To wake one too many is allowed, to wake
            # one too few is not.
            _wake(self._waiters, 1)
            raise
        return True

    async def _reacquire(self) -> None:
        """Takes the lock, come what may; the latest cancellation that arrived meanwhile is raised afterwards."""
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
        """Waits until `predicate()` is true, and returns what it gave. The lock must be held."""
        result = predicate()
        while not result:
            await self.wait()
            result = predicate()
        return result

    def notify(self, n: int = 1) -> None:
        """Wakes the first `n` who wait, or all if they are fewer; they go on once they get the lock.

        RuntimeError if the lock is not held.
        """
        if not self.locked():
            raise RuntimeError("cannot notify on un-acquired lock")
        _wake(self._waiters, n)

    def notify_all(self) -> None:
        """Wakes all who wait. RuntimeError if the lock is not held."""
        self.notify(len(self._waiters))

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.release()


class Semaphore(LoopBound):
    """Lets a number of tasks in at a time, used as `async with semaphore: ...`.

    Arguments:
        value: how many may enter at first; ValueError if it is negative.
    """

    _waiters: deque[asyncio.Future[bool]] | None
    _value: int  # places that are free and not in transit to a waiter

    def __init__(self, value: int = 1) -> None:
        if value < 0:
            raise ValueError("Semaphore initial value must be >= 0")
        self._waiters = None
        self._value = value

    def __repr__(self) -> str:
        state = "locked" if self.locked() else f"unlocked, value:{self._value}"
        return self._describe(state, self._waiters)

    def locked(self) -> bool:
        """Would acquire() have to wait? So it does behind others in line even while a place is free."""
        waiters = self._waiters
        return self._value == 0 or not (not waiters or _all_cancelled(waiters))

    async def acquire(self) -> Literal[True]:
        """Waits until a place is free and this task's turn has come, takes it, and returns True."""
        if not self.locked():
            self._value -= 1
            return True
        fut: asyncio.Future[bool] = self._get_loop().create_future()
        waiters = self._waiters
        if waiters is None:
            waiters = self._waiters = deque()
        waiters.append(fut)
        try:
            await fut
        except BaseException:
            if fut.done() and not fut.cancelled():
                self._value += 1  # given to us, not taken by us
            raise
        finally:
            waiters.remove(fut)
            # Who came while a place was in transit had to queue even if more places were free.
            while self._value > 0 and self._grant():
                pass
        return True

    def release(self) -> None:
        """Frees a place, and gives it to the first in line if there is one."""
        self._value += 1
        self._grant()

    def _grant(self) -> bool:
        """Gives a free place to the first that has none yet. False if nobody needs one."""
        for fut in self._waiters or ():
            if not fut.done():
                self._value -= 1
                fut.set_result(True)
                return True
        return False

    async def __aenter__(self) -> None:
        await self.acquire()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.release()


class BoundedSemaphore(Semaphore):
    """A Semaphore that notices when more is released than was acquired.

    Arguments:
        value: how many may enter at first and at most; ValueError if it is negative.
    """

    def __init__(self, value: int = 1) -> None:
        self._bound_value = value
        super().__init__(value)

    def release(self) -> None:
        """Frees a place. ValueError if there are as many free as there were at first."""
        if self._value >= self._bound_value:
            raise ValueError("BoundedSemaphore released too many times")
        super().release()


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
        """How many tasks it takes to pass."""
        return self._parties

    @property
    def n_waiting(self) -> int:
        """How many tasks wait for others to arrive."""
        return self._count if self._state == FILLING else 0

    @property
    def broken(self) -> bool:
        """Has abort() been called, and no reset() since?"""
        return self._state == BROKEN

    async def __aenter__(self) -> int:
        return await self.wait()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        pass

    async def wait(self) -> int:
        """Waits for the others; returns this task's number, from 0 for the first to arrive.

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
        """Makes the barrier as new. Tasks that wait at it get BrokenBarrierError."""
        async with self._cond:
            self._state = RESETTING if self._count > 0 else FILLING
            self._cond.notify_all()

    async def abort(self) -> None:
        """Breaks the barrier: who waits at it, or comes later, gets BrokenBarrierError, until a reset()."""
        async with self._cond:
            self._state = BROKEN
            self._cond.notify_all()
