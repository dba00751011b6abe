"""Programs of their own for tests: in the test's process threads and signal handlers of others live."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run(source: str, folder: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program with HASTEN_WATCH=1."""
    path = folder / "program.py"
    path.write_text(source, "utf-8")
    env = {**os.environ, "HASTEN_WATCH": "1", **variables}
    command = [sys.executable, *options, str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=env)
