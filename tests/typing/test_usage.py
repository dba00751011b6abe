"""What a type checker makes of hasten's functions. `make lint` checks the assert_type() lines, pytest runs them."""

from __future__ import annotations

import asyncio
from typing import assert_type

import hasten


async def number() -> int:
    await hasten.sleep(0)
    return 1


async def word() -> str:
    return "a"


def takes_stock(task: asyncio.Task[int], future: asyncio.Future[str], lock: asyncio.Lock) -> None:
    """What is written for asyncio takes ours."""


def takes_ours(task: hasten.Task[int], future: hasten.Future[str], lock: hasten.Lock) -> None:
    """And the other way round."""


async def tasks() -> None:
    task = hasten.create_task(number(), name="n")
    assert_type(task, hasten.Task[int])
    assert_type(await task, int)
    future: hasten.Future[str] = hasten.Future()
    future.set_result("a")
    assert_type(await future, str)
    takes_stock(task, future, hasten.Lock())
    stock: asyncio.Task[int] = asyncio.get_running_loop().create_task(number())
    takes_ours(stock, future, asyncio.Lock())
    assert_type(await stock, int)
    assert_type(hasten.created_at(task), tuple[str, int, str] | None)
    assert_type(await hasten.ensure_future(word()), str)
    assert_type(await hasten.sleep(0, "a"), str)


async def many() -> None:
    assert_type(await hasten.gather(number(), word()), tuple[int, str])
    assert_type(await hasten.gather(number(), return_exceptions=True), tuple[int | BaseException])
    assert_type(await hasten.gather(*[number() for _ in range(9)]), list[int])
    done, pending = await hasten.wait([hasten.create_task(number())])
    assert_type(done, set[hasten.Task[int]])
    assert_type(pending, set[hasten.Task[int]])
    assert_type(await hasten.wait_for(number(), 1), int)
    assert_type(await hasten.shield(word()), str)
    for next_one in hasten.as_completed([number(), number()]):
        assert_type(await next_one, int)
    async with hasten.TaskGroup() as group:
        assert_type(await group.create_task(number()), int)
    assert_type(await hasten.to_thread(len, "abc"), int)


async def loops() -> None:
    loop = hasten.get_running_loop()
    assert isinstance(loop, hasten.Loop)
    handle: asyncio.Handle = loop.call_soon(int, "1")
    timer: asyncio.TimerHandle = loop.call_later(0, int, "1")
    assert_type(await loop.create_task(number()), int)
    assert_type(await loop.run_in_executor(None, len, "abc"), int)
    handle.cancel()
    timer.cancel()


def test_types_are_what_they_say() -> None:
    assert_type(hasten.run(number()), int)
    hasten.run(tasks())
    hasten.run(many())
    with hasten.Runner() as runner:
        assert_type(runner.run(word()), str)
        runner.run(loops())
    with hasten.Runner(loop_factory=hasten.new_event_loop) as runner:
        assert_type(runner.run(number()), int)
