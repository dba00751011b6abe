"""run_in_executor(): blocking calls in threads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import threading
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from hasten.core import advice, bridging, outcomes

_T = TypeVar("_T")


class Executors:
    """The default executor of one loop, made when it is first needed.

    It is given the loop with each call and keeps no reference to it, which would be a circle.
    """

    def __init__(self) -> None:
        self._default: concurrent.futures.ThreadPoolExecutor | None = None
        self._shut_down = False

    def run(
        self, loop: Any, executor: concurrent.futures.Executor | None, func: Callable[..., _T], args: tuple[Any, ...]
    ) -> asyncio.Future[_T]:
        """Call func(*args) in `executor` (None: the default one); return a Future of the loop."""
        loop._check_closed()
        if loop.get_debug() or not callable(func):
            self._check(func)
        if executor is None:
            executor = self._obtain()
        return bridging.wrap_future(executor.submit(func, *args), loop=loop)

    def _check(self, func: Any) -> None:
        if inspect.iscoroutine(func) or inspect.iscoroutinefunction(func):
            text = f"coroutines cannot be used with run_in_executor(): await {func!r} instead"
            raise advice.add(TypeError(text), advice.COROUTINE_AS_CALLBACK)  # not in a local first: see core/signals
        if not callable(func):
            raise TypeError(f"a callable object was expected by run_in_executor(), got {func!r}")

    def _obtain(self) -> concurrent.futures.ThreadPoolExecutor:
        if self._shut_down:
            raise RuntimeError("Executor shutdown has been called")
        if self._default is None:
            self._default = concurrent.futures.ThreadPoolExecutor(thread_name_prefix="asyncio")
        return self._default

    def set_default(self, executor: Any) -> None:
        """Use `executor` for run_in_executor(None, ...). Raises TypeError for what is no ThreadPoolExecutor."""
        if not isinstance(executor, concurrent.futures.ThreadPoolExecutor):
            raise TypeError(
                f"executor must be ThreadPoolExecutor instance, got {executor!r}: "
                "pass other executors to run_in_executor() themselves"
            )
        self._default = executor

    async def shut_down(self, loop: Any, timeout: float | None) -> None:
        """Wait at most `timeout` seconds (None: as long as it takes) for the default executor's threads."""
        self._shut_down = True
        executor = self._default
        if executor is None:
            return
        from hasten.primitives import timeouts  # only now: most programs have no threads

        done = loop.create_future()
        thread = threading.Thread(target=self._join, args=(loop, executor, done))
        thread.start()
        try:
            async with timeouts.timeout(timeout):
                await done
        except TimeoutError:
            warnings.warn(
                f"The executor did not finishing joining its threads within {timeout} seconds.",
                RuntimeWarning,
                stacklevel=2,
            )
            executor.shutdown(wait=False)
        else:
            thread.join()

    def _join(self, loop: Any, executor: concurrent.futures.ThreadPoolExecutor, done: Any) -> None:
        error: Exception | None = None
        try:
            executor.shutdown(wait=True)
        except Exception as exc:
            error = exc
        # functions of C: no interruption comes before they have begun
        if error is None:
            bridging.call_unless_closed(loop, outcomes.set_unless_done, done)
        else:
            bridging.call_unless_closed(loop, outcomes.fail_unless_done, done, error)

    def close(self) -> None:
        """Let the default executor go without waiting."""
        self._shut_down = True
        executor, self._default = self._default, None
        if executor is not None:
            executor.shutdown(wait=False)
