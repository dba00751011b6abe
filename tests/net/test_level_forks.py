"""Forks while unix sockets are registered, which are reported as long as there is something to read.

The child has the same open files, and so the kernel's epoll of its parent. What it does, and what it keeps open, is not
to reach the parent: nothing gets lost there, and nothing is reported for ever. So it is with asyncio's own loop, but
for one thing: there a child that closes what it has inherited makes its parent deaf.
"""

from __future__ import annotations

import os
import sys

import pytest

from hasten.poll import choice
from tests import families

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

PROGRAM = """
import asyncio, ctypes, gc, os, socket, sys
import hasten

which, how, name = sys.argv[1:]
fork = os.fork if how == "os" else ctypes.CDLL(None).fork  # the latter tells Python nothing


class Protocol(asyncio.Protocol):
    def __init__(self, on_data=None):
        self.data, self.news, self.ended, self.on_data = b"", asyncio.Event(), asyncio.Event(), on_data

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data
        self.news.set()
        if self.on_data:
            self.on_data()

    def connection_lost(self, exc):
        self.ended.set()

    async def received(self, data):
        while len(self.data) < len(data):
            self.news.clear()
            await asyncio.wait_for(self.news.wait(), 20)
        assert self.data == data, self.data
        self.data = b""


async def start(sock, on_data=None):
    sock.setblocking(False)
    protocol = Protocol(on_data)
    await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, sock)
    return protocol


async def idles():
    loop = asyncio.get_running_loop()
    if name == "asyncio":
        return
    await asyncio.sleep(0.01)
    before = loop._polls
    await asyncio.sleep(0.03)
    assert loop._polls - before < 20, loop._polls - before


class Child:
    "A process that does something first, and stays until it is told to do the last."

    def __init__(self, first=int, last=int):
        ready, self.go = socket.socketpair()
        self.pid = fork()
        if self.pid == 0:
            code = 1
            try:
                self.go.close()  # or it would not see that its parent is gone
                asyncio._set_running_loop(None)
                first()
                ready.send(b"ready")
                ready.recv(1)
                last()
                code = 0
            except BaseException:
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(code)
        ready.close()
        assert self.go.recv(5) == b"ready"

    def tell(self):
        self.go.send(b"!")

    def wait(self):
        assert os.waitpid(self.pid, 0)[1] == 0
        self.go.close()

    def end(self):
        self.tell()
        self.wait()


def run(main):
    if name == "asyncio":
        return asyncio.run(main)
    loop = hasten.new_event_loop(name)
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


async def converse(one, other):
    for text in (b"1", b"22"):
        other.transport.write(text)
        await one.received(text)
        one.transport.write(text)
        await other.received(text)


async def own_loop():
    a, b = socket.socketpair()
    one, other = await start(a), await start(b)
    await converse(one, other)
    one.transport.abort()
    other.transport.abort()
    await one.ended.wait()
    await other.ended.wait()


async def goes_on_while_the_child_is_there(one, other):
    child = Child()
    await converse(one, other)
    await idles()
    child.end()
    await converse(one, other)
    await idles()


async def the_child_runs_a_loop_of_its_own(one, other):
    child = Child(lambda: run(own_loop()))
    await converse(one, other)
    child.end()
    await converse(one, other)
    await idles()


async def the_child_closes_what_it_has_inherited(one, other):
    def work():
        for each in (one, other):
            each.transport.pause_reading()
            each.transport.abort()
        gc.collect()
        run(own_loop())

    child = Child(work)
    await converse(one, other)
    child.end()
    await converse(one, other)
    await idles()


async def it_forks_in_a_callback(one, other):
    children = []
    one.on_data = lambda: children.append(Child(lambda: run(own_loop())))
    other.transport.write(b"fork")
    await one.received(b"fork")
    one.on_data = None
    await converse(one, other)
    children[0].end()
    await converse(one, other)
    await idles()


async def it_is_closed_while_the_child_keeps_it(one, other, unread=b"", paused=False):
    if paused:
        one.transport.pause_reading()
    child = Child()
    if unread:
        other.transport.write(unread)
        if paused:
            await idles()
        else:
            await asyncio.sleep(0)
    one.transport.abort()
    await one.ended.wait()
    one.data = b""
    for _ in range(3):
        other.transport.write(b"for nobody")
        await idles()
    # the next socket may have the same number
    a, b = socket.socketpair()
    third, fourth = await start(a), await start(b)
    await converse(third, fourth)
    other.transport.write(b"for nobody")
    await idles()
    assert one.data == third.data == b""
    for each in (third, fourth):
        each.transport.abort()
        await each.ended.wait()
    assert not other.ended.is_set()  # the child has the other end of it
    child.end()
    await asyncio.wait_for(other.ended.wait(), 20)
    await idles()


async def it_is_closed_with_something_unread(one, other):
    await it_is_closed_while_the_child_keeps_it(one, other, b"unread")


async def it_is_closed_while_paused(one, other):
    await it_is_closed_while_the_child_keeps_it(one, other, b"unread", paused=True)


async def the_child_takes_it_over(one, other):
    sock = one.transport.get_extra_info("socket").dup()

    async def serve():
        os.close(other.transport.get_extra_info("socket").fileno())  # or it would keep its own peer open
        protocol = await start(sock)
        await protocol.received(b"for the child")
        protocol.transport.write(b"from the child")
        await protocol.ended.wait()

    child = Child(last=lambda: run(serve()))
    one.transport.abort()
    await one.ended.wait()
    sock.close()
    child.tell()
    other.transport.write(b"for the child")
    await other.received(b"from the child")
    await idles()
    other.transport.abort()
    await other.ended.wait()
    child.wait()
    await idles()


async def main():
    a, b = socket.socketpair()
    one, other = await start(a), await start(b)
    await converse(one, other)
    await globals()[which](one, other)
    for each in (one, other):
        each.transport.abort()
        await each.ended.wait()
    await idles()
    print("good")

run(main())
"""


WHICH = [
    "goes_on_while_the_child_is_there",
    "the_child_runs_a_loop_of_its_own",
    "the_child_closes_what_it_has_inherited",
    "it_forks_in_a_callback",
    "it_is_closed_while_the_child_keeps_it",
    "it_is_closed_with_something_unread",
    "it_is_closed_while_paused",
    "the_child_takes_it_over",
]
# The child begins a loop of its own in the midst of a task.
FROM_A_TASK = ("the_child_runs_a_loop_of_its_own", "the_child_takes_it_over")
CASES = [
    (which, name)
    for which in WHICH
    for name in [*choice.NAMES, "asyncio"]
    if name != "asyncio" or which != "the_child_closes_what_it_has_inherited"
]


@pytest.mark.parametrize("how", ["os", "C"])
@pytest.mark.parametrize(("which", "name"), CASES)
def test_forks_while_it_is_registered(which: str, name: str, how: str) -> None:
    if name == "asyncio" and how == "C" and which in FROM_A_TASK and sys.version_info >= (3, 14):
        pytest.skip("from 3.14 on asyncio keeps the current task by thread: for the child it is still its parent's")
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, which, how, name]
    done = families.run(command, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "good\n", "")
