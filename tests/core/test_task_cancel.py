"""Cancelling tasks, in every moment of their lives."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest

import hasten
from hasten import compat

from ..worlds import Kit


class MyError(Exception):
    pass


async def wait_for_it(fut: Any) -> Any:
    return await fut


def ends_cancelled(kit: Kit, task: Any) -> asyncio.CancelledError:
    with pytest.raises(asyncio.CancelledError) as caught:
        kit.loop.run_until_complete(task)
    assert task.cancelled()
    assert task.done()
    return caught.value


def test_before_it_has_started(kit: Kit) -> None:
    out: list[str] = []

    async def main() -> None:
        out.append("started")

    task = kit.task(main())
    assert task.cancel()
    assert not task.cancelled()
    ends_cancelled(kit, task)
    assert out == []


def test_while_it_waits(kit: Kit) -> None:
    fut = kit.future()
    task = kit.task(wait_for_it(fut))
    kit.tick()
    assert task._fut_waiter is fut
    assert task.cancel("why")
    assert fut.cancelled()
    assert not task.done()
    assert ends_cancelled(kit, task).args == ("why",)
    assert task._fut_waiter is None


def test_when_it_is_done(kit: Kit) -> None:
    async def main() -> int:
        return 5

    task = kit.task(main())
    kit.loop.run_until_complete(task)
    assert not task.cancel()
    assert not task.cancelled()
    assert task.cancelling() == 0
    assert task.result() == 5


def test_the_future_is_done_but_the_task_has_not_woken(kit: Kit) -> None:
    fut = kit.future()
    task = kit.task(wait_for_it(fut))
    kit.tick()
    fut.set_result(5)
    assert task.cancel()
    ends_cancelled(kit, task)


def test_the_future_failed_but_the_task_has_not_woken(kit: Kit) -> None:
    """The cancellation wins; the error counts as seen."""
    fut = kit.future()
    task = kit.task(wait_for_it(fut))
    kit.tick()
    fut.set_exception(MyError())
    assert task.cancel()
    ends_cancelled(kit, task)


def test_by_itself_while_it_runs(kit: Kit) -> None:
    out: list[str] = []

    async def main() -> None:
        asyncio.current_task().cancel("me")
        out.append("goes on until it waits")
        await asyncio.sleep(0)
        out.append("never")

    assert ends_cancelled(kit, kit.task(main())).args == ("me",)
    assert out == ["goes on until it waits"]


def test_by_itself_right_before_it_returns(kit: Kit) -> None:
    async def main() -> int:
        asyncio.current_task().cancel("late")
        return 5

    ends_cancelled(kit, kit.task(main()))


def test_by_itself_right_before_it_raises(kit: Kit) -> None:
    async def main() -> None:
        asyncio.current_task().cancel()
        raise MyError

    with pytest.raises(MyError):
        kit.run(main())


def test_by_itself_before_it_waits_for_a_future(kit: Kit) -> None:
    """The future is cancelled as soon as the task waits for it."""
    fut = kit.future()

    async def main() -> None:
        asyncio.current_task().cancel("x")
        await fut

    assert ends_cancelled(kit, kit.task(main())).args == ("x",)
    assert fut.cancelled()


def test_by_itself_before_it_waits_for_a_task_that_refuses(kit: Kit) -> None:
    out: list[str] = []
    gate = kit.future()

    async def stubborn() -> str:
        try:
            await gate
        except asyncio.CancelledError:
            out.append("refused")
        return "stayed"

    async def main(inner: Any) -> str:
        asyncio.current_task().cancel()
        got = await inner
        out.append(got)
        return "main"

    inner = kit.task(stubborn())
    kit.tick()
    assert kit.run(main(inner)) == "main"
    assert out == ["refused", "stayed"]


def test_one_that_catches_it(kit: Kit) -> None:
    async def main() -> str:
        try:
            await kit.future()
        except asyncio.CancelledError:
            return "caught"
        return "?"

    task = kit.task(main())
    kit.tick()
    assert task.cancel()
    assert kit.loop.run_until_complete(task) == "caught"
    assert not task.cancelled()


def test_one_that_turns_it_into_another_error(kit: Kit) -> None:
    async def main() -> None:
        try:
            await kit.future()
        except asyncio.CancelledError:
            raise MyError from None

    task = kit.task(main())
    kit.tick()
    task.cancel()
    with pytest.raises(MyError):
        kit.loop.run_until_complete(task)


def test_one_that_raises_it_by_itself(kit: Kit) -> None:
    async def main() -> None:
        raise asyncio.CancelledError("mine", 2)

    task = kit.task(main())
    assert ends_cancelled(kit, task).args == ("mine", 2)


def test_one_that_waits_again_after_it(kit: Kit) -> None:
    first, second = kit.future(), kit.future()

    async def main() -> Any:
        try:
            await first
        except asyncio.CancelledError:
            return await second

    task = kit.task(main())
    kit.tick()
    task.cancel()
    kit.tick()
    assert task._fut_waiter is second
    second.set_result("second")
    assert kit.loop.run_until_complete(task) == "second"


def test_again_while_it_cleans_up(kit: Kit) -> None:
    first, second = kit.future(), kit.future()
    messages: list[Any] = []

    async def main() -> None:
        try:
            await first
        except asyncio.CancelledError as exc:
            messages.append(exc.args)
            await second

    task = kit.task(main())
    kit.tick()
    task.cancel("one")
    kit.tick()
    task.cancel("two")
    assert ends_cancelled(kit, task).args == ("two",)
    assert messages == [("one",)]
    assert task.cancelling() == 2


def test_twice_before_it_wakes(kit: Kit) -> None:
    task = kit.task(wait_for_it(kit.future()))
    kit.tick()
    assert task.cancel("one")
    assert task.cancel("two")
    assert task.cancelling() == 2
    assert ends_cancelled(kit, task).args in (("one",), ("two",))


def test_through_a_chain_of_tasks(kit: Kit) -> None:
    fut = kit.future()
    tasks = [kit.task(wait_for_it(fut))]
    for _ in range(50):
        tasks.append(kit.task(wait_for_it(tasks[-1])))
    for _ in range(3):
        kit.tick()
    assert tasks[-1].cancel("deep")
    assert fut.cancelled()
    assert ends_cancelled(kit, tasks[-1]).args == ("deep",)
    assert all(task.cancelled() for task in tasks)


# Uncompiled, each step goes through the traceback, to which each task of the chain adds its frame.
LENGTHS = (100, 20_000, 300_000) if compat.compiled() else (100, 2_000, 4_000)


@pytest.mark.slow  # deeper than any stack
@pytest.mark.parametrize("length", LENGTHS)
def test_a_very_long_chain(loop, length: int) -> None:
    """asyncio raises RecursionError, from a few hundred tasks on or some ten thousand, as the Python is."""
    fut = loop.create_future()
    tasks = [loop.create_task(wait_for_it(fut))]
    for _ in range(length):
        tasks.append(loop.create_task(wait_for_it(tasks[-1])))
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert tasks[-1].cancel("all")
    assert fut.cancelled()
    assert all(task.cancelling() == 1 for task in tasks)
    loop.run_until_complete(asyncio.wait([tasks[-1]]))
    assert all(task.cancelled() for task in tasks)


@pytest.mark.slow  # deeper than any stack
def test_a_very_long_chain_in_a_thread_with_little_stack() -> None:
    gc.collect()  # what other tests left is not this thread's to clear away
    before = threading.stack_size(256 * 1024)
    done: list[bool] = []

    def work() -> None:
        loop = hasten.new_event_loop()
        fut = loop.create_future()
        tasks = [loop.create_task(wait_for_it(fut))]
        for _ in range(LENGTHS[1]):
            tasks.append(loop.create_task(wait_for_it(tasks[-1])))
        loop.call_soon(loop.stop)
        loop.run_forever()
        tasks[-1].cancel()
        loop.run_until_complete(asyncio.wait([tasks[-1]]))
        done.extend(task.cancelled() for task in tasks)
        loop.close()

    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert len(done) == LENGTHS[1] + 1
    assert all(done)


def test_a_chain_that_ends_in_the_running_task(kit: Kit) -> None:
    """The last one that waits is told: it gets the CancelledError at its next step."""
    tasks: list[Any] = []

    async def last() -> str:
        await asyncio.sleep(0)
        assert tasks[2].cancel("from within")
        return "not waiting, so not reached"

    tasks.append(kit.task(last()))
    tasks.append(kit.task(wait_for_it(tasks[0])))
    tasks.append(kit.task(wait_for_it(tasks[1])))
    for _ in range(8):
        kit.tick()
    assert [task.cancelling() for task in tasks] == [1, 1, 1]
    assert all(task.cancelled() for task in tasks)


@pytest.mark.parametrize("through", ["task", "gather", "shield"])
def test_tasks_that_wait_for_each_other(loop, through: str) -> None:
    gc.collect()  # finalizers of what other tests left do not run where there is no room for another call
    tasks: list[Any] = []
    ways: dict[str, Any] = {"task": lambda task: task, "gather": asyncio.gather, "shield": asyncio.shield}
    if through == "gather":
        ways["gather"] = hasten.gather

    async def wait(other: int) -> None:
        await asyncio.sleep(0)
        await ways[through](tasks[other])

    tasks += [loop.create_task(wait(1)), loop.create_task(wait(0))]
    for _ in range(3):
        loop.call_soon(loop.stop)
        loop.run_forever()
    if through == "shield":
        assert tasks[0].cancel()
    else:
        with pytest.raises(RecursionError):
            tasks[0].cancel()
        # nobody but the program's author can end this knot; here they are let go with their coroutines
        for task in tasks:
            task._fut_waiter.remove_done_callback(task._wakeup)
            task._wakeup(None)
    loop.run_until_complete(asyncio.wait(tasks))


def test_cancelling_and_uncancel(kit: Kit) -> None:
    out: list[int] = []

    async def main() -> str:
        me = asyncio.current_task()
        out.append(me.cancelling())
        try:
            await kit.future()
        except asyncio.CancelledError:
            out.append(me.cancelling())
            out.append(me.uncancel())
            out.append(me.uncancel())
            out.append(me.cancelling())
        return "went on"

    task = kit.task(main())
    kit.tick()
    task.cancel()
    task.cancel()
    assert kit.loop.run_until_complete(task) == "went on"
    assert out == [0, 2, 1, 0, 0]
    assert task.uncancel() == 0


@pytest.mark.stdlib_since(3, 13)
def test_uncancel_takes_back_what_was_not_delivered_yet(kit: Kit) -> None:
    async def main() -> str:
        me = asyncio.current_task()
        me.cancel()
        assert me.uncancel() == 0
        await asyncio.sleep(0)
        return "not cancelled"

    assert kit.run(main()) == "not cancelled"


def test_the_very_exception_that_ended_it_is_raised(kit: Kit) -> None:
    """Once: from then on it is a new one, or its traceback would grow."""
    seen: list[BaseException] = []

    async def main() -> None:
        try:
            await kit.future()
        except asyncio.CancelledError as exc:
            seen.append(exc)
            raise

    task = kit.task(main())
    kit.tick()
    task.cancel("x")
    error = ends_cancelled(kit, task)
    assert error is seen[0]
    with pytest.raises(asyncio.CancelledError) as caught:
        task.result()
    assert caught.value is not error


def test_only_the_first_to_ask_is_told_the_message(kit: Kit) -> None:
    task = kit.task(wait_for_it(kit.future()))
    task.cancel("x")
    assert ends_cancelled(kit, task).args == ("x",)
    for _ in range(2):
        with pytest.raises(asyncio.CancelledError) as caught:
            task.result()
        assert caught.value.args == ()


def test_waiting_for_a_cancelled_task(kit: Kit) -> None:
    task = kit.task(wait_for_it(kit.future()))
    kit.tick()
    task.cancel("inner")

    async def main() -> Any:
        try:
            await task
        except asyncio.CancelledError as exc:
            return exc.args, asyncio.current_task().cancelling()

    assert kit.run(main()) == (("inner",), 0)


def test_what_it_shows_of_itself(kit: Kit) -> None:
    """anyio and others read these."""
    task = kit.task(wait_for_it(kit.future()))
    assert task._must_cancel is False
    task.cancel()
    assert task._must_cancel is True
    assert task._fut_waiter is None
    ends_cancelled(kit, task)
    assert task._must_cancel is False


def test_cancelling_from_a_callback_of_what_it_waits_for(kit: Kit) -> None:
    fut = kit.future()
    task = kit.task(wait_for_it(fut))
    kit.tick()
    fut.add_done_callback(lambda f: task.cancel())
    fut.set_result("first")
    # the task was there before the callback: it has its result by then
    assert kit.loop.run_until_complete(task) == "first"


def test_a_callback_that_came_before_the_task_cancels_it(kit: Kit) -> None:
    fut = kit.future()
    fut.add_done_callback(lambda f: task.cancel())
    task = kit.task(wait_for_it(fut))
    kit.tick()
    fut.set_result("never seen")
    ends_cancelled(kit, task)


def test_thrown_into_a_generator_that_yields_none(kit: Kit) -> None:
    async def main() -> int:
        count = 0
        while True:
            try:
                await asyncio.sleep(0)
                count += 1
            except asyncio.CancelledError:
                return count

    task = kit.task(main())
    for _ in range(5):
        kit.tick()
    task.cancel()
    assert kit.loop.run_until_complete(task) in (4, 5)
