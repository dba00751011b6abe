"""Observers may do anything in the middle of an event: observers.py has them do it."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import children


@pytest.mark.slow  # random programs
@pytest.mark.parametrize("first", [1, 101])
def test_observers_that_do_harm(source: Path, first: int) -> None:
    children.ended_well(children.run(source, "observers.py", str(first), "15"))
