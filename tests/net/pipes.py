"""What the tests of pipes share: protocols that write down what happens, and the ends of pipes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any


class Reader(asyncio.Protocol):
    """Collects what is read, and calls what `on` has for an event."""

    def __init__(self, **on: Callable[[Any], Any]) -> None:
        self.on = on
        self.log: list[str] = []
        self.data = bytearray()
        self.transport: Any = None
        self.error: BaseException | None = None
        self.lost = asyncio.Event()
        self.got = asyncio.Event()

    def note(self, what: str) -> Any:
        self.log.append(what)
        return self.on[what](self) if what in self.on else None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.note("made")

    def data_received(self, data: bytes) -> None:
        assert type(data) is bytes
        self.data += data
        self.got.set()
        if "data" in self.on:
            self.on["data"](self)

    def eof_received(self) -> Any:
        return self.note("eof")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.error = exc
        self.lost.set()
        self.note("lost")

    async def has(self, n: int) -> bytes:
        while len(self.data) < n:
            self.got.clear()
            await self.got.wait()
        return bytes(self.data)


class Writer(asyncio.BaseProtocol):
    """Writes down what happens to it."""

    def __init__(self, **on: Callable[[Any], Any]) -> None:
        self.on = on
        self.log: list[str] = []
        self.transport: Any = None
        self.error: BaseException | None = None
        self.lost = asyncio.Event()
        self.room = asyncio.Event()

    def note(self, what: str) -> None:
        self.log.append(what)
        if what in self.on:
            self.on[what](self)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.note("made")

    def pause_writing(self) -> None:
        self.room.clear()
        self.note("pause")

    def resume_writing(self) -> None:
        self.room.set()
        self.note("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.error = exc
        self.lost.set()
        self.note("lost")


async def reading(end: Any, **on: Callable[[Any], Any]) -> tuple[Any, Reader]:
    return await asyncio.get_running_loop().connect_read_pipe(lambda: Reader(**on), end)


async def writing(end: Any, **on: Callable[[Any], Any]) -> tuple[Any, Writer]:
    return await asyncio.get_running_loop().connect_write_pipe(lambda: Writer(**on), end)


def opened(path: Any, mode: str) -> Any:
    """An unbuffered file; whoever opens it on a loop knows that this does not block."""
    return open(path, mode, 0)


def drained(fd: int) -> bytes:
    """What lies in a pipe now; it may be nonblocking or not."""
    blocking = os.get_blocking(fd)
    os.set_blocking(fd, False)
    found = b""
    try:
        while more := os.read(fd, 1 << 20):
            found += more
    except BlockingIOError:
        pass
    finally:
        os.set_blocking(fd, blocking)
    return found


def run_child(source: str, *arguments: str, **kwargs: Any) -> subprocess.CompletedProcess[bytes]:
    """Runs a program in an interpreter of its own, where each warning is an error."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(source), *arguments]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, **kwargs)
