"""Timers: order, never early, cancelling by the thousand, and destructors that meddle."""

from __future__ import annotations

import contextvars
import gc
import math
import random
import weakref
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from hasten.core.timers import Timers


def past(loop: Any, ago: float = 1.0) -> float:
    return loop.time() - ago


def test_an_empty_heap() -> None:
    assert Timers().items() == []


@pytest.mark.parametrize("count", [1, 2, 5, 100, 5000])
def test_earlier_deadlines_run_first(loop, tick: Callable[[], None], count: int) -> None:
    start = past(loop, 100)
    deadlines = [start + i / 1000 for i in range(count)]
    shuffled = deadlines[:]
    random.Random(count).shuffle(shuffled)
    out: list[float] = []
    for when in shuffled:
        loop.call_at(when, out.append, when)
    tick()
    assert out == deadlines


def test_equal_deadlines_run_in_the_order_they_were_set(loop, tick: Callable[[], None]) -> None:
    """asyncio's heap does not keep it; programs that retry in rounds are easier to follow when it holds."""
    rng = random.Random(1)
    moments = [past(loop, 10 + i) for i in range(7)]
    out: list[tuple[float, int]] = []
    expected: list[tuple[float, int]] = []
    for number in range(3000):
        when = rng.choice(moments)
        loop.call_at(when, out.append, (when, number))
        expected.append((when, number))
    tick()
    assert out == sorted(expected)


def test_never_early(loop) -> None:
    """Also when the deadline is no whole number of whatever the poller counts in."""
    early: list[float] = []

    async def main() -> None:
        done = loop.create_future()

        def check(when: float) -> None:
            if loop.time() < when:
                early.append(when - loop.time())
            left.pop()
            if not left:
                done.set_result(None)

        left = list(range(60))
        now = loop.time()
        for i in range(60):
            when = now + 0.0007 * i + 1e-7 * i
            loop.call_at(when, check, when)
        await done

    loop.run_until_complete(main())
    assert early == []


def test_call_later_counts_from_now(loop) -> None:
    before = loop.time()
    handle = loop.call_later(5, print)
    after = loop.time()
    assert before + 5 <= handle.when() <= after + 5
    handle.cancel()


@pytest.mark.parametrize("delay", [0, -1, -1e300, -math.inf, False, Decimal("-0.5"), Fraction(-1, 3)])
def test_what_is_due_already_runs_in_the_next_tick(loop, tick: Callable[[], None], delay: Any) -> None:
    out: list[str] = []
    loop.call_later(delay, out.append, "ran")
    tick()
    assert out == ["ran"]


@pytest.mark.parametrize("delay", [math.inf, 1e300, 1e9])
def test_a_deadline_far_away_lets_the_loop_sleep_and_wake(loop, delay: float) -> None:
    handle = loop.call_later(delay, pytest.fail, "early")
    assert loop.run_until_complete(loop.run_in_executor(None, int, "7")) == 7
    handle.cancel()


@pytest.mark.parametrize("method", ["call_later", "call_at"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (None, TypeError),
        ("1", TypeError),
        (b"1", TypeError),
        (1j, TypeError),
        ([], TypeError),
        (math.nan, ValueError),
        (Decimal("nan"), ValueError),
        (10**400, (OverflowError, TypeError)),
    ],
)
def test_what_is_no_number_of_seconds_is_refused(loop, method: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        getattr(loop, method)(value, print)
    assert loop._timers.items() == []


def test_a_cancelled_timer_does_not_run(loop, tick: Callable[[], None]) -> None:
    out: list[str] = []
    handle = loop.call_at(past(loop), out.append, "never")
    handle.cancel()
    handle.cancel()
    tick()
    assert out == []
    assert loop._timers.items() == []


def test_a_timer_cancelled_by_one_that_is_due_with_it(loop, tick: Callable[[], None]) -> None:
    out: list[str] = []
    later = loop.call_at(past(loop, 1), out.append, "never")
    loop.call_at(past(loop, 2), later.cancel)
    tick()
    assert out == []


def test_cancelled_timers_do_not_pile_up(loop) -> None:
    """A server sets a timeout for each request and cancels it: most never come due."""
    kept = [loop.call_later(1000 + i, print) for i in range(10)]
    most = 0
    for _ in range(20_000):
        loop.call_later(500, print).cancel()
        most = max(most, len(loop._timers.items()))
    assert most <= 200
    assert {handle for _, handle in loop._timers.items()} >= set(kept)
    for handle in kept:
        handle.cancel()


def test_sweeping_keeps_the_order(loop, tick: Callable[[], None]) -> None:
    rng = random.Random(3)
    start = past(loop, 1000)
    out: list[int] = []
    handles = [(i, loop.call_at(start + i % 97, out.append, i)) for i in range(5000)]
    doomed = rng.sample(handles, 4900)
    for _, handle in doomed:
        handle.cancel()
    assert len(loop._timers.items()) < 300
    loop.call_at(start - 1, out.append, -1)
    tick()
    survivors = sorted({i for i, _ in handles} - {i for i, _ in doomed}, key=lambda i: (i % 97, i))
    assert out == [-1, *survivors]


def test_cancelling_all_leaves_nothing(loop, tick: Callable[[], None]) -> None:
    handles = [loop.call_later(100, print) for _ in range(10_000)]
    for handle in handles:
        handle.cancel()
    assert len(loop._timers.items()) <= 65
    del handles, handle
    tick()
    loop.call_later(0, loop.stop)
    loop.run_forever()
    assert len(loop._timers.items()) <= 65


def test_cancelling_after_it_ran_changes_nothing(loop, tick: Callable[[], None]) -> None:
    ran = [loop.call_at(past(loop), int) for _ in range(500)]
    waiting = [loop.call_later(100, print) for _ in range(3)]
    tick()
    for handle in ran:
        handle.cancel()
    assert [handle for _, handle in sorted(loop._timers.items(), key=lambda item: item[0])] == waiting
    for handle in waiting:
        handle.cancel()


class Meddler:
    """Does something to the loop when it is destroyed."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act = act

    def __del__(self) -> None:
        self.act()


def timer_with(loop: Any, when: float, thing: object) -> Any:
    """A timer whose context alone holds `thing`: it goes when the timer does, not when it is cancelled."""
    context = contextvars.copy_context()
    context.run(contextvars.ContextVar("thing").set, thing)
    return loop.call_at(when, print, context=context)


def test_destructors_that_set_timers_while_the_heap_is_swept(loop, tick: Callable[[], None]) -> None:
    out: list[int] = []
    start = past(loop, 100)

    def again(i: int) -> None:
        loop.call_at(start + i / 10, out.append, i)

    for i in range(400):
        timer_with(loop, loop.time() + 50, Meddler(lambda i=i: again(i))).cancel()
    swept = [handle for _, handle in loop._timers.items() if not handle.cancelled()]
    assert len(swept) >= 65
    for _ in range(400):  # sweeps once more: what is left of the first 400 goes too
        loop.call_later(50, print).cancel()
    tick()
    assert sorted(out) == list(range(400))
    assert out[: len(swept)] == sorted(out[: len(swept)])


def test_destructors_that_cancel_timers_while_the_heap_is_swept(loop) -> None:
    others = [loop.call_later(60, print) for _ in range(300)]

    def cancel_some() -> None:
        for _ in range(3):
            if others:
                others.pop().cancel()

    for _ in range(400):
        timer_with(loop, loop.time() + 50, Meddler(cancel_some)).cancel()
    assert others == []
    left = [handle for _, handle in loop._timers.items() if not handle.cancelled()]
    assert left == []


def test_work_made_by_the_destructor_of_a_timer_is_not_slept_over(loop) -> None:
    """The last thing before the loop sleeps is to drop the cancelled timers on top: that may make work."""
    timer_with(loop, loop.time() + 3000, Meddler(lambda: loop.call_soon(loop.stop))).cancel()
    loop.run_forever()


def test_a_timer_is_let_go_of_after_it_ran(loop, tick: Callable[[], None]) -> None:
    class Thing:
        pass

    thing = Thing()
    alive = weakref.ref(thing)
    loop.call_at(past(loop), lambda kept: None, thing)
    del thing
    tick()
    assert alive() is None


def test_cancelling_lets_go_of_callback_and_arguments_at_once(loop) -> None:
    class Thing:
        def method(self) -> None:
            pass

    thing = Thing()
    alive = weakref.ref(thing)
    handle = loop.call_later(1000, thing.method, thing)
    del thing
    assert alive() is not None
    handle.cancel()
    assert alive() is None


def test_the_collector_sees_through_the_heap(collect: Callable[[], None]) -> None:
    import hasten

    loop = hasten.new_event_loop()
    alive = weakref.ref(loop)
    for i in range(100):
        loop.call_later(1000 + i, loop.stop)
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        del loop
        collect()
    collect()  # the record of the warning had the loop
    assert alive() is None


def test_collecting_in_the_midst_of_setting_and_cancelling(loop) -> None:
    """The collector runs whenever memory is allocated; the finalizers that it calls may set timers themselves."""
    before = gc.get_threshold()
    made: list[Any] = []

    class Cycle:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            made.append(loop.call_later(1000, print))
            if len(made) > 3:
                made.pop(0).cancel()

    gc.set_threshold(1, 1, 1)
    try:
        for i in range(600):
            Cycle()
            handle = loop.call_later(500 + i, print, [i])
            if i % 10:
                handle.cancel()
    finally:
        gc.set_threshold(*before)
        gc.collect()
    live = [handle for _, handle in loop._timers.items() if not handle.cancelled()]
    assert len(live) == 60 + len(made)
    for handle in live:
        handle.cancel()
    made.clear()
