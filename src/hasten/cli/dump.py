"""`hasten dump PID`: the stacks of all threads and tasks of another process."""

from __future__ import annotations

import json
import linecache
from collections.abc import Iterator, Sequence
from typing import Any

from hasten.cli import looking
from hasten.cli.looking import plain
from hasten.diagnosis import asking

HELP = f"""\
usage: hasten dump PID [--all] [--json] [--timeout S]

Shows the stacks of all threads of a process and of all its tasks, the innermost line last, as tracebacks do. The source
lines are those of the files as they are now.

  --all          also each of many tasks that stand in the same place
{looking.OPTIONS}
{looking.NOTE}"""

NAMES = 5  # of tasks that are like another one


def main(words: Sequence[str]) -> int:
    """Print the stacks of a process, and return the exit status."""
    if any(word in ("-h", "--help") for word in words):
        print(HELP, end="")
        return 0
    asked = looking.understand("dump", words, ("--all",))
    try:
        answer = asking.ask(asked.pid, "dump", asked.timeout)
    except asking.Unreachable as error:
        return looking.tell(error, asked)
    if asked.json:
        print(json.dumps(answer, indent=2))
        return 0
    print(looking.headline(answer, asked.pid))
    print("\n".join(as_text(answer, everything="--all" in asked.flags)))
    return 0


def as_text(answer: dict[str, Any], *, everything: bool = False) -> Iterator[str]:
    """Yield the lines that show the threads, then the tasks."""
    looped = {loop["thread_id"] for loop in answer["loops"] if loop["thread_id"]}
    for thread in answer["threads"]:
        native = f", {thread['native']} for the system" if thread["native"] else ""
        loop = ", runs a loop" if thread["id"] in looped else ""
        yield ""
        yield f"thread {plain(thread['name'] or '?')} ({thread['id']}{native}){loop}"
        yield from _stack(thread["stack"])
    groups: dict[Any, list[dict[str, Any]]] = {}
    for task in answer["tasks"]:
        alike = [task[field] for field in ("loop", "coroutine", "stands", "awaits", "made", "state", "cancelling")]
        groups.setdefault(task["id"] if everything else repr(alike), []).append(task)
    for first, *others in groups.values():
        yield ""
        yield _title(first)
        if others:
            names = ", ".join(plain(task["name"]) for task in others[:NAMES])
            yield f"  and {len(others)} more like this: {names}{', …' if len(others) > NAMES else ''}"
        yield from _stack(first["stands"])
    more = answer["tasks_in_all"] - len(answer["tasks"])
    if more > 0:
        yield f"… and {more} more tasks that were not looked at"


def _title(task: dict[str, Any]) -> str:
    state = {"waiting": f"awaits {plain(task['awaits'])}", "running": "runs now", "ready": "is about to run"}
    text = f"task {plain(task['name'])}: {plain(task['coroutine'])}() {state.get(task['state'], '')}".rstrip()
    if task["cancelling"]:
        text += ", being cancelled"
    if task["made"]:
        text += f", made at {plain(task['made'][0])}:{task['made'][1]} in {plain(task['made'][2])}"
    return text


def _stack(places: Sequence[Sequence[Any]]) -> Iterator[str]:
    for file, line, function in places:
        yield f'  File "{plain(file)}", line {line}, in {plain(function)}'
        source = linecache.getline(file, line).strip() if file.startswith("/") else ""
        if source:
            yield f"    {plain(source)}"
