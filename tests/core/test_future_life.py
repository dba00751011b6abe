"""Futures as objects: subclasses, what was never initialised, cycles for the garbage collector, other loops."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import hasten

from ..worlds import Kit


class Thing:
    pass


def test_a_subclass_with_overridden_methods(kit: Kit) -> None:
    calls: list[str] = []

    class Mine(kit.Future):
        def set_result(self, result: Any) -> None:
            calls.append("set_result")
            super().set_result(result + 1)

        def result(self) -> Any:
            calls.append("result")
            return super().result()

        def add_done_callback(self, fn: Any, *, context: Any = None) -> None:
            calls.append("add_done_callback")
            super().add_done_callback(fn, context=context)

        def cancel(self, msg: Any = None) -> bool:
            calls.append("cancel")
            return super().cancel(msg)

    fut = Mine(loop=kit.loop)
    assert isinstance(fut, kit.Future)
    assert isinstance(fut, asyncio.Future)

    async def main() -> Any:
        kit.loop.call_soon(fut.set_result, 1)
        return await fut

    assert kit.run(main()) == 2
    assert "set_result" in calls
    assert "add_done_callback" in calls
    waiting = Mine(loop=kit.loop)

    async def wait() -> None:
        await waiting

    task = kit.task(wait())
    kit.tick()
    calls.clear()
    task.cancel("now")
    assert calls == ["cancel"]
    with pytest.raises(asyncio.CancelledError, match="now"):
        kit.loop.run_until_complete(task)


def test_a_subclass_may_have_attributes_slots_and_an_init_of_its_own(kit: Kit) -> None:
    class Mine(kit.Future):
        __slots__ = ("extra",)

        def __init__(self, extra: Any, *, loop: Any) -> None:
            super().__init__(loop=loop)
            self.extra = extra

    fut = Mine("x", loop=kit.loop)
    fut.other = "y" if kit.ours else None
    assert fut.extra == "x"
    fut.set_result(1)
    assert fut.result() == 1


def test_a_subclass_that_forgets_to_initialise(kit: Kit) -> None:
    class Mine(kit.Future):
        def __init__(self) -> None:
            pass

    fut = Mine()
    with pytest.raises(RuntimeError, match=r"not initialized|uninitialized"):
        fut.get_loop()
    with pytest.raises(RuntimeError, match=r"not initialized|uninitialized"):
        fut.add_done_callback(print)
    for act in (lambda: fut.set_result(1), lambda: fut.set_exception(ValueError()), fut.cancel):
        try:
            act()
        except (RuntimeError, asyncio.InvalidStateError):
            pass
    if kit.ours:
        assert repr(fut).startswith("<Mine ")


async def waiting_for(fut: Any) -> Any:
    return await fut


def test_awaiting_one_that_was_never_initialised_ends_the_task_not_the_loop(kit: Kit) -> None:
    fut = kit.Future.__new__(kit.Future)

    async def main() -> str:
        try:
            await fut
        except RuntimeError as exc:
            return str(exc)
        return "?"

    if kit.ours:
        assert "not initialized" in kit.run(main())


@pytest.mark.parametrize("loop", [1, "loop", object()])
def test_what_is_no_loop_is_refused(loop: Any) -> None:
    with pytest.raises((AttributeError, TypeError)):
        hasten.Future(loop=loop)
    with pytest.raises(TypeError):
        hasten.Future(1)  # type: ignore[misc]
    with pytest.raises(TypeError):
        hasten.Future(loop=None, other=1)  # type: ignore[call-arg]


def test_without_a_loop_the_running_one_is_taken(kit: Kit) -> None:
    async def main() -> Any:
        return kit.Future().get_loop()

    assert kit.run(main()) is kit.loop


@pytest.mark.parametrize("fn", [copy.copy, copy.deepcopy, pickle.dumps])
def test_it_cannot_be_copied_or_pickled(kit: Kit, fn: Callable[[Any], Any]) -> None:
    if fn is copy.copy and not kit.ours:
        return  # asyncio makes a broken one
    with pytest.raises(TypeError):
        fn(kit.future())


# ---- garbage ----------------------------------------------------------------------------------


def make_result_cycle(kit: Any) -> Any:
    fut = kit.future()
    fut.set_result([fut])
    return fut


def make_exception_cycle(kit: Any) -> Any:
    fut = kit.future()
    error: Any = ValueError()
    error.fut = fut
    fut.set_exception(error)
    fut.exception()
    return fut


def make_callback_cycle(kit: Any) -> Any:
    fut = kit.future()
    fut.add_done_callback(lambda f, me=fut: None)
    return fut


def make_attribute_cycle(kit: Any) -> Any:
    class Mine(kit.Future):
        pass

    fut = Mine(loop=kit.loop)
    fut.me = fut
    return fut


def make_message_cycle(kit: Any) -> Any:
    fut = kit.future()
    fut.cancel(msg=[fut])
    return fut


def make_iterator_cycle(kit: Any) -> Any:
    fut = kit.future()
    fut.add_done_callback(lambda f, it=fut.__await__(): None)
    return fut


MAKERS = [
    make_result_cycle,
    make_exception_cycle,
    make_callback_cycle,
    make_attribute_cycle,
    make_message_cycle,
    make_iterator_cycle,
]


@pytest.mark.parametrize("make", MAKERS)
def test_cycles_are_collected(kit: Kit, collect: Callable[[], None], make: Callable[[Any], Any]) -> None:
    fut = make(kit)
    alive = weakref.ref(fut)
    del fut
    collect()
    assert alive() is None


def test_a_gathering_and_its_children_are_collected(loop, collect: Callable[[], None]) -> None:
    fut = loop.create_future()

    async def main() -> Any:
        outer: Any = hasten.gather(fut, asyncio.sleep(0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        fut.holder = [outer]
        return weakref.ref(fut), weakref.ref(outer)

    inner, outer = loop.run_until_complete(main())
    del fut
    collect()
    assert inner() is None
    assert outer() is None


def test_a_suspended_task_and_what_it_waits_for_go_with_their_loop(collect: Callable[[], None]) -> None:
    """loop → roster → task → coroutine → future → loop."""
    loop = hasten.new_event_loop()
    told: list[str] = []
    loop.set_exception_handler(lambda loop, context: told.append(context["message"]))

    async def wait(fut: Any) -> None:
        await fut

    fut = loop.create_future()
    task = loop.create_task(wait(fut))
    loop.call_soon(loop.stop)
    loop.run_forever()
    alive = [weakref.ref(each) for each in (fut, task, loop)]
    loop.close()
    del fut, task, loop
    collect()
    assert [each() for each in alive] == [None] * 3
    assert told == ["Task was destroyed but it is pending!"]


def test_finalizers_run_for_each_future_however_memory_is_reused(
    loop, reports: list[dict[str, Any]], collect: Callable[[], None]
) -> None:
    """An object made of the memory of one that was finalized must be finalized too."""
    for _ in range(3):
        for i in range(200):
            fut = loop.create_future()
            fut.set_exception(ZeroDivisionError(i))
            fut.me = fut  # only the collector finds it
        del fut
        collect()
        assert len(reports) == 200
        reports.clear()


def test_a_destructor_may_bring_it_back(loop) -> None:
    saved: list[Any] = []

    class Phoenix(hasten.Future):
        def __del__(self) -> None:
            saved.append(self)

    fut: Any = Phoenix(loop=loop)
    fut.set_result(5)
    del fut
    gc.collect()
    assert saved[0].result() == 5
    saved.clear()


# ---- across loops -----------------------------------------------------------------------------


def test_a_future_of_another_loop_is_refused(kit: Kit) -> None:
    for other in (hasten.new_event_loop(), asyncio.SelectorEventLoop()):
        try:
            foreign = other.create_future()
            with pytest.raises(RuntimeError, match="attached to a different loop"):
                kit.run(waiting_for(foreign))
        finally:
            other.close()


def test_every_kind_awaits_every_kind(loop) -> None:
    """Stock tasks await our futures and tasks on our loop, and ours theirs."""

    async def main() -> list[Any]:
        async def value(i: int) -> int:
            await asyncio.sleep(0)
            return i

        made = [
            hasten.Future(loop=loop),
            asyncio.Future(loop=loop),
            hasten.Task(value(2), loop=loop),
            asyncio.Task(value(3), loop=loop),
        ]
        loop.call_soon(made[0].set_result, 0)
        loop.call_soon(made[1].set_result, 1)
        out = []
        for kind in (hasten.Task, asyncio.Task):
            for fut in made:
                out.append(await kind(waiting_for(fut), loop=loop))
        return out

    assert loop.run_until_complete(main()) == [0, 1, 2, 3] * 2


def test_a_concurrent_future_is_wrapped(kit: Kit) -> None:
    async def main() -> Any:
        return await asyncio.wrap_future(kit.loop.run_in_executor(None, int, "5"))

    assert kit.run(main()) == 5


class Duck:
    """A future by the protocol alone, as other libraries make them."""

    _asyncio_future_blocking = False

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self.callbacks: list[Any] = []
        self.value: Any = None

    def get_loop(self) -> Any:
        return self._loop

    def add_done_callback(self, fn: Any, *, context: Any = None) -> None:
        self.callbacks.append((fn, context))

    def result(self) -> Any:
        return self.value

    def cancel(self, msg: Any = None) -> bool:
        return False

    def finish(self, value: Any) -> None:
        self.value = value
        for fn, context in self.callbacks:
            self._loop.call_soon(fn, self, context=context)

    def __await__(self) -> Any:
        self._asyncio_future_blocking = True
        yield self
        return self.value


def test_a_future_by_protocol_alone(kit: Kit) -> None:
    duck = Duck(kit.loop)
    task = kit.task(waiting_for(duck))
    kit.tick()
    duck.finish("quack")
    assert kit.loop.run_until_complete(task) == "quack"


@pytest.mark.ours("in asyncio the error is logged, and the task never ends")
@pytest.mark.parametrize("broken", ["get_loop", "add_done_callback", "_asyncio_future_blocking"])
def test_a_future_whose_methods_fail_ends_the_task_not_the_loop(kit: Kit, broken: str) -> None:
    class Broken(Duck):
        pass

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError

    if broken == "_asyncio_future_blocking":
        Broken._asyncio_future_blocking = property(lambda self: True, fail)  # type: ignore[assignment]
        Broken.__await__ = lambda self: iter([self])
    else:
        setattr(Broken, broken, fail)
    with pytest.raises(ZeroDivisionError):
        kit.run(waiting_for(Broken(kit.loop)))


@pytest.mark.ours("in asyncio the error of cancel() ends the step")
def test_a_future_that_fails_to_be_cancelled(kit: Kit, reports: list[dict[str, Any]]) -> None:
    class Broken(Duck):
        def cancel(self, msg: Any = None) -> bool:
            raise ZeroDivisionError

    duck = Broken(kit.loop)

    async def main() -> Any:
        asyncio.current_task().cancel()
        return await duck

    task = kit.task(main())
    kit.tick()
    kit.tick()
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]
    duck.finish(1)
    with pytest.raises(asyncio.CancelledError):
        kit.loop.run_until_complete(task)
