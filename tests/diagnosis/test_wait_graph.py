"""wait_graph(): for each thing that a task can wait for, the graph names it and who will wake the task."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import hasten
from hasten.diagnosis import deadlock
from hasten.diagnosis.waits import Edge, Node, WaitGraph


async def settle() -> None:
    for _ in range(5):
        await hasten.sleep(0)


def node(graph: WaitGraph, name: str) -> Node:
    (found,) = [each for each in graph.tasks if each.name == name]
    return found


def steps(graph: WaitGraph, name: str) -> list[tuple[str, str, str]]:
    """What a task waits for, and what that waits for: how, the kind, and the name of a task or state of a thing."""
    found: list[tuple[str, str, str]] = []

    def follow(key: str) -> None:
        for edge in graph.from_node(key):
            target = graph.by_key[edge.target]
            found.append((edge.how, target.kind, target.name if target.kind == "task" else target.state))
            if target.kind != "task":
                follow(target.key)

    follow(node(graph, name).key)
    return found


def look(*makers: Callable[[], Awaitable[Any]], after: Callable[[], Awaitable[Any]] = settle) -> WaitGraph:
    """The graph of tasks that are named after their functions."""

    async def main() -> WaitGraph:
        tasks = [hasten.create_task(make(), name=make.__name__) for make in makers]  # type: ignore[arg-type, attr-defined]
        await after()
        graph = hasten.wait_graph()
        for task in tasks:
            task.cancel()
        await hasten.wait(tasks)
        return graph

    return hasten.run(main())


def test_a_task_is_named_with_its_places() -> None:
    async def inner() -> None:
        await asyncio.get_running_loop().create_future()

    async def outer() -> None:
        await inner()

    graph = look(outer)
    task = node(graph, "outer")
    assert task.state == "waits"
    assert task.made is not None
    assert task.made[0] == __file__
    assert [place[2].rpartition(".")[2] for place in task.stands] == ["outer", "inner"]
    assert task.at == task.stands[-1]
    assert task.at[1] == inner.__code__.co_firstlineno + 1


def test_who_runs_and_who_is_to_run_waits_for_nobody() -> None:
    async def ready() -> None:
        while True:
            await hasten.sleep(0)

    graph = look(ready)
    assert node(graph, "ready").state == "is to run"
    (runs,) = [each for each in graph.tasks if each.name != "ready"]
    assert runs.state == "runs"
    assert graph.edges == ()


def test_a_lock_leads_to_its_owner() -> None:
    lock = hasten.Lock()

    async def owner() -> None:
        async with lock:
            await hasten.Event().wait()

    async def with_block() -> None:
        async with lock:
            pass

    async def by_acquire() -> None:
        await lock.acquire()

    graph = look(owner, with_block, by_acquire)
    for name in ("with_block", "by_acquire"):
        assert steps(graph, name) == [("waits to acquire", "lock", "held"), ("is held by", "task", "owner")]
    assert steps(graph, "owner") == [("waits for", "event", "unset")]
    assert graph.circles() == []


def test_a_lock_that_was_taken_without_a_block_has_no_known_owner() -> None:
    lock = hasten.Lock()

    async def owner() -> None:
        await lock.acquire()
        await hasten.Event().wait()

    async def other() -> None:
        await lock.acquire()

    graph = look(owner, other)
    assert steps(graph, "other") == [("waits to acquire", "lock", "held, nobody known to be inside `async with`")]


def test_two_locks_in_two_orders_are_a_circle() -> None:
    one, two = hasten.Lock(), hasten.Lock()

    async def first() -> None:
        async with one:
            await hasten.sleep(0)
            async with two:
                pass

    async def second() -> None:
        async with two:
            await hasten.sleep(0)
            async with one:
                pass

    graph = look(first, second)
    (circle,) = graph.circles()
    assert [each.name if each.kind == "task" else each.kind for each in circle] == ["first", "lock", "second", "lock"]


def test_a_lock_taken_twice_is_a_circle_of_one_task() -> None:
    async def twice() -> None:
        lock = hasten.Lock()
        async with lock, lock:
            pass

    (circle,) = look(twice).circles()
    assert [each.kind for each in circle] == ["task", "lock"]


def test_tasks_that_await_each_other_are_a_circle() -> None:
    tasks: dict[str, Any] = {}

    async def main() -> WaitGraph:
        async def waits_for(name: str) -> None:
            await tasks[name]

        tasks["a"] = hasten.create_task(waits_for("b"), name="a")
        tasks["b"] = hasten.create_task(waits_for("a"), name="b")
        await settle()
        graph = hasten.wait_graph()
        deadlock._interrupt(tasks["a"], KeyError())  # a circle cannot be cancelled
        await hasten.wait(tasks.values())
        for task in tasks.values():
            assert isinstance(task.exception(), KeyError)
        return graph

    (circle,) = hasten.run(main()).circles()
    assert sorted(each.name for each in circle) == ["a", "b"]


def test_semaphore_condition_barrier_queue() -> None:
    semaphore, condition, barrier = hasten.Semaphore(1), hasten.Condition(), hasten.Barrier(2)
    queue: hasten.Queue[int] = hasten.Queue(1)
    joined: hasten.Queue[int] = hasten.Queue()

    async def inside() -> None:
        async with semaphore:
            await hasten.Event().wait()

    async def outside() -> None:
        async with semaphore:
            pass

    async def notified() -> None:
        async with condition:
            await condition.wait()

    async def met() -> None:
        await barrier.wait()

    async def gets() -> None:
        await queue.get()

    async def joins() -> None:
        joined.put_nowait(1)
        await joined.join()

    graph = look(inside, outside, notified, met, gets, joins)
    assert steps(graph, "outside") == [
        ("waits to acquire", "semaphore", "0 free, 1 wait"),
        ("is held by", "task", "inside"),
    ]
    assert steps(graph, "notified") == [("waits for", "condition", "1 wait for a notification")]
    assert steps(graph, "met") == [("waits for", "barrier", "1 of 2 are there")]
    assert steps(graph, "gets") == [("gets from", "queue", "0 items, 1 get, 0 put")]
    assert steps(graph, "joins") == [("joins", "queue", "1 items, 0 get, 0 put")]


def test_the_lock_of_a_condition_is_held_inside_its_block_only() -> None:
    condition = hasten.Condition()

    async def holds() -> None:
        async with condition:
            await hasten.Event().wait()

    async def wants() -> None:
        async with condition:
            pass

    graph = look(holds, wants)
    assert steps(graph, "wants")[-1] == ("is held by", "task", "holds")


def test_sleeps_and_timeouts_show_their_timers() -> None:
    async def sleeps() -> None:
        await hasten.sleep(100)

    async def limited() -> None:
        async with hasten.timeout(100):
            await hasten.Event().wait()

    async def waits_for() -> None:
        await hasten.wait_for(hasten.Event().wait(), 100)

    graph = look(sleeps, limited, waits_for)
    assert [step[:2] for step in steps(graph, "sleeps")] == [("awaits", "future"), ("is completed by", "timer")]
    for name in ("limited", "waits_for"):
        assert [step[:2] for step in steps(graph, name)] == [
            ("at the latest until", "timeout"),
            ("ends by", "timer"),
            ("waits for", "event"),
        ]
    timers = [each.name for each in graph.nodes if each.kind == "timer"]
    assert all(name.startswith(("timer in 100.", "timer in 99.")) for name in timers)


def test_many_at_once() -> None:
    async def child() -> None:
        await hasten.Event().wait()

    tasks: list[Any] = []

    async def gathers() -> None:
        await hasten.gather(*tasks)

    async def waits() -> None:
        await hasten.wait(tasks)

    async def first() -> None:
        await hasten.wait(tasks, return_when=hasten.FIRST_COMPLETED)

    async def shields() -> None:
        await hasten.shield(tasks[0])

    async def groups() -> None:
        async with hasten.TaskGroup() as group:
            group.create_task(child(), name="of the group")

    async def main() -> WaitGraph:
        tasks[:] = [hasten.create_task(child(), name=name) for name in ("x", "y")]
        more = [hasten.create_task(make(), name=make.__name__) for make in (gathers, waits, first, shields, groups)]
        await settle()
        graph = hasten.wait_graph()
        for task in (*more, *tasks):
            task.cancel()
        await hasten.wait((*more, *tasks))
        return graph

    graph = hasten.run(main())
    assert sorted(steps(graph, "gathers")) == [("waits in gather() for", "task", name) for name in ("x", "y")]
    assert sorted(steps(graph, "waits")) == [("waits for", "task", name) for name in ("x", "y")]
    assert steps(graph, "shields") == [("waits in shield() for", "task", "x")]
    assert steps(graph, "groups") == [("waits for its group's", "task", "of the group")]
    assert all(edge.must for edge in graph.from_node(node(graph, "waits").key))
    assert not any(edge.must for edge in graph.from_node(node(graph, "first").key))


def test_a_future_that_nobody_completes_says_so() -> None:
    async def alone() -> None:
        await asyncio.get_running_loop().create_future()

    graph = look(alone)
    assert steps(graph, "alone") == [("awaits", "future", "pending"), ("is completed by", "unknown", "")]
    assert [each.name for each in graph.nodes if each.kind == "unknown"] == ["nobody known"]


def test_threads_streams_and_sockets() -> None:
    begun, go = threading.Event(), threading.Event()
    ours, theirs = socket.socketpair()
    raw, peer = socket.socketpair()
    raw.setblocking(False)

    async def job() -> None:
        await hasten.to_thread(lambda: begun.set() or go.wait(60))  # type: ignore[func-returns-value]

    async def reads() -> None:
        reader, writer = await hasten.open_connection(sock=ours)
        try:
            await reader.readline()
        finally:
            writer.close()

    async def receives() -> None:
        await asyncio.get_running_loop().sock_recv(raw, 10)

    async def until_begun() -> None:
        while not begun.is_set():
            await hasten.sleep(0.001)
        await settle()

    async def main() -> WaitGraph:
        tasks = [hasten.create_task(make(), name=make.__name__) for make in (job, reads, receives)]
        await until_begun()
        graph = hasten.wait_graph()
        go.set()
        for task in tasks:
            task.cancel()
        await hasten.wait(tasks)
        return graph

    with theirs, peer, raw:
        graph = hasten.run(main())
    assert steps(graph, "job")[-1] == ("is completed by", "job", "runs")
    assert [step[:2] for step in steps(graph, "reads")] == [("waits for", "stream"), ("is fed by", "fd")]
    assert [step[:2] for step in steps(graph, "receives")] == [("awaits", "future"), ("is completed by", "fd")]


def test_text_graphviz_and_json() -> None:
    async def twice() -> None:
        lock = hasten.Lock()
        async with lock, lock:
            pass

    graph = look(twice)
    text = str(graph)
    assert "task 'twice' waits\n" in text
    assert "circle: task 'twice' → Lock" in text
    data = json.loads(graph.json())
    assert data == json.loads(json.dumps(graph.as_dict()))
    assert {each["kind"] for each in data["nodes"]} == {"task", "lock"}
    assert len(data["circles"]) == 1
    dot = graph.dot()
    assert dot.startswith("digraph waits {")
    assert dot.count(", color=red") == 4  # two nodes, two edges


def test_a_name_is_quoted_for_graphviz() -> None:
    async def main() -> str:
        asyncio.current_task().set_name('a "name"\\\n')  # type: ignore[union-attr]
        return hasten.wait_graph().dot()

    assert r"a \"name\"" in hasten.run(main())


def test_nothing_is_kept_alive() -> None:
    class Thing:
        pass

    async def main() -> tuple[WaitGraph, weakref.ref[Thing]]:
        async def waits(thing: Thing) -> None:
            await hasten.Event().wait()

        thing = Thing()
        task = hasten.create_task(waits(thing))
        ref = weakref.ref(thing)
        del thing
        await settle()
        graph = hasten.wait_graph()
        task.cancel()
        await hasten.wait([task])
        del task
        return graph, ref

    gc.disable()
    try:
        graph, ref = hasten.run(main())
        assert ref() is None
        assert graph.tasks
    finally:
        gc.enable()


def test_no_code_of_the_program_runs() -> None:
    class Hostile:
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(name)

        def __await__(self) -> Any:
            yield from asyncio.get_running_loop().create_future().__await__()

    async def awaits() -> None:
        await Hostile()

    graph = look(awaits)
    assert [step[:2] for step in steps(graph, "awaits")] == [("awaits", "future"), ("is completed by", "unknown")]


def test_another_thread_names_the_loop() -> None:
    async def main() -> WaitGraph:
        return await hasten.to_thread(hasten.wait_graph, asyncio.get_running_loop())

    assert len(hasten.run(main()).tasks) == 1
    with pytest.raises(RuntimeError):
        hasten.wait_graph()


def test_circles_of_a_given_graph() -> None:
    nodes = tuple(Node(key, "task", key) for key in "abcd")
    sure = [Edge(pair[0], pair[1], "awaits") for pair in ("ab", "bc", "ca", "cd")]
    edges = (*sure, Edge("d", "c", "waits for", must=False))
    graph = WaitGraph(nodes, edges)
    assert [[each.key for each in circle] for circle in graph.circles()] == [["a", "b", "c"]]
