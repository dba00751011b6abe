"""A signal handler raises in the middle of what the loop does, or before a function of its has begun: who waits is
woken, and the interruption leaves the loop. tests/hostile/interrupts.py looks for such places; these it has found."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import inspect
import signal
import sys
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import hasten
from hasten import compat
from hasten.core import describe, report
from hasten.core.again import finish, once, to_the_end


@pytest.fixture
def loop() -> Iterator[hasten.Loop]:
    made = hasten.new_event_loop()
    yield made
    made.close()


def interrupts_once(fn: Callable[..., Any], after: bool = False) -> Callable[..., Any]:
    """The function, whose first call is interrupted, before it has begun or when it has done its work."""
    calls: list[int] = []

    def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            if after:
                fn(*args, **kwargs)
            raise KeyboardInterrupt
        return fn(*args, **kwargs)

    return call


def goes_on(loop: hasten.Loop, future: Any) -> Any:
    """Runs until it is interrupted, and then until the future is done."""
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(future)
    return loop.run_until_complete(asyncio.wait_for(future, 5))


# ---- to_the_end() ---------------------------------------------------------------------------------------------------


class Reader:
    @to_the_end
    def feed(self, data: bytes, *, last: bool = False) -> tuple[bytes, bool]:
        """Take what has come."""
        return data, last


def test_it_is_shown_and_called_as_the_function_that_it_is_made_of() -> None:
    class Derived(Reader):
        def feed(self, data: bytes, *, last: bool = False) -> tuple[bytes, bool]:
            return super().feed(data=data, last=last)

    assert Derived().feed(data=b"x", last=True) == Reader.feed(Reader(), b"x", last=True) == (b"x", True)
    assert Reader.feed.__name__ == "feed"
    assert Reader.feed.__qualname__ == "Reader.feed"
    assert Reader.feed.__doc__ == "Take what has come."
    assert str(inspect.signature(Reader().feed)) == "(data: 'bytes', *, last: 'bool' = False) -> 'tuple[bytes, bool]'"
    assert "Reader.feed" in repr(Reader().feed)
    with pytest.raises(TypeError, match="unexpected keyword argument 'more'"):
        Reader().feed(b"x", more=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="a function is needed, not 5"):
        to_the_end(5)  # type: ignore[type-var]


def test_it_can_be_held_weakly_and_takes_any_keyword() -> None:
    @to_the_end
    def fn(*, self: int) -> int:
        return self

    assert fn(self=5) == 5
    gone = weakref.ref(fn)
    assert gone() is fn
    fn(self=1)
    del fn
    gc.collect()  # what it is called by is its own __wrapped__, too
    assert gone() is None
    reader = Reader()
    assert weakref.WeakMethod(reader.feed)() == reader.feed


def test_a_stream_subclass_that_fails_is_called_once() -> None:
    calls: list[str] = []

    class Reader(hasten.StreamReader):
        def feed_eof(self) -> None:
            super().feed_eof()
            calls.append("feed_eof")
            raise ValueError("mine")

    async def main() -> None:
        protocol = hasten.StreamReaderProtocol(reader := Reader())
        with pytest.raises(ValueError, match="mine"):
            protocol.eof_received()
        assert reader.at_eof()

    hasten.run(main())
    assert calls == ["feed_eof"]


@pytest.mark.parametrize("started", [False, True])
def test_who_waits_for_a_cancelled_future_of_run_coroutine_threadsafe_is_told(started: bool) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        future = hasten.run_coroutine_threadsafe(hasten.sleep(3600), loop)
        if started:
            await hasten.sleep(0)
            await hasten.sleep(0)
        future.cancel()
        done, _ = await hasten.to_thread(concurrent.futures.wait, [future], 60)
        assert done == {future}

    hasten.run(main())


def test_a_task_factory_that_fails_is_asked_once() -> None:
    asked: list[Any] = []

    def factory(loop: Any, coro: Any, **more: Any) -> Any:
        asked.append(coro)
        coro.close()
        raise ValueError("no task")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)
        loop.set_task_factory(factory)
        future = hasten.run_coroutine_threadsafe(hasten.sleep(0), loop)
        done, _ = await loop.run_in_executor(None, concurrent.futures.wait, [future], 60)
        loop.set_task_factory(None)
        assert done == {future}
        with pytest.raises(ValueError, match="no task"):
            future.result()

    hasten.run(main())
    assert len(asked) == 1


def test_once_with_a_list_that_is_emptied_meanwhile() -> None:
    made: list[Any] = []
    assert once(made, lambda: made.clear() or 1) == 1  # type: ignore[func-returns-value]
    assert made == [1]


def test_a_streams_exception_by_keyword() -> None:
    async def main() -> None:
        reader = hasten.StreamReader()
        reader.set_exception(exc=KeyError("gone"))
        with pytest.raises(KeyError, match="gone"):
            await reader.read()

    hasten.run(main())


@pytest.mark.parametrize("call", [lambda fn, arg: to_the_end(fn)(arg), finish])
@pytest.mark.parametrize("after", [False, True])
def test_again_calls_twice_and_raises_the_first(after: bool, call: Callable[..., Any]) -> None:
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        call(interrupts_once(done.append, after), 1)
    assert done == ([1, 1] if after else [1])


def test_to_finish_needs_no_memory() -> None:
    if not compat.compiled():
        pytest.skip("a plain Python function may need memory to be called")
    hooks = pytest.importorskip("_testcapi", reason="this Python cannot have memory fail")
    left, clear = [1], list.clear
    hooks.set_nomemory(0, 0)  # from now on nothing is given out
    try:
        finish(clear, left)
    finally:
        hooks.remove_mem_hooks()
    assert left == []


def test_what_finishes_with_an_error_is_called_once() -> None:
    left = ["one"]
    with pytest.raises(KeyError, match="two"):
        finish(lambda _: {}[left.append("two") or left[-1]], 0)  # type: ignore[func-returns-value]
    assert left == ["one", "two"]


def test_again_raises_what_ends_the_loop_rather_than_another() -> None:
    errors = iter([KeyboardInterrupt(), SystemExit(), KeyboardInterrupt(), ValueError()])

    @to_the_end
    def fail() -> None:
        raise next(errors)

    with pytest.raises(SystemExit):
        fail()
    with pytest.raises(KeyboardInterrupt):
        fail()


def test_what_fails_by_itself_is_not_called_again() -> None:
    calls: list[int] = []

    @to_the_end
    def fail() -> None:
        calls.append(1)
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()
    assert calls == [1]


def test_again_makes_methods() -> None:
    class Thing:
        @to_the_end
        def twice(self, n: int) -> int:
            return 2 * n

    assert Thing().twice(4) == 8
    assert "twice" in repr(Thing.twice)


def test_once_is_done_once() -> None:
    made: list[Any] = []
    assert once(made, list, "ab") == ["a", "b"]
    assert once(made, list, "cd") is made[0]


# ---- where it stands ------------------------------------------------------------------------------------------------


def test_before_the_exception_handler_has_begun(loop: hasten.Loop, monkeypatch: Any) -> None:
    told: list[Any] = []
    loop.set_exception_handler(lambda loop, context: told.append(context))
    monkeypatch.setattr(report, "_begin", interrupts_once(report._begin))
    loop.call_soon(lambda: 1 // 0)
    loop.call_soon(loop.stop)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    loop.call_soon(lambda: 1 // 0)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert [type(each["exception"]) for each in told] == [ZeroDivisionError]


class Five:
    def __await__(self) -> Iterator[Any]:
        yield 5


@pytest.mark.parametrize("text", ["bad_yield", "bad_await"])
def test_while_a_mistake_is_put_into_words(loop: hasten.Loop, monkeypatch: Any, text: str) -> None:
    other = hasten.new_event_loop()
    foreign = other.create_future()

    async def wrong() -> None:
        await (Five() if text == "bad_yield" else foreign)

    async def waits() -> str:
        try:
            await loop.create_task(wrong())
        except KeyboardInterrupt:
            return "woken"
        return "nothing was raised"

    monkeypatch.setattr(describe, text, interrupts_once(getattr(describe, text)))
    task = loop.create_task(waits())
    for _ in range(2):  # what the coroutine is told ends the loop once more
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(task)
    assert loop.run_until_complete(task) == "woken"
    other.close()


class Source(concurrent.futures.Future):  # type: ignore[type-arg]
    """One whose first look is interrupted."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

    def cancelled(self) -> bool:
        self.looks += 1
        if self.looks == 1:
            raise KeyboardInterrupt
        return super().cancelled()


def test_while_a_thread_hands_its_result_in(loop: hasten.Loop) -> None:
    source = Source()
    source.set_running_or_notify_cancel()
    future = hasten.wrap_future(source, loop=loop)
    source.set_result(7)
    assert goes_on(loop, future) == 7


def test_while_debug_mode_notes_who_is_woken_where(loop: hasten.Loop, monkeypatch: Any) -> None:
    loop.set_debug(True)
    future = loop.create_future()
    told: list[Any] = []
    future.add_done_callback(told.append)
    monkeypatch.setattr(describe, "extract_stack", interrupts_once(describe.extract_stack))
    with pytest.raises(KeyboardInterrupt):
        future.set_result(1)
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert told == [future]


def test_debug_mode_that_has_no_memory_to_note_who_is_woken_where(loop: hasten.Loop, monkeypatch: Any) -> None:
    def lacks_memory(frame: Any) -> Any:
        raise MemoryError

    loop.set_debug(True)
    future = loop.create_future()
    told: list[Any] = []
    future.add_done_callback(told.append)
    monkeypatch.setattr(describe, "extract_stack", lacks_memory)
    future.set_result(1)  # it has worked, so that nobody is told of it
    monkeypatch.undo()
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert told == [future]


def test_as_soon_as_the_hooks_of_generators_are_set(loop: hasten.Loop, monkeypatch: Any) -> None:
    monkeypatch.setattr(loop._asyncgens, "hook", interrupts_once(loop._asyncgens.hook, after=True))
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    assert sys.get_asyncgen_hooks() == (None, None)


def test_in_the_batch_that_would_have_stopped_the_loop() -> None:
    """The stop that the end of main has scheduled is not that of the next run, which cleans up."""
    done: list[str] = []

    async def left() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await hasten.sleep(0)
            done.append("cleaned up")

    async def strike() -> None:
        signal.default_int_handler(signal.SIGINT, None)

    async def main() -> list[Any]:
        return [hasten.create_task(left()), hasten.create_task(strike())]

    with pytest.raises(KeyboardInterrupt):
        hasten.run(main())
    assert done == ["cleaned up"]
