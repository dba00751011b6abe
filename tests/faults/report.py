"""The counts as a table: on the terminal, as JSON of one interpreter, and in docs/conformance.md."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "conformance.md"
BEGIN, END = "<!-- faults:begin -->", "<!-- faults:end -->"
VERDICTS = ("absorbed", "told", "not met", "wrong")
HEAD = ["scenario", "Python", "loop", "faults", *VERDICTS]


def new_row(name: str, what: str, kind: str) -> dict[str, Any]:
    row: dict[str, Any] = {"scenario": name, "what": what, "python": sys.version.split()[0], "loop": kind}
    return {**row, **dict.fromkeys(VERDICTS, 0), "other": 0, "once": 0}


def count(row: dict[str, Any], verdict: str) -> None:
    row[verdict] += 1


def line(row: dict[str, Any]) -> str:
    """A scenario's counts in short."""
    parts = [f"{row[verdict]} {verdict}" for verdict in VERDICTS]
    return f"{row['scenario']} on {row['loop']}: {', '.join(parts)}; told as another error {row['other']}"


def table(rows: list[dict[str, Any]]) -> str:
    """A row for each scenario, Python and loop, and the sums."""
    lines = [_line(HEAD), _line(["---"] * 3 + ["---:"] * (len(HEAD) - 3))]
    sums: dict[tuple[str, str], Counter[str]] = {}
    order = {name: i for i, name in enumerate(dict.fromkeys(row["scenario"] for row in rows))}
    for row in sorted(
        rows, key=lambda each: (order[each["scenario"]], _version(each["python"]), each["loop"] != "hasten")
    ):
        counts = Counter({verdict: row[verdict] for verdict in VERDICTS})
        sums.setdefault((row["python"], row["loop"]), Counter()).update(counts)
        lines.append(_line([row["what"], row["python"], row["loop"], *_cells(counts)]))
    for (python, loop), counts in sums.items():
        lines.append(_line(["**all**", python, loop, *(f"**{cell}**" for cell in _cells(counts))]))
    return "\n".join(lines) + "\n"


def record(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Writes this interpreter's rows; those of scenarios that were not run now stay."""
    path = folder / f"{sys.version.split()[0]}.json"
    old = json.loads(path.read_text()) if path.exists() else []
    now = {(row["scenario"], row["loop"]) for row in rows}
    kept = [row for row in old if (row["scenario"], row["loop"]) not in now]
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept + rows, indent=1))
    return path


def write_page(folder: Path, page: Path = PAGE) -> Path:
    """Puts the table of all records of a folder between the marks of the page."""
    rows = [row for path in sorted(folder.glob("*.json")) for row in json.loads(path.read_text())]
    if not rows:
        sys.exit(f"run.py: no records in {folder}")
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"run.py: {page} has no {BEGIN} … {END}")
    page.write_text(f"{before}{begin}\n{table(rows)}{end}{after}")
    return page


def _cells(counts: Counter[str]) -> list[int]:
    return [sum(counts.values()), *(counts[verdict] for verdict in VERDICTS)]


def _version(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]


def _line(cells: list[Any]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"
