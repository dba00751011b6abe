"""Programs have no more errors under hasten than under asyncio. `make types` tries all checkers and Pythons."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

COMPARE = Path(__file__).with_name("compare.py")


@pytest.mark.slow("a type checker reads asyncio, aiohttp and anyio twice")
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_no_new_errors(checker: str) -> None:
    for needed in (checker, "anyio", "aiohttp", "starlette"):
        if importlib.util.find_spec(needed) is None:
            pytest.skip(f"{needed} is not installed: make types has it")
    command = [sys.executable, str(COMPARE), "--checker", checker, "--python", "3.13"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    row = done.stdout.splitlines()[-1].split("|")
    assert int(row[5]) >= 15  # the corpus has mistakes: otherwise nothing was checked
    assert row[6].strip() == row[7].strip() == "0", done.stderr
