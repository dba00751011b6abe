"""Tables and charts in Markdown, and putting them between the markers of a document."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.chart import chart, picture, source
from bench.contenders import BASE, C_LIMIT, CONTENDERS, FLOOR
from bench.numbers import WIDE, number
from bench.results import Results
from bench.workloads import GROUPS, WORKLOADS, choose

TITLES = {each.key: each.title for each in [*CONTENDERS, FLOOR]}
TIMES = "\N{MULTIPLICATION SIGN}"
MOVED = 2.0  # times as far apart: another placement of virtual cores, no longer noise
MARKED = re.compile(r"(?P<begin><!-- bench:begin(?P<options>[^>]*?) *-->).*?(?P<end><!-- bench:end -->)", re.DOTALL)


def cell(results: Results, workload: str, contender: str) -> str:
    """The median, the ratio to the base, and a mark when the rounds lay far apart or did not all succeed."""
    summary = results.summary(workload, contender)
    if summary is None:
        return ""
    if summary.value is None:
        return "fails" if summary.supported else "—"
    text = number(summary.value, WORKLOADS[workload].unit)
    ratio = results.ratio(workload, contender)
    if ratio is not None and contender != BASE:
        text += f" ({ratio:.2f}{TIMES})"
    if summary.spread > WIDE:
        text += f" ±{summary.spread / 2:.0%}"
    return text + (" !" if summary.failures else "")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A Markdown table; the first `left` columns are aligned to the left, the others to the right."""
    rule = ["---" if number < left else "---:" for number in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows]) + "\n"


def _section(results: Results, group: str, names: Sequence[str]) -> str:
    names = [name for name in names if WORKLOADS[name].group == group]
    if not names:
        return ""
    keys = [key for key in results.contenders() if key not in (C_LIMIT, FLOOR.key) or group == "echo"]
    rows = [[f"`{name}`", WORKLOADS[name].what, *(cell(results, name, key) for key in keys)] for name in names]
    return f"### {GROUPS[group]}\n\n" + table(["workload", "what", *(TITLES[key] for key in keys)], rows, left=2)


def _failures(results: Results, names: Sequence[str]) -> str:
    rows = []
    for name in names:
        for key in results.contenders():
            summary = results.summary(name, key)
            if summary is None or (key == C_LIMIT and not summary.supported):
                continue  # the C program is no contender: that it has no tasks need not be said row by row
            for failure in summary.failures:
                how_often = "" if summary.value is None else f"some of the rounds ({summary.rounds} succeeded): "
                rows.append([f"`{name}`", TITLES[key], how_often + failure.replace("|", "/")])
    for key, why in results.meta["absent"].items():
        rows.append(["all", TITLES[key], f"not measured: {why}".replace("|", "/")])
    return "### Without a figure\n\n" + table(["workload", "column", "why"], rows, left=3) if rows else ""


def _circumstances(results: Results) -> str:
    meta = results.meta
    machine = meta["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in meta["versions"].items())
    noise = results.noise()
    rounds = f"{meta['rounds']} interleaved round{'s' if meta['rounds'] > 1 else ''}"
    lines = [
        f"{machine['date']}: {machine['processor']}, {machine['cores']} cores, {machine['system']}; "
        f"Python {machine['python']} ({machine['build']}); {versions}.",
        f"Median of {rounds}, each in a fresh process on a core of its own. "
        "In brackets: how many times less than uvloop (above 1 is better). "
        "A ± marks rounds that lay far apart.",
    ]
    if noise is not None:
        usual = number(statistics.median(results.calibrations), "ns")
        lines.append(f"A fixed piece of Python took {usual}; 80 % of the times lay within {noise:.0%} of that.")
    if apart := results.distances:
        lines.append(
            f"The two cores were {min(apart):.0f} to {max(apart):.0f} ns apart (a cache line, there and back)."
        )
        if max(apart) > MOVED * min(apart):
            lines.append("**The virtual cores were moved meanwhile: figures of echo servers may not be comparable.**")
    return "\n".join(lines + _warnings(results)) + "\n"


def _warnings(results: Results) -> list[str]:
    """Why the figures may not be quoted."""
    lines = []
    if results.meta["quick"]:
        lines.append("**A quick run: short windows, not for quoting.**")
    if results.meta["uncompiled"]:
        parts = ", ".join(results.meta["uncompiled"])
        lines.append(f"**hasten ran uncompiled ({parts}): its figures say nothing.**")
    return lines


def _chosen(results: Results, rows: str) -> list[str]:
    if not rows:
        return results.workloads()
    wanted = {each.name for each in choose(rows)}
    return [name for name in results.workloads() if name in wanted]


def markdown(results: Results, rows: str = "") -> str:
    """The tables of a run. `rows` restricts them to some workloads, in the words of choose()."""
    names = _chosen(results, rows)
    parts = [_circumstances(results), *(_section(results, group, names) for group in GROUPS)]
    parts.append(_failures(results, names))
    return "\n".join(part for part in parts if part)


def has_markers(path: Path) -> bool:
    """Can a table be put into the file? One that does not exist yet can be made."""
    return not path.exists() or MARKED.search(path.read_text()) is not None


def write(results: Results, path: Path) -> int:
    """Puts the tables between the markers of the file, or into a new file; returns how many places were written.

    `<!-- bench:begin -->` takes every table; `<!-- bench:begin rows=tasks,proto_1k_16 -->` those rows only;
    `<!-- bench:begin chart=create_task,timers -->` a chart of those rows in the place of the tables;
    `<!-- bench:begin chart=timers picture=charts/timers.svg -->` the same as a picture, written to that file (from the
    document's folder on);
    `<!-- bench:begin python=3.14 -->` only results of that Python. All end with `<!-- bench:end -->`.
    Raises ValueError for options that it does not know.
    """
    text = path.read_text() if path.exists() else "<!-- bench:begin -->\n<!-- bench:end -->\n"
    written = 0

    def fill(match: re.Match[str]) -> str:
        nonlocal written
        options = dict(word.partition("=")[::2] for word in match["options"].split())
        if unknown := options.keys() - {"rows", "chart", "picture", "python"}:
            known = "rows=, chart=, picture= and python="
            raise ValueError(f"{path}: bench:begin has no option {', '.join(sorted(unknown))}; it has {known}")
        python = str(results.meta["machine"]["python"])
        if "python" in options and not python.startswith(options["python"] + "."):
            return match[0]
        written += 1
        if "chart" in options:
            names = _chosen(results, options["chart"])
            if "picture" in options:
                svg, words = picture(results, names)
                (path.parent / options["picture"]).write_text(svg)
                filling = f"![{words}]({options['picture']})\n\n{source(results)}\n"
            else:
                filling = chart(results, names)
            filling += "\n".join([*_warnings(results), ""]).lstrip("\n")
        else:
            filling = markdown(results, options.get("rows", ""))
        return f"{match['begin']}\n{filling}{match['end']}"

    filled = MARKED.sub(fill, text)
    path.write_text(filled)
    return written
