"""Memory, objects and fds stay where they are, however long a program runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hasten

PROGRAM = Path(__file__).with_name("stress.py")
ROUNDS = {
    "tasks": 12000,  # enough that free lists which fill up (256 tasks, 256 futures) do not look like a leak
    "cancellations": 3600,  # of a hundred tasks each, again so many for the free lists; a million: make million
    "eager": 1500,
    "futures": 3000,
    "timers": 600,
    "gathers": 900,
    "timeouts": 2400,
    "connections": 300,
    "threads": 600,
    "sleepers": 900,
    "iterators": 6000,
    "locks": 900,
    "queues": 900,
    "limits": 900,
    "groups": 1500,
}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", ROUNDS)
def test_nothing_grows(name: str) -> None:
    rounds = ROUNDS[name]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(PROGRAM), "1", str(rounds), name],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONPATH": str(Path(hasten.__file__).parents[1])},
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("done\n")
