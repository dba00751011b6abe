"""Who waits for whom, as data, as text, in Graphviz's language and as JSON. Nothing is kept alive."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hasten.diagnosis import standing
from hasten.diagnosis.showing import plain, short
from hasten.diagnosis.standing import Place, show

_SHAPES = {"task": "box", "lock": "diamond", "semaphore": "diamond", "queue": "cds", "timer": "plaintext"}


@dataclass(frozen=True, slots=True)
class Node:
    """A task, or something that tasks wait for.

    `key` names it within its graph. `kind`: task, future, lock, condition, semaphore, event, barrier, queue, group,
    timeout, timer, stream, fd, process, job (of a thread or another executor), or unknown: nobody could be found.
    `made` and `stands` (the outermost first) are places in the source: (file, line, function).
    """

    key: str
    kind: str
    name: str
    state: str = ""
    made: Place | None = None
    stands: tuple[Place, ...] = ()

    @property
    def at(self) -> Place | None:
        """Where a task stands in the program's own code, or None."""
        return standing.innermost(self.stands)


@dataclass(frozen=True, slots=True)
class Edge:
    """`waiter` waits for `target`; both are keys of nodes.

    `must`: it cannot go on before that one does. Else that one is one of several that would do, as a timeout.
    """

    waiter: str
    target: str
    how: str
    must: bool = True


@dataclass(frozen=True, slots=True)
class WaitGraph:
    """Who waits for whom on one loop, at one moment."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    by_key: dict[str, Node] = field(init=False, repr=False, compare=False)
    _leaving: dict[str, list[Edge]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        leaving: dict[str, list[Edge]] = {}
        for edge in self.edges:
            leaving.setdefault(edge.waiter, []).append(edge)
        object.__setattr__(self, "by_key", {node.key: node for node in self.nodes})
        object.__setattr__(self, "_leaving", leaving)

    @property
    def tasks(self) -> tuple[Node, ...]:
        """The tasks among the nodes."""
        return tuple(node for node in self.nodes if node.kind == "task")

    def from_node(self, key: str) -> tuple[Edge, ...]:
        """Return the edges that leave a node."""
        return tuple(self._leaving.get(key, ()))

    def circles(self) -> list[tuple[Node, ...]]:
        """Return the circles in which each must wait for the next, and the last for the first."""
        targets: dict[str, list[str]] = {}
        for edge in self.edges:
            if edge.must:
                targets.setdefault(edge.waiter, []).append(edge.target)
        found: list[tuple[Node, ...]] = []
        done: set[str] = set()
        for start in targets:
            path: list[str] = []
            place: dict[str, int] = {}
            work: list[tuple[str, Iterator[str]]] = []
            if start not in done:
                work.append((start, iter(targets[start])))
                place[start] = 0
                path.append(start)
            while work:
                key, rest = work[-1]
                step = next(rest, None)
                if step is None:
                    work.pop()
                    path.pop()
                    del place[key]
                    done.add(key)
                elif step in place:
                    found.append(self._turned(path[place[step] :]))
                elif step not in done and step in targets:
                    place[step] = len(path)
                    path.append(step)
                    work.append((step, iter(targets[step])))
        return found

    def _turned(self, keys: list[str]) -> tuple[Node, ...]:
        """Have a circle begin with the task of the least name: whoever was found first."""
        nodes = [self.by_key[key] for key in keys]
        tasks = [i for i, node in enumerate(nodes) if node.kind == "task"]
        first = min(tasks, key=lambda i: in_order(nodes[i].name)) if tasks else 0
        return (*nodes[first:], *nodes[:first])

    def text(self) -> str:
        """Return it as text for people."""
        return _text(self)

    def dot(self) -> str:
        """Return it in Graphviz's language."""
        return _dot(self)

    def as_dict(self) -> dict[str, Any]:
        """Return it as dicts and lists."""
        return _as_dict(self)

    def json(self) -> str:
        """Return as_dict() as JSON."""
        return json.dumps(_as_dict(self), indent=2)

    def __str__(self) -> str:
        return self.text()


def in_order(name: str) -> tuple[str, int]:
    """Sort Task-10 after Task-9."""
    words = name.rstrip("0123456789")
    return words, int(name[len(words) :] or "0") if len(name) - len(words) < 20 else 0


def label(node: Node) -> str:
    """Name a node in a line: what kind it is, its name, its state."""
    if node.kind == "task":
        return f"task {short(node.name)!r}"
    name = plain(short(node.name))
    return f"{name} ({node.state})" if node.state else name


def circle(nodes: tuple[Node, ...]) -> str:
    """Write a circle: each waits for the next, the last for the first."""
    return " → ".join(label(node) for node in (*nodes, nodes[0]))


def _text(graph: WaitGraph) -> str:
    """Each task: where it was made, where it stands, and what it waits for; then the circles."""
    lines = [f"{len(graph.tasks)} tasks"]
    for task in graph.tasks:
        lines.append(f"{label(task)} {task.state}")
        if task.made is not None:
            lines.append(f"  made at {show(task.made)}")
        if task.at is not None:
            lines.append(f"  stands at {show(task.at)}")
        _follow(graph, task, lines)
    lines += [f"circle: {circle(each)}" for each in graph.circles()]
    return "\n".join(lines)


def _follow(graph: WaitGraph, task: Node, lines: list[str]) -> None:
    """Write what a task waits for, and what that waits for; each thing's own lines once."""
    seen = {task.key}
    left = [(edge, 1) for edge in reversed(graph.from_node(task.key))]
    while left:
        edge, depth = left.pop()
        target = graph.by_key[edge.target]
        lines.append(f"{'  ' * min(depth, 20)}{plain(short(edge.how))} {label(target)}")
        if target.kind != "task" and target.key not in seen:
            seen.add(target.key)
            left += [(each, depth + 1) for each in reversed(graph.from_node(target.key))]


def _as_dict(graph: WaitGraph) -> dict[str, Any]:
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


def _dot(graph: WaitGraph) -> str:
    """A directed graph; what is in a circle is red."""
    pairs = {(each[i].key, each[(i + 1) % len(each)].key) for each in graph.circles() for i in range(len(each))}
    red = {key for pair in pairs for key in pair}
    lines = ["digraph waits {", "  rankdir=LR;"]
    for node in graph.nodes:
        words = [label(node)]
        if node.at is not None:
            words.append(plain(f"{node.at[0].rpartition('/')[2]}:{node.at[1]} {node.at[2]}"))
        color = ", color=red" if node.key in red else ""
        shape = _SHAPES.get(node.kind, "ellipse")
        lines.append(f"  {_quoted(node.key)} [label={_quoted(chr(10).join(words))}, shape={shape}{color}];")
    for edge in graph.edges:
        style = "" if edge.must else ", style=dashed"
        color = ", color=red" if (edge.waiter, edge.target) in pairs else ""
        how = _quoted(plain(short(edge.how)))
        lines.append(f"  {_quoted(edge.waiter)} -> {_quoted(edge.target)} [label={how}{style}{color}];")
    lines.append("}")
    return "\n".join(lines)


def _quoted(words: str) -> str:
    escaped = words.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
