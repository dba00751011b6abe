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
# An interpreter each. A floor stands for all of its modules.
GROUPS = ("kernel", "core", "poll", "net", "primitives", "diagnosis", "functions", "classes", "loop")
SEEDS = (1, 2, 11)


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    where = str(Path(hasten.__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", str(PROGRAM), *args],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=290,
        env={"PYTHONPATH": where, "PATH": "/usr/bin:/bin"},
        cwd=folder,  # "epoll" may be taken for the address of a unix server
        check=False,
    )


def test_every_group_is_tried(tmp_path: Path) -> None:
    listed = run(tmp_path, "groups")
    assert listed.returncode == 0, listed.stderr
    assert {group.partition(".")[0] for group in listed.stdout.split()} == set(GROUPS)


def test_no_loop_is_no_loop_with_watches() -> None:
    with pytest.raises(ValueError, match="Invalid file object"):
        hasten.core.fdwatch.known(None, object())


def test_a_wrong_group_is_told(tmp_path: Path) -> None:
    assert run(tmp_path, "nonsense", "1").stderr.endswith("no group is called 'nonsense'\n")


@pytest.mark.slow  # some million calls, in an interpreter for each group and seed
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("group", GROUPS)
def test_wrong_arguments(group: str, seed: int, tmp_path: Path) -> None:
    done = run(tmp_path, group, str(seed))
    said = [line for line in done.stdout.splitlines() if line.strip()]
    last = said[-1] if said else "nothing"
    assert done.returncode == 0, f"status {done.returncode}; the last call was: {last}\n{done.stderr[-4000:]}"
    assert last == "survived", f"it ended early, after: {last}\n{done.stderr[-4000:]}"
