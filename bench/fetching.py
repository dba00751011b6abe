"""The demo's kind of work: an aiohttp program that fetches many pages at once, as its author would write it."""

from __future__ import annotations

import asyncio
import gc
import ssl
import sys
import time
from argparse import Namespace
from typing import Any

from bench import machine
from bench.failures import Unsupported
from bench.say import say

AT_ONCE = 100


def addresses(base: str, count: int) -> list[tuple[str, int]]:
    """So many pages of 1 to 30 KiB, each taking the server 5 to 24 ms: (address, size in bytes)."""
    sizes = [1024 * (1 + number * 7 % 30) for number in range(count)]
    return [(f"{base}/{size}/{5 + number * 13 % 20}", size) for number, size in enumerate(sizes)]


async def fetch_all(aio: Any, session: Any, pages: list[tuple[str, int]]) -> None:
    gate = aio.Semaphore(AT_ONCE)

    async def fetch_one(address: str, size: int) -> None:
        async with gate, session.get(address) as response:
            body = await response.read()
            if response.status != 200 or len(body) != size:
                raise ValueError(f"{address} gave {response.status} and {len(body)} bytes")

    await aio.gather(*(fetch_one(address, size) for address, size in pages))


async def fetch(aio: Any, loop: asyncio.AbstractEventLoop, options: Namespace) -> None:
    """Fetches options.size pages from options.url several times; tells the median CPU time per page."""
    try:
        import aiohttp
    except ImportError:
        raise Unsupported("aiohttp is not installed") from None
    trust = ssl.create_default_context(cafile=options.certificate) if options.certificate else True
    pages = addresses(options.url, options.size)
    samples = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=AT_ONCE, ssl=trust)) as session:
        await fetch_all(aio, session, pages[: 2 * AT_ONCE])
        say("begin")
        sys.stdin.readline()
        for _ in range(options.repeat):
            gc.collect()
            before = machine.calibrate()
            cpu, wall = time.process_time_ns(), time.perf_counter_ns()
            await fetch_all(aio, session, pages)
            cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
            samples.append((cpu, wall, (before + machine.calibrate()) / 2))
    cpu, wall, calibration = sorted(samples)[len(samples) // 2]
    say("result", cpu_ns=cpu / len(pages), wall_ns=wall / len(pages), calibration=calibration)
