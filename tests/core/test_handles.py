"""Handle and TimerHandle: what a scheduled callback shows, and how it is called off."""

from __future__ import annotations

import asyncio
import contextvars
import copy
import functools
import gc
import re
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import hasten

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="unset")


def callback(*args: object) -> None:
    pass


def test_they_are_instances_of_asyncios_classes(loop) -> None:
    soon = loop.call_soon(callback)
    later = loop.call_later(1, callback)
    assert isinstance(soon, asyncio.Handle)
    assert isinstance(soon, hasten.Handle)
    assert not isinstance(soon, asyncio.TimerHandle)
    assert isinstance(later, asyncio.TimerHandle)
    assert isinstance(later, asyncio.Handle)
    assert isinstance(later, hasten.TimerHandle)
    later.cancel()


def test_cancel(loop, tick: Callable[[], None]) -> None:
    out: list[int] = []
    handle = loop.call_soon(out.append, 1)
    assert not handle.cancelled()
    handle.cancel()
    handle.cancel()
    assert handle.cancelled()
    assert handle._callback is None
    tick()
    assert out == []


def test_a_callback_may_cancel_its_own_handle(loop, tick: Callable[[], None]) -> None:
    """Cancelling drops the callback and its arguments, which are in use at this very moment."""
    out: list[object] = []

    class Suicidal:
        def __call__(self, holder: list[Any], *rest: object) -> None:
            holder.pop().cancel()
            gc.collect()
            out.append((type(self).__name__, len(rest)))

    for extra in ((), ("a",), ("a", "b", "c")):
        holder: list[Any] = []
        holder.append(loop.call_soon(Suicidal(), holder, *map(list, extra)))
    tick()
    assert out == [("Suicidal", 0), ("Suicidal", 1), ("Suicidal", 3)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10, 300])
def test_any_number_of_arguments(loop, tick: Callable[[], None], count: int) -> None:
    out: list[tuple[int, ...]] = []
    loop.call_soon(lambda *args: out.append(args), *range(count))
    tick()
    assert out == [tuple(range(count))]


def test_a_callback_runs_in_the_context_of_whoever_scheduled_it(loop, tick: Callable[[], None]) -> None:
    out: list[str] = []
    var.set("scheduling")
    try:
        handle = loop.call_soon(lambda: out.append(var.get()))
        var.set("running")
        tick()
    finally:
        var.set("unset")
    assert out == ["scheduling"]
    assert handle.get_context()[var] == "scheduling"


def test_a_callback_runs_in_the_context_that_is_given(loop, tick: Callable[[], None]) -> None:
    context = contextvars.copy_context()
    context.run(var.set, "given")
    out: list[str] = []

    def note() -> None:
        out.append(var.get())
        var.set("changed")

    handle = loop.call_soon(note, context=context)
    assert handle.get_context() is context
    tick()
    assert out == ["given"]
    assert context[var] == "changed"


def test_a_context_that_is_in_use_is_reported(loop, tick: Callable[[], None], caplog) -> None:
    context = contextvars.copy_context()
    out: list[str] = []
    loop.call_soon(out.append, "never", context=context)
    loop.call_soon(out.append, "after")
    context.run(tick)
    assert out == ["after"]
    assert "cannot enter context" in caplog.text


@pytest.mark.parametrize("context", [42, "x", {}])
def test_a_context_of_a_wrong_type_is_reported(
    loop, tick: Callable[[], None], reports: list[dict[str, Any]], context: Any
) -> None:
    out: list[str] = []
    loop.call_soon(out.append, "never", context=context)
    loop.call_soon(out.append, "after")
    tick()
    assert out == ["after"]
    assert [type(report["exception"]) for report in reports] == [TypeError]


@pytest.mark.parametrize("what", [None, 1, "print", [], object()])
def test_what_cannot_be_called_is_refused(loop, what: Any) -> None:
    for schedule in (
        loop.call_soon,
        loop.call_soon_threadsafe,
        functools.partial(loop.call_later, 1),
        functools.partial(loop.call_at, 1),
    ):
        with pytest.raises(TypeError, match="a callable object was expected by call_"):
            schedule(what)


def test_a_coroutine_is_no_callback(loop) -> None:
    async def coro() -> None:
        pass

    made = coro()
    with pytest.raises(TypeError, match="coroutines cannot be used with call_soon"):
        loop.call_soon(made)
    made.close()


def test_repr(loop) -> None:
    handle = loop.call_soon(callback, 1)
    line = callback.__code__.co_firstlineno
    assert re.fullmatch(rf"<Handle callback\(\) at .*test_handles\.py:{line}>", repr(handle))
    handle.cancel()
    assert repr(handle) == "<Handle cancelled>"


def test_repr_of_a_timer(loop) -> None:
    handle = loop.call_at(123, callback)
    assert re.fullmatch(r"<TimerHandle when=123 callback\(\) at .*>", repr(handle))
    handle.cancel()
    assert repr(handle) == "<TimerHandle cancelled when=123>"


def test_repr_in_debug_mode_shows_arguments_and_origin(loop) -> None:
    loop.set_debug(True)
    handle = loop.call_soon(callback, 1, "two")
    shown = repr(handle)
    assert "callback(1, 'two') at" in shown
    assert re.search(r"created at .*test_handles\.py:\d+", shown)
    handle.cancel()
    assert "callback(1, 'two')" in repr(handle)


@pytest.mark.parametrize(
    ("func", "shown"),
    [
        (functools.partial(callback, 1), "callback("),
        (functools.partial(functools.partial(callback, 1), 2), "callback("),
        (print, "print"),
        (type("Callable", (), {"__call__": callback, "__repr__": lambda self: "<mine>"})(), "<mine>()"),
    ],
)
def test_repr_of_all_sorts_of_callables(loop, func: Any, shown: str) -> None:
    handle = loop.call_soon(func)
    assert shown in repr(handle)
    handle.cancel()


def test_timers_compare_by_deadline(loop) -> None:
    early, late = loop.call_at(1, callback), loop.call_at(2, callback)
    twin = loop.call_at(1, callback)
    assert early < late
    assert late > early
    assert early <= twin
    assert early >= twin
    assert early == twin
    assert early != late
    assert hash(early) == hash(twin)
    assert early != 1
    with pytest.raises(TypeError):
        early < 1  # noqa: B015
    twin.cancel()
    assert early != twin
    for handle in (early, late):
        handle.cancel()


def test_a_timer_compares_with_asyncios(loop) -> None:
    ours = loop.call_at(1, callback)
    stock = asyncio.TimerHandle(2, callback, (), loop)
    assert ours < stock
    assert stock > ours
    ours.cancel()


def test_when_and_scheduled(loop, tick: Callable[[], None]) -> None:
    handle = loop.call_at(loop.time() - 1, callback)
    assert handle._scheduled
    tick()
    assert not handle._scheduled


@pytest.mark.parametrize("given", [5126, 5126.0, 5126.25])
def test_when_is_what_was_given(loop, given: float) -> None:
    for handle in (loop.call_at(given, callback), hasten.TimerHandle(given, callback, (), loop)):
        assert (repr(handle.when()), repr(handle._when)) == (repr(given), repr(given))
        assert f" when={given!r} " in repr(handle)
        assert hash(handle) == hash(given)
        handle.cancel()
    later = loop.call_later(given, callback)
    assert type(later.when()) is float
    later.cancel()


def test_a_future_that_is_done_is_the_argument_of_its_callbacks(loop) -> None:
    future = loop.create_future()
    future.add_done_callback(print)
    future.set_result(None)
    (handle,) = loop._ready
    assert handle._args == (future,)
    handle.cancel()
    assert handle._args is None


class Told:
    """Called by its class only, without the interpreter's short way."""

    def __init__(self) -> None:
        self.of: list[object] = []

    def __call__(self, *args: object) -> None:
        self.of.append(args)


def test_a_callback_of_any_kind_is_called_with_the_future(loop, tick: Callable[[], None]) -> None:
    future = loop.create_future()
    told = Told()
    future.add_done_callback(told)
    future.add_done_callback(lambda *args: told(*args))
    future.add_done_callback(told.__call__)
    future.add_done_callback(functools.partial(told, 1))
    future.set_result(None)
    tick()
    assert told.of == [(future,), (future,), (future,), (1, future)]


def test_made_by_hand(loop, tick: Callable[[], None]) -> None:
    """As other loops make them: Handle(callback, args, loop, context)."""
    out: list[int] = []
    handle = hasten.Handle(out.append, [1], loop)
    assert handle._args == (1,)
    handle._run()
    loop._post(handle)
    tick()
    assert out == [1, 1]
    handle.cancel()
    handle._run()
    assert out == [1, 1]
    timer = hasten.TimerHandle(5, out.append, (2,), loop)
    assert timer.when() == 5
    timer.cancel()
    assert timer.cancelled()
    with pytest.raises(TypeError):
        hasten.TimerHandle(None, print, (), loop)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        loop._post(42)


def test_an_exception_goes_to_the_exception_handler(
    loop, tick: Callable[[], None], reports: list[dict[str, Any]]
) -> None:
    def fail() -> None:
        raise ZeroDivisionError("mine")

    handle = loop.call_soon(fail)
    tick()
    (report,) = reports
    assert report["handle"] is handle
    assert str(report["exception"]) == "mine"
    assert report["exception"].__traceback__.tb_frame.f_code.co_name in ("fail", "_run")
    assert re.match(r"Exception in callback .*fail\(\) at .*test_handles.py", report["message"])


def test_weak_references(loop) -> None:
    handle = loop.call_soon(callback)
    alive = weakref.ref(handle)
    handle.cancel()
    loop.call_soon(loop.stop)
    loop.run_forever()
    del handle
    assert alive() is None


def test_they_cannot_be_copied_into_a_second_life(loop) -> None:
    handle = loop.call_soon(callback)
    with pytest.raises(TypeError):
        copy.deepcopy(handle)
    handle.cancel()


def test_a_freelist_keeps_nothing_of_those_before(loop, tick: Callable[[], None]) -> None:
    """Handles are made anew from the memory of old ones."""
    for round_ in range(600):
        handle = loop.call_soon(callback, round_)
        if round_ % 3 == 0:
            handle.cancel()
        if round_ % 50 == 0:
            tick()
    loop.set_debug(True)
    traced = loop.call_soon(callback)
    assert traced._source_traceback
    loop.set_debug(False)
    del traced, handle
    tick()
    fresh = [loop.call_soon(callback) for _ in range(300)]
    assert not any(handle.cancelled() or handle._source_traceback for handle in fresh)
    assert "created at" not in repr(fresh[0])
    tick()
