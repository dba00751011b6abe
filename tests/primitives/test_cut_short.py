"""Conditions whose wait() is interrupted between two of its steps."""

from __future__ import annotations

from typing import Any

import pytest

import hasten


class Interrupting(list):  # type: ignore[type-arg]
    """Waiters; to take one out is interrupted."""

    def remove(self, item: Any) -> None:
        super().remove(item)
        raise KeyboardInterrupt


def test_the_lock_is_held_again_whatever_ends_a_wait() -> None:
    condition = hasten.Condition()
    condition._waiters = Interrupting()  # type: ignore[assignment]
    inside: list[bool] = []

    async def wait() -> None:
        async with condition:
            try:
                await condition.wait()
            finally:
                inside.append(condition.locked())

    async def notify() -> None:
        async with condition:
            condition.notify()

    loop = hasten.new_event_loop()
    try:
        waiting = loop.create_task(wait())
        loop.call_soon(lambda: loop.create_task(notify()))
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(waiting)
        assert inside == [True]
        assert not condition.locked()
    finally:
        loop.close()


def test_async_with_frees_the_lock_before_anything_can_come_between() -> None:
    """The call itself does it, not the first step of a coroutine."""
    condition = hasten.Condition()

    async def main() -> None:
        await condition.acquire()
        end = condition.__aexit__(None, None, None)
        assert not condition.locked()
        await end

    hasten.run(main())
