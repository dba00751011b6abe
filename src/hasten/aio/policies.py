"""What stands on event loop policies: get_event_loop(), and the names that asyncio had, or has, besides those of 3.15.

Policies and child watchers are asyncio's: each Python gives the ones that it still has, with its own deprecation
warnings, as asyncio does there; hasten makes none of its own. `hasten.__getattr__` asks here for them.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings
from typing import Any

from hasten.aio.install import default_policy_class
from hasten.loop import new_event_loop

WATCHERS = (
    "AbstractChildWatcher",
    "FastChildWatcher",
    "MultiLoopChildWatcher",
    "PidfdChildWatcher",
    "SafeChildWatcher",
    "ThreadedChildWatcher",
    "get_child_watcher",
    "set_child_watcher",
)
POLICIES = ("AbstractEventLoopPolicy", "DefaultEventLoopPolicy")
WINDOWS_POLICIES = ("WindowsProactorEventLoopPolicy", "WindowsSelectorEventLoopPolicy")

if sys.version_info >= (3, 14):  # it makes no loop there, unless a policy is set that does
    from asyncio import get_event_loop as get_event_loop
else:
    _running_loop = asyncio._get_running_loop

    def get_event_loop() -> asyncio.AbstractEventLoop:
        """Return the running event loop; where none runs, the one that was set in this thread.

        In the main thread, where none was ever set, a loop of hasten's is made and set, with the deprecation warning
        that asyncio has from Python 3.12 on; from 3.14 on none is made. A policy that the program has set is asked.

        Raises:
            RuntimeError: there is none, and none is made.
        """
        running = _running_loop()
        if running is not None:
            return running
        policy: Any = asyncio.get_event_loop_policy()
        if type(policy) is default_policy_class() and policy._local._loop is None and not policy._local._set_called:
            if threading.current_thread() is threading.main_thread():
                if sys.version_info >= (3, 12):
                    warnings.warn("There is no current event loop", DeprecationWarning, stacklevel=2)
                policy.set_event_loop(new_event_loop())
        loop: asyncio.AbstractEventLoop = policy.get_event_loop()
        return loop


def legacy(name: str) -> Any:
    """Return asyncio's object of this name.

    To be called by the package's `__getattr__`, so that a warning names the line that asked.

    Raises:
        AttributeError: this Python has none, or hasten's own is meant.
    """
    if name in WATCHERS or name in POLICIES or name in WINDOWS_POLICIES:
        if sys.version_info >= (3, 14) and name not in WATCHERS:
            return _deprecated_policy(name)
        found = getattr(asyncio, name, None)
        if found is not None:
            return found
    raise AttributeError(f"module 'hasten' has no attribute {name!r}")


def _deprecated_policy(name: str) -> Any:
    """Do as asyncio's own `__getattr__`, which would put its deprecation warning on this line."""
    home = asyncio.events if name == "AbstractEventLoopPolicy" else _platform_events()
    found = getattr(home, "_" + name, None)
    if found is None:
        raise AttributeError(f"module 'hasten' has no attribute {name!r}")
    warnings.warn(
        f"'asyncio.{name}' is deprecated and slated for removal in Python 3.16", DeprecationWarning, stacklevel=4
    )
    return found


def _platform_events() -> Any:
    if sys.platform == "win32":
        return asyncio.windows_events
    return asyncio.unix_events
