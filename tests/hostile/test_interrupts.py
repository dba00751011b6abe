"""A signal handler raises at each point where the interpreter lets one in: somebody hears of it, who waits is woken,
and the loop works afterwards. interrupts.py does it; here at a sample of the points, by seed. All: `make interrupts`.

Not in plain Python, where there are such points in the middle of everything, and not on 3.11, whose points are others.
"""

from __future__ import annotations

import sys

import pytest

from hasten import compat

from . import children
from .conftest import BUILT

pytestmark = [
    pytest.mark.skipif(not compat.compiled(), reason="plain Python is interrupted in the middle of everything"),
    pytest.mark.skipif(sys.version_info < (3, 12), reason="3.11 looks for signals at other points"),
    pytest.mark.skipif(
        sys.version_info >= (3, 14), reason="streams are asyncio's own there; the points were not looked at yet"
    ),
]
GROUPS = 4  # processes
SHARE = 20  # every how many'th point


@pytest.mark.parametrize("group", range(GROUPS))
def test_interrupted(group: int) -> None:
    names = children.run(BUILT, "interrupts.py", "names").stdout.split()
    assert len(names) > 250
    children.ended_well(children.run(BUILT, "interrupts.py", "hasten", "interrupt", str(SHARE), *names[group::GROUPS]))
