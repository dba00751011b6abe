"""run() and Runner: into the loop and back, and what is cleaned up on the way."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import signal
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

import hasten

var: contextvars.ContextVar[int] = contextvars.ContextVar("var", default=0)


async def value(result: Any = None) -> Any:
    await asyncio.sleep(0)
    return result


def test_run(world: Any) -> None:
    assert world.ns.run(value(5)) == 5
    with pytest.raises(ZeroDivisionError):
        world.ns.run(failing())


async def failing() -> None:
    raise ZeroDivisionError


def test_the_loop_is_hastens() -> None:
    async def main() -> Any:
        assert hasten.get_running_loop() is asyncio.get_running_loop()
        return hasten.get_running_loop()

    loop = hasten.run(main())
    assert isinstance(loop, hasten.Loop)
    assert loop.is_closed()
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()


@pytest.mark.parametrize("what", [None, 5, "main", value, object()])
def test_what_cannot_be_awaited_is_refused(what: Any) -> None:
    with pytest.raises(TypeError, match="An asyncio.Future, a coroutine or an awaitable is required"):
        hasten.run(what)


def test_a_function_that_was_not_called_is_explained() -> None:
    with pytest.raises(TypeError, match=r"call it: value\(\)"):
        hasten.run(value)


def test_any_awaitable_is_run() -> None:
    class Awaitable:
        def __await__(self) -> Any:
            return value(7).__await__()

    assert hasten.run(Awaitable()) == 7


def test_run_inside_a_running_loop_is_refused() -> None:
    async def main() -> None:
        coro = value()
        with pytest.raises(RuntimeError, match=r"run\(\) cannot be called from a running event loop"):
            hasten.run(coro)
        coro.close()

    hasten.run(main(), loop_factory=hasten.new_event_loop)


@pytest.mark.parametrize("debug", [None, False, True])
def test_debug(debug: bool | None) -> None:
    async def main() -> bool:
        return asyncio.get_running_loop().get_debug()

    assert hasten.run(main(), debug=debug) is bool(debug)


def test_tasks_that_are_left_are_cancelled_and_awaited(world: Any) -> None:
    out: list[str] = []

    async def left() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            out.append("cleaned up")

    async def main() -> None:
        task = world.ns.create_task(left())
        await asyncio.sleep(0)
        assert not task.done()

    world.ns.run(main())
    assert out == ["cleaned up"]


def test_generators_that_are_left_are_closed(world: Any) -> None:
    out: list[str] = []

    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            out.append("closed")

    kept = []

    async def main() -> None:
        kept.append(numbers())
        await anext(kept[0])

    world.ns.run(main())
    assert out == ["closed"]


def test_errors_of_tasks_that_are_left_are_reported() -> None:
    told: list[dict[str, Any]] = []

    async def left() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            raise ZeroDivisionError from None

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        hasten.create_task(left())
        await asyncio.sleep(0)

    hasten.run(main())
    (report,) = told
    assert report["message"] == "unhandled exception during asyncio.run() shutdown"
    assert isinstance(report["exception"], ZeroDivisionError)


class TestRunner:
    def test_runs_several_in_one_context(self) -> None:
        async def count() -> int:
            var.set(var.get() + 1)
            return var.get()

        with hasten.Runner() as runner:
            assert [runner.run(count()) for _ in range(3)] == [1, 2, 3]
            context = contextvars.copy_context()
            assert runner.run(count(), context=context) == 1
            assert context[var] == 1
            assert runner.run(count()) == 4
        assert var.get() == 0

    def test_closed(self) -> None:
        runner = hasten.Runner()
        loop = runner.get_loop()
        runner.close()
        runner.close()
        assert loop.is_closed()
        coro = value()
        with pytest.raises(RuntimeError, match="Runner is closed"):
            runner.run(coro)
        with pytest.raises(RuntimeError, match="Runner is closed"):
            runner.get_loop()
        coro.close()

    def test_never_opened(self) -> None:
        runner = hasten.Runner()
        runner.close()
        with runner:
            assert runner.run(value(1)) == 1

    @pytest.mark.parametrize("factory", [5, "hasten", object()])
    def test_a_factory_that_is_none(self, factory: Any) -> None:
        with pytest.raises(TypeError, match="loop_factory must be a callable"):
            hasten.Runner(loop_factory=factory)

    def test_a_factory(self) -> None:
        made: list[Any] = []

        def factory() -> Any:
            made.append(asyncio.SelectorEventLoop())
            return made[-1]

        assert hasten.run(value(3), loop_factory=factory) == 3
        assert len(made) == 1
        assert made[0].is_closed()

    def test_in_a_thread(self) -> None:
        out: list[Any] = []
        thread = threading.Thread(target=lambda: out.append(hasten.run(value(4))))
        thread.start()
        thread.join()
        assert out == [4]


@pytest.mark.skipif(sys.platform == "win32", reason="signals as POSIX has them")
@pytest.mark.usefixtures("no_collector")
class TestCtrlC:
    @pytest.fixture(autouse=True)
    def _default_handler(self) -> Any:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    def test_cancels_the_main_task_which_may_clean_up(self, world: Any) -> None:
        out: list[str] = []

        async def main() -> None:
            try:
                signal.raise_signal(signal.SIGINT)
                await asyncio.get_running_loop().create_future()
            finally:
                await asyncio.sleep(0)
                out.append("cleaned up")

        with pytest.raises(KeyboardInterrupt):
            world.ns.run(main())
        assert out == ["cleaned up"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    def test_a_sleeping_loop_notices(self, world: Any) -> None:
        before = signal.signal(signal.SIGALRM, lambda *args: signal.raise_signal(signal.SIGINT))

        async def main() -> None:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            await asyncio.get_running_loop().create_future()

        try:
            with pytest.raises(KeyboardInterrupt):
                world.ns.run(main())
        finally:
            signal.signal(signal.SIGALRM, before)

    def test_one_that_swallows_it_goes_on(self, world: Any) -> None:
        async def main() -> str:
            try:
                signal.raise_signal(signal.SIGINT)
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                pass
            return "went on"

        assert world.ns.run(main()) == "went on"

    def test_a_second_one_ends_at_once(self, world: Any) -> None:
        async def main() -> None:
            try:
                signal.raise_signal(signal.SIGINT)
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                signal.raise_signal(signal.SIGINT)
                raise AssertionError("not reached") from None

        with pytest.raises(KeyboardInterrupt):
            world.ns.run(main())

    def test_a_handler_of_the_programs_own_stays(self, world: Any) -> None:
        out: list[int] = []

        def mine(signum: int, frame: object) -> None:
            out.append(signum)

        signal.signal(signal.SIGINT, mine)

        async def main() -> None:
            signal.raise_signal(signal.SIGINT)
            await asyncio.sleep(0)

        world.ns.run(main())
        assert out == [signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) is mine

    def test_one_that_comes_at_once_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As soon as the handler is there."""
        install = signal.signal

        def interrupted(number: int, handler: Any) -> Any:
            before = install(number, handler)
            if number == signal.SIGINT:
                signal.raise_signal(signal.SIGINT)
            return before

        with monkeypatch.context() as context, pytest.raises(KeyboardInterrupt):
            context.setattr(signal, "signal", interrupted)
            hasten.run(value())
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_ends_even_if_what_is_to_end_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for lack of memory: the main coroutine is done, and nothing would happen any more."""

    def fail(future: object) -> None:
        raise MemoryError

    monkeypatch.setattr("hasten.loop._run_until_complete_cb", fail)
    told: list[Any] = []

    def give_up(loop: asyncio.AbstractEventLoop) -> None:
        told.append("it would have run for ever")
        loop.stop()

    async def main() -> int:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: told.append(type(context["exception"])))
        loop.call_later(20, give_up, loop)
        await hasten.sleep(0)
        return 7

    assert hasten.run(main()) == 7
    assert set(told) == {MemoryError}


def test_exit_in_main_is_not_reported(either_loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture) -> None:
    """The task was given to the loop by who made it, as Runner.run() does."""

    async def main() -> None:
        await asyncio.sleep(0)
        sys.exit(7)

    def run() -> None:
        with pytest.raises(SystemExit):
            either_loop.run_until_complete(either_loop.create_task(main()))

    run()
    either_loop.run_until_complete(asyncio.sleep(0))
    gc.collect()
    assert not caplog.records
