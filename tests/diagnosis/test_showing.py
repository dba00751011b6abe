"""Names and paths that would move a terminal's cursor, begin lines of their own in a log, or have no end."""

from __future__ import annotations

import json
import time
import warnings
from typing import Any

import pytest

import hasten
from hasten.diagnosis import forgotten, showing
from hasten.diagnosis.stall import Stall

NAME = 'a\x1b[31m"b\\\r\n\u202e\ud800</x>'
PATH = "fi\x1b[2Jl\ne\u2028\ud800.py"
SOURCE = """
async def waits(lock):
    await lock.acquire()
async def blocks():
    time.sleep(0.5)  # long enough for a machine that has much to do
    await hasten.sleep(0.001)
async def forgets():
    blocks()
"""


def program() -> dict[str, Any]:
    scope: dict[str, Any] = {"time": time, "hasten": hasten}
    exec(compile(SOURCE, PATH, "exec"), scope)
    return scope


def check(text: str, lines: int | None) -> None:
    assert showing.plain(text.replace("\n", "")) == text.replace("\n", "")
    assert lines is None or len(text.splitlines()) == lines
    assert max(map(len, text.splitlines())) < 600
    text.encode()


def test_in_a_wait_graph() -> None:
    async def main() -> None:
        lock = hasten.Lock()
        await lock.acquire()
        waits = program()["waits"]
        tasks = [hasten.create_task(waits(lock), name=name) for name in (NAME, "n" * 100_000)]
        await hasten.sleep(0)
        graph = hasten.wait_graph()
        check(graph.text(), None)
        lines = [line.partition(" ")[0] for line in graph.text().splitlines() if not line.startswith("  ")]
        assert lines == ["3", "task", "task", "task"]
        check(graph.dot(), 2 + 4 + 2 + 1)
        assert {node.name for node in graph.tasks} >= {NAME, "n" * 100_000}  # the data has all
        assert json.loads(graph.json())
        for task in tasks:
            task.cancel()

    hasten.run(main())


def test_in_the_report_of_a_stall() -> None:
    seen: list[Stall] = []

    async def main() -> None:
        for name in (NAME, "n" * 100_000):
            await hasten.create_task(program()["blocks"](), name=name)

    with hasten.watch(report=seen.append):
        hasten.run(main())
    assert len(seen) == 2
    for stall in seen:  # the timer that was set last may be due already, on a machine that has much to do
        check(str(stall), 6 + bool(stall.waiting) + (stall.share < 0.5))


def test_in_the_warning_of_a_coroutine_that_was_never_awaited() -> None:
    coro = program()["blocks"]()
    coro.__qualname__ = NAME + "n" * 100_000
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        forgotten._warn(coro)
    coro.close()
    check(str(told[0].message), 5)


@pytest.mark.parametrize(("text", "shown"), [("a", "a"), ("é長", "é長"), ("\x1b\x00\x9b", "\\x1b\\x00\\x9b"), (1, "1")])
def test_plain(text: Any, shown: str) -> None:
    assert showing.plain(text) == shown


def test_short() -> None:
    assert showing.short("x" * 200) == "x" * 200
    assert showing.short("x" * 201) == "x" * 199 + "…"
