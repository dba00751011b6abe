"""`hasten top PID`: another process, watched."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from hasten.cli import looking
from hasten.cli.looking import plain
from hasten.diagnosis import asking, processes
from hasten.diagnosis.meeting import PERIOD

HELP = f"""\
usage: hasten top PID [--once] [--json] [--timeout S]

Watches a process, a screen every second, until Ctrl-C: its processor time, memory, threads and files; each loop's
tasks, steps and callbacks per second, how much of the time it was at work, and how long one batch took at least
(meanwhile nothing else on that loop could go on); the coroutines and callbacks that kept the loops busy; the coroutines
that most tasks run; and the tasks that have stood longest in one place since the watching began.

For as long as somebody watches, a thread of the process looks 50 times a second what the loops do.

  --once         one screen, after a second, and the end (for scripts; with --json: one object)
{looking.OPTIONS}
In a terminal it is shown by rich, if that is there (pip install 'hasten[top]'), else as plain text.

{looking.NOTE}"""

EVERY = 1.0
LINES = 8  # of each table
_Table = tuple[Sequence[str], list[Sequence[str]]]  # headings, rows; a heading that begins with ">" stands right


def main(words: Sequence[str]) -> int:
    """Show screens until it is interrupted or the process ends, and return the exit status."""
    if any(word in ("-h", "--help") for word in words):
        print(HELP, end="")
        return 0
    asked = looking.understand("top", words, ("--once",))
    try:
        with asking.Line(asked.pid, asked.timeout) as line:
            watch = Watch(line)
            if "--once" in asked.flags or not sys.stdout.isatty():
                return _print(watch, asked, once="--once" in asked.flags)
            return _live(watch, asked)
    except KeyboardInterrupt:
        return 0
    except asking.Unreachable as error:
        return looking.tell(error, asked)


class Watch:
    """What is seen of a process from second to second."""

    def __init__(self, line: asking.Line) -> None:
        self._line = line
        self._paths = looking.Paths(line.pid)
        line.ask("top")  # from now on it looks
        self._usage, self._at = processes.usage(line.pid), time.monotonic()

    def next(self) -> dict[str, Any]:
        """Wait for a second, and return what happened in it. Raises asking.Unreachable."""
        time.sleep(EVERY)
        answer = self._line.ask("top")
        usage, now = processes.usage(self._line.pid), time.monotonic()
        if usage["cpu"] or self._usage["cpu"]:
            answer["processor"] = (usage["cpu"] - self._usage["cpu"]) / (now - self._at)
        answer |= {key: value for key, value in usage.items() if key != "cpu"}
        self._usage, self._at = usage, now
        return answer

    def title(self, answer: dict[str, Any]) -> str:
        """The lines above the tables."""
        facts = []
        if "processor" in answer:
            facts.append(f"processor {answer['processor']:.0%}")
        if "memory" in answer:
            facts.append(f"memory {answer['memory'] / (1 << 20):.0f} MiB")
        facts += [f"{answer[key]} {key}" for key in ("threads", "files") if key in answer]
        facts.append(f"{answer['tasks']} tasks")
        return f"{looking.headline(answer, self._line.pid)}\n{', '.join(facts)}"

    def tables(self, answer: dict[str, Any]) -> list[_Table]:
        """The tables, as text."""
        loops = [
            (
                plain(loop["thread"] or "(not running)"),
                str(loop.get("tasks", "")),
                _number(loop.get("steps_per_second")),
                _percent(_at_work(loop)),
                _milliseconds(loop.get("lag")),
            )
            for loop in answer["loops"]
        ]
        found: list[_Table] = [(("LOOP IN", ">TASKS", ">STEPS/S", ">AT WORK", ">LONGEST BATCH"), list(loops))]
        busy = [
            (
                _percent(each["share"]),
                self._function(each["root"]),
                self._paths.place(each["at"]) if each["at"][0] else "",
            )
            for each in answer["busy"][:LINES]
        ]
        if busy:
            found.append(((">OF TIME", "COROUTINE OR CALLBACK", "MOSTLY AT"), list(busy)))
        groups = [(str(count), plain(name)) for name, count in answer["groups"][:LINES]]
        if groups:
            found.append(((">TASKS", "RUN"), list(groups)))
        longest = [
            (f"{each['seconds']:.0f} s", _who(each), plain(each["coroutine"]), self._paths.place(each["at"]))
            for each in answer["longest"][:LINES]
            if each["seconds"] >= EVERY / 2
        ]
        if longest:
            found.append(((">STANDS FOR", "TASK", "COROUTINE", "AT"), list(longest)))
        return found

    def _function(self, place: Sequence[Any]) -> str:
        return f"{plain(place[2])} ({self._paths.place(place)})" if place[0] else plain(place[2])


def _who(group: dict[str, Any]) -> str:
    more = group["tasks"] - 1
    return plain(group["task"]) + (f" and {more} more" if more else "")


def _at_work(loop: dict[str, Any]) -> float | None:
    """The share of the time in which a loop did not sleep: what was seen, and what its thread has used at least."""
    found = [share for share in (loop.get("busy"), loop.get("processor")) if share is not None]
    return min(max(found), 1.0) if found else None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _milliseconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"≥ {value * 1000:.0f} ms" if value >= PERIOD else f"< {PERIOD * 1000:.0f} ms"


def as_text(watch: Watch, answer: dict[str, Any]) -> str:
    """Return a screen as plain text."""
    lines = [watch.title(answer)]
    for headings, rows in watch.tables(answer):
        right = [heading.startswith(">") for heading in headings]
        table = [[heading.lstrip(">") for heading in headings], *rows]
        widths = [max(len(row[column]) for row in table) for column in range(len(headings))]
        lines.append("")
        for row in table:
            cells = [
                f"{cell:>{size}}" if at_right else f"{cell:<{size}}"
                for cell, size, at_right in zip(row, widths, right, strict=True)
            ]
            lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _print(watch: Watch, asked: looking.Asked, *, once: bool) -> int:
    while True:
        answer = watch.next()
        print(json.dumps(answer) if asked.json else as_text(watch, answer) + ("" if once else "\n"), flush=True)
        if once:
            return 0


def _live(watch: Watch, asked: looking.Asked) -> int:
    if asked.json:
        return _print(watch, asked, once=False)
    show = _by_rich()
    if show is not None:
        return show(watch)
    note = "(plain text: pip install 'hasten[top]' for more; Ctrl-C ends)"
    while True:
        text = as_text(watch, watch.next())
        print(f"\x1b[H\x1b[2J{text}\n\n{note}", flush=True)


def _by_rich() -> Callable[[Watch], int] | None:
    """Return what shows screens by rich, or None if that is not there."""
    try:
        from rich.console import Group, RenderableType
        from rich.live import Live
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return None

    def screen(watch: Watch, answer: dict[str, Any]) -> RenderableType:
        parts: list[RenderableType] = [Text(watch.title(answer), style="bold", overflow="ellipsis", no_wrap=True)]
        for headings, rows in watch.tables(answer):
            table = Table(expand=True, box=None, header_style="reverse")
            for heading in headings:
                table.add_column(
                    heading.lstrip(">"),
                    justify="right" if heading.startswith(">") else "left",
                    no_wrap=True,
                    overflow="ellipsis",
                    ratio=None if heading.startswith(">") else 1,
                )
            for row in rows:
                table.add_row(*map(Text, row))
            parts += [Text(""), table]
        return Group(*parts)

    def show(watch: Watch) -> int:
        answer = watch.next()
        with Live(screen(watch, answer), screen=True, auto_refresh=False) as live:
            while True:
                answer = watch.next()
                live.update(screen(watch, answer), refresh=True)

    return show
