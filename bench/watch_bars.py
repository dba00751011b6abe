"""`python -m bench.watch_bars`: how many blocking calls the watch finds, and whether it names the right line.

Each kind of call blocks for some 200 ms, three awaits deep, from a line that is known. Then calls near the threshold of
100 ms. What is counted: found, the innermost line of this file, the chain of the four functions.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import pickle
import re
import sqlite3
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

import hasten
from hasten.diagnosis import watch as watching
from hasten.diagnosis.stall import Stall

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


def right(stall: Stall) -> tuple[bool, bool]:
    """(the line, the chain): the line of a kind may be in inner(), or in the function that it calls."""
    places = [place for place in stall.places if place.file == __file__]
    line = any(place.function == "inner" and place.line == CALL for place in places)
    names = [place.function for place in reversed(places)]
    chain = [name for name in names if name in ("outer", "middle", "inner")] == ["outer", "middle", "inner"]
    return line, chain


async def count(times: int, found: list[Stall]) -> dict[str, list[int]]:
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
            if found:
                line, chain = right(found[0])
                row[1] += 1
                row[2] += line
                row[3] += chain
    return rows


async def near(seconds: float, times: int, found: list[Stall]) -> tuple[int, int]:
    """How many of the sleeps that really took within 4 ms of `seconds` were told: (told, of)."""
    told = of = 0
    for _ in range(times):
        found.clear()
        took: list[float] = []
        await asyncio.create_task(outer(lambda: time.sleep(seconds), took))
        if abs(took[0] - seconds) < 0.004:
            of += 1
            told += bool(found)
    return told, of


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.watch_bars", description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    found: list[Stall] = []

    async def run() -> Any:
        rows = await count(options.times, found)
        edges = {seconds: await near(seconds, options.times * 10, found) for seconds in (0.085, 0.095, 0.105, 0.120)}
        return rows, edges

    with hasten.watch(report=found.append):
        rows, edges = hasten.run(run())
    print(f"{watching.how()}, Python {sys.version.split()[0]}\n")
    print("| call | blocked | found | line | chain |\n| --- | ---: | ---: | ---: | ---: |")
    for name, row in rows.items():
        print(f"| {name} | {' | '.join(map(str, row))} |")
    print(f"| all | {' | '.join(str(sum(row[i] for row in rows.values())) for i in range(4))} |\n")
    for seconds, (told, of) in edges.items():
        print(f"a sleep of {seconds * 1e3:.0f} ms: told {told} times of {of}")


if __name__ == "__main__":
    main()
