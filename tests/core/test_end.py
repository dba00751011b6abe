"""What is told while the interpreter shuts down: one report, or none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FAILED = """
import {make} as asyncio, sys{more}

async def boom():
    raise ValueError("lost")

async def main():
    task = asyncio.create_task(boom())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    {keep}

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
loop.close()
"""
KEEPERS = {
    "global": "global kept; kept = task",
    "circle": "task.me = task; sys.modules['kept'] = task",
    "builtins": "import builtins; builtins.kept = task",
}


def end_of(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "")
    return done.stderr


@pytest.mark.parametrize("keep", KEEPERS.values(), ids=KEEPERS)
def test_a_lost_exception_is_told_once(keep: str) -> None:
    told = end_of(FAILED.format(make="hasten", more="", keep=keep))
    assert told.count("Task exception was never retrieved") == 1
    assert told.splitlines()[-1] == "ValueError: lost"
    assert 'File "<string>", line 5, in boom' in told
    assert "Logging error" not in told
    assert len(told.splitlines()) < 12


def test_of_what_goes_with_the_modules_nothing_is_told() -> None:
    keep = "sys.modules['os'].kept = task"
    told = end_of(FAILED.format(make="hasten", more="", keep=keep))
    assert told == "" or told.count("Task exception was never retrieved") == 1
    assert "NoneType" not in told


def test_it_goes_where_the_program_logs(tmp_path: Path) -> None:
    file = tmp_path / "log.txt"
    more = f"\nimport logging\nlogging.basicConfig(filename={str(file)!r})"
    assert end_of(FAILED.format(make="hasten", more=more, keep=KEEPERS["global"])) == ""
    assert file.read_text().startswith("ERROR:asyncio:Task exception was never retrieved\n")


def test_a_handler_of_logging_that_fails_tells_nothing() -> None:
    more = """
import logging

class Handler(logging.Handler):
    def emit(self, record):
        try:
            1 / 0
        except Exception:
            self.handleError(record)

logging.basicConfig(handlers=[Handler()])"""
    assert end_of(FAILED.format(make="hasten", more=more, keep=KEEPERS["global"])) == ""


def test_a_handler_of_the_loop_that_fails_is_told_once() -> None:
    keep = "loop.set_exception_handler(lambda loop, context: 1 / 0); " + KEEPERS["global"]
    told = end_of(FAILED.format(make="hasten", more="", keep=keep))
    assert told.count("Unhandled error in exception handler") == 1
    assert told.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert "Logging error" not in told


def test_coroutines_futures_and_transports() -> None:
    """Of each, what asyncio tells, and no traceback of hasten's own."""
    told = end_of("""
import hasten as asyncio, socket

async def main():
    global kept
    future = asyncio.get_running_loop().create_future()
    future.set_exception(ValueError("lost"))
    ours, theirs = socket.socketpair()
    kept = asyncio.Queue().get(), asyncio.sleep(1), future, theirs, await asyncio.open_connection(sock=ours)

loop = asyncio.new_event_loop()
loop.run_until_complete(main())
""")
    assert told.count("was never awaited") == 2
    assert told.count("Future exception was never retrieved") == 1
    assert "Traceback" not in told
    assert "Exception ignored" not in told
