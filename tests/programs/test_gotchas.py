"""The README's table of mistakes tells what the programs really print."""

from __future__ import annotations

import re
from typing import Any

import pytest

from . import gotchas


@pytest.mark.slow  # runs each program on asyncio and on hasten
@pytest.mark.parametrize("gotcha", gotchas.GOTCHAS, ids=lambda each: each.title)
def test_hasten_says_more_than_asyncio(gotcha: Any) -> None:
    ours = "\n".join(gotchas.told(gotchas.output(gotcha, "hasten")))
    assert re.search(gotcha.wanted, ours), ours
    assert not re.search(gotcha.wanted, "\n".join(gotchas.told(gotchas.output(gotcha, "asyncio"))))


@pytest.mark.slow
@pytest.mark.parametrize("gotcha", gotchas.GOTCHAS, ids=lambda each: each.title)
def test_the_readme_tells_what_is_said_without_the_watch(gotcha: Any) -> None:
    [row] = [line for line in _table().splitlines() if line.startswith(f"| {gotcha.title} |")]
    assert row.endswith("| always |" if gotchas.always(gotcha) else f"| {gotchas.WATCHED} |")


def _table() -> str:
    return gotchas.README.read_text("utf-8").split(gotchas.BEGIN)[1].split(gotchas.END)[0]


def test_the_readme_has_each() -> None:
    table = _table()
    for gotcha in gotchas.GOTCHAS:
        assert f"| {gotcha.title} |" in table
        assert gotcha.page in table
        assert (gotchas.README.parent / gotcha.page).is_file()
