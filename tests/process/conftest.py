"""What only the tests of processes need: no child is left, and a protocol that writes down what it is told."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hasten

PIDFD = hasattr(os, "pidfd_open")


def children() -> set[int]:
    """The process numbers of our children, zombies too."""
    found: set[int] = set()
    for listed in Path("/proc/self/task").glob("*/children"):
        try:
            found.update(map(int, listed.read_text().split()))
        except OSError:  # the thread has ended meanwhile
            continue
    return found


@pytest.fixture(autouse=True)
def _no_child_left() -> Iterator[None]:
    """Fails a test after which a child is left that was not there before: one that runs, or a zombie."""
    before = children()
    yield
    left = children() - before
    assert not left, f"left behind by the test: the processes {sorted(left)}"


class Recorder(asyncio.SubprocessProtocol):
    """Writes down what it is told; `over` is done when connection_lost() was called."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.data: dict[int, bytes] = {1: b"", 2: b""}
        self.transport: Any = None
        self.exited = asyncio.get_running_loop().create_future()
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.told.append("made")

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.data[fd] += data
        if self.told[-1] != ("data", fd):
            self.told.append(("data", fd))

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        self.told.append(("lost", fd))

    def process_exited(self) -> None:
        self.told.append(("exited", self.transport.get_returncode()))
        if not self.exited.done():
            self.exited.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("over")
        if not self.over.done():
            self.over.set_result(exc)


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder


@pytest.fixture
def python() -> Callable[[str], list[str]]:
    """`[*python(code)]` is the command that runs a piece of Python, quickly."""
    return lambda code: [sys.executable, "-S", "-E", "-c", code]


@pytest.fixture
def open_files() -> Callable[[], set[str]]:
    """`open_files()`: the numbers of our open descriptors."""

    def numbers() -> set[str]:
        names = os.listdir("/proc/self/fd")
        return {name for name in names if os.path.lexists(f"/proc/self/fd/{name}")}

    return numbers


@pytest.fixture
def run_on() -> Callable[[asyncio.AbstractEventLoop, Any], Any]:
    """`run_on(loop, coro)` runs a coroutine to its end, and ends what hangs."""
    return lambda loop, coro: loop.run_until_complete(asyncio.wait_for(coro, 60))


# ---- ways to wait for a child ---------------------------------------------------------------------


@pytest.fixture(params=["pidfd", "thread"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to wait for a child."""
    kind: str = request.param
    if kind == "pidfd" and not PIDFD:
        pytest.skip("this system has no pidfd")
    if kind == "thread" and PIDFD:
        without_pidfd(monkeypatch, errno.ENOSYS)
    return kind


def without_pidfd(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Has the system refuse pidfds, by this error."""

    def refused(pid: int, flags: int = 0) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "pidfd_open", refused)


def waiting_threads() -> list[threading.Thread]:
    """The threads that wait for children."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("hasten-waitpid")]


async def sleeping() -> Any:
    """A process that runs until it is killed."""
    return await hasten.create_subprocess_exec("sleep", "1000")


def end(process: Any) -> None:
    """Kills the child, and returns when it has ended; the loop has not heard of it yet."""
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
