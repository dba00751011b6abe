"""hasten does on every Python what the newest asyncio was recorded to do; see `record.py`."""

from __future__ import annotations

import pytest

import hasten

from . import comparing, found, machine, record, themes

pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")

RECORDED = list(record.recorded())
NAMES = list(dict.fromkeys(theme for theme, _, _ in RECORDED))
WORLDS: dict[str, comparing.World] = {
    "hasten": comparing.OURS,
    "on asyncio's loop": (hasten, comparing.StockLoopWithOurTasks),
}
STOCK: dict[str, comparing.World] = {
    "asyncio": comparing.STOCK,
    **{name: one for name, (one, other) in comparing.MIXED.items() if other is comparing.STOCK},
}


def hold(world: comparing.World, name: str) -> None:
    """Fails if a world does something else than what was recorded."""
    for theme, expected, program in RECORDED:
        if theme != name:
            continue
        log = machine.run(*world, program)
        if record.digest(log) != expected:
            wrong = "\n".join(f"  {note}" for note in log)
            pytest.fail(
                f"the newest asyncio does something else in {program!r}: there, compare\n"
                f"python -m tests.properties.record {str(program)!r}\nwith\n{wrong}",
                pytrace=False,
            )


@pytest.mark.parametrize("where", WORLDS)
@pytest.mark.parametrize("name", NAMES)
def test_does_as_recorded(name: str, where: str) -> None:
    hold(WORLDS[where], name)


@pytest.mark.parametrize("where", STOCK)
@pytest.mark.parametrize("name", [*themes.HERE, *([record.FOUND] if "gather" in themes.HERE else [])])
def test_asyncio_here_does_as_recorded(name: str, where: str) -> None:
    """So `since` in themes.py is right, and the record too."""
    hold(STOCK[where], name)


def test_all_themes_are_recorded() -> None:
    assert [record.FOUND, *themes.THEMES, record.TOGETHER] == NAMES
    assert [program for theme, _, program in RECORDED if theme == record.FOUND] == list(found.FOUND.values())
    assert list(found.OLDER) == [name for name, theme in themes.THEMES.items() if theme.before]
    assert max(theme.since for theme in themes.THEMES.values()) <= themes.NEWEST
