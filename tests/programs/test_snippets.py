"""What stands in docs/tutorial and docs/how-to is true: the programs run, and print what the pages say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from . import snippets


@pytest.mark.slow  # runs each program of the page
@pytest.mark.skipif(sys.platform != "linux", reason="the pages show what a Linux shell shows")
@pytest.mark.parametrize("page", snippets.pages(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_page_is_true(page: Path, tmp_path: Path) -> None:
    text = page.read_text("utf-8")
    wanted = snippets.needs(text)
    if wanted is None:
        pytest.skip("the page does not say what it needs, and so is not run")
    if reason := snippets.missing(wanted):
        pytest.skip(reason)
    snippets.Run(tmp_path).page(page)


def test_the_table_of_how_to_has_every_page() -> None:
    """A page is entered by `make recipes ARGS=--write`, which runs it."""
    folder = snippets.ROOT / "docs" / "how-to"
    table = (folder / "README.md").read_text("utf-8").partition("<!-- recipes:begin -->")[2]
    missing = [path.name for path in sorted(folder.glob("*.md")) if f"({path.name})" not in table]
    assert missing == ["README.md"]


def _page(*lines: str) -> str:
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "page",
    [
        _page("```python", "print(1)", "```", "```text prints", "2", "```"),
        _page("```python", "raise SystemExit(3)", "```"),
        _page("```python wrong", "print(1)", "```"),
        _page("```console", "$ echo yes", "no", "```"),
        _page("```console", "$ false", "```"),
        _page("```console", "$ false &", "```"),
    ],
    ids=["output", "status", "no-failure", "command-output", "command-status", "no-server"],
)
def test_a_page_that_is_not_true_is_told(page: str, tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text(page, "utf-8")
    with pytest.raises(snippets.Wrong):
        snippets.Run(tmp_path).page(path)


@pytest.mark.parametrize(
    ("words", "shown", "ours"),
    [
        ("", ["<hasten.Loop running=True>"], True),
        ("", ["<hasten.testing.leaks.CheckedLoop running=True>"], True),
        ("", ["<_UnixSelectorEventLoop running=True>"], False),
        ("", ["<hasten.Loop running=True>", "<uvloop.Loop running=True>"], False),
        (" other-loop", ["<hasten.Loop running=True>", "<uvloop.Loop running=True>"], True),
    ],
)
def test_whose_loop_a_page_has_shown(words: str, shown: list[str], ours: bool, tmp_path: Path) -> None:
    blocks = [("" if n == 0 else words, loop) for n, loop in enumerate(shown)]
    path = tmp_path / "page.md"
    path.write_text("".join(_page(f"```console{each}", f"$ echo '{loop}'", "```") for each, loop in blocks), "utf-8")
    assert snippets.Run(tmp_path).page(path).on_hasten is ours


def test_dots_stand_for_what_may_differ() -> None:
    assert snippets.agrees("a … c\n…\nz", "a b c\nd\ne\nz\n")
    assert snippets.agrees("a\n…", "a\n")
    assert snippets.agrees("a …\nb", "a\nb")
    assert snippets.agrees("a …", "a b c")
    assert snippets.agrees("took 0.30 s at 0x7f", "took 12.4 s at 0xab12\n")
    assert snippets.agrees("blocked for 300 ms (0% of it)", "blocked for 312 ms (7% of it)")
    assert not snippets.agrees("127.0.0.1", "127.0.0.2")
    assert not snippets.agrees("a\n…\nz", "a\nb\n")
    assert not snippets.agrees("a", "a\nb")
    assert not snippets.agrees("a…", "b")
