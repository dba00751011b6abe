"""A cheap counter of time, in plain Python; clock.pxd has the processor's own in C."""

from __future__ import annotations

import time


def count() -> int:
    """Return what the counter shows."""
    return time.monotonic_ns()


def due(now: float, wait: float) -> int:
    """Return what the counter shows `wait` seconds after `now`."""
    return time.monotonic_ns() + int(wait * 1e9)


def reached(due: int) -> bool:
    """True once the counter has reached `due`."""
    return time.monotonic_ns() >= due
