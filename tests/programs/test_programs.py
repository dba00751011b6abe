"""The small programs in examples/, unmodified, on hasten and on the standard library: their output, to the letter."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _no_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `hasten run` report no blocked loops: where tests run side by side, a process may not get a processor."""
    monkeypatch.setenv("HASTEN_WATCH", "0")


EXAMPLES = Path(__file__).parents[2] / "examples"

# name → what it prints, and the seconds that it waits at least
PROGRAMS = {
    "hello": (["Hello...", "World!"], 1.0),
    "three_tasks": (
        [
            "Task A started",
            "Task B started",
            "Task C started",
            "Task B finished",
            "Task A finished",
            "Task C finished",
            "A, B, C after about 3 s",
        ],
        3.0,
    ),
    "create_task": (["Waiting for task...", "Task done", "work returned 42"], 1.0),
    "sleeps": (["one after the other: about 3 s", "gathered: about 1 s"], 4.0),
    "wait": (
        [
            "first completed: done A, pending B",
            "first exception: done A B, pending C",
            "results: 'A' ValueError('B failed') CancelledError('')",
            "all completed: done A B, pending none",
            "timeout: done A, pending B",
        ],
        1.3,
    ),
    "file_server": (
        [
            "small: 11 bytes, as it was",
            "large: 10240000 bytes, as it was",
            "none: no such file",
            "../outside: no such file",
        ],
        0.0,
    ),
    "udp_echo": (
        [
            *(f"{word} -> {word}" for word in ("one", "two", "three")),
            "no answer yet",
            "no answer yet",
            "nobody -> None",
            "closed -> ConnectionRefusedError",
        ],
        0.4,
    ),
    "run_child": (
        [
            *(f"child: {number}" for number in (1, 2, 3)),
            "ended by itself: 0",
            "child: waiting",
            "time is over",
            "ended by us: -15",
            "sorted: a b - the shell ended with 3",
        ],
        1.0,
    ),
}


def as_it_is(program: Path, folder: Path) -> list[str]:
    """The program with `python`: it prints what is expected without hasten, too."""
    return [str(program)]


def hasten_run(program: Path, folder: Path) -> list[str]:
    """The unmodified program with `hasten run`."""
    return ["-m", "hasten", "run", str(program)]


def namespace(program: Path, folder: Path) -> list[str]:
    """The program with `import hasten as asyncio` in the place of `import asyncio`."""
    source = program.read_text()
    assert source.count("import asyncio\n") == 1
    copy = folder / program.name
    copy.write_text(source.replace("import asyncio\n", "import hasten as asyncio\n"))
    return [str(copy)]


@pytest.mark.parametrize("way", [as_it_is, hasten_run, namespace], ids=lambda way: way.__name__)
@pytest.mark.parametrize("name", PROGRAMS)
def test_output_and_order(name: str, way: Callable[[Path, Path], list[str]], tmp_path: Path) -> None:
    expected, least = PROGRAMS[name]
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "always::ResourceWarning", *way(EXAMPLES / f"{name}.py", tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    took = time.monotonic() - start
    assert done.stdout.splitlines() == expected
    assert done.stderr == ""
    assert done.returncode == 0
    assert took >= least  # no sleep ends early; how late one ends is not tested
