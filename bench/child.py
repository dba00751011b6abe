"""The process that is measured: `python -m bench.child ROLE --loop … --functions …`. bench starts it."""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench import fetching, machine, servers
from bench.contenders import loop_factory
from bench.failures import Unsupported
from bench.say import say
from bench.tasks import TASKS, Env

# How much slower a program is under valgrind. hasten's loop asks for I/O by the clock, and would ask more often:
# the count would show how busy the machine is.
SLOWER = 60

Role = Callable[[Any, asyncio.AbstractEventLoop, argparse.Namespace], Awaitable[None]]


async def run_task(aio: Any, loop: asyncio.AbstractEventLoop, options: argparse.Namespace) -> None:
    """A workload of tasks.py, several times over; the median is told, with the calibration around it."""
    task, env = TASKS[options.name], Env(aio, loop)
    size = max(10, round(task.size * options.scale))
    await task.program(env, max(10, size // 10))
    samples = []
    say("begin")
    sys.stdin.readline()  # the other core is busy now
    for _ in range(options.repeat):
        gc.collect()
        before = machine.calibrate()
        cpu, wall = time.process_time_ns(), time.perf_counter_ns()
        operations = await task.program(env, size)
        cpu, wall = time.process_time_ns() - cpu, time.perf_counter_ns() - wall
        calibration = (before + machine.calibrate()) / 2
        samples.append((cpu / calibration, cpu, wall, operations, calibration))
    samples.sort()
    _, cpu, wall, operations, calibration = samples[len(samples) // 2]
    say("result", cpu_ns=cpu / operations, wall_ns=wall / operations, calibration=calibration)


async def run_counted(aio: Any, loop: asyncio.AbstractEventLoop, options: argparse.Namespace) -> None:
    """A workload of tasks.py, once at exactly the size given: for instruction counts."""
    if (poller := getattr(loop, "_poller", None)) is not None:
        poller.every *= SLOWER
    operations = await TASKS[options.name].program(Env(aio, loop), options.size)
    say("result", operations=operations)


async def run_pending(aio: Any, loop: asyncio.AbstractEventLoop, options: argparse.Namespace) -> None:
    """Memory of a task that waits: the growth from a quarter of them to all."""
    gate = loop.create_future()

    async def wait() -> None:
        await gate

    tasks: list[asyncio.Task[None]] = []
    sizes = []
    for target in (options.size // 4, options.size):
        tasks += [aio.create_task(wait()) for _ in range(target - len(tasks))]
        await aio.sleep(0)
        await aio.sleep(0)
        gc.collect()
        sizes.append((target, machine.resident()))
    (few, less), (many, more) = sizes
    gate.set_result(None)
    await aio.wait(tasks)
    say("result", bytes=(more - less) / (many - few))


async def run_server(aio: Any, loop: asyncio.AbstractEventLoop, options: argparse.Namespace) -> None:
    say("calibration", value=machine.calibrate())
    await servers.serve(aio, loop, options)


ROLES: dict[str, Role] = {
    "task": run_task,
    "counted": run_counted,
    "pending": run_pending,
    "server": run_server,
    "soak": servers.serve_for_soak,
    "pages": servers.serve_pages,
    "fetch": fetching.fetch,
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.child")
    parser.add_argument("role", choices=ROLES)
    parser.add_argument("--loop", required=True, help="module:callable that makes a loop")
    parser.add_argument("--functions", default="asyncio", help="the module in asyncio's place")
    parser.add_argument("--name", help="which workload, or kind of server")
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--path", help="of the unix socket")
    parser.add_argument("--certificate", default="")
    parser.add_argument("--key", default="")
    parser.add_argument("--url", default="", help="of the page server")
    return parser.parse_args()


def main() -> None:
    options = parse()
    aio = importlib.import_module(options.functions)

    async def role() -> None:
        await ROLES[options.role](aio, asyncio.get_running_loop(), options)

    try:
        with aio.Runner(loop_factory=loop_factory(options.loop)) as runner:
            runner.run(role())
    except Unsupported as absent:
        say("unsupported", why=absent.why)


if __name__ == "__main__":
    main()
