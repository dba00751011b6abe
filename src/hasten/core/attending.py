"""Who wants to be told when a loop begins to run: companions enter themselves here, the loop knows none of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

# Each is called with the loop, in its thread, before its first batch.
on_run: list[Callable[[Any], object]] = []


def begin(loop: Any) -> None:
    """Tell all of them; one that raises is removed, and its error is logged: the loop runs nevertheless."""
    for attend in on_run[:]:
        try:
            attend(loop)
        except Exception as error:
            if attend in on_run:
                on_run.remove(attend)
            logging.getLogger("asyncio").error(
                "a companion of hasten's failed and is off now: %s", error, exc_info=error
            )
