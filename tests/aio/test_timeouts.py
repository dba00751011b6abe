"""timeout, timeout_at, Timeout."""

from __future__ import annotations

import asyncio

import pytest


def spawn(coro):
    return asyncio.get_running_loop().create_task(coro)


async def forever():
    await asyncio.get_running_loop().create_future()


@pytest.mark.parametrize("delay", [0, -1, 0.001])
def test_expires(world, delay):
    async def main():
        with pytest.raises(TimeoutError) as caught:
            async with world.ns.timeout(delay) as cm:
                assert isinstance(cm, world.ns.Timeout)
                await forever()
        assert isinstance(caught.value.__cause__, asyncio.CancelledError)
        assert cm.expired()
        assert repr(cm) == "<Timeout [expired]>"
        assert asyncio.current_task().cancelling() == 0
        await asyncio.sleep(0)

    world.run(main())


def test_in_time(world):
    async def main():
        loop = asyncio.get_running_loop()
        when = loop.time() + 1000
        async with world.ns.timeout_at(when) as cm:
            assert cm.when() == when
            assert repr(cm) == f"<Timeout [active] when={round(when, 3)}>"
        assert not cm.expired()
        assert repr(cm) == "<Timeout [finished]>"

    world.run(main())


@pytest.mark.parametrize("name", ["timeout", "timeout_at"])
def test_none_is_never(world, name):
    async def main():
        async with getattr(world.ns, name)(None) as cm:
            await asyncio.sleep(0.001)
            assert cm.when() is None
            assert repr(cm) == "<Timeout [active] when=None>"

    world.run(main())


def test_deadline_in_the_past_cancels_at_the_first_await(world):
    async def main():
        steps = []
        with pytest.raises(TimeoutError):
            async with world.ns.timeout_at(0):
                steps.append(1)
                await asyncio.sleep(0)
                steps.append(2)
                await asyncio.sleep(0)
        assert steps[0] == 1

    world.run(main())


def test_reschedule(world):
    async def main():
        loop = asyncio.get_running_loop()
        async with world.ns.timeout(0.001) as cm:
            cm.reschedule(None)
            await asyncio.sleep(0.01)
            later = loop.time() + 1000
            cm.reschedule(later)
            assert cm.when() == later
        with pytest.raises(TimeoutError):
            async with world.ns.timeout(None) as cm:
                cm.reschedule(loop.time())
                await forever()

    world.run(main())


def test_misuse(world):
    async def main():
        cm = world.ns.timeout(1000)
        assert repr(cm) == "<Timeout [created]>"
        with pytest.raises(RuntimeError, match="has not been entered"):
            cm.reschedule(None)
        async with cm:
            with pytest.raises(RuntimeError, match="already been entered"):
                await cm.__aenter__()
        with pytest.raises(RuntimeError, match="Cannot change state of finished Timeout"):
            cm.reschedule(None)
        with pytest.raises(TypeError):
            world.ns.timeout("soon")

    world.run(main())
    with pytest.raises(RuntimeError, match="no running event loop"):
        world.ns.timeout(1)
    with pytest.raises((RuntimeError, AttributeError)):
        world.ns.Timeout(None).__aenter__().send(None)


def test_outside_a_task(world):
    async def main():
        loop = asyncio.get_running_loop()
        failed = loop.create_future()

        def callback():
            entering = world.ns.timeout(1).__aenter__()
            try:
                entering.send(None)
            except RuntimeError as exc:
                failed.set_result(str(exc))

        loop.call_soon(callback)
        assert await failed == "Timeout should be used inside a task"

    world.run(main())


def test_cancelled_from_outside_stays_cancelled(world, settle):
    async def main():
        async def body():
            async with world.ns.timeout(1000):
                await forever()

        task = spawn(body())
        await settle()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    world.run(main())


def test_expired_and_cancelled_from_outside_is_cancelled(world):
    async def main():
        async def body():
            async with world.ns.timeout(1000) as cm:
                task.cancel()
                cm.reschedule(0)
                await forever()

        task = spawn(body())
        with pytest.raises(asyncio.CancelledError):
            await task

    world.run(main())


def test_expires_in_a_task_that_is_being_cancelled_already(world):
    async def main():
        async def body():
            try:
                await forever()
            except asyncio.CancelledError:
                with pytest.raises(TimeoutError):
                    async with world.ns.timeout(0):
                        await forever()
                raise

        task = spawn(body())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    world.run(main())


@pytest.mark.parametrize("inner_first", [True, False])
def test_nested(world, inner_first):
    async def main():
        if inner_first:
            async with world.ns.timeout(1000) as outer:
                with pytest.raises(TimeoutError):
                    async with world.ns.timeout(0):
                        await forever()
            assert not outer.expired()
        else:
            with pytest.raises(TimeoutError):
                async with world.ns.timeout(0), world.ns.timeout(1000) as inner:
                    await forever()
            assert not inner.expired()

    world.run(main())


@pytest.mark.stdlib_since(3, 13)
def test_exception_raised_on_expiry_tells_of_the_timeout(world):
    async def main():
        with pytest.raises(ZeroDivisionError) as caught:
            async with world.ns.timeout(0):
                try:
                    await forever()
                finally:
                    1 / 0  # noqa: B018
        late = caught.value.__context__
        assert isinstance(late, TimeoutError)
        assert isinstance(late.__cause__, asyncio.CancelledError)

    world.run(main())


@pytest.mark.stock_tasks_since(3, 13)  # before, uncancel() leaves a cancellation pending that has not been raised yet
def test_group_of_exceptions_raised_on_expiry(world):
    async def main():
        async def fail_when_cancelled():
            try:
                await forever()
            finally:
                1 / 0  # noqa: B018

        with pytest.raises(ExceptionGroup) as caught:
            async with world.ns.timeout(0.01), world.ns.TaskGroup() as group:
                group.create_task(fail_when_cancelled())
                await forever()
        assert [type(e) for e in caught.value.exceptions] == [ZeroDivisionError]

    world.run(main())


def test_block_that_swallows_the_cancellation_has_expired_all_the_same(world):
    async def main():
        async with world.ns.timeout(0) as cm:
            try:
                await forever()
            except asyncio.CancelledError:
                pass
        assert cm.expired()
        assert asyncio.current_task().cancelling() == 0

    world.run(main())
