"""`hasten ps PID`: the tree of tasks of another process."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from hasten.cli import looking
from hasten.cli.looking import plain
from hasten.diagnosis import asking

HELP = f"""\
usage: hasten ps PID [--for S] [--all] [--json] [--timeout S]

Shows the tasks of a process as a tree: below a task stand those that it waits for. Of each: its name, its coroutine,
the line where that stands, what it awaits there, and where it was made.

  --for S        watch for S seconds first, and tell which tasks have not moved meanwhile
  --all          also all of many tasks that stand side by side in the same place
{looking.OPTIONS}
{looking.NOTE}"""

ALIKE = 3  # that are shown of those that stand side by side in the same place
HEADINGS = ("TASK", "COROUTINE", "STANDS AT", "AWAITS", "FOR", "MADE AT")
NARROWEST = 12
LEAST = 0.5  # seconds in one place that are worth telling
_Row = tuple[str, str, str, str, str, str]


def main(words: Sequence[str]) -> int:
    """Print the tasks of a process, and return the exit status."""
    if any(word in ("-h", "--help") for word in words):
        print(HELP, end="")
        return 0
    asked = looking.understand("ps", words, ("--all", "--for"))
    try:
        answer = _ask(asked)
    except asking.Unreachable as error:
        return looking.tell(error, asked)
    if asked.json:
        print(json.dumps(answer, indent=2))
        return 0
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(looking.headline(answer, asked.pid))
    print("\n".join(as_text(answer, looking.Paths(asked.pid), width, everything="--all" in asked.flags)))
    return 0


def _ask(asked: looking.Asked) -> dict[str, Any]:
    with asking.Line(asked.pid, asked.timeout) as line:
        if asked.seconds is not None:
            line.ask("top")  # from now on it looks
            time.sleep(asked.seconds)
            line.ask("top")
        return line.ask("ps")


def as_text(
    answer: dict[str, Any], paths: looking.Paths, width: int | None, *, everything: bool = False
) -> Iterator[str]:
    """Yield the lines that show the loops, each with its tasks. `width`: of the screen; None: as wide as need be."""
    tasks = answer["tasks"]
    children: dict[Any, list[dict[str, Any]]] = {}
    for task in tasks:
        children.setdefault(task["parent"], []).append(task)
    roots = children.get(None, []) + _of_circles(tasks, children)
    known = [loop["id"] for loop in answer["loops"]]
    for loop in answer["loops"]:
        own = [task for task in roots if task["loop"] == loop["id"]]
        count = sum(task["loop"] == loop["id"] for task in tasks)
        yield ""
        yield loop_line(loop, count)
        yield from _table(list(_rows(own, children, paths, everything)), width)
    strangers = [task for task in roots if task["loop"] not in known]
    if strangers:
        yield from [
            "",
            "on loops that are not known",
            *_table(list(_rows(strangers, children, paths, everything)), width),
        ]
    if not answer["loops"]:
        yield from ["", "no loop has run yet"]
    more = answer["tasks_in_all"] - len(tasks)
    if more > 0:
        yield f"… and {more} more tasks that were not looked at"


def loop_line(loop: dict[str, Any], count: int) -> str:
    """Return the line that says which loop it is and what it does."""
    where = f"in {plain(loop['thread'])}" if loop["thread"] else "not running"
    kind = "loop" if loop["kind"] == "Loop" else plain(loop["kind"])
    doing = "" if not loop["thread"] or "asleep" not in loop else ", asleep" if loop["asleep"] else ", at work"
    poller = f" ({plain(loop['poller'])})" if "poller" in loop else ""
    return f"{kind} {where}{doing}{poller}: {count} task{'' if count == 1 else 's'}"


def _of_circles(tasks: list[dict[str, Any]], children: dict[Any, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return a task of each circle of tasks that wait for each other, cut off from the others there: a root."""
    found = []
    by_id = {task["id"]: task for task in tasks}
    reached: set[int] = set()
    for task in tasks:
        path: list[int] = []
        here: Any = task
        while here is not None and here["id"] not in reached:
            reached.add(here["id"])
            path.append(here["id"])
            here = by_id.get(here["parent"])
        if here is not None and here["id"] in path:
            children[here["parent"]].remove(here)
            found.append(here)
    return found


def _rows(
    tasks: list[dict[str, Any]], children: dict[Any, list[dict[str, Any]]], paths: looking.Paths, everything: bool
) -> Iterator[_Row]:
    """Yield a row for each task below these, and for many that are alike one that says how many."""
    work: list[tuple[str, str, list[dict[str, Any]], int]] = [("", "", tasks, 0)]  # no recursion: chains may be long
    while work:
        indent, below, brothers, at = work.pop()
        if at >= len(brothers):
            continue
        last = at + 1 == len(brothers)
        task = brothers[at]
        branch = "" if below == "" and indent == "" else "└─ " if last else "├─ "
        alike = 1 if everything else _alike(brothers, at, children)
        following = at + 1
        row = _row(task, paths)
        yield (indent + branch + row[0], *row[1:])
        if alike > ALIKE + 1 and at + ALIKE < len(brothers):
            for other in brothers[at + 1 : at + ALIKE]:
                yield (indent + branch.replace("└", "├") + _row(other, paths)[0], *_row(other, paths)[1:])
            following = at + alike
            corner = branch if not branch else "└─ " if following == len(brothers) else "├─ "
            yield (f"{indent}{corner}… {alike - ALIKE} more like this", "", "", "", "", "")
        work.append((indent, below, brothers, following))
        if alike <= ALIKE + 1:
            inner = indent + ("" if not branch else "   " if last else "│  ")
            work.append((inner, "x", children.get(task["id"], []), 0))


def _alike(brothers: list[dict[str, Any]], at: int, children: dict[Any, list[dict[str, Any]]]) -> int:
    """Return how many tasks from this one on stand in the same place, with nothing below them."""

    def key(task: dict[str, Any]) -> Any:
        if children.get(task["id"]):
            return object()
        moves = (task.get("stands_for") or 0) < LEAST
        return [moves, *(task[field] for field in ("coroutine", "stands", "awaits", "made", "state"))]

    first = key(brothers[at])
    end = at + 1
    while end < len(brothers) and key(brothers[end]) == first:
        end += 1
    return end - at


def _row(task: dict[str, Any], paths: looking.Paths) -> _Row:
    stands = task["stands"]
    where = paths.place(stands[-1]) if stands else ""
    if stands and plain(stands[-1][2]) != plain(task["coroutine"]):
        where += f" {plain(stands[-1][2])}"
    awaits = (
        plain(task["awaits"])
        if task["awaits"]
        else {"running": "(runs now)", "ready": "(is about to run)"}.get(task["state"], "")
    )
    if task["cancelling"]:
        awaits += " (being cancelled)"
    age = task.get("stands_for")
    stood = "" if age is None else f"≥ {age:.0f} s" if age >= LEAST else "moves"
    return plain(task["name"]), plain(task["coroutine"]), where, awaits, stood, paths.place(task["made"])


def _table(rows: list[_Row], width: int | None) -> Iterator[str]:
    """Yield the rows as columns, the widest columns cut where the screen is too narrow."""
    if not rows:
        return
    # what is known of no task has no column
    kept = [at for at, heading in enumerate(HEADINGS) if heading != "FOR" or any(row[at] for row in rows)]
    table = [[row[at] for at in kept] for row in (HEADINGS, *rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(kept))]
    while width is not None and sum(widths) + 2 * len(widths) - 2 > width and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1
    for row in table:
        cells = (_cut(cell, size, end=column == 0) for column, (cell, size) in enumerate(zip(row, widths, strict=True)))
        yield "  ".join(f"{cell:<{size}}" for cell, size in zip(cells, widths, strict=True)).rstrip()


def _cut(cell: str, size: int, *, end: bool) -> str:
    """Return a cell of at most this size: of a place, the end says more."""
    if len(cell) <= size:
        return cell
    return cell[: size - 1] + "…" if end else "…" + cell[len(cell) - size + 1 :]
