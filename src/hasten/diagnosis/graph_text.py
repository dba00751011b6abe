"""A wait graph as text, in Graphviz's language, as dicts and as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hasten.diagnosis.standing import show

if TYPE_CHECKING:
    from hasten.diagnosis import wait_graph

_SHAPES = {"task": "box", "lock": "diamond", "semaphore": "diamond", "queue": "cds", "timer": "plaintext"}


def label(node: wait_graph.Node) -> str:
    """Name a node in a line: what kind it is, its name, its state."""
    if node.kind == "task":
        return f"task {node.name!r}"
    return f"{node.name} ({node.state})" if node.state else node.name


def circle(nodes: tuple[wait_graph.Node, ...]) -> str:
    """Write a circle: each waits for the next, the last for the first."""
    return " → ".join(label(node) for node in (*nodes, nodes[0]))


def text(graph: wait_graph.WaitGraph) -> str:
    """Each task: where it was made, where it stands, and what it waits for; then the circles."""
    lines = [f"{len(graph.tasks)} tasks"]
    for task in graph.tasks:
        lines.append(f"{label(task)} {task.state}")
        if task.made is not None:
            lines.append(f"  made at {show(task.made)}")
        if task.at is not None:
            lines.append(f"  stands at {show(task.at)}")
        _follow(graph, task, lines, "  ", {task.key})
    lines += [f"circle: {circle(each)}" for each in graph.circles()]
    return "\n".join(lines)


def _follow(graph: wait_graph.WaitGraph, node: wait_graph.Node, lines: list[str], indent: str, seen: set[str]) -> None:
    for edge in graph.from_node(node.key):
        target = graph.by_key[edge.target]
        lines.append(f"{indent}{edge.how} {label(target)}")
        if target.kind != "task" and target.key not in seen:
            _follow(graph, target, lines, indent + "  ", seen | {target.key})


def as_dict(graph: wait_graph.WaitGraph) -> dict[str, Any]:
    """Nodes, edges and circles, of nothing but dicts, lists, texts and numbers."""
    nodes = [
        {
            "key": node.key,
            "kind": node.kind,
            "name": node.name,
            "state": node.state,
            "made": _place(node.made),
            "stands": [_place(each) for each in node.stands],
        }
        for node in graph.nodes
    ]
    edges = [{"waiter": e.waiter, "target": e.target, "how": e.how, "must": e.must} for e in graph.edges]
    return {"nodes": nodes, "edges": edges, "circles": [[node.key for node in each] for each in graph.circles()]}


def _place(place: tuple[str, int, str] | None) -> dict[str, Any] | None:
    return None if place is None else {"file": place[0], "line": place[1], "function": place[2]}


def json_text(graph: wait_graph.WaitGraph) -> str:
    return json.dumps(as_dict(graph), indent=2)


def dot(graph: wait_graph.WaitGraph) -> str:
    """A directed graph; what is in a circle is red."""
    pairs = {(each[i].key, each[(i + 1) % len(each)].key) for each in graph.circles() for i in range(len(each))}
    red = {key for pair in pairs for key in pair}
    lines = ["digraph waits {", "  rankdir=LR;"]
    for node in graph.nodes:
        words = [label(node)]
        if node.at is not None:
            words.append(f"{node.at[0].rpartition('/')[2]}:{node.at[1]} {node.at[2]}")
        color = ", color=red" if node.key in red else ""
        shape = _SHAPES.get(node.kind, "ellipse")
        lines.append(f"  {_quoted(node.key)} [label={_quoted(chr(10).join(words))}, shape={shape}{color}];")
    for edge in graph.edges:
        style = "" if edge.must else ", style=dashed"
        color = ", color=red" if (edge.waiter, edge.target) in pairs else ""
        lines.append(f"  {_quoted(edge.waiter)} -> {_quoted(edge.target)} [label={_quoted(edge.how)}{style}{color}];")
    lines.append("}")
    return "\n".join(lines)


def _quoted(words: str) -> str:
    escaped = words.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
