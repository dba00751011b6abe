"""loop.time() replaced, on an object, a class or in a subclass, is the clock of the loop's timers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

import hasten


@pytest.fixture
def loop() -> Iterator[Any]:
    fresh = hasten.new_event_loop()
    try:
        yield fresh
    finally:
        fresh.close()


async def _a_few_ticks() -> None:
    for _ in range(3):
        await hasten.sleep(0)


def test_replaced_on_the_object(loop) -> None:
    async def main() -> None:
        fired: list[bool] = []
        real = loop.time
        loop.call_later(60, fired.append, True)
        await _a_few_ticks()
        assert fired == []
        loop.time = lambda: real() + 61
        try:
            await _a_few_ticks()
        finally:
            del loop.time
        assert fired == [True]
        loop.call_later(60, fired.append, False)
        await _a_few_ticks()
        assert fired == [True]

    loop.run_until_complete(main())


def test_replaced_on_the_class(loop) -> None:
    async def main() -> None:
        fired: list[bool] = []
        real = loop.time
        loop.call_later(60, fired.append, True)
        with mock.patch.object(hasten.Loop, "time", return_value=real() + 61):
            await _a_few_ticks()
            assert fired == [True]
            assert loop.time() > real() + 50
        loop.call_later(60, fired.append, False)
        await _a_few_ticks()
        assert fired == [True]

    loop.run_until_complete(main())


class Clock:
    now = 1000.0


class Clocked(hasten.Loop):
    """A loop whose clock stands still until somebody moves it."""

    def time(self) -> float:
        return Clock.now


def test_a_subclass_with_a_clock_of_its_own() -> None:
    async def main() -> list[str]:
        loop = asyncio.get_running_loop()
        order: list[str] = []
        assert loop.call_later(5, order.append, "later").when() == Clock.now + 5
        loop.call_at(Clock.now + 3, order.append, "at")
        sleeping = loop.create_task(hasten.sleep(4, "slept"))
        await _a_few_ticks()
        assert order == []
        Clock.now += 10
        assert await sleeping == "slept"
        return order

    loop = Clocked()
    try:
        assert loop.run_until_complete(main()) == ["at", "later"]
    finally:
        loop.close()


@pytest.mark.parametrize("way", ["timeout", "timeout_at", "wait_for", "wait"])
def test_deadlines_go_by_it(way) -> None:
    async def main() -> str:
        loop = asyncio.get_running_loop()
        never = loop.create_future()

        async def waits() -> str:
            try:
                if way == "timeout":
                    async with hasten.timeout(60):
                        await never
                elif way == "timeout_at":
                    async with hasten.timeout_at(Clock.now + 60):
                        await never
                elif way == "wait_for":
                    await hasten.wait_for(never, 60)
                else:
                    done, _ = await hasten.wait([never], timeout=60)
                    return "over" if not done else "done"
            except TimeoutError:
                return "over"
            return "done"

        task = loop.create_task(waits())
        await _a_few_ticks()
        assert not task.done()
        Clock.now += 61
        return await task

    loop = Clocked()
    try:
        assert loop.run_until_complete(main()) == "over"
    finally:
        loop.close()


def test_a_clock_that_fails_ends_the_run_and_no_more(loop) -> None:
    def broken() -> float:
        raise ValueError("no time")

    loop.call_later(60, print)
    loop.time = broken
    with pytest.raises(ValueError, match="no time"):
        loop.run_until_complete(hasten.sleep(0))
    del loop.time
    loop.run_until_complete(hasten.sleep(0))
    for task in hasten.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(hasten.sleep(0))


def test_timers_and_ready_entries_can_be_looked_at(loop) -> None:
    async def main() -> None:
        first = loop.call_later(50, print, "one")
        loop.call_later(60, print, "two")
        first.cancel()
        assert [handle._args for handle in loop._scheduled if not handle.cancelled()] == [("two",)]
        assert {handle.when() > loop.time() for handle in loop._scheduled} == {True}
        handle = loop.call_soon(str)
        task = loop.create_task(hasten.sleep(0))
        assert len(loop._ready) == 2
        shown = list(loop._ready)
        assert shown[0] is handle
        assert shown[1]._callback.__self__ is task
        assert all(isinstance(each, asyncio.Handle) for each in shown)
        assert "_wakeup" in repr(shown[1])
        await task

    loop.run_until_complete(main())
