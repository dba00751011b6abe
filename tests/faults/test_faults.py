"""System calls fail on purpose while small programs run: of each scenario a few faults, always the same.

Others: `HASTEN_FAULT_SEED=2 make test T=tests/faults`; more: `HASTEN_FAULTS=20`. All of them: `make faults`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .scenarios import SCENARIOS

SEED = os.environ.get("HASTEN_FAULT_SEED", "1")
EACH = os.environ.get("HASTEN_FAULTS", "2")
PROGRAM = Path(__file__).with_name("run.py")
UNAVAILABLE = 2  # its exit status


@pytest.mark.parametrize("name", [pytest.param(name, id=f"{name}-seed{SEED}") for name in SCENARIOS])
def test_faults_are_told_or_absorbed(name: str) -> None:
    command = [sys.executable, "-W", "ignore", str(PROGRAM), name, "--sample", EACH, "--seed", SEED]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == UNAVAILABLE:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, f"seed {SEED}:\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
