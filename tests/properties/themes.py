"""What is tried together, and what asyncio did otherwise before it became as it is now."""

from __future__ import annotations

import sys
from typing import NamedTuple

NEWEST = (3, 15)


class Theme(NamedTuple):
    """Parts of the grammar; the first Python whose asyncio behaves as the newest one's in these; what it did before."""

    parts: tuple[str, ...]
    since: tuple[int, int] = (3, 11)
    before: str = ""


THEMES = {
    "tasks": Theme(("call", "timer")),
    "uncancel": Theme(
        ("uncancel", "call"),
        (3, 13),
        "uncancel() leaves a cancellation that was not delivered yet where it is",
    ),
    "futures": Theme(("future", "call", "timer")),
    "locks": Theme(("lock", "event", "call")),
    "semaphores": Theme(("semaphore", "call")),
    "conditions": Theme(
        ("condition", "call"),
        (3, 13),
        "wait() that is cancelled forgets the message, and loses a notification that came at the same time",
    ),
    "barriers": Theme(("barrier", "call")),
    "queues": Theme(("queue", "call")),
    "shutdown": Theme(("queue", "shutdown"), (3, 13), "there is no shutdown()"),
    "gather": Theme(
        ("gather", "future", "lock", "queue", "timer"),
        (3, 12),
        "gather() of what is done already takes a tick longer",
    ),
    "waiting": Theme(("wait", "shield", "as_completed", "future", "event", "timer")),
    "wait_for": Theme(
        ("wait_for", "queue", "event", "timer"),
        (3, 13),
        "wait_for() runs what it is given in a task of its own (3.11), and is as timeout() below (3.12)",
    ),
    "timeouts": Theme(
        ("timeout", "timer", "lock"),
        (3, 13),
        "timeout() puts no TimeoutError into the context of another exception that leaves its block",
    ),
    "as_completed": Theme(("as_completed_async",), (3, 13), "as_completed() has no `async for`"),
    "groups": Theme(
        ("group", "timer"),
        (3, 13),
        "TaskGroup drops a cancellation from outside when a child fails",
    ),
    "groups in generators": Theme(
        ("group", "generator", "timer"),
        (3, 15),
        "TaskGroup wraps the GeneratorExit of a generator that is closed in its block",
    ),
    "groups cancelled": Theme(("group", "group_cancel", "timeout"), (3, 15), "TaskGroup has no cancel()"),
    "eager tasks": Theme(("eager", "lock", "queue"), (3, 14), "create_task() has no `eager_start`"),
}

# Those in which this Python's own asyncio behaves as the newest.
HERE = [name for name, theme in THEMES.items() if sys.version_info >= theme.since]


def parts_of(names: list[str]) -> list[str]:
    """The parts of the grammar that these themes are made of."""
    return sorted({part for name in names for part in THEMES[name].parts})
