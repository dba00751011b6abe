"""hasten.trace(on_stall=..., on_error=...): recordings that are written by themselves."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten.cli.main import main as command
from hasten.core import attending
from hasten.diagnosis import trace as tracing
from hasten.diagnosis import trace_file


async def stalls() -> None:
    time.sleep(0.5)  # noqa: ASYNC251 # the mistake
    await hasten.sleep(0.001)


async def fails() -> None:
    hasten.get_running_loop().call_soon(lambda: 1 / 0)
    await hasten.sleep(0)


async def reports() -> None:
    hasten.get_running_loop().call_exception_handler({"message": "something broke"})


async def does_nothing() -> None:
    await hasten.sleep(0)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@pytest.mark.parametrize(
    ("main", "wanted"),
    [
        (stalls, "the event loop was blocked for"),
        (fails, "Exception in callback"),
        (reports, "something broke"),
        (does_nothing, ""),
    ],
)
def test_written_when_it_happens(main: Callable[[], Any], wanted: str, tmp_path: Path, caplog: Any) -> None:
    trace = hasten.trace(tmp_path / "t.json", on_stall=0.1, on_error=True)
    try:
        hasten.run(main())
    finally:
        trace.stop()
    assert names(tmp_path) == (["t.1.json"] if wanted else [])
    if wanted:
        assert trace_file.read(tmp_path / "t.1.json")["loops"][0]["events"]
        [text] = [each.getMessage() for each in caplog.records if "wrote a trace" in each.getMessage()]
        assert f"since {wanted}" in text
        assert f"hasten trace {tmp_path / 't.1.json'}" in text


def test_not_what_was_not_asked_for(tmp_path: Path) -> None:
    with hasten.trace(tmp_path / "t.json", on_stall=0.1):
        hasten.run(fails())
    with hasten.trace(tmp_path / "u.json", on_error=True):
        hasten.run(stalls())
    assert names(tmp_path) == ["t.json", "u.json"]
    assert not attending.on_report


def test_once_a_minute_and_ten_files(tmp_path: Path, monkeypatch: Any) -> None:
    with hasten.trace(tmp_path / "t.json.gz", on_error=True) as trace:
        hasten.run(reports())
        hasten.run(reports())
        assert trace._writer is not None
        trace._writer.join()
        assert names(tmp_path) == ["t.1.json.gz"]
        first = (tmp_path / "t.1.json.gz").read_bytes()
        monkeypatch.setattr(tracing, "AGAIN", 0.0)
        trace._next = 0.0
        for _ in range(10):
            hasten.run(reports())
            trace._writer.join()
    assert names(tmp_path) == sorted([*(f"t.{number}.json.gz" for number in range(1, 11)), "t.json.gz"])
    assert (tmp_path / "t.1.json.gz").read_bytes() != first  # the eleventh took its place


def test_what_cannot_be_written_is_logged(tmp_path: Path, caplog: Any) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    trace = hasten.trace(folder / "t.json", on_error=True)
    folder.rmdir()
    hasten.run(reports())
    trace.stop()
    assert any("could not write the trace" in each.getMessage() for each in caplog.records)


def test_an_error_while_it_is_written_is_no_deadlock(tmp_path: Path) -> None:
    trace = hasten.trace(tmp_path / "t.json", on_error=True)
    taken = trace._taken

    def reported_meanwhile() -> Any:
        trace._reported(None, {"message": "in the middle"})
        return taken()

    trace._taken = reported_meanwhile  # type: ignore[method-assign]
    hasten.run(reports())
    trace.stop()
    assert names(tmp_path) == ["t.1.json"]


def test_who_fails_to_attend_is_told_nothing_more(caplog: Any) -> None:
    def broken(loop: Any, context: dict[str, Any]) -> None:
        raise ValueError("not today")

    attending.on_report.append(broken)
    hasten.run(reports())
    assert not attending.on_report
    messages = [each.getMessage() for each in caplog.records if each.levelno >= logging.ERROR]
    assert messages == ["a companion of hasten's failed and is off now: not today", "something broke"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"on_stall": 0.1}, ValueError),
        ({"on_error": True}, ValueError),
        ({"file": "t.json", "on_stall": 0}, ValueError),
        ({"file": "t.json", "on_stall": "soon"}, TypeError),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], error: type[Exception], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error):
        hasten.trace(**arguments)
    with hasten.trace() as made, pytest.raises(ValueError, match="a file is needed"):
        made.write_aside("no reason")
    assert threading.active_count() >= 1
    assert not attending.on_report


@pytest.mark.parametrize(
    ("when", "code", "wanted"),
    [
        ("stall", "time.sleep(0.5); await asyncio.sleep(0.001)", ["t.1.json", "t.json"]),
        ("error,stall", "asyncio.get_running_loop().call_exception_handler({})", ["t.1.json", "t.json"]),
        ("error", "time.sleep(0.5)", ["t.json"]),
        ("signal", "os.kill(os.getpid(), signal.SIGUSR2)", ["t.json"]),
    ],
)
@pytest.mark.skipif(not hasattr(signal, "SIGUSR2"), reason="there are no such signals on Windows")
def test_hasten_run_trace_on(when: str, code: str, wanted: list[str], tmp_path: Path) -> None:
    program = f"import asyncio, os, signal, time\nasync def main():\n    {code}\nasyncio.run(main())\n"
    words = [sys.executable, "-m", "hasten", "run", "--trace", str(tmp_path / "t.json"), "--trace-on", when]
    done = subprocess.run([*words, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == wanted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_writes_files_of_its_own(tmp_path: Path) -> None:
    code = f"""
import asyncio, os, signal
import hasten
async def main():
    asyncio.get_running_loop().call_exception_handler({{"message": "odd"}})
trace = hasten.trace({str(tmp_path / "t.json")!r}, on_error=True)
trace.write_on(signal.SIGUSR2)
child = os.fork()
if child:
    assert os.waitpid(child, 0)[1] == 0
    print(child)
hasten.run(main())
os.kill(os.getpid(), signal.SIGUSR2)
trace.stop()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    child = done.stdout.strip()
    assert names(tmp_path) == sorted([f"t.{child}.1.json", f"t.{child}.json", "t.1.json", "t.json"])


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["run", "--trace-on", "stall", "x.py"], "needs --trace"),
        (["run", "--trace", "t.json", "--trace-on", "never", "x.py"], "one or more of stall, error, signal"),
        (["run", "--trace", "t.json", "--trace-on"], "one or more of"),
        (["run", "--trace", "t.json", "--trace-on=", "x.py"], "one or more of"),
    ],
)
def test_wrong_command_lines(words: list[str], wanted: str, capsys: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(words) == 2
    assert wanted in capsys.readouterr().err
