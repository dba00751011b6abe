"""What is forgotten is told with its place: coroutines, exceptions, tasks that do not end."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten.aio import running
from hasten.core import attending
from hasten.diagnosis import forgotten

from . import programs

HERE = __file__


@pytest.fixture
def told() -> Any:
    forgotten.tell_forgotten()
    yield
    forgotten.tell_forgotten(False)


async def work() -> None:
    raise ValueError("no such record")


def drop() -> None:
    work()  # type: ignore[unused-coroutine]


def warned(recwarn: pytest.WarningsRecorder) -> list[str]:
    return [str(each.message) for each in recwarn.list if each.category is RuntimeWarning]


@pytest.mark.usefixtures("told")
def test_a_coroutine_dropped_at_once(recwarn: pytest.WarningsRecorder) -> None:
    drop()
    (text,) = warned(recwarn)
    lines = text.splitlines()
    assert lines[0] == "coroutine 'work' was never awaited"
    line = drop.__code__.co_firstlineno + 1
    assert lines[1] == f'dropped at File "{HERE}", line {line}, in drop, which probably meant to await it'
    assert lines[2] == f'defined at File "{HERE}", line {work.__code__.co_firstlineno}'
    assert lines[-1] == "See docs/mistakes/never-awaited.md"
    assert recwarn.list[0].lineno == line


@pytest.mark.usefixtures("told")
def test_a_coroutine_dropped_by_another_function(recwarn: pytest.WarningsRecorder) -> None:
    kept = [work()]

    def clear() -> None:
        kept.clear()

    clear()
    assert warned(recwarn)[0].splitlines()[1].endswith(".clear")


def test_origins_say_where_it_was_made(recwarn: pytest.WarningsRecorder) -> None:
    forgotten.tell_forgotten(origins=True)
    try:
        assert sys.get_coroutine_origin_tracking_depth() == 1
        kept = [work()]
        line = sys._getframe().f_lineno - 1
        kept.clear()
        name = sys._getframe().f_code.co_name
        made = f'made at File "{HERE}", line {line}, in {name}, which probably meant to await it'
        assert warned(recwarn)[0].splitlines()[1] == made
    finally:
        forgotten.tell_forgotten(False)
    assert sys.get_coroutine_origin_tracking_depth() == 0


def test_debug_mode_shows_the_whole_stack(recwarn: pytest.WarningsRecorder) -> None:
    async def main() -> None:
        drop()

    forgotten.tell_forgotten()
    try:
        hasten.run(main(), debug=True)
    finally:
        forgotten.tell_forgotten(False)
    text = warned(recwarn)[0]
    assert "\nCoroutine created at (most recent call last)\n" in text
    assert text.index(", in main") < text.rindex(", in drop")


def test_switched_off_it_is_pythons_own(recwarn: pytest.WarningsRecorder) -> None:
    forgotten.tell_forgotten()
    forgotten.tell_forgotten(False)
    forgotten.tell_forgotten(False)
    drop()
    assert warned(recwarn) == ["coroutine 'work' was never awaited"]


def test_a_failed_task_that_is_held_is_told_at_exit(tmp_path: Path) -> None:
    source = """
import hasten

async def work():
    raise ValueError("no such record")

async def main():
    global held, asked
    held, asked = [hasten.create_task(work(), name=name) for name in ("held", "asked")]
    await hasten.wait([held, asked])

hasten.run(main())
asked.exception()
print("the end", flush=True)
"""
    done = programs.run(source, tmp_path)
    assert (done.returncode, done.stdout) == (0, "the end\n")
    lines = done.stderr.splitlines()
    assert lines[0] == "Task exception was never retrieved"
    assert lines[1] == "future: task 'held'"
    assert lines[2].startswith("created_at: File ")
    assert "See docs/mistakes/exception-nobody-took.md" in lines
    assert lines[-1] == "ValueError: no such record"
    assert "asked" not in done.stderr


@pytest.mark.usefixtures("told")
def test_what_has_failed_is_not_held() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)
        task = hasten.create_task(work())
        await hasten.wait([task])
        assert len(forgotten._failed) == 1
        del task
        assert not forgotten._failed

    gc.disable()
    try:
        hasten.run(main())
    finally:
        gc.enable()


def test_a_task_that_is_destroyed_says_where_it_was_made_and_stood() -> None:
    contexts: list[dict[str, Any]] = []
    loop = hasten.new_event_loop()
    loop.set_exception_handler(lambda loop, context: contexts.append(context))

    async def inner() -> None:
        await loop.create_future()

    async def outer() -> None:
        await inner()

    task = loop.create_task(outer())
    loop.call_soon(loop.call_soon, loop.stop)
    loop.run_forever()
    del task
    loop.close()
    gc.collect()
    (context,) = contexts
    assert context["message"] == "Task was destroyed but it is pending!"
    assert f'"{HERE}"' in context["created_at"]
    assert context["stood_at"].startswith(f'File "{HERE}", line {inner.__code__.co_firstlineno + 1}, in ')
    assert context["stood_at"].endswith(".inner")


def run_told(main: Any, said: hasten.Event, caplog: pytest.LogCaptureFixture) -> logging.LogRecord:
    """Run a program that ends once hasten has said something, which sets `said`; return what that was."""

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.set()

    logger = logging.getLogger("asyncio")
    listener = Listener()
    logger.addHandler(listener)
    try:
        hasten.run(main)
    finally:
        logger.removeHandler(listener)
    (record,) = [each for each in caplog.records if each.name == "asyncio"]
    return record


def test_tasks_that_do_not_end_are_told_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "CANCEL_TIMEOUT", 0.01)
    said = hasten.Event()

    async def stubborn() -> None:
        try:
            await hasten.sleep(100)
        finally:
            await said.wait()
            await hasten.sleep(0.02)

    async def ends() -> None:
        await hasten.sleep(100)

    async def main() -> None:
        for name, make in (("first", stubborn), ("second", stubborn), ("third", ends)):
            hasten.create_task(make(), name=name)
        await hasten.sleep(0)

    record = run_told(main(), said, caplog)
    assert record.levelname == "WARNING"
    lines = record.getMessage().splitlines()
    assert lines[0] == "2 tasks that run() cancelled 0.01 s ago have not ended, and run() waits for them:"
    assert lines[1] == "  task 'first'"
    assert lines[2].startswith(f'    made at File "{HERE}"')
    assert lines[3].startswith(f'    stands at File "{HERE}", line {stubborn.__code__.co_firstlineno + 4}, in ')
    assert lines[4] == "  task 'second'"
    assert lines[-1] == "See docs/mistakes/tasks-that-do-not-end.md"
    assert "third" not in record.getMessage()


def test_of_many_that_do_not_end_some_are_told(caplog: Any, monkeypatch: Any) -> None:
    """And who has a hostile class is told by its true name."""
    monkeypatch.setattr(running, "CANCEL_TIMEOUT", 0.01)
    said = hasten.Event()

    class Hostile(hasten.Task[None]):
        def get_name(self) -> str:
            raise ZeroDivisionError

    async def stubborn() -> None:
        try:
            await hasten.sleep(100)
        finally:
            await said.wait()

    async def main() -> None:
        tasks = [Hostile(stubborn(), loop=hasten.get_running_loop(), name=f"t{i:02}") for i in range(50)]
        await hasten.sleep(0)
        del tasks

    record = run_told(main(), said, caplog)
    text = record.getMessage()
    assert text.startswith("50 tasks that run() cancelled")
    assert [line for line in text.splitlines() if line.startswith("  task ")] == [
        f"  task 't{i:02}'" for i in range(20)
    ]
    assert "\n  … and 30 more\n" in text


def test_a_hook_for_failed_tasks_that_raises_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    told: list[Any] = []

    def hook(task: Any) -> None:
        told.append(task)
        raise KeyError("the hook's")

    async def main() -> None:
        with pytest.raises(ValueError, match="no such record"):
            await hasten.create_task(work())

    attending.on_failed = hook
    hasten.run(main())
    assert attending.on_failed is None
    assert len(told) == 1
    assert "a companion of hasten's failed and is off now" in caplog.text
