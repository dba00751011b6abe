"""Verdicts as text: on the terminal, as a record, and as the page docs/conformance.md."""

from __future__ import annotations

import json
import platform
from collections import Counter, defaultdict
from pathlib import Path

from conformance.plan import MODES, MODULES
from conformance.supervisor import Record
from conformance.verdict import Verdict

PAGE = Path(__file__).parents[3] / "docs" / "conformance.md"
COLUMNS = ("passed", "failed", "excluded", "skipped", "unrelated")


def _counts(verdict: Verdict) -> dict[str, int]:
    return {name: len(getattr(verdict, name)) for name in COLUMNS}


def progress(verdict: Verdict) -> str:
    """One line for one module."""
    counts = ", ".join(f"{number} {name}" for name, number in _counts(verdict).items() if number)
    records = [
        *verdict.passed.values(),
        *verdict.failed.values(),
        *verdict.excluded.values(),
        *verdict.unrelated.values(),
    ]
    seconds = sum(record.seconds for record in records)
    return f"{verdict.job.mode:9} {verdict.job.module:24} {counts or verdict.skip_reason} ({seconds:.0f} s)"


def _last_line(record: Record) -> str:
    lines = record.text.strip().splitlines()
    return lines[-1][:200] if lines else ""


def details(verdict: Verdict, verbose: bool) -> str:
    """The failures, and what is excluded for nothing, a line each; with `verbose` their tracebacks."""
    lines = []
    for test, record in verdict.failed.items():
        lines.append(f"  {record.outcome:5} {verdict.job.module}.{test}: {_last_line(record)}")
        if verbose:
            lines += ["        " + line for line in record.text.strip().splitlines()]
    lines += [f"  excluded, but passes: {verdict.job.module}.{test}" for test in verdict.excluded_passing]
    lines += [
        f"  passed when run again: {verdict.job.module}.{test}" for test, each in verdict.passed.items() if each.again
    ]
    return "".join(line + "\n" for line in lines)


def table(verdicts: list[Verdict]) -> str:
    """All modules with their counts, and the sums."""
    width = max(len(verdict.job.module) for verdict in verdicts)
    lines = [f"\n{'mode':9} {'module':{width}} " + " ".join(f"{name:>9}" for name in COLUMNS)]
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    for verdict in verdicts:
        counts = _counts(verdict)
        sums[verdict.job.mode].update(counts)
        lines.append(f"{verdict.job.mode:9} {verdict.job.module:{width}} " + _numbers(counts))
    lines += [f"{mode:9} {'all':{width}} " + _numbers(counts) for mode, counts in sums.items()]
    subject = verdicts[0].job.subject
    return "\n".join(lines) + f"\n{subject} on Python {platform.python_version()}, {platform.machine()}"


def _numbers(counts: dict[str, int] | Counter[str]) -> str:
    return " ".join(f"{counts[name] or '':>9}" for name in COLUMNS)


def record(folder: Path, verdicts: list[Verdict]) -> Path:
    """Writes the counts of this interpreter to `folder`, for `write_page`."""
    folder.mkdir(parents=True, exist_ok=True)
    modes: dict[str, dict[str, object]] = defaultdict(dict)
    for verdict in verdicts:
        modes[verdict.job.mode][verdict.job.module] = {
            **_counts(verdict),
            "excluded, but passes": len(verdict.excluded_passing),
            "reasons": dict(verdict.reasons),
        }
    version = platform.python_version()
    file = folder / f"{'.'.join(version.split('.')[:2])}.json"
    file.write_text(json.dumps({"python": version, "modes": modes}, indent=1) + "\n")
    return file


BEGIN, END = "<!-- conformance:begin -->", "<!-- conformance:end -->"


def write_page(folder: Path, page: Path = PAGE) -> Path:
    """Puts the tables of the records in `folder` between the markers of the page. ValueError when either is missing."""
    records = [json.loads(file.read_text()) for file in folder.glob("*.json")]
    if not records:
        raise ValueError(f"no records in {folder}; make some with --record {folder}")
    records.sort(key=lambda each: [int(part) for part in each["python"].split(".")[:2]])
    tables = "\n".join([*(_mode_table(mode, records) for mode in MODES), _reasons(records)])
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} has no {BEGIN} … {END} to put the tables between")
    page.write_text(f"{before}{BEGIN}\n{tables}{END}{after}")
    return page


def _row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(counts: dict[str, int]) -> str:
    return f"{counts['passed']} / {counts['failed']} / {counts['excluded']}"


def _mode_table(mode: str, records: list[dict[str, dict[str, dict[str, dict[str, int]]]]]) -> str:
    there = [each["modes"].get(mode, {}) for each in records]
    lines = [f"## {mode.capitalize()} mode\n", _row(["suite", *(str(each["python"]) for each in records)])]
    lines.append(_row(["---", *("---:" for _ in records)]))
    for module in MODULES:
        cells = [_cell(modules[module]) if module in modules else "-" for modules in there]
        if any(cell != "-" for cell in cells):
            lines.append(_row([module.removeprefix("test_"), *cells]))
    sums = []
    for modules in there:
        total: Counter[str] = Counter()
        for counts in modules.values():
            total.update({name: counts[name] for name in COLUMNS})
        sums.append(f"**{_cell(dict(total) or dict.fromkeys(COLUMNS, 0))}**")
    lines.append(_row(["**all**", *sums]))
    return "\n".join(lines) + "\n"


def _reasons(records: list[dict[str, dict[str, dict[str, dict[str, dict[str, int]]]]]]) -> str:
    """How many tests each reason excludes, by mode and version."""
    columns = [(mode, index) for mode in MODES for index in range(len(records))]
    table: dict[str, Counter[tuple[str, int]]] = defaultdict(Counter)
    for mode, index in columns:
        for counts in records[index]["modes"].get(mode, {}).values():
            for reason, number in counts["reasons"].items():
                table[reason][mode, index] += number
    lines = ["## What is excluded, and why\n"]
    lines.append(_row(["reason", *(f"{mode} {records[index]['python']}" for mode, index in columns)]))
    lines.append(_row(["---", *("---:" for _ in columns)]))
    for reason, counter in sorted(table.items(), key=lambda item: -sum(item[1].values())):
        lines.append(_row([reason, *(str(counter[column] or "") for column in columns)]))
    return "\n".join(lines) + "\n"
