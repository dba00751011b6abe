"""Callbacks run in copies of the context that was current when they were scheduled, though hasten makes few of them."""

from __future__ import annotations

import contextvars
import gc
import socket
import weakref
from collections.abc import Iterator
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

import hasten

var: ContextVar[Any] = ContextVar("var", default=None)
other: ContextVar[Any] = ContextVar("other", default=None)


@pytest.fixture
def loop() -> Iterator[hasten.Loop]:
    loop = hasten.new_event_loop()
    yield loop
    loop.close()


def turn(loop: hasten.Loop) -> None:
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_callbacks_do_not_see_what_others_set(loop: hasten.Loop) -> None:
    seen = []

    def callback(name: str) -> None:
        seen.append((name, var.get()))
        var.set(name)
        seen.append((name, var.get()))

    for name in "abc":
        loop.call_soon(callback, name)
    turn(loop)
    assert seen == [("a", None), ("a", "a"), ("b", None), ("b", "b"), ("c", None), ("c", "c")]
    assert var.get() is None


def test_a_callback_sees_the_context_as_it_was(loop: hasten.Loop) -> None:
    seen = []

    def schedule() -> None:
        for number in range(3):
            var.set(number)
            loop.call_soon(lambda: seen.append(var.get()))
            loop.call_later(0, lambda: seen.append(var.get()))
        var.set("later")

    copy_context().run(schedule)
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert sorted(seen) == [0, 0, 1, 1, 2, 2]


def test_what_a_callback_schedules_inherits_what_it_set(loop: hasten.Loop) -> None:
    seen = []

    def first() -> None:
        var.set(1)
        loop.call_soon(second)

    def second() -> None:
        seen.append(var.get())

    loop.call_soon(first)
    loop.call_soon(second)
    turn(loop)
    turn(loop)
    assert seen == [None, 1]


def test_contexts_given_away_are_the_handles_own(loop: hasten.Loop) -> None:
    """get_context() may be entered and changed; the callbacks that shared its snapshot do not notice."""
    seen = []
    one = loop.call_soon(lambda: seen.append(var.get()))
    two = loop.call_soon(lambda: seen.append(var.get()))
    one.get_context().run(var.set, "one")
    assert one.get_context() is one.get_context()
    assert two.get_context() is not one.get_context()
    assert var not in two.get_context()
    turn(loop)
    assert seen == ["one", None]


def test_the_context_of_a_callback_that_ran(loop: hasten.Loop) -> None:
    handle = loop.call_soon(var.set, "set")
    quiet = loop.call_soon(int)
    turn(loop)
    assert handle.get_context()[var] == "set"
    assert var not in quiet.get_context()


def test_get_context_from_inside(loop: hasten.Loop) -> None:
    handles: list[Any] = []
    seen = []

    def callback() -> None:
        var.set("inside")
        seen.append(handles[0].get_context().get(var))

    handles.append(loop.call_soon(callback))
    turn(loop)
    assert seen == ["inside"]


def test_the_exception_handler_runs_in_the_callbacks_context(loop: hasten.Loop) -> None:
    seen = []
    loop.set_exception_handler(lambda loop, context: seen.append(var.get()))

    def callback(value: int) -> None:
        if value:
            var.set(value)
        raise ValueError(value)

    for value in (1, 0, 2):
        loop.call_soon(callback, value)
    turn(loop)
    assert seen == [1, None, 2]


def test_a_context_that_somebody_keeps_is_not_used_again(loop: hasten.Loop) -> None:
    kept: list[contextvars.Context] = []

    def callback(value: int) -> None:
        kept.append(copy_context())
        other.set(value)
        kept.append(copy_context())

    for value in (1, 2):
        loop.call_soon(callback, value)
    turn(loop)
    assert [context.get(other) for context in kept] == [None, 1, None, 2]


def test_values_go_once_the_loop_waits(loop: hasten.Loop) -> None:
    class Thing:
        pass

    def schedule() -> weakref.ref[Thing]:
        thing = Thing()
        var.set(thing)
        loop.call_soon(int)
        loop.call_soon(int)
        return weakref.ref(thing)

    gone = contextvars.Context().run(schedule)
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    gc.collect()
    assert gone() is None


def test_callbacks_of_nested_turns(loop: hasten.Loop) -> None:
    """A callback that runs the queue itself (as nest_asyncio does) has its context entered meanwhile."""
    seen: list[Any] = []

    def outer() -> None:
        var.set("outer")
        loop.call_soon(inner)
        loop._run_once()
        seen.append(var.get())

    def inner() -> None:
        seen.append(var.get())
        var.set("inner")

    loop.call_soon(outer)
    loop.call_soon(inner)
    turn(loop)
    turn(loop)
    assert seen[-1] == "outer"
    assert sorted(map(str, seen)) == ["None", "outer", "outer"]


def test_the_caller_of_the_loop_is_in_its_own_context_afterwards(loop: hasten.Loop) -> None:
    tokens = []
    for value in (1, 2):
        loop.call_soon(int)
        turn(loop)
        assert var.get() == (None if value == 1 else 1)
        tokens.append(var.set(value))  # in the context of this test, not in one that callbacks have run in
    assert var.get() == 2
    for token in reversed(tokens):
        var.reset(token)  # not set to None: other tests look whether it is in their context


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_a_loop_that_ends_by_an_exception_leaves_the_context(loop: hasten.Loop, error: type[BaseException]) -> None:
    seen = []

    def fail() -> None:
        raise error

    def run() -> None:
        loop.call_soon(int)
        loop.call_soon(fail)
        with pytest.raises(error):
            loop.run_forever()
        var.set(error)
        loop.call_soon(lambda: seen.append(var.get()))
        turn(loop)

    context = copy_context()
    context.run(run)
    assert context[var] is error
    assert seen == [error]


def test_between_callbacks_tasks_and_readers_run_in_their_own(loop: hasten.Loop) -> None:
    seen: list[Any] = []
    a, b = socket.socketpair()

    async def step() -> None:
        seen.append(var.get())
        var.set("task")
        loop.call_soon(lambda: seen.append(var.get()))

    def readable() -> None:
        loop.remove_reader(a)
        seen.append(var.get())
        var.set("reader")
        loop.call_soon(lambda: (seen.append(var.get()), loop.stop()))

    def schedule() -> None:
        loop.call_soon(int)
        loop.create_task(step())
        loop.call_soon(int)
        var.set("outside")
        loop.add_reader(a, readable)
        b.send(b"x")

    with a, b:
        copy_context().run(schedule)
        loop.run_forever()
    assert seen == [None, "outside", "task", "reader"]


def test_an_outer_callback_goes_on_in_its_context_after_a_nested_turn(loop: hasten.Loop) -> None:
    seen = []

    def outer() -> None:
        loop.call_soon(int)
        loop._run_once()
        var.set("outer")
        seen.append(copy_context().get(var))

    for _ in range(2):
        loop.call_soon(int)
        loop.call_soon(outer)
        loop.call_soon(lambda: seen.append(var.get()))
    turn(loop)
    assert [value for value in seen if value] == ["outer", "outer"]
    assert var.get() is None


@pytest.mark.parametrize("value", [None, "value"])
def test_a_turn_inside_what_has_entered_another_context(loop: hasten.Loop, value: str | None) -> None:
    """A task, or a callback's own Context.run(), right behind a callback whose context the thread may still be in."""
    seen = []

    def callback() -> None:
        seen.append(var.get())
        var.set("callback")

    def ticks() -> None:
        loop.call_soon(callback)
        loop.call_soon(callback)
        loop._run_once()
        seen.append(var.get())

    async def task() -> None:
        ticks()

    def main() -> None:
        if value is not None:
            var.set(value)
        for _ in range(2):
            loop.call_soon(int)
            loop.create_task(task())
            loop.call_soon(int)
            loop.call_soon(copy_context().run, ticks)
            loop.call_soon(int)
            turn(loop)
        seen.append(var.get())

    copy_context().run(main)  # it raises if the thread is in another context afterwards
    assert seen == [value] * 13
