"""NativeCoroutine: a coroutine of ours, without a Python frame."""

from __future__ import annotations

import asyncio
import collections.abc
import warnings
from types import CodeType, CoroutineType, FrameType
from typing import Any

import cython

from hasten.core import advice, state
from hasten.core import future as futures
from hasten.core.future import Future
from hasten.core.scheduler import Scheduler
from hasten.kernel import codes, functions, step
from hasten.kernel.step import Awaitable


def _qualname(coro: Any) -> str:
    return str(getattr(coro, "__qualname__", type(coro).__qualname__))  # uncompiled, only the class has it


@cython.cclass
class NativeCoroutine(Awaitable):
    """What hot code awaits. A subclass has a `__name__` and `__qualname__`, and says in its hooks what is to be done:

    start(): from the first send on;
    woken(): once the future that it was suspended on has a result;
    failed(exc): when that was cancelled or has an exception, when an exception is thrown in while it is suspended, or
        (GeneratorExit) when it is closed then. `future` is the one that it was suspended on.

    Each ends by suspend(future), give(value) or fail(exc), and may not raise. After an end nothing is called any more,
    and nothing is called while one of them runs.

    stage 0: nobody has awaited it yet; 1: suspended on `future`; 2: ended.
    """

    future: Future[Any] | None
    __name__ = __qualname__ = "coroutine"
    if not cython.compiled:

        def __getattr__(self, name: str) -> Any:
            if name == "__qualname__":  # only the class has it
                return type(self).__qualname__
            raise AttributeError(f"'coroutine' object has no attribute {name!r}")

    def start(self) -> int:
        return self.give(None)

    def woken(self) -> int:
        return self.give(None)

    def failed(self, exc: BaseException) -> int:
        return self.fail(exc)

    # ---- how a hook ends ------------------------------------------------------------------

    def suspend(self, fut: Future[Any]) -> int:
        """Wait for a future of hasten's, which may be on any loop."""
        self.stage = step.SUSPENDED
        self.future = fut
        fut.blocking = True
        self.value = fut
        return step.YIELDED

    def give(self, value: Any) -> int:
        """End by returning `value`."""
        self.stage = step.ENDED
        self.future = None
        self.value = value
        return step.RETURNED

    def fail(self, exc: BaseException) -> int:
        """End by raising `exc`."""
        self.stage = step.ENDED
        self.future = None
        self.value = exc
        return step.RAISED

    # ---- what drives it -------------------------------------------------------------------

    def resume(self) -> int:
        if self.stage == step.FRESH:
            return self.start()
        if self.stage == step.SUSPENDED:
            f = self.future
            if f.status == state.FINISHED and f.error is None:  # type: ignore[union-attr]
                return self.woken()
            if f.status == state.PENDING:  # type: ignore[union-attr]
                # a second task awaits it: that one is told, and the first goes on waiting
                self.value = RuntimeError("coroutine is being awaited already")
                return step.RAISED
            return self.failed(f.take_failure())  # type: ignore[union-attr]
        self.value = RuntimeError("cannot reuse already awaited coroutine")
        return step.RAISED

    def resume_throw(self, exc: BaseException) -> int:
        if self.stage == step.SUSPENDED:
            return self.failed(exc)
        if self.stage == step.ENDED:
            self.value = RuntimeError("cannot reuse already awaited coroutine")
            return step.RAISED
        return self.fail(exc)

    def fresh(self) -> bool:
        return self.stage == step.FRESH

    def shut(self) -> int:
        """End it where it is suspended, as if GeneratorExit were thrown in."""
        if self.stage == step.SUSPENDED:
            kind = self.failed(GeneratorExit())
            if kind == step.YIELDED:
                return kind
            exc = self.value
            if kind == step.RAISED and not is_ending(exc):
                return kind
        self.stage = step.ENDED
        self.value = None
        return step.RETURNED

    # ---- what shows it --------------------------------------------------------------------

    @property
    def cr_await(self) -> Any:
        """The object that it waits for, or None."""
        return self.future if self.stage == step.SUSPENDED else None

    @property
    def cr_frame(self) -> FrameType | None:
        """A frame to look at (nothing runs in it), until it has ended."""
        return None if self.stage == step.ENDED else codes.frame_of(self)

    @property
    def cr_code(self) -> CodeType:
        """The code of the function that made it."""
        return codes.coroutine_code(self)

    @property
    def cr_origin(self) -> None:
        """None: where it was made is not recorded."""
        return None

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("cannot pickle 'coroutine' object")

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # inspect.iscoroutine() holds
        return CoroutineType

    @property
    def cr_running(self) -> bool:
        """True while it runs."""
        return bool(self.running)

    @property
    def cr_suspended(self) -> bool:
        """True while it is suspended."""
        return self.stage == step.SUSPENDED and not self.running

    @property
    def cr_state(self) -> str:
        """The state, as inspect.getcoroutinestate() names it."""
        return codes.state(self.stage, self.running)

    def __repr__(self) -> str:
        return f"<coroutine object {_qualname(self)} at {id(self):#x}>"

    def __del__(self) -> None:
        if self.stage == step.FRESH:
            if warnings is None:  # the interpreter has taken its modules apart
                return
            name = _qualname(self)
            warnings.warn(f"coroutine '{name}' was never awaited", RuntimeWarning, stacklevel=1, source=self)
        elif self.stage == step.SUSPENDED:
            self.end_it()


def is_ending(exc: Any) -> bool:
    """True for what a coroutine that is closed may end by."""
    return step.is_instance(exc, GeneratorExit) or step.is_instance(exc, StopIteration)


functions.coroutine_class(NativeCoroutine, 0)
# asyncio.iscoroutine() goes by this; so they can be given to create_task(), gather(), wait_for()...
collections.abc.Coroutine.register(NativeCoroutine)


@cython.cclass
class Nothing(NativeCoroutine):
    """A coroutine that has nothing to do: one serves all, as often as they like."""

    __name__ = __qualname__ = "nothing"

    def resume(self) -> int:
        self.value = None
        return step.RETURNED

    def resume_throw(self, exc: BaseException) -> int:
        self.value = exc
        return step.RAISED

    def shut(self) -> int:
        self.value = None
        return step.RETURNED

    def __del__(self) -> None:
        """Warn of nothing: it need not be awaited."""


step.native_nothing(Nothing)
nothing = cython.cast(Nothing, Nothing.__new__(Nothing))


def running() -> Any:
    """Return the running loop, of any make. Raises RuntimeError if none runs."""
    loop = step.running_loop()
    if loop is not None:
        return loop
    try:
        return asyncio.get_running_loop()
    except RuntimeError as exc:
        raise advice.add(exc, advice.NO_RUNNING_LOOP)


def new_waiter(loop: Any) -> Future[Any]:
    """Return a future to be suspended on, for a loop of any make."""
    if loop is step.running_loop():
        ours = cython.cast(Scheduler, loop)
        if not ours.debug:
            return futures.new_future(ours, ours._ready)
    return Future(loop=loop)
