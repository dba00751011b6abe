"""asyncio's child watchers, which Pythons up to 3.13 have: one that a program sets waits for children in our place."""

from __future__ import annotations

import asyncio
import sys
import warnings
from typing import Any


def chosen() -> Any:
    """Return the child watcher that the program has set on its event loop policy; None: there is none.

    The two that asyncio makes by itself for who asks, PidfdChildWatcher and ThreadedChildWatcher, do what hasten does
    without them, and do not count. Nobody is made to have one by our asking, as asyncio's own loop does it.
    """
    if sys.version_info >= (3, 14):
        return None
    policy: Any = asyncio.get_event_loop_policy()
    default: Any = asyncio.DefaultEventLoopPolicy
    if type(policy) is default and getattr(policy, "_watcher", None) is None:
        return None  # as nearly always: nobody has asked it for one, or set one
    get = getattr(type(policy), "get_child_watcher", None)
    if get is None or get is asyncio.AbstractEventLoopPolicy.get_child_watcher:
        return None
    if get is getattr(default, "get_child_watcher", None) and getattr(policy, "_watcher", None) is None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            watcher: Any = policy.get_child_watcher()
        except NotImplementedError:  # a policy without them, uvloop's for instance
            return None
    usual = (asyncio.PidfdChildWatcher, asyncio.ThreadedChildWatcher)
    return None if type(watcher) in usual else watcher


def to_ask(watcher: Any, entered: Any) -> Any:
    """Return whom to ask once `with watcher as entered` has begun: asyncio asks the second on 3.11, then the first."""
    return entered if sys.version_info < (3, 12) else watcher
