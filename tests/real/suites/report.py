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
    lines = [_line(HEAD), _line(["---"] * 3 + ["---:"] * (len(HEAD) - 3))]
    reasons: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda each: (each["library"], _version(each["python"]), each["way"])):
        cells = [row["library"], row["python"], row["way"], row["tests"], row["stock"], row["ours"]]
        cells += [sum(row["reasons"].values()), row["among_others"], row["unexplained"], row["loops"]]
        lines.append(_line(cells))
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


def record(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Writes this interpreter's rows; those of libraries that were not run now stay."""
    path = folder / f"{sys.version.split()[0]}.json"
    old = json.loads(path.read_text()) if path.exists() else []
    now = {(row["library"].partition(" ")[0], row["way"]) for row in rows}
    kept = [row for row in old if (row["library"].partition(" ")[0], row["way"]) not in now]
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept + rows, indent=1))
    return path


def write_page(folder: Path, page: Path = PAGE) -> Path:
    """Puts the table of all records of a folder between the marks of the page."""
    rows = [row for path in sorted(folder.glob("*.json")) for row in json.loads(path.read_text())]
    if not rows:
        sys.exit(f"run_suites.py: no records in {folder}")
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"run_suites.py: {page} has no {BEGIN} … {END}")
    page.write_text(f"{before}{begin}\n{table(rows)}{end}{after}")
    return page


def _version(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]


def _line(cells: list[Any]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"
