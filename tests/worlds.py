"""What a test runs on, said once for all folders: tasks and functions of hasten or asyncio, on a loop of either.

A test that asks for one of these fixtures runs once in each of its worlds:

    world        a namespace, `world.ns`, and `world.run(coro)`, which makes a loop for each run
    kit          the same around one open loop, `kit.loop`, with the classes of futures and tasks to use on it
    either_loop  an open loop and nothing else; `run(coro)` runs on it, and ends what hangs

`loop` is for what hasten alone has. What asyncio does only since some Python says `@pytest.mark.stdlib_since(3, 13)`;
what its tasks and futures allow only since then, on any loop, `@pytest.mark.stock_tasks_since(3, 13)`; and what it does
on no version `@pytest.mark.ours("what asyncio does instead")`. None of them skips a test: it runs in the other worlds,
and hasten behaves like the newest asyncio on every Python.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import importlib.util
import sys
from collections.abc import Callable, Coroutine, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import hasten

LIMIT = 30.0  # seconds; only a hang takes as long
Loop = asyncio.AbstractEventLoop


class World(NamedTuple):
    """An implementation and a loop to run it on."""

    kind: str
    ns: ModuleType
    loop_factory: Callable[[], Loop]

    def run(self, coro: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            return runner.run(coro)


@functools.cache
def _uvloop_is_there() -> bool:
    """Runs a loop of uvloop's once: the first makes a pipe that stays, which no test is to have left."""
    if importlib.util.find_spec("uvloop") is None:
        return False
    loop = _uvloop()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    return True


def _uvloop() -> Loop:
    """A loop of uvloop's."""
    import uvloop

    loop: Loop = uvloop.new_event_loop()
    return loop


# asyncio's selector loop on every platform, also where another one is the default
WORLDS = {
    world.kind: world
    for world in (
        World("hasten", hasten, hasten.new_event_loop),
        World("hasten-on-stock-loop", hasten, asyncio.SelectorEventLoop),
        World("hasten-on-uvloop", hasten, _uvloop),
        World("asyncio-on-hasten-loop", asyncio, hasten.new_event_loop),
        World("asyncio", asyncio, asyncio.SelectorEventLoop),
    )
}
RUNS_IN = {
    "world": ("hasten", "hasten-on-stock-loop", "hasten-on-uvloop", "asyncio"),
    "kit": ("hasten", "hasten-on-stock-loop", "asyncio-on-hasten-loop", "asyncio"),
    "either_loop": ("hasten", "asyncio"),
}


def _kinds(definition: pytest.Function, fixture: str) -> list[str]:
    """The worlds of a fixture that the marks of a test leave."""

    def too_old(name: str) -> bool:
        mark = definition.get_closest_marker(name)
        return mark is not None and sys.version_info < mark.args

    ours = definition.get_closest_marker("ours")
    if ours is not None and not ours.args:
        raise pytest.UsageError(f"{definition.nodeid}: @pytest.mark.ours says what asyncio does instead")
    kinds = list(RUNS_IN[fixture])
    if ours or too_old("stdlib_since") or too_old("stock_tasks_since"):
        kinds = [kind for kind in kinds if WORLDS[kind].ns is hasten]
    if too_old("stock_tasks_since"):
        kinds = ["hasten"]
    if not _uvloop_is_there():
        kinds = [kind for kind in kinds if "uvloop" not in kind]
    return kinds


@pytest.hookimpl(tryfirst=True)  # its names come first in the ids
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for fixture in RUNS_IN:
        if fixture in metafunc.fixturenames:
            kinds = _kinds(metafunc.definition, fixture)
            metafunc.parametrize(fixture, [WORLDS[kind] for kind in kinds], ids=kinds, indirect=True)


# ---- the worlds ---------------------------------------------------------------------------------


@contextlib.contextmanager
def opened(loop: Loop) -> Iterator[Loop]:
    """Gives a loop to a test, and closes it afterwards. By then it must have no pending task."""
    try:
        yield loop
        if not loop.is_closed():
            pending = [repr(task) for task in asyncio.all_tasks(loop)]
            if pending:
                pytest.fail("the test ended with tasks pending on its loop:\n  " + "\n  ".join(pending), pytrace=False)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


@pytest.fixture
def world(request: pytest.FixtureRequest) -> World:
    """An implementation, to be run on a loop of its own or another's."""
    found: World = request.param
    return found


class Kit:
    """A loop, and the classes of futures and tasks to use on it."""

    def __init__(self, world: World, loop: Loop) -> None:
        self.kind = world.kind
        self.loop = loop
        self.ours = world.ns is hasten  # the tasks and futures are hasten's
        self.Future: type[Any] = world.ns.Future
        self.Task: type[Any] = world.ns.Task

    def future(self) -> Any:
        return self.Future(loop=self.loop)

    def task(self, coro: Any, **kwargs: Any) -> Any:
        return self.Task(coro, loop=self.loop, **kwargs)

    def run(self, coro: Any) -> Any:
        """Runs a coroutine in a task of the kit's kind."""
        return self.loop.run_until_complete(self.task(coro))

    def tick(self) -> None:
        run_ready(self.loop)


@pytest.fixture
def kit(request: pytest.FixtureRequest) -> Iterator[Kit]:
    """The classes of one implementation, and an open loop of its own or another's."""
    with opened(request.param.loop_factory()) as loop:
        yield Kit(request.param, loop)


@pytest.fixture
def either_loop(request: pytest.FixtureRequest) -> Iterator[Loop]:
    """A fresh loop: hasten's or asyncio's."""
    with opened(request.param.loop_factory()) as loop:
        yield loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    """A fresh loop of hasten's."""
    with opened(hasten.new_event_loop()) as loop:
        yield loop


# ---- what tests do with them ----------------------------------------------------------------------


def _loop_of(request: pytest.FixtureRequest) -> Loop:
    """The loop that the test has, under whatever name."""
    if "kit" in request.fixturenames:
        kit: Kit = request.getfixturevalue("kit")
        return kit.loop
    name = "either_loop" if "either_loop" in request.fixturenames else "loop"
    found: Loop = request.getfixturevalue(name)
    return found


@pytest.fixture
def run(either_loop: Loop) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine to its end on the loop."""

    def run(coro: Coroutine[Any, Any, Any]) -> Any:
        return either_loop.run_until_complete(asyncio.wait_for(coro, LIMIT))

    return run


@pytest.fixture
def reports(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """What the exception handler of the test's loop is told."""
    told: list[dict[str, Any]] = []
    _loop_of(request).set_exception_handler(lambda loop, context: told.append(context))
    return told


def run_ready(loop: Loop) -> None:
    """Runs what is ready on a loop now, and nothing that this makes ready."""
    loop.call_soon(loop.stop)
    loop.run_forever()


@pytest.fixture
def tick(request: pytest.FixtureRequest) -> Callable[[], None]:
    """`tick()` runs what is ready on the test's loop now, and nothing that this makes ready."""
    loop = _loop_of(request)
    return lambda: run_ready(loop)


async def _settle(rounds: int = 10) -> None:
    for _ in range(rounds):
        await asyncio.sleep(0)


@pytest.fixture
def settle() -> Callable[..., Coroutine[Any, Any, None]]:
    """`await settle()`: everybody who can go on without time passing has done so."""
    return _settle


async def until(condition: Callable[[], object]) -> None:
    """Waits for what comes from elsewhere: another process, the kernel, a thread."""
    while not condition():
        await asyncio.sleep(0.001)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """For tests that wait for the exception of a signal handler.

    The collector may run where the signal comes (CPython 3.12 and newer look after both in one place). The handler then
    runs inside of a destructor or the callback of a weak reference, whose exceptions the interpreter only prints.
    """
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def collect() -> Callable[[], None]:
    """`collect()` collects garbage, also what the first collection's finalizers let go of."""

    def collect() -> None:
        for _ in range(3):
            gc.collect()

    return collect
