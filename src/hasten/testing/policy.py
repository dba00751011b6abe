"""Which loop a program gets that does not say which."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hasten.aio.install import default_policy_class, set_policy


@contextmanager
def loops_made_by(factory: Callable[[], asyncio.AbstractEventLoop]) -> Iterator[None]:
    """Have every loop made by `factory` that is made without a factory of its own.

    `hasten.run`, `asyncio.run`, both Runners and `new_event_loop` of asyncio ask the policy, on every Python so far.
    """
    events: Any = asyncio.events
    before = getattr(events, "_event_loop_policy", None)
    policy = type("Policy", (default_policy_class(),), {"_loop_factory": staticmethod(factory)})()
    set_policy(policy)
    try:
        yield
    finally:
        if getattr(events, "_event_loop_policy", None) is policy:  # nobody has set another since
            set_policy(before)
