"""Prints what pyproject.toml asks for, one requirement a line: what building needs, and the extras that are named.

python tools/requirements.py [EXTRA ...]
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def requirements(extras: list[str]) -> list[str]:
    """The build requirements, the run-time ones and those of `extras`. KeyError names an extra that is not there."""
    with Path(__file__).parent.parent.joinpath("pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    for extra in extras:
        wanted += project["project"]["optional-dependencies"][extra]
    return list(dict.fromkeys(wanted))


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1:])))
