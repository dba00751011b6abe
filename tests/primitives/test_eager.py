"""eager_task_factory, create_eager_task_factory."""

from __future__ import annotations

import asyncio

import pytest

import hasten

KINDS = [pytest.param(hasten.new_event_loop, id="hasten"), pytest.param(asyncio.SelectorEventLoop, id="stock-loop")]


def run(factory, coro):
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(coro)


@pytest.mark.parametrize("new_loop", KINDS)
def test_runs_until_the_first_wait(new_loop):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(hasten.eager_task_factory)
        order = []

        async def work():
            order.append("first step")
            order.append(asyncio.current_task())
            await asyncio.sleep(0)
            order.append("second step")
            return 5

        me = asyncio.current_task()
        task = loop.create_task(work(), name="work")
        order.append("created")
        assert asyncio.current_task() is me
        assert await task == 5
        assert task.get_name() == "work"
        assert order == ["first step", task, "created", "second step"]

    run(new_loop, main())


@pytest.mark.parametrize("new_loop", KINDS)
def test_done_at_once(new_loop):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(hasten.eager_task_factory)

        async def value():
            return 7

        async def fail():
            raise ZeroDivisionError

        task = loop.create_task(value())
        assert task.done()
        assert task.result() == 7
        task = loop.create_task(fail())
        assert task.done()
        assert isinstance(task.exception(), ZeroDivisionError)
        assert await asyncio.gather(*(value() for _ in range(3))) == [7, 7, 7]

    run(new_loop, main())


def test_constructor_gets_what_the_loop_gives():
    calls = []

    def construct(coro, **kwargs):
        calls.append(kwargs)
        return coro

    factory = hasten.create_eager_task_factory(construct)
    assert factory("loop", "coro") == "coro"
    assert factory("loop", "coro", name="n", context=None, eager_start=False) == "coro"
    assert calls == [
        {"loop": "loop", "eager_start": True},
        {"loop": "loop", "eager_start": False, "name": "n", "context": None},
    ]


@pytest.mark.parametrize("new_loop", KINDS)
def test_outside_of_a_running_loop_the_start_waits(new_loop):
    loop = new_loop()
    try:
        loop.set_task_factory(hasten.eager_task_factory)
        steps = []

        async def work():
            steps.append(1)

        task = loop.create_task(work())
        assert steps == []
        loop.run_until_complete(task)
        assert steps == [1]
    finally:
        loop.close()
