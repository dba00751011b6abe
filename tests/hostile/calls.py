"""Public calls, each with what it needs: `name(ns, loop)` makes that ready, and gives what is to be called.

Those in INSIDE are called in a callback of the running loop, those in OUTSIDE while it does not run. What a call leaves
pending is cancelled afterwards by who called it.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import socket
from collections.abc import Callable
from typing import Any

Call = Callable[[], Any]
Scene = Callable[[Any, Any], Call]
INSIDE: dict[str, Scene] = {}
OUTSIDE: dict[str, Scene] = {}


def inside(scene: Scene) -> Scene:
    INSIDE[scene.__name__] = scene
    return scene


def outside(scene: Scene) -> Scene:
    OUTSIDE[scene.__name__] = scene
    return scene


async def nothing() -> None:
    pass


async def forever() -> None:
    await asyncio.get_running_loop().create_future()


def stepped(coro: Any) -> Any:
    """A coroutine after its first step."""
    with contextlib.suppress(StopIteration):
        coro.send(None)
    return coro


# ---- what is made by its class, or by a function without a loop -----------------------------------------------------

for _name in ("Lock", "Event", "Condition", "Semaphore", "BoundedSemaphore", "Queue", "PriorityQueue", "LifoQueue",
              "TaskGroup", "Future"):  # fmt: skip
    INSIDE[_name] = lambda ns, loop, name=_name: getattr(ns, name)  # type: ignore[misc]
for _name in ("current_task", "all_tasks", "get_running_loop", "new_event_loop"):
    INSIDE[_name] = lambda ns, loop, name=_name: getattr(ns, name)  # type: ignore[misc]
for _name in ("isfuture", "iscoroutine", "iscoroutinefunction", "ensure_future", "shield"):
    INSIDE[_name] = lambda ns, loop, name=_name: (  # type: ignore[misc]
        lambda f=loop.create_future(): getattr(ns, name)(f)
    )


@inside
def barrier(ns: Any, loop: Any) -> Call:
    return lambda: ns.Barrier(2)


@inside
def timeout(ns: Any, loop: Any) -> Call:
    return lambda: ns.timeout(1)


@inside
def sleep(ns: Any, loop: Any) -> Call:
    def call() -> None:
        coro = ns.sleep(1)
        coro.send(None)
        coro.close()

    return call


@inside
def sleep0(ns: Any, loop: Any) -> Call:
    return lambda: ns.sleep(0).send(None)


# ---- tasks and futures ----------------------------------------------------------------------------------------------


@inside
def create_task(ns: Any, loop: Any) -> Call:
    coro = forever()
    return lambda: ns.create_task(coro)


@inside
def create_task_with_all(ns: Any, loop: Any) -> Call:
    coro, context = forever(), __import__("contextvars").copy_context()
    return lambda: ns.create_task(coro, name="a name", context=context)


@inside
def task(ns: Any, loop: Any) -> Call:
    coro = forever()
    return lambda: ns.Task(coro, loop=loop, name=5)


@inside
def ensure_future_of_a_coroutine(ns: Any, loop: Any) -> Call:
    coro = forever()
    return lambda: ns.ensure_future(coro)


@inside
def task_cancel(ns: Any, loop: Any) -> Call:
    made = ns.create_task(forever())
    return lambda: made.cancel("message")


@inside
def task_shows(ns: Any, loop: Any) -> Call:
    made = ns.create_task(forever())
    return lambda: (repr(made), made.get_name(), made.get_stack(), made.get_coro(), made.get_context())


@inside
def task_name(ns: Any, loop: Any) -> Call:
    made = ns.create_task(forever())
    return lambda: made.set_name(10**10)


@inside
def set_result(ns: Any, loop: Any) -> Call:
    future = loop.create_future()
    for _ in range(3):
        future.add_done_callback(id)
    return lambda: future.set_result(1)


@inside
def set_exception(ns: Any, loop: Any) -> Call:
    future = loop.create_future()
    future.add_done_callback(id)

    def call() -> None:
        future.set_exception(ValueError)
        future.exception()

    return call


@inside
def cancel(ns: Any, loop: Any) -> Call:
    future = loop.create_future()
    future.add_done_callback(id)
    return lambda: future.cancel("message")


@inside
def failed_result(ns: Any, loop: Any) -> Call:
    future = loop.create_future()
    future.set_exception(ValueError())

    def call() -> None:
        with contextlib.suppress(ValueError):
            future.result()

    return call


@inside
def cancelled_result(ns: Any, loop: Any) -> Call:
    future = loop.create_future()
    future.cancel("message")

    def call() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            future.result()

    return call


@inside
def callbacks(ns: Any, loop: Any) -> Call:
    future = loop.create_future()

    def call() -> None:
        for callback in (id, int, id, str):
            future.add_done_callback(callback)
        future.remove_done_callback(id)
        assert len(future._callbacks) == 2

    return call


@inside
def future_repr(ns: Any, loop: Any) -> Call:
    future = loop.create_future()
    future.add_done_callback(id)
    return lambda: repr(future)


@inside
def wait_for_a_future_by_hand(ns: Any, loop: Any) -> Call:
    future = loop.create_future()

    def call() -> None:
        iterator = future.__await__()
        next(iterator)
        iterator.close()

    return call


@inside
def wrap_future(ns: Any, loop: Any) -> Call:
    theirs: Any = concurrent.futures.Future()
    return lambda: ns.wrap_future(theirs, loop=loop)


# ---- the loop -------------------------------------------------------------------------------------------------------


@inside
def call_soon(ns: Any, loop: Any) -> Call:
    return lambda: loop.call_soon(id, 1)


@inside
def call_soon_often(ns: Any, loop: Any) -> Call:
    """The ready queue has to grow."""
    return lambda: [loop.call_soon(int) for _ in range(100)]


@inside
def call_soon_threadsafe(ns: Any, loop: Any) -> Call:
    return lambda: loop.call_soon_threadsafe(id, 1)


@inside
def call_later(ns: Any, loop: Any) -> Call:
    return lambda: loop.call_later(100, id, 1).cancel()


@inside
def call_later_often(ns: Any, loop: Any) -> Call:
    """The heap of timers has to grow."""

    def call() -> None:
        handles = []
        try:
            for i in range(100):
                handles.append(loop.call_later(i + 1, id, 1))
        finally:
            for handle in handles:
                handle.cancel()

    return call


@inside
def handles(ns: Any, loop: Any) -> Call:
    return lambda: (repr(ns.Handle(id, (1,), loop)), repr(ns.TimerHandle(1.0, id, (1,), loop)))


@inside
def call_exception_handler(ns: Any, loop: Any) -> Call:
    return lambda: loop.call_exception_handler({"message": "told", "exception": ValueError()})


@inside
def reader(ns: Any, loop: Any) -> Call:
    one, other = socket.socketpair()

    def call() -> None:
        try:
            loop.add_reader(one, id, 1)
            loop.add_writer(one, id, 1)
            loop.remove_reader(one)
            loop.remove_writer(one)
        finally:
            loop.remove_reader(one)
            loop.remove_writer(one)
            other.close()
            one.close()

    return call


@inside
def task_factory(ns: Any, loop: Any) -> Call:
    def factory(loop: Any, coro: Any, **kwargs: Any) -> Any:
        return ns.Task(coro, loop=loop, **kwargs)

    def call() -> None:
        loop.set_task_factory(factory)
        try:
            loop.create_task(forever(), name="x")
        finally:
            loop.set_task_factory(None)

    return call


@inside
def loop_repr(ns: Any, loop: Any) -> Call:
    return lambda: (repr(loop), loop.time(), loop.get_debug(), loop.is_running())


@outside
def loop_close(ns: Any, loop: Any) -> Call:
    def call() -> None:
        made = ns.new_event_loop()
        try:
            made.call_soon(id, 1)
        finally:
            made.close()

    return call


# ---- waiting --------------------------------------------------------------------------------------------------------


def _gathered(name: str, give: Callable[[Any, list[Any]], Any]) -> None:
    """A function of several futures: called, and one of them completed."""

    def scene(ns: Any, loop: Any) -> Call:
        futures = [loop.create_future() for _ in range(3)]

        def call() -> None:
            made = give(ns, futures)
            futures[0].set_result(1)
            made.cancel() if hasattr(made, "cancel") else made.close()

        return call

    INSIDE[name] = scene


_gathered("gather", lambda ns, futures: ns.gather(*futures))
_gathered("gather_exceptions", lambda ns, futures: ns.gather(*futures, return_exceptions=True))
_gathered("shield_done", lambda ns, futures: ns.shield(futures[0]))
_gathered("wait", lambda ns, futures: stepped(ns.wait(futures)))
_gathered("wait_first", lambda ns, futures: stepped(ns.wait(futures, timeout=5, return_when="FIRST_COMPLETED")))
_gathered("as_completed", lambda ns, futures: stepped(next(iter(ns.as_completed(futures, timeout=5)))))
