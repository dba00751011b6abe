"""to_thread."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import inspect
import threading

import pytest

import hasten
from hasten.primitives.threads import to_thread


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


# ---- run_coroutine_threadsafe ----------------------------------------------------------------------------------------


async def in_thread(function):
    """Calls it in another thread, while the loop runs."""
    return await asyncio.get_running_loop().run_in_executor(None, function)


def test_coroutine_from_another_thread(world):
    async def main():
        loop = asyncio.get_running_loop()

        async def where():
            await asyncio.sleep(0)
            return threading.get_ident()

        def ask():
            return world.ns.run_coroutine_threadsafe(where(), loop).result(10)

        assert await in_thread(ask) == threading.get_ident()

    world.run(main())


@pytest.mark.parametrize("kind", [ZeroDivisionError, TimeoutError, concurrent.futures.InvalidStateError])
def test_coroutine_that_fails(world, kind):
    async def main():
        loop = asyncio.get_running_loop()

        async def fail():
            raise kind("why")

        def ask():
            return world.ns.run_coroutine_threadsafe(fail(), loop).exception(10)

        exc = await in_thread(ask)
        expected = asyncio.InvalidStateError if kind is concurrent.futures.InvalidStateError else kind
        assert type(exc) is expected
        assert exc.args == ("why",)

    world.run(main())


def test_cancelling_goes_both_ways(world):
    async def main():
        loop = asyncio.get_running_loop()
        started, cancelled = asyncio.Event(), asyncio.Event()

        async def work():
            started.set()
            try:
                await loop.create_future()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        future = world.ns.run_coroutine_threadsafe(work(), loop)
        await started.wait()
        await in_thread(future.cancel)
        await cancelled.wait()
        assert future.cancelled()

        async def give_up():
            raise asyncio.CancelledError

        future = world.ns.run_coroutine_threadsafe(give_up(), loop)
        await in_thread(lambda: concurrent.futures.wait([future], 10))
        assert future.cancelled()

    world.run(main())


def test_task_factory_that_fails(world):
    async def main():
        loop = asyncio.get_running_loop()
        reports = []
        loop.set_exception_handler(lambda loop, context: reports.append(type(context["exception"])))

        def factory(loop, coro, **kwargs):
            coro.close()
            raise ZeroDivisionError

        async def work():
            pass

        loop.set_task_factory(factory)
        future = world.ns.run_coroutine_threadsafe(work(), loop)
        await in_thread(lambda: concurrent.futures.wait([future], 10))
        loop.set_task_factory(None)
        assert type(future.exception(0)) is ZeroDivisionError
        assert reports == [ZeroDivisionError]

    world.run(main())


def test_only_coroutines(world):
    async def main():
        with pytest.raises(TypeError, match="A coroutine object is required"):
            world.ns.run_coroutine_threadsafe(5, asyncio.get_running_loop())

    world.run(main())


# ---- wrap_future -----------------------------------------------------------------------------------------------------


def test_wrapped_future(world):
    async def main():
        loop = asyncio.get_running_loop()
        outcomes = {
            "result": lambda f: f.set_result("there"),
            "error": lambda f: f.set_exception(ZeroDivisionError()),
            "cancelled": lambda f: f.cancel(),
            "translated": lambda f: f.set_exception(concurrent.futures.CancelledError("why")),
        }
        for here in (True, False):
            for name, end in outcomes.items():
                source = concurrent.futures.Future()
                wrapped = world.ns.wrap_future(source, loop=loop)
                assert world.ns.wrap_future(wrapped) is wrapped
                if here:
                    end(source)
                else:
                    await in_thread(lambda: end(source))
                if name == "result":
                    assert await wrapped == "there"
                else:
                    expected = ZeroDivisionError if name == "error" else asyncio.CancelledError
                    with pytest.raises(expected):
                        await wrapped

    world.run(main())


def test_cancelling_the_wrapper_cancels_the_wrapped(world):
    async def main():
        source = concurrent.futures.Future()
        wrapped = world.ns.wrap_future(source)
        wrapped.cancel()
        await asyncio.sleep(0)
        assert source.cancelled()

    world.run(main())


def test_wrapped_future_ends_after_its_loop(world):
    source = concurrent.futures.Future()

    async def main():
        world.ns.wrap_future(source)

    world.run(main())
    source.set_result(None)  # nobody is there any more


@pytest.mark.parametrize("wrong", [5, None])
def test_wrapping_something_else(world, wrong):
    async def main():
        with pytest.raises((TypeError, AssertionError), match=r"concurrent\.futures\.Future is expected"):
            world.ns.wrap_future(wrong)

    world.run(main())


# ---- what something is -----------------------------------------------------------------------------------------------


@pytest.mark.stdlib_since(3, 12)  # generators were coroutines before
def test_kinds(world):
    async def main():
        loop = asyncio.get_running_loop()
        coro, native = asyncio.sleep(0), hasten.sleep(0)
        task = loop.create_task(asyncio.sleep(0))
        futures = [loop.create_future(), asyncio.Future(), hasten.Future(), task]
        coroutines = [coro, native, hasten.wait([task]), hasten.wait_for(task, 1), hasten.Queue().get()]
        others = [5, None, asyncio.sleep, (x for x in ()), object(), concurrent.futures.Future(), type(task)]
        assert [each for each in futures + coroutines + others if world.ns.isfuture(each)] == futures
        assert [each for each in futures + coroutines + others if world.ns.iscoroutine(each)] == coroutines
        for each in coroutines:
            each.close()
        await task

    world.run(main())
