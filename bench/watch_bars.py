"""`python -m bench.watch_bars`: how many blocking calls the watch finds, and whether it names the right line.

Each kind of call blocks for some 200 ms, three awaits deep, from a line that is known. Then calls near the threshold of
100 ms. What is counted: found, the line that called, the chain of the three functions. `--beside` does the same with
asyncio's debug mode, aiocop and pyleak on asyncio's loop, each in a process of its own, and shows the sums.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import logging
import os
import pickle
import re
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import hasten
from hasten.diagnosis import watch as watching

Places = list[tuple[str, int, str]]  # (file, line, function), in any order
TEXT = "ab" * 2_000_000


def computing(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def locked(seconds: float) -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire(timeout=seconds)


def piped(seconds: float) -> None:
    r, w = os.pipe()
    timer = threading.Timer(seconds, os.write, (w, b"x"))
    timer.start()
    os.read(r, 1)
    timer.join()
    os.close(r)
    os.close(w)


def database(seconds: float) -> None:
    base = sqlite3.connect(":memory:")
    base.execute(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 4000000) SELECT sum(x) FROM n"
    ).fetchall()
    base.close()


KINDS: dict[str, Callable[[], object]] = {
    "time.sleep": lambda: time.sleep(0.2),
    "Python": lambda: computing(0.2),
    "sum": lambda: sum(range(25_000_000)),
    "sorted": lambda: sorted(range(3_000_000), key=lambda x: -x),
    "json": lambda: json.dumps(list(range(2_000_000))),
    "pickle": lambda: pickle.dumps([(n,) for n in range(1_500_000)]),
    "re": lambda: re.findall("a(?=b)", TEXT * 2),
    "str.replace": lambda: [TEXT.replace("a", "xyz") for _ in range(25)],
    "int": lambda: pow(3, 3_500_000),
    "sha256": lambda: hashlib.sha256(TEXT.encode() * 60),
    "zlib": lambda: zlib.compress(os.urandom(6_000_000)),
    "Lock.acquire": lambda: locked(0.2),
    "os.read": lambda: piped(0.2),
    "subprocess.run": lambda: subprocess.run([sys.executable, "-c", "import time; time.sleep(0.2)"], check=True),
    "sqlite3": lambda: database(0.2),
    "Event.wait": lambda: threading.Event().wait(0.2),
}


async def inner(call: Callable[[], object], took: list[float]) -> None:
    begun = time.monotonic()
    call()
    took.append(time.monotonic() - begun)


async def middle(call: Callable[[], object], took: list[float]) -> None:
    await inner(call, took)


async def outer(call: Callable[[], object], took: list[float]) -> None:
    await middle(call, took)
    await asyncio.sleep(0.002)


CALL = inner.__code__.co_firstlineno + 2


def right(places: Places) -> tuple[bool, bool]:
    """(the line, the chain): the line is that of inner(), which calls what blocks."""
    ours = [(line, function) for file, line, function in places if file.endswith("watch_bars.py")]
    return (CALL, "inner") in ours, {"outer", "middle", "inner"} <= {function for _, function in ours}


# ---- who finds them: each gives a list into which it puts the places of each report ---------------


@asynccontextmanager
async def by_watch() -> AsyncIterator[list[Places]]:
    found: list[Places] = []

    def report(stall: Any) -> None:
        found.append([(place.file, place.line, place.function) for place in stall.places])

    with hasten.watch(report=report):
        yield found


@asynccontextmanager
async def by_debug_mode() -> AsyncIterator[list[Places]]:
    """asyncio's "Executing <Task … running at FILE:LINE> took … seconds"."""
    found: list[Places] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            if text.startswith("Executing"):
                found.append([(f, int(n), name) for name, f, n in re.findall(r"<(\w+)\(\) \w+ at ([^>]+):(\d+)", text)])

    asyncio.get_running_loop().set_debug(True)
    logging.getLogger("asyncio").addHandler(Handler())
    logging.getLogger("asyncio").propagate = False
    await asyncio.sleep(0)
    yield found


@asynccontextmanager
async def by_aiocop() -> AsyncIterator[list[Places]]:
    import aiocop

    found: list[Places] = []

    def report(event: Any) -> None:
        if event.exceeded_threshold:
            traces = [each["trace"] for each in [*event.blocking_events, *event.cpu_stack_samples]]
            frames = [frame.rsplit(":", 2) for trace in traces for frame in trace.split(" <- ")]
            found.append([(each[0], int(each[1]), each[2]) for each in frames if len(each) == 3])

    aiocop.patch_audit_functions()
    aiocop.start_blocking_io_detection()
    aiocop.detect_slow_tasks(threshold_ms=100, on_slow_task=report)
    aiocop.activate()
    yield found


@asynccontextmanager
async def by_pyleak() -> AsyncIterator[list[Places]]:
    from pyleak import no_event_loop_blocking

    class Found(list[Any]):
        """What the detector has found, as places."""

        def append(self, block: Any) -> None:
            super().append([(each.filename, each.lineno, each.name) for each in block.blocking_stack or ()])

        def __getitem__(self, index: Any) -> Any:
            raise IndexError  # the detector compares with the last one: each call is one here

        def __bool__(self) -> bool:
            return False

    logging.getLogger("pyleak").setLevel(logging.CRITICAL)
    manager = no_event_loop_blocking(action="log", threshold=0.1, check_interval=0.01)
    async with manager:
        found = manager.detector.detected_blocks = Found()
        yield found


FINDERS: dict[str, Any] = {
    "hasten.watch()": by_watch,
    "asyncio debug": by_debug_mode,
    "aiocop": by_aiocop,
    "pyleak": by_pyleak,
}


async def count(times: int, found: list[Places]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for name, call in KINDS.items():
        row = rows[name] = [0, 0, 0, 0]
        for _ in range(times):
            found.clear()
            took: list[float] = []
            await asyncio.create_task(outer(call, took))
            if took[0] < 0.11:
                continue  # this machine is too fast for this kind
            row[0] += 1
            if len(found):
                line, chain = right([place for places in list(found) for place in places])
                row[1] += 1
                row[2] += line
                row[3] += chain
    return rows


async def near(seconds: float, times: int, found: list[Places]) -> tuple[int, int]:
    """How many of the sleeps that really took within 4 ms of `seconds` were told: (told, of)."""
    told = of = 0
    for _ in range(times):
        found.clear()
        took: list[float] = []
        await asyncio.create_task(outer(lambda: time.sleep(seconds), took))
        if abs(took[0] - seconds) < 0.004:
            of += 1
            told += len(found) > 0
    return told, of


EDGES = (0.085, 0.095, 0.105, 0.120)


async def run(finder: str, times: int) -> tuple[dict[str, list[int]], dict[str, tuple[int, int]]]:
    async with FINDERS[finder]() as found:
        rows = await count(times, found)
        edges = {f"{seconds * 1e3:.0f} ms": await near(seconds, times * 10, found) for seconds in EDGES}
    return rows, edges


def beside(times: int) -> None:
    """Print the sums of all finders."""
    sleeps = " | ".join(f"{seconds * 1e3:.0f} ms" for seconds in EDGES)
    print(f"| | blocked | found | line | chain | {sleeps} |\n| --- |{' ---: |' * (4 + len(EDGES))}")
    for finder in FINDERS:
        command = [sys.executable, "-m", "bench.watch_bars", "--times", str(times), "--finder", finder, "--json"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows, edges = json.loads(done.stdout)
        sums = [str(sum(row[i] for row in rows.values())) for i in range(4)]
        print(f"| {' | '.join([finder, *sums, *(f'{told} of {of}' for told, of in edges.values())])} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.watch_bars", description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--beside", action="store_true", help="with asyncio's debug mode, aiocop and pyleak")
    parser.add_argument("--finder", choices=FINDERS, default="hasten.watch()")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.beside:
        beside(options.times)
        return
    begin: Any = hasten.run if options.finder == "hasten.watch()" else asyncio.run
    rows, edges = begin(run(options.finder, options.times))
    if options.json:
        print(json.dumps((rows, edges)))
        return
    print(f"{watching.how()}, Python {sys.version.split()[0]}\n")
    print("| call | blocked | found | line | chain |\n| --- | ---: | ---: | ---: | ---: |")
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(map(str, row))} |")
    print(f"| all | {' | '.join(str(sum(row[i] for row in rows.values())) for i in range(4))} |\n")
    for length, (told, of) in edges.items():
        print(f"a sleep of {length}: told {told} times of {of}")


if __name__ == "__main__":
    main()
