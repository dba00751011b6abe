"""At the limits: numbers that are no fd, numbers that no table could hold, no fd to spare."""

from __future__ import annotations

import errno
import os
import resource
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten.poll import choice


@pytest.mark.parametrize("method", ["add_reader", "add_writer"])
@pytest.mark.parametrize("number", [10**6, 2**31 - 1])
def test_a_huge_number_costs_no_memory(loop: Any, method: str, number: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(OSError) as caught:
        getattr(loop, method)(number, print)
    assert caught.value.errno == errno.EBADF
    # KiB on Linux: a table with a place for each number would take megabytes
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4000


@pytest.mark.parametrize("what", [-1, -5, 2**40, "x", None, 1.5, object(), socket.socket])
def test_what_is_no_fd_is_refused(loop: Any, what: Any) -> None:
    for method in (loop.add_reader, loop.add_writer):
        with pytest.raises(ValueError, match="Invalid file"):
            method(what, print)
    for method in (loop.remove_reader, loop.remove_writer):
        with pytest.raises(ValueError, match="Invalid file"):
            method(what)


SCARCE = """
import os, resource, sys, hasten
used = len(os.listdir('/proc/self/fd'))
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
for spare in range(5):
    resource.setrlimit(resource.RLIMIT_NOFILE, (used - 1 + spare, most))
    try:
        loop = hasten.new_event_loop(sys.argv[1])
    except OSError as exc:
        assert exc.errno == 24, exc
        print('refused')
    else:
        loop.run_until_complete(hasten.sleep(0))
        loop.close()
        print('made')
resource.setrlimit(resource.RLIMIT_NOFILE, (200, most))
assert len(os.listdir('/proc/self/fd')) == used
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
@pytest.mark.parametrize("name", choice.NAMES)
def test_without_fds_to_spare_a_loop_is_refused_and_leaks_none(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCARCE, name],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(hasten.__file__).parents[1])},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.split()
    assert said[0] == "refused"
    assert said[-1] == "made"
