"""Eager tasks: the first step inside the caller's, also in the midst of stock tasks and of callbacks."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import pytest

import hasten

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="outside")


async def step(out: list[Any], name: str, fut: Any = None) -> Any:
    out.append((name, asyncio.current_task().get_name()))
    if fut is not None:
        await fut
        out.append((name, asyncio.current_task().get_name()))
    return name


@pytest.mark.parametrize("outer", [hasten.Task, asyncio.Task])
def test_inside_a_task_of_either_kind(loop, outer: Any) -> None:
    out: list[Any] = []

    async def main() -> None:
        me = asyncio.current_task()
        done = hasten.Task(step(out, "at once"), loop=loop, name="A", eager_start=True)
        assert done.done()
        assert done.result() == "at once"
        assert asyncio.current_task() is me
        fut = loop.create_future()
        waits = hasten.Task(step(out, "waits", fut), loop=loop, name="B", eager_start=True)
        assert not waits.done()
        assert waits in asyncio.all_tasks()
        assert asyncio.current_task() is me
        fut.set_result(None)
        assert await waits == "waits"
        assert asyncio.current_task() is me

    loop.run_until_complete(outer(main(), loop=loop))
    assert out == [("at once", "A"), ("waits", "B"), ("waits", "B")]


def test_inside_a_callback(loop) -> None:
    out: list[Any] = []

    def callback() -> None:
        assert asyncio.current_task() is None
        task = hasten.Task(step(out, "x"), loop=loop, name="A", eager_start=True)
        assert asyncio.current_task() is None
        assert task.done()
        loop.stop()

    loop.call_soon(callback)
    loop.run_forever()
    assert out == [("x", "A")]


def test_nested(loop) -> None:
    out: list[Any] = []

    async def nest(depth: int) -> int:
        me = asyncio.current_task()
        if depth:
            task = hasten.Task(nest(depth - 1), loop=loop, eager_start=True)
            assert asyncio.current_task() is me
            assert task.done()
            out.append(depth)
            return await task + 1
        return 0

    assert loop.run_until_complete(nest(30)) == 30
    assert out == list(range(1, 31))


def test_one_that_raises(loop) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    async def main() -> None:
        task = hasten.Task(fail(), loop=loop, eager_start=True)
        assert task.done()
        with pytest.raises(ZeroDivisionError):
            await task

    loop.run_until_complete(main())


def test_one_that_exits(loop) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    async def main() -> None:
        me = asyncio.current_task()
        with pytest.raises(SystemExit):
            hasten.Task(leave(), loop=loop, eager_start=True)
        assert asyncio.current_task() is me

    loop.run_until_complete(main())


def test_one_that_cancels_itself(loop) -> None:
    async def cancels() -> None:
        asyncio.current_task().cancel("x")
        await asyncio.sleep(0)

    async def main() -> None:
        task = hasten.Task(cancels(), loop=loop, eager_start=True)
        with pytest.raises(asyncio.CancelledError, match="x"):
            await task

    loop.run_until_complete(main())


def test_the_context_is_a_copy(loop) -> None:
    async def change() -> str:
        seen = var.get()
        var.set("inner")
        return seen

    async def main() -> None:
        var.set("caller")
        task = hasten.Task(change(), loop=loop, eager_start=True)
        assert task.result() == "caller"
        assert var.get() == "caller"
        assert task.get_context()[var] == "inner"

    loop.run_until_complete(main())


def test_outside_a_running_loop_it_waits_its_turn(loop) -> None:
    out: list[Any] = []
    task = hasten.Task(step(out, "later"), loop=loop, name="A", eager_start=True)
    assert out == []
    loop.run_until_complete(task)
    assert out == [("later", "A")]


def test_by_the_loop_and_by_a_factory(loop) -> None:
    out: list[Any] = []

    async def main() -> None:
        assert loop.create_task(step(out, "1"), name="A", eager_start=True).done()
        loop.set_task_factory(hasten.eager_task_factory)
        assert loop.create_task(step(out, "2"), name="B").done()
        loop.set_task_factory(None)
        task = loop.create_task(step(out, "3"), name="C")
        assert not task.done()
        await task

    loop.run_until_complete(main())
    assert [name for name, _ in out] == ["1", "2", "3"]
    assert (out[0][1], out[2][1]) == ("A", "C")


def test_among_eager_stock_tasks(loop) -> None:
    """The stock eager factory swaps the current task itself (from 3.12 on)."""
    factory = getattr(asyncio, "eager_task_factory", None)
    out: list[Any] = []

    async def main() -> None:
        me = asyncio.current_task()
        for _ in range(3):
            if factory is not None:
                assert factory(loop, step(out, "s"), name="S").done()
            assert asyncio.current_task() is me
            hasten.Task(step(out, "h"), loop=loop, name="H", eager_start=True)
            assert asyncio.current_task() is me
            await asyncio.sleep(0)
            assert asyncio.current_task() is me

    for kind in (hasten.Task, asyncio.Task):
        loop.run_until_complete(kind(main(), loop=loop))
    expected = [("s", "S"), ("h", "H")] if factory is not None else [("h", "H")]
    assert out == expected * 6


class Meeting(hasten.EventLoop):
    """Whose repr() another thread looks at: meanwhile a task of the loop's own begins a step."""

    asked: threading.Event
    stepping: threading.Event

    def __repr__(self) -> str:
        if self.is_running() and asyncio._get_running_loop() is not self:
            self.asked.set()
            assert self.stepping.wait(30)
        return "<Meeting>"


def test_a_wrong_thread_does_not_touch_what_the_loop_publishes() -> None:
    loop = Meeting()
    loop.asked, loop.stepping, over = threading.Event(), threading.Event(), threading.Event()
    out: list[Any] = []

    async def nothing() -> None:
        pass

    def in_thread() -> None:
        coro = nothing()
        try:
            hasten.Task(coro, loop=loop, eager_start=True)
        except RuntimeError as exc:
            out.append(str(exc))
        finally:
            coro.close()
            over.set()

    async def main() -> None:
        loop.stepping.set()
        assert over.wait(30)

    def callback() -> None:
        loop.create_task(main())
        loop.call_soon(after)
        thread.start()
        assert loop.asked.wait(30)

    def after() -> None:
        out.append(asyncio.current_task(loop))
        loop.stop()

    thread = threading.Thread(target=in_thread)
    loop.call_soon(callback)
    loop.run_forever()
    thread.join()
    loop.close()
    assert out == ["loop <Meeting> is not the running loop", None]
