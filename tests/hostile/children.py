"""Runs the programs of this folder in processes of their own, compiled or not: they may crash or hang."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def run(source: Path, program: str, *args: str, timeout: float = 250.0) -> subprocess.CompletedProcess[str]:
    """Runs `program` with the hasten that lies in `source`."""
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-X", "faulthandler", str(HERE / program), *args],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": str(source), "PYTHONHASHSEED": "0"},
        check=False,
    )


def ended_well(done: subprocess.CompletedProcess[str]) -> None:
    """The program said "done"; else fails with what it said last."""
    said = done.stdout.splitlines()
    wrong = [line for line in said[:-60] if line.startswith("WRONG")][:20]
    what = "\n".join(line for line in said if not line.startswith("  [")) if len(said) < 60 else "\n".join(said[-60:])
    what = "\n".join([*wrong, what])
    assert done.returncode == 0, f"status {done.returncode}\n{what[-6000:]}\n{done.stderr[-3000:]}"
    assert said[-1] == "done", f"{what[-6000:]}\n{done.stderr[-3000:]}"
