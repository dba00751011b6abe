"""What the tests of libraries have in common."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `hasten run` report no blocked loops: where tests run side by side, a process may not get a processor."""
    monkeypatch.setenv("HASTEN_WATCH", "0")
