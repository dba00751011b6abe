"""anyio's own tests on hasten's loop: each test has to end as it does on asyncio's loop.

Its source distribution, the one of the version that is installed, is fetched from the package index once and kept in
build/suites. programs/anyio_plugin.py says on what the tests run: hasten's loop with asyncio's functions and tasks
("loop"), or everything of hasten's ("install"). A test whose outcome differs is run again on both, apart from all
others: a socket that one test left to the garbage collector makes whichever test is running then fail.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.insert(0, HERE)

from suites import fetching  # noqa: E402 - found through the line above
from suites.comparing import ABSENT  # noqa: E402
from suites.libraries import WAYS  # noqa: E402
from suites.running import PROGRAMS, End, read  # noqa: E402

# The files of its tests in groups that take about as long as each other, and how many of a group pass at least.
GROUPS = {
    "sockets": (["test_sockets.py"], 200),
    "tasks": (["test_taskgroups.py", "test_synchronization.py", "test_lowlevel.py", "test_futures.py"], 200),
    "threads": (["test_from_thread.py", "test_to_thread.py", "test_to_process.py", "test_subprocesses.py"], 60),
    "rest": ([], 400),
}
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
    pytest.mark.anyio_suite,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed for this Python: {', '.join(MISSING)}"),
    pytest.mark.timeout(1200),
]


@pytest.fixture(scope="module")
def source() -> Path:
    """The folder of anyio's source distribution."""
    try:
        return fetching.sdist("anyio", importlib.metadata.version("anyio"), fetching.CACHE / "sources")
    except fetching.Unavailable as error:
        pytest.skip(str(error))


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
    found = read(outcomes.read_text() if outcomes.exists() else "", done.stdout[-4000:])
    assert found.ends, f"no test was run on {way}:\n{found.broken}"
    assert not found.broken, f"the process ended after {list(found.ends)[-1]}:\n{found.broken}"
    return found.ends, found.hasten_loops


def known(test: str, way: str) -> bool:
    return any(test.startswith(beginning) and way in ways for beginning, (ways, _) in KNOWN.items())


def differences(way: str, stock: dict[str, End], ours: dict[str, End]) -> dict[str, tuple[End, End]]:
    """The tests that ended in another way, but for KNOWN ones."""
    pairs = {test: (stock.get(test, ABSENT), ours.get(test, ABSENT)) for test in {**stock, **ours}}
    return {
        test: (theirs, mine)
        for test, (theirs, mine) in pairs.items()
        if theirs.outcome != mine.outcome and not known(test, way)
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
