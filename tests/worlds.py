"""Each behaviour here is tried on hasten's implementation, on hasten's loop and on the stock one, and on asyncio's."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Generator
from types import ModuleType
from typing import Any

import pytest

import hasten

ALL = ("hasten", "hasten-on-stock-loop", "asyncio")


class World:
    """An implementation and a loop to run it on."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.ns: ModuleType = asyncio if kind == "asyncio" else hasten
        # a selector loop on every platform; the platform's default where subprocesses need it
        self.loop_factory: Callable[[], asyncio.AbstractEventLoop] = (
            hasten.new_event_loop if kind == "hasten" else asyncio.SelectorEventLoop
        )

    def run(self, coro: Coroutine[Any, Any, Any]) -> Any:
        with asyncio.Runner(loop_factory=self.loop_factory) as runner:
            return runner.run(coro)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "stdlib_since(major, minor): asyncio itself behaves so from this version on")
    config.addinivalue_line("markers", "stock_tasks_since(major, minor): asyncio's tasks allow it from this version on")
    config.addinivalue_line("markers", "ours(reason): asyncio itself does not behave so on any version, and why we do")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrises `world`. What an older asyncio does not do yet is tried on ours alone, not skipped."""
    if "world" not in metafunc.fixturenames:
        return

    def too_old(marker: str) -> bool:
        since = metafunc.definition.get_closest_marker(marker)
        return since is not None and sys.version_info < since.args

    kinds = list(ALL)
    if metafunc.definition.get_closest_marker("ours") or too_old("stdlib_since") or too_old("stock_tasks_since"):
        kinds.remove("asyncio")
    if too_old("stock_tasks_since"):
        kinds.remove("hasten-on-stock-loop")
    metafunc.parametrize("world", [pytest.param(World(kind), id=kind) for kind in kinds])


async def _settle(rounds: int = 10) -> None:
    for _ in range(rounds):
        await asyncio.sleep(0)


@pytest.fixture
def settle() -> Callable[..., Coroutine[Any, Any, None]]:
    """`await settle()`: everybody who can go on without time passing has done so."""
    return _settle


class Hijacked:
    """Awaits a coroutine until its first wake-up, and throws an exception into it then (None: closes it)."""

    def __init__(self, coro: Coroutine[Any, Any, Any], exc: BaseException | None) -> None:
        self.coro = coro
        self.exc = exc

    def __await__(self) -> Generator[Any, None, None]:
        yield self.coro.send(None)
        if self.exc is None:
            self.coro.close()
        else:
            self.coro.throw(self.exc)


@pytest.fixture
def hijacked() -> type[Hijacked]:
    return Hijacked
