"""What is made once in a run of tests, although pytest-xdist's processes know nothing of each other."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import hasten


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder that `make` has filled, called by whoever asked first; the others wait for it."""
    common = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent
    folder, begun = common / name, common / f"{name}.begun"
    with open(common / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
        if not folder.exists():
            shutil.rmtree(begun, ignore_errors=True)  # of one that failed
            begun.mkdir()
            make(begun)
            begun.rename(folder)
    return folder


def plain(factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of hasten without its extension modules, for PYTHONPATH."""
    package, skipped = Path(hasten.__file__).parent, shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    return once(factory, "plain", lambda folder: shutil.copytree(package, folder / "hasten", ignore=skipped))
