"""The watch in debug mode: it tells the line beside asyncio's "Executing … took … seconds"."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from typing import Any

import pytest

import hasten
from hasten.core import observing
from hasten.diagnosis import watch as watching


@pytest.fixture(autouse=True)
def _as_when_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """HASTEN_WATCH may be set for the tests themselves."""
    from hasten.aio import companions
    from hasten.core import attending

    monkeypatch.setattr(attending, "on_debug", companions._debug)
    monkeypatch.setattr(observing, "everywhere", [])


async def blocks() -> None:
    time.sleep(0.5)  # noqa: ASYNC251 # the mistake


def told(caplog: Any) -> list[str]:
    return [each.getMessage() for each in caplog.records if "was blocked for" in each.getMessage()]


@pytest.fixture(autouse=True)
def _nothing_told_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_of_debug_mode", {})


def test_the_line_is_told_in_debug_mode_only(caplog: Any) -> None:
    hasten.run(blocks())
    assert not told(caplog)
    hasten.run(blocks(), debug=True)
    [text] = told(caplog)
    assert "in blocks: time.sleep(0.5)  # noqa" in text
    assert any("Executing" in each.getMessage() for each in caplog.records)  # asyncio's own stays


def test_switched_on_and_off_while_the_loop_runs(caplog: Any) -> None:
    async def main() -> None:
        loop = hasten.get_running_loop()
        loop.set_debug(True)
        await hasten.sleep(0)  # it begins with the next callback
        await hasten.sleep(0)
        time.sleep(0.5)  # noqa: ASYNC251
        await hasten.sleep(0)
        loop.set_debug(False)
        await hasten.sleep(0)
        await hasten.sleep(0)
        time.sleep(0.21)  # noqa: ASYNC251

    hasten.run(main(), debug=False)
    [text] = told(caplog)
    assert "time.sleep(0.5)  # noqa" in text


def test_a_loop_that_runs_again_is_watched_again_and_nothing_stays(caplog: Any) -> None:
    threads = set(threading.enumerate())
    with hasten.Runner(debug=True) as runner:
        runner.run(blocks())
        assert not observing.observers_of(runner.get_loop())
        runner.run(hasten.sleep(0))
        runner.get_loop().set_debug(False)
        runner.run(blocks())
    assert len(told(caplog)) == 1
    assert set(threading.enumerate()) == threads


def test_another_loop_is_left_alone(caplog: Any) -> None:
    async def main() -> None:
        await hasten.to_thread(hasten.run, blocks(), debug=False)

    hasten.run(main(), debug=True)
    assert not told(caplog)


def test_a_watch_of_the_program_s_own_takes_its_place(caplog: Any) -> None:
    found: list[Any] = []

    async def main() -> None:
        with hasten.watch(report=found.append):
            time.sleep(0.5)  # noqa: ASYNC251
            await hasten.sleep(0.001)

    hasten.run(main(), debug=True)
    with hasten.watch(report=found.append):
        hasten.run(blocks(), debug=True)
    assert len(found) == 2
    assert not told(caplog)


@pytest.mark.parametrize(("said", "times"), [("0", 0), ("", 1), ("1", 1)])
def test_the_variable_can_refuse_it(said: str, times: int) -> None:
    code = "import hasten, time\nasync def main():\n    time.sleep(0.5)\nhasten.run(main(), debug=True)\n"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "HASTEN_WATCH": said},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr.count("was blocked for") == times, done.stderr


def test_two_loops_that_enter_it_at_the_same_time_have_one_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2)

    class Slow(watching.Watch):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            both.wait(60)  # each has found that there is none

    monkeypatch.setattr(watching, "Watch", Slow)
    found: list[Any] = []

    async def main() -> None:
        found.append([each for each in observing.observers_of(hasten.get_running_loop()) if isinstance(each, Slow)])

    threads = [threading.Thread(target=hasten.run, args=(main(),), kwargs={"debug": True}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [one], [other] = found
    assert one is other


def test_two_loops_that_begin_at_the_same_time_have_one_watch_of_the_variable_s(monkeypatch: Any) -> None:
    both = threading.Barrier(2)

    class Slow(watching.Watch):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            both.wait(60)

    monkeypatch.setattr(watching, "Watch", Slow)
    monkeypatch.setattr(watching, "_by_variable", {})
    threads = [threading.Thread(target=watching.begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [watch] = [each for each in observing.everywhere if isinstance(each, Slow)]
    watch.stop()


def test_it_is_watched_again_when_a_watch_of_the_program_s_own_was_stopped(caplog: Any) -> None:
    async def main() -> None:
        for _ in range(2):
            hasten.watch(60.0).stop()
            await hasten.sleep(0)
        await blocks()

    hasten.run(main(), debug=True)
    assert len(told(caplog)) == 1


def test_it_is_watched_again_when_another_thread_has_stopped_one(caplog: Any) -> None:
    def stop() -> None:
        hasten.watch(60.0).stop()

    async def main() -> None:
        await hasten.to_thread(stop)
        assert isinstance(watching._of_debug_mode[""], watching.Watch)
        assert watching._of_debug_mode[""] in observing.observers_of(hasten.get_running_loop())
        await blocks()

    hasten.run(main(), debug=True)
    assert len(told(caplog)) == 1


def test_a_watch_that_was_stopped_leaves_loops_alone_that_are_not_in_debug_mode() -> None:
    async def main() -> None:
        hasten.watch(60.0).stop()
        assert not observing.observers_of(hasten.get_running_loop())

    hasten.run(main())


def test_not_again_where_the_variable_refuses_it(monkeypatch: Any) -> None:
    from hasten.core import attending

    monkeypatch.setattr(attending, "on_debug", None)

    async def main() -> None:
        hasten.watch(60.0).stop()
        assert not observing.observers_of(hasten.get_running_loop())

    hasten.run(main(), debug=True)


def test_a_watch_that_comes_while_a_loop_enters_debug_mode_is_the_only_one(monkeypatch: Any) -> None:
    made: list[Any] = []
    attach = observing.attach

    def meanwhile(observer: Any, loop: Any = None) -> None:
        if loop is not None and not made:  # of debug mode, which has seen that there is no other
            made.append(None)
            made[0] = hasten.watch(60.0)
        attach(observer, loop)

    monkeypatch.setattr(observing, "attach", meanwhile)
    found: list[Any] = []

    async def main() -> None:
        found.extend(observing.observers_of(hasten.get_running_loop()))

    hasten.run(main(), debug=True)
    made[0].stop()
    assert [each for each in found if isinstance(each, watching.Watch)] == [made[0]]


def test_a_loop_that_cannot_be_watched_for_lack_of_memory_is_not_kept(monkeypatch: Any) -> None:
    """Whoever fails to be told of the beginning is not told of the end."""
    attach = observing.attach

    def short(observer: Any, loop: Any = None) -> None:
        if type(observer) is watching.Watcher:
            raise MemoryError
        attach(observer, loop)

    monkeypatch.setattr(observing, "attach", short)
    told: list[Any] = []
    with hasten.watch(60.0) as watch:
        loop = hasten.new_event_loop()
        loop.set_exception_handler(lambda loop, context: told.append(type(context["exception"])))
        loop.run_until_complete(hasten.sleep(0))
        loop.close()
        gone = weakref.ref(loop)
        del loop
        gc.collect()
        assert gone() is None
        assert not watch._watchers
    assert told == [MemoryError]
