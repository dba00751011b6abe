"""A chart as an SVG picture: horizontal bars in groups. It follows the light and dark of where it is shown.

As a picture in a page (`<img>`, a README) it follows the system's setting; standing in a page itself, the page may set
`--ink`, `--soft`, `--line` and the bars' `--asyncio`, `--uvloop`, `--hasten` on its `svg` element.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 600  # of the drawing; it is scaled to where it is shown
LABELS = 74  # to the left of the bars
FIGURES = 166  # to the right of the longest bar
BAR, ROW, TITLE, GAP = 13, 20, 24, 12

_STYLE = """\
.hasten-chart{--ink:#1f2328;--soft:#59636e;--line:#d1d9e0;--asyncio:#aab4be;--uvloop:#6c8ebf;--hasten:#0b8f63;\
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;font-size:13.5px}
@media (prefers-color-scheme:dark){.hasten-chart{--ink:#e6edf3;--soft:#9198a1;--line:#3d444d;--asyncio:#6b7681;\
--uvloop:#5f86c4;--hasten:#4cc38a}}
.hasten-chart text{fill:var(--ink)}
.hasten-chart .soft{fill:var(--soft)}
.hasten-chart .title{font-weight:600}
.hasten-chart .asyncio{fill:var(--asyncio)}
.hasten-chart .uvloop{fill:var(--uvloop)}
.hasten-chart .hasten{fill:var(--hasten)}
.hasten-chart .line{stroke:var(--soft);stroke-dasharray:3 3}
"""


@dataclass(frozen=True)
class Bar:
    """One bar: what it is of, how long, in what colour ("asyncio", "uvloop", "hasten"), and what stands behind it."""

    label: str
    value: float
    colour: str
    text: str


@dataclass(frozen=True)
class Group:
    """Bars under a title. Each group has a scale of its own, unless the picture has one for all."""

    title: str
    bars: Sequence[Bar]


def draw(groups: Sequence[Group], *, what: str, labels: int = LABELS, scale: float = 0.0, mark: float = 0.0) -> str:
    """Return the SVG.

    Arguments:
        groups: what to draw.
        what: what is shown, for those who cannot see it; also the line at the top.
        labels: room for the bars' labels, in the drawing's units.
        scale: the value of a bar of full length; 0: each group's largest.
        mark: a dashed line is drawn at this value; 0: none.
    """
    room = WIDTH - labels - FIGURES
    y = 20.0
    parts = [f'<text class="soft" x="0" y="14">{escape(what)}</text>']
    for group in groups:
        y += GAP
        if group.title:
            parts.append(f'<text class="title" x="0" y="{y + 13:g}">{escape(group.title)}</text>')
            y += TITLE
        longest = scale or max((bar.value for bar in group.bars), default=1.0)
        for bar in group.bars:
            length = max(1.0, room * bar.value / longest)
            middle = f'y="{y + 11:g}"'
            parts += [
                f'<text class="soft" x="{labels - 8}" {middle} text-anchor="end">{escape(bar.label)}</text>',
                f'<rect class="{bar.colour}" x="{labels}" y="{y:g}" width="{length:.1f}" height="{BAR}" rx="2"/>',
                f'<text x="{labels + length + 7:.1f}" {middle}>{escape(bar.text)}</text>',
            ]
            y += ROW
        if mark:
            x = labels + room * mark / longest
            top = y - ROW * len(group.bars) - 3
            parts.append(f'<line class="line" x1="{x:.1f}" y1="{top:g}" x2="{x:.1f}" y2="{y - 3:g}"/>')
    size = f'width="{WIDTH}" height="{y:g}" viewBox="0 0 {WIDTH} {y:g}"'
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="hasten-chart" {size} role="img" aria-label="{escape(what)}">'
    )
    return "\n".join([head, f"<style>{_STYLE}</style>", *parts, "</svg>", ""])
