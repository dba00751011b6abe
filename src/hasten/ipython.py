"""`%load_ext hasten`: what is awaited in IPython runs on hasten, and asyncio's names are hasten's.

A notebook's loop runs before any cell does, and cannot be exchanged: `hasten jupyter install` makes a kernel whose loop
is hasten's from the beginning. There the extension has nothing more to do.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any

from hasten.aio.install import install, uninstall
from hasten.core.registry import all_tasks
from hasten.core.scheduler import Scheduler

_LATE = (
    "hasten: asyncio's functions are hasten's from now on, but the loop that runs this cell stays {kind}. "
    'For a notebook on a loop of hasten\'s: `hasten jupyter install`, then choose the kernel "Python (hasten)"'
)
_KEPT = "hasten: IPython's loop has tasks and stays {kind}: restart IPython and say %load_ext hasten before"


def load_ipython_extension(shell: object) -> None:
    """Called by `%load_ext hasten`."""
    install()
    try:
        running = asyncio.get_running_loop()
    except RuntimeError:
        _exchange()
    else:
        if not isinstance(running, Scheduler):
            print(_LATE.format(kind=_name(running)))


def unload_ipython_extension(shell: object) -> None:
    """Called by `%unload_ext hasten`. A loop that is there stays."""
    uninstall()


def _exchange() -> None:
    """Have IPython make a new loop, which is hasten's, if it has one already."""
    helpers: Any = import_module("IPython.core.async_helpers")
    loop = getattr(helpers, "_asyncio_event_loop", None)
    if loop is None or loop.is_closed() or isinstance(loop, Scheduler):
        return
    if all_tasks(loop):
        print(_KEPT.format(kind=_name(loop)))
        return
    helpers._asyncio_event_loop = None
    loop.close()


def _name(loop: object) -> str:
    return f"{type(loop).__module__}.{type(loop).__qualname__}"
