"""What is measured, by name and group."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass

from bench.tasks import TASKS

SIZES = {"64": 64, "1k": 1024, "10k": 10 * 1024, "100k": 100 * 1024}


@dataclass(frozen=True)
class Workload:
    """group: "tasks", "echo", "demo" or "memory". unit: "ns" of CPU time per operation, or "bytes"."""

    name: str
    group: str
    what: str
    unit: str = "ns"


@dataclass(frozen=True)
class Echo(Workload):
    """server: a kind that servers.start() knows. connection per message when `churn`."""

    server: str = "proto"
    size: int = 1024
    links: int = 16
    churn: bool = False


_SERVERS = {
    "proto": "Protocol, TCP",
    "unix": "Protocol, unix socket",
    "streams": "StreamReader and StreamWriter, TCP",
    "tls": "Protocol, TLS",
    "sock": "sock_recv and sock_sendall, TCP",
    "churn": "Protocol, TCP, a new connection for each message",
}


def _echo(name: str) -> Echo:
    kind, size, links = name.split("_")
    what = f"{_SERVERS[kind]}: {SIZES[size]:,} bytes, {links} connections"
    server = "proto" if kind == "churn" else kind
    return Echo(name, "echo", what, "ns", server, SIZES[size], int(links), kind == "churn")


_ECHO = (
    "proto_1k_16 proto_1k_256 proto_10k_16 proto_100k_16 unix_1k_16 streams_1k_16 streams_100k_16 tls_1k_16 "
    "tls_100k_16 sock_1k_16 churn_64_16"
)

WORKLOADS: dict[str, Workload] = {
    each.name: each
    for each in [
        *(Workload(name, "tasks", task.what) for name, task in TASKS.items()),
        *(_echo(name) for name in _ECHO.split()),
        Workload("fetch_http", "demo", "an aiohttp client fetches pages of 1 to 30 KiB, 100 at once"),
        Workload("fetch_https", "demo", "the same over https, verified"),
        Workload("pending_task", "memory", "a task that waits for a future", "bytes"),
        Workload("idle_connection", "memory", "a Protocol connection after one message", "bytes"),
    ]
}

GROUPS = {
    "tasks": "Tasks and primitives: CPU time per operation",
    "echo": "Echo servers: the server's CPU time per request",
    "demo": "Fetching web pages: the client's CPU time per page",
    "memory": "Memory",
}


def choose(text: str) -> list[Workload]:
    """The workloads that a comma-separated list of names, groups and patterns (`proto_*`) names, in our order.

    Raises ValueError for a word that names none.
    """
    chosen = set()
    for word in filter(None, (word.strip() for word in text.split(","))):
        found = {w.name for w in WORKLOADS.values() if w.group == word or fnmatch.fnmatchcase(w.name, word)}
        if not found:
            raise ValueError(f"{word!r} names no workload; see --list")
        chosen |= found
    return [w for w in WORKLOADS.values() if w.name in chosen]
