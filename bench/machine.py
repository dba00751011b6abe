"""The machine: cores, clocks, and what a table must say about them."""

from __future__ import annotations

import os
import platform
import re
import sysconfig
import time
from pathlib import Path

PAGE = os.sysconf("SC_PAGE_SIZE")


def cores() -> tuple[int, int]:
    """(core of the measured process, core of whatever keeps it busy); the same one when there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[1] if len(usable) > 1 else usable[0]


def resident(pid: int | None = None) -> int:
    """Bytes of memory that a process has in use (this one, when no pid is given)."""
    text = Path(f"/proc/{pid or 'self'}/statm").read_text()
    return int(text.split()[1]) * PAGE


def open_files(pid: int) -> int:
    """How many file descriptors a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def zombies(pid: int) -> int:
    """How many children of a process have ended and were not waited for."""
    count = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
        except OSError:  # it has just gone
            continue
        count += state == "Z" and int(parent) == pid
    return count


def cpu_ns(pid: int) -> int:
    """CPU time that a process has used so far, user and system, all threads. Linux encodes a process's CPU clock so."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def calibrate(slices: int = 3) -> int:
    """CPU ns that this interpreter needs just now for a fixed piece of work (the fastest of some slices).

    The cores of a virtual machine change their speed with what their neighbours do. What was measured around a
    slow spell is scaled by this; and its spread over a run tells how much to trust the run.
    """
    best = 0
    for _ in range(slices):
        start = time.thread_time_ns()
        table: dict[int, int] = {}
        value = 1
        for step in range(6000):
            value = (value * 1103515245 + 12345) & 0xFFFFFFFF
            table[value & 255] = table.get(value >> 8 & 255, 0) + step
        spent = time.thread_time_ns() - start
        best = min(best, spent) if best else spent
    return best


def processor() -> str:
    """The model of the CPU, as the kernel names it."""
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.machine()


def describe() -> dict[str, str | int]:
    """What a reader of the figures must know about where they were taken."""
    # Distributions optimise by their own rules: that the option is absent tells nothing, so nothing is said then.
    optimised = "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "build": f"{platform.python_compiler()}{', --enable-optimizations' if optimised else ''}",
        "date": time.strftime("%Y-%m-%d"),
    }
