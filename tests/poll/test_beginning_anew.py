"""The poller begins anew where a file is reported that nobody can take out: its descriptor was closed, it was not."""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import hasten
from hasten.kernel import guard
from hasten.poll import choice
from tests.worlds import opened

pytestmark = pytest.mark.skipif("epoll" not in choice.NAMES, reason="the selectors module cannot be helped")

FEW = 20  # polls of a loop that has nothing to do but one timer; one that spins has thousands


@pytest.fixture
def run() -> Iterator[Callable[[Any], Any]]:
    with opened(hasten.new_event_loop("epoll")) as loop:
        yield loop.run_until_complete


async def polls() -> int:
    """How often the loop polls while it has nothing to do."""
    loop: Any = asyncio.get_running_loop()
    await asyncio.sleep(0.01)  # what is reported once is over
    before: int = loop._polls
    await asyncio.sleep(0.03)
    return loop._polls - before


class Stray:
    """A descriptor that is closed while it is watched; its file stays open, and has something to read."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.kept = self.near.dup()

    async def begin(self) -> None:
        loop, called, number = asyncio.get_running_loop(), asyncio.Event(), self.near.fileno()
        loop.add_reader(number, called.set)
        self.near.close()
        self.far.send(b"unread")
        await called.wait()
        loop.remove_reader(number)

    def end(self) -> None:
        for each in (self.near, self.far, self.kept):
            each.close()


def test_a_descriptor_that_is_closed_has_the_number_of_the_new_epoll(run: Any) -> None:
    """Nobody has said that it is watched no more."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        reader, writer = os.pipe()
        stray = Stray()
        loop.add_reader(reader, print)
        os.close(reader)
        await stray.begin()
        assert await polls() < FEW
        loop.remove_reader(reader)
        os.close(writer)
        stray.end()

    run(main())


def test_a_number_that_is_another_file_s_by_now_is_not_watched(run: Any) -> None:
    """As before, and as in asyncio: nobody has asked for that one."""

    async def main() -> None:
        loop, stray = asyncio.get_running_loop(), Stray()
        reader, writer = os.pipe()
        other, another = socket.socketpair()
        calls: list[int] = []
        loop.add_reader(reader, calls.append, 1)
        os.dup2(other.fileno(), reader)  # which closes it
        another.send(b"for somebody else")
        await stray.begin()
        assert await polls() < FEW
        assert calls == []
        loop.remove_reader(reader)
        os.close(reader)
        os.close(writer)
        other.close()
        another.close()
        stray.end()

    run(main())


@pytest.mark.skipif(not guard.available(), reason="uncompiled, reports are known by their number only")
def test_a_number_that_was_asked_for_again_is_not_reported_for_the_old_file(run: Any) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair()
        other, another = socket.socketpair()
        with far, other, another, near.dup():
            number = near.fileno()
            loop.add_reader(number, print)
            near.close()
            os.dup2(other.fileno(), number)
            called = asyncio.Event()
            loop.add_reader(number, called.set)
            far.send(b"unread")
            assert await polls() < FEW
            assert not called.is_set()
            another.send(b"!")
            await called.wait()
            loop.remove_reader(number)
            os.close(number)
            assert await polls() < FEW

    run(main())


def test_where_one_cannot_be_added_all_stays_as_it_was(run: Any) -> None:
    """An epoll that is watched by as many others as the kernel allows."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        inner, (near, far), stray = select.epoll(), socket.socketpair(), Stray()
        inner.register(near, select.EPOLLIN)
        called = asyncio.Event()
        loop.add_reader(inner, called.set)
        others = []
        try:
            while len(others) < 5000:
                others.append(select.epoll())
                others[-1].register(inner, select.EPOLLIN)
        except OSError:  # no more
            pass
        await stray.begin()
        open_before = os.listdir("/proc/self/fd")
        assert await polls() > FEW
        assert os.listdir("/proc/self/fd") == open_before
        far.send(b"!")
        await called.wait()
        near.recv(1)
        others.pop().close()
        others.pop().close()
        assert await polls() < FEW
        called.clear()
        far.send(b"!")
        await called.wait()
        loop.remove_reader(inner)
        for each in (*others, inner, near, far):
            each.close()
        stray.end()

    run(main())
