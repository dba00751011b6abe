"""A start imports what a first run needs; the rest comes when it is asked for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import hasten
from hasten import compat

FIRST_RUN = """
import asyncio, sys
before = set(sys.modules)
import hasten
async def main(): pass
hasten.run(main())
print(*sorted(set(sys.modules) - before))
"""
EVERYTHING = """
import hasten
before = set(dir(hasten))
assert before >= {*hasten.__all__, 'subprocess', '__version__'}, set(hasten.__all__) - before
names = {}
exec('from hasten import *', names)
assert set(hasten.__all__) <= set(names)
assert hasten.subprocess.PIPE == -1
assert set(dir(hasten)) >= before
assert all(names[name] is getattr(hasten, name) is vars(hasten)[name] for name in hasten.__all__)
"""


def run(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(hasten.__file__).parents[1])},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(not compat.compiled(), reason="uncompiled, all that needs `cython` is imported at once")
def test_a_first_run_imports_little() -> None:
    imported = run(FIRST_RUN).split()
    assert "hasten.core.scheduler" in imported
    # what functions compiled by Cython share is made in memory, under a name that says its version
    others = {name for name in imported if not name.startswith(("hasten", "_cython_"))}
    # asyncio has the rest; the older ones typing too
    assert others <= {"__future__", "cython_runtime", "typing", "_typing"}
    unneeded = ("hasten.net.connecting", "hasten.net.servers", "hasten.net.stream", "hasten.net.tls", "hasten.cli")
    unneeded += (
        "hasten.primitives.queues",
        "hasten.primitives.locks",
        "hasten.aio.streams",
        "hasten.primitives.gathering",
    )
    assert not set(unneeded) & set(imported)


def test_everything_is_there_when_it_is_asked_for() -> None:
    run(EVERYTHING)
