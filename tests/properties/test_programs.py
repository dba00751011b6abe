"""Random programs do the same, in the same order, on hasten and on asyncio.

By default the programs are few, and the same each time. `HASTEN_EXAMPLES=20000` tries so many others of each kind.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

from . import comparing, themes
from .comparing import MIXED, OURS, STOCK

EXAMPLES = int(os.environ.get("HASTEN_EXAMPLES", "0"))
pytestmark = [
    # an awaitable that was made for a call which was refused
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning"),
    pytest.mark.timeout(300 if not EXAMPLES else 86400),
]


def agree(one: comparing.World, other: comparing.World, names: list[str], examples: int) -> None:
    comparing.agree(one, other, themes.parts_of(names), EXAMPLES or examples, at_random=bool(EXAMPLES))


@pytest.mark.parametrize("name", themes.HERE)
def test_goes_as_on_asyncio(name: str) -> None:
    agree(OURS, STOCK, [name], 100)


def test_all_together_goes_as_on_asyncio() -> None:
    agree(OURS, STOCK, themes.HERE, 300)


@pytest.mark.parametrize("which", MIXED)
def test_mixed_goes_the_same(which: str) -> None:
    one, other = MIXED[which]
    # where hasten is compared with itself, what this asyncio lacks is no hindrance
    agree(one, other, themes.HERE if other is STOCK else list(themes.THEMES), 200)


def test_a_difference_is_found() -> None:
    """The machine notices when one world wakes waiters in another order."""

    class Unfair(asyncio.Event):
        def set(self) -> None:
            self._waiters.reverse()
            super().set()

    class Other:
        Event = Unfair

        def __getattr__(self, name: str) -> Any:
            return getattr(asyncio, name)

    with pytest.raises(pytest.fail.Exception, match="what happened differs"):
        comparing.agree((Other(), asyncio.SelectorEventLoop), STOCK, ["event"], 2000)
