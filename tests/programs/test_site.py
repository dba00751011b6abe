"""The site's pages: links that hold where they are put, and a reference that has every public name."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten.aio import names

SITE = Path(__file__).parents[2] / "tools" / "site"


def _load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"site_{name}", SITE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[f"site_{name}"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


links, pages, reference = _load("links"), _load("pages"), _load("reference")


@pytest.mark.parametrize(
    ("text", "file", "page", "wanted"),
    [
        ("[a](b.md#c)", "docs/x/y.md", "x/y.md", "[a](b.md#c)"),
        ("[a](../diagnosis/)", "docs/mistakes/README.md", "mistakes/index.md", "[a](../diagnosis/index.md)"),
        ("[a](docs/mistakes/README.md)", "README.md", "overview.md", "[a](mistakes/index.md)"),
        ("[a](../README.md)", "docs/README.md", "index.md", "[a](overview.md)"),
        ("[a\nb](docs/divergences.md)", "CHANGELOG.md", "changelog.md", "[a\nb](divergences.md)"),
        ("[a](https://example.org/b.md)", "README.md", "overview.md", "[a](https://example.org/b.md)"),
        ("```\n[a](docs/why/)\n```", "README.md", "overview.md", "```\n[a](docs/why/)\n```"),
    ],
)
def test_links_lead_to_the_same_page_in_the_site(text: str, file: str, page: str, wanted: str) -> None:
    assert pages._converted(text, file, page) == wanted


def test_a_link_to_a_file_that_is_no_page_is_a_link_to_the_source_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "_source_url", lambda: None)
    assert pages._converted("see [the licence](LICENSE).", "README.md", "overview.md") == "see the licence."
    monkeypatch.setattr(pages, "_source_url", lambda: "https://example.org")
    assert pages._converted("[a](LICENSE)", "README.md", "overview.md") == "[a](https://example.org/LICENSE)"


def test_a_chart_stands_in_the_page_itself_with_its_words() -> None:
    staged = pages._converted("![1 µs & 2 µs](charts/tasks.svg)", "docs/README.md", "index.md")
    assert staged.startswith('```{raw} html\n<figure class="chart"><svg ')
    assert 'aria-label="1 µs &amp; 2 µs"' in staged


def test_every_page_is_in_the_navigation(tmp_path: Path) -> None:
    pages.stage(
        tmp_path, {"reference/index.md": "# Reference\n", "reference/a.md": "# A\n", "strange.md": "# Strange\n"}
    )
    staged = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.md")}
    listed = "".join((tmp_path / name).read_text("utf-8") for name in staged if name.endswith("index.md"))
    assert [name for name in staged if name != "index.md" and f"</{name.removesuffix('.md')}>" not in listed] == []
    pages.stage(tmp_path, {})  # what is no longer there is taken away
    assert not (tmp_path / "strange.md").exists()


@pytest.mark.slow  # asks each verb for its --help
def test_the_reference_has_every_public_name() -> None:
    made = "\n".join(reference.pages().values())
    own = [name for name, home in names.HOMES.items() if home != "asyncio"] + list(names.COMPANIONS)
    for name in own:
        assert f"}} {name}" in made, name
    assert ":param return_when:" in made
    assert "`CancelledError`" in made
    assert hasten.sleep.__doc__ is not None
    assert hasten.sleep.__doc__.split("\n")[0] in made


@pytest.mark.slow  # the same
def test_a_name_without_a_place_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    topics = {page: each for page, each in reference.TOPICS.items() if page != "streams"}
    monkeypatch.setattr(reference, "TOPICS", topics)
    with pytest.raises(LookupError, match="open_connection"):
        reference.pages()


def test_broken_links_of_a_site_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<p id="there"><a href="b.html#here">x</a><a href="#there">y</a><img src="c.png">')
    (tmp_path / "b.html").write_text('<p id="elsewhere"><a href="https://example.org/nowhere">z</a>')
    found = links.broken(tmp_path)
    assert found == ["a.html: no such anchor: b.html#here", "a.html: no such file: c.png"]
