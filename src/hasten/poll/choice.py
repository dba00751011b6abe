"""Which poller a loop gets."""

from __future__ import annotations

import os
import sys
from typing import Protocol

from hasten.poll.contract import Poller
from hasten.poll.selectors import SelectorsPoller

if sys.platform == "linux":
    from hasten.poll.epoll import EpollPoller


class AnyPoller(Protocol):
    """What new_event_loop() takes for a poller: one that derives from poll/contract's, as type checkers see it."""

    def wait(self, timeout: float) -> int: ...
    def wake(self) -> int: ...


NAMES = ("epoll", "selectors") if sys.platform == "linux" else ("selectors",)
VARIABLE = "HASTEN_POLLER"


def make(name: str | Poller | None = None) -> Poller:
    """Return a new poller: by name, else by the environment variable HASTEN_POLLER, else the best for the platform.

    A poller is returned as it is. Raises ValueError for a name that this platform does not have.
    """
    if isinstance(name, Poller):
        return name
    source = "poller"
    if name is None:
        name = os.environ.get(VARIABLE) or NAMES[0]
        source = VARIABLE
    if name == "selectors":
        return SelectorsPoller()
    if sys.platform == "linux" and name == "epoll":
        return EpollPoller()
    raise ValueError(f"{source}={name!r} is not a poller of this platform: choose one of {', '.join(NAMES)}")
