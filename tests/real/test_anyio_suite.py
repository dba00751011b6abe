"""anyio's own tests on hasten's loop: each test has to end as it does on asyncio's loop.

Its source distribution, the one of the version that is installed, is fetched from the package index once and kept in
build/. programs/anyio_plugin.py says on what the tests run: hasten's loop with asyncio's functions and tasks ("loop"),
or everything of hasten's ("install"). A test whose outcome differs is run again on both, apart from all others: a
socket that one test left to the garbage collector makes whichever test is running then fail.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs"
CACHE = Path(__file__).parents[2] / "build"
WAYS = ("loop", "install")
# The files of its tests in groups that take about as long as each other, and how many of a group pass at least.
GROUPS = {
    "sockets": (["test_sockets.py"], 200),
    "tasks": (["test_taskgroups.py", "test_synchronization.py", "test_lowlevel.py", "test_futures.py"], 200),
    "threads": (["test_from_thread.py", "test_to_thread.py", "test_to_process.py", "test_subprocesses.py"], 60),
    "rest": ([], 400),
}
# What hasten's loop cannot do yet says so, and no test that runs into it can pass.
NOT_BUILT = re.compile(r"NotImplementedError: hasten's event loop has no (create_datagram_endpoint|subprocess_\w+)\(\)")
# Tests that end otherwise, and rightly so: the beginning of their ids, in which ways, and why.
KNOWN = {
    "tests/test_to_thread.py::test_asyncio_run_does_not_leak_event_loop": (
        WAYS,
        "looks whether a thread that was told to end has ended, for which nothing waits; hasten closes its loop sooner",
    ),
    "tests/test_taskgroups.py::test_asyncio_call_graph[": (
        ("loop",),
        "asyncio's own call graph functions see waiting between tasks of asyncio's C class only",
    ),
}

MISSING = [name for name in ("anyio", "psutil", "pytest_mock", "trustme") if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"not installed for this Python: {', '.join(MISSING)}"),
    pytest.mark.timeout(1200),
]


@dataclass(frozen=True)
class End:
    """How a test ended: passed, failed, error (in set-up or tear-down), skipped, xfailed; with the error's text."""

    outcome: str
    text: str


@pytest.fixture(scope="module")
def source() -> Path:
    """The folder of anyio's source distribution."""
    name = f"anyio-{importlib.metadata.version('anyio')}"
    folder = CACHE / name
    if not folder.is_dir():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            fetch(name, Path(scratch))
            try:
                Path(scratch, name).rename(folder)
            except OSError:  # another worker was faster
                if not folder.is_dir():
                    raise
    return folder


def fetch(name: str, folder: Path) -> None:
    """Puts the distribution's files into `folder`; skips the test where the package index cannot be reached."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    command += ["--no-binary=anyio", "--dest", str(folder), name.replace("-", "==")]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        pytest.skip(f"the source distribution of {name} cannot be had: no answer from the package index")
    if done.returncode:
        why = (done.stderr.strip().splitlines() or ["pip failed"])[-1]
        pytest.skip(f"the source distribution of {name} cannot be had: {why}")
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, filter="data")


def run(source: Path, way: str, tests: list[str], folder: Path) -> tuple[dict[str, End], int]:
    """Runs `tests` (files, or ids) in a process of their own; also tells how many loops of hasten it made."""
    outcomes = folder / f"{way}.jsonl"
    launcher = ["-m", "hasten", "run", "-m", "pytest"] if way == "install" else ["-m", "pytest"]
    plugins = ["anyio", "pytest_mock", "timeout", "no:asyncio", "no:trio", "no:xdist", "no:cacheprovider"]
    options = ["-o", "addopts=", "-p", "anyio_plugin", *(word for plugin in plugins for word in ("-p", plugin))]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    path = os.pathsep.join(filter(None, [str(PROGRAMS), environment.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, *launcher, "-q", *options, "--way", way, "--outcomes", str(outcomes), *tests],
        cwd=source,
        env={**environment, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=1000,
    )
    lines = [json.loads(line) for line in outcomes.read_text().splitlines()] if outcomes.exists() else []
    assert lines, f"no test was run on {way}:\n{done.stdout[-4000:]}"
    *ends, summary = lines
    assert "hasten_loops" in summary, f"the process ended after {summary}:\n{done.stdout[-4000:]}"
    return {line["test"]: End(line["outcome"], line["text"]) for line in ends}, summary["hasten_loops"]


def known(test: str, way: str) -> bool:
    return any(test.startswith(beginning) and way in ways for beginning, (ways, _) in KNOWN.items())


def differences(way: str, stock: dict[str, End], ours: dict[str, End]) -> dict[str, tuple[End, End]]:
    """The tests that ended in another way, but for KNOWN ones and those that need what is not built yet."""
    absent = End("not run", "")
    pairs = {test: (stock.get(test, absent), ours.get(test, absent)) for test in {**stock, **ours}}
    return {
        test: (theirs, mine)
        for test, (theirs, mine) in pairs.items()
        if theirs.outcome != mine.outcome and not known(test, way) and not NOT_BUILT.search(mine.text)
    }


def compare(
    source: Path, way: str, stock: dict[str, End], tests: list[str], folder: Path
) -> dict[str, tuple[End, End]]:
    """What differs, and does so again by itself."""
    ours, loops = run(source, way, tests, folder)
    assert loops > 0
    found = differences(way, stock, ours)
    if not found:
        return {}
    again = sorted(found)
    return differences(way, run(source, "asyncio", again, folder)[0], run(source, way, again, folder)[0])


@pytest.mark.parametrize("group", GROUPS)
def test_same_as_on_asyncio(group: str, source: Path, tmp_path: Path) -> None:
    files, expected = GROUPS[group]
    elsewhere = {name for names, _ in GROUPS.values() for name in names}
    every = [path for path in sorted((source / "tests").rglob("test_*.py")) if path.name not in elsewhere]
    tests = [f"tests/{name}" for name in files] or [str(path.relative_to(source)) for path in every]
    stock, loops = run(source, "asyncio", tests, tmp_path)
    assert loops == 0
    assert sum(end.outcome == "passed" for end in stock.values()) >= expected
    for way in WAYS:
        found = compare(source, way, stock, tests, tmp_path)
        told = [f"{test}\n    {theirs.outcome} -> {mine.outcome} {mine.text}" for test, (theirs, mine) in found.items()]
        assert not found, f"{len(found)} end otherwise ({way}):\n" + "\n".join(told)
