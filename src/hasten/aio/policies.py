"""Names that asyncio had, or has, besides those of 3.15: event loop policies and child watchers.

Each Python gives the ones that it still has, with its own deprecation warnings, as asyncio does there; hasten makes
none of its own. `hasten.__getattr__` asks here.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from typing import Any

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
