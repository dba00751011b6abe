"""The exception that a frame handles is its own: no function of hasten's leaves one there, or takes one away.

The probe is an asynchronous generator. Its frame handles nothing of its own while it is driven inside somebody's
`except`; what a compiled `except` would put into it by mistake shows when it is driven again, outside.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import hasten
from hasten import compat


class Refuses(Exception):
    pass


def refuse(*_: Any) -> Any:
    raise Refuses


async def raises() -> None:
    raise Refuses


def pending() -> Any:
    return hasten.get_running_loop().create_future()


def failed_future() -> Any:
    future = pending()
    future.set_exception(Refuses())
    return future


class Unequal:
    def __lt__(self, other: Any) -> bool:
        raise Refuses

    __le__ = __gt__ = __ge__ = __lt__


async def put_what_cannot_be_compared() -> None:
    queue = hasten.PriorityQueue[Any]()
    queue.put_nowait(Unequal())
    await queue.put(Unequal())


async def get_after_shutdown() -> None:
    queue = hasten.Queue[int]()
    queue.shutdown()
    await queue.get()


async def leave_a_group_that_fails() -> None:
    async with hasten.TaskGroup() as group:
        group.create_task(raises())


async def time_out() -> None:
    async with hasten.timeout(0):
        await hasten.sleep(60)


async def throw_into_a_wait() -> None:
    coro = hasten.Event().wait()
    coro.send(None)
    coro.throw(Refuses())


async def close_a_wait_for() -> None:
    async def stubborn() -> None:
        try:
            await pending()
        finally:
            raise Refuses

    coro = hasten.wait_for(stubborn(), 60)
    coro.send(None)
    coro.close()


async def run_in_a_callback() -> None:
    hasten.get_running_loop().set_exception_handler(lambda *_: None)
    hasten.get_running_loop().call_soon(refuse)
    await hasten.sleep(0)


async def start_eagerly() -> None:
    task = hasten.Task(raises(), loop=hasten.get_running_loop(), eager_start=True)
    await task


def refuse_to_gather() -> Any:
    return hasten.gather(pending(), 1)


def limit_that_is_none() -> Any:
    return hasten.gather(pending(), limit="x")  # type: ignore[call-overload]


def repr_of_a_task() -> str:
    class Coro(asyncio.Future):  # type: ignore[type-arg]
        def __repr__(self) -> str:
            raise Refuses

    return repr(Coro(loop=hasten.get_running_loop()))


# Each raises something and handles it inside, or lets it out.
PROBED: dict[str, Callable[[], Any]] = {
    "sleep(nan)": lambda: hasten.sleep(float("nan")),
    "sleep(wrong)": lambda: hasten.sleep(Unequal()),  # type: ignore[call-overload]
    "future": failed_future,
    "wait_for": lambda: hasten.wait_for(pending(), 0.001),
    "wait_for 0": lambda: hasten.wait_for(pending(), 0),
    "wait_for raises": lambda: hasten.wait_for(raises(), 60),
    "wait of nothing": lambda: hasten.wait([]),
    "gather": lambda: hasten.gather(raises(), raises()),
    "gather limit": lambda: hasten.gather(raises(), raises(), limit=1),
    "gather wrongly": refuse_to_gather,
    "limit": limit_that_is_none,
    "as_completed": lambda: hasten.as_completed([raises()]).__next__(),
    "as_completed limit": lambda: hasten.as_completed(iter(refuse, None), limit=1).__anext__(),
    "shield": lambda: hasten.shield(raises()),
    "get": get_after_shutdown,
    "get_nowait": lambda: hasten.Queue[int]().get_nowait(),
    "put": put_what_cannot_be_compared,
    "task_done": lambda: hasten.Queue[int]().task_done(),
    "release": lambda: hasten.Lock().release(),
    "set_result": lambda: failed_future().set_result(1),
    "group": leave_a_group_that_fails,
    "timeout": time_out,
    "throw": throw_into_a_wait,
    "close": close_a_wait_for,
    "callback": run_in_a_callback,
    "eager": start_eagerly,
    "create_task": lambda: hasten.create_task(1),  # type: ignore[arg-type]
    "ensure_future": lambda: hasten.ensure_future(1),  # type: ignore[call-overload]
    "add_reader": lambda: hasten.get_running_loop().add_reader("x", refuse),  # type: ignore[arg-type]
    "call_later": lambda: hasten.get_running_loop().call_later("x", refuse),  # type: ignore[arg-type]
    "exception": lambda: pending().exception(),
    "repr": repr_of_a_task,
}


@pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited:RuntimeWarning")
@pytest.mark.parametrize("name", PROBED)
def test_what_is_handled_outside_does_not_stay_in_a_frame(name: str) -> None:
    seen: list[Any] = []

    async def probe() -> AsyncIterator[None]:
        yield
        try:
            result = PROBED[name]()
            if hasattr(result, "__await__"):
                await result
        except (Exception, asyncio.CancelledError):
            pass
        yield
        seen.append(sys.exception())  # nothing, as the caller handles nothing now
        try:
            raise LookupError
        except LookupError as exc:
            seen.append(exc.__context__)

    async def main() -> None:
        generator = probe()
        await anext(generator)
        outer = Refuses("handled outside")
        try:
            raise outer
        except Refuses:
            await anext(generator)
            assert sys.exception() is outer
        await anext(generator, None)
        assert seen == [None, None]
        await hasten.sleep(0)

    hasten.run(main())


@pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited:RuntimeWarning")
@pytest.mark.parametrize("name", PROBED)
def test_what_a_frame_handles_stays_there(name: str) -> None:
    """A bare `raise` after anything of hasten's raises what it would without."""

    async def probe() -> AsyncIterator[None]:
        try:
            yield
        except Refuses:
            try:
                result = PROBED[name]()
                if hasattr(result, "__await__"):
                    await result
            except (Exception, asyncio.CancelledError):
                pass
            yield
            raise

    async def main() -> None:
        generator = probe()
        await anext(generator)
        handled = Refuses("handled inside")
        try:
            raise handled
        except Refuses:
            await generator.athrow(handled)  # the same one is handled by who throws it in
        with pytest.raises(Refuses, match="handled inside"):
            await anext(generator)

    hasten.run(main())


# ---- eager tasks ----------------------------------------------------------------------------------


@pytest.mark.skipif(not compat.compiled(), reason="Python cannot hide what a caller handles")
def test_an_eager_task_does_not_handle_what_its_maker_handles() -> None:
    seen: list[Any] = []

    async def child() -> None:
        seen.append(sys.exception())
        try:
            raise LookupError
        except LookupError as exc:
            seen.append(exc.__context__)
        await hasten.sleep(0)
        seen.append(sys.exception())

    async def main() -> None:
        try:
            raise Refuses
        except Refuses as handled:
            task = hasten.Task(child(), loop=hasten.get_running_loop(), eager_start=True)
            kept = sys.exception() is handled
        assert kept
        await task

    hasten.run(main())
    assert seen == [None, None, None]


def test_an_eager_task_that_handles_what_its_maker_handles() -> None:
    async def child(exc: BaseException) -> None:
        try:
            raise exc
        except Refuses:
            with pytest.raises(KeyError):
                await failed
            await hasten.sleep(0)
            raise

    async def main() -> None:
        nonlocal failed
        failed = pending()
        failed.set_exception(KeyError())
        try:
            raise Refuses("the one")
        except Refuses as exc:
            task = hasten.Task(child(exc), loop=hasten.get_running_loop(), eager_start=True)
        with pytest.raises(Refuses, match="the one"):
            await task

    failed: Any = None
    hasten.run(main())


@pytest.mark.parametrize("cls", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_loop_leaves_an_eager_task(cls: type[BaseException]) -> None:
    async def child() -> None:
        raise cls

    async def main() -> None:
        try:
            raise Refuses
        except Refuses as handled:
            with pytest.raises(cls):
                hasten.Task(child(), loop=hasten.get_running_loop(), eager_start=True)
            kept = sys.exception() is handled
        assert kept

    hasten.run(main())
