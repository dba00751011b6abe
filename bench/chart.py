"""A chart in plain text: the CPU time of each workload as bars, so that it shows everywhere Markdown does."""

from __future__ import annotations

from bench.contenders import BASE
from bench.numbers import WIDE, number
from bench.results import Results
from bench.workloads import WORKLOADS

WIDTH = 40  # of the longest bar, in characters
FULL = "\N{FULL BLOCK}"
EIGHTHS = ("", *(chr(code) for code in range(0x258F, 0x2588, -1)))  # one to seven eighths of a character
SHOWN = ("asyncio", BASE, "hasten")


def bar(share: float) -> str:
    """A bar that is `share` (0 to 1) of the longest one."""
    eighths = max(1, round(share * WIDTH * 8))
    return FULL * (eighths // 8) + EIGHTHS[eighths % 8]


def chart(results: Results, names: list[str]) -> str:
    """Return a fenced block with bars for the workloads `names`, each with its own scale, and where they come from.

    A contender that has no figure is named as such. A ± marks rounds that lay far apart.
    """
    lines = ["CPU time per operation: the shorter, the better"]
    for name in names:
        lines += ["", WORKLOADS[name].what]
        found = {key: results.summary(name, key) for key in SHOWN}
        longest = max((each.value or 0.0 for each in found.values() if each is not None), default=0.0)
        for key, summary in found.items():
            if summary is None or summary.value is None:
                lines.append(f"  {key:>7}  no figure")
                continue
            text = number(summary.value, WORKLOADS[name].unit)
            if summary.spread > WIDE:
                text += f" ±{summary.spread / 2:.0%}"
            ratio = results.ratio(name, key)
            if ratio is not None and key not in ("asyncio", BASE):
                text += f", {ratio:.1f} times less than {BASE}"
            lines.append(f"  {key:>7}  {bar(summary.value / longest)} {text}")
    return "\n".join(["```text", *lines, "```", "", source(results)]) + "\n"


def source(results: Results) -> str:
    """Return the sentence under a chart: on what, when and how it was measured."""
    machine = results.meta["machine"]
    versions = {name: version for name, version in results.meta["versions"].items() if name in SHOWN}
    on = ", ".join([f"Python {machine['python']}", *(f"{name} {version}" for name, version in versions.items())])
    return f"Medians of {results.meta['rounds']} interleaved rounds on {machine['date']}: {on}; {machine['processor']}."
