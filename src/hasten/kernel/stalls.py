"""What stalls.pyx does, in plain Python: nothing is read here. diagnosis/watch has a thread of Python instead."""

from __future__ import annotations

from typing import Any


def available() -> bool:
    """True if another thread's frames can be read here."""
    return False


def only_by_pipe(wanted: bool) -> bool:
    """Read by a pipe only, as where the other way is refused: for tests. Return False where that cannot be done."""
    return False


def know_tasks(kind: type, name: int, origin: int, origin_at: int, number: int) -> int:
    """Have the names of tasks read: `kind` is their class, the numbers say where its fields lie. Here nobody reads."""
    return 0


def mirror() -> list[tuple[str, int, str]] | None:
    """Return the frames of the calling thread as the watch reads them, the innermost first; None if it cannot."""
    return None


class Watched:
    """One loop that runs, as the watch sees it."""

    def attach(self, step: Any, threshold: float, hang: float, thread: int = 0) -> bool:
        """Have it watched; both times are in seconds. Return False where that cannot be.

        `thread`: in which it runs, by threading.get_ident(); 0: in this one.
        """
        return False

    def detach(self) -> int:
        """Have it watched no more. What was not taken is lost."""
        return 0

    def take(self) -> Any:
        """Return what was sampled since the last take(), and forget it; None: nothing."""
        return None

    def wakes(self, now: float) -> bool:
        """Note that the loop is awake from now on."""
        return False

    def sleeps(self) -> bool:
        """Note that it is asleep; return whether take() has something."""
        return False
