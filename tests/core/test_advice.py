"""Mistakes that are told what to do about: asyncio's exception and message, and a note."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from typing import Any

import pytest

import hasten
from hasten.core import advice


async def coro_function() -> None:
    pass


async def nested() -> None:
    coro = coro_function()
    try:
        hasten.run(coro)
    finally:
        coro.close()


async def nested_runner() -> None:
    coro = coro_function()
    try:
        hasten.Runner().run(coro)
    finally:
        coro.close()


async def nested_loop() -> None:
    asyncio.get_running_loop().run_forever()


async def nested_other_loop() -> None:
    loop = hasten.new_event_loop()
    try:
        loop.run_forever()
    finally:
        loop.close()


async def future_of_another_loop() -> None:
    loop = hasten.new_event_loop()
    try:
        await loop.create_future()
    finally:
        loop.close()


async def ensured_on_another_loop() -> None:
    loop = hasten.new_event_loop()
    try:
        hasten.ensure_future(asyncio.get_running_loop().create_future(), loop=loop)
    finally:
        loop.close()


async def coroutine_scheduled() -> None:
    coro = coro_function()
    try:
        asyncio.get_running_loop().call_soon(coro)  # type: ignore[arg-type]
    finally:
        coro.close()


async def coroutine_in_executor() -> None:
    asyncio.get_running_loop().set_debug(True)
    await asyncio.get_running_loop().run_in_executor(None, coro_function)


async def coroutine_for_signal() -> None:
    asyncio.get_running_loop().add_signal_handler(10, coro_function)


async def task_of_function() -> None:
    hasten.create_task(coro_function)  # type: ignore[arg-type]


async def task_class_of_function() -> None:
    hasten.Task(coro_function)  # type: ignore[arg-type]


async def ensured_function() -> None:
    hasten.ensure_future(coro_function)  # type: ignore[call-overload]


async def gathered_function() -> None:
    await hasten.gather(coro_function)  # type: ignore[call-overload]


async def waited_function() -> None:
    await hasten.wait_for(coro_function, 1)  # type: ignore[arg-type]


async def handed_function() -> None:
    hasten.run_coroutine_threadsafe(coro_function, asyncio.get_running_loop())  # type: ignore[arg-type]


async def other_thread() -> None:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    await hasten.to_thread(loop.call_soon, print)


async def closed() -> None:
    loop = hasten.new_event_loop()
    loop.close()
    loop.call_soon(print)


async def a_number() -> None:
    hasten.ensure_future(42)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("program", "kind", "text", "mistake"),
    [
        (nested, RuntimeError, "cannot be called from a running event loop", advice.NESTED_RUN),
        (nested_runner, RuntimeError, "cannot be called from a running event loop", advice.NESTED_RUN),
        (nested_loop, RuntimeError, "This event loop is already running", advice.NESTED_RUN),
        (nested_other_loop, RuntimeError, "while another loop is running", advice.NESTED_RUN),
        (future_of_another_loop, RuntimeError, "attached to a different loop", advice.TWO_LOOPS),
        (ensured_on_another_loop, ValueError, "belongs to a different loop", advice.TWO_LOOPS),
        (coroutine_scheduled, TypeError, "coroutines cannot be used with call_soon", advice.COROUTINE_AS_CALLBACK),
        (coroutine_in_executor, TypeError, "coroutines cannot be used with", advice.COROUTINE_AS_CALLBACK),
        (coroutine_for_signal, TypeError, "coroutines cannot be used with", advice.COROUTINE_AS_CALLBACK),
        (task_of_function, TypeError, "a coroutine was expected", advice.NOT_A_COROUTINE),
        (task_class_of_function, TypeError, "a coroutine was expected", advice.NOT_A_COROUTINE),
        (ensured_function, TypeError, "a coroutine or an awaitable is required", advice.NOT_A_COROUTINE),
        (gathered_function, TypeError, "a coroutine or an awaitable is required", advice.NOT_A_COROUTINE),
        (waited_function, TypeError, "a coroutine or an awaitable is required", advice.NOT_A_COROUTINE),
        (handed_function, TypeError, "A coroutine object is required", advice.NOT_A_COROUTINE),
        (a_number, TypeError, "a coroutine or an awaitable is required", advice.NOT_A_COROUTINE),
        (other_thread, RuntimeError, "Non-thread-safe operation", advice.WRONG_THREAD),
        (closed, RuntimeError, "Event loop is closed", advice.CLOSED_LOOP),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_note_says_what_to_do(program: Callable[[], Any], kind: type, text: str, mistake: str) -> None:
    with pytest.raises(kind, match=text) as caught:
        hasten.run(program())
    (note,) = caught.value.__notes__
    assert note.startswith(advice.ADVICE[mistake])
    assert note.endswith(f"\nSee docs/mistakes/{mistake}.md")


def test_without_a_loop() -> None:
    coro = coro_function()
    with pytest.raises(RuntimeError, match="^no running event loop") as caught:
        hasten.create_task(coro)
    coro.close()
    assert caught.value.__notes__[0].endswith("See docs/mistakes/no-running-loop.md")


def test_a_function_that_was_not_called_is_told_everywhere() -> None:
    """By create_task(), as by gather() and run(); and by the loop, which has asyncio's words."""
    loop = hasten.new_event_loop()
    try:
        for call in (loop.create_task, lambda function: hasten.Task(function, loop=loop)):
            with pytest.raises(TypeError, match=r"did you forget to call it\? coro_function\(\)") as caught:
                call(coro_function)  # type: ignore[arg-type]
            assert caught.value.__notes__[0].endswith("See docs/mistakes/not-a-coroutine.md")
        with pytest.raises(TypeError) as caught:
            loop.run_until_complete(coro_function)  # type: ignore[arg-type]
        assert caught.value.__notes__[0].endswith("See docs/mistakes/not-a-coroutine.md")
        with pytest.raises(TypeError, match="a coroutine was expected, got 42"):
            loop.create_task(42)  # type: ignore[arg-type]
    finally:
        loop.close()


def test_a_runner_that_is_closed() -> None:
    runner = hasten.Runner()
    with runner:
        runner.run(coro_function())
    with pytest.raises(RuntimeError, match="Runner is closed") as caught:
        runner.get_loop()
    assert caught.value.__notes__[0].endswith("See docs/mistakes/closed-loop.md")


def test_a_function_that_was_not_called() -> None:
    with pytest.raises(TypeError, match=r"call it: coro_function\(\)") as caught:
        hasten.run(coro_function)  # type: ignore[arg-type]
    assert caught.value.__notes__[0].endswith("See docs/mistakes/not-a-coroutine.md")


def test_notes_survive_pickling() -> None:
    exc = advice.add(RuntimeError("text"), advice.TWO_LOOPS)
    again = pickle.loads(pickle.dumps(exc))
    assert (again.args, again.__notes__) == (exc.args, exc.__notes__)


def test_every_advice_is_a_sentence() -> None:
    for mistake, text in advice.ADVICE.items():
        assert mistake == mistake.lower()
        assert text.endswith(".")
        assert "  " not in text
