"""wait_graph() of programs whose objects do harm when they are asked, and of very many, or deeply nested, things."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

import hasten
from hasten.diagnosis.waits import WaitGraph

_armed = False


@pytest.fixture(autouse=True)
def _only_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests meet these classes, too, as subclasses of hasten's."""
    monkeypatch.setattr(sys.modules[__name__], "_armed", True)


class Unnamed(type(hasten.Future)):  # type: ignore[misc]
    """Classes that do not tell their names."""

    def __getattribute__(cls, name: str) -> Any:
        if _armed and name in ("__name__", "__module__", "__qualname__"):
            raise ZeroDivisionError(name)
        return super().__getattribute__(name)


class Hostile(metaclass=Unnamed):
    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise ZeroDivisionError("repr")

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError("eq")

    def __bool__(self) -> bool:
        raise ZeroDivisionError("bool")

    def __getattr__(self, name: str) -> Any:
        raise ZeroDivisionError(name)


class Nowhere:
    __module__ = 5  # type: ignore[assignment]


class HostileFuture(hasten.Future[None], metaclass=Unnamed):
    def __repr__(self) -> str:
        raise ZeroDivisionError("repr")


class HostileTask(hasten.Task[None]):
    def get_name(self) -> str:
        raise ZeroDivisionError("get_name")

    def get_coro(self) -> Any:
        raise ZeroDivisionError("get_coro")

    def created_at(self) -> Any:
        raise ZeroDivisionError("created_at")


class HostileLock(hasten.Lock):
    armed = False

    def __getattribute__(self, name: str) -> Any:
        if name in ("_locked", "_waiters") and HostileLock.armed:
            raise ZeroDivisionError(name)
        return super().__getattribute__(name)


class Name(str):
    def rstrip(self, *args: Any) -> str:
        raise ZeroDivisionError("rstrip")

    def __str__(self) -> str:
        return self


def all_forms(graph: WaitGraph) -> None:
    assert graph.text()
    assert graph.dot()
    assert graph.json()


def test_hostile_classes_names_and_fields() -> None:
    async def holds(lock: Any, fut: Any) -> None:
        things = Hostile(), Nowhere(), Hostile
        async with lock:
            await fut
        del things

    async def waits(lock: Any) -> None:
        thing, other = Hostile(), Nowhere()
        async with lock:
            pass
        del thing, other

    async def main() -> WaitGraph:
        loop = hasten.get_running_loop()
        fut, lock = HostileFuture(loop=loop), HostileLock()
        tasks = [
            hasten.create_task(holds(lock, fut), name="two\nlines"),
            hasten.create_task(waits(lock), name="</script>\ud800"),
            hasten.create_task(waits(lock), name="x" * 100_000),
            HostileTask(waits(lock), loop=loop, name="hostile"),
            hasten.create_task(waits(hasten.Lock())),
        ]
        tasks[-1].set_name(Name("a name"))
        await hasten.sleep(0)
        await hasten.sleep(0)
        HostileLock.armed = True
        graph = hasten.wait_graph()
        HostileLock.armed = False
        for task in tasks:
            task.cancel()
        await hasten.gather(*tasks, return_exceptions=True)
        return graph

    graph = hasten.run(main())
    all_forms(graph)
    names = {node.name for node in graph.tasks}
    assert {"two\nlines", "</script>\ud800", "hostile"} <= names
    assert any(node.kind == "future" and node.name.startswith("HostileFuture ") for node in graph.nodes)


def test_futures_that_are_nested_deeper_than_python_calls() -> None:
    async def main() -> WaitGraph:
        first = hasten.get_running_loop().create_future()
        inner: Any = first
        for _ in range(2 * sys.getrecursionlimit()):
            inner = hasten.gather(inner)
        await hasten.sleep(0)

        async def waits() -> None:
            await inner

        task = hasten.create_task(waits())
        await hasten.sleep(0)
        graph = hasten.wait_graph()
        first.set_result(None)
        await task
        return graph

    graph = hasten.run(main())
    all_forms(graph)
    assert len(graph.nodes) > 2 * sys.getrecursionlimit()


def test_what_many_wait_for_is_told_once_and_not_for_each_way_to_it() -> None:
    async def main() -> WaitGraph:
        loop = hasten.get_running_loop()
        first, second = loop.create_future(), loop.create_future()
        one: Any = first
        other: Any = second
        for _ in range(40):  # 2**40 ways lead to the innermost ones
            one, other = hasten.gather(one, other), hasten.gather(other, one)

        async def waits() -> None:
            await hasten.gather(one, other)

        task = hasten.create_task(waits())
        await hasten.sleep(0)
        graph = hasten.wait_graph()
        first.set_result(None)
        second.set_result(None)
        await task
        return graph

    assert len(hasten.run(main()).text()) < 100_000


def test_twenty_thousand_tasks_of_one_group() -> None:
    async def main() -> WaitGraph:
        event = hasten.Event()
        tasks = [hasten.create_task(event.wait()) for _ in range(20_000)]
        together = hasten.gather(*tasks)
        waits = hasten.create_task(hasten.wait(tasks))
        await hasten.sleep(0)
        graph = hasten.wait_graph()
        event.set()
        await together
        await waits
        return graph

    graph = hasten.run(main())
    all_forms(graph)
    assert len(graph.edges) >= 40_000


def test_a_coroutine_that_is_very_deep() -> None:
    async def deep(n: int) -> None:
        if n:
            await deep(n - 1)
        else:
            await asyncio.get_running_loop().create_future()

    async def main() -> None:
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(100_000)
        try:
            task = hasten.create_task(deep(5000))
            await hasten.sleep(0)
            all_forms(hasten.wait_graph())
            task.cancel()
            await hasten.wait([task])
        finally:
            sys.setrecursionlimit(limit)

    hasten.run(main())
