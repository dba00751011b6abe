"""What a hostile run takes place in, drawn from its seed: implementation, loop, collector, tracing."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import hasten

from . import subclasses
from .deeds import Mischief


class StockLoopWithOurTasks(asyncio.SelectorEventLoop):
    """hasten's tasks and futures, on a loop that is not hasten's."""

    def create_future(self) -> Any:
        return hasten.Future(loop=self)

    def create_task(self, coro: Any, **kwargs: Any) -> Any:
        return hasten.Task(coro, loop=self, **kwargs)


class World(NamedTuple):
    ns: Any
    make_loop: Callable[[], Any]
    ours: bool = True  # the loop is hasten's


HostileLoop = subclasses.loop_class(hasten.EventLoop)
WORLDS: dict[str, World] = {
    "epoll" if sys.platform == "linux" else "default": World(hasten, hasten.new_event_loop),
    "selectors": World(hasten, lambda: hasten.new_event_loop("selectors")),
    "hostile loop": World(hasten, HostileLoop),
    "asyncio's functions": World(asyncio, hasten.new_event_loop),
    "asyncio's loop": World(hasten, StockLoopWithOurTasks, False),
    "stock": World(asyncio, asyncio.SelectorEventLoop, False),  # to compare with, by hand
}
OURS = os.path.dirname(hasten.__file__)
TRACERS = ["none", "none", "none", "settrace", "setprofile", "monitoring"]
FACTORIES = ["none", "none", "none", "plain", "eager"]
THRESHOLDS = [1, 3, 20, 700]


class Setting(NamedTuple):
    world: str
    tracer: str
    factory: str
    threshold: int
    debug: bool

    def permits_ticks(self) -> bool:
        """A tick in a tick: asyncio's loop does not run them, and its tasks lose a step when one of them runs."""
        world = WORLDS[self.world]
        return world.ours and world.ns is hasten and self.factory != "plain"

    @classmethod
    def drawn(cls, rng: random.Random, world: str | None) -> Setting:
        names = [name for name in WORLDS if name != "stock"]
        return cls(
            world or rng.choice([names[0], *names]),
            rng.choice(TRACERS),
            rng.choice(FACTORIES),
            rng.choice(THRESHOLDS),
            rng.random() < 0.15,
        )


def install_factory(kind: str, loop: Any, ns: Any, mischief: Mischief) -> None:
    """A task factory that strikes before it makes a task of asyncio's or of ours."""

    def factory(loop: Any, coro: Any, **kwargs: Any) -> Any:
        mischief.strike("task factory")
        return mischief.rng.choice([ns.Task, asyncio.Task])(coro, loop=loop, **kwargs)

    if kind == "plain":
        loop.set_task_factory(factory)
    elif kind == "eager" and hasattr(ns, "eager_task_factory"):
        loop.set_task_factory(ns.eager_task_factory)


@contextmanager
def collecting(threshold: int, mischief: Mischief) -> Iterator[None]:
    """The collector comes often, and strikes when it does."""

    def told(phase: str, info: Any) -> None:
        if mischief.rng.random() < 0.05:  # or it would leave the other places nothing
            mischief.strike("collector")

    before = gc.get_threshold()
    gc.callbacks.append(told)
    gc.set_threshold(threshold, 5, 5)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(told)


# CPython before 3.14 marks a coroutine as suspended before it tells tracers that it yields: whoever then resumes or
# closes it takes the interpreter down, without any loop as well.
YIELDS_UNGUARDED = sys.version_info < (3, 14)
SUSPENDABLE = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR


def _leaves_suspended(frame: Any) -> bool:
    """May this "return" be a yield that cannot be told safely?"""
    return YIELDS_UNGUARDED and bool(frame.f_code.co_flags & SUSPENDABLE)


@contextmanager
def tracing(kind: str, mischief: Mischief) -> Iterator[None]:
    """Functions that are told of what the interpreter does, and strike at some of it."""
    if kind == "monitoring" and hasattr(sys, "monitoring"):
        with monitoring(mischief):
            yield
        return

    def trace(frame: Any, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename.startswith(OURS):  # plain Python's every line would be a place of its own
            return None
        if mischief.rng.random() < 0.02 and not (event == "return" and _leaves_suspended(frame)):
            mischief.strike("trace function")
        return trace

    install = {"settrace": sys.settrace, "setprofile": sys.setprofile}.get(kind)
    if install is not None:
        install(trace)
    try:
        yield
    finally:
        if install is not None:
            install(None)


@contextmanager
def monitoring(mischief: Mischief) -> Iterator[None]:
    watch: Any = sys.monitoring  # type: ignore[attr-defined]
    tool = watch.PROFILER_ID
    kinds = [watch.events.PY_START, watch.events.PY_RETURN, watch.events.PY_RESUME]
    if not YIELDS_UNGUARDED:
        kinds.append(watch.events.PY_YIELD)

    def told(*args: Any) -> None:
        if not args[0].co_filename.startswith(OURS) and mischief.rng.random() < 0.05:
            mischief.strike("monitoring")

    watch.use_tool_id(tool, "hostile")
    for kind in kinds:
        watch.register_callback(tool, kind, told)
    watch.set_events(tool, sum(kinds))
    try:
        yield
    finally:
        watch.set_events(tool, 0)
        for kind in kinds:
            watch.register_callback(tool, kind, None)
        watch.free_tool_id(tool)
