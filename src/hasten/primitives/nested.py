"""What nested.pyx does, in plain Python: the type checker's view, and the uncompiled fallback."""

from __future__ import annotations

from typing import Any

from hasten.core.future import Future
from hasten.core.native import NativeCoroutine
from hasten.core.task import Task
from hasten.kernel import step
from hasten.primitives.coroutines import await_it


class Driver(NativeCoroutine):
    """A native coroutine that runs `inner` inside itself."""

    inner: Any = None

    def drive(self) -> int:
        """Send into `inner`. `value` is what came of it; the return value says what that is."""
        return _run(self, lambda: self.inner.send(None))

    def drive_throw(self, exc: BaseException) -> int:
        """Throw into `inner`; else as drive()."""
        return _run(self, lambda: self.inner.throw(exc))

    @property
    def cr_await(self) -> Any:
        """The object that it waits for, or None."""
        if self.stage != step.SUSPENDED:
            return None
        return self.future if self.inner is None else self.inner


def _run(driver: Driver, call: Any) -> int:
    try:
        driver.value = call()
    except StopIteration as stop:
        driver.value = stop.value
        return step.RETURNED
    except BaseException as exc:
        driver.value = exc
        return step.RAISED
    return step.YIELDED


def iterator_of(awaitable: Any) -> Any:
    """Return what an `await` of it sends into."""
    if step.is_native_coroutine(awaitable):
        # one that somebody else awaits already goes the long way, on which the interpreter says so
        return awaitable if awaitable.cr_await is None else await_it(awaitable)
    if isinstance(awaitable, NativeCoroutine):
        return awaitable if not awaitable.stage & step.SUSPENDED else await_it(awaitable)
    if type(awaitable) is Future or type(awaitable) is Task:
        return awaitable.__await__()
    return await_it(awaitable)
