"""The CPU time of each workload as bars: a chart in plain text, which shows everywhere, or as a picture (SVG)."""

from __future__ import annotations

from bench.contenders import BASE
from bench.numbers import WIDE, number
from bench.picture import Bar, Group, draw
from bench.results import Results
from bench.workloads import WORKLOADS

WIDTH = 40  # of the longest bar, in characters
FULL = "\N{FULL BLOCK}"
EIGHTHS = ("", *(chr(code) for code in range(0x258F, 0x2588, -1)))  # one to seven eighths of a character
SHOWN = ("asyncio", BASE, "hasten")
HEADING = "CPU time per operation: the shorter, the better"


def bar(share: float) -> str:
    """A bar that is `share` (0 to 1) of the longest one."""
    eighths = max(1, round(share * WIDTH * 8))
    return FULL * (eighths // 8) + EIGHTHS[eighths % 8]


def chart(results: Results, names: list[str]) -> str:
    """Return a fenced block with bars for the workloads `names`, each with its own scale, and where they come from.

    A contender that has no figure is named as such. A ± marks rounds that lay far apart.
    """
    lines = [HEADING]
    for name in names:
        lines += ["", WORKLOADS[name].what]
        found = {key: results.summary(name, key) for key in SHOWN}
        longest = max((each.value or 0.0 for each in found.values() if each is not None), default=0.0)
        for key, summary in found.items():
            if summary is None or summary.value is None:
                lines.append(f"  {key:>7}  no figure")
                continue
            text = _figure(results, name, key)
            lines.append(f"  {key:>7}  {bar(summary.value / longest)} {text}")
    return "\n".join(["```text", *lines, "```", "", source(results)]) + "\n"


def _figure(results: Results, name: str, key: str) -> str:
    """What stands behind a bar: the median, a mark where rounds lay apart, how much less than the base."""
    summary = results.summary(name, key)
    assert summary is not None
    assert summary.value is not None
    text = number(summary.value, WORKLOADS[name].unit)
    if summary.spread > WIDE:
        text += f" ±{summary.spread / 2:.0%}"
    ratio = results.ratio(name, key)
    if ratio is not None and key not in ("asyncio", BASE):
        text += f", {ratio:.1f} times less than {BASE}"
    return text


def picture(results: Results, names: list[str]) -> tuple[str, str]:
    """Return the same chart as an SVG, and its figures in words, for those who cannot see it."""
    groups, words = [], []
    for name in names:
        found = {key: results.summary(name, key) for key in SHOWN}
        with_figure = {key: each.value for key, each in found.items() if each is not None and each.value is not None}
        bars = [Bar(key, value, key, _figure(results, name, key)) for key, value in with_figure.items()]
        groups.append(Group(WORKLOADS[name].what, bars))
        words.append(f"{WORKLOADS[name].what}: {', '.join(f'{each.label} {each.text}' for each in bars)}")
    return draw(groups, what=HEADING), "; ".join(words)


def source(results: Results) -> str:
    """Return the sentence under a chart: on what, when and how it was measured."""
    machine = results.meta["machine"]
    versions = {name: version for name, version in results.meta["versions"].items() if name in SHOWN}
    on = ", ".join([f"Python {machine['python']}", *(f"{name} {version}" for name, version in versions.items())])
    return f"Medians of {results.meta['rounds']} interleaved rounds on {machine['date']}: {on}; {machine['processor']}."
