"""timeout, timeout_at, Timeout."""

from __future__ import annotations

import asyncio
import math
import weakref

import pytest

import hasten


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


# ---- as a class ------------------------------------------------------------------------------------------------------


def test_subclass(world):
    async def main():
        class Named(world.ns.Timeout):
            def __init__(self, when, name):
                super().__init__(when)
                self.name = name

            async def __aenter__(self):
                log.append(f"enter {self.name}")
                return await super().__aenter__()

            async def __aexit__(self, *exc_info):
                log.append("exit")
                return await super().__aexit__(*exc_info)

        log = []
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with Named(loop.time() + 0.001, "one") as cm:
                assert cm.name == "one"
                await forever()
        async with Named(None, "two"):
            pass
        assert log == ["enter one", "exit", "enter two", "exit"]
        cm.more = 1
        assert weakref.ref(cm)() is cm

    world.run(main())


def test_entering_waits_for_the_await(world):
    async def main():
        cm = world.ns.timeout(10)
        entering = cm.__aenter__()
        assert repr(cm) == "<Timeout [created]>"
        assert await entering is cm
        assert await cm.__aexit__(None, None, None) is None
        assert repr(cm) == "<Timeout [finished]>"

    world.run(main())


def test_when_is_as_given(world):
    async def main():
        for when in (10**9, 1e9, math.inf):
            async with world.ns.timeout_at(when) as cm:
                assert cm.when() is when
        async with world.ns.timeout(3) as cm:
            assert isinstance(cm.when(), float)

    world.run(main())


def test_timers_go_with_the_block(loop):
    async def main():
        async with hasten.timeout(1000) as outer:
            async with hasten.timeout(10):
                pass
            outer.reschedule(loop.time() + 2000)
            outer.reschedule(loop.time() + 500)
            with pytest.raises(ZeroDivisionError):
                async with hasten.timeout(5000):
                    1 / 0  # noqa: B018
        assert [handle for _, handle in loop._timers.items() if not handle.cancelled()] == []

    loop.run_until_complete(main())


def test_many_at_a_time_in_the_order_of_their_deadlines(world):
    async def main():
        order = []
        now = asyncio.get_running_loop().time() + 0.05

        async def one(i):
            try:
                # not closer: uvloop counts each timer's milliseconds from the moment when it is set
                async with world.ns.timeout_at(now + i / 200):
                    await forever()
            except TimeoutError:
                order.append(i)

        await asyncio.gather(*[one(i * 37 % 50) for i in range(50)])
        assert order == list(range(50))

    world.run(main())


def test_debug_mode(world):
    async def main():
        asyncio.get_running_loop().set_debug(True)
        with pytest.raises(TimeoutError):
            async with world.ns.timeout(0.001):
                await forever()
        assert await world.ns.wait_for(asyncio.sleep(0, "there"), 10) == "there"

    world.run(main())


def test_stock_task_on_any_loop(world):
    async def main():
        async def body():
            with pytest.raises(TimeoutError):
                async with world.ns.timeout(0.001):
                    await forever()
            assert asyncio.current_task().cancelling() == 0
            with pytest.raises(TimeoutError):
                await world.ns.wait_for(forever(), 0.001)
            return "over"

        assert await asyncio.Task(body(), loop=asyncio.get_running_loop()) == "over"

    world.run(main())


def test_cancel_that_fails_is_reported(loop):
    """The task waits for a future that refuses to be cancelled with an exception of its own."""
    reports = []

    class Stubborn(asyncio.Future):
        def cancel(self, msg=None):
            raise ZeroDivisionError

    async def main():
        loop.set_exception_handler(lambda loop, context: reports.append(context))
        fut = Stubborn(loop=loop)
        loop.call_later(0.01, fut.set_result, "there")
        async with hasten.timeout(0.001):
            assert await fut == "there"

    loop.run_until_complete(main())
    assert [type(each["exception"]) for each in reports] == [ZeroDivisionError]
    assert "_on_timeout" in reports[0]["message"]


def test_exception_of_a_group_s_block_keeps_its_context(world):
    async def main():
        try:
            raise KeyError
        except KeyError:
            with pytest.raises(ExceptionGroup) as caught:
                async with world.ns.TaskGroup():
                    raise ZeroDivisionError
        assert isinstance(caught.value.__context__, ZeroDivisionError)

    world.run(main())


@pytest.mark.parametrize("given", [5, "text", [], object()])
def test_what_is_no_exception_leaves_an_expired_block(given) -> None:
    """`__aexit__()` takes what it is given, as asyncio's does."""

    async def main() -> None:
        limit = hasten.timeout(0)
        await limit.__aenter__()
        try:
            await hasten.sleep(1)
        except asyncio.CancelledError:
            assert await limit.__aexit__(None, given, None) is None
        assert limit.expired()

    hasten.run(main())


def test_a_timeout_that_ends_early_takes_its_timer_along():
    """At once where it was set last; any other goes with the rest, once most of them are cancelled."""

    async def main():
        timers = asyncio.get_running_loop()._timers
        async with hasten.timeout(1000):
            assert len(timers.items()) == 1
        assert timers.items() == []
        async with hasten.timeout(1000), hasten.timeout(2000):
            pass
        assert timers.items() == []
        first = hasten.timeout(1000)
        await first.__aenter__()
        async with hasten.timeout(2000):
            await first.__aexit__(None, None, None)
            assert len(timers.items()) == 2
        assert [handle.cancelled() for _, handle in timers.items()] == [True]
        most = 0
        for _ in range(1000):
            early = hasten.timeout(1000)
            await early.__aenter__()
            async with hasten.timeout(2000):
                await early.__aexit__(None, None, None)
                most = max(most, len(timers.items()))
        assert most < 100

    hasten.run(main())
