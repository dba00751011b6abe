"""Draws the charts of the documentation from figures that were measured, and from no others.

    python -m bench.charts              writes docs/charts/*.svg anew, and README's words about its chart

The chart of README comes from a run of the benchmark that is kept in bench/recorded; the others from the tables of
docs/benchmarks.md, which say themselves where theirs come from.
"""

from __future__ import annotations

import re
from pathlib import Path

from bench import report
from bench.picture import Bar, Group, draw
from bench.results import Results

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
CHARTS = ROOT / "docs" / "charts"
RECORDED = ROOT / "bench" / "recorded" / "tasks-3.13.json"
DOCUMENTS = (ROOT / "README.md", ROOT / "docs" / "README.md")
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def tables(text: str) -> list[tuple[list[str], list[list[str]]]]:
    """The tables of a page: heads and rows, without the marks of code."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in block.strip().split("\n")]
        found.append((rows[0], rows[2:]))
    return found


def figure(cell: str) -> float | None:
    """The number that a cell of a table begins with, if any."""
    match = _NUMBER.match(cell)
    return float(match[0].replace(",", "")) if match else None


def apart(row: list[str]) -> bool:
    """True if the rounds of uvloop or hasten lay far apart: the table marks their processor time."""
    return any("±" in cell for cell in row[4:6])


def _times(page: str, first: str, column: int, before: str, what: str, scale: float = 0.0) -> str:
    """A chart of a column of ratios, of the first table after `before` whose head begins with `first`."""
    _, found, rest = page.partition(before)
    if not found:
        raise LookupError(f"{PAGE.name} says no longer {before!r}")
    rows = next(rows for head, rows in tables(rest) if head[0] == first)
    bars = [
        Bar(row[0], value, "hasten", f"{value:.2f}{report.TIMES}{' ±' if apart(row) else ''}")
        for row in rows
        if (value := figure(row[column])) is not None
    ]
    return draw([Group("", bars)], what=what, labels=160, scale=scale, mark=1.0)


def _idle(page: str) -> str:
    head, rows = next((head, rows) for head, rows in tables(page) if head[0] == "bytes")
    groups = []
    for row in rows:
        bars = []
        for name, cell in zip(head[2:], row[2:], strict=True):
            colour = name if name in ("asyncio", "hasten") else "uvloop"
            bars.append(Bar(name, figure(cell) or 0.0, colour, f"{cell} bytes"))
        groups.append(Group(f"{row[0]}, CPython {row[1]}", bars))
    longest = max(bar.value for group in groups for bar in group.bars)
    return draw(groups, what="Memory of a connection: the shorter, the better", scale=longest)


def pictures(page: str) -> dict[str, str]:
    """The charts of docs/benchmarks.md: file name → SVG."""
    tasks, net = "## Tasks and primitives, beside other loops", "## Networking, beside uvloop, blazio and C"
    made = {}
    for version, column in (("3.13", 3), ("3.14", 7)):
        what = f"Operations per second, uvloop's = 1; CPython {version}: the longer, the better"
        made[f"tasks-{version}.svg"] = _times(page, "workload", column, tasks, what)
        what = f"Requests per second, uvloop's = 1; CPython {version}: the longer, the better"
        before = "CPython 3.13.0:\n" if version == "3.13" else "CPython 3.14.10:\n"
        made[f"network-{version}.svg"] = _times(page.partition(net)[2], "workload", 2, before, what, scale=3.2)
    made["idle-connection.svg"] = _idle(page)
    return made


def main() -> None:
    CHARTS.mkdir(exist_ok=True)
    for name, svg in pictures(PAGE.read_text("utf-8")).items():
        (CHARTS / name).write_text(svg, "utf-8")
    recorded = Results.load(RECORDED)
    for document in DOCUMENTS:
        report.write(recorded, document)
    print(*sorted(path.relative_to(ROOT).as_posix() for path in CHARTS.iterdir()), sep="\n")


if __name__ == "__main__":
    main()
