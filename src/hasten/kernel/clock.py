"""A cheap counter of time, in plain Python; clock.pxd has the processor's own in C."""

from __future__ import annotations

import time

POLL_EVERY = 50_000  # nanoseconds: see clock.h


def due(now: float) -> int:
    """The count at which the next poll is due."""
    return time.monotonic_ns() + POLL_EVERY


def reached(due: int) -> bool:
    """Has the counter reached `due`?"""
    return time.monotonic_ns() >= due
