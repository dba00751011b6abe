"""What stands in the ready queue, for who looks through asyncio's `loop._ready`: handles."""

from __future__ import annotations

from typing import Any

from hasten.core.handle import Handle
from hasten.kernel import step

HANDLE, TASK, WATCH, CHILD = 0, 1, 2, 3  # of ready.pxd


def shown(item: Any, tag: int) -> Any:
    """Return a handle of asyncio's form for a queue's item, only to be looked at."""
    if tag == HANDLE:
        return item
    if tag == WATCH:
        return Handle(item.__repr__, (), step.running_loop())
    if tag == CHILD:
        callback, _ = (item._callbacks or [(item._wakeup, None)])[0]
        return Handle(callback, (item,), item.get_loop())
    return Handle(item._wakeup, (None,), item.get_loop(), item.get_context())
