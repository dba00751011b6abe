"""The pages of the site: the Markdown of the repository, as it is, in the order of the navigation.

The files stay where they are, and are readable on a code host too. Only here the folder's README.md becomes its
index, files outside of docs/ get a place, and links follow.
"""

from __future__ import annotations

import html
import os
import posixpath
import re
import shutil
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"

# Pages that do not stand in docs/: file → its name in the site. The first page is docs/README.md.
OUTSIDE = {
    "README.md": "overview.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "bench/README.md": "measuring.md",
    "tests/cpython/README.md": "cpython-tests.md",
}
# The navigation: title → pages, in this order. A folder's name with a stroke stands for all its pages: its index, and
# below that those which the index links to, in that order, then the others. What nothing names comes under "More".
NAVIGATION: dict[str, list[str]] = {
    "Learn": ["overview.md", "tutorial/", "how-to/"],
    "When something goes wrong": ["mistakes/", "diagnosis/", "testing/"],
    "Reference": ["reference/", "divergences.md", "conformance.md", "cpython-tests.md", "types.md"],
    "Explanation": ["architecture.md", "why/", "benchmarks.md", "measuring.md"],
    "Project": ["changelog.md", "contributing.md", "release.md"],
}

# Titles in the navigation, where a page's own says too little beside others.
TITLES = {
    "overview.md": "Overview and installation",
    "tutorial/index.md": "Tutorial",
    "how-to/index.md": "With your framework",
    "measuring.md": "How benchmarks are measured",
}

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\[\]]*\]|`[^`]*`)*)\]\(([^()\s]+)\)")


def _source_url() -> str | None:
    """Where the project's files can be looked at, if it says so."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"].get("urls", {})
    url = urls.get("Source") or urls.get("Repository")
    return f"{url.rstrip('/')}/blob/main" if url else None


def _named(path: str) -> str | None:
    """Return the page that the file or folder `path` of the repository becomes; None where it becomes none."""
    if path in OUTSIDE:
        return OUTSIDE[path]
    if path == "docs":
        return "index.md"
    if not path.startswith("docs/"):
        return None
    inside = path.removeprefix("docs/")
    if (ROOT / path).is_dir():
        inside += "/README.md"
        if not (DOCS / inside).is_file():
            return None
    return re.sub(r"(^|/)README\.md$", r"\1index.md", inside)


def _chart(path: Path, words: str) -> str:
    """The picture itself in the page, so that it follows the page's light and dark; `words` for who cannot see it."""
    label = f'aria-label="{html.escape(words)}"'
    svg = re.sub(r'aria-label="[^"]*"', lambda _: label, path.read_text("utf-8"))
    return f'```{{raw}} html\n<figure class="chart">{svg.strip()}</figure>\n```'


def _rewritten(text: str, file: str, page: str) -> str:
    """Return a piece of the repository's `file`, with links that hold in the site's `page`."""

    def link(match: re.Match[str]) -> str:
        picture, words, target = match.groups()
        if re.match(r"[a-z]+:|#", target):
            return match[0]
        path, _, anchor = target.partition("#")
        there = posixpath.normpath(posixpath.join(posixpath.dirname(file), path))
        if not (ROOT / there).exists():
            return match[0]  # Sphinx tells
        if picture and there.startswith("docs/charts/"):
            return _chart(ROOT / there, words)
        name = _named(there)
        if name is None:
            url = _source_url()
            return f"[{words}]({url}/{there})" if url else words
        found = posixpath.relpath(name, posixpath.dirname(page) or ".")
        return f"{picture}[{words}]({found}{'#' + anchor if anchor else ''})"

    return _LINK.sub(link, text)


def _converted(text: str, file: str, page: str) -> str:
    """The text of a page; what stands in fences is as it is."""
    fence = ""
    pieces: list[list[str]] = [[]]  # outside of fences, inside, outside…
    for line in text.split("\n"):
        match = _FENCE.match(line)
        if fence:
            pieces[-1].append(line)
            if match and match[1].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
                pieces.append([])
        elif match:
            fence = match[1]
            pieces.append([line])
        else:
            pieces[-1].append(line)
    texts = []
    for number, piece in enumerate(pieces):
        if piece:
            text = "\n".join(piece)
            texts.append(text if number % 2 else _rewritten(text, file, page))
    return "\n".join(texts)


def _write(path: Path, content: str | bytes) -> None:
    """Write what has changed only: Sphinx reads again what is newer."""
    data = content.encode() if isinstance(content, str) else content
    if not path.is_file() or path.read_bytes() != data:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _linked(text: str) -> list[str]:
    """The pages of the same folder that an index links to, in its order."""
    found = [match[3].partition("#")[0] for match in _LINK.finditer(text)]
    return list(dict.fromkeys(name for name in found if name.endswith(".md") and "/" not in name))


def _toctree(entries: Iterable[str], caption: str | None = None) -> str:
    lines = ["", "```{toctree}", ":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join([*lines, *entries, "```", ""])


def _titled(name: str, texts: dict[str, str]) -> str:
    """An entry of the navigation, without the marks of code that a page's title may have."""
    title = re.search(r"^# (.*)", texts[name], re.MULTILINE)
    plain = html.unescape(title[1]).replace("`", "").replace("<", "").replace(">", "") if title else name
    plain = TITLES.get(name, plain)
    return f"{plain} </{name.removesuffix('.md')}>"


def _navigate(texts: dict[str, str]) -> None:
    """Add the navigation to the indexes."""
    below: set[str] = {"index.md"}
    trees: list[str] = []

    def folder(name: str) -> list[str]:
        index = f"{name}index.md"
        all_pages = sorted(page for page in texts if page.startswith(name) and page != index)
        if index not in texts:
            return all_pages
        listed = [name + page for page in _linked(texts[index]) if name + page in all_pages]
        entries = [*listed, *(page for page in all_pages if page not in listed)]
        below.update(entries)
        texts[index] += _toctree(_titled(page, texts) for page in entries)
        return [index]

    def entries(pages: list[str]) -> list[str]:
        found: list[str] = []
        for page in pages:
            found += folder(page) if page.endswith("/") else [page] if page in texts else []
        below.update(found)
        return [_titled(page, texts) for page in found]

    for caption, wanted in NAVIGATION.items():
        trees.append(_toctree(entries(wanted), caption))
    if more := [page for page in sorted(texts) if page not in below]:
        trees.append(_toctree((_titled(page, texts) for page in more), "More"))
    texts["index.md"] += "".join(trees)


def stage(target: Path, made: dict[str, str], keep: Callable[[str], bool] = lambda name: True) -> None:
    """Put the pages of the site into the folder `target`, in the place of what was there.

    Arguments:
        target: the folder.
        made: pages that are not in the repository: name in the site → Markdown.
        keep: which pages of docs/ to take.
    """
    texts = dict(made)
    files = {path.relative_to(ROOT).as_posix(): path for path in sorted(DOCS.rglob("*")) if path.is_file()}
    files |= {name: ROOT / name for name in OUTSIDE if (ROOT / name).is_file()}
    others: dict[str, bytes] = {}
    for file, path in files.items():
        if path.suffix == ".md":
            name = _named(file)
            assert name is not None
            if keep(name):
                texts[name] = _converted(path.read_text("utf-8"), file, name)
        elif not file.startswith("docs/charts/"):
            others[file.removeprefix("docs/")] = path.read_bytes()
    _navigate(texts)
    target.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        _write(target / name, text)
    for name, data in others.items():
        _write(target / name, data)
    for folder, _, names in os.walk(target, topdown=False):
        for name in names:
            if (Path(folder) / name).relative_to(target).as_posix() not in {*texts, *others}:
                (Path(folder) / name).unlink()
        if not os.listdir(folder):
            shutil.rmtree(folder)
