"""Each test of this folder runs on hasten as it is built, and on plain Python."""

from __future__ import annotations

from pathlib import Path

import pytest

import hasten
from hasten import compat

from .. import once

BUILT = Path(hasten.__file__).parents[1]


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of hasten without its extension modules."""
    return once.plain(tmp_path_factory)


@pytest.fixture(params=["compiled", "plain"] if compat.compiled() else ["plain"])
def source(request: pytest.FixtureRequest) -> Path:
    """Where the hasten to be tested lies."""
    if request.param == "compiled":
        return BUILT
    where: Path = request.getfixturevalue("plain")
    return where
