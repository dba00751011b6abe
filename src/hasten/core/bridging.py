"""Between futures of a loop and those of concurrent.futures, which other threads wait for."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from concurrent.futures import _base
from functools import partial
from typing import Any, TypeVar

from hasten.core import outcomes
from hasten.core.again import to_the_end

_T = TypeVar("_T")
_Concurrent = concurrent.futures.Future
_TRIES = 200  # to tell a loop of what a thread has done, while there is no memory
_PAUSE = 0.01  # seconds between two


def wrap_future(
    future: concurrent.futures.Future[_T] | asyncio.Future[_T], *, loop: asyncio.AbstractEventLoop | None = None
) -> asyncio.Future[_T]:
    """Return a future of `loop` (default: the current one) that ends as a concurrent.futures.Future does.

    Cancelling it cancels that one. A future of a loop is returned itself.

    Raises:
        TypeError: what is given is neither.
    """
    if asyncio.isfuture(future):
        return future
    if not isinstance(future, _Concurrent):
        raise TypeError(f"concurrent.futures.Future is expected, got {future!r}")
    if loop is None:
        loop = asyncio.get_event_loop()
    wrapper: asyncio.Future[_T] = loop.create_future()
    wrapper.add_done_callback(partial(_cancel_too, future))
    future.add_done_callback(partial(_hand_in, loop, wrapper))
    return wrapper


# An interruption that comes before or in the middle of one of these would leave somebody waiting for ever.


@to_the_end
def _cancel_too(source: Any, wrapper: Any) -> None:
    if wrapper.cancelled():
        source.cancel()


@to_the_end
def _hand_in(loop: Any, wrapper: Any, source: Any) -> None:
    """Pass on that the concurrent future is done. Runs in any thread."""
    if asyncio._get_running_loop() is loop:
        _copy(source, wrapper)
    else:
        call_unless_closed(loop, _copy, source, wrapper)


def call_unless_closed(loop: Any, fn: Any, *args: Any) -> None:
    """Call fn(*args) in the loop, from another thread. Its caller passes no error on, so wait a while for memory."""
    left = _TRIES
    while True:
        try:
            loop.call_soon_threadsafe(fn, *args)
            return
        except MemoryError:
            if left == 0:
                raise
            left -= 1
            time.sleep(_PAUSE)
        except RuntimeError:
            if not loop.is_closed():  # asked afterwards: its thread may close it at any time
                raise
            return


@to_the_end
def _copy(source: Any, wrapper: Any) -> None:
    cancelled = source.cancelled()
    exc = None if cancelled else source.exception()
    result = source.result() if not cancelled and exc is None else None
    # all of the above may be anybody's code, and have completed it
    if exc is not None:
        outcomes.fail_unless_done(wrapper, _translated(exc))
    elif not cancelled:
        outcomes.set_unless_done(wrapper, result)
    elif not wrapper.done():
        wrapper.cancel()


def _translated(exc: BaseException) -> BaseException:
    """Return asyncio's exception of the same name for one that concurrent.futures has of its own."""
    if type(exc) is concurrent.futures.CancelledError:
        return asyncio.CancelledError(*exc.args).with_traceback(exc.__traceback__)
    if type(exc) is concurrent.futures.InvalidStateError:
        return asyncio.InvalidStateError(*exc.args).with_traceback(exc.__traceback__)
    return exc


def hand_out(task: Any, future: concurrent.futures.Future[Any]) -> None:
    """Have a concurrent future end as a task does. Cancelling one cancels the other. To be called in the loop."""
    future.add_done_callback(partial(outcomes.if_pending, _cancel_task, task))
    task.add_done_callback(partial(_report, future))


def begin(future: Any) -> bool:
    """Have a concurrent future run unless it is done; who wait()s for one that was cancelled is told."""
    if future._state in (_base.PENDING, _base.CANCELLED):  # else a second call is an error
        future.set_running_or_notify_cancel()
    return future.running()  # type: ignore[no-any-return]


def _cancel_task(task: Any, future: Any) -> None:
    """Cancel the task if the concurrent future was cancelled. Runs in any thread."""
    if future.cancelled():
        loop = task.get_loop()
        if asyncio._get_running_loop() is loop:
            task.cancel()
        else:
            call_unless_closed(loop, task.cancel)


@to_the_end
def _report(future: Any, task: Any) -> None:
    if task.cancelled():
        future.cancel()
    if not begin(future):
        return
    exc = task.exception()
    if exc is None:
        future.set_result(task.result())
    else:
        future.set_exception(_translated(exc))
