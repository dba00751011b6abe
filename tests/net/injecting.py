"""Programs whose system calls fail as strace has them fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest


def _works() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0


needs_strace = pytest.mark.skipif(not _works(), reason="needs strace, which has system calls fail")


def run_failing(
    source: str, failure: str, *arguments: str, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a program. `failure` is what strace's `inject=` takes; with `path`, calls for that file only are meant."""
    command = ["strace", "-f", "-o", os.devnull, "-e", f"inject={failure}"]
    if path is not None:
        command += ["-P", path]
    command += [sys.executable, "-c", source, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
