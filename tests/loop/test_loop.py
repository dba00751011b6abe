"""The loop's own services: debug mode, executors, asynchronous generators, exception handlers, wrong uses."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import functools
import gc
import logging
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import hasten
from hasten import compat

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="outside")


@pytest.fixture
def debugged(loop: Any) -> Any:
    loop.set_debug(True)
    assert loop.get_debug()
    return loop


def in_thread(fn: Callable[[], object]) -> BaseException | None:
    """What a call raises in another thread."""
    raised: list[BaseException] = []

    def call() -> None:
        try:
            fn()
        except BaseException as exc:
            raised.append(exc)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return raised[0] if raised else None


# ---- runs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", [hasten.EventLoop, asyncio.SelectorEventLoop])
def test_a_stop_of_the_programs_own_may_take_its_time(base: Any) -> None:
    class Patient(base):
        asked = 0

        def stop(self) -> None:
            self.asked += 1
            if self.asked == 3:
                super().stop()
            else:
                self.call_soon(self.stop)

    async def main() -> int:
        return 5

    loop = Patient()
    try:
        assert loop.run_until_complete(main()) == 5
        assert loop.asked == 3
    finally:
        loop.close()


def test_a_future_that_only_says_that_it_is_ours_is_run(loop: Any) -> None:
    class Wrapper:
        _asyncio_future_blocking = False
        __class__ = property(lambda self: hasten.Future)  # type: ignore[assignment]

        def __init__(self, future: Any) -> None:
            self.future = future

        def __getattr__(self, name: str) -> Any:
            return getattr(self.future, name)

    future = loop.create_future()
    loop.call_soon(future.set_result, 5)
    assert loop.run_until_complete(Wrapper(future)) == 5


# ---- debug mode -----------------------------------------------------------------------------------


def test_an_error_in_debug_mode_means_that_nothing_was_scheduled(
    debugged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for lack of memory: who has got it tries again."""

    def fail(*args: object) -> None:
        raise MemoryError

    ran: list[int] = []
    with monkeypatch.context() as context:
        context.setattr("hasten.core.describe.extract_stack", fail)
        for schedule, *args in (
            (debugged.call_soon,),
            (debugged.call_soon_threadsafe,),
            (debugged.call_later, 0),
            (debugged.call_at, 0),
        ):
            with pytest.raises(MemoryError):
                schedule(*args, ran.append, 1)
    for _ in range(2):
        debugged.call_soon(debugged.stop)
        debugged.run_forever()
    assert ran == []


def test_a_loop_used_from_a_wrong_thread_is_told_in_debug_mode(debugged: Any) -> None:
    async def nothing() -> None:
        pass

    async def main() -> None:
        coro = nothing()
        wrong = [
            lambda: debugged.call_soon(print),
            lambda: debugged.call_later(1, print),
            lambda: debugged.call_at(1, print),
            lambda: debugged.create_task(coro),
        ]
        for use in wrong:
            error = in_thread(use)
            assert isinstance(error, RuntimeError), use
            assert "Non-thread-safe operation" in str(error)
            assert "call_soon_threadsafe" in str(error)
        coro.close()
        fut = debugged.create_future()
        fut.add_done_callback(lambda f: None)
        assert isinstance(in_thread(lambda: fut.set_result(1)), RuntimeError)
        done = debugged.create_future()
        assert in_thread(lambda: debugged.call_soon_threadsafe(done.set_result, 5)) is None
        assert await done == 5

    debugged.run_until_complete(main())


def test_slow_callbacks_are_told(debugged: Any, caplog: Any) -> None:
    debugged.slow_callback_duration = 0.0
    with caplog.at_level(logging.WARNING, logger="asyncio"):
        debugged.call_soon(sorted, [])
        debugged.call_soon(debugged.stop)
        debugged.run_forever()
    assert re.search(r"Executing <Handle sorted\(\[\]\).*> took \d+\.\d+ seconds", caplog.text)


def test_slow_tasks_are_told(debugged: Any, caplog: Any) -> None:
    debugged.slow_callback_duration = 0.0

    async def slow() -> None:
        pass

    with caplog.at_level(logging.WARNING, logger="asyncio"):
        debugged.run_until_complete(slow())
    assert re.search(r"Executing <Task .*coro=<.*slow\(\).*took \d+\.\d+ seconds", caplog.text)


def test_quick_callbacks_are_not_told(debugged: Any, caplog: Any) -> None:
    debugged.slow_callback_duration = 3600.0
    with caplog.at_level(logging.WARNING, logger="asyncio"):
        debugged.run_until_complete(asyncio.sleep(0))
    assert caplog.text == ""


def test_errors_tell_where_their_source_was_made(debugged: Any, reports: list[dict[str, Any]]) -> None:
    debugged.call_soon([].pop)
    debugged.call_soon(debugged.stop)
    debugged.run_forever()
    (report,) = reports
    assert report["source_traceback"][-1].name == "test_errors_tell_where_their_source_was_made"


def test_coroutines_are_refused_as_callbacks_and_tell_their_origin(debugged: Any) -> None:
    async def coro() -> Any:
        return None

    async def main() -> None:
        made = coro()
        assert made.cr_origin
        for refuse in (debugged.call_soon, debugged.call_soon_threadsafe):
            with pytest.raises(TypeError, match="coroutines cannot be used with"):
                refuse(made)
            with pytest.raises(TypeError, match="coroutines cannot be used with"):
                refuse(coro)
        made.close()

    debugged.run_until_complete(main())


def test_debug_mode_comes_and_goes_while_it_runs(loop: Any) -> None:
    async def nothing() -> None:
        pass

    async def main() -> None:
        for wanted in (True, False, True, False):
            loop.set_debug(wanted)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            coro = nothing()
            assert loop.get_debug() is wanted
            assert (coro.cr_origin is not None) is wanted
            await coro

    loop.run_until_complete(main())


# ---- executors --------------------------------------------------------------------------------------


def test_run_in_executor(loop: Any) -> None:
    async def main() -> None:
        assert await loop.run_in_executor(None, int, "5") == 5
        me = threading.get_ident()
        assert await loop.run_in_executor(None, threading.get_ident) != me
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, divmod, 1, 0)
        with concurrent.futures.ThreadPoolExecutor(1, "mine") as pool:
            name = await loop.run_in_executor(pool, lambda: threading.current_thread().name)
            assert name.startswith("mine")

    loop.run_until_complete(main())


class Short(hasten.EventLoop):
    """Has no memory for what threads tell it, a few times."""

    failures = 0

    def later(self, func: Any, *args: Any) -> Any:
        """In a thread: `func(*args)`, but not before the loop waits for it: else it finds the result when it looks."""
        waits = threading.Event()
        super().call_soon_threadsafe(waits.set)
        assert waits.wait(60)
        return func(*args)

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Any = None) -> Any:
        if self.failures < 3:
            self.failures += 1
            raise MemoryError
        return super().call_soon_threadsafe(callback, *args, context=context)


def test_a_thread_that_has_no_memory_to_tell_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits until there is some: who waits for it would not hear of it otherwise."""
    loop = Short()
    monkeypatch.setattr(socket, "getaddrinfo", functools.partial(loop.later, socket.getaddrinfo))
    try:
        assert loop.run_until_complete(asyncio.wait_for(loop.run_in_executor(None, loop.later, int, "5"), 60)) == 5
        for told in (loop.getaddrinfo("localhost", 80), loop.shutdown_default_executor()):
            assert loop.failures == 3
            loop.failures = 0
            loop.run_until_complete(asyncio.wait_for(told, 60))
        assert loop.failures == 3
    finally:
        loop.close()


@pytest.mark.parametrize("what", [None, 1, "print"])
def test_what_cannot_be_called_is_not_run(loop: Any, what: Any) -> None:
    with pytest.raises(TypeError, match="a callable object was expected by run_in_executor"):
        loop.run_in_executor(None, what)


def test_the_default_executor(loop: Any) -> None:
    with pytest.raises(TypeError, match="executor must be ThreadPoolExecutor instance"):
        loop.set_default_executor(object())
    pool = concurrent.futures.ThreadPoolExecutor(1, "mine")
    loop.set_default_executor(pool)
    name = loop.run_until_complete(loop.run_in_executor(None, lambda: threading.current_thread().name))
    assert name.startswith("mine")
    loop.run_until_complete(loop.shutdown_default_executor())
    with pytest.raises(RuntimeError, match="Executor shutdown has been called"):
        loop.run_in_executor(None, int)


def test_shutting_down_an_executor_that_takes_too_long(loop: Any) -> None:
    release = threading.Event()
    waiting = loop.run_in_executor(None, release.wait)
    with pytest.warns(RuntimeWarning, match="did not finish"):
        loop.run_until_complete(loop.shutdown_default_executor(timeout=0.01))
    release.set()
    assert loop.run_until_complete(waiting)


def test_names_do_not_wait_behind_the_default_executor(loop: Any) -> None:
    """Its threads are all taken by what waits for a connection, which needs a name first."""
    release = threading.Event()

    async def main() -> None:
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1))
        blocked = loop.run_in_executor(None, release.wait)
        found = await loop.getaddrinfo("localhost", 80)
        assert found
        release.set()
        await blocked

    loop.run_until_complete(main())


# ---- asynchronous generators --------------------------------------------------------------------------


async def numbers(log: list[str], error: BaseException | None = None) -> AsyncIterator[int]:
    try:
        yield 1
        yield 2
    finally:
        await asyncio.sleep(0)
        log.append("closed")
        if error is not None:
            raise error


def test_a_generator_that_is_dropped_is_closed(loop: Any) -> None:
    log: list[str] = []

    async def main() -> None:
        async for _ in numbers(log):
            break
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert log == ["closed"]


def test_a_generator_dropped_in_another_thread_is_closed_in_the_loop(loop: Any) -> None:
    log: list[str] = []

    async def main() -> None:
        agen: Any = numbers(log)
        await agen.__anext__()
        holder = [agen]
        del agen
        await loop.run_in_executor(None, holder.clear)
        for _ in range(5):
            await asyncio.sleep(0)

    loop.run_until_complete(main())
    assert log == ["closed"]


def test_shutdown_closes_those_that_are_left(loop: Any, reports: list[dict[str, Any]]) -> None:
    log: list[str] = []
    kept: list[Any] = [numbers(log), numbers(log, ZeroDivisionError()), numbers(log)]

    async def main() -> None:
        for agen in kept:
            await agen.__anext__()

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert log == ["closed"] * 3
    (report,) = reports
    assert "an error occurred during closing of asynchronous generator" in report["message"]
    assert report["asyncgen"] is kept[1]
    again = numbers(log)

    async def late() -> None:
        with pytest.warns(ResourceWarning, match="was scheduled after loop.shutdown_asyncgens"):
            await again.__anext__()
        await again.aclose()  # type: ignore[attr-defined]

    loop.run_until_complete(late())


# ---- exception handlers ---------------------------------------------------------------------------------


def test_the_handler_runs_in_the_context_of_what_failed(loop: Any) -> None:
    seen: list[str] = []
    loop.set_exception_handler(lambda loop, context: seen.append(var.get()))
    context = contextvars.copy_context()
    context.run(var.set, "callback's")
    loop.call_soon([].pop, context=context)

    async def fail() -> None:
        var.set("task's")
        raise ZeroDivisionError

    async def main() -> None:
        task = loop.create_task(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task
        gc.collect()

    loop.run_until_complete(main())
    assert seen == ["callback's", "task's"]


def test_handlers_are_checked(loop: Any) -> None:
    assert loop.get_exception_handler() is None
    with pytest.raises(TypeError, match="A callable object or None is expected"):
        loop.set_exception_handler(5)
    loop.set_exception_handler(print)
    assert loop.get_exception_handler() is print
    loop.set_exception_handler(None)


@pytest.mark.parametrize("context", [{}, {"message": ""}, {"message": "m", "other": object()}, {"exception": None}])
def test_the_default_handler_takes_any_context(loop: Any, caplog: Any, context: dict[str, Any]) -> None:
    loop.call_exception_handler(context)
    assert (context.get("message") or "Unhandled exception in event loop") in caplog.text


# ---- running ----------------------------------------------------------------------------------------------


def test_run_until_complete(loop: Any) -> None:
    async def value() -> int:
        return 5

    assert loop.run_until_complete(value()) == 5
    fut = loop.create_future()
    loop.call_soon(fut.set_result, 6)
    assert loop.run_until_complete(fut) == 6
    for wrong in (5, None, value, "x"):
        with pytest.raises(TypeError):
            loop.run_until_complete(wrong)
    other = hasten.new_event_loop()
    with pytest.raises(ValueError, match="different loop"):
        loop.run_until_complete(other.create_future())
    other.close()


def test_stopping_before_the_future_is_done(loop: Any) -> None:
    fut = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError, match=r"Event loop stopped before Future completed\."):
        loop.run_until_complete(fut)
    fut.set_result(1)
    assert loop.run_until_complete(fut) == 1


def test_a_closed_loop_refuses_everything() -> None:
    loop: Any = hasten.new_event_loop()
    loop.close()
    loop.close()
    assert loop.is_closed()

    async def nothing() -> None:
        pass

    coro = nothing()
    for use in (
        loop.run_forever,
        lambda: loop.run_until_complete(coro),
        lambda: loop.create_task(coro),
        lambda: loop.run_in_executor(None, int),
        lambda: loop.call_at(0, print),
        lambda: loop.add_signal_handler(10, print),
    ):
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            use()
    coro.close()
    assert "closed=True" in repr(loop)


def test_a_loop_that_was_never_closed_says_so() -> None:
    loop = hasten.new_event_loop()
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        del loop
        gc.collect()


def test_every_method_of_asyncios_loop_is_there() -> None:
    theirs = {name for name in dir(asyncio.AbstractEventLoop) if not name.startswith("_")}
    for name in theirs:
        method = getattr(hasten.Loop, name)
        assert method is not getattr(asyncio.AbstractEventLoop, name), name


def test_a_subclass_may_override(loop: Any) -> None:
    class Mine(hasten.Loop):
        made = 0

        def create_task(self, coro: Any, **kwargs: Any) -> Any:
            type(self).made += 1
            return super().create_task(coro, **kwargs)

        def time(self) -> float:
            return super().time()

    mine = Mine()

    async def main() -> None:
        await hasten.create_task(hasten.sleep(0))
        await hasten.gather(hasten.sleep(0), hasten.sleep(0))

    try:
        mine.run_until_complete(main())
    finally:
        mine.close()
    assert Mine.made == 4


@pytest.mark.skipif(not compat.compiled(), reason="not compiled: before __init__() there is nothing in it")
def test_a_subclass_that_uses_the_loop_before_initialising_it() -> None:
    class Hasty(hasten.Loop):
        def __init__(self) -> None:
            self.call_soon(print)
            self.call_later(1, print)
            self.create_future()
            super().__init__()

    loop = Hasty()
    loop._ready.items()
    loop.close()


def test_the_clock(loop: Any) -> None:
    before = time.monotonic()
    assert before <= loop.time() <= time.monotonic()


def test_hasten_is_a_loop_for_asyncios_runner() -> None:
    def names() -> Iterator[str]:
        with asyncio.Runner(loop_factory=hasten.new_event_loop) as runner:
            yield type(runner.get_loop()).__module__
            yield runner.run(asyncio.sleep(0, "ran"))

    assert list(names()) == ["hasten.loop", "ran"]


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_a_socket_that_was_closed_is_still_taken_off(kind: str) -> None:
    loop = hasten.new_event_loop()
    one, other = socket.socketpair()
    with other:
        getattr(loop, f"add_{kind}")(one, int)
        one.close()
        remove = getattr(loop, f"remove_{kind}")
        assert remove(one)
        with pytest.raises(ValueError):
            remove(one)
    loop.close()
