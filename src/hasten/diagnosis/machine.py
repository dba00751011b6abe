"""What the machine and its kernel allow this process: facts for the doctor, read from where the kernel shows them.

A fact that is not to be had here (another platform, a file that may not be read) is left out; nothing is guessed.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import resource


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing that was found: `value` for programs (it can be written as JSON), `text` for people."""

    topic: str  # the heading that it stands under
    name: str
    value: Any
    text: str


class Files:
    """The small files in which the kernel tells its settings, below `root` ("/" but in tests)."""

    def __init__(self, root: str = "/") -> None:
        self._root = Path(root)

    def read(self, path: str) -> str | None:
        """Return what the file holds, without white space around it; None if it cannot be read."""
        try:
            return (self._root / path.lstrip("/")).read_text(errors="replace").strip()
        except (OSError, ValueError):
            return None

    def number(self, path: str) -> int | None:
        """Return the whole number that the file holds; None if it holds none ("max", in cgroups)."""
        try:
            return int(self.read(path) or "")
        except ValueError:
            return None

    def smallest(self, paths: list[str]) -> int | None:
        """Return the smallest of the numbers in these files, or None."""
        found = [number for number in map(self.number, paths) if number is not None]
        return min(found, default=None)


def sources(files: Files) -> list[Callable[[], Iterable[Fact]]]:
    """Return what finds the facts about the machine and its limits, a group of facts each."""
    groups = cgroups(files)
    return [
        lambda: [Fact("machine", "system", platform.platform(), platform.platform())],
        lambda: _kernel(files),
        lambda: _processors(files, groups),
        lambda: _memory(files, groups),
        lambda: _refusals(files),
        _open_files,
        lambda: _network(files),
        lambda: _threads(files, groups),
    ]


def cgroups(files: Files) -> list[str]:
    """Return the folders of the control groups that this process is in, each with those above it."""
    found = []
    for line in (files.read("/proc/self/cgroup") or "").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        # version 2 has one tree for all; of version 1, each controller that limits what is looked for has its own
        for name in [""] if not controllers else set(controllers.split(",")) & {"cpu", "memory", "pids"}:
            base = "/sys/fs/cgroup" + (f"/{name}" if name else "")
            parts = [part for part in path.split("/") if part]
            # in a container the path is often the host's, and the group itself stands at the root
            found += [base + "".join(f"/{part}" for part in parts[:end]) for end in range(len(parts), -1, -1)]
    return found


def _kernel(files: Files) -> Iterator[Fact]:
    if sys.platform != "linux":
        return
    release = files.read("/proc/sys/kernel/osrelease") or platform.release()
    yield Fact("machine", "kernel", release, f"Linux {release}")
    version = files.read("/proc/version") or ""
    # gVisor shows one and the same made-up kernel; newer ones also say who they are
    if "gvisor" in version.lower() or ("Linux version 4.4.0" in version and "Sun Jan 10 15:06:54 PST 2016" in version):
        yield Fact("machine", "sandbox", "gVisor", "gVisor (a kernel in user space: its system calls are slower)")


def _processors(files: Files, groups: list[str]) -> Iterator[Fact]:
    there = os.cpu_count() or 1
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else there
    quotas = []
    for group in groups:
        words = (files.read(f"{group}/cpu.max") or "").split()
        if len(words) != 2:
            words = [files.read(f"{group}/cpu.cfs_quota_us") or "", files.read(f"{group}/cpu.cfs_period_us") or ""]
        if words[0].isdecimal() and words[1].isdecimal() and int(words[1]) > 0:
            quotas.append(int(words[0]) / int(words[1]))
    text = f"{usable} usable of {there}"
    if quotas:
        text += f", limited to the time of {min(quotas):g} by the control group"
    yield Fact("machine", "processors", {"usable": usable, "all": there, "quota": min(quotas, default=None)}, text)


def _memory(files: Files, groups: list[str]) -> Iterator[Fact]:
    names = ("memory.max", "memory.limit_in_bytes")
    limit = files.smallest([f"{group}/{name}" for group in groups for name in names])
    total = None
    for line in (files.read("/proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            total = int(line.split()[1]) * 1024
    if limit is not None and (limit >= 1 << 60 or (total is not None and limit >= total)):
        limit = None  # version 1 says "none" by a very large number
    if total is None and limit is None:
        return
    text = [] if total is None else [f"{_size(total)} in the machine"]
    text.append("no limit by a control group" if limit is None else f"limited to {_size(limit)} by the control group")
    yield Fact("machine", "memory", {"total": total, "limit": limit}, ", ".join(text))


def _size(count: int) -> str:
    for unit, power in (("GiB", 30), ("MiB", 20), ("KiB", 10)):
        if count >= 1 << power:
            return f"{count / (1 << power):.4g} {unit}"
    return f"{count} bytes"


def _refusals(files: Files) -> Iterator[Fact]:
    """What of the calls that hasten makes does not work here, tried by making them."""
    if sys.platform != "linux":
        return
    for line in (files.read("/proc/self/status") or "").splitlines():
        if line.startswith("Seccomp:"):
            mode = int(line.split()[1])
            words = ("off", "strict", "a filter is on (a container or a service manager sets one)")
            yield Fact("machine", "seccomp", mode, words[mode] if mode < len(words) else str(mode))
    refused = {}
    for name, attempt in ATTEMPTS.items():
        try:
            attempt()
        except (OSError, AttributeError) as error:
            refused[name] = str(error)
    pidfd = "pidfd_open" not in refused
    text = "there: children are waited for by the loop" if pidfd else "not there: a thread waits for each child"
    yield Fact("machine", "pidfd", pidfd, text)
    told = ", ".join(f"{name} ({why})" for name, why in refused.items())
    yield Fact("machine", "refused calls", refused, told or "none of those that hasten makes")


def _try_epoll() -> None:
    import select

    select.epoll().close()


def _try_eventfd() -> None:
    os.close(os.eventfd(0))  # type: ignore[attr-defined,unused-ignore]


def _try_pidfd() -> None:
    os.close(os.pidfd_open(os.getpid()))  # type: ignore[attr-defined,unused-ignore]


ATTEMPTS: dict[str, Callable[[], None]] = {
    "epoll_create1": _try_epoll,
    "eventfd": _try_eventfd,
    "pidfd_open": _try_pidfd,
}


def _open_files() -> Iterator[Fact]:
    if sys.platform == "win32":
        return
    soft, hard = (None if limit == resource.RLIM_INFINITY else limit for limit in _limit("RLIMIT_NOFILE"))
    try:
        count: int | None = len(os.listdir("/dev/fd")) - 1  # the folder itself is open meanwhile
    except OSError:
        count = None
    text = f"at most {_or_none(soft)}; can be raised to {_or_none(hard)}"
    if count is not None:
        text += f"; {count} open now"
    yield Fact("limits", "files", {"soft": soft, "hard": hard, "open": count}, text)


def _limit(name: str) -> tuple[int, int]:
    return resource.getrlimit(getattr(resource, name))


def _or_none(number: int | None) -> str:
    return "any number" if number is None else str(number)


def _network(files: Files) -> Iterator[Fact]:
    words = (files.read("/proc/sys/net/ipv4/ip_local_port_range") or "").split()
    if len(words) == 2 and all(word.isdecimal() for word in words):
        first, last = int(words[0]), int(words[1])
        count = max(last - first + 1, 0)
        text = f"{count} for connections that go out ({first} to {last})"
        yield Fact("limits", "ports", {"first": first, "last": last, "count": count}, text)
    backlog = files.number("/proc/sys/net/core/somaxconn")
    if backlog is not None:
        text = f"at most {backlog} connections wait to be accepted, for each listening socket"
        yield Fact("limits", "backlog", backlog, text)
    watches = files.number("/proc/sys/fs/epoll/max_user_watches")
    if watches is not None:
        yield Fact("limits", "epoll watches", watches, f"{watches} for all processes of this user")


def _threads(files: Files, groups: list[str]) -> Iterator[Fact]:
    limits = {
        "control group": files.smallest([f"{group}/pids.max" for group in groups]),
        "kernel": files.number("/proc/sys/kernel/threads-max"),
        "process ids": files.number("/proc/sys/kernel/pid_max"),
    }
    if sys.platform != "win32":
        soft = _limit("RLIMIT_NPROC")[0]
        limits["user"] = None if soft == resource.RLIM_INFINITY else soft
    known = {who: limit for who, limit in limits.items() if limit is not None}
    if known:
        who = min(known, key=lambda each: known[each])
        text = f"at most {known[who]} threads and processes (set by: {who})"
        yield Fact("limits", "threads", {"limit": known[who], "set by": who}, text)
