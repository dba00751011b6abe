"""The file of a recording: what is in it, how it is written and read, and what Perfetto wants to have.

It is JSON, packed by gzip where its name ends in ".gz":

    {"hasten_trace": 1, "python": "3.13.0", "pid": 123, "program": ["app.py"], "written": "2026-11-27T12:00:00+00:00",
     "tasks": {"7": {"name": null, "coroutine": "main", "made": "app.py:12"}},
     "loops": [{"thread": "MainThread", "lost": 0, "events": [[12.5, "step begins", 7, 0, null], …]}]}

An event is [microseconds since the recording began, kind, task, other, label]; see recorder.Recorder.events() for the
last three, and recorder.NAMES for the kinds. `lost` counts the events that were overwritten.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hasten.diagnosis.recorder import NAMES

VERSION = 1
PIECE = 1000  # events


class TraceError(Exception):
    """A file is no recording of hasten's; the text says what is wrong with it."""


def contents(
    loops: list[dict[str, Any]],
    tasks: dict[int, dict[str, Any]],
    began: tuple[int, float],
    now: tuple[int, float],
) -> dict[str, Any]:
    """Return a file's contents.

    Arguments:
        loops: their threads and events, with the counter's values for times.
        tasks: what is known of those that are not done.
        began, now: (counter, seconds) at two moments: they tell how fast the counter counts.
    """
    counted = max(now[0] - began[0], 1)
    scale = max(now[1] - began[1], 1e-9) * 1e6 / counted
    known = {str(key): value for key, value in tasks.items()}
    shown = []
    for loop in loops:
        events = []
        for count, kind, task, other, label in loop["events"]:
            if kind == "ended" and isinstance(label, tuple):
                name, coroutine, made = label
                known.setdefault(str(task), {"name": name, "coroutine": coroutine, "made": made})
                label = None
            events.append([round((count - began[0]) * scale, 3), kind, task, other, label])
        shown.append({**loop, "events": events})
    return {
        "hasten_trace": VERSION,
        "python": platform.python_version(),
        "pid": os.getpid(),
        "program": list(sys.argv),
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "tasks": known,
        "loops": shown,
    }


def write(path: Path, recorded: dict[str, Any]) -> None:
    """Write a recording; a reader never sees half of it. Raises OSError."""
    data = _dumped(recorded)
    if path.name.endswith(".gz"):
        data = gzip.compress(data)
    path = Path(os.path.realpath(path))  # a link goes on leading where it leads
    if path.exists() and not path.is_file():  # a device or a pipe is not to be replaced by a file
        path.write_bytes(data)
        return
    name = os.fsdecode(os.fsencode(path.name)[:200])  # with what follows, no name is too long
    part = path.with_name(f"{name}.{os.getpid()}.{threading.get_ident():x}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _dumped(recorded: dict[str, Any]) -> bytes:
    """Return it as JSON, made in small pieces: other threads can go on between them."""
    loops = []
    for loop in recorded["loops"]:
        events = loop["events"]
        pieces = [_json(events[i : i + PIECE])[1:-1] for i in range(0, len(events), PIECE)]
        loops.append(_json({**loop, "events": []})[:-2] + ",".join(pieces) + "]}")
    return (_json({**recorded, "loops": []})[:-2] + ",".join(loops) + "]}").encode()


def _json(thing: object) -> str:
    return json.dumps(thing, separators=(",", ":"))


def read(path: Path) -> dict[str, Any]:
    """Return a recording's contents. Raises OSError; TraceError if the file is something else, or broken."""
    data = path.read_bytes()
    try:
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        found = json.loads(data)
    except (ValueError, EOFError, OSError, zlib.error, RecursionError, MemoryError) as exc:
        raise TraceError(f"{path} is no recording of hasten's: {exc or type(exc).__name__}") from None
    if not isinstance(found, dict) or "hasten_trace" not in found:
        raise TraceError(f"{path} is no recording of hasten's: write one with 'hasten run --trace FILE PROGRAM.py'")
    if found["hasten_trace"] != VERSION:
        raise TraceError(f"{path} was written by another version of hasten: read it with that one")
    _check(path, found)
    return found


def _check(path: Path, found: dict[str, Any]) -> None:
    """Raise TraceError if something is not what a recording has."""
    wrong = _wrong(found)
    if wrong is not None:
        raise TraceError(f"{path} is broken: {wrong[:200]}")


def _wrong(found: dict[str, Any]) -> str | None:
    """Say what in a recording's contents is not what it should be, or None."""
    loops, tasks, program = found.get("loops"), found.get("tasks"), found.get("program", [])
    if not isinstance(loops, list) or not isinstance(tasks, dict) or not isinstance(program, list):
        return "loops, tasks or program are missing, or of a wrong kind"
    for loop in loops:
        if not isinstance(loop, dict) or not isinstance(loop.get("events"), list):
            return f"a loop that is none: {loop!r:.100}"
        if not isinstance(loop.get("thread"), str) or not isinstance(loop.get("lost", 0), int):
            return f"a loop without a thread: {loop.get('thread')!r:.100}"
        for event in loop["events"]:
            if not _is_event(event):
                return f"an event that is none: {event!r:.100}"
    for number, task in tasks.items():
        if not isinstance(task, dict) or not all(_is_text(task.get(key, 0)) for key in ("name", "coroutine", "made")):
            return f"a task that is none: {number!r:.100}"
    return None


def _is_text(thing: Any) -> bool:
    return thing is None or isinstance(thing, str)


def _is_event(event: Any) -> bool:
    if not isinstance(event, list) or len(event) != 5:
        return False
    when, kind, task, other, label = event
    if type(when) not in (int, float) or not -1e18 < when < 1e18:  # also no NaN
        return False
    return kind in NAMES and type(task) is int and type(other) is int and _is_text(label)


def task_title(found: dict[str, Any], number: int) -> str:
    """What a task is called: its coroutine, and the name that the program gave it."""
    known = found["tasks"].get(str(number))
    if known is None:
        return f"Task-{number}"
    return f"{known['name'] or f'Task-{number}'} ({known['coroutine'] or '?'})"


def perfetto(found: dict[str, Any]) -> dict[str, Any]:
    """Return a recording in the form of Chrome's trace events, which Perfetto's viewer (ui.perfetto.dev) opens.

    The format: "Trace Event Format", by Google. A thread of the viewer is a task, or a loop's callbacks and polls.
    """
    out: list[dict[str, Any]] = []
    for index, loop in enumerate(found["loops"], 1):
        out.append({"ph": "M", "pid": index, "tid": 0, "name": "process_name", "args": {"name": loop["thread"]}})
        out.append({"ph": "M", "pid": index, "tid": 0, "name": "thread_name", "args": {"name": "loop"}})
        named = set()
        for event in _slices(loop["events"]):
            number = event["tid"]
            if number and number not in named:
                named.add(number)
                title = task_title(found, number)
                out.append({"ph": "M", "pid": index, "tid": number, "name": "thread_name", "args": {"name": title}})
            out.append({**event, "pid": index})
    return {"traceEvents": out, "displayTimeUnit": "ns"}


def _slices(events: list[list[Any]]) -> Iterator[dict[str, Any]]:
    """Yield the spans of time (steps, callbacks, polls), and what happens at one moment."""
    open_: dict[tuple[str, int], float] = {}
    labels: dict[tuple[str, int], str] = {}
    for number, (when, kind, task, other, label) in enumerate(events):
        name, _, edge = kind.rpartition(" ")
        if name == "loop":
            continue
        if edge == "begins":
            open_[name, task] = when
            labels[name, task] = label or name
        elif edge == "ends" and (name, task) in open_:
            begun = open_.pop((name, task))
            yield {"ph": "X", "tid": task, "ts": begun, "dur": when - begun, "name": labels[name, task], "cat": name}
        elif kind == "woken":
            yield {"ph": "i", "tid": task, "ts": when, "name": "woken", "cat": "task", "s": "t"}
            if other:
                yield {"ph": "s", "tid": other, "ts": when, "id": number, "name": "wakes", "cat": "wake"}
                yield {"ph": "f", "bp": "e", "tid": task, "ts": when, "id": number, "name": "wakes", "cat": "wake"}
        elif kind in ("made", "ended"):
            yield {"ph": "i", "tid": task, "ts": when, "name": kind, "cat": "task", "s": "t"}
