"""eager_task_factory, create_eager_task_factory."""

from __future__ import annotations

import asyncio

import hasten


def test_runs_until_the_first_wait(either_loop):
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

    either_loop.run_until_complete(main())


def test_done_at_once(either_loop):
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

    either_loop.run_until_complete(main())


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


def test_outside_of_a_running_loop_the_start_waits(either_loop):
    either_loop.set_task_factory(hasten.eager_task_factory)
    steps = []

    async def work():
        steps.append(1)

    task = either_loop.create_task(work())
    assert steps == []
    either_loop.run_until_complete(task)
    assert steps == [1]
