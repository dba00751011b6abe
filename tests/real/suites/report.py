"""The results as a table: on the terminal, as JSON of one interpreter, and in docs/conformance.md."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from suites.comparing import Comparison
from suites.fetching import ROOT

PAGE = ROOT / "docs" / "conformance.md"
BEGIN, END = "<!-- suites:begin -->", "<!-- suites:end -->"
HEAD = ["library", "Python", "way", "tests", "passed on asyncio", "passed on hasten", "known reasons"]
HEAD += ["only among others", "unexplained", "loops of hasten"]


def summary(label: str, comparison: Comparison) -> dict[str, Any]:
    """What a row of the table says, and the reasons below it."""
    return {
        "library": label,
        "python": sys.version.split()[0],
        "way": comparison.way,
        "tests": len(comparison.stock.ends),
        "stock": comparison.stock.count("passed"),
        "ours": comparison.ours.count("passed"),
        "among_others": len(comparison.among_others),
        "reasons": dict(comparison.reasons),
        "unexplained": len(comparison.unexplained),
        "loops": comparison.ours.hasten_loops,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """A row for each library, Python and way, and below it the reasons."""
    lines = [line(HEAD), line(["---"] * 3 + ["---:"] * (len(HEAD) - 3))]
    reasons: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda each: (each["library"], version(each["python"]), each["way"])):
        cells = [row["library"], row["python"], row["way"], row["tests"], row["stock"], row["ours"]]
        cells += [sum(row["reasons"].values()), row["among_others"], row["unexplained"], row["loops"]]
        lines.append(line(cells))
        for why, count in row["reasons"].items():
            reasons.setdefault(why, []).append(f"{row['library']} {row['python']} {row['way']}: {count}")
    below = [f"- {why} ({'; '.join(where)})" for why, where in sorted(reasons.items())]
    return "\n".join([*lines, *([""] if below else []), *below]) + "\n"


def details(comparison: Comparison, verbose: bool) -> str:
    """The tests behind the figures."""
    lines = [f"  {test}: {why}" for test, why in comparison.explained.items()]
    lines += [f"  {test}: passes without the others" for test in comparison.among_others]
    for test, (stock, ours) in comparison.unexplained.items():
        lines.append(f"  UNEXPLAINED {test}: {stock.outcome} -> {ours.outcome} {ours.text}")
        lines += ours.detail.splitlines() if verbose else []
    for name, run in (("asyncio", comparison.stock), (comparison.way, comparison.ours)):
        if run.broken:
            lines.append(f"  the run on {name} did not come to its end, {run.broken}")
    return "".join(line + "\n" for line in lines)


def record(folder: Path, rows: list[dict[str, Any]], *keys: str) -> Path:
    """Writes this interpreter's rows; those that were not run now stay. Rows are told apart by `keys`."""
    path = folder / f"{sys.version.split()[0]}.json"
    old = json.loads(path.read_text()) if path.exists() else []

    def key(row: dict[str, Any]) -> list[str]:
        return [row[name].partition(" ")[0] for name in keys or ("library", "way")]

    now = [key(row) for row in rows]
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([row for row in old if key(row) not in now] + rows, indent=1))
    return path


def write_page(folder: Path, page: Path = PAGE) -> Path:
    """Puts the table of all records of a folder between the marks of the page."""
    put(page, BEGIN, END, table(records(folder)))
    return page


def records(folder: Path) -> list[dict[str, Any]]:
    """The rows that all interpreters have noted."""
    rows = [row for path in sorted(folder.glob("*.json")) for row in json.loads(path.read_text())]
    if not rows:
        sys.exit(f"no records in {folder}")
    return rows


def put(page: Path, begin: str, end: str, text: str) -> None:
    """Puts a text between two marks of a page."""
    before, found_begin, rest = page.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        sys.exit(f"{page} has no {begin} … {end}")
    page.write_text(f"{before}{begin}\n{text}{end}{after}")


def version(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]


def line(cells: list[Any]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"
