"""Every kind of entry of a batch fails on purpose, with every kind of exception: somebody hears of it, and the loop
goes on. The kinds and the exceptions are in entries.py and entries_net.py."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from . import children

POLLERS = ["epoll", "selectors"] if sys.platform == "linux" else ["selectors"]


@pytest.mark.parametrize("poller", POLLERS)
def test_entries_that_fail(source: Path, poller: str) -> None:
    children.ended_well(children.run(source, "failing.py", "hasten", poller))


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="asyncio had no eager tasks, and lost a StopIteration in a thread"
)
def test_asyncio_s_entries_do_so_too(plain: Path) -> None:
    children.ended_well(children.run(plain, "failing.py", "asyncio", POLLERS[0]))
