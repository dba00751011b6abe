"""What the companions do where stderr or stdout is not there, closed or full: daemons, services, pythonw."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hasten.core import report
from hasten.diagnosis import watch as watching

IN_C = watching.how() == "C thread"


class Broken:
    """A stderr of the program's own that fails."""

    def write(self, text: str) -> int:
        raise ZeroDivisionError

    def flush(self) -> None:
        raise ZeroDivisionError


def closed() -> Any:
    file = open(os.devnull, "w")  # noqa: SIM115
    file.close()
    return file


class Fails(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise ZeroDivisionError


@pytest.mark.parametrize("make", [lambda: None, closed, Broken])
def test_what_cannot_be_written_to_stderr_is_logged(make: Any, caplog: Any, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(sys, "stderr", make())
    report.say("a line")
    assert [record.getMessage() for record in caplog.records] == ["a line"]
    assert capsys.readouterr().out == ""  # print() would write there


def test_what_cannot_be_logged_is_written_to_stderr(capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(report.logger, "handlers", [Fails()])
    report.note(logging.WARNING, "a report")
    assert capsys.readouterr().err == "a report\n(this could not be logged: ZeroDivisionError)\n"
    for stderr in (None, closed(), Broken()):
        monkeypatch.setattr(sys, "stderr", stderr)
        report.note(logging.WARNING, "a report")
        report.say("a line")
    assert capsys.readouterr().out == ""


def test_an_exception_that_cannot_be_shown_is_told_of(caplog: Any) -> None:
    class Hostile(Exception):
        def __getattribute__(self, name: str) -> Any:
            raise ZeroDivisionError

    report.note(logging.ERROR, "a report", Hostile())
    [record] = caplog.records
    assert record.getMessage().endswith("\nHostile: it cannot be shown, it raised ZeroDivisionError")


PROGRAM = """
import logging, sys
import hasten, time
{break_it}
async def fails():
    raise ValueError("unseen")
async def main():
    for _ in range(2):
        time.sleep(0.5)
        await hasten.sleep(0.001)
        hasten.diagnosis.watch._by_variable[""]._told.clear()
    hasten.get_running_loop().kept = hasten.create_task(fails())
    await hasten.sleep(0.001)
hasten.run(main())
print("good")
"""


@pytest.mark.parametrize(
    ("break_it", "redirected"),
    [
        ("sys.stderr.close()", ""),
        ("sys.stderr = None", ""),
        ("", "2>&-"),
        ("", "2>/dev/full"),
    ],
)
def test_a_program_whose_stderr_is_gone_goes_on_and_its_log_has_all(
    break_it: str, redirected: str, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    for handler in ("", f"logging.getLogger('asyncio').addHandler(logging.FileHandler({str(log)!r}))"):
        program = tmp_path / "program.py"
        program.write_text(PROGRAM.format(break_it=f"{break_it}\n{handler}"))
        done = subprocess.run(
            ["sh", "-c", f'"$0" "$1" {redirected}', sys.executable, str(program)],
            env={**os.environ, "HASTEN_WATCH": "1"},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout) == (0, "good\n"), done.stderr
    text = log.read_text()
    assert text.count("was blocked for") == 2
    assert text.count("Task exception was never retrieved") == 1


@pytest.mark.skipif(not IN_C, reason="a hang is told by the thread of C")
def test_a_hang_is_not_written_to_what_has_stderr_s_number_now(tmp_path: Path) -> None:
    code = (
        "import os, socket, time, hasten\nfrom hasten.diagnosis import watch\nwatch.HANG = 0.1\n"
        "ours, theirs = socket.socketpair()\nassert 2 in (ours.fileno(), theirs.fileno())\n"
        "hasten.watch(0.05, report=lambda stall: None)\nasync def main():\n    time.sleep(0.3)\n"
        "    await hasten.sleep(0.001)\nhasten.run(main())\n"
        "for each in (ours, theirs):\n    each.setblocking(False)\n    try:\n        print(each.recv(100))\n"
        "    except BlockingIOError:\n        pass\n"
    )
    done = subprocess.run(
        ["sh", "-c", '"$0" -c "$1" 2>&-', sys.executable, code], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full", ""])
def test_the_line_of_a_trace_that_is_written_at_the_end(redirected: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import atexit, logging\nimport hasten, asyncio\nasyncio.run(asyncio.sleep(0))\n"
        f"logging.getLogger('asyncio').addHandler(logging.FileHandler({str(tmp_path / 'log')!r}))\n"
    )
    run = '"$0" -m hasten run --trace trace.json program.py'
    done = subprocess.run(
        ["sh", "-c", f"{run} {redirected}", sys.executable], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    told = done.stderr if not redirected else (tmp_path / "log").read_text()
    assert (done.returncode, done.stdout) == (0, "")
    assert told.startswith("hasten: wrote "), told
    assert (tmp_path / "trace.json").exists()
