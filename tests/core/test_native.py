"""What is made by hand below the core: native coroutines, attributes on demand, memory that is used again."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import hasten
from hasten import compat
from hasten.kernel import step

pytestmark = pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited:RuntimeWarning")


class Thing:
    """Something that can be referred to weakly."""


MAKERS: dict[str, Callable[[], Any]] = {
    "sleep": lambda: hasten.sleep(0),
    "Lock.acquire": lambda: hasten.Lock().acquire(),
    "Semaphore.acquire": lambda: hasten.Semaphore().acquire(),
    "Event.wait": lambda: hasten.Event().wait(),
    "Queue.get": lambda: hasten.Queue[int]().get(),
    "Queue.put": lambda: hasten.Queue[int]().put(1),
}


@pytest.mark.parametrize("name", MAKERS)
def test_only_its_function_makes_one(name: str) -> None:
    coro = MAKERS[name]()
    coro.close()
    if not compat.compiled():
        pytest.skip("not compiled: it is an ordinary class")
    for make in (type(coro), lambda: type(coro).__new__(type(coro)), lambda: object.__new__(type(coro))):
        with pytest.raises(TypeError):
            make()


@pytest.mark.parametrize("name", MAKERS)
def test_a_coroutine_that_ended_cannot_be_awaited_again(name: str) -> None:
    async def main() -> None:
        held = hasten.Event()
        held.set()
        coro = held.wait() if name == "Event.wait" else MAKERS[name]()
        if name == "Queue.get":
            coro.close()
            queue = hasten.Queue[int]()
            queue.put_nowait(1)
            coro = queue.get()
        await coro
        another = MAKERS[name]()  # must not be the same object while somebody refers to the first
        assert another is not coro
        another.close()
        with pytest.raises(RuntimeError, match="cannot reuse already awaited coroutine"):
            await coro

    hasten.run(main())


def test_what_was_used_again_keeps_nothing_alive() -> None:
    async def main() -> None:
        queue: hasten.Queue[Thing] = hasten.Queue()
        thing = Thing()
        gone = weakref.ref(thing)
        await queue.put(thing)
        assert await queue.get() is thing
        assert await hasten.sleep(0, thing) is thing
        future: hasten.Future[Thing] = hasten.get_running_loop().create_future()
        future.set_result(thing)
        assert await future is thing
        del thing, future
        assert gone() is None
        gone_queue = weakref.ref(queue)
        del queue
        assert gone_queue() is None

    hasten.run(main())


def test_a_weak_reference_never_sees_the_next_one() -> None:
    async def main() -> None:
        coro = hasten.sleep(0)
        await coro
        ref = weakref.ref(coro)
        del coro
        later = hasten.sleep(0)
        assert ref() is not later
        later.close()

    hasten.run(main())


@pytest.mark.parametrize("make", [hasten.Lock, hasten.Event, hasten.Queue, hasten.Semaphore])
def test_attributes_are_made_on_demand(make: Callable[[], Any]) -> None:
    obj = make()
    with pytest.raises(AttributeError):
        obj.nobody_set_this  # noqa: B018
    obj.owner = "me"
    assert obj.owner == "me"
    if compat.compiled():  # else it has all of the object's fields
        assert obj.__dict__ == {"owner": "me"}
    obj.__dict__ = {"other": 1}
    assert obj.other == 1
    del obj.other
    assert not hasattr(obj, "other")


def test_attributes_of_futures_are_seen_by_the_garbage_collector() -> None:
    loop = hasten.new_event_loop()
    future: Any = hasten.Future(loop=loop)
    future.me = future
    future.thing = Thing()
    gone = weakref.ref(future.thing)
    del future
    gc.collect()
    assert gone() is None

    class Derived(hasten.Future[int]):
        pass

    derived: Any = Derived(loop=loop)
    derived.me = derived
    derived.thing = Thing()
    gone = weakref.ref(derived.thing)
    del derived
    gc.collect()
    assert gone() is None
    loop.close()


def test_attributes_go_with_their_object() -> None:
    loop = hasten.new_event_loop()
    future: Any = hasten.Future(loop=loop)
    future.thing = Thing()
    gone = weakref.ref(future.thing)
    del future
    assert gone() is None
    fresh: Any = hasten.Future(loop=loop)  # its memory may be the same
    assert not hasattr(fresh, "thing")
    loop.close()


def test_memory_that_is_used_again_is_finalized_again(caplog: pytest.LogCaptureFixture) -> None:
    """The garbage collector marks what it finalized; the next object at that place has to be finalized too."""
    loop = hasten.new_event_loop()
    for _ in range(3):
        for _ in range(10):
            future: Any = hasten.Future(loop=loop)
            future.me = future
            future.set_exception(ValueError("lost"))
        del future
        gc.collect()
    assert sum("never retrieved" in record.message for record in caplog.records) == 30
    loop.close()


def test_wrong_arguments_of_the_leaf() -> None:
    if not compat.compiled():
        pytest.skip("not compiled: the twin does nothing")
    wrong: Any = 1
    for function in (step.native, step.lazy_attributes):
        with pytest.raises(TypeError):
            function(wrong)
    with pytest.raises(TypeError):
        step.pool(wrong, 1)
    with pytest.raises(TypeError):
        step.lazy_attributes(hasten.Task)  # no root


def test_the_coroutine_that_has_nothing_to_do() -> None:
    async def main() -> None:
        lock = hasten.Lock()
        for _ in range(3):
            assert await lock.__aenter__() is None
            assert await lock.__aexit__(None, None, None) is None
        nothing = lock.__aenter__()
        assert await asyncio.create_task(nothing) is None
        assert await nothing is None

    hasten.run(main())


@pytest.mark.parametrize("name", ["Lock.acquire", "Event.wait", "Queue.get", "sleep"])
def test_awaited_by_two_tasks(name: str) -> None:
    """The second is told, and the first waits on."""

    async def main() -> None:
        lock = hasten.Lock()
        await lock.acquire()
        coro: Any = (
            hasten.sleep(60) if name == "sleep" else lock.acquire() if name == "Lock.acquire" else MAKERS[name]()
        )

        async def wait() -> None:
            await coro

        first = asyncio.create_task(wait())
        await hasten.sleep(0)
        with pytest.raises(RuntimeError, match="coroutine is being awaited already"):
            await wait()
        assert not first.done()
        first.cancel()
        await hasten.wait([first])
        assert first.cancelled()

    hasten.run(main())


def test_what_an_await_raises_has_what_was_being_handled_as_its_context() -> None:
    async def main() -> None:
        future: hasten.Future[None] = hasten.get_running_loop().create_future()
        future.set_exception(KeyError("later"))
        handled = ValueError("first")
        with pytest.raises(KeyError) as caught:
            try:
                raise handled
            except ValueError:
                await future
        assert caught.value.__context__ is handled

    hasten.run(main())


# Each runs a compiled `try` while it is awaited.
TRYING: dict[str, Callable[[], Any]] = {
    "sleep(0)": lambda: hasten.sleep(0),
    "sleep(1)": lambda: hasten.sleep(1),
    "sleep('x')": lambda: hasten.sleep("x"),  # type: ignore[arg-type]
    "Queue.get": lambda: hasten.Queue[int]().get(),
    "Queue.put": lambda: hasten.Queue[int]().put(1),
    "wait": lambda: hasten.wait([hasten.ensure_future(hasten.sleep(0))]),
    "wait_for": lambda: hasten.wait_for(hasten.sleep(0), 0),
    "TaskGroup": lambda: hasten.TaskGroup().__aenter__(),
}


@pytest.mark.parametrize("name", TRYING)
def test_what_an_outer_frame_handles_stays_there(name: str) -> None:
    """An await inside an `except` block further out leaves nothing of it in the coroutine that awaits."""

    last: list[Any] = []

    async def inner() -> None:
        try:
            await TRYING[name]()
        except (asyncio.CancelledError, TypeError):
            pass
        last.append(hasten.get_running_loop().create_future())
        await last[0]

    async def main() -> None:
        coro = inner()
        try:
            raise ValueError("outer")
        except ValueError:
            coro.send(None)
            if not last:
                coro.throw(asyncio.CancelledError)
        with pytest.raises(KeyError) as caught:
            coro.throw(KeyError("later"))
        assert caught.value.__context__ is None

    hasten.run(main())


def test_waking_from_a_wrong_thread_is_refused_in_debug_mode() -> None:
    async def main() -> None:
        event = hasten.Event()
        waiting = asyncio.create_task(event.wait())
        await hasten.sleep(0)
        with pytest.raises(RuntimeError, match="Non-thread-safe operation"):
            await hasten.to_thread(event.set)
        waiting.cancel()
        await hasten.wait([waiting])

    hasten.run(main(), debug=True)


def test_a_task_for_a_closed_loop_is_refused_and_not_listed() -> None:
    loop = hasten.new_event_loop()
    loop.close()

    async def nothing() -> None: ...

    coro = nothing()
    with pytest.raises(RuntimeError, match="Event loop is closed"):
        hasten.Task(coro, loop=loop)
    coro.close()
    assert not hasten.all_tasks(loop)


def end_of(result: object) -> StopIteration:
    """How an await of a future that has `result` ends, for who drives it by next()."""
    loop = hasten.new_event_loop()
    try:
        future = loop.create_future()
        future.set_result(result)
        with pytest.raises(StopIteration) as caught:
            next(future.__await__())
    finally:
        loop.close()
    return caught.value


def test_what_an_await_gives_comes_as_a_stop_iteration() -> None:
    first, second = end_of(1), end_of((2, 3))
    assert (first.value, second.value) == (1, (2, 3))
    assert isinstance(first, StopIteration)
    assert type(first).__name__ == "StopIteration"


@pytest.mark.skipif(not compat.compiled(), reason="plain Python is seen in tracebacks")
@pytest.mark.parametrize("way", ["next", "send"])
def test_what_ends_an_await_has_no_traceback_of_ours(way: str) -> None:
    """Adding one would cost each await that does not wait as much again."""
    coro = hasten.Lock().acquire()
    with pytest.raises(StopIteration) as info:
        next(coro.__await__()) if way == "next" else coro.send(None)
    assert info.value.__traceback__ is not None
    assert info.value.__traceback__.tb_next is None


def test_a_stop_iteration_that_is_kept_stays_as_it_is() -> None:
    first = end_of(1)
    first.args = ("changed",)
    first.note = "mine"  # type: ignore[attr-defined]
    first.__cause__ = ValueError()
    del first
    second = end_of(2)
    assert (second.value, second.__cause__, second.__context__) == (2, None, None)
    assert "changed" not in second.args
    assert not second.__suppress_context__
    assert not hasattr(second, "note")


def test_what_an_await_gave_is_not_held() -> None:
    async def main() -> weakref.ref[Thing]:
        future = asyncio.get_running_loop().create_future()
        future.set_result(Thing())
        gone = weakref.ref(await future)
        del future
        return gone

    gone = hasten.run(main())
    assert gone() is None


def test_a_stop_iteration_is_seen_by_the_garbage_collector() -> None:
    end = end_of(Thing())
    gone = weakref.ref(end.value)
    end.value = [end, end.value]
    del end
    gc.collect()
    assert gone() is None


def ended(loop: Any, value: Any) -> StopIteration:
    """What an iterator of ours ends with, for who calls it by hand."""
    fut = loop.create_future()
    fut.set_result(value)
    with pytest.raises(StopIteration) as caught:
        next(fut.__await__())
    return caught.value


class TestWhatAnAwaitEndsWith:
    @pytest.mark.parametrize("value", [5, (1, 2), ValueError("x"), [1]])
    def test_it_is_an_ordinary_stop_iteration(self, value: Any, loop: Any) -> None:
        exc = ended(loop, value)
        assert type(exc) is StopIteration
        assert exc.args == (value,)
        assert exc.value is value
        assert repr(exc) == repr(StopIteration(value))
        assert exc.__reduce__() == (StopIteration, (value,))
        assert exc.__traceback__ is not None
        assert exc.__context__ is None

    def test_it_can_be_copied_and_pickled(self, loop: Any) -> None:
        exc = ended(loop, 5)
        exc.note = "a"  # type: ignore[attr-defined]
        for again in (pickle.loads(pickle.dumps(exc)), copy.copy(exc)):
            assert (type(again), again.args, again.value, again.note) == (StopIteration, (5,), 5, "a")
        exc.__setstate__({"note": "b"})
        assert exc.note == "b"  # type: ignore[attr-defined]
        assert type(exc)(7).value == 7

    def test_what_is_handled_becomes_its_context(self, loop: Any) -> None:
        fut = loop.create_future()
        fut.set_result(5)
        handled = ValueError()
        try:
            raise handled
        except ValueError:
            with pytest.raises(StopIteration) as caught:
                next(fut.__await__())
        assert caught.value.__context__ is handled

    @pytest.mark.parametrize("by", ["settrace", "generator", "for", "send"])
    def test_who_else_may_see_it(self, by: str, loop: Any) -> None:
        seen: list[Any] = []

        def trace(frame: Any, event: str, arg: Any) -> Any:
            if event == "exception" and isinstance(arg[1], StopIteration):
                seen.append(arg[1])
            return trace

        fut = loop.create_future()
        fut.set_result(5)

        async def wait() -> Any:
            return await fut

        def delegate() -> Any:
            return (yield from fut.__await__())

        if by == "settrace":
            before = sys.gettrace()
            sys.settrace(trace)
            try:
                assert loop.run_until_complete(wait()) == 5
            finally:
                sys.settrace(before)
            assert all(type(each) is StopIteration and each.args == (5,) for each in seen)
        elif by == "generator":
            with pytest.raises(StopIteration) as caught:
                next(delegate())
            assert (type(caught.value), caught.value.args) == (StopIteration, (5,))
        elif by == "for":
            assert list(fut.__await__()) == []
        else:
            with pytest.raises(StopIteration) as caught:
                fut.__await__().send(None)
            assert (type(caught.value), caught.value.args) == (StopIteration, (5,))
