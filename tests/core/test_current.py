"""current_task() and all_tasks(): right under both names, for hasten's tasks and asyncio's, whatever the moment."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import hasten
from hasten import compat

from ..worlds import Kit


def current(loop: Any = None) -> Any:
    """The current task, the same by all names."""
    ours, theirs = hasten.current_task(loop), asyncio.current_task(loop)
    assert ours is theirs
    return ours


def listed(loop: Any = None) -> set[Any]:
    ours, theirs = hasten.all_tasks(loop), asyncio.all_tasks(loop)
    assert ours == theirs
    return ours


async def check(out: list[bool], rounds: int = 3) -> None:
    me: Any = None
    for _ in range(rounds):
        now = current()
        me = now if me is None else me
        out.append(now is me and now.get_name() == current(asyncio.get_running_loop()).get_name())
        await asyncio.sleep(0)


def test_outside_there_is_none(kit: Kit) -> None:
    with pytest.raises(RuntimeError):
        asyncio.current_task()
    with pytest.raises(RuntimeError):
        hasten.current_task()
    with pytest.raises(RuntimeError):
        hasten.all_tasks()
    assert current(kit.loop) is None
    assert listed(kit.loop) == set()


def test_inside_a_task(kit: Kit) -> None:
    async def main() -> Any:
        first = current()
        await asyncio.sleep(0)
        assert current() is first
        assert current(kit.loop) is first
        return first

    task = kit.task(main())
    assert kit.loop.run_until_complete(task) is task
    assert current(kit.loop) is None


def test_tasks_in_turns(kit: Kit) -> None:
    out: list[bool] = []

    async def main() -> None:
        await asyncio.gather(*[kit.task(check(out)) for _ in range(10)])

    kit.run(main())
    assert out == [True] * 30


def test_in_callbacks_there_is_none(kit: Kit) -> None:
    out: list[Any] = []

    async def main() -> None:
        kit.loop.call_soon(lambda: out.append(current()))
        kit.loop.call_soon(lambda: out.append(current()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        out.append(current() is not None)
        kit.loop.call_later(0, lambda: out.append(current()))
        fut = kit.future()
        fut.add_done_callback(lambda f: out.append(current()))
        fut.set_result(None)
        for _ in range(10):
            await asyncio.sleep(0)

    kit.run(main())
    assert out[:3] == [None, None, True]
    assert out[3:] == [None, None]


def test_a_callback_between_two_steps_of_the_same_task(kit: Kit) -> None:
    out: list[Any] = []

    async def main() -> Any:
        for _ in range(5):
            kit.loop.call_soon(lambda: out.append(current()))
            await asyncio.sleep(0)
            out.append(current() is task)

    task = kit.task(main())
    kit.loop.run_until_complete(task)
    assert out == [None, True] * 5


class Going:
    def __init__(self, what: Callable[[], Any]) -> None:
        self.what = what

    def __del__(self) -> None:
        self.what()


def test_a_destructor_between_two_tasks_runs_others(loop) -> None:
    """What a finished task leaves behind goes when the next one is made current. That one is current afterwards."""
    out: list[bool] = []

    async def ended(what: Callable[[], Any]) -> Going:
        return Going(what)

    async def eager() -> None:
        out.append(current().get_name() == "eager")

    def start_eagerly() -> None:
        loop.create_task(eager(), eager_start=True, name="eager")

    def tick() -> None:
        loop._run_once()

    def tick_with_work() -> None:
        loop.create_task(check(out, 1))
        loop._run_once()

    for what in (tick, tick_with_work, start_eagerly):
        for first in (hasten.Task, asyncio.Task):
            first(ended(what), loop=loop)
            hasten.Task(check(out), loop=loop, name="next")
            for _ in range(8):
                loop.call_soon(loop.stop)
                loop.run_forever()
            assert current(loop) is None
    assert len(out) >= 18
    assert all(out)


def test_stock_tasks_among_ours(loop) -> None:
    """A stock task refuses to run while another one is current: what ours leave behind must be gone by then."""
    out: list[bool] = []

    async def main() -> None:
        tasks = []
        for i in range(20):
            kind = asyncio.Task if i % 2 else hasten.Task
            tasks.append(kind(check(out, 5), loop=loop))
        await asyncio.gather(*tasks)

    for kind in (hasten.Task, asyncio.Task):
        loop.run_until_complete(kind(main(), loop=loop))
    assert out == [True] * 200


def test_stock_tasks_and_ours_wake_each_other(loop) -> None:
    async def one(fut: Any, answer: Any) -> None:
        me = current()
        for _ in range(10):
            await asyncio.sleep(0)
            assert current() is me
        answer.set_result(None)
        await fut
        assert current() is me

    async def main() -> None:
        tasks = []
        for a, b in [(hasten, asyncio), (asyncio, hasten)]:
            x, y = a.Future(loop=loop), b.Future(loop=loop)
            tasks += [a.Task(one(x, y), loop=loop), b.Task(one(y, x), loop=loop)]
        await asyncio.wait(tasks)
        for task in tasks:
            task.result()

    loop.run_until_complete(main())


def test_after_an_exit_nothing_is_left_current(kit: Kit) -> None:
    async def main() -> None:
        raise KeyboardInterrupt

    task = kit.task(main())
    with pytest.raises(KeyboardInterrupt):
        kit.loop.run_until_complete(task)
    assert current(kit.loop) is None
    task.exception()

    async def again() -> bool:
        return current() is not None

    assert kit.run(again())


def test_a_signal_handlers_exception_leaves_nothing_current(loop) -> None:
    """What breaks out of a callback."""

    async def main() -> None:
        loop.call_soon(exit_now)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def exit_now() -> None:
        assert current() is None
        raise SystemExit(3)

    task = loop.create_task(main())
    with pytest.raises(SystemExit):
        loop.run_until_complete(task)
    assert current(loop) is None
    loop.run_until_complete(task)


def test_loops_in_threads_have_their_own(kit: Kit) -> None:
    seen: list[bool] = []

    async def inner() -> None:
        me = current()
        for _ in range(50):
            await asyncio.sleep(0)
            seen.append(current() is me and listed() == {me})

    def thread() -> None:
        loop = hasten.new_event_loop()
        try:
            loop.run_until_complete(inner())
        finally:
            loop.close()

    async def main() -> None:
        me = current()
        threads = [threading.Thread(target=thread) for _ in range(3)]
        for each in threads:
            each.start()
        for _ in range(200):
            await asyncio.sleep(0)
            assert current() is me
            assert listed() == {me}
        await kit.loop.run_in_executor(None, lambda: [each.join() for each in threads])
        assert current() is me

    kit.run(main())
    assert seen == [True] * 150


def test_another_threads_loop_can_be_asked(kit: Kit) -> None:
    """all_tasks(loop) from a thread that runs nothing."""
    inside, leave = threading.Event(), threading.Event()
    loop = hasten.new_event_loop()

    async def main() -> None:
        inside.set()
        await loop.run_in_executor(None, leave.wait)

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    try:
        assert inside.wait(10)
        assert len(listed(loop)) == 1
    finally:
        leave.set()
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    assert listed(loop) == set()


def test_all_tasks_has_those_that_are_not_done(kit: Kit) -> None:
    async def nothing() -> None:
        pass

    async def main() -> None:
        me = current()
        assert listed() == {me}
        more = [kit.task(nothing()) for _ in range(3)]
        assert listed() == {me, *more}
        await more[0]
        assert more[0] not in listed()
        await asyncio.gather(*more)
        assert listed() == {me}

    kit.run(main())
    assert listed(kit.loop) == set()


def test_all_tasks_has_both_kinds(loop) -> None:
    async def wait(fut: Any) -> None:
        await fut

    fut = loop.create_future()
    tasks = {kind(wait(fut), loop=loop) for kind in (hasten.Task, asyncio.Task)}
    assert listed(loop) == tasks
    fut.set_result(None)
    for task in tasks:
        loop.run_until_complete(task)
    assert listed(loop) == set()


def test_tasks_of_a_loop_that_is_not_ours_are_listed(collect: Callable[[], None]) -> None:
    stock, ours = asyncio.SelectorEventLoop(), hasten.new_event_loop()

    async def nothing() -> None:
        pass

    try:
        task = hasten.Task(nothing(), loop=stock)
        assert listed(stock) == {task}
        assert listed(ours) == set()
        stock.run_until_complete(task)
        assert listed(stock) == set()
    finally:
        stock.close()
        ours.close()


def test_a_nested_run_is_refused_and_changes_nothing(loop) -> None:
    async def main() -> bool:
        me = current()
        other = hasten.new_event_loop()
        try:
            for each in (loop, other):
                with pytest.raises(RuntimeError, match="already running|another loop is running"):
                    each.run_forever()
                with pytest.raises(RuntimeError, match="already running|another loop is running"):
                    each.run_until_complete(other.create_future())
            coro = check([])
            with pytest.raises(RuntimeError, match="cannot be called from a running event loop"):
                hasten.run(coro)
            coro.close()
        finally:
            other.close()
        assert asyncio.get_running_loop() is loop
        assert hasten.get_running_loop() is loop
        return current() is me

    assert loop.run_until_complete(main())


def test_somebody_leaves_the_task_by_hand(loop) -> None:
    """asyncio's private functions are called by libraries that run tasks themselves."""

    async def main() -> str:
        me = current()
        asyncio.tasks._leave_task(loop, me)
        assert current() is None
        await asyncio.sleep(0)
        return "went on"

    assert loop.run_until_complete(main()) == "went on"
    assert current(loop) is None


@pytest.mark.skipif(not compat.compiled(), reason="in plain Python the call itself needs memory")
@pytest.mark.skipif(sys.version_info >= (3, 14), reason="the interpreter has a place for it, which needs no memory")
def test_a_task_that_cannot_be_made_the_current_one_is_stepped_again(loop) -> None:
    """A future of another make calls it back, once: if that comes to nothing, nobody else wakes it."""
    hooks = pytest.importorskip("_testcapi", reason="this Python cannot have memory fail")
    entered: dict[Any, Any] = asyncio.tasks._current_tasks
    others: list[object] = []
    failed = 0

    async def wait_for(future: Any) -> Any:
        return await future

    def call_back(task: Any, future: Any) -> None:
        nonlocal failed
        wakeup = task._wakeup
        assert future.remove_done_callback(wakeup) == 1
        future.set_result("done")
        hooks.set_nomemory(0, 1)  # the next allocation fails
        try:
            wakeup(future)
        except MemoryError:
            failed += 1
        finally:
            hooks.remove_mem_hooks()

    async def main() -> None:
        # Entries come and go in the dict of current tasks, and now and then it needs another table for the next one.
        # How often depends on how many there are, and on how large it was made before.
        for i in range(10_000):
            if failed:
                break
            if len(others) < 10 + i // 10 < 60:
                others.append(object())
                entered[others[-1]] = None
            future: Any = asyncio.Future()
            task = hasten.create_task(wait_for(future))
            await hasten.sleep(0)
            loop.call_soon(call_back, task, future)
            await hasten.sleep(0)
            await hasten.sleep(0)
            assert task.done(), "nobody steps it"
            assert isinstance(task.exception(), MemoryError) or task.result() == "done"

    try:
        loop.run_until_complete(main())
    finally:
        for each in others:
            del entered[each]
    assert failed > 0
