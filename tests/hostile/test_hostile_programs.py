"""Random programs whose every destructor, callback, comparison, attribute and signal handler does harm: see deeds.py.

A modest number by default, the same each time. `make hostile` runs as many others as one likes.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from . import children

SEEDS = range(1, 4)
EACH = 10  # programs of a seed


@pytest.mark.parametrize("seed", SEEDS)
def test_hostile_programs(source: Path, seed: int) -> None:
    children.ended_well(children.run(source, "program.py", str(seed), "1", "--each", str(EACH)))


def test_nothing_is_left_of_them(source: Path) -> None:
    """The same programs again and again: neither objects nor references get more."""
    children.ended_well(children.run(source, "program.py", "11", "2", "--each", "6", "--passes", "5"))
