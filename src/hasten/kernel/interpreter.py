"""What a thread owes to others: nothing, where the interpreter itself looks after signals and its lock."""

from __future__ import annotations


def class_version(obj: object) -> int:
    """A number that changes when an attribute of obj's class is set; 0: look again."""
    return 0


def check_signals() -> int:
    """Runs the Python handlers of signals that have come; their exceptions are raised."""
    return 0


def share_lock() -> int:
    """Lets another thread have the interpreter's lock if one waits for it. Anything may have happened afterwards."""
    return 0
