"""The compiled core under AddressSanitizer and UndefinedBehaviorSanitizer: its tests, and random programs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.sanitize, pytest.mark.timeout(1500)]


def library(name: str) -> str:
    found = subprocess.run(["gcc", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    path = found.stdout.strip()
    assert os.path.isabs(path), f"gcc has no {name}"
    return path


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, built with sanitizers."""
    where = tmp_path_factory.mktemp("sanitized")
    skip = shutil.ignore_patterns("*.so", "__pycache__", "*.egg-info")
    for folder in ("src", "tests"):
        shutil.copytree(ROOT / folder, where / folder, ignore=skip)
    for file in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, where)
    built = subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"],
        cwd=where,
        env={**os.environ, "HASTEN_SANITIZE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr[-3000:]
    return where


def run(where: Path, *args: str, quarantine: int = 256) -> str:
    """Runs a program; `quarantine`: MiB of freed memory that AddressSanitizer keeps, to notice if it is used."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", *args],
        cwd=where,
        env={
            **os.environ,
            "LD_PRELOAD": f"{library('libasan.so')} {library('libubsan.so')}",
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:detect_stack_use_after_return=0"
            f":quarantine_size_mb={quarantine}",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
            "PYTHONMALLOC": "malloc",
            "PYTHONPATH": str(where / "src"),
        },
        capture_output=True,
        text=True,
        errors="replace",
        timeout=1400,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Sanitizer" not in said, said[said.index("Sanitizer") - 200 :][:6000]
    assert "runtime error:" not in said, said[said.index("runtime error:") - 200 :][:6000]
    assert done.returncode == 0, said[-6000:]
    return done.stdout


def test_it_is_the_sanitized_build_that_runs(sanitized: Path) -> None:
    said = run(sanitized, "-c", "import hasten.core.task as t; print(t.__file__)")
    library_path = Path(said.strip())
    assert library_path.is_relative_to(sanitized)
    assert b"__asan_init" in library_path.read_bytes()


@pytest.mark.parametrize("folder", ["tests/core", "tests/poll", "tests/net/test_stream_transport.py"])
def test_the_tests_pass(sanitized: Path, folder: str) -> None:
    # the chains of 300,000 tasks need more stack than sanitized frames leave
    run(sanitized, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "not long_chain and not abuse", folder)


@pytest.mark.parametrize("seed", range(4))
def test_random_programs(sanitized: Path, seed: int) -> None:
    assert run(sanitized, "-W", "ignore", "tests/sanitize/stress.py", str(seed), "600").endswith("done\n")


def test_a_million_tasks_cancelled_at_random_points(sanitized: Path) -> None:
    """Nothing grows. What is freed may not rest before it is used again, or that would look like growth."""
    said = run(sanitized, "-W", "ignore", "tests/sanitize/stress.py", "1", "10002", "cancellations", quarantine=1)
    assert said.endswith("done\n")


@pytest.mark.parametrize("group", ["core.future", "core.task", "core.handle", "net.stream", "aio.gathering", "loop"])
def test_wrong_arguments(sanitized: Path, group: str) -> None:
    assert run(sanitized, "tests/core/abuse.py", group, "3").rstrip().endswith("survived")
