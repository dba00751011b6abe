"""wait_graph(): who waits for whom on a loop, as data; diagnosis/waits makes text, Graphviz and JSON of it.

Nothing is recorded while a program runs. All is read off when it is asked for: what a task is parked on, the native
coroutine at the end of its await chain (which knows its lock or queue), the blocks that a suspended coroutine is inside
of, the loop's timers and watches. The result holds texts and numbers only.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from hasten.core.registry import all_tasks, current_task
from hasten.core.scheduler import Scheduler
from hasten.core.task import Task
from hasten.diagnosis import standing, things, waits
from hasten.diagnosis.standing import is_a
from hasten.diagnosis.waits import Edge, Node, WaitGraph
from hasten.poll.contract import Watch
from hasten.primitives import many_futures, timeouts


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
        self.later: list[tuple[Node, Any]] = []  # futures, and what completes them: they may be nested deeply

    def read(self) -> WaitGraph:
        tasks = sorted(all_tasks(self.loop), key=lambda task: waits.in_order(standing.name_of(task)))
        self._read_timers()
        self._read_watches()
        chains = [self._chain(task) for task in tasks]
        for task, chain in zip(tasks, chains, strict=True):
            self._read_owners(task, chain)
        running = current_task(self.loop) if self.loop.is_running() else None
        for task in tasks:
            self._task(task, running)
        for task, chain in zip(tasks, chains, strict=True):
            try:
                self._read_task(task, chain)
            except Exception:  # methods and fields of somebody's own class
                self._edge(self.nodes[id(task)], self._nobody(), "cannot be read: waits for", False)
            self._complete_all()
        return WaitGraph(tuple(self.nodes.values()), tuple(self.edges))

    def _chain(self, task: Any) -> list[Any]:
        try:
            return standing.chain(standing.coroutine_of(task))
        except Exception:  # methods and fields of somebody's own class
            return []

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
            for watch in self.loop._poller.all_watches():
                for each in standing.refers_to(watch):
                    if standing.is_future(each):
                        self.watched[id(each)] = watch

    def _read_owners(self, task: Any, chain: list[Any]) -> None:
        """Note whose blocks a task is inside of."""
        inside = [each for link in chain for each in standing.inside_of(link)]
        entering = things.entered_now(chain)
        for thing in inside:
            if thing is entering:
                entering = None  # it waits to get in: the innermost of its blocks is not entered yet
                continue
            kind = things.kind_of(thing)
            if kind == "condition":
                if any(things.is_wait_of(link, thing) for link in chain):
                    continue  # wait() has let go of it
                thing = getattr(thing, "_lock", thing)
                kind = "lock"
            if kind in things.OWNED:
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
        node = self._add(
            thing,
            kind,
            things.title(thing),
            things.state_of(thing, kind, id(thing) in self.owners),
        )
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
            for thing in (*standing.inside_of(link), *things.limits(link)):
                if things.kind_of(thing) == "timeout" and id(thing) in self.timers:
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
        links.sort(key=lambda link: not things.is_made_of_others(link))
        for link in links:
            name = getattr(link, "__qualname__", "") if standing._can_be_asked(link) else ""
            held = standing.refers_to(link)
            if things.native_kind(link) == "Wait":
                given = [each for each in held if type(each) is set]
                return self._children(node, given, things.is_first_only(held))
            for thing in held:
                kind = things.kind_of(thing)
                if kind is None or kind == "timeout" or not things.belongs(link, thing, name):
                    continue
                if kind == "group":
                    return self._children(node, [list(things.tasks_of(thing))], False, "waits for its group's")
                self._edge(node, self._thing(thing, kind), things.verb(name, kind))
                if kind == "stream":
                    self._stream(thing)
                return True
        return False

    def _children(self, node: Node, held: list[Any], any_one: bool, how: str = "waits for") -> bool:
        found: dict[int, Any] = {}
        for each in things.flat(held):
            if standing.is_future(each) and id(each) not in found and not each.done():
                found[id(each)] = each
        pending = list(found.values())
        pending.sort(
            key=lambda each: waits.in_order(standing.name_of(each)) if is_a(each, (asyncio.Task, Task)) else ("", 0)
        )
        for each in pending:
            self._edge(node, self._future(each), how, not any_one or len(pending) == 1)
        return bool(pending)

    def _by_future(self, node: Node, fut: Any) -> bool:
        if is_a(fut, asyncio.Task):
            self._edge(node, self._task(fut, None), "awaits")
            return True
        if is_a(fut, many_futures.Collector):
            return self._children(node, things.collected(fut), False, f"waits in {things.waits_in(fut)} for")
        return False

    def _future(self, fut: Any) -> Node:
        """The node of a future, and of who will complete it."""
        node = self.nodes.get(id(fut))
        if node is not None:
            return node
        if is_a(fut, asyncio.Task):
            return self._task(fut, None)
        if not standing.is_future(fut):
            return self._add(fut, "unknown", things.title(fut))
        node = self._add(fut, "future", things.title(fut), "pending")
        self.later.append((node, fut))
        return node

    def _complete_all(self) -> None:
        while self.later:
            node, fut = self.later.pop()
            try:
                self._complete(node, fut)
            except Exception:  # as above
                self._edge(node, self._nobody(), "is completed by", False)

    def _complete(self, node: Node, fut: Any) -> None:
        if is_a(fut, many_futures.Collector) and self._children(node, things.collected(fut), False):
            return
        if id(fut) in self.timers:
            self._edge(node, self._timer(self.timers[id(fut)]), "is completed by")
        elif id(fut) in self.watched:
            watch = self.watched[id(fut)]
            self._edge(node, self._watch(watch), "is completed by")
        else:
            job = things.job_of(fut)
            if job is not None:
                state = "runs" if job.running() else "has not begun"
                target = self._add(job, "job", "a thread's or another executor's job", state)
                self._edge(node, target, "is completed by")
            else:
                self._edge(node, self._nobody(), "is completed by", False)

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
