"""Memory gives out at each allocation of each public call: what comes is a MemoryError, never a crash, and afterwards
the loop works. The calls are in calls.py, ticks.py, calls_more.py, ticks_more.py, calls_net.py, calls_pipes.py and
calls_sockets.py.

In plain Python each line may allocate, also those that clean up, and the interpreter itself loses exceptions then: this
would test CPython there.
"""

from __future__ import annotations

import importlib.util
import sys

import pytest

from hasten import compat

from . import children
from .conftest import BUILT

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("_testcapi") is None, reason="this Python has no _testcapi, which lets memory fail"
    ),
    pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 itself needs memory to say that no loop runs any more"),
    pytest.mark.skipif(not compat.compiled(), reason="in plain Python this tests the interpreter"),
]
GROUPS = 8  # processes
# From 3.14 on the functions of streams are asyncio's own, which lose a transport that they have no memory to hand out.
NOT_OURS = "net_stream_" if sys.version_info >= (3, 14) else None


@pytest.mark.parametrize("group", range(GROUPS))
def test_no_memory(group: int) -> None:
    names = children.run(BUILT, "nomemory.py", "hasten", "names").stdout.split()
    assert len(names) > 210
    chosen = [name for name in names[group::GROUPS] if NOT_OURS is None or not name.startswith(NOT_OURS)]
    children.ended_well(children.run(BUILT, "nomemory.py", "hasten", *chosen))
