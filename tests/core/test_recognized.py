"""The notes on mistakes that the interpreter itself names: they come where a task ends by such an exception."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import hasten
from hasten.core import advice, attending


async def work() -> int:
    await hasten.sleep(0)
    return 1


async def awaits(thing: Any) -> None:
    await thing


async def awaits_twice(make: Callable[[], Awaitable[Any]]) -> None:
    coro = make()
    await coro
    await coro


async def awaits_what_runs() -> None:
    coro: Any = work()
    task = hasten.create_task(coro)
    await hasten.sleep(0)
    try:
        await coro
    finally:
        await task


async def runs_what_has_ended() -> None:
    coro: Any = work()
    await coro
    await hasten.create_task(coro)


async def uses(how: Callable[[Any], object]) -> None:
    coro = work()
    try:
        how(coro)
    finally:
        coro.close()


def notes(exc: BaseException) -> list[str]:
    return list(getattr(exc, "__notes__", ()))


@pytest.mark.parametrize(
    ("make", "mistake"),
    [
        (lambda: awaits(5), advice.NOT_AWAITABLE),
        (lambda: awaits(None), advice.NOT_AWAITABLE),
        (lambda: awaits(work), advice.NOT_AWAITABLE),
        (lambda: awaits([]), advice.NOT_AWAITABLE),
        (lambda: awaits_twice(work), advice.AWAITED_TWICE),
        (lambda: awaits_twice(lambda: hasten.sleep(0)), advice.AWAITED_TWICE),
        (lambda: awaits_twice(lambda: hasten.Lock().acquire()), advice.AWAITED_TWICE),
        (awaits_what_runs, advice.AWAITED_TWICE),
        (runs_what_has_ended, advice.AWAITED_TWICE),
        (lambda: uses(lambda coro: coro.json()), advice.NEVER_AWAITED),
        (lambda: uses(lambda coro: coro[0]), advice.NEVER_AWAITED),
        (lambda: uses(lambda coro: coro + 1), advice.NEVER_AWAITED),
        (lambda: uses(lambda coro: 1 - coro), advice.NEVER_AWAITED),
        (lambda: uses(list), advice.NEVER_AWAITED),
    ],
)
def test_the_note_comes_once(make: Callable[[], Any], mistake: str) -> None:
    async def main() -> None:
        await hasten.create_task(make())  # it passes through two tasks

    with pytest.raises((TypeError, RuntimeError, AttributeError)) as caught:
        hasten.run(main())
    assert notes(caught.value) == [advice.text(mistake)]


@pytest.mark.parametrize(
    "exc",
    [
        TypeError(),
        TypeError(5),
        TypeError("unsupported operand type(s) for +: 'int' and 'str'"),
        AttributeError("'int' object has no attribute 'json'"),
        RuntimeError("object int can't be used in 'await' expression"),
        type("Own", (TypeError,), {})("object int can't be used in 'await' expression"),
        type("Text", (str,), {"__eq__": None})("x"),
    ],
)
def test_what_is_no_such_mistake_has_none(exc: Any) -> None:
    if isinstance(exc, str):
        exc = TypeError(exc)

    async def main() -> None:
        raise exc

    with pytest.raises(type(exc)):
        hasten.run(main())
    assert notes(exc) == []


def test_what_a_program_catches_is_as_python_made_it() -> None:
    async def main() -> list[str]:
        try:
            await awaits(5)
        except TypeError as exc:
            return notes(exc)
        return ["nothing was raised"]

    assert hasten.run(main()) == []


@pytest.mark.parametrize("there", ["no list", ["a note", 5], (), [advice.text(advice.NOT_AWAITABLE)]])
def test_notes_that_are_there_already_stay(there: Any) -> None:
    async def main() -> None:
        try:
            await awaits(5)
        except TypeError as exc:
            exc.__notes__ = there
            raise

    before = list(there)
    with pytest.raises(TypeError) as caught:
        hasten.run(main())
    after: Any = caught.value.__notes__
    added = before == ["a note", 5]
    assert list(after)[: len(before)] == before
    assert len(after) == len(before) + added


def test_a_task_that_fails_so_is_still_told_if_nobody_asks_it(caplog: Any) -> None:
    async def main() -> None:
        task = hasten.create_task(awaits(5))
        await hasten.sleep(0)
        await hasten.sleep(0)
        del task

    hasten.run(main())
    [record] = [each for each in caplog.records if "never retrieved" in each.getMessage()]
    assert record.exc_info is not None
    assert notes(record.exc_info[1]) == [advice.text(advice.NOT_AWAITABLE)]


@pytest.mark.parametrize("raised", [KeyboardInterrupt, MemoryError, ValueError])
def test_who_waits_is_woken_whatever_happens_to_the_note(raised: type[BaseException], monkeypatch: Any) -> None:
    def no_note(exc: BaseException) -> None:
        monkeypatch.undo()
        raise raised

    loop = hasten.new_event_loop()
    try:
        monkeypatch.setattr(advice, "recognize", no_note)
        main = loop.create_task(awaits_task())
        if raised is KeyboardInterrupt:
            with pytest.raises(KeyboardInterrupt):
                loop.run_until_complete(main)
        assert loop.run_until_complete(main) == "it failed"
    finally:
        loop.close()


async def awaits_task() -> str:
    try:
        await hasten.create_task(awaits(5))
    except TypeError:
        return "it failed"
    return "nothing was raised"


def test_who_waits_is_woken_although_a_companion_is_interrupted(monkeypatch: Any) -> None:
    def interrupted(task: Any) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    loop = hasten.new_event_loop()
    try:
        monkeypatch.setattr(attending, "on_failed", interrupted)
        main = loop.create_task(awaits_task())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(main)
        assert loop.run_until_complete(main) == "it failed"
    finally:
        loop.close()
