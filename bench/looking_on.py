"""`python -m bench.looking_on`: what it costs that something looks on, in CPU time per operation.

Ways take turns within each round, in a process of their own; the median of the rounds is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

WAYS = (
    "asyncio",
    "asyncio debug",
    "asyncio aiocop",
    "asyncio pyleak",
    "hasten",
    "hasten watch",
    "hasten metrics",
    "hasten trace",
    "hasten debug",
)


async def steps(n: int, aio: Any) -> None:
    """Empty steps of one task."""
    for _ in range(n):
        await aio.sleep(0)


async def tasks(n: int, aio: Any) -> None:
    """Tasks of one step, made and awaited."""
    for _ in range(n):
        await aio.create_task(aio.sleep(0))


class Echo(asyncio.Protocol):
    """Sends back what it gets, `left` times."""

    def __init__(self) -> None:
        self.left = -1
        self.done: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.left -= 1
        if self.left:
            self.transport.write(data)
        else:
            self.done.set_result(None)


async def echo(n: int, aio: Any, connections: int = 16) -> None:
    """Round trips of 1 KB, client and server on one loop."""
    loop = aio.get_running_loop()
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    made = [await loop.create_connection(Echo, *server.sockets[0].getsockname()) for _ in range(connections)]
    for transport, protocol in made:
        protocol.left, protocol.done = n // connections, loop.create_future()
        transport.write(bytes(1000))
    for _, protocol in made:
        await protocol.done
    for transport, _ in made:
        transport.close()
    server.close()


async def echo_1(n: int, aio: Any) -> None:
    """The same with one connection."""
    await echo(n, aio, 1)


WORK: dict[str, tuple[Callable[[int, Any], Awaitable[None]], int]] = {
    "steps": (steps, 200_000),
    "tasks": (tasks, 50_000),
    "echo_16": (echo, 16_000),
    "echo_1": (echo_1, 16_000),
}


def measure(way: str, name: str) -> float:
    """Nanoseconds of CPU time per operation."""
    package, _, how = way.partition(" ")
    aio: Any = __import__(package)
    work, n = WORK[name]

    async def main() -> float:
        if how == "watch":
            aio.watch()
        elif how == "metrics":
            aio.metrics()
        elif how == "trace":
            aio.trace()
        elif how == "aiocop":
            import aiocop

            aiocop.patch_audit_functions()
            aiocop.start_blocking_io_detection()
            aiocop.detect_slow_tasks(threshold_ms=100)
            aiocop.activate()
        elif how == "pyleak":
            from pyleak import no_event_loop_blocking

            async with no_event_loop_blocking(threshold=0.1, check_interval=0.01):
                return await timed()
        return await timed()

    async def timed() -> float:
        await work(n // 10, aio)
        begun = time.process_time()
        await work(n, aio)
        return (time.process_time() - begun) / n * 1e9

    return float(aio.run(main(), debug=how == "debug"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.looking_on", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "WORK"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(measure(*options.one))
        return
    print(f"| ns per operation | {' | '.join(WAYS)} |\n| --- |{' ---: |' * len(WAYS)}")
    for name in WORK:
        found: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(options.rounds):
            for way in WAYS:
                command = [sys.executable, "-m", "bench.looking_on", "--one", way, name]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                found[way].append(float(done.stdout))
        print(f"| `{name}` | {' | '.join(f'{statistics.median(found[way]):,.0f}' for way in WAYS)} |", flush=True)


if __name__ == "__main__":
    main()
