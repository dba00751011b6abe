"""Each page of docs/mistakes/: the wrong program fails with the words that the page shows, the right one runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hasten.core import advice

from . import mistakes

PAGES = mistakes.pages()


def test_each_mistake_has_a_page_and_each_page_is_listed() -> None:
    assert sorted(PAGES) == sorted(advice.ADVICE)
    overview = (mistakes.PAGES / "README.md").read_text("utf-8")
    assert all(f"[{name}]({name}.md)" in overview for name in PAGES)


@pytest.mark.parametrize("way", ["import", "install", "run"])
@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_wrong_program_is_told_what_to_do(name: str, way: str, tmp_path: Path) -> None:
    done = mistakes.run(mistakes.program(PAGES[name], "wrong"), tmp_path, way)
    assert done.returncode == (0 if name in mistakes.GOES_ON else 1), done.stderr
    assert mistakes.last_words(done.stderr) == mistakes.said(PAGES[name])
    assert f"\nSee docs/mistakes/{name}.md\n" in done.stderr


@pytest.mark.parametrize("name", sorted(PAGES))
def test_the_right_program_runs(name: str, tmp_path: Path) -> None:
    done = mistakes.run(mistakes.program(PAGES[name], "right"), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout
