"""The compiled core under AddressSanitizer and UndefinedBehaviorSanitizer: its tests, and random programs."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRIMITIVES = ("many_futures", "gathering", "waiting", "timeouts", "completing_limited", "completing", "shielding")
GROUPS = [
    *(
        "kernel.step",
        "kernel.channel",
        "kernel.socket_channel",
        "kernel.datagram_channel",
        "kernel.stalls",
        "kernel.nudge",
        "net.flow_control",
        "net.outbox",
    ),
    *("core.future", "core.task", "core.native", "core.handle", "core.scheduler"),
    *("core.probe", "core.observing", "core.batches", "poll.virtual"),
    *("diagnosis.recorder", "diagnosis.meter", "diagnosis.watcher"),
    *("net.stream", "net.listening", "functions", "classes", "loop"),
    *(f"primitives.{name}" for name in (*PRIMITIVES, "taskgroups", "locks", "queues")),
]
NETWORK = [
    *("stream_transport", "stream_flow", "stream_endings", "accepted", "servers", "sendfile", "sock_calls"),
    "transport_attributes",
    *("sendfile_files", "sock_buffers", "datagrams", "datagrams_errors", "pipes", "pipes_hostile", "pipes_shared"),
]
COMPANIONS = [
    *("watch", "watch_hostile", "nudge", "metrics", "trace", "trace_hostile", "deadlock"),
    *("wait_graph", "wait_graph_hostile", "inspecting"),
]
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
    for folder in ("src", "tests", "docs"):
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


def more_stack() -> None:
    """Sanitized frames are several times as large: so deep calls need more than 8 MiB."""
    _, most = resource.getrlimit(resource.RLIMIT_STACK)
    room = 1 << 30
    resource.setrlimit(resource.RLIMIT_STACK, (room if most == resource.RLIM_INFINITY else min(room, most), most))


def run(where: Path, *args: str, quarantine: int = 256, pools: bool = False) -> str:
    """What a program prints.

    quarantine: MiB of freed memory that AddressSanitizer keeps, to notice if it is used.
    pools: with free lists, as shipped; else what dies is freed at once.
    """
    extra = {"HASTEN_POOLS": "1"} if pools else {"HASTEN_SANITIZE": "1"}  # the tests look for it
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
            **extra,
        },
        preexec_fn=more_stack,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=1400,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Sanitizer" not in said, said[said.index("Sanitizer") - 200 :][:6000]
    assert "runtime error:" not in said, said[said.index("runtime error:") - 200 :][:6000]
    wrong = "".join(line for line in said.splitlines(keepends=True) if line.startswith("WRONG"))
    assert done.returncode == 0, f"status {done.returncode}\n{wrong[:3000]}{said[-6000:]}"
    return done.stdout


def test_it_is_the_sanitized_build_that_runs(sanitized: Path) -> None:
    said = run(sanitized, "-c", "import hasten.core.task as t; print(t.__file__)")
    library_path = Path(said.strip())
    assert library_path.is_relative_to(sanitized)
    assert b"__asan_init" in library_path.read_bytes()


@pytest.mark.parametrize("pools", [False, True], ids=["freed", "pooled"])
@pytest.mark.parametrize("folder", ["tests/core", "tests/poll", "tests/primitives", "tests/aio"])
def test_the_tests_pass(sanitized: Path, folder: str, pools: bool) -> None:
    run(sanitized, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "not abuse", folder, pools=pools)


@pytest.mark.parametrize("name", NETWORK)
def test_the_network_s_tests_pass(sanitized: Path, name: str) -> None:
    run(sanitized, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/net/test_{name}.py", pools=True)


@pytest.mark.parametrize("name", COMPANIONS)
def test_the_companions_tests_pass(sanitized: Path, name: str) -> None:
    run(sanitized, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/diagnosis/test_{name}.py", pools=True)


@pytest.mark.parametrize("name", ["virtual_time", "schedules"])
def test_the_tests_of_virtual_time_pass(sanitized: Path, name: str) -> None:
    run(sanitized, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/testing/test_{name}.py", pools=True)


@pytest.mark.parametrize("pools", [False, True], ids=["freed", "pooled"])
@pytest.mark.parametrize("seed", range(3))
def test_random_programs(sanitized: Path, seed: int, pools: bool) -> None:
    said = run(sanitized, "-W", "ignore", "tests/sanitize/stress.py", str(seed), "3000", pools=pools)
    assert said.endswith("done\n")


def test_a_million_tasks_cancelled_at_random_points(sanitized: Path) -> None:
    """Nothing grows. What is freed may not rest before it is used again, or that would look like growth."""
    said = run(sanitized, "-W", "ignore", "tests/sanitize/stress.py", "1", "10002", "cancellations", quarantine=1)
    assert said.endswith("done\n")


@pytest.mark.parametrize("pools", [False, True], ids=["freed", "pooled"])
@pytest.mark.parametrize("seed", range(101, 107))
def test_hostile_programs(sanitized: Path, seed: int, pools: bool) -> None:
    said = run(
        sanitized, *("-W", "ignore", "tests/hostile/program.py", str(seed), "1", "--patience", "10"), pools=pools
    )
    assert said.endswith("done\n")


@pytest.mark.parametrize("pools", [False, True], ids=["freed", "pooled"])
@pytest.mark.parametrize("program", ["noticed.py", "failing.py", "nomemory.py", "observers.py"])
def test_hostile_entries(sanitized: Path, program: str, pools: bool) -> None:
    """Work between two ticks, entries that fail, memory that gives out, and observers that do harm."""
    arguments = {
        "noticed.py": ["epoll"],
        "failing.py": ["hasten", "epoll"],
        "nomemory.py": ["hasten"],
        "observers.py": ["1", "15"],
    }[program]
    said = run(sanitized, "-W", "ignore", f"tests/hostile/{program}", *arguments, pools=pools)
    assert said.endswith("done\n"), said[-2000:]


@pytest.mark.parametrize("group", GROUPS)
def test_wrong_arguments(sanitized: Path, group: str) -> None:
    assert run(sanitized, "tests/core/abuse.py", group, "3").rstrip().endswith("survived")
