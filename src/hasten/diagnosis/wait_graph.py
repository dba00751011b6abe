"""wait_graph(): who waits for whom on a loop, as data; diagnosis/graph_text makes text, Graphviz and JSON of it.

Nothing is recorded while a program runs. All is read off when it is asked for: what a task is parked on, the native
coroutine at the end of its await chain (which knows its lock or queue), the blocks that a suspended coroutine is inside
of, the loop's timers and watches. The result holds texts and numbers only.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import gc
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hasten.core.registry import all_tasks, current_task
from hasten.core.scheduler import Scheduler
from hasten.diagnosis import graph_text, standing
from hasten.diagnosis.standing import Place, is_a
from hasten.kernel.step import Awaitable
from hasten.poll.contract import Watch
from hasten.primitives import conditions, locks, many_futures, queues, taskgroups, timeouts
from hasten.process.transport import SubprocessTransport

# What can be waited for, by its class: hasten's own, and asyncio's for who uses them on a loop of hasten's.
_KINDS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("condition", (conditions.Condition, asyncio.Condition)),
    ("barrier", (conditions.Barrier, asyncio.Barrier)),
    ("lock", (locks.Lock, asyncio.Lock)),
    ("semaphore", (locks.Semaphore, asyncio.Semaphore)),
    ("event", (locks.Event, asyncio.Event)),
    ("queue", (queues.Queue, asyncio.Queue)),
    ("group", (taskgroups.TaskGroup, asyncio.TaskGroup)),
    ("timeout", (timeouts.Timeout, asyncio.Timeout)),
    ("stream", (asyncio.StreamReader, asyncio.StreamReaderProtocol)),
    ("process", (SubprocessTransport,)),
)
_OWNED = ("lock", "condition", "semaphore")


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
        first = min(tasks, key=lambda i: _in_order(nodes[i].name)) if tasks else 0
        return (*nodes[first:], *nodes[:first])

    def text(self) -> str:
        """Return it as text for people."""
        return graph_text.text(self)

    def dot(self) -> str:
        """Return it in Graphviz's language."""
        return graph_text.dot(self)

    def as_dict(self) -> dict[str, Any]:
        """Return it as dicts and lists."""
        return graph_text.as_dict(self)

    def json(self) -> str:
        """Return as_dict() as JSON."""
        return graph_text.json_text(self)

    def __str__(self) -> str:
        return self.text()


def wait_graph(loop: asyncio.AbstractEventLoop | None = None) -> WaitGraph:
    """Return who waits for whom on a loop (None: the running one), now.

    From another thread the loop has to be given; what it does meanwhile may make the graph inconsistent. Raises
    RuntimeError if no loop is given and none runs.
    """
    if loop is None:
        loop = asyncio.get_running_loop()
    return _Reader(loop).read()


class _Reader:
    """Reads one graph off a loop."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.nodes: dict[int, Node] = {}
        self.kept: list[Any] = []  # until the graph is read: an id() stays one object's
        self.edges: dict[Edge, None] = {}  # in their order, each once
        self.counts: dict[str, int] = {}
        self.now = loop.time()
        self.timers: dict[int, float] = {}
        self.watched: dict[int, Any] = {}
        self.owners: dict[int, list[tuple[Any, Any]]] = {}

    def read(self) -> WaitGraph:
        tasks = sorted(all_tasks(self.loop), key=lambda task: _in_order(standing.name_of(task)))
        self._read_timers()
        self._read_watches()
        chains = [standing.chain(standing.coroutine_of(task)) for task in tasks]
        for task, chain in zip(tasks, chains, strict=True):
            self._read_owners(task, chain)
        running = current_task(self.loop) if self.loop.is_running() else None
        for task in tasks:
            self._task(task, running)
        for task, chain in zip(tasks, chains, strict=True):
            self._read_task(task, chain)
        return WaitGraph(tuple(self.nodes.values()), tuple(self.edges))

    # ---- what the loop knows --------------------------------------------------------------

    def _read_timers(self) -> None:
        for handle in getattr(self.loop, "_scheduled", ()):
            if handle.cancelled():
                continue
            when = handle.when()
            callback = getattr(handle, "_callback", None)
            for each in (callback, *(getattr(handle, "_args", None) or ()), *gc.get_referents(handle)):
                self._note_timer(each, when)
                owner = getattr(each, "__self__", None) if standing._is_function(each) else None
                if owner is not None:
                    self._note_timer(owner, when)

    def _note_timer(self, thing: Any, when: float) -> None:
        if standing.is_future(thing) or is_a(thing, timeouts.Timeout) or is_a(thing, asyncio.Timeout):
            self.timers[id(thing)] = min(when, self.timers.get(id(thing), when))

    def _read_watches(self) -> None:
        if is_a(self.loop, Scheduler):
            for watch in self.loop._watches():
                for each in standing.refers_to(watch):
                    if standing.is_future(each):
                        self.watched[id(each)] = watch

    def _read_owners(self, task: Any, chain: list[Any]) -> None:
        """Note whose blocks a task is inside of."""
        inside = [each for link in chain for each in standing.inside_of(link)]
        entering = _entered_now(chain)
        for thing in inside:
            if thing is entering:
                entering = None  # it waits to get in: the innermost of its blocks is not entered yet
                continue
            kind = _kind_of(thing)
            if kind == "condition":
                if any(_is_wait_of(link, thing) for link in chain):
                    continue  # wait() has let go of it
                thing = getattr(thing, "_lock", thing)
                kind = "lock"
            if kind in _OWNED:
                self.kept.append(thing)
                self.owners.setdefault(id(thing), []).append((task, thing))

    # ---- nodes ----------------------------------------------------------------------------

    def _add(self, thing: Any, kind: str, name: str, state: str = "", **more: Any) -> Node:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        node = Node(f"{kind}-{self.counts[kind]}", kind, name, state, **more)
        self.nodes[id(thing)] = node
        self.kept.append(thing)
        return node

    def _task(self, task: Any, running: Any) -> Node:
        node = self.nodes.get(id(task))
        if node is not None:
            return node
        if task is running:
            state = "runs"
        else:
            state = "is to run" if standing.waits_on(task) is None else "waits"
        stands = tuple(standing.stands_at(task))
        return self._add(task, "task", standing.name_of(task), state, made=standing.made_at(task), stands=stands)

    def _thing(self, thing: Any, kind: str) -> Node:
        node = self.nodes.get(id(thing))
        if node is not None:
            return node
        node = self._add(thing, kind, f"{type(thing).__name__} {id(thing):#x}", _state_of(thing, kind, self))
        for owner, held in self.owners.get(id(thing), ()):
            if held is thing:
                sure = kind == "lock" or len(self.owners[id(thing)]) == 1
                self._edge(node, self._task(owner, None), "is held by", sure)
        if kind == "condition":
            lock = getattr(thing, "_lock", None)
            if lock is not None and self.owners.get(id(lock)):
                self._thing(lock, "lock")
        if kind == "timeout" and id(thing) in self.timers:
            self._edge(node, self._timer(self.timers[id(thing)]), "ends by", True)
        return node

    def _timer(self, when: float) -> Node:
        return self._add(object(), "timer", f"timer in {max(when - self.now, 0.0):.3f} s")

    def _edge(self, waiter: Node, target: Node, how: str, must: bool = True) -> None:
        edge = Edge(waiter.key, target.key, how, must)
        self.edges[edge] = None

    # ---- what a task waits for ------------------------------------------------------------

    def _read_task(self, task: Any, chain: list[Any]) -> None:
        fut = standing.waits_on(task)
        if fut is None:
            return
        node = self.nodes[id(task)]
        for link in chain:
            for thing in (*standing.inside_of(link), *_limits(link)):
                if _kind_of(thing) == "timeout" and id(thing) in self.timers:
                    self._edge(node, self._thing(thing, "timeout"), "at the latest until", False)
        found = self._by_chain(node, chain) or self._by_future(node, fut)
        if found and id(fut) in self.timers:
            self._edge(node, self._timer(self.timers[id(fut)]), "at the latest until", False)
        if not found:
            target = self._future(fut)
            self._edge(node, target, "awaits")

    def _by_chain(self, node: Node, chain: list[Any]) -> bool:
        """Follow what the innermost awaitables say; False if they say nothing."""
        links = list(reversed(chain[-5:]))
        # what is made of others first: a barrier waits at a condition, join() for an event
        links.sort(key=lambda link: not _is_made_of_others(link))
        for link in links:
            name = getattr(link, "__qualname__", "") if standing._can_be_asked(link) else ""
            held = standing.refers_to(link)
            if type(link).__name__ == "Wait":
                given = [each for each in held if type(each) is set]
                return self._children(node, given, _is_first_only(held))
            for thing in held:
                kind = _kind_of(thing)
                if kind is None or kind == "timeout" or not _belongs(link, thing, name):
                    continue
                if kind == "group":
                    return self._children(node, [list(_tasks_of(thing))], False, "waits for its group's")
                self._edge(node, self._thing(thing, kind), _verb(name, kind))
                if kind == "stream":
                    self._stream(thing)
                return True
        return False

    def _children(self, node: Node, held: list[Any], any_one: bool, how: str = "waits for") -> bool:
        pending: list[Any] = []
        for each in _flat(held):
            if standing.is_future(each) and not each.done() and not any(each is one for one in pending):
                pending.append(each)
        pending.sort(key=lambda each: _in_order(standing.name_of(each)) if is_a(each, asyncio.Task) else ("", 0))
        for each in pending:
            self._edge(node, self._future(each), how, not any_one or len(pending) == 1)
        return bool(pending)

    def _by_future(self, node: Node, fut: Any) -> bool:
        if is_a(fut, asyncio.Task):
            self._edge(node, self._task(fut, None), "awaits")
            return True
        if is_a(fut, many_futures.Collector):
            return self._children(node, _collected(fut), False, f"waits in {_waits_in(fut)} for")
        return False

    def _future(self, fut: Any) -> Node:
        """The node of a future, and of who will complete it."""
        node = self.nodes.get(id(fut))
        if node is not None:
            return node
        if is_a(fut, asyncio.Task):
            return self._task(fut, None)
        if not standing.is_future(fut):
            return self._add(fut, "unknown", f"{type(fut).__name__} {id(fut):#x}")
        node = self._add(fut, "future", f"{type(fut).__name__} {id(fut):#x}", "pending")
        if is_a(fut, many_futures.Collector) and self._children(node, _collected(fut), False):
            return node
        if id(fut) in self.timers:
            self._edge(node, self._timer(self.timers[id(fut)]), "is completed by")
        elif id(fut) in self.watched:
            watch = self.watched[id(fut)]
            self._edge(node, self._watch(watch), "is completed by")
        else:
            job = _job_of(fut)
            if job is not None:
                state = "runs" if job.running() else "has not begun"
                target = self._add(job, "job", "a thread's or another executor's job", state)
                self._edge(node, target, "is completed by")
            else:
                self._edge(node, self._nobody(), "is completed by", False)
        return node

    def _nobody(self) -> Node:
        return self.nodes.get(id(self)) or self._add(self, "unknown", "nobody known")

    def _watch(self, watch: Any) -> Node:
        return self.nodes.get(id(watch)) or self._add(watch, "fd", f"file descriptor {watch.fd}")

    def _stream(self, stream: Any) -> None:
        node = self.nodes[id(stream)]
        transport = getattr(stream, "_transport", None)
        if transport is None:
            self._edge(node, self._nobody(), "is fed by", False)
        elif is_a(transport, Watch):
            self._edge(node, self._watch(transport), "is fed by")


# ---- what an object says of itself ---------------------------------------------------------


def _kind_of(thing: Any) -> str | None:
    cls = type(thing)
    for kind, classes in _KINDS:
        for each in classes:
            if issubclass(cls, each):
                return kind
    return None


def _belongs(link: Any, thing: Any, name: str) -> bool:
    """True if an awaitable is a method of this object, or hasten's for one: its variables hold others, too."""
    if is_a(link, Awaitable):
        return True
    if name == "Queue.join" and is_a(link, types.CoroutineType) and link.cr_code.co_name == "wait_until_set":
        return is_a(thing, queues.Queue)
    code = getattr(link, "cr_code", None)
    if code is None:
        return False
    for cls in type(thing).__mro__:
        method = vars(cls).get(code.co_name)
        if getattr(method, "__code__", None) is code:
            return True
    return False


def _is_made_of_others(link: Any) -> bool:
    if type(link) is not types.CoroutineType:
        return False
    code = link.cr_code
    if standing.is_users((code.co_filename, 0, "")):
        return False
    return code.co_qualname in ("Barrier.wait", "wait_until_set", "Queue.join")


def _collected(collector: Any) -> list[Any]:
    """Return what a collector waits for, without who waits for it."""
    waiting = list(getattr(collector, "_asyncio_awaited_by", None) or ())
    held = [each for each in standing.refers_to(collector) if type(each) is not set]
    return [each for each in _flat(held) if not any(each is one for one in waiting)]


def _in_order(name: str) -> tuple[str, int]:
    """Sort Task-10 after Task-9."""
    words = name.rstrip("0123456789")
    return words, int(name[len(words) :] or "0") if len(name) - len(words) < 20 else 0


def _entered_now(chain: list[Any]) -> Any:
    """Return the object whose `async with` the chain's end waits to enter; None if it does not."""
    if not chain:
        return None
    last = chain[-1]
    kind = type(last).__name__
    if kind in ("LockAcquire", "SemaphoreAcquire"):
        held = standing.refers_to(last)
        thing = next((each for each in held if _kind_of(each) in ("lock", "semaphore")), None)
        by_with = not any(each is True for each in held)
        names = [getattr(link, "__name__", "") for link in chain[-3:-1] if standing._can_be_asked(link)]
        if "__aenter__" in names or "enter_by_acquire" in names:
            by_with = True
            for link in chain[-3:-1]:
                for each in gc.get_referents(link):
                    if _kind_of(each) == "condition":
                        return each
        return thing if by_with else None
    names = [getattr(link, "__name__", "") for link in chain[-3:] if standing._can_be_asked(link)]
    if "__aenter__" in names:  # asyncio's own
        for link in chain[-3:]:
            for each in gc.get_referents(link):
                if _kind_of(each) in _OWNED:
                    return each
    return None


def _is_wait_of(link: Any, condition: Any) -> bool:
    if type(link).__name__ != "coroutine" or getattr(link, "__name__", "") != "wait":
        return False
    return any(each is condition for each in gc.get_referents(link))


def _limits(link: Any) -> list[Any]:
    """Return the timeout of wait_for()."""
    if type(link).__name__ != "WaitFor":
        return []
    return [each for each in standing.refers_to(link) if is_a(each, timeouts.Timeout)]


def _is_first_only(held: list[Any]) -> bool:
    return any(type(each) is str and each != asyncio.ALL_COMPLETED for each in held)


def _flat(held: list[Any]) -> Iterator[Any]:
    """What stands in an object's fields, or in lists, sets and dicts that do."""
    for each in held:
        if type(each) in (list, set, tuple, frozenset):
            yield from list(each)
        elif type(each) is dict:
            yield from list(each.values())
        else:
            yield each


def _tasks_of(group: Any) -> list[Any]:
    try:
        return list(group._tasks)
    except Exception:
        return []


def _waits_in(fut: Any) -> str:
    name = type(fut).__name__
    if "Gather" in name:
        return "gather()"
    return {"Shield": "shield()", "Countdown": "wait()"}.get(name, name)


def _verb(name: str, kind: str) -> str:
    if kind == "queue":
        return "puts into" if name.endswith("put") else "joins" if name.endswith("join") else "gets from"
    if kind in ("lock", "semaphore"):
        return "waits to acquire"
    return "waits for"


def _length(thing: Any, name: str) -> int:
    line = getattr(thing, name, None)
    return len(line) if line is not None else 0


def _state_of(thing: Any, kind: str, reader: _Reader) -> str:
    """Say what state an object is in, by its own fields."""
    if kind == "lock":
        if not thing._locked:
            return "free"
        return "held" if reader.owners.get(id(thing)) else "held, nobody known to be inside `async with`"
    if kind == "semaphore":
        return f"{thing._value} free, {_length(thing, '_waiters')} wait"
    if kind == "event":
        return "set" if thing._value else "unset"
    if kind == "condition":
        return f"{_length(thing, '_waiters')} wait for a notification"
    if kind == "barrier":
        return f"{thing._count} of {thing._parties} are there"
    if kind == "queue":
        return f"{_length(thing, '_queue')} items, {_length(thing, '_getters')} get, {_length(thing, '_putters')} put"
    if kind == "process":
        return f"pid {thing._pid}"
    return ""


def _job_of(fut: Any) -> Any:
    """Return the concurrent.futures.Future whose end completes a future, or None."""
    for callback, _ in getattr(fut, "_callbacks", None) or ():
        held: tuple[Any, ...] = ()
        if type(callback) is functools.partial:
            held = (*callback.args,)
        elif getattr(callback, "__closure__", None):
            held = tuple(gc.get_referents(*callback.__closure__))
        for each in held:
            if is_a(each, concurrent.futures.Future):
                return each
    return None
