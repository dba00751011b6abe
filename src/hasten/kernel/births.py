"""What births.pyx does, in plain Python: nothing, since a class of C's cannot be exchanged there."""

from __future__ import annotations


def available() -> bool:
    """True if a class can be exchanged so."""
    return False


def exchange(kind: type, ours: object, loops: type) -> None:
    """Have `kind(coro, ...)` be `ours(loop, coro, name, context, eager_start)` if the loop is of the class `loops`.

    The loop is the one that is given, or that runs. Arguments that are not such a task's are left to the class.
    One class for the whole process: another one is refused.
    """


def restore() -> None:
    """Have the class make its own again."""


def new(kind: object, args: object, kwargs: object) -> object:
    """Here nothing calls it."""
    return None
