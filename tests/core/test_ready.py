"""The ready queue: a ring that grows, wraps, and shows its items."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from hasten.core.ready import Ready


class Thing:
    pass


def test_an_empty_queue() -> None:
    queue = Ready()
    assert len(queue) == 0
    assert queue.items() == []


def test_items_are_shown_oldest_first(loop) -> None:
    handles = [loop.call_soon(print) for _ in range(5)]
    shown = loop._ready.items()
    assert [item for item, _ in shown] == handles
    assert {tag for _, tag in shown} == {0}
    assert len(loop._ready) == 5


def test_a_task_takes_a_place_of_its_own_kind(loop) -> None:
    async def nothing() -> None:
        pass

    task = loop.create_task(nothing())
    assert loop._ready.items() == [(task, 1)]
    loop.run_until_complete(task)


@pytest.mark.parametrize("count", [1, 255, 256, 257, 1000, 70_000])
def test_order_holds_however_many(loop, count: int) -> None:
    out: list[int] = []
    for i in range(count):
        loop.call_soon(out.append, i)
    assert len(loop._ready) == count
    loop.call_soon(loop.stop)
    loop.run_forever()
    assert out == list(range(count))
    assert len(loop._ready) == 0


def test_it_wraps_and_grows_while_it_is_wrapped(loop, tick: Callable[[], None]) -> None:
    """The ring's end lies in the middle of what is queued when it has to grow."""
    out: list[int] = []
    expected: list[int] = []
    for round_, size in enumerate([200, 200, 300, 250, 1500, 3, 4000]):
        for i in range(size):
            loop.call_soon(out.append, round_ * 10_000 + i)
            expected.append(round_ * 10_000 + i)
        tick()
    assert out == expected


def test_it_grows_while_a_batch_runs(loop) -> None:
    out: list[int] = []

    def fan(depth: int) -> None:
        out.append(depth)
        if depth:
            loop.call_soon(fan, depth - 1)
            loop.call_soon(fan, depth - 1)
        elif out.count(0) == 2**11:
            loop.stop()

    loop.call_soon(fan, 11)
    loop.run_forever()
    # breadth first: each depth is a batch of its own
    assert out == [depth for depth in range(11, -1, -1) for _ in range(2 ** (11 - depth))]


def test_what_it_holds_is_held_until_it_ran(loop, tick: Callable[[], None]) -> None:
    thing = Thing()
    alive = weakref.ref(thing)
    loop.call_soon(lambda kept: None, thing)
    del thing
    gc.collect()
    assert alive() is not None
    tick()
    gc.collect()
    assert alive() is None


def test_closing_a_loop_lets_go_of_what_waits(loop) -> None:
    thing = Thing()
    alive = weakref.ref(thing)
    for _ in range(300):
        loop.call_soon(lambda kept: None, thing)
    del thing
    loop.close()
    assert len(loop._ready) == 0
    assert alive() is None


def test_closing_survives_destructors_that_schedule(loop) -> None:
    """Destructors run while the queue is emptied: they meet a closed loop, not a queue in pieces."""
    seen: list[str] = []

    class Scheduling:
        def __del__(self) -> None:
            try:
                loop.call_soon(print)
            except RuntimeError as exc:
                seen.append(str(exc))

    for _ in range(300):
        loop.call_soon(lambda kept: None, Scheduling())
    loop.close()
    assert seen == ["Event loop is closed"] * 300
    assert len(loop._ready) == 0


def test_the_collector_sees_through_the_queue(collect: Callable[[], None]) -> None:
    """loop → queue → handle → arguments → loop is a cycle like any other."""
    import hasten

    loop = hasten.new_event_loop()
    thing: Any = Thing()
    thing.loop = loop
    alive = weakref.ref(thing)
    loop.call_soon(lambda kept: None, thing)
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        del loop, thing
        collect()
    assert alive() is None


def test_a_callback_may_run_the_queue_itself(loop, tick: Callable[[], None]) -> None:
    """nest_asyncio and debuggers call _run_once() inside a callback: then the batch around it finds nothing left."""
    out: list[str] = []

    def nested() -> None:
        out.append("nested")
        loop._run_once()
        out.append("back")

    loop.call_soon(nested)
    for i in range(5):
        loop.call_soon(out.append, str(i))
    tick()
    assert out == ["nested", "0", "1", "2", "3", "4", "back"]
    assert len(loop._ready) == 0
    loop.call_soon(out.append, "alive")
    tick()
    assert out[-1] == "alive"


def test_a_queue_that_is_emptied_while_it_runs(loop) -> None:
    """Only _shut() can do it; the batch ends."""
    out: list[str] = []
    loop.call_soon(loop._shut)
    loop.call_soon(out.append, "never")
    loop.call_soon(out.append, "never")
    with pytest.raises((RuntimeError, OSError, ValueError)):
        loop.run_forever()
    assert out == []
