"""What tasks wait for each other with: Lock, Event, Semaphore, BoundedSemaphore.

One shape throughout. Who must wait appends a future to `_waiters` and is suspended on it; who hands something over
completes the future of the first in line. From then until the waiter's next step the thing is *in transit*: the waiter
still stands in `_waiters`, its future is done and not cancelled, and nobody may overtake it. A waiter that ends in any
other way than by taking what it was given (cancelled, closed, another exception thrown in) gives it to the next in
line; else a wake-up would be lost, and with it everybody behind.

`acquire()` and `wait()` give native coroutines. `async with` on what is free takes it without making one.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Literal

import cython

from hasten.core import native, outcomes, state
from hasten.core.future import Future
from hasten.core.native import NativeCoroutine
from hasten.kernel import deques, functions, step
from hasten.primitives.coroutines import enter_by_acquire
from hasten.primitives.loop_bound import LoopBound

# ---- the line of waiters ------------------------------------------------------------------


def nobody_waits(waiters: Any) -> bool:
    """True if nobody is left in line. Cancelled waiters stay in it until they run."""
    if waiters is None or deques.size(waiters) == 0:
        return True
    first = waiters[0]
    if type(first) is Future and cython.cast(Future, first).status != state.CANCELLED:
        return False
    for fut in waiters:  # noqa: SIM110 (a compiled generator is slower)
        if not fut.cancelled():
            return False
    return True


def leave(waiters: Any, fut: Future[Any]) -> int:
    """Take a waiter out of the line, where it mostly stands first, if it is still there."""
    if waiters is None or deques.size(waiters) == 0:
        return 0
    if waiters[0] is fut:
        deques.shift(waiters)
    elif fut in waiters:
        waiters.remove(fut)
    return 0


# ---- Lock ---------------------------------------------------------------------------------


@cython.binding(True)
@cython.cclass
class EnteredByLock(LoopBound):
    """What `async with` does with a Condition: here, since no signal handler comes between the call and release()."""

    def __aenter__(self) -> Coroutine[Any, Any, None]:
        return enter_by_acquire(self)

    def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> Coroutine[Any, Any, None]:
        self.release()  # type: ignore[attr-defined] # of subclasses
        return native.nothing  # type: ignore[return-value]


@cython.binding(True)
@cython.cclass
class Lock(LoopBound):
    """A mutual exclusion lock for tasks, used as `async with lock: ...`.

    It is handed over in the order in which tasks asked for it. Not safe between threads, and not reentrant: a task that
    acquires it twice waits for itself.
    """

    _waiters: deque[Future[Any]] | None
    _locked: bool

    def __init__(self) -> None:
        self._waiters = None
        self._locked = False

    def __repr__(self) -> str:
        return self._describe("locked" if self._locked else "unlocked", self._waiters)

    def locked(self) -> bool:
        """True while the lock is held."""
        return self._locked

    def acquire(self) -> Coroutine[Any, Any, Literal[True]]:
        """Wait until the lock is free and this task's turn has come, take it, and return True."""
        a = cython.cast(LockAcquire, LockAcquire.__new__(LockAcquire))
        a.lock = self
        a.result = True
        return a  # type: ignore[return-value]

    def release(self) -> None:
        """Free the lock and wake the first task in line. Raises RuntimeError if the lock is not held."""
        self.free()

    def try_acquire(self) -> bool:
        """Take the lock if it is free and nobody is in line; return whether it was taken."""
        if self._locked or not nobody_waits(self._waiters):
            return False
        self._locked = True
        return True

    def free(self) -> int:
        if not self._locked:
            raise RuntimeError("Lock is not acquired.")
        self.wake_first()  # may be refused (from a wrong thread, on a closed loop): then the lock stays held
        self._locked = False
        return 0

    def pass_on(self) -> int:
        return 0 if self._locked else self.wake_first()

    def wake_first(self) -> int:
        # The first in line may be awake already (then the lock is in transit to it) or cancelled (then it passes the
        # lock on when it runs): in both cases nobody else may be woken.
        waiters = self._waiters
        if waiters is not None and deques.size(waiters) != 0:
            outcomes.set_unless_done(waiters[0], True)
        return 0

    def __aenter__(self) -> Coroutine[Any, Any, None]:
        if type(self) is not Lock:  # a subclass may have another acquire()
            return enter_by_acquire(self)
        if not self._locked and self._waiters is None:
            self._locked = True
            return native.nothing  # type: ignore[return-value]
        if self.try_acquire():
            return native.nothing  # type: ignore[return-value]
        a = cython.cast(LockAcquire, LockAcquire.__new__(LockAcquire))
        a.lock = self
        return a  # type: ignore[return-value]

    def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> Coroutine[Any, Any, None]:
        if type(self) is Lock:
            self.free()
        else:
            self.release()
        return native.nothing  # type: ignore[return-value]


@cython.cclass
class LockAcquire(NativeCoroutine):
    """Lock.acquire(), and the beginning of `async with`, whose `result` is None."""

    lock: Lock
    result: Any
    __name__ = "acquire"
    __qualname__ = "Lock.acquire"

    def start(self) -> int:
        lock = self.lock
        if lock.try_acquire():
            return self.give(self.result)
        try:
            fut = native.new_waiter(lock.bound_loop())
            if lock._waiters is None:
                line: Any = deque()
                if lock._waiters is None:  # making one may run the collector, and that anything
                    lock._waiters = line
        except Exception as exc:
            return self.fail(exc)
        if lock.try_acquire():  # again, as to make these may have run anything
            return self.give(self.result)
        deques.push(lock._waiters, fut)
        return self.suspend(fut)

    def woken(self) -> int:
        lock = self.lock
        leave(lock._waiters, self.future)  # type: ignore[arg-type]
        lock._locked = True
        return self.give(self.result)

    def failed(self, exc: BaseException) -> int:
        lock = self.lock
        fut = self.future
        leave(lock._waiters, fut)  # type: ignore[arg-type]
        if not fut.abandoned():  # type: ignore[union-attr]
            lock.pass_on()
        return self.fail(exc)


# ---- Event --------------------------------------------------------------------------------


@cython.binding(True)
@cython.cclass
class Event(LoopBound):
    """A flag that tasks wait for. It is unset at first."""

    _waiters: deque[Future[Any]]
    _value: bool

    def __init__(self) -> None:
        self._waiters = deque()
        self._value = False

    def __repr__(self) -> str:
        return self._describe("set" if self._value else "unset", self._waiters)

    def is_set(self) -> bool:
        """True while the flag is set."""
        return self._value

    def set(self) -> None:
        """Set the flag and wake all who wait for it, even if it is cleared again before they run."""
        if not self._value:
            self._value = True
            try:
                for fut in list(self._waiters):
                    outcomes.set_unless_done(fut, True)
            except BaseException:  # refused: then it was not set
                self._value = False
                raise

    def clear(self) -> None:
        """Unset the flag: who calls wait() from now on waits until the next set()."""
        self._value = False

    def wait(self) -> Coroutine[Any, Any, Literal[True]]:
        """Wait until the flag is set, not at all if it is, and return True."""
        w = cython.cast(EventWait, EventWait.__new__(EventWait))
        w.event = self
        return w  # type: ignore[return-value]


@cython.cclass
class EventWait(NativeCoroutine):
    """Event.wait()."""

    event: Event
    __name__ = "wait"
    __qualname__ = "Event.wait"

    def start(self) -> int:
        event = self.event
        if event._value:
            return self.give(True)
        try:
            fut = native.new_waiter(event.bound_loop())
        except Exception as exc:
            return self.fail(exc)
        if event._value:  # again, as to make it may have run anything
            return self.give(True)
        deques.push(event._waiters, fut)
        return self.suspend(fut)

    def woken(self) -> int:
        leave(self.event._waiters, self.future)  # type: ignore[arg-type]
        return self.give(True)

    def failed(self, exc: BaseException) -> int:
        leave(self.event._waiters, self.future)  # type: ignore[arg-type]
        return self.fail(exc)


# ---- Semaphore ----------------------------------------------------------------------------


@cython.binding(True)
@cython.cclass
class Semaphore(LoopBound):
    """A lock that lets a number of tasks in at a time, used as `async with semaphore: ...`.

    Arguments:
        value: how many may enter at first; ValueError if it is negative.
    """

    _waiters: deque[Future[Any]] | None
    free_places: float  # and not in transit to a waiter
    bound: float  # of a BoundedSemaphore

    def __init__(self, value: int = 1) -> None:
        if value < 0:
            raise ValueError("Semaphore initial value must be >= 0")
        self._waiters = None
        self.free_places = value
        self.bound = math.inf

    @property
    def _value(self) -> float:
        return int(self.free_places) if self.free_places != math.inf else math.inf

    @_value.setter
    def _value(self, value: float) -> None:
        self.free_places = value

    def __repr__(self) -> str:
        state = "locked" if self.locked() else f"unlocked, value:{self._value}"
        return self._describe(state, self._waiters)

    def locked(self) -> bool:
        """True if acquire() would have to wait: it does behind others in line, even while a place is free."""
        return self.free_places <= 0 or not nobody_waits(self._waiters)

    def acquire(self) -> Coroutine[Any, Any, Literal[True]]:
        """Wait until a place is free and this task's turn has come, take it, and return True."""
        a = cython.cast(SemaphoreAcquire, SemaphoreAcquire.__new__(SemaphoreAcquire))
        a.semaphore = self
        a.result = True
        return a  # type: ignore[return-value]

    def release(self) -> None:
        """Free a place, and give it to the first in line if there is one."""
        self.free()

    def try_acquire(self) -> bool:
        """Take a place if one is free and nobody is in line; return whether it was taken."""
        if type(self) is not Semaphore and type(self) is not BoundedSemaphore and self.locked():
            return False  # a subclass may have another locked()
        if self.free_places <= 0 or not nobody_waits(self._waiters):
            return False
        self.free_places -= 1
        return True

    def free(self) -> int:
        if self.free_places >= self.bound:
            raise ValueError("BoundedSemaphore released too many times")
        if not self.hand_over():
            self.free_places += 1
        return 0

    def hand_over(self) -> bool:
        """Give the caller's place to the first that has none yet; return False if nobody needs one."""
        if self._waiters is not None:
            for fut in self._waiters:
                if outcomes.set_unless_done(fut, True):  # may be refused: then the caller keeps it
                    return True
        return False

    def __aenter__(self) -> Coroutine[Any, Any, None]:
        if type(self) is not Semaphore and type(self) is not BoundedSemaphore:
            return enter_by_acquire(self)
        if self.try_acquire():
            return native.nothing  # type: ignore[return-value]
        a = cython.cast(SemaphoreAcquire, SemaphoreAcquire.__new__(SemaphoreAcquire))
        a.semaphore = self
        return a  # type: ignore[return-value]

    def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> Coroutine[Any, Any, None]:
        if type(self) is Semaphore or type(self) is BoundedSemaphore:
            self.free()
        else:
            self.release()
        return native.nothing  # type: ignore[return-value]


@cython.binding(True)
@cython.cclass
class BoundedSemaphore(Semaphore):
    """A Semaphore that notices when more is released than was acquired.

    Arguments:
        value: how many may enter at first and at most; ValueError if it is negative.
    """

    def __init__(self, value: int = 1) -> None:
        Semaphore.__init__(self, value)
        self.bound = value

    @property
    def _bound_value(self) -> float:
        return int(self.bound) if self.bound != math.inf else math.inf

    def release(self) -> None:
        """Free a place. Raises ValueError if as many are free as there were at first."""
        self.free()


@cython.cclass
class SemaphoreAcquire(NativeCoroutine):
    """Semaphore.acquire(), and the beginning of `async with`, whose `result` is None."""

    semaphore: Semaphore
    result: Any
    __name__ = "acquire"
    __qualname__ = "Semaphore.acquire"

    def start(self) -> int:
        sem = self.semaphore
        if sem.try_acquire():
            return self.give(self.result)
        try:
            fut = native.new_waiter(sem.bound_loop())
            if sem._waiters is None:
                line: Any = deque()
                if sem._waiters is None:  # making one may run the collector, and that anything
                    sem._waiters = line
        except Exception as exc:
            return self.fail(exc)
        if sem.try_acquire():  # again, as to make these may have run anything
            return self.give(self.result)
        deques.push(sem._waiters, fut)
        return self.suspend(fut)

    def woken(self) -> int:
        self.go()
        return self.give(self.result)

    def failed(self, exc: BaseException) -> int:
        if self.future.status == state.FINISHED:  # type: ignore[union-attr]
            self.semaphore.free_places += 1  # given to us, not taken by us
        self.go()
        return self.fail(exc)

    def go(self) -> int:
        sem, fut = self.semaphore, self.future
        leave(sem._waiters, fut)  # type: ignore[arg-type]
        # Who came while a place was in transit had to queue even if more places were free.
        while sem.free_places > 0 and not fut.abandoned() and sem.hand_over():  # type: ignore[union-attr]
            sem.free_places -= 1
        return 0


for _cls in (LockAcquire, EventWait, SemaphoreAcquire):
    functions.coroutine_class(_cls, 64)

# one by one: compiled, a loop would take nothing for a class whose class is not exactly `type`
step.refuse_await(Lock)
step.refuse_await(Event)
step.refuse_await(Semaphore)
step.refuse_await(BoundedSemaphore)
functions.publish(EnteredByLock, "()", "__aenter__", "__aexit__")
functions.publish(Lock, "()", "acquire", "__aenter__", "__aexit__")
functions.publish(Event, "()", "wait")
functions.publish(Semaphore, "(value=1)", "acquire", "__aenter__", "__aexit__")
functions.publish(BoundedSemaphore, "(value=1)")
functions.share(Lock, asyncio.Lock)
functions.share(Event, asyncio.Event)
functions.share(Semaphore, asyncio.Semaphore)
functions.share(BoundedSemaphore, asyncio.BoundedSemaphore)
