"""Every link of a site that leads into the site itself: is there a file, and does it have that anchor?"""

from __future__ import annotations

from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.targets.append(value)


@cache
def _page(path: Path) -> _Page:
    page = _Page()
    page.feed(path.read_text("utf-8"))
    return page


def broken(site: Path) -> list[str]:
    """Return a line for each link of the site at `site` that leads nowhere."""
    found = []
    for path in sorted(site.rglob("*.html")):
        for target in _page(path).targets:
            link = urlsplit(target)
            if link.scheme or link.netloc:
                continue
            there = (path.parent / unquote(link.path)).resolve() if link.path else path
            if there.is_dir():
                there /= "index.html"
            if not there.is_file():
                found.append(f"{path.relative_to(site)}: no such file: {target}")
            elif link.fragment and there.suffix == ".html" and unquote(link.fragment) not in _page(there).anchors:
                found.append(f"{path.relative_to(site)}: no such anchor: {target}")
    return found
