"""What a user's type checker says of hasten: an ordinary program passes, mistakes are found."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hasten

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mypy") is None, reason="mypy is not installed: make lint has it"
)

PROGRAM = """
import asyncio as stock
import hasten
import hasten as asyncio


async def fetch(n: int) -> str:
    await hasten.sleep(0.001)
    return str(n)


async def main() -> list[str]:
    task = hasten.create_task(fetch(1), name="one")
    reveal: str = await task
    task.add_done_callback(lambda t: print(t.result().upper()))
    other: stock.Task[str] = hasten.create_task(fetch(2))
    pair = await hasten.gather(fetch(3), other)
    first: str = pair[0]
    done, pending = await hasten.wait([task, other], timeout=1, return_when=hasten.FIRST_COMPLETED)
    async with hasten.timeout(1):
        async with hasten.TaskGroup() as group:
            child = group.create_task(fetch(4))
    lock = hasten.Lock()
    async with lock:
        pass
    loop = hasten.get_running_loop()
    handle: stock.TimerHandle = loop.call_later(1, print, "x")
    handle.cancel()
    fut: stock.Future[int] = loop.create_future()
    fut.set_result(1)
    return [reveal, first, child.result(), str(len(done) + len(pending)), str(await fut)]


result: list[str] = hasten.run(main(), debug=False)
with hasten.Runner(loop_factory=hasten.new_event_loop) as runner:
    again: list[str] = runner.run(main())
asyncio.run(main())
"""

STAR = """
from hasten import *


async def take(queue: Queue[int]) -> int:
    async with TaskGroup() as group:
        task: Task[int] = group.create_task(queue.get())
    return task.result()


async def main() -> int:
    queue: Queue[int] = Queue()
    queue.put_nowait(1)
    reader, writer = await open_unix_connection("/nowhere")
    return await wait_for(take(queue), 1)


result: int = run(main())
"""

DERIVED = """
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple, Unpack

import asyncio as stock
import hasten
import hasten as asyncio

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Heap(asyncio.PriorityQueue[tuple[int, str]]):
    async def take(self) -> str:  # a name that hasten uses inside
        return (await self.get())[1]


class Group(asyncio.TaskGroup):
    def __init__(self) -> None:
        super().__init__()
        self.children: list[str] = []  # another

    def abort(self, why: str) -> None:
        self.cancel()

    def spawn(self, coro: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self.create_task(coro, name="a", eager_start=True)


class Loop(hasten.Loop):
    def create_future(self) -> asyncio.Future[Any]:
        return super().create_future()

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: Unpack[Ts], context: Context | None = None
    ) -> asyncio.TimerHandle:
        return super().call_at(when, callback, *args, context=context)


def takes_stock(queue: stock.PriorityQueue[tuple[int, str]]) -> None:
    print(queue.qsize())


async def main() -> None:
    heap = Heap()
    takes_stock(heap)
    heap.shutdown()
    async with Group() as group:
        task = group.spawn(heap.take())
    loop = asyncio.get_running_loop()
    loop.set_task_factory(hasten.eager_task_factory)
    text: str = task.result()
    print(text)


hasten.run(main(), loop_factory=Loop)
"""

MISTAKES = {
    "hasten.run(5)": "arg-type",
    "hasten.run(main)": "arg-type",
    "x: int = hasten.run(main())": "assignment",
    "hasten.new_event_loop(poller=5)": "arg-type",
}


def check(folder: Path, text: str, *options: str) -> str:
    """The errors in the program. What mypy says of hasten's own files is make lint's business: an installed package's
    are not looked at."""
    program = folder / "program.py"
    program.write_text(text)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--follow-imports=silent",
            *options,
            "--cache-dir",
            str(folder / "cache"),
            str(program),
        ],
        capture_output=True,
        text=True,
        timeout=280,
        env={**os.environ, "MYPYPATH": str(Path(hasten.__file__).parents[1])},
        cwd=folder,
        check=False,
    )
    assert "error" in done.stdout or "Success" in done.stdout, done.stdout + done.stderr
    return "\n".join(line for line in done.stdout.splitlines() if "program.py:" in line)


def test_the_package_is_typed() -> None:
    assert (Path(hasten.__file__).parent / "py.typed").is_file()


def test_an_ordinary_program_passes(tmp_path: Path) -> None:
    assert check(tmp_path, PROGRAM) == ""


def test_all_names_at_once(tmp_path: Path) -> None:
    assert check(tmp_path, STAR) == ""


@pytest.mark.parametrize("version", ["3.11", "3.14"])
def test_classes_are_derived_from_hastens(tmp_path: Path, version: str) -> None:
    assert check(tmp_path, DERIVED, "--python-version", version) == ""


def test_mistakes_are_found(tmp_path: Path) -> None:
    head = "import hasten\nasync def main() -> str:\n    return ''\n"
    lines = head + "".join(f"{line}\n" for line in MISTAKES)
    said = check(tmp_path, lines)
    for number, (line, kind) in enumerate(MISTAKES.items(), start=4):
        assert any(f"program.py:{number}: error" in each and f"[{kind}]" in each for each in said.splitlines()), (
            line,
            said,
        )
