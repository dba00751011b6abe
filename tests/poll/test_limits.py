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

from .. import once


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


UNCOMPILED = """
import resource, sys, hasten
from hasten.core.fdwatch import FdWatch
assert not hasten.compat.compiled()
loop = hasten.new_event_loop(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
numbers = (10**7, 2**31 - 1, 2**40, 2**200)
for number in numbers:
    try:
        loop._poller.register(FdWatch(loop, number), 1)
    except (OSError, OverflowError, ValueError):
        print('refused')
for number in numbers:
    for name in dir(loop._poller):
        if name.startswith('_') or name in ('close', 'wait'):
            continue
        method = getattr(loop._poller, name)
        for args in ((number,), (number, 1, 1)):
            try:
                if callable(method):
                    method(*args)
            except (AttributeError, OSError, OverflowError, RuntimeError, TypeError, ValueError):
                pass
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4000
"""  # the loop is not closed: it has been told that this is a forked child


@pytest.mark.parametrize("poller", choice.NAMES)
def test_uncompiled_no_method_makes_room_for_any_number(poller: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """There Python reaches all methods of a poller. Whatever they raise, they do before they take memory."""
    done = subprocess.run(
        [sys.executable, "-c", UNCOMPILED, poller],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(once.plain(tmp_path_factory))},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["refused"] * 4


SCARCE = """
import os, resource, sys, hasten
from hasten import sleep  # its module is imported when it is first asked for, which takes a descriptor
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
        loop.run_until_complete(sleep(0))
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
