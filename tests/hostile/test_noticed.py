"""Between two ticks much can run: destructors, the collector, signal handlers, the exception handler. Whatever is made
ready there is noticed in the next tick; the loop does not sleep over it. noticed.py tries each kind of work in each
such place."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from . import children

POLLERS = ["epoll", "selectors"] if sys.platform == "linux" else ["selectors"]


@pytest.mark.parametrize("poller", POLLERS)
def test_what_is_scheduled_between_ticks_is_noticed(source: Path, poller: str) -> None:
    children.ended_well(children.run(source, "noticed.py", poller))
