"""One HTML file that shows a recording: trace.html with the data in it."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from hasten.diagnosis.trace_file import task_title

LENGTH = 200  # letters of a name
STALL = 0.1  # seconds: a step or callback that took longer is marked


def page(found: dict[str, Any], title: str) -> str:
    """Return the page. `found` is a recording's contents, `title` is shown at the top."""
    template = files("hasten.diagnosis").joinpath("trace.html").read_text(encoding="utf-8")
    data = {
        "title": title,
        "about": f"Python {found.get('python')}, process {found.get('pid')}, {found.get('written')}: "
        + " ".join(map(str, found.get("program", []))),
        "stall": STALL * 1e6,
        "loops": [_loop(found, loop) for loop in found["loops"]],
    }
    # "</script>" in a name would end the script; the rest of HTML means nothing there.
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return template.replace("/*DATA*/null", text)


def _loop(found: dict[str, Any], loop: dict[str, Any]) -> dict[str, Any]:
    """A loop's lanes: its own (callbacks and sleeps) first, then its tasks in the order of their first event."""
    lanes: dict[int, dict[str, Any]] = {0: _lane("loop", None)}
    begun: dict[tuple[str, int], tuple[float, str]] = {}
    parked: dict[int, tuple[float, int]] = {}
    wakes: list[tuple[float, int, int]] = []
    order: dict[int, int] = {0: 0}
    last = 0.0
    for when, kind, task, other, label in loop["events"]:
        last = max(last, when)
        if task and task not in lanes:
            known = found["tasks"].get(str(task), {})
            order[task] = len(lanes)
            lanes[task] = _lane(task_title(found, task), known.get("made"))
        name, _, edge = kind.rpartition(" ")
        lane = lanes[task]
        if name == "loop":
            continue
        if edge == "begins":
            begun[name, task] = (when, _short(label or name))
        elif edge == "ends" and (name, task) in begun:
            start, shown = begun.pop((name, task))
            lane["spans"].append([start, round(when - start, 3), name, shown])
        elif kind == "parked":
            parked[task] = (when, other)
        elif kind == "woken":
            if task in parked:
                start, by = parked.pop(task)
                lane["waits"].append([start, round(when - start, 3), order.get(by, -1)])
            wakes.append((when, order.get(other, -1), order[task]))
        elif kind == "made":
            lane["made"] = [when, order.get(other, -1)]
        elif kind == "ended":
            lane["ended"] = when
    for task, (start, by) in parked.items():
        lanes[task]["waits"].append([start, round(last - start, 3), order.get(by, -1)])
    for (name, task), (start, shown) in begun.items():
        lanes[task]["spans"].append([start, round(last - start, 3), name, f"{shown} (not over yet)"])
    return {"thread": loop["thread"], "lost": loop.get("lost", 0), "lanes": list(lanes.values()), "wakes": wakes}


def _short(text: str) -> str:
    """Return the beginning: a browser that measures how much of a name has room takes minutes for a very long one."""
    return text if len(text) <= LENGTH else text[: LENGTH - 1] + "…"


def _lane(title: str, place: str | None) -> dict[str, Any]:
    return {"title": _short(title), "place": place, "spans": [], "waits": [], "made": None, "ended": None}
