"""The core's tests run on every pairing of tasks and loops: what hasten's do, asyncio's own do too.

What asyncio does only since some Python says so with ``@pytest.mark.stdlib_since(3, 13)``; ``@pytest.mark.ours`` marks
what asyncio does not do on any version, with the reason why hasten does. Neither is skipped: hasten's run everywhere.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

import hasten

PAIRS = ("ours", "ours-on-stock-loop", "stock-on-our-loop", "stock")


class Kit(NamedTuple):
    """A loop, and the classes of futures and tasks to use on it."""

    name: str
    loop: asyncio.AbstractEventLoop
    Future: type[Any]
    Task: type[Any]

    @property
    def ours(self) -> bool:
        """Are the tasks and futures hasten's?"""
        return self.name.startswith("ours")

    def future(self) -> Any:
        return self.Future(loop=self.loop)

    def task(self, coro: Any, **kwargs: Any) -> Any:
        return self.Task(coro, loop=self.loop, **kwargs)

    def run(self, coro: Any) -> Any:
        """Runs a coroutine in a task of the kit's kind."""
        return self.loop.run_until_complete(self.task(coro))

    def tick(self) -> None:
        """Runs what is ready now."""
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "stdlib_since(major, minor): asyncio itself behaves so from this version on")
    config.addinivalue_line("markers", "ours(reason): asyncio itself does not behave so on any version, and why we do")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kit" not in metafunc.fixturenames:
        return
    since = metafunc.definition.get_closest_marker("stdlib_since")
    if metafunc.definition.get_closest_marker("ours") or (since is not None and sys.version_info < since.args):
        pairs = [pair for pair in PAIRS if pair.startswith("ours")]
    else:
        pairs = list(PAIRS)
    metafunc.parametrize("kit", pairs, indirect=True)


@pytest.fixture
def kit(request: pytest.FixtureRequest) -> Iterator[Kit]:
    loop = asyncio.SelectorEventLoop() if request.param.endswith("stock-loop") or request.param == "stock" else None
    loop = hasten.new_event_loop() if loop is None else loop
    ours = request.param.startswith("ours")
    try:
        yield Kit(
            request.param,
            loop,
            hasten.Future if ours else asyncio.Future,
            hasten.Task if ours else asyncio.Task,
        )
        left = [repr(task) for task in asyncio.all_tasks(loop)]
        assert not left
        if not loop.is_closed():
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()


@pytest.fixture
def reports(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """What the exception handler of the test's loop is told."""
    loop = request.getfixturevalue("kit").loop if "kit" in request.fixturenames else request.getfixturevalue("loop")
    told: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: told.append(context))
    return told


@pytest.fixture
def collect() -> Callable[[], None]:
    """Collects garbage, also what the first collection's finalizers let go of."""

    def collect() -> None:
        for _ in range(3):
            gc.collect()

    return collect


@pytest.fixture
def tick(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Runs what is ready on the test's loop now, and nothing that this makes ready."""
    loop = request.getfixturevalue("loop")

    def tick() -> None:
        loop.call_soon(loop.stop)
        loop.run_forever()

    return tick
