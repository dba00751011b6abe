"""An exception that is caught has no traceback, for lack of memory: where the `except` ends nothing crashes."""

from __future__ import annotations

import importlib.util

import pytest

from hasten import compat

from . import children
from .conftest import BUILT

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("_testcapi") is None, reason="this Python has no _testcapi, which lets memory fail"
    ),
    pytest.mark.skipif(not compat.compiled(), reason="in plain Python this tests the interpreter"),
]


def test_no_memory_for_several() -> None:
    children.ended_well(children.run(BUILT, "inarow.py"))
