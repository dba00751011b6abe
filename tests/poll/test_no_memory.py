"""A poll, and what it reports, while an allocation fails: nothing is lost, and the next connections work as ever."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import selectors
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import hasten
from hasten.kernel import guard
from hasten.poll import choice

from ..worlds import opened
from .conftest import Loop

_testcapi = pytest.importorskip("_testcapi")
MOST = 120  # allocations
pytestmark = pytest.mark.skipif(not guard.available(), reason="in plain Python, what tidies up needs memory itself")


class Echo(asyncio.Protocol):
    transport: Any
    lost: BaseException | bool = False

    def __init__(self) -> None:
        self.data = b""
        self.over = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.transport.write(data)

    def eof_received(self) -> bool:
        self.over = True
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost = exc or True


def connected(tcp: bool) -> tuple[socket.socket, socket.socket]:
    if not tcp:
        return socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as server:
        ours = socket.create_connection(server.getsockname())
        return ours, server.accept()[0]


def run(loop: Loop, true: Callable[[], object]) -> None:
    """Runs the loop until something is true."""

    async def main() -> None:
        while not true():
            await asyncio.sleep(0)

    loop.run_until_complete(main())


def fail_at(n: int, loop: Loop) -> None:
    """Two ticks, whose allocation number `n` fails. One that is cut short by that goes on."""

    async def main() -> None:
        with contextlib.suppress(MemoryError):
            try:
                _testcapi.set_nomemory(n, n + 1)  # in here: to begin and to end a run needs memory on some versions
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            finally:
                _testcapi.remove_mem_hooks()

    task = loop.create_task(main())
    while not task.done():
        with contextlib.suppress(MemoryError):
            loop.run_until_complete(task)


@pytest.mark.parametrize("what", ["data", "paused", "end"])
def test_nothing_is_lost(loop: Loop, what: str) -> None:
    loop.set_exception_handler(lambda loop, context: None)
    for n in range(MOST):
        pairs = [connected(tcp) for tcp in (False, True, False, True)]
        protocols = []
        for i, (ours, theirs) in enumerate(pairs):
            ours.setblocking(False)
            theirs.settimeout(20)
            made = loop.run_until_complete(loop.connect_accepted_socket(Echo, ours))[1]
            if what == "paused" and i < 2:
                made.transport.pause_reading()
            protocols.append(made)
            if i == 2 and hasattr(socket, "send_fds"):
                socket.send_fds(theirs, [b"1"], [theirs.fileno()])
                theirs.send(b"23")
            else:
                theirs.send(b"123")
            if what == "end":
                theirs.shutdown(socket.SHUT_WR)
        fail_at(n, loop)
        for each, (_, theirs) in zip(protocols, pairs, strict=True):
            if not each.lost:
                each.transport.resume_reading()
            run(loop, lambda each=each: each.lost or (each.data == b"123" and (each.over or what != "end")))
            assert each.lost is False or isinstance(each.lost, MemoryError)
            if not each.lost:
                assert theirs.recv(3, socket.MSG_WAITALL) == b"123"
                each.transport.abort()
            run(loop, lambda each=each: each.lost)
        for sock in sum(pairs, ()):
            sock.close()


def test_a_selector_that_does_not_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """For lack of memory. The next descriptor may have the same number."""

    class Short(selectors.DefaultSelector):
        fails = 0

        def unregister(self, fileobj: Any) -> Any:
            if Short.fails:
                Short.fails -= 1
                raise MemoryError
            return super().unregister(fileobj)

    def connect() -> tuple[Any, socket.socket]:
        ours, theirs = connected(tcp=True)
        with theirs:
            ours.setblocking(False)
            made = loop.run_until_complete(loop.connect_accepted_socket(Echo, ours))[1]
            theirs.settimeout(20)
            theirs.send(b"123")
            run(loop, lambda: made.data == b"123")
            assert theirs.recv(3, socket.MSG_WAITALL) == b"123"
            return made, theirs.dup()

    monkeypatch.setattr(selectors, "DefaultSelector", Short)
    told: list[Any] = []
    with opened(hasten.new_event_loop("selectors")) as loop:
        loop.set_exception_handler(lambda loop, context: told.append(context["exception"]))
        for fails in (1, 0):
            made, theirs = connect()
            Short.fails = fails
            made.transport.abort()
            run(loop, lambda made=made: made.lost)
            theirs.close()
    assert [type(each) for each in told] == [MemoryError]


# ---- epoll's own --------------------------------------------------------------------------------


epoll_only = pytest.mark.skipif("epoll" not in choice.NAMES, reason="Linux only")


async def idles() -> None:
    """The loop has nothing to do."""
    loop: Any = asyncio.get_running_loop()
    await asyncio.sleep(0.01)
    before = loop._polls
    await asyncio.sleep(0.03)
    assert loop._polls - before < 20


@epoll_only
def test_a_descriptor_that_could_not_be_added_is_not_reported_for_ever() -> None:
    async def main(n: int) -> None:
        loop, called = asyncio.get_running_loop(), asyncio.Event()
        ours, theirs = socket.socketpair()
        known = fcntl.fcntl(ours, fcntl.F_DUPFD, 300)
        loop.add_reader(known, int)  # there is no room yet for the next one, whose number is no small int
        loop.remove_reader(known)
        number = fcntl.fcntl(ours, fcntl.F_DUPFD, 600)
        theirs.send(b"!")
        try:
            try:
                _testcapi.set_nomemory(n, n + 1)
                loop.add_reader(number, called.set)
            finally:
                _testcapi.remove_mem_hooks()
        except MemoryError:
            await idles()
            loop.add_reader(number, called.set)
        await called.wait()
        loop.remove_reader(number)
        for fd in (number, known, ours.detach(), theirs.detach()):
            os.close(fd)

    for n in range(25):
        with opened(hasten.new_event_loop("epoll")) as loop:
            loop.run_until_complete(main(n))


NO_NEW_EPOLL = """
import asyncio, resource, socket, _testcapi
import hasten

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
ours, theirs = socket.socketpair()
kept = ours.dup()

async def begin():
    called, number = asyncio.Event(), ours.fileno()
    loop.add_reader(number, called.set)
    ours.close()
    theirs.send(b"unread")
    await called.wait()
    loop.remove_reader(number)

async def main(n):
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        _testcapi.set_nomemory(n, n + 1)
        for _ in range(40):
            await asyncio.sleep(0)
    except MemoryError:
        pass
    finally:
        _testcapi.remove_mem_hooks()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

loop = hasten.new_event_loop("epoll")
loop.run_until_complete(begin())
loop._poller.every = 0.0  # it polls in each tick
for n in range(100):
    loop.run_until_complete(main(n))
loop.run_until_complete(asyncio.sleep(0.01))
before = loop._polls
loop.run_until_complete(asyncio.sleep(0.03))
print("idle" if loop._polls - before < 20 else loop._polls - before)
loop.close()
"""


@epoll_only
def test_where_a_new_epoll_cannot_be_made_the_loop_goes_on() -> None:
    """A descriptor was closed behind the poller's back; there is no other one, nor memory for an error that says so."""
    # by itself, where no other thread takes memory
    command = [sys.executable, "-c", NO_NEW_EPOLL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "idle\n", "")
