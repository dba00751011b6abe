"""No argument makes compiled code crash: every public callable, and every internal one that Python can reach, is called
with a table of wrong arguments, on objects in every state. The calls are in abuse.py, each group in a process of its
own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hasten

PROGRAM = Path(__file__).with_name("abuse.py")
GROUPS = [
    *("kernel.step", "kernel.sockio", "kernel.link", "kernel.epoll", "core.ready", "core.roster", "core.timers"),
    *("core.handle", "core.future", "core.task", "core.native", "core.scheduler", "core.fdwatch", "core.registry"),
    *("poll.contract", "poll.selectors", "poll.epoll", "poll.choice", "net.endpoint", "net.stream", "net.listening"),
    *("aio.sleeping", "aio.spawning", "aio.collecting", "aio.gathering", "aio.driving", "aio.timeouts", "aio.waiting"),
    *("aio.arrivals", "aio.limits", "aio.completing", "aio.shielding", "aio.children", "aio.taskgroups", "aio.kinds"),
    *("aio.binding", "aio.locks", "aio.queues", "functions", "classes", "loop"),
]
SEEDS = (1, 2, 11)
LINUX_ONLY = {"kernel.epoll", "poll.epoll"}


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    where = str(Path(hasten.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", str(PROGRAM), *args],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=250,
        env={"PYTHONPATH": where, "PATH": "/usr/bin:/bin"},
        cwd=folder,  # "epoll" may be taken for the address of a unix server
        check=False,
    )


def test_every_group_is_tried(tmp_path: Path) -> None:
    listed = run(tmp_path, "groups")
    assert listed.returncode == 0, listed.stderr
    assert set(listed.stdout.split()) == set(GROUPS) - (set() if sys.platform == "linux" else LINUX_ONLY)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("group", GROUPS)
def test_wrong_arguments(group: str, seed: int, tmp_path: Path) -> None:
    if sys.platform != "linux" and group in LINUX_ONLY:
        pytest.skip("epoll is Linux's")
    done = run(tmp_path, group, str(seed))
    said = [line for line in done.stdout.splitlines() if line.strip()]
    last = said[-1] if said else "nothing"
    assert done.returncode == 0, f"status {done.returncode}; the last call was: {last}\n{done.stderr[-4000:]}"
    assert last == "survived", f"it ended early, after: {last}\n{done.stderr[-4000:]}"
