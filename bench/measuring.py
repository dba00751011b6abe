"""One measurement: a workload on a contender, in processes of its own."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import certificates, machine, native
from bench.children import Child, python
from bench.contenders import FLOOR, Contender
from bench.failures import Failure, Unsupported
from bench.workloads import Echo, Workload

Figures = dict[str, float]


@dataclass
class Effort:
    """How much is done for one measurement.

    seconds, warm: the counted window of a server, and what goes before it
    scale: of the sizes of task workloads
    repeat: how often a task workload runs within its process
    pages, tasks, connections: of the demo, and of the memory workloads
    patience: seconds without a sign of life that make a hang
    """

    seconds: float = 1.0
    warm: float = 0.3
    scale: float = 1.0
    repeat: int = 5
    pages: int = 600
    tasks: int = 100_000
    connections: int = 4000
    patience: float = 60


QUICK = Effort(seconds=0.3, warm=0.15, scale=0.2, repeat=3, pages=200, tasks=20_000, connections=800, patience=30)


class Bench:
    """Measures. Use it in a `with` statement: it has a folder of its own meanwhile."""

    def __init__(self, effort: Effort) -> None:
        self.effort = effort
        self.core, self.other_core = machine.cores()
        self.load = native.program("load")
        self.echo = native.program("echo")
        self._folder = tempfile.TemporaryDirectory(prefix="hasten-bench-")
        self.folder = Path(self._folder.name)

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def measure(self, workload: Workload, contender: Contender) -> Figures:
        """The figures of one run. Raises Failure when there are none."""
        if contender is FLOOR and not (isinstance(workload, Echo) and workload.server in ("proto", "unix")):
            raise Unsupported("it serves with Protocols over TCP and unix sockets, and does nothing else")
        if isinstance(workload, Echo):
            return self._echo(workload, contender)
        if not contender.is_python:
            raise Unsupported("only echo servers have a counterpart in C")
        if workload.group == "tasks":
            return self._task(workload, contender)
        special: dict[str, Callable[[Contender], Figures]] = {
            "fetch_http": lambda who: self._fetch(who, secure=False),
            "fetch_https": lambda who: self._fetch(who, secure=True),
            "pending_task": self._pending,
            "idle_connection": self._idle,
        }
        return special[workload.name](contender)

    def _child(self, contender: Contender, role: str, *more: str) -> Child:
        arguments = [role, "--loop", contender.loop, "--functions", contender.functions, *more]
        return Child(python(*arguments), self.core)

    @contextlib.contextmanager
    def _other_core_busy(self) -> Iterator[None]:
        if self.other_core == self.core:
            yield
            return
        with Child([self.load, "hold"], self.other_core):
            yield

    def _finish(self, child: Child, figures: dict[str, Any]) -> Figures:
        child.finish()
        return {name: value for name, value in figures.items() if name != "event"}

    def _task(self, workload: Workload, contender: Contender) -> Figures:
        effort = self.effort
        more = ["--name", workload.name, "--scale", str(effort.scale), "--repeat", str(effort.repeat)]
        with self._child(contender, "task", *more) as child:
            child.hear("begin", effort.patience)
            with self._other_core_busy():
                child.tell("go")
                return self._finish(child, child.hear("result", effort.patience))

    def _pending(self, contender: Contender) -> Figures:
        with self._child(contender, "pending", "--size", str(self.effort.tasks)) as child:
            return self._finish(child, child.hear("result", self.effort.patience))

    def _fetch(self, contender: Contender, secure: bool) -> Figures:
        effort = self.effort
        certificate, key = certificates.make(self.folder) if secure else ("", "")
        trust = ["--certificate", certificate, "--key", key]
        # the same page server for everyone, so that only the client differs
        pages = Child(python("pages", "--loop", "asyncio:new_event_loop", *trust), self.other_core)
        with pages:
            port = pages.hear("ready", effort.patience)["ports"][-1]
            url = f"{'https' if secure else 'http'}://localhost:{port}"
            more = [
                "--url",
                url,
                "--certificate",
                certificate,
                "--size",
                str(effort.pages),
                "--repeat",
                str(effort.repeat),
            ]
            with self._child(contender, "fetch", *more) as child:
                child.hear("begin", effort.patience)
                child.tell("go")
                return self._finish(child, child.hear("result", effort.patience))

    @contextlib.contextmanager
    def _server(self, kind: str, contender: Contender) -> Iterator[tuple[Child, list[str], Figures]]:
        """A running echo server, the load generator's arguments to reach it, and its calibration."""
        path = self.folder / "socket"
        path.unlink(missing_ok=True)
        certificate, key = certificates.make(self.folder) if kind == "tls" else ("", "")
        if contender.is_python:
            more = ["--name", kind, "--path", str(path), "--certificate", certificate, "--key", key]
            server = self._child(contender, "server", *more)
        else:
            arguments = {"unix": ["unix", str(path)], "tls": ["tls", certificate, key], "proto": ["tcp"]}
            if kind not in arguments:
                raise Unsupported("the C program has one way of using sockets: see proto_*")
            server = Child([self.echo, *arguments[kind]], self.core)
        with server:
            figures = {}
            if contender.is_python:
                figures["calibration"] = server.hear("calibration", self.effort.patience)["value"]
            port = server.hear("ready", self.effort.patience)["port"]
            where = ["--unix", str(path)] if kind == "unix" else ["--port", str(port)]
            yield server, [*where, "--tls"] if kind == "tls" else where, figures

    def _distance(self) -> Figures:
        """How far the two cores are apart just now, in ns for a cache line there and back."""
        if self.core == self.other_core:
            return {}
        with Child([self.load, "distance", "--core", str(self.other_core)], self.core) as probe:
            return {"distance_ns": probe.hear("distance", self.effort.patience)["ns"]}

    def _echo(self, workload: Echo, contender: Contender) -> Figures:
        effort = self.effort
        apart = self._distance()
        with self._server(workload.server, contender) as (server, where, figures):
            arguments = ["echo", *where, "--links", str(workload.links), "--size", str(workload.size)]
            arguments += ["--seconds", str(effort.seconds), "--warm", str(effort.warm), "--pid", str(server.pid)]
            if workload.churn:
                arguments += ["--per-link", "1"]
            if self.core != self.other_core:
                arguments += ["--spin"]
            with Child([self.load, *arguments], self.other_core) as load:
                result = load.hear("result", effort.patience)
            server.check()
            if not result["counted"] or result["end"] != "complete":
                text = f"{result['requests']} replies, then none ({result['lost']} connections lost)"
                raise Failure("hang", text + server.last_words())
            if result["wrong"]:
                raise Failure("wrong data", f"{result['wrong']} replies differ from what was sent")
            if result["lost"]:
                raise Failure("error", f"{result['lost']} of {result['opened']} connections lost{server.last_words()}")
        counted = result["counted"]
        return (
            figures
            | apart
            | {
                "cpu_ns": result["cpu_ns"] / counted,
                "wall_ns": result["seconds"] * 1e9 / counted,
                "waited_ns": result["waited_ns"] / counted,
                "p50_us": result["p50_us"],
                "p99_us": result["p99_us"],
            }
        )

    def _idle_load(self, where: list[str]) -> Child:
        return Child([self.load, "idle", *where], self.other_core)

    def _idle(self, contender: Contender) -> Figures:
        sizes = []
        with self._server("proto", contender) as (server, where, _), self._idle_load(where) as load:
            for count in (self.effort.connections // 4, self.effort.connections):
                load.tell(str(count))
                opened = load.hear("open", self.effort.patience)
                if opened["count"] != count:
                    raise Failure("error", f"opened {opened['count']} of {count} connections: {opened['error']}")
                sizes.append((count, machine.resident(server.pid)))
        (few, less), (many, more) = sizes
        return {"bytes": (more - less) / (many - few)}
