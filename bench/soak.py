"""`python -m bench.soak`: millions of requests with connections coming and going; nothing may grow.

A server on hasten's loop (protocols on one port, streams on another) is driven by connections that close after some
requests, every eighth of them abruptly with a request on its way. In between all connections are closed, and the server
sends datagrams to itself, makes connections over unix sockets, and runs children (--no-rounds: it does not). Then it
must have as many files and tasks as it had at first, no zombie, and its memory must have stopped growing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench import machine, native
from bench.children import Child, python
from bench.contenders import CONTENDERS, Contender, why_absent
from bench.failures import Failure

STAGES = 20
PER_LINK = 50  # requests on a connection before it is closed
RESET_EVERY = 8  # of the connections one is broken off
PATIENCE = 30


@dataclass(frozen=True)
class Sample:
    """The server at rest, after so many requests: bytes in memory, open files, unfinished tasks, zombies."""

    requests: int
    connections: int
    memory: int
    files: int
    tasks: int
    seconds: float
    lost: int = 0
    zombies: int = 0


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--millions", type=float, default=5, help="of requests (default: 5)")
    parser.add_argument("--connections", type=int, default=100, help="at once (default: 100)")
    parser.add_argument("--minutes", type=float, default=15, help="give up after so long (default: 15)")
    parser.add_argument("--allow", type=int, default=1024, help="KiB of growth that count as none (default: 1024)")
    parser.add_argument("--no-rounds", dest="rounds", action="store_false", help="TCP only")
    keys = [each.key for each in CONTENDERS if each.is_python]
    parser.add_argument("--loop", choices=keys, default="hasten", help="whose server (default: hasten)")
    options = parser.parse_args(argv)
    if options.millions <= 0 or options.connections < 1 or options.minutes <= 0:
        parser.error("--millions, --connections and --minutes must be above 0")
    return options


class Soak:
    """Drives one server and watches it."""

    def __init__(self, options: argparse.Namespace, server: Child, ports: list[int]) -> None:
        self.options = options
        self.server = server
        self.ports = ports
        self.load = native.program("load")
        self.start = time.monotonic()

    def sample(self, requests: int, connections: int, lost: int, rest: Sample | None) -> Sample:
        """The server once it has seen the end of all connections: it gets some seconds for that."""
        until = time.monotonic() + 10
        while True:
            self.server.check()
            self.server.tell("?")
            counts = self.server.hear("tasks", PATIENCE)
            files, tasks = machine.open_files(self.server.pid), max(counts["asyncio"], counts["own"])
            settled = rest is None or (files <= rest.files and tasks <= rest.tasks)
            if settled or time.monotonic() > until:
                memory = machine.resident(self.server.pid)
                seconds = time.monotonic() - self.start
                zombies = machine.zombies(self.server.pid)
                return Sample(requests, connections, memory, files, tasks, seconds, lost, zombies)
            time.sleep(0.05)

    def stage(self, requests: int, core: int, seconds: float) -> dict[str, Any]:
        """So many requests. Raises Failure when they stop being answered, or answers are wrong."""
        arguments = ["echo", "--warm", "0", "--requests", str(requests), "--links", str(self.options.connections)]
        arguments += ["--per-link", str(PER_LINK), "--reset-every", str(RESET_EVERY)]
        for port in self.ports:
            arguments += ["--port", str(port)]
        with Child([self.load, *arguments], core) as load:
            result = load.hear("result", max(1.0, seconds))
        self.server.check()
        if result["wrong"]:
            raise Failure("wrong data", f"{result['wrong']} replies differ from what was sent")
        if result["end"] != "complete":
            raise Failure("hang", f"no replies after {result['requests']} requests{self.server.last_words()}")
        if self.options.rounds:
            self.server.tell("round")
            if error := self.server.hear("round", PATIENCE)["error"]:
                raise Failure("a round failed", error)
        return result

    def run(self) -> list[Sample]:
        """All stages; the first sample is from before any request."""
        _, core = machine.cores()
        each = max(1, round(self.options.millions * 1e6 / STAGES))
        samples = [self.sample(0, 0, 0, None)]
        until = self.start + 60 * self.options.minutes
        show(samples[0])
        for _ in range(STAGES):
            left = until - time.monotonic()
            if left <= 0:
                raise Failure("hang", f"{self.options.minutes:g} minutes were not enough; --minutes gives it longer")
            result, last = self.stage(each, core, left), samples[-1]
            requests, connections = last.requests + result["requests"], last.connections + result["opened"]
            samples.append(self.sample(requests, connections, last.lost + result["lost"], samples[0]))
            show(samples[-1])
        return samples


def show(sample: Sample) -> None:
    """A row of the table."""
    print(
        f"{sample.requests:>11,} {sample.connections:>12,} {sample.memory / 2**20:>11.2f} "
        f"{sample.files:>6} {sample.tasks:>6} {sample.seconds:>8.0f}",
        flush=True,
    )


def judge(samples: Sequence[Sample], allowed: int) -> list[str]:
    """What grew, in words; an empty list when nothing did.

    Memory: the last quarter of the samples against the second quarter, in bytes; the first is for warming up.
    """
    first, last = samples[0], samples[-1]
    found = []
    if last.files > first.files:
        found.append(f"open files grew from {first.files} to {last.files}")
    if last.tasks > first.tasks:
        found.append(f"tasks grew from {first.tasks} to {last.tasks}")
    if zombies := max(sample.zombies for sample in samples):
        found.append(f"{zombies} children had ended and were not waited for")
    if last.lost:
        found.append(f"{last.lost} connections were lost or refused")
    quarter = max(1, (len(samples) - 1) // 4)
    early = samples[1 + quarter : 1 + 2 * quarter]
    late = samples[-quarter:]
    growth = statistics.median(s.memory for s in late) - statistics.median(s.memory for s in early)
    if growth > allowed:
        per_request = growth / (late[len(late) // 2].requests - early[len(early) // 2].requests)
        found.append(f"memory grew by {growth / 2**20:.2f} MiB, {per_request:.1f} bytes per request")
    return found


def run(options: argparse.Namespace, contender: Contender) -> list[Sample]:
    core, _ = machine.cores()
    with Child(python("soak", "--loop", contender.loop, "--functions", contender.functions), core) as server:
        ports = server.hear("ready", PATIENCE)["ports"]
        print("   requests  connections  memory MiB  files  tasks  seconds", flush=True)
        return Soak(options, server, ports).run()


def main() -> int:
    options = parse()
    contender = next(each for each in CONTENDERS if each.key == options.loop)
    if (why := why_absent(contender)) is not None:
        print(f"soak: {contender.key} cannot run here: {why}", file=sys.stderr)
        return 2
    try:
        samples = run(options, contender)
    except native.NoCompiler as error:
        print(f"soak: {error}", file=sys.stderr)
        return 2
    except Failure as failure:
        print(f"soak: {failure.kind}: {failure.why}", file=sys.stderr)
        return 1
    found = judge(samples, options.allow * 1024)
    for line in found:
        print(f"soak: {line}", file=sys.stderr)
    if not found:
        print(f"nothing grew over {samples[-1].requests:,} requests and {samples[-1].connections:,} connections")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
