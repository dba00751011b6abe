"""Mistakes about coroutines are told as Python tells them: `q.get() + 1` is about a 'coroutine'."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import hasten
from hasten.kernel import codes

MAKERS: dict[str, Callable[[Any], Any]] = {
    "Queue.get": lambda ns: ns.Queue().get(),
    "Queue.put": lambda ns: ns.Queue().put(1),
    "Lock.acquire": lambda ns: ns.Lock().acquire(),
    "Semaphore.acquire": lambda ns: ns.Semaphore().acquire(),
    "Event.wait": lambda ns: ns.Event().wait(),
    "Condition.wait": lambda ns: ns.Condition().wait(),
    "sleep": lambda ns: ns.sleep(1),
    "wait": lambda ns: ns.wait([asyncio.get_running_loop().create_future()]),
    "wait_for": lambda ns: ns.wait_for(asyncio.get_running_loop().create_future(), 1),
    "sock_recv": lambda ns: asyncio.get_running_loop().sock_recv(None, 1),
    "TaskGroup.__aenter__": lambda ns: ns.TaskGroup().__aenter__(),
    "timeout.__aenter__": lambda ns: ns.timeout(1).__aenter__(),
}
MISTAKES: dict[str, Callable[[Any], Any]] = {
    "plus": lambda coro: coro + 1,
    "plus before": lambda coro: 1 + coro,
    "text": lambda coro: "a" + coro,
    "list": lambda coro: [1].__add__(coro),
    "less": lambda coro: coro < 1,
    "subscript": lambda coro: coro[0],
    "store": lambda coro: exec("coro[0] = 1", {"coro": coro}),
    "len": len,
    "int": int,
    "call": lambda coro: coro(),
    "minus": lambda coro: -coro,
    "join": lambda coro: "".join([coro]),
    "attribute": lambda coro: coro.splitlines,
    "with": lambda coro: exec("with coro: pass", {"coro": coro}),
    "format": lambda coro: f"{coro:5}",
    "bytes": lambda coro: b"".join([coro]),
}


def told(ns: Any, make: Callable[[Any], Any], mistake: Callable[[Any], Any]) -> str:
    async def main() -> str:
        coro = make(ns)
        try:
            with pytest.raises((TypeError, AttributeError)) as info:
                mistake(coro)
        finally:
            coro.close()
        return str(info.value)

    return str(ns.run(main()))


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_a_forgotten_await_is_told_as_asyncio_tells_it(mistake: Callable[[Any], Any]) -> None:
    assert told(hasten, MAKERS["Queue.get"], mistake) == told(asyncio, MAKERS["Queue.get"], mistake)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_of_each_coroutine(make: Callable[[Any], Any]) -> None:
    assert told(hasten, make, lambda coro: coro + 1) == "unsupported operand type(s) for +: 'coroutine' and 'int'"


def test_its_class_is_known_by_its_real_name() -> None:
    coro: Any = hasten.Queue[int]().get()
    cls = type(coro)
    assert cls.__name__ == "coroutine"
    assert codes.real_name(cls) == ("hasten.primitives.queues", "QueueGet")
    assert codes.real_name(int) == ("builtins", "int")
    assert coro.__qualname__ == "Queue.get"
    assert coro.cr_frame.f_globals["__name__"] == "hasten.primitives.queues"
    coro.close()
