"""TaskGroup."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import weakref

import pytest

import hasten


def spawn(coro):
    return asyncio.get_running_loop().create_task(coro)


class Boom(Exception):
    pass


async def boom(rounds=0):
    for _ in range(rounds):
        await asyncio.sleep(0)
    raise Boom


async def forever():
    await asyncio.get_running_loop().create_future()


def leaves(exc):
    if isinstance(exc, BaseExceptionGroup):
        return [leaf for each in exc.exceptions for leaf in leaves(each)]
    return [type(exc)]


def test_waits_for_all(world):
    async def main():
        done = []

        async def work(i):
            await asyncio.sleep(0)
            done.append(i)
            return i

        async with world.ns.TaskGroup() as group:
            tasks = [group.create_task(work(i), name=f"work-{i}") for i in range(3)]
            assert repr(group) == "<TaskGroup tasks=3 entered>"
        assert done == [0, 1, 2]
        assert [t.result() for t in tasks] == [0, 1, 2]
        assert [t.get_name() for t in tasks] == ["work-0", "work-1", "work-2"]
        assert repr(group) == "<TaskGroup entered>"

    world.run(main())


def test_child_may_start_children(world):
    async def main():
        done = []

        async def work(depth):
            await asyncio.sleep(0)
            if depth:
                group.create_task(work(depth - 1))
            done.append(depth)

        async with world.ns.TaskGroup() as group:
            group.create_task(work(3))
        assert done == [3, 2, 1, 0]

    world.run(main())


def test_error_of_a_child_cancels_the_others_and_the_block(world):
    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            async with world.ns.TaskGroup() as group:
                sibling = group.create_task(forever())
                group.create_task(boom())
                await forever()
        assert caught.value.message == "unhandled errors in a TaskGroup"
        assert leaves(caught.value) == [Boom]
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__
        assert sibling.cancelled()
        me = asyncio.current_task()
        assert me.cancelling() == 0
        await asyncio.sleep(0)

    world.run(main())


def test_error_of_the_block_cancels_the_children(world):
    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            async with world.ns.TaskGroup() as group:
                child = group.create_task(forever())
                await asyncio.sleep(0)
                raise Boom
        assert leaves(caught.value) == [Boom]
        assert child.cancelled()

    world.run(main())


def test_errors_are_collected(world):
    async def main():
        async def fail_when_cancelled():
            try:
                await forever()
            finally:
                raise ZeroDivisionError

        with pytest.raises(ExceptionGroup) as caught:
            async with world.ns.TaskGroup() as group:
                group.create_task(fail_when_cancelled())
                group.create_task(boom(1))
                await asyncio.sleep(0)
                await forever()
        assert sorted(e.__name__ for e in leaves(caught.value)) == ["Boom", "ZeroDivisionError"]

    world.run(main())


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_fatal_error_of_the_block_leaves_it_as_it_is(world, kind):
    async def main():
        with pytest.raises(kind):
            async with world.ns.TaskGroup() as group:
                group.create_task(boom())
                raise kind

    world.run(main())


def test_cancelled_from_outside(world, settle):
    async def main():
        children = []

        async def body():
            async with world.ns.TaskGroup() as group:
                children.append(group.create_task(forever()))

        task = spawn(body())
        await settle()
        task.cancel("outside")
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == ("outside",)
        assert children[0].cancelled()

    world.run(main())


@pytest.mark.stdlib_since(3, 13)
def test_cancelled_from_outside_while_errors_go_first(world, settle):
    async def main():
        release, log = asyncio.Event(), []

        async def slow():
            try:
                await forever()
            finally:
                await release.wait()

        async def body():
            try:
                async with world.ns.TaskGroup() as group:
                    group.create_task(slow())
                    group.create_task(boom())
            except* Boom:
                log.append("errors")
            log.append(asyncio.current_task().cancelling())
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                log.append("cancelled at the next await")
                raise

        task = spawn(body())
        await settle()
        task.cancel()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["errors", 1, "cancelled at the next await"]

    world.run(main())


@pytest.mark.stdlib_since(3, 13)
def test_coroutine_that_is_refused_is_closed(world, settle):
    async def main():
        group = world.ns.TaskGroup()
        refused = forever()
        with pytest.raises(RuntimeError, match="has not been entered"):
            group.create_task(refused)
        assert refused.cr_frame is None
        async with group:
            pass
        with pytest.raises(RuntimeError, match="is finished"):
            group.create_task(forever())
        with pytest.raises(RuntimeError, match="has already been entered"):
            async with group:
                pass

        async def late():
            try:
                await forever()
            finally:
                with pytest.raises(RuntimeError, match="is shutting down"):
                    second.create_task(forever())

        with pytest.raises(ExceptionGroup):
            async with world.ns.TaskGroup() as second:
                second.create_task(late())
                second.create_task(boom(1))

    world.run(main())


@pytest.mark.stdlib_since(3, 13)
def test_nested_groups(world):
    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            async with world.ns.TaskGroup() as outer:
                waiting = outer.create_task(forever())
                async with world.ns.TaskGroup() as inner:
                    inner.create_task(boom())
        assert leaves(caught.value) == [Boom]
        assert waiting.cancelled()
        assert asyncio.current_task().cancelling() == 0

    world.run(main())


# ---- cancel() --------------------------------------------------------------------------------------------------------


@pytest.mark.stdlib_since(3, 15)
def test_cancel_ends_the_block_silently(world):
    async def main():
        steps = []
        async with world.ns.TaskGroup() as group:
            child = group.create_task(forever())
            group.cancel()
            group.cancel()
            steps.append("before the next await")
            await asyncio.sleep(0)
            steps.append("after it")
        assert steps == ["before the next await"]
        assert child.cancelled()
        assert asyncio.current_task().cancelling() == 0
        group.cancel()
        await asyncio.sleep(0)

    world.run(main())


@pytest.mark.stdlib_since(3, 15)
def test_cancel_before_the_block_is_entered(world):
    async def main():
        group = world.ns.TaskGroup()
        group.cancel()
        steps = []
        async with group:
            assert repr(group) == "<TaskGroup cancelling>"
            steps.append(1)
            await asyncio.sleep(0)
            steps.append(2)
        assert steps == [1]

    world.run(main())


@pytest.mark.stdlib_since(3, 15)
def test_cancel_by_a_child_picks_the_first(world, settle):
    async def main():
        outcome = []

        async def racer(i, rounds):
            for _ in range(rounds):
                await asyncio.sleep(0)
            outcome.append(i)
            group.cancel()

        async with world.ns.TaskGroup() as group:
            for i, rounds in enumerate((5, 2, 8)):
                group.create_task(racer(i, rounds))
        assert outcome == [1]

    world.run(main())


@pytest.mark.stdlib_since(3, 15)
@pytest.mark.stock_tasks_since(3, 13)  # before, uncancel() leaves a cancellation pending that has not been raised yet
@pytest.mark.parametrize("cancel_first", [True, False])
def test_cancel_does_not_hide_errors(world, cancel_first):
    async def main():
        with pytest.raises(ExceptionGroup) as caught:
            async with world.ns.TaskGroup() as group:
                if cancel_first:
                    group.cancel()
                    raise Boom
                try:
                    raise Boom
                finally:
                    group.cancel()
        assert leaves(caught.value) == [Boom]

    world.run(main())


@pytest.mark.stdlib_since(3, 15)
def test_cancel_keeps_a_cancellation_from_outside(world, settle):
    async def main():
        release = asyncio.Event()

        async def slow():
            try:
                await forever()
            finally:
                await release.wait()

        async def body():
            async with world.ns.TaskGroup() as group:
                group.create_task(slow())
                await asyncio.sleep(0)
                group.cancel()

        task = spawn(body())
        await settle()
        task.cancel("outside")
        release.set()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == ("outside",)

    world.run(main())


@pytest.mark.stdlib_since(3, 15)
def test_generator_is_closed_inside_a_group(world):
    async def main():
        async def numbers():
            async with world.ns.TaskGroup() as group:
                group.create_task(forever())
                yield 1

        generator = numbers()
        assert await anext(generator) == 1
        await generator.aclose()

    world.run(main())


@pytest.mark.stdlib_since(3, 14)
def test_eager_child_that_fails_at_once_cancels_at_the_next_await(world):
    async def main():
        loop = asyncio.get_running_loop()
        steps = []
        kind = world.ns.Task if world.kind != "hasten-on-stock-loop" else hasten.Task
        loop.set_task_factory(hasten.create_eager_task_factory(kind))
        with pytest.raises(ExceptionGroup):
            async with world.ns.TaskGroup() as group:
                group.create_task(boom())
                steps.append("the block goes on")
                await asyncio.sleep(0)
                await forever()
        assert steps == ["the block goes on"]
        await asyncio.sleep(0)

    world.run(main())


# ---- references ------------------------------------------------------------------------------------------------------


@pytest.mark.stdlib_since(3, 14)
@pytest.mark.parametrize("where", ["block", "child"])
def test_a_failed_group_is_freed_without_the_collector(world, where):
    async def main():
        async def fail():
            async with world.ns.TaskGroup() as group:
                if where == "block":
                    raise Boom
                group.create_task(boom())

        exc = None
        try:
            await fail()
        except* Boom as caught:
            exc = weakref.ref(caught.exceptions[0])
        await asyncio.sleep(0)
        return exc

    gc.collect()
    gc.disable()
    try:
        assert world.run(main())() is None
    finally:
        gc.enable()


@pytest.mark.ours("asyncio's callback fails with AttributeError there")
def test_child_that_fails_after_the_parent_was_closed_is_reported(world, settle):
    async def main():
        reports, release = [], asyncio.Event()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))

        async def late():
            await release.wait()
            raise Boom

        async def body():
            async with world.ns.TaskGroup() as group:
                group.create_task(late())

        async def host():
            running = body()
            waited_for = running.send(None)
            await asyncio.sleep(0)
            with pytest.raises(GeneratorExit):
                running.throw(GeneratorExit)
            assert waited_for.done() is False

        await spawn(host())
        await settle()
        release.set()
        await settle()
        assert [type(r["exception"]) for r in reports] == [Boom]
        assert "has errored out but its parent task" in reports[0]["message"]

    world.run(main())


# ---- as a class ------------------------------------------------------------------------------------------------------


def test_subclass(world):
    async def main():
        class Counting(world.ns.TaskGroup):
            def __init__(self):
                super().__init__()
                self.made = 0

            def create_task(self, coro, **kwargs):
                self.made += 1
                return super().create_task(coro, **kwargs)

            async def __aenter__(self):
                return await super().__aenter__()

            async def __aexit__(self, *exc_info):
                return await super().__aexit__(*exc_info)

            def _on_task_done(self, task):
                told.append(task)
                super()._on_task_done(task)

        told = []
        async with Counting() as group:
            tasks = [group.create_task(asyncio.sleep(0, i), name=f"task {i}") for i in range(3)]
        assert (group.made, told) == (3, tasks)
        assert [task.get_name() for task in tasks] == ["task 0", "task 1", "task 2"]
        with pytest.raises(ExceptionGroup):
            async with Counting() as group:
                group.create_task(boom())
                await forever()

    world.run(main())


def test_tasks_of_the_stock_kind(world):
    async def main():
        loop = asyncio.get_running_loop()
        loop.set_task_factory(lambda loop, coro, **kwargs: asyncio.Task(coro, loop=loop, **kwargs))
        done = []

        async def work(i):
            await asyncio.sleep(0)
            done.append(i)

        async with world.ns.TaskGroup() as group:
            tasks = [group.create_task(work(i)) for i in range(3)]
        assert done == [0, 1, 2]
        assert all(type(task) is asyncio.Task for task in tasks)
        with pytest.raises(ExceptionGroup):
            async with world.ns.TaskGroup() as group:
                sibling = group.create_task(forever())
                group.create_task(boom(1))
                await forever()
        assert sibling.cancelled()

    world.run(main())


def test_context_of_a_task(world):
    var = contextvars.ContextVar("var", default="none")

    async def look():
        return var.get()

    async def main():
        context = contextvars.copy_context()
        context.run(var.set, "given")
        async with world.ns.TaskGroup() as group:
            tasks = [group.create_task(look()), group.create_task(look(), context=context)]
        assert [task.result() for task in tasks] == ["none", "given"]

    world.run(main())


def test_done_tasks_are_let_go_of_while_the_group_lives(world, settle):
    async def main():
        class Result:
            pass

        async def work():
            return Result()

        async with world.ns.TaskGroup() as group:
            stays = group.create_task(forever())
            results = []
            for _ in range(100):
                results.append(weakref.ref(await group.create_task(work())))
                await settle(2)
            assert [ref for ref in results[:-1] if ref() is not None] == []
            assert group._tasks == {stays}
            stays.cancel()

    world.run(main())


def test_out_of_order(world):
    async def main():
        async def work(rounds):
            for _ in range(rounds):
                await asyncio.sleep(0)

        async with world.ns.TaskGroup() as group:
            for i in range(50):
                group.create_task(work(i * 7 % 50))

    world.run(main())


def test_what_is_not_a_coroutine(world):
    async def main():
        async with world.ns.TaskGroup() as group:
            with pytest.raises(TypeError):
                group.create_task(5)
            with pytest.raises(TypeError):
                group.create_task(asyncio.get_running_loop().create_future())

    world.run(main())


def test_a_group_that_was_left_is_freed_without_the_collector(world):
    async def main():
        async with world.ns.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        ref = weakref.ref(group)
        del group
        await asyncio.sleep(0)
        return ref

    gc.collect()
    gc.disable()
    try:
        assert world.run(main())() is None
    finally:
        gc.enable()


@pytest.mark.ours("asyncio keeps them in a set")
def test_children_are_cancelled_in_the_order_they_were_made(world):
    order = []

    class Noted(asyncio.Future):
        def __init__(self, i):
            super().__init__()
            self.i = i

        def cancel(self, msg=None):
            order.append(self.i)
            return super().cancel(msg)

    async def wait_for_it(fut):
        await fut

    async def main():
        futures = [Noted(i) for i in range(20)]
        async with world.ns.TaskGroup() as group:
            for fut in futures:
                group.create_task(wait_for_it(fut))
            await asyncio.sleep(0)
            futures[7].set_result(None)  # not the oldest one: from now on they are kept otherwise
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            more = Noted(20)
            group.create_task(wait_for_it(more))
            await asyncio.sleep(0)
            group.cancel()

    world.run(main())
    assert order == [i for i in range(21) if i != 7]
