"""What programs are run on, and how two such worlds are compared."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

import hasten

from . import grammar, machine

World = tuple[Any, Callable[[], asyncio.AbstractEventLoop]]


class StockLoopWithOurTasks(asyncio.SelectorEventLoop):
    """hasten's tasks and futures, on a loop that is not hasten's."""

    def create_future(self) -> Any:
        return hasten.Future(loop=self)

    def create_task(self, coro: Any, **kwargs: Any) -> Any:
        return hasten.Task(coro, loop=self, **kwargs)


OURS: World = (hasten, hasten.new_event_loop)
STOCK: World = (asyncio, asyncio.SelectorEventLoop)
MIXED: dict[str, tuple[World, World]] = {
    "asyncio's functions on our loop": ((asyncio, hasten.new_event_loop), STOCK),
    "our functions on asyncio's loop": ((hasten, asyncio.SelectorEventLoop), STOCK),
    "our tasks on asyncio's loop": (OURS, (hasten, StockLoopWithOurTasks)),
}


def agree(one: World, other: World, parts: list[str], examples: int, at_random: bool = False) -> None:
    """Tries so many programs: always the same, or at random. Fails with the smallest on which the worlds differ."""

    @settings(
        max_examples=examples,
        derandomize=not at_random,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(program=grammar.programs(*parts))
    def compare(program: Any) -> None:
        ours, theirs = machine.run(*one, program), machine.run(*other, program)
        if ours != theirs:
            pytest.fail(difference(ours, theirs), pytrace=False)

    machine.EAGER_WHILE_HANDLING = False
    try:
        compare()
    finally:
        machine.EAGER_WHILE_HANDLING = True


def difference(ours: list[Any], theirs: list[Any]) -> str:
    """Where two logs part."""
    pairs = zip(ours, theirs, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(ours), len(theirs)))
    parts = ["what happened differs", *(f"  both: {note}" for note in ours[max(0, at - 20) : at])]
    parts += [f"  ours: {note}" for note in ours[at : at + 6]] + [f"  theirs: {note}" for note in theirs[at : at + 6]]
    return "\n".join(parts)
