"""What the kernel tells of another process, also where that does not answer; empty where there is no /proc."""

from __future__ import annotations

import os
import platform
import time
from typing import Any

# What a thread may be found in, by number: x86_64, and what aarch64, riscv64 and other younger ones have in common.
_CALLS = {
    "read": (0, 63),
    "write": (1, 64),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "nanosleep": (35, 101),
    "clock_nanosleep": (230, 115),
    "connect": (42, 203),
    "accept": (43, 202),
    "accept4": (288, 242),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    "flock": (73, 32),
    "fcntl": (72, 25),
    "fsync": (74, 82),
    "openat": (257, 56),
    "wait4": (61, 260),
    "waitid": (247, 95),
    "futex": (202, 98),
    "epoll_wait": (232, None),
    "epoll_pwait": (281, 22),
    "epoll_pwait2": (441, 441),
    "io_uring_enter": (426, 426),
}
STATES = {
    "R": "runs",
    "S": "sleeps",
    "D": "waits for a disk or a file system (cannot be interrupted)",
    "T": "is stopped (kill -CONT lets it go on)",
    "t": "is stopped by a debugger",
    "Z": "has ended, and its parent has not noticed",
    "I": "is idle",
    "X": "has ended",
}


def read(path: str) -> str:
    """Return what a small file holds; empty if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def command(pid: int) -> str:
    """Return the command line of a process; empty if it is not known."""
    return " ".join(word for word in read(f"/proc/{pid}/cmdline").split("\0") if word)


def owner(pid: int) -> int | None:
    """Return the user that a process runs as, or None if that is not known."""
    for line in read(f"/proc/{pid}/status").splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[2])  # the effective one
    return None


def state(pid: int) -> str:
    """Return the letter of a process's state; empty if it is not known."""
    return _fields(read(f"/proc/{pid}/stat"))[0]


def usage(pid: int) -> dict[str, Any]:
    """Return CPU seconds so far, bytes of memory, threads and open files, as far as they are known."""
    found: dict[str, Any] = {"cpu": _cpu(f"/proc/{pid}/stat")}
    for line in read(f"/proc/{pid}/status").splitlines():
        name, _, value = line.partition(":")
        if name == "VmRSS":
            found["memory"] = int(value.split()[0]) * 1024
        elif name == "Threads":
            found["threads"] = int(value)
    try:
        found["files"] = len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        pass
    return found


def threads(pid: int, wait: float = 0.2) -> list[dict[str, Any]]:
    """Return what each thread of a process does: state, system call, and its share of a processor for a moment."""
    try:
        numbers = sorted(map(int, os.listdir(f"/proc/{pid}/task")))
    except OSError:
        return []
    before = {number: _cpu(f"/proc/{pid}/task/{number}/stat") for number in numbers}
    start = time.monotonic()
    time.sleep(wait)
    took = time.monotonic() - start
    found = []
    for number in numbers:
        folder = f"/proc/{pid}/task/{number}"
        letter, _, _ = _fields(read(f"{folder}/stat"))
        if not letter:
            continue  # it has ended meanwhile
        found.append(
            {
                "id": number,
                "name": read(f"{folder}/comm"),
                "state": letter,
                "call": call(read(f"{folder}/syscall")),
                "processor": max(_cpu(f"{folder}/stat") - before[number], 0.0) / took,
            }
        )
    return found


def call(text: str) -> str | None:
    """Return the name of the system call that /proc/PID/syscall tells, None if it tells none."""
    word = text.split(" ")[0]
    if not word.lstrip("-").isdecimal() or int(word) < 0:
        return None
    column = 0 if platform.machine() in ("x86_64", "AMD64") else 1
    for name, numbers in _CALLS.items():
        if numbers[column] == int(word):
            return name
    return f"system call {word}"


def _fields(stat: str) -> tuple[str, int, int]:
    """Return state, and ticks of the processor in user mode and in the kernel, of a line of `stat`."""
    words = stat.rpartition(")")[2].split()  # the name before it may have anything in it
    return (words[0], int(words[11]), int(words[12])) if len(words) > 12 else ("", 0, 0)


def _cpu(path: str) -> float:
    _, user, kernel = _fields(read(path))
    return float(user + kernel) / (os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100)


def schedule(native: int) -> tuple[float, float] | None:
    """Return for how many seconds a thread here has computed, and has waited for a processor; None: nobody tells."""
    try:
        with open(f"/proc/self/task/{native}/schedstat", "rb") as file:
            computed, waited, _ = file.read().split()
            return int(computed) / 1e9, int(waited) / 1e9
    except (OSError, ValueError):
        return None


def asleep(native: int) -> bool:
    """Return whether a thread here sleeps, or waits for a disk; False if nobody tells."""
    # /proc/PID/task/TID/stat: the state stands behind the name, which is in brackets (proc_pid_stat(5)).
    return read(f"/proc/self/task/{native}/stat").rpartition(")")[2].split()[:1] in (["S"], ["D"])
