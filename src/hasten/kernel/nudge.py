"""What nudge.pyx does, in plain Python: nothing but sleeping."""

from __future__ import annotations

import time
from collections.abc import Callable


def available() -> bool:
    """True if the main thread can be nudged here."""
    return False


def set_hook(hook: Callable[[], object] | None) -> None:
    """Have `hook()` called in the main thread by each nudge; None: nothing."""


def after(seconds: float, path: bytes) -> bool:
    """Sleep, then nudge the main thread if that is at work; return whether it is."""
    time.sleep(seconds)
    return False


def called(unused: object) -> int:
    """Here nothing calls it."""
    return 0
