"""A closed loop goes without the garbage collector once nobody refers to it, and holds no tasks until then."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import signal
import socket
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

import hasten
from hasten import compat

var: contextvars.ContextVar[Any] = contextvars.ContextVar("var")


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def uses_nothing(loop: Any) -> None:
    pass


def uses_tasks(loop: Any) -> None:
    async def main() -> None:
        await hasten.gather(hasten.sleep(0.001), asyncio.sleep(0.001), hasten.to_thread(int))
        async with hasten.TaskGroup() as group, hasten.timeout(10):
            group.create_task(asyncio.sleep(0))
        await hasten.wait_for(loop.run_in_executor(None, int), 10)

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())


def fails(loop: Any) -> None:
    async def main() -> None:
        raise ValueError

    try:
        loop.run_until_complete(main())
    except ValueError:
        return
    pytest.fail("nothing was raised")


def uses_signals(loop: Any) -> None:
    if hasattr(signal, "SIGUSR1"):
        loop.add_signal_handler(signal.SIGUSR1, loop.stop)
        loop.add_signal_handler(signal.SIGUSR2, print, loop)
        loop.remove_signal_handler(signal.SIGUSR1)
        signal.raise_signal(signal.SIGUSR2)
    uses_tasks(loop)


def uses_generators(loop: Any) -> None:
    async def numbers() -> AsyncIterator[int]:
        for i in range(3):
            yield i

    async def main() -> Any:
        left = numbers()
        async for _ in left:
            break
        async for _ in numbers():
            pass
        return left

    left = loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_asyncgens())
    del left


def uses_sockets(loop: Any) -> None:
    async def handle(reader: Any, writer: Any) -> None:
        writer.write(await reader.read(10))
        writer.close()
        await writer.wait_closed()

    async def main() -> None:
        server = await hasten.start_server(handle, "127.0.0.1", 0)
        async with server:
            reader, writer = await hasten.open_connection(*server.sockets[0].getsockname())
            writer.write(b"x")
            assert await reader.read(10) == b"x"
            writer.close()
            await writer.wait_closed()
        await server.wait_closed()

    loop.run_until_complete(main())


def leaves_readers(loop: Any) -> None:
    a, b = socket.socketpair()
    loop.add_writer(a, loop.stop)
    loop.add_reader(b, print, loop)
    loop.run_forever()
    a.close()
    b.close()


def leaves_work(loop: Any) -> None:
    token = var.set(loop)
    loop.call_soon(loop.stop)
    loop.call_later(1000, loop.stop)
    loop.call_soon_threadsafe(print, loop)
    var.reset(token)


def leaves_a_task_that_never_ran(loop: Any) -> None:
    loop.create_task(hasten.sleep(0, loop))
    loop.create_task(asyncio.sleep(0, loop))


def in_debug_mode(loop: Any) -> None:
    loop.set_debug(True)
    uses_tasks(loop)


def in_a_thread(loop: Any) -> None:
    thread = threading.Thread(target=uses_tasks, args=(loop,))
    thread.start()
    thread.join()


def closes_in_a_callback(loop: Any) -> None:
    loop.call_soon(loop.close)
    loop.call_soon(print, loop)
    loop._run_once()
    assert loop.is_closed()


USES: list[Callable[[Any], None]] = [
    *(uses_nothing, uses_tasks, fails, uses_signals, uses_generators, uses_sockets),
    *(leaves_readers, leaves_work, leaves_a_task_that_never_ran, in_debug_mode, in_a_thread, closes_in_a_callback),
]


@pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited:RuntimeWarning")
@pytest.mark.parametrize("poller", ["epoll", "selectors"])
@pytest.mark.parametrize("use", USES)
def test_it_goes_at_once(use: Callable[[Any], None], poller: str, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        loop = hasten.new_event_loop() if poller == "epoll" else hasten.Loop(poller)
    except ValueError:
        pytest.skip("there is no epoll here")
    loop.set_exception_handler(lambda loop, context: None)
    ref = weakref.ref(loop)
    parts = [weakref.ref(loop._roster), weakref.ref(loop._signals), weakref.ref(loop._executors)]
    use(loop)
    loop.close()
    del loop
    if use is fails and not compat.compiled():
        gc.collect()  # the exception's traceback has frames of result() and others, which know the task
    assert ref() is None
    assert [part() for part in parts] == [None] * 3


def test_nothing_is_left_by_many() -> None:
    def one() -> None:
        loop = hasten.new_event_loop()
        uses_tasks(loop)
        loop.close()

    one()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(20):
        one()
    assert len(gc.get_objects()) - before < 20


def test_a_runner_leaves_nothing() -> None:
    refs = []

    async def main() -> None:
        refs.append(weakref.ref(asyncio.get_running_loop()))
        await hasten.sleep(0)

    hasten.run(main())
    with hasten.Runner() as runner:
        runner.run(main())
    del runner
    assert [ref() for ref in refs] == [None, None]


def test_a_subclass_and_what_it_refers_to() -> None:
    class Mine(hasten.Loop):
        def __init__(self) -> None:
            super().__init__()
            self.things = [object()]

    loop = Mine()
    ref = weakref.ref(loop)
    uses_tasks(loop)
    loop.close()
    del loop
    assert ref() is None


# ---- what is pending when it is closed ------------------------------------------------------


@pytest.fixture
def told() -> list[str]:
    return []


def with_reports(told: list[str]) -> Any:
    loop = hasten.new_event_loop()
    loop.set_exception_handler(lambda loop, context: told.append(context["message"]))
    return loop


def test_what_nobody_else_holds_is_destroyed_by_close(told: list[str]) -> None:
    log = []

    async def work() -> None:
        try:
            while True:
                await asyncio.sleep(0)
        finally:
            log.append("finally")

    loop = with_reports(told)
    ref = weakref.ref(loop.create_task(work()))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert ref() is None
    assert told == ["Task was destroyed but it is pending!"]
    assert log == ["finally"]
    assert not hasten.all_tasks(loop)


@pytest.mark.parametrize("sleep", [hasten.sleep, asyncio.sleep])
def test_what_waits_is_no_longer_held_by_a_closed_loop(sleep: Any, told: list[str]) -> None:
    log = []

    async def work() -> None:
        try:
            await sleep(1000)
        finally:
            log.append("finally")
            with pytest.raises(RuntimeError, match="Event loop is closed"):
                loop.call_soon(print)
            with pytest.raises(RuntimeError, match="Event loop is closed"):
                coro = work()
                try:
                    loop.create_task(coro)
                finally:
                    coro.close()

    loop = with_reports(told)
    loop.create_task(work())
    loop.call_soon(loop.stop)
    loop.run_forever()
    gc.collect()
    assert log == []  # as long as the loop is open, it is held
    loop.close()
    gc.collect()
    assert log == ["finally"]
    assert told == ["Task was destroyed but it is pending!"]


def test_a_task_that_somebody_holds_is_known_afterwards(told: list[str]) -> None:
    async def work(fut: Any) -> None:
        await fut

    loop = with_reports(told)
    task = loop.create_task(work(loop.create_future()))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    assert hasten.all_tasks(loop) == asyncio.all_tasks(loop) == {task}
    assert not task.done()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        task.cancel()
    del task
    gc.collect()
    assert not hasten.all_tasks(loop)
    assert told == ["Task was destroyed but it is pending!"]


@pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited:RuntimeWarning")
def test_destructors_that_use_the_loop_while_it_closes(told: list[str]) -> None:
    errors = []

    class Hostile:
        def __del__(self) -> None:
            for method, args in (
                (loop.call_soon, (print,)),
                (loop.call_later, (1, print)),
                (loop.run_forever, ()),
                (loop.close, ()),
            ):
                try:
                    method(*args)
                except RuntimeError as exc:
                    errors.append(str(exc))

    async def work(thing: Any) -> None:
        await asyncio.sleep(1000)

    loop = with_reports(told)
    loop.call_soon(print, Hostile())
    loop.call_later(1000, print, Hostile())
    loop.create_task(work(Hostile()))
    loop.close()
    gc.collect()
    assert errors == ["Event loop is closed"] * 9
    assert loop.is_closed()


def test_a_step_that_comes_after_the_end(told: list[str]) -> None:
    seen = []

    async def work(fut: Any) -> None:
        try:
            await fut
        finally:
            seen.append(asyncio.current_task(loop))

    loop = with_reports(told)
    task = loop.create_task(work(loop.create_future()))
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    task._wakeup(None)  # by hand, as the callback of some other future would
    assert task.done()
    assert asyncio.current_task(loop) is None
    assert task.exception() is not None


@pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited:RuntimeWarning")
def test_every_method_answers_as_usual_afterwards() -> None:
    loop: Any = hasten.new_event_loop()
    uses_tasks(loop)
    loop.close()
    loop.close()
    assert loop.is_closed()
    assert not loop.is_running()
    assert loop.time() > 0
    assert "closed=True" in repr(loop)
    assert not hasten.all_tasks(loop)
    assert hasten.current_task(loop) is None
    assert not loop.remove_reader(0)
    assert not loop.remove_writer(0)
    assert not loop.remove_signal_handler(signal.SIGINT)
    assert loop.get_task_factory() is None
    assert loop.get_exception_handler() is None
    fut = loop.create_future()
    fut.set_result(1)
    assert fut.result() == 1
    loop.stop()
    loop.set_debug(True)
    loop.set_debug(False)
    for method, *args in (
        (loop.run_forever,),
        (loop.run_until_complete, fut),
        (loop.call_soon, print),
        (loop.call_soon_threadsafe, print),
        (loop.call_later, 1, print),
        (loop.call_at, 1, print),
        (loop.create_task, hasten.sleep(0)),
        (loop.run_in_executor, None, print),
        (loop.add_reader, 0, print),
        (loop.add_writer, 0, print),
        (loop.add_signal_handler, signal.SIGINT, print),
        (fut.add_done_callback, print),
    ):
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            method(*args)


# ---- a loop that is dropped and was never closed --------------------------------------------


def test_a_loop_that_was_never_closed(told: list[str]) -> None:
    log = []

    async def work(loop: Any) -> None:
        try:
            await loop.create_future()
        finally:
            log.append("finally")

    async def numbers() -> AsyncIterator[int]:
        yield 1

    async def main(loop: Any) -> Any:
        loop.create_task(work(loop))
        agen = numbers()
        await agen.__anext__()
        return agen

    loop = with_reports(told)
    agen = loop.run_until_complete(main(loop))
    loop.call_soon(print, loop)
    loop.call_later(1000, print, loop)
    if hasattr(signal, "SIGUSR1"):
        loop.add_signal_handler(signal.SIGUSR1, print, loop)
    ref = weakref.ref(loop)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del loop, agen
        for _ in range(3):
            gc.collect()
    said = [str(each.message) for each in caught if each.category is ResourceWarning]
    assert len(said) == 1
    assert said[0].startswith("unclosed event loop")
    caught.clear()  # the warning has the loop as its source
    gc.collect()
    assert ref() is None
    assert log == ["finally"]
    assert told == ["Task was destroyed but it is pending!"]


@pytest.mark.parametrize("closed", [True, False])
def test_the_last_thing_that_goes_at_the_end_of_the_program(closed: bool) -> None:
    """When modules have lost their contents already."""
    end = "loop.close()" if closed else "pass"
    program = f"import builtins, hasten; builtins.kept = loop = hasten.new_event_loop(); {end}; print('end')"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")
