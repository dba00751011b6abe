"""Tracebacks that leave hasten: no more entries than asyncio's have, and each names a file whose line can be shown."""

from __future__ import annotations

import asyncio
import linecache
import os
import socket
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType

import pytest

import hasten
from hasten import compat

PACKAGE = os.path.dirname(hasten.__file__) + os.sep
ROOT = Path(__file__).parents[2]


async def boom() -> None:
    await asyncio.sleep(0)
    raise ValueError("lost")


async def of_a_task(ns: ModuleType) -> None:
    await ns.create_task(boom())


async def of_gather(ns: ModuleType) -> None:
    await ns.gather(boom(), ns.sleep(0))


async def of_wait_for(ns: ModuleType) -> None:
    await ns.wait_for(boom(), 5)


async def of_wait_for_that_is_late(ns: ModuleType) -> None:
    await ns.wait_for(ns.sleep(5), 0.001)


async def of_timeout(ns: ModuleType) -> None:
    async with ns.timeout(0.001):
        await ns.sleep(5)


async def of_a_group(ns: ModuleType) -> None:
    async with ns.TaskGroup() as group:
        group.create_task(boom())


async def of_shield(ns: ModuleType) -> None:
    await ns.shield(boom())


async def of_as_completed(ns: ModuleType) -> None:
    for each in ns.as_completed([boom()]):
        await each


async def of_result(ns: ModuleType) -> None:
    task = ns.create_task(boom())
    await ns.wait([task])
    task.result()


async def of_a_future_without_a_result(ns: ModuleType) -> None:
    asyncio.get_running_loop().create_future().result()


async def of_a_lock(ns: ModuleType) -> None:
    ns.Lock().release()


async def of_a_queue(ns: ModuleType) -> None:
    ns.Queue().get_nowait()


async def of_cancelling(ns: ModuleType) -> None:
    task = ns.create_task(ns.sleep(100))
    await ns.sleep(0)
    task.cancel()
    await task


async def of_a_cancelled_get(ns: ModuleType) -> None:
    async def get() -> None:
        await ns.Queue().get()

    task = ns.create_task(get())
    await ns.sleep(0)
    task.cancel()
    await task


async def of_a_stream(ns: ModuleType) -> None:
    ours, theirs = socket.socketpair()
    reader, writer = await ns.open_connection(sock=ours)
    theirs.send(b"x")
    theirs.close()
    try:
        await reader.readexactly(10)
    finally:
        writer.close()


async def of_open_connection(ns: ModuleType) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        await ns.open_connection(*unused.getsockname())


async def of_sock_recv(ns: ModuleType) -> None:
    with socket.socket() as sock:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_recv(sock, 10)


async def of_a_thread(ns: ModuleType) -> None:
    await ns.to_thread(int, "x")


async def of_a_program_that_is_not_there(ns: ModuleType) -> None:
    await ns.create_subprocess_exec("/there/is/no/such/program")


async def of_what_is_no_coroutine(ns: ModuleType) -> None:
    ns.create_task(boom)


async def of_a_callback(ns: ModuleType) -> None:
    loop, failed = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda loop, context: failed.append(context["exception"]))
    loop.call_soon(int, "x")
    await ns.sleep(0)
    await ns.sleep(0)
    raise failed.pop()


SCENES = [scene for name, scene in globals().items() if name.startswith("of_")]


def entries(ns: ModuleType, scene: Callable[[ModuleType], Awaitable[None]]) -> list[traceback.FrameSummary]:
    """The traceback of what the scene raises, with those of a group's exceptions, without the entries of this file."""
    found: list[traceback.FrameSummary] = []

    def look(exc: BaseException) -> None:
        found.extend(each for each in traceback.extract_tb(exc.__traceback__) if each.filename != __file__)
        if isinstance(exc, BaseExceptionGroup):
            for each in exc.exceptions:
                look(each)

    with pytest.raises(BaseException) as info:
        ns.run(scene(ns))
    look(info.value)
    return found


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_entries_of_a_traceback(scene: Callable[[ModuleType], Awaitable[None]]) -> None:
    ours, theirs = entries(hasten, scene), entries(asyncio, scene)
    for each in ours:
        assert os.path.isabs(each.filename), each
        assert linecache.getline(each.filename, each.lineno or 0).strip(), each
    if compat.compiled():
        assert [each for each in ours if "type: ignore" in (each.line or "")] == []
        more = 2 if scene is of_a_program_that_is_not_there else 0  # of subprocess: on some Pythons
        assert len(ours) <= len(theirs) + more, traceback.format_list(ours)


def test_reports_show_no_compiled_code(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(int, "x")
        await hasten.sleep(0)

    hasten.run(main())
    [record] = caplog.records
    assert record.exc_info is not None
    for each in traceback.extract_tb(record.exc_info[2]):
        assert os.path.isfile(each.filename)


def test_lines_that_tracebacks_show_are_for_people() -> None:
    """In the modules that are not compiled, whose lines are shown: nothing for type checkers beside what is done."""
    shown = []
    for floor in ("aio", "net", "process", "primitives", "loop.py"):
        path = ROOT / "src" / "hasten" / floor
        for module in [path] if path.is_file() else sorted(path.glob("*.py")):
            if module.with_suffix(".pxd").is_file():
                continue
            for number, line in enumerate(module.read_text(encoding="utf-8").splitlines(), 1):
                code, _, comment = line.partition("# type: ignore")
                if comment and "(" in code and code.startswith("        ") and " def " not in code:
                    shown.append(f"{module.name}:{number}: {code.strip()}")
    assert shown == []
