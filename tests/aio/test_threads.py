"""to_thread."""

from __future__ import annotations

import contextvars
import inspect
import threading

import pytest

from hasten.aio.threads import to_thread


def test_result_arguments_thread(world):
    async def main():
        def work(a, *, b, func):
            return a + b + func, threading.get_ident()

        result, ident = await world.ns.to_thread(work, 1, b=2, func=3)
        assert result == 6
        assert ident != threading.get_ident()

    world.run(main())


def test_exception(world):
    async def main():
        with pytest.raises(ZeroDivisionError):
            await world.ns.to_thread(lambda: 1 / 0)

    world.run(main())


def test_context_is_seen_and_not_changed(world):
    async def main():
        var = contextvars.ContextVar("var")
        var.set("seen")

        def work():
            seen = var.get()
            var.set("changed")
            return seen

        assert await world.ns.to_thread(work) == "seen"
        assert var.get() == "seen"

    world.run(main())


def test_is_a_coroutine_function():
    assert inspect.iscoroutinefunction(to_thread)
