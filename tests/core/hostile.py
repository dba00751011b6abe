"""Programs in which what the loop works with is hostile. test_hostile.py runs them, in processes of their own.

    python hostile.py asyncio|hasten [NAME...]

Each scenario gives lines of what happened; a line of JSON is printed for each, and before it its name, so that the last
line names the culprit of a crash.
"""

from __future__ import annotations

import asyncio
import contextvars
import faulthandler
import gc
import json
import logging
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

OURS = sys.argv[1:2] == ["hasten"]
aio: Any = asyncio
if OURS:
    import hasten as aio

SCENARIOS: dict[str, Callable[[], list[str]]] = {}
EXPECTED: dict[str, list[str] | None] = {}  # None: what asyncio does
EAGER = OURS or sys.version_info >= (3, 12)


def scenario(*expected: str, as_asyncio: bool = False, name: str | None = None) -> Callable[[Any], Any]:
    def enter(fn: Any) -> Any:
        SCENARIOS[name or fn.__name__] = fn
        EXPECTED[name or fn.__name__] = None if as_asyncio else list(expected)
        return fn

    return enter


class World:
    """A loop, what its exception handler was told, and what the scenario says."""

    def __init__(self, debug: bool = False) -> None:
        self.loop = aio.new_event_loop()
        self.loop.set_debug(debug)
        self.lines: list[str] = []
        self.loop.set_exception_handler(self.told)

    def told(self, loop: Any, context: dict[str, Any]) -> None:
        exc = context.get("exception")
        self.say("told of", type(exc).__name__ if exc is not None else context["message"])

    def say(self, *words: object) -> None:
        self.lines.append(" ".join(map(str, words)))

    def run(self, coro: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coro)

    def turn(self, n: int = 3) -> None:
        """Runs what is ready; the loop goes on after whatever leaves it."""
        for _ in range(n):
            try:
                self.loop.call_soon(self.loop.stop)
                self.loop.run_forever()
            except BaseException as exc:
                self.say("left by", type(exc).__name__)

    def until(self, line: str) -> None:
        """Runs until that was said: the loop looks for I/O only so often."""
        for _ in range(10000):
            if line in self.lines:
                break
            self.turn(1)

    def end(self) -> list[str]:
        self.turn()
        self.loop.close()
        gc.collect()
        return self.lines


class Dropped:
    """Does something when it goes."""

    def __init__(self, does: Callable[[], object]) -> None:
        self.does = does

    def __del__(self) -> None:
        does, self.does = self.does, lambda: None
        does()


var: contextvars.ContextVar[Any] = contextvars.ContextVar("var")


def leave_snapshot(w: World, does: Callable[[], object]) -> None:
    """The next callback's context is not this one's: what is kept of an old one goes then, with a value that acts."""

    def setup() -> None:
        var.set(Dropped(does))
        other = w.loop.create_future()
        other.add_done_callback(print)
        other.remove_done_callback(print)

    contextvars.copy_context().run(setup)
    var.set(object())


# ---- a check that is stale when it is acted upon ------------------------------------------------


@scenario("done True, called 1")
def a_callback_added_while_the_future_is_completed() -> list[str]:
    w = World()
    fut = w.loop.create_future()
    leave_snapshot(w, lambda: fut.done() or fut.set_result(1))
    called: list[Any] = []
    fut.add_done_callback(called.append)
    w.turn()
    if not fut.done():  # nothing was kept
        fut.set_result(1)
        w.turn()
    w.say(f"done {fut.done()}, called {len(called)}")
    return w.end()


@scenario("done True, called 2")
def a_second_callback_added_while_the_future_is_completed() -> list[str]:
    w = World()
    fut = w.loop.create_future()
    called: list[Any] = []
    fut.add_done_callback(called.append)
    leave_snapshot(w, lambda: fut.done() or fut.cancel())
    fut.add_done_callback(called.append)
    w.turn()
    if not fut.done():
        fut.set_result(1)
        w.turn()
    w.say(f"done {fut.done()}, called {len(called)}")
    return w.end()


def collected_in_each_allocation(does: Callable[[], object], body: Callable[[], object]) -> None:
    """Runs `body` with garbage about that acts when the collector, which runs as often as it can, meets it."""
    gc.collect()
    before = gc.get_threshold()
    try:
        for _ in range(40):
            cycle: list[Any] = [Dropped(does)]
            cycle.append(cycle)
        del cycle
        gc.set_threshold(1, 1, 1)
        body()
    finally:
        gc.set_threshold(*before)
        gc.collect()


@scenario("all went on")
def waiters_that_park_while_the_collector_completes_the_future() -> list[str]:
    w = World()
    for _ in range(20):
        went = _parked_while_collected(w)
        if len(went) != 7:
            w.say("only", len(went))
    w.say("all went on")
    return w.end()


def _parked_while_collected(w: World) -> list[Any]:
    fut = w.loop.create_future()
    went: list[Any] = []
    tasks: list[Any] = []

    async def wait() -> None:
        went.append(await fut)

    def body() -> None:
        tasks.extend(w.loop.create_task(wait()) for _ in range(5))
        w.turn(1)
        fut.add_done_callback(went.append)
        fut.add_done_callback(went.append)

    collected_in_each_allocation(lambda: fut.done() or fut.set_result(1), body)
    if not fut.done():
        fut.set_result(1)
    w.turn()
    return went


def _refused(w: World, fut: Any, exc: Any) -> None:
    try:
        fut.set_exception(exc)
        w.say("taken")
    except BaseException as e:
        w.say("refused:", type(e).__name__)


@scenario("refused: InvalidStateError", "result 1")
def an_exception_class_that_completes_the_future() -> list[str]:
    w = World()
    fut = w.loop.create_future()

    class E(Exception):
        def __init__(self) -> None:
            fut.set_result(1)

    _refused(w, fut, E)
    w.say("result", fut.result())
    return w.end()


@scenario("refused: InvalidStateError", "cancelled True")
def an_exception_class_that_cancels_the_future() -> list[str]:
    w = World()
    fut = w.loop.create_future()

    class E(Exception):
        def __init__(self) -> None:
            fut.cancel()

    _refused(w, fut, E)
    w.say("cancelled", fut.cancelled())
    return w.end()


@scenario("refused: KeyError", "done False", "refused: TypeError", "done False")
def an_exception_class_that_gives_none() -> list[str]:
    w = World()
    fut = w.loop.create_future()

    class E(Exception):
        def __init__(self) -> None:
            raise KeyError

    class NoE(Exception):
        def __new__(cls) -> Any:
            return 5

    for cls in (E, NoE):
        _refused(w, fut, cls)
        w.say("done", fut.done())
    return w.end()


class Asked(asyncio.SelectorEventLoop):
    """A loop that does something when it is asked for its state."""

    does: Callable[[], object] | None = None

    def is_closed(self) -> bool:
        does, self.does = self.does, None
        if does is not None:
            does()
        return super().is_closed()


if OURS:

    @scenario("InvalidStateError", "InvalidStateError", "False", "first", "first", "first")
    def a_loop_that_completes_the_future_when_asked() -> list[str]:
        lines = []
        loop = Asked()
        futures = []
        for act in (lambda f: f.set_result(2), lambda f: f.set_exception(KeyError()), lambda f: f.cancel()):
            fut = aio.Future(loop=loop)
            futures.append(fut)
            fut.add_done_callback(lambda f: None)
            loop.does = lambda fut=fut: fut.set_result("first")
            try:
                lines.append(str(act(fut)))
            except BaseException as exc:
                lines.append(type(exc).__name__)
        lines += [fut.result() for fut in futures]
        loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
        return lines


def _by_destructor(act: Callable[[World], object], ends: BaseException | None) -> list[str]:
    """A callback that drops its arguments while it ends, and `act` happens then."""
    w = World()

    def callback(d: Any) -> None:
        handle.cancel()
        del d
        if ends is not None:
            raise ends

    handle = w.loop.call_soon(callback, Dropped(lambda: act(w)))
    w.turn()
    return w.end()


async def _returns() -> int:
    return 1


async def _raises() -> None:
    raise KeyError


def _eager(w: World, coro: Any) -> None:
    if EAGER:
        task = aio.Task(coro, loop=w.loop, eager_start=True)
        if task.done():
            task.exception()
    else:
        coro.close()


def _call_nested(w: World, fn: Callable[[], object]) -> None:
    w.loop.call_soon(fn)
    w.loop._run_once()


def _fails() -> None:
    raise IndexError


ACTS: dict[str, tuple[Callable[[World], object], list[str]]] = {
    "eager_task_that_returns": (lambda w: _eager(w, _returns()), []),
    "eager_task_that_raises": (lambda w: _eager(w, _raises()), []),
}
if OURS:  # asyncio cannot tick inside of a tick
    ACTS["nested_tick"] = (lambda w: _call_nested(w, lambda: None), [])
    ACTS["nested_tick_that_fails"] = (lambda w: _call_nested(w, _fails), ["told of IndexError"])
for _name, (_act, _lines) in ACTS.items():
    for _ends, _said in ((None, []), (ValueError(), ["told of ValueError"]), (SystemExit(3), ["left by SystemExit"])):
        # what leaves the loop is seen last
        _in_turn = _lines + _said if isinstance(_ends, SystemExit) else _said + _lines

        @scenario(*_in_turn, name=f"callback_{type(_ends).__name__}_{_name}")
        def _callback(act: Any = _act, ends: Any = _ends) -> list[str]:
            return _by_destructor(act, ends)


@scenario("task 1: 1", "told of InvalidStateError", "task 2: 5", "task 3: 5", as_asyncio=True)
def a_task_that_was_ended_behind_its_back() -> list[str]:
    w = World()

    async def returns(me: int) -> int:
        if me > 1:
            aio.Future.set_result(asyncio.current_task(), 5)
        return 1

    async def raises() -> None:
        aio.Future.set_result(asyncio.current_task(), 5)
        raise asyncio.CancelledError

    for i, coro in enumerate((returns(1), returns(2), raises()), 1):
        task = w.loop.create_task(coro)
        w.turn()
        w.say(f"task {i}:", task.result())
    return w.end()


class Comparing:
    """A callback that is equal to anything, and does something when it is compared for the first time."""

    def __init__(self, called: list[int], number: int, does: Callable[[], object] = lambda: None) -> None:
        self.called = called
        self.number = number
        self.does = does

    def __call__(self, fut: Any) -> None:
        self.called.append(self.number)

    def __eq__(self, other: object) -> bool:
        does, self.does = self.does, lambda: None
        does()
        return True

    __hash__ = None  # type: ignore[assignment]


@scenario("called [2]")
def a_comparison_that_completes_the_future() -> list[str]:
    w = World()
    called: list[int] = []
    fut = w.loop.create_future()
    fut.add_done_callback(Comparing(called, 2, lambda: fut.set_result(None)))
    fut.remove_done_callback(Comparing(called, 9))
    w.turn()
    w.say("called", called)
    return w.end()


@scenario("called []")
def a_comparison_that_removes_them_all() -> list[str]:
    w = World()
    called: list[int] = []
    fut = w.loop.create_future()
    fut.add_done_callback(Comparing(called, 1, lambda: fut.remove_done_callback(Comparing(called, 8))))
    fut.add_done_callback(Comparing(called, 2))
    fut.remove_done_callback(Comparing(called, 9))
    fut.set_result(None)
    w.turn()
    w.say("called", called)
    return w.end()


@scenario("ended", "timers left 0")
def timers_whose_destructors_cancel_and_tick() -> list[str]:
    w = World()
    handles: list[Any] = []

    def act() -> None:
        for h in handles[:3]:
            h.cancel()
        del handles[:3]
        _call_nested(w, lambda: None)

    for _ in range(300):
        handles.append(w.loop.call_later(0.0, len, (Dropped(act),)))
    mine = list(handles)
    while mine:
        mine.pop().cancel()
    ran: list[int] = []
    w.loop.call_later(0.0, ran.append, 1)
    for _ in range(400):
        w.loop.call_soon(lambda: None)
        w.turn(1)
        if ran:
            w.say("ended")
            break
    if OURS:
        timers = w.loop._timers
        w.say("timers left", len(timers.items()) if len(timers.items()) else 0)
    else:
        w.say("timers left 0")
    return w.end()


@scenario("all there True")
def tasks_listed_while_the_collector_makes_and_ends_some() -> list[str]:
    w = World()
    fine = True

    async def main() -> None:
        nonlocal fine
        never = w.loop.create_future()

        async def wait() -> None:
            await never

        for n in range(60):
            tasks = [w.loop.create_task(wait()) for _ in range(n)]
            more: list[Any] = []

            def act(more: Any = more) -> None:
                more.extend(w.loop.create_task(wait()) for _ in range(3))
                for task in more[:-1]:
                    task.cancel()
                _eager(w, _returns())

            found: list[Any] = []
            collected_in_each_allocation(act, lambda found=found: found.append(aio.all_tasks()))
            fine = fine and set(tasks) <= found[0]
            for task in tasks + more:
                task.cancel()
            await asyncio.sleep(0)

    w.run(main())
    w.say("all there", fine)
    return w.end()


# ---- watches ---------------------------------------------------------------------------------------


def _watched(act: Callable[[World, Any, Any], None], writer: bool = False) -> list[str]:
    w = World()
    a, b = socket.socketpair()
    with a, b:
        a.setblocking(False)

        def readable() -> None:
            w.say("reader")
            act(w, a, b)

        def writable() -> None:
            w.say("writer")
            w.loop.remove_writer(a)

        w.loop.add_reader(a, readable)
        if writer:
            w.loop.add_writer(a, writable)
        b.send(b"x")
        w.until("reader")
        if writer and a.fileno() >= 0:
            w.until("writer")
        if a.fileno() >= 0:
            w.loop.remove_reader(a)
            w.loop.remove_writer(a)
        w.turn()
        w.say("goes on")
        return w.end()


@scenario("reader", "told of ValueError", "goes on")
def a_reader_that_removes_itself_and_raises() -> list[str]:
    def act(w: World, a: Any, b: Any) -> None:
        w.loop.remove_reader(a)
        raise ValueError

    return _watched(act)


@scenario("reader", "told of ValueError", "writer", "goes on")
def a_reader_that_raises_beside_a_writer() -> list[str]:
    def act(w: World, a: Any, b: Any) -> None:
        w.loop.remove_reader(a)
        raise ValueError

    return _watched(act, writer=True)


@scenario("reader", "goes on")
def a_reader_that_takes_the_writer_away() -> list[str]:
    def act(w: World, a: Any, b: Any) -> None:
        w.loop.remove_reader(a)
        w.loop.remove_writer(a)
        a.close()

    return _watched(act, writer=True)


@scenario("reader", "told of ValueError", "goes on")
def a_reader_that_replaces_itself_and_raises() -> list[str]:
    def act(w: World, a: Any, b: Any) -> None:
        w.loop.add_reader(a, lambda: a.recv(10))
        raise ValueError

    return _watched(act)


@scenario("reader", "told of ValueError", "goes on")
def a_reader_whose_removal_runs_others() -> list[str]:
    def act(w: World, a: Any, b: Any) -> None:
        w.loop.add_reader(b, print, Dropped(lambda: w.loop.remove_reader(a)))
        w.loop.remove_reader(b)
        raise ValueError

    return _watched(act)


@scenario("reader", "left by SystemExit", "goes on")
def a_reader_that_exits() -> list[str]:
    def act(w: World, a: Any, b: Any) -> None:
        w.loop.remove_reader(a)
        raise SystemExit

    return _watched(act)


@scenario("removed True", "again False", "added", "called")
def a_descriptor_that_was_closed() -> list[str]:
    w = World()
    a, b = socket.socketpair()
    w.loop.add_reader(a, print)
    a.close()
    w.say("removed", w.loop.remove_reader(a))
    w.say("again", w.loop.remove_reader(b))
    w.loop.add_reader(b, lambda: (w.say("called"), w.loop.remove_reader(b)))
    w.say("added")
    w.until("called")
    b.close()
    return w.end()


# ---- running ---------------------------------------------------------------------------------------


def main(names: list[str]) -> None:
    faulthandler.enable()
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda unraisable: None
    for name in names or SCENARIOS:
        print(name, flush=True)
        try:
            lines = SCENARIOS[name]()
        except BaseException as exc:
            lines = [f"{type(exc).__name__} came out"]
        print(json.dumps([name, lines]), flush=True)


if __name__ == "__main__":
    main(sys.argv[2:])
