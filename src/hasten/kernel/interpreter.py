"""What a thread owes to others: nothing, where the interpreter itself looks after signals and its lock."""

from __future__ import annotations


def class_version(obj: object) -> int:
    """Return a number that changes when an attribute of obj's class is set; 0: look again."""
    return 0


def check_signals() -> int:
    """Run the Python handlers of signals that have come. Raises what they raise."""
    return 0


def share_lock() -> int:
    """Let another thread have the interpreter's lock if one waits for it. That thread may change anything."""
    return 0
