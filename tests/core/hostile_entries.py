"""More programs for test_hostile.py: exceptions with hostile attributes, from each kind of entry of the loop's batch.

python hostile_entries.py asyncio|hasten [NAME...]
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from hostile import EAGER, EXPECTED, OURS, SCENARIOS, World, aio, main, scenario

SCENARIOS.clear()  # those of the other file are run there
EXPECTED.clear()
var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="nothing")


def _raises(self: Any, *args: Any) -> Any:
    raise RuntimeError("hostile")


def _kind(name: str, base: type[BaseException] = Exception, **members: Any) -> type[BaseException]:
    return type(name, (base,), members)


def _class_is(cls: type) -> Any:
    return property(lambda self: cls)


HOSTILE = [
    _kind("ClassRaises", __class__=property(_raises)),
    _kind("SaysCancelled", __class__=_class_is(asyncio.CancelledError)),
    _kind("SaysInterrupt", __class__=_class_is(KeyboardInterrupt)),
    _kind("SaysExit", __class__=_class_is(SystemExit)),
    _kind("SaysInt", __class__=_class_is(int)),
    _kind("NoAttributes", __getattribute__=_raises),
    _kind("WithTracebackRaises", with_traceback=_raises),
    _kind("WithTracebackGivesNone", with_traceback=lambda self, tb: None),
    *(
        _kind(f"Hides{name.strip('_').title().replace('_', '')}", **{name: property(_raises)})
        for name in ("__traceback__", "__cause__", "__context__", "__suppress_context__", "__notes__", "args")
    ),
    *(
        _kind(f"Bad{name.strip('_').title()}", **{name: _raises})
        for name in ("__eq__", "__repr__", "__str__", "__bool__")
    ),
    _kind("BadHash", __hash__=_raises),
    _kind("BadLen", __len__=_raises),
    _kind("BadSetattr", __setattr__=_raises),
    _kind("Direct", BaseException),
    _kind("Exits", GeneratorExit),
]


def _raise(cls: type[BaseException]) -> Any:
    raise cls()


def _who(exc: BaseException) -> str:
    return type(exc).__name__


def _place(name: str, run: Callable[[World, Any], None], *said: str) -> None:
    """A scenario for each hostile exception at one place; "X" stands for its name."""
    for cls in HOSTILE:
        expected = [line.replace("X", cls.__name__) for line in said]

        @scenario(*expected, name=f"{name}_{cls.__name__}")
        def each(cls: Any = cls) -> list[str]:
            w = World()
            run(w, cls)
            return w.end()


async def _coroutine(cls: type[BaseException]) -> None:
    raise cls()


async def _watch(w: World, awaitable: Any) -> None:
    try:
        await awaitable
    except BaseException as exc:
        w.say("waiter got", _who(exc))


def _in_task(w: World, cls: Any) -> None:
    task = aio.Task(_coroutine(cls), loop=w.loop)
    waiter = aio.Task(_watch(w, task), loop=w.loop)
    w.turn(5)
    w.say(task.done(), task.cancelled(), waiter.done())


def _unseen(w: World, cls: Any) -> None:
    aio.Task(_coroutine(cls), loop=w.loop)
    w.turn(5)


def _set_on_future(w: World, cls: Any) -> None:
    fut = w.loop.create_future()
    waiters = [aio.Task(_watch(w, fut), loop=w.loop) for _ in range(2)]
    w.turn(1)
    fut.set_exception(cls())
    w.turn(3)
    w.say(fut.done(), fut.cancelled(), all(t.done() for t in waiters))
    try:
        fut.result()
    except BaseException as exc:
        w.say("result() raised", _who(exc))


def _in_done_callback(w: World, cls: Any) -> None:
    fut = w.loop.create_future()
    fut.add_done_callback(lambda f: _raise(cls))
    fut.add_done_callback(lambda f: w.say("the next is called"))
    fut.set_result(None)
    w.turn()


def _in_reader(w: World, cls: Any) -> None:
    a, b = socket.socketpair()

    def readable() -> None:
        w.say("reader")
        w.loop.remove_reader(a)
        raise cls()

    with a, b:
        w.loop.add_reader(a, readable)
        b.send(b"x")
        w.until("reader")


def _in_eager_task(w: World, cls: Any) -> None:
    def callback() -> None:
        task = aio.Task(_coroutine(cls), loop=w.loop, **({"eager_start": True} if EAGER else {}))
        aio.Task(_watch(w, task), loop=w.loop)

    w.loop.call_soon(callback)
    w.turn(5)


_place("task", _in_task, "waiter got X", "True False True")
_place("unseen_task", _unseen, "told of X")
_place("future", _set_on_future, "waiter got X", "waiter got X", "True False True", "result() raised X")
_place("callback", lambda w, cls: w.loop.call_soon(_raise, cls), "told of X")
_place("timer", lambda w, cls: (w.loop.call_later(0, _raise, cls), w.until(f"told of {cls.__name__}")), "told of X")
_place("threadsafe", lambda w, cls: w.loop.call_soon_threadsafe(_raise, cls), "told of X")
_place("done_callback", _in_done_callback, "told of X", "the next is called")
_place("reader", _in_reader, "reader", "told of X")
_place("eager_task", _in_eager_task, "waiter got X")


# ---- what ends the loop ------------------------------------------------------------------------------


def _ends(name: str, start: Callable[[World, Any], Any], task: bool = False) -> None:
    for base in (KeyboardInterrupt, SystemExit):
        own = _kind(f"Own{base.__name__}", base)
        for cls in (base, own, _kind(f"Odd{base.__name__}", base, __class__=_class_is(int))):

            @scenario(f"left by {cls.__name__}", "goes on", name=f"ends_{name}_{cls.__name__}")
            def each(cls: Any = cls) -> list[str]:
                w = World()
                kept = start(w, cls)
                w.turn()
                if task:
                    assert kept.done()
                    assert _who(kept.exception()) == cls.__name__
                w.loop.call_soon(w.say, "goes on")
                return w.end()


_ends("callback", lambda w, cls: w.loop.call_soon(_raise, cls))
_ends("task", lambda w, cls: aio.Task(_coroutine(cls), loop=w.loop), task=True)


# ---- a handler that fails, and what it is told -----------------------------------------------------------


class Kept(logging.Handler):
    """What was logged."""

    def __init__(self, fails: bool = False) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.fails = fails

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))
        if self.fails:
            raise RuntimeError("no log")


def _logged(w: World, body: Callable[[], None], *wanted: str, fails: bool = False) -> list[str]:
    kept = Kept(fails)
    logger = logging.getLogger("asyncio")
    logging.disable(logging.NOTSET)
    logger.addHandler(kept)
    logger.propagate = False
    try:
        body()
        w.turn()
    finally:
        logger.removeHandler(kept)
        logging.disable(logging.CRITICAL)
    text = "\n".join(kept.texts)
    for each in wanted:
        w.say(each, each in text)
    w.loop.call_soon(w.say, "goes on")
    return w.end()


if OURS:

    @scenario("boom True", "Exception in call_exception_handler() True", "goes on")
    def a_loop_whose_call_exception_handler_fails() -> list[str]:
        w = World()
        w.loop.close()

        class Failing(aio.Loop):  # type: ignore[misc,name-defined]
            def call_exception_handler(self, context: dict[str, Any]) -> None:
                raise LookupError("no handler")

        w.loop = Failing()
        return _logged(
            w,
            lambda: w.loop.call_soon(_boom),
            "boom",
            "Exception in call_exception_handler()",
        )

    @scenario("boom True", "goes on")
    def a_default_handler_that_fails() -> list[str]:
        w = World()
        w.loop.close()

        class Failing(aio.Loop):  # type: ignore[misc,name-defined]
            def default_exception_handler(self, context: dict[str, Any]) -> None:
                raise LookupError("no handler")

        w.loop = Failing()
        return _logged(w, lambda: w.loop.call_soon(_boom), "boom")

    @scenario("which True", "BadKey True", "goes on")
    def reports_of_what_cannot_be_shown() -> list[str]:
        w = World()
        w.loop.set_exception_handler(None)

        class BadRepr:
            __repr__ = _raises

        class BadKey(str):
            __str__ = __repr__ = _raises

        exc = _kind("NoAttributes", __getattribute__=_raises)()
        context = {"message": "which", "thing": BadRepr(), "exception": exc}
        return _logged(w, lambda: w.loop.call_exception_handler({**context, BadKey("k"): 1}), "which", "BadKey")

    @scenario("told in its context: inside", "goes on")
    def a_handler_called_inside_of_the_task_it_is_told_of() -> list[str]:
        w = World()
        w.loop.set_exception_handler(lambda loop, context: w.say("told in its context:", var.get()))

        async def body() -> None:
            var.set("inside")
            w.loop.call_exception_handler({"message": "m", "task": asyncio.current_task()})

        w.run(body())
        w.loop.call_soon(w.say, "goes on")
        return w.end()


def _boom() -> None:
    raise ValueError("boom")


@scenario("goes on", name="a_log_that_fails")
def a_log_that_fails() -> list[str]:
    w = World()
    w.loop.set_exception_handler(None)
    return _logged(w, lambda: w.loop.call_soon(_boom), fails=True)


@scenario("handled", "goes on")
def a_handler_that_fails() -> list[str]:
    w = World()

    def handler(loop: Any, context: dict[str, Any]) -> None:
        w.say("handled")
        raise LookupError

    w.loop.set_exception_handler(handler)
    return _logged(w, lambda: w.loop.call_soon(_boom))


@scenario("left by SystemExit", "goes on")
def a_handler_that_exits() -> list[str]:
    w = World()
    w.loop.set_exception_handler(lambda loop, context: _raise(SystemExit))
    return _logged(w, lambda: w.loop.call_soon(_boom))


@scenario("handled", "goes on", "goes on")
def a_handler_that_exits_from_a_destructor() -> list[str]:
    """Nobody can be told of it, and the program does not end in the middle of a line."""
    w = World()

    def handler(loop: Any, context: dict[str, Any]) -> None:
        w.say("handled")
        raise SystemExit

    w.loop.set_exception_handler(handler)
    fut = w.loop.create_future()
    fut.set_exception(ValueError())
    del fut
    w.say("goes on")
    w.loop.call_soon(w.say, "goes on")
    return w.end()


# ---- callbacks that are refused, callables that cannot be shown ---------------------------------------------


async def _never() -> None:
    pass


@scenario("told of TypeError", "the other is called", "task True")
def a_callback_refused_when_the_task_ends() -> list[str]:
    w = World(debug=True)
    task = w.loop.create_task(_coroutine_that_returns())
    task.add_done_callback(_never)
    task.add_done_callback(lambda t: w.say("the other is called"))
    w.turn()
    w.lines.sort(reverse=True)
    w.say("task", task.done())
    return w.end()


async def _coroutine_that_returns() -> None:
    pass


if OURS:

    @scenario("TypeError", "the other is called")
    def a_callback_refused_by_set_result() -> list[str]:
        w = World(debug=True)
        fut = w.loop.create_future()
        fut.add_done_callback(_never)
        fut.add_done_callback(lambda f: w.say("the other is called"))
        try:
            fut.set_result(1)
        except TypeError as exc:
            w.say(_who(exc))
        w.turn()
        return w.end()

    @scenario("told of ValueError", "told of ZeroDivisionError")
    def callables_that_cannot_be_shown() -> list[str]:
        w = World(debug=True)

        class Odd:
            def __call__(self, *args: Any) -> None:
                raise ValueError

            def __getattr__(self, name: str) -> Any:
                if name == "__qualname__":
                    raise RuntimeError(name)
                raise AttributeError(name)  # inspect.iscoroutinefunction() asks for some, and does not pass over others

            __repr__ = _raises

        class BadRepr:
            __repr__ = _raises

        w.loop.call_soon(Odd())
        w.loop.call_soon(lambda arg: 1 / 0, BadRepr())
        w.loop.call_later(100, print, BadRepr()).cancel()
        return w.end()

    @scenario("refused: True", "refused: True", "refused: True", "listed 1")
    def eager_tasks_from_a_wrong_thread() -> list[str]:
        w = World()

        def other() -> None:
            makers = (
                lambda coro: aio.Task(coro, loop=w.loop, eager_start=True),
                lambda coro: w.loop.create_task(coro, eager_start=True),
                lambda coro: w.loop.create_task(coro, name="x", eager_start=True),
            )
            for make in makers:
                coro = _coroutine_that_returns()
                try:
                    make(coro)
                except RuntimeError as exc:
                    w.say("refused:", str(exc).endswith("is not the running loop"))
                finally:
                    coro.close()

        async def body() -> None:
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            w.say("listed", len(asyncio.all_tasks()))

        w.run(body())
        return w.end()

    @scenario("compared 10000")
    def removals_compare_each_waiter_once() -> list[str]:
        w = World()
        compared = 0

        class Callback:
            def __call__(self, fut: Any) -> None:
                pass

            def __eq__(self, other: object) -> bool:
                nonlocal compared
                compared += 1
                return self is other

            __hash__ = None  # type: ignore[assignment]

        fut = w.loop.create_future()
        for _ in range(10000):
            fut.add_done_callback(Callback())
        fut.remove_done_callback(Callback())
        w.say("compared", compared)
        return w.end()


if __name__ == "__main__":
    main(sys.argv[2:])
