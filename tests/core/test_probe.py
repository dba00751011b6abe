"""Observers: what they are told, in which order, and that one that fails does no harm."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import hasten
from hasten import compat
from hasten.core import observing
from hasten.core.probe import Observer


class Recorder(Observer):
    """Notes the names of events, of tasks by their names, and of futures by their kinds."""

    def __init__(self, detailed: bool = True) -> None:
        self.detailed = detailed
        self.events: list[tuple[Any, ...]] = []

    def loop_begins(self, loop: Any) -> None:
        self.events.append(("loop begins",))

    def loop_ends(self, loop: Any) -> None:
        self.events.append(("loop ends",))

    def poll_begins(self, loop: Any, timeout: float) -> None:
        self.events.append(("poll begins", timeout))

    def poll_ends(self, loop: Any, now: float) -> None:
        self.events.append(("poll ends",))

    def batch_begins(self, loop: Any, count: int) -> None:
        self.events.append(("batch begins", count))

    def batch_ends(self, loop: Any) -> None:
        self.events.append(("batch ends",))

    def task_made(self, task: Any) -> None:
        self.events.append(("made", task.get_name()))

    def task_parked(self, task: Any, future: Any) -> None:
        self.events.append(("parked", task.get_name(), type(future).__name__))

    def task_woken(self, task: Any, future: Any) -> None:
        self.events.append(("woken", task.get_name(), type(future).__name__))

    def task_ended(self, task: Any) -> None:
        self.events.append(("ended", task.get_name(), task.done()))

    def step_begins(self, task: Any) -> None:
        self.events.append(("step begins", task.get_name()))

    def step_ends(self, task: Any) -> None:
        self.events.append(("step ends", task.get_name()))

    def callback_begins(self, entry: Any) -> None:
        self.events.append(("callback begins", type(entry).__name__))

    def callback_ends(self, entry: Any) -> None:
        self.events.append(("callback ends", type(entry).__name__))

    def of(self, name: str) -> list[tuple[Any, ...]]:
        """The events of the task of this name, without the name."""
        return [(event[0], *event[2:]) for event in self.events if len(event) > 1 and event[1] == name]

    def kinds(self) -> set[str]:
        return {event[0] for event in self.events}


@pytest.fixture
def loop() -> Iterator[Any]:
    made = hasten.new_event_loop()
    yield made
    made.close()


def observe(loop: Any, coro: Any, observer: Observer) -> Any:
    observing.attach(observer, loop)
    try:
        return loop.run_until_complete(coro)
    finally:
        observing.detach(observer, loop)


def test_the_life_of_a_task_is_told_in_order(loop: Any) -> None:
    seen = Recorder()
    future = loop.create_future()

    async def child() -> int:
        await asyncio.sleep(0)
        return int(await future)

    async def main() -> int:
        task = hasten.create_task(child(), name="child")
        await hasten.sleep(0)
        await hasten.sleep(0)
        await hasten.sleep(0)
        future.set_result(5)
        return await task

    assert observe(loop, main(), seen) == 5
    step = [("step begins",), ("step ends",)]
    assert seen.of("child") == [
        ("made",),
        *step,
        *step,
        ("parked", "Future"),
        ("woken", "Future"),
        ("step begins",),
        ("ended", True),
        ("step ends",),
    ]


def test_a_run_its_polls_and_its_batches_are_told(loop: Any) -> None:
    seen = Recorder()
    observe(loop, hasten.sleep(0.001), seen)
    names = [event[0] for event in seen.events]
    assert names[:2] == ["made", "loop begins"]
    assert names[-1] == "loop ends"
    assert {"poll begins", "poll ends", "batch begins", "batch ends", "callback begins", "callback ends"} <= set(names)
    for kind in ("poll", "batch", "callback", "step"):
        begun = [name for name in names if name.startswith(f"{kind} ")]
        assert begun == [f"{kind} begins", f"{kind} ends"] * (len(begun) // 2)
    asleep = [event[1] for event in seen.events if event[0] == "poll begins" and event[1]]
    assert asleep
    assert all(0.0 < timeout <= 0.001 for timeout in asleep)


def test_a_sleep_without_end_is_told_as_minus_one(loop: Any) -> None:
    seen = Recorder()
    thread = threading.Timer(0.01, loop.call_soon_threadsafe, (loop.stop,))
    observing.attach(seen, loop)
    loop.call_soon(thread.start)
    loop.run_forever()
    thread.join()
    assert ("poll begins", -1.0) in seen.events


def test_who_is_not_detailed_hears_of_runs_and_polls_only(loop: Any) -> None:
    seen = Recorder(detailed=False)

    async def main() -> None:
        await hasten.create_task(hasten.sleep(0.001))

    observe(loop, main(), seen)
    assert seen.kinds() == {"loop begins", "loop ends", "poll begins", "poll ends"}


def test_a_detailed_observer_beside_one_that_is_not(loop: Any) -> None:
    few, all_ = Recorder(detailed=False), Recorder()
    observing.attach(few, loop)
    observe(loop, hasten.sleep(0), all_)
    assert "step begins" in all_.kinds()
    assert few.kinds() == {"loop begins", "loop ends", "poll begins", "poll ends"}
    few.events.clear()
    loop.run_until_complete(hasten.sleep(0))
    assert few.kinds() == {"loop begins", "loop ends", "poll begins", "poll ends"}
    observing.detach(few, loop)


def test_everywhere_means_each_loop_also_one_that_runs_and_one_to_come() -> None:
    seen = Recorder(detailed=False)

    async def main() -> None:
        observing.attach(seen)
        assert seen.events == [("loop begins",)]  # at once: this one runs
        observing.attach(seen)  # a second time: no difference
        assert len(seen.events) == 1

    try:
        hasten.run(main())
        assert seen.events[-1] == ("loop ends",)
        seen.events.clear()
        hasten.run(hasten.sleep(0))
        thread = threading.Thread(target=lambda: hasten.run(hasten.sleep(0)))
        thread.start()
        thread.join()
        assert seen.events.count(("loop begins",)) >= 2  # run() runs its loop several times
        assert seen.events.count(("loop begins",)) == seen.events.count(("loop ends",))
    finally:
        observing.detach(seen)
    seen.events.clear()
    hasten.run(hasten.sleep(0))
    assert seen.events == []


def test_who_is_detached_everywhere_is_told_nothing_of_a_loop_that_stood_meanwhile(loop: Any) -> None:
    everywhere, this_one = Recorder(), Recorder()
    observing.attach(everywhere)
    observing.attach(this_one, loop)
    observing.attach(this_one)
    try:
        loop.run_until_complete(hasten.sleep(0))
        assert {"loop begins", "made", "loop ends"} <= this_one.kinds()
        assert {"loop begins", "step ends", "loop ends"} <= everywhere.kinds()
        assert observing.observers_of(loop) == [this_one]  # it does not run
    finally:
        observing.detach(everywhere)
        observing.detach(this_one)
    everywhere.events.clear()
    this_one.events.clear()
    loop.run_until_complete(hasten.sleep(0))
    assert everywhere.events == []
    assert "made" in this_one.kinds()  # it is still attached to this loop
    assert observing.observers_of(loop) == [this_one]


def test_who_is_attached_to_a_loop_too_stays_there_when_it_is_detached_everywhere(loop: Any) -> None:
    seen = Recorder()

    async def main() -> None:
        observing.attach(seen)
        observing.attach(seen, loop)
        assert seen.events.count(("loop begins",)) == 1
        observing.detach(seen)
        assert observing.observers_of(loop) == [seen]
        observing.detach(seen, loop)
        assert observing.observers_of(loop) == []

    loop.run_until_complete(main())
    assert observing.everywhere == []


def test_who_detaches_itself_at_the_first_of_two_loops_is_not_attached_to_the_second() -> None:
    class Once(Recorder):
        def loop_begins(self, loop: Any) -> None:
            super().loop_begins(loop)
            observing.detach(self)

    def run(loop: Any, runs: threading.Event) -> None:
        loop.call_soon(runs.set)
        loop.run_forever()

    loops = [hasten.new_event_loop() for _ in range(2)]
    events = [threading.Event() for _ in loops]
    threads = [threading.Thread(target=run, args=args) for args in zip(loops, events, strict=True)]
    seen = Once()
    try:
        for thread, event in zip(threads, events, strict=True):
            thread.start()
            event.wait()
        observing.attach(seen)
        assert seen.events == [("loop begins",)]
        assert [observing.observers_of(each) for each in loops] == [[], []]
    finally:
        for loop, thread in zip(loops, threads, strict=True):
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


def test_an_eager_task_is_told_too(loop: Any) -> None:
    seen = Recorder()
    loop.set_task_factory(hasten.eager_task_factory)

    async def main() -> None:
        future = loop.create_future()

        async def waits() -> None:
            await future

        async def returns() -> None:
            pass

        hasten.create_task(returns(), name="at once")
        task = hasten.create_task(waits(), name="waits")
        future.set_result(None)
        await task

    observe(loop, main(), seen)
    assert seen.of("at once") == [("made",), ("step begins",), ("ended", True), ("step ends",)]
    assert seen.of("waits")[:4] == [("made",), ("step begins",), ("step ends",), ("parked", "Future")]
    assert seen.of("waits")[4:] == [("woken", "Future"), ("step begins",), ("ended", True), ("step ends",)]


def test_tasks_that_fail_or_are_cancelled_end_too(loop: Any) -> None:
    seen = Recorder()

    async def fails() -> None:
        raise ValueError("wanted")

    async def main() -> None:
        a = hasten.create_task(fails(), name="fails")
        b = hasten.create_task(hasten.sleep(1000), name="cancelled")
        await hasten.sleep(0)
        b.cancel()
        await hasten.gather(a, b, return_exceptions=True)

    observe(loop, main(), seen)
    assert seen.of("fails") == [("made",), ("step begins",), ("ended", True), ("step ends",)]
    assert seen.of("cancelled")[-3:] == [("step begins",), ("ended", True), ("step ends",)]
    assert ("woken", "Future") in seen.of("cancelled")


def test_with_debug_mode_slow_callbacks_are_told_as_before(loop: Any, caplog: Any) -> None:
    seen = Recorder()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    observe(loop, hasten.sleep(0), seen)
    assert "step begins" in seen.kinds()
    assert "took" in caplog.text
    loop.set_debug(False)
    caplog.clear()
    loop.run_until_complete(hasten.sleep(0))
    assert caplog.text == ""


EVENTS = [name for name in vars(Observer) if "_" in name and not name.startswith("_")]


@pytest.mark.parametrize("event", EVENTS)
def test_one_that_raises_is_removed_and_reported_and_the_loop_goes_on(loop: Any, event: str) -> None:
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    calls = []

    def fail(self: Any, *args: Any) -> None:
        calls.append(event)
        raise ValueError(event)

    bad = type("Bad", (Observer,), {event: fail})()
    bad.detailed = True
    after = Recorder()

    async def main() -> str:
        future = loop.create_future()
        loop.call_soon(future.set_result, "done")
        task = hasten.create_task(hasten.sleep(0.001))
        result = await future
        await task
        return str(result)

    observing.attach(bad, loop)
    assert observe(loop, main(), after) == "done"
    loop.run_until_complete(hasten.sleep(0))  # what the end of a run reports
    assert calls == [event]
    assert len(told) == 1
    assert str(told[0]["exception"]) == event
    assert "observer" in told[0]["message"]
    assert {"loop begins", "loop ends", "ended"} <= after.kinds()


@pytest.mark.parametrize("event", ["step_begins", "task_woken", "poll_begins", "callback_ends"])
def test_an_interrupt_in_an_observer_ends_the_run_and_loses_nothing(loop: Any, event: str) -> None:
    pending = [KeyboardInterrupt()]

    def interrupted(self: Any, *args: Any) -> None:
        if pending:
            raise pending.pop()

    observer = type("Interrupted", (Observer,), {event: interrupted})()
    observer.detailed = True
    observing.attach(observer, loop)

    async def main() -> str:
        future = loop.create_future()
        loop.call_soon(future.set_result, "done")
        return str(await future)

    task = loop.create_task(main())
    with pytest.raises(KeyboardInterrupt):
        loop.run_until_complete(task)
    assert loop.run_until_complete(task) == "done"
    observing.detach(observer, loop)


def test_what_an_observer_does_itself_is_not_told(loop: Any) -> None:
    class Busy(Recorder):
        def step_begins(self, task: Any) -> None:
            if len(self.events) < 1000:
                super().step_begins(task)
                loop.create_task(hasten.sleep(0), name="its own")
                observing.attach(self, loop)

    seen = Busy()

    async def main() -> None:
        await hasten.sleep(0)

    observe(loop, main(), seen)
    assert ("made", "its own") not in seen.events
    for task in hasten.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(hasten.sleep(0))


def test_an_observer_may_remove_itself_or_another_one_at_any_event(loop: Any) -> None:
    other = Recorder()

    class Leaving(Recorder):
        def step_begins(self, task: Any) -> None:
            super().step_begins(task)
            observing.detach(self, loop)
            observing.detach(other, loop)

    seen = Leaving()
    observing.attach(other, loop)
    observe(loop, hasten.sleep(0), seen)
    assert len(seen.of(seen.events[-1][1])) <= 2
    assert "ended" not in seen.kinds() | other.kinds()


def test_a_loop_that_was_observed_is_freed_with_its_observer() -> None:
    class Seen(Recorder):
        pass

    seen = Seen()
    loop = hasten.new_event_loop()
    observe_ = weakref.ref(seen)
    observing.attach(seen, loop)
    loop.run_until_complete(hasten.sleep(0))
    loop.close()
    gone = weakref.ref(loop)
    gc.collect()
    gc.disable()
    try:
        del loop, seen
        assert observe_() is None
        assert gone() is None
    finally:
        gc.enable()


def test_what_is_no_observer_or_no_loop_of_ours_is_refused(loop: Any) -> None:
    with pytest.raises(TypeError, match="derives from"):
        observing.attach(object())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="derives from"):
        observing.detach(None, loop)  # type: ignore[arg-type]
    stock = asyncio.new_event_loop()
    try:
        with pytest.raises(TypeError, match="only hasten's own loops"):
            observing.attach(Recorder(), stock)
    finally:
        stock.close()
    observing.detach(Recorder(), loop)  # not attached: nothing to do
    observing.detach(Recorder())


def test_attaching_to_a_closed_loop_does_no_harm() -> None:
    loop = hasten.new_event_loop()
    loop.close()
    seen = Recorder()
    observing.attach(seen, loop)
    with pytest.raises(RuntimeError, match="closed"):
        loop.call_soon(print)
    observing.detach(seen, loop)


def test_a_task_of_hasten_s_on_a_stock_loop_is_told_of_to_nobody() -> None:
    seen = Recorder()
    observing.attach(seen)
    loop = asyncio.new_event_loop()
    try:

        async def main() -> None:
            await hasten.sleep(0)

        loop.run_until_complete(hasten.Task(main(), loop=loop))
    finally:
        loop.close()
        observing.detach(seen)
    assert seen.events == []


def test_an_observer_that_another_detaches_is_not_told_of_the_event_any_more(loop: Any) -> None:
    class Detaches(Recorder):
        def poll_begins(self, loop: Any, timeout: float) -> None:
            observing.detach(second, loop)

        def task_made(self, task: Any) -> None:
            observing.detach(third, loop)

    first, second, third, last = Detaches(), Recorder(), Recorder(), Recorder()
    for observer in (first, second, third, last):
        observing.attach(observer, loop)
    loop.run_until_complete(hasten.sleep(0))
    assert "poll begins" not in second.kinds()
    assert "made" not in third.kinds()
    assert {"poll begins", "made"} <= last.kinds()


def test_without_memory_an_observer_is_attached_and_detached_wholly_or_not_at_all(loop: Any) -> None:
    if not compat.compiled():
        pytest.skip("a plain Python function may need memory to be called, also the one that enters what was made")
    hooks = pytest.importorskip("_testcapi", reason="this Python cannot have memory fail")
    first, second = Recorder(), Recorder()
    observing.attach(first, loop)
    failed = 0
    for change in (observing.attach, observing.detach):
        for n in range(1000):
            was = observing.observers_of(loop)
            hooks.set_nomemory(n, n + 1)
            try:
                change(second, loop)
            except MemoryError:
                failed += 1
            finally:
                hooks.remove_mem_hooks()
            there = observing.observers_of(loop)
            first.events.clear()
            second.events.clear()
            loop.run_until_complete(hasten.sleep(0))
            assert ("batch begins" in second.kinds()) == ("made" in second.kinds()) == (second in there)
            assert {"batch begins", "made"} <= first.kinds()
            if there != was:
                break
        else:
            raise AssertionError("it never had memory enough")
    assert failed > 0


def test_observers_that_destructors_attach_in_the_middle_are_there(loop: Any) -> None:
    """Garbage may be collected wherever memory is asked for, up to Python 3.11."""

    class Attaches:
        def __init__(self) -> None:
            self.itself = self
            self.observer = Recorder()
            late.append(self.observer)

        def __del__(self) -> None:
            observing.attach(self.observer, loop)

    late: list[Any] = []
    before = gc.get_threshold()
    direct = [Recorder() for _ in range(20)]
    for observer in direct:
        Attaches()
        gc.set_threshold(1)
        try:
            observing.attach(observer, loop)
        finally:
            gc.set_threshold(*before)
    gc.collect()
    loop.run_until_complete(hasten.sleep(0))
    for observer in [*direct, *late]:
        assert {"batch begins", "made"} <= observer.kinds()


@pytest.mark.parametrize("late", ["attached", "detached"])
def test_what_destructors_change_while_a_run_begins_holds(loop: Any, late: str) -> None:
    """Who is attached then is told once that the loop runs, and who is detached nothing at all."""

    class Changes:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            if late == "attached":
                observing.attach(other)
            else:
                observing.detach(other)

    first, other, last = Recorder(), Recorder(), Recorder()
    for each in (first, *([other] if late == "detached" else []), last):
        observing.attach(each)
    before = gc.get_threshold()
    gc.collect()
    Changes()
    loop.call_soon(gc.set_threshold, *before)
    loop.call_soon(gc.collect)  # up to Python 3.11 it has run by then
    there: list[Observer] = []
    loop.call_soon(lambda: there.extend(observing.observers_of(loop)))
    loop.call_soon(loop.stop)
    try:
        gc.set_threshold(1)
        loop.run_forever()
        assert first.events.count(("loop begins",)) == last.events.count(("loop begins",)) == 1
        assert (other in there) == (late == "attached")
        assert other.events.count(("loop begins",)) <= 1
        if late == "attached":
            assert other.events[0] == ("loop begins",)
            assert other.events[-1] == ("loop ends",)
    finally:
        gc.set_threshold(*before)
        for each in (first, other, last):
            observing.detach(each)


def test_the_list_of_observers_that_is_given_away_is_a_copy(loop: Any) -> None:
    observer = Recorder()
    observing.attach(observer, loop)
    observing.observers_of(loop).append(None)  # type: ignore[arg-type]
    observing.observers_of(loop).clear()
    assert observing.observers_of(loop) == [observer]
    loop.run_until_complete(hasten.sleep(0))
    assert "poll begins" in observer.kinds()


def test_an_observer_is_told_of_what_its_class_has_methods_for() -> None:
    """Alone, and beside one that hears all; also by a method that is an attribute of its own."""

    class Everything(Observer):
        def __init__(self) -> None:
            self.detailed = True
            self.told: set[str] = set()

    def note(name: str) -> Any:
        def told(self: Any, *args: Any) -> None:
            self.told.add(name)

        return told

    names = [
        name for name in vars(Observer) if name.endswith(("_begins", "_ends", "_made", "_parked", "_woken", "_ended"))
    ]
    assert len(names) == 14
    for name in names:
        setattr(Everything, name, note(name))

    async def work() -> None:
        future = hasten.get_running_loop().create_future()
        hasten.get_running_loop().call_soon(future.set_result, None)
        await future

    async def main(observers: list[Any]) -> None:
        loop = hasten.get_running_loop()
        for each in observers:
            observing.attach(each, loop)
        await hasten.create_task(work())
        await hasten.sleep(0.001)
        for each in observers:
            observing.detach(each, loop)

    for name in names:
        if name == "loop_ends":
            continue
        one = type("One", (Observer,), {name: note(name)})()
        own = type("Own", (Observer,), {})()
        setattr(own, name, lambda *args, own=own, name=name: own.told.add(name))
        for each in (one, own):
            each.detailed, each.told = True, set()
        all_of_them = Everything()
        hasten.run(main([one]))
        assert one.told == {name}
        hasten.run(main([own, all_of_them]))
        assert own.told == {name}
        assert all_of_them.told >= set(names) - {"loop_ends"}
