"""What watches a child is cut short, by a signal handler that raises or for lack of memory: no end is lost."""

from __future__ import annotations

import _thread
import asyncio
import errno
import functools
import itertools
import logging
import operator
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import hasten

from .conftest import PIDFD, end, sleeping, waiting_threads, without_pidfd

Loop = asyncio.AbstractEventLoop
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="asyncio's Proactor loop runs processes there")


def test_no_memory_while_a_child_is_reaped(
    way: str, loop: Loop, run_on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, reports: Any
) -> None:
    """Its status is not lost: the loop looks again."""
    real = os.waitstatus_to_exitcode
    failed: list[int] = []

    def fail_once(status: int) -> int:
        if not failed:
            failed.append(status)
            raise MemoryError
        return real(status)

    async def main() -> None:
        process = await sleeping()
        process.kill()
        assert await process.wait() == -9

    with monkeypatch.context() as patch:
        patch.setattr(os, "waitstatus_to_exitcode", fail_once)
        run_on(loop, main())
    assert [type(report["exception"]) for report in reports] == [MemoryError]


@pytest.mark.usefixtures("no_collector")
def test_a_signal_handler_that_raises_while_a_child_is_reaped(
    way: str, loop: Loop, run_on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """KeyboardInterrupt leaves run_forever(); the status is there for who runs the loop again."""
    real = os.waitstatus_to_exitcode

    def interrupted(status: int) -> Any:
        patch.undo()
        signal.raise_signal(signal.SIGINT)
        return real(status)

    process = run_on(loop, sleeping())
    end(process)
    waiting = loop.create_task(process.wait())
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "waitstatus_to_exitcode", interrupted)
        loop.run_until_complete(waiting)
    assert process.returncode is None
    assert run_on(loop, waiting) == -9
    assert run_on(loop, process.wait()) == -9


class Cut(KeyboardInterrupt):
    """What a signal handler raises."""


def cut_short(results: Iterator[Any]) -> Callable[[Any], Any]:
    """What returns these results, call by call; a signal comes in the first, and its handler runs right behind it.

    All in C, as the functions are whose place it takes: no handler runs inside.
    """
    signals = itertools.chain(map(_thread.interrupt_main, [signal.SIGUSR1]), itertools.repeat(None))
    both = map(operator.itemgetter(0), zip(results, signals, strict=False))
    return functools.partial(next, both)  # the argument is next()'s default


class CutShortLock:
    """A lock like Popen's: a signal comes while it is acquired for the first time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.acquire = cut_short(map(self.lock.acquire, itertools.repeat(False)))
        self.release = self.lock.release

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self.lock.release()


@pytest.fixture
def cutting(no_collector: None) -> Iterator[None]:
    """SIGUSR1 has a handler that raises."""

    def cut(*args: Any) -> None:
        raise Cut

    before = signal.signal(signal.SIGUSR1, cut)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.usefixtures("cutting")
def test_a_signal_handler_that_raises_once_the_lock_is_held(way: str, loop: Loop, run_on: Callable[..., Any]) -> None:
    process = run_on(loop, sleeping())
    popen = process._transport.get_extra_info("subprocess")
    popen._waitpid_lock = CutShortLock()
    end(process)
    waiting = loop.create_task(process.wait())
    with pytest.raises(Cut):
        loop.run_until_complete(waiting)
    assert popen._waitpid_lock.lock.locked()
    assert run_on(loop, waiting) == -9
    assert not popen._waitpid_lock.lock.locked()


@pytest.mark.usefixtures("cutting")
@pytest.mark.skipif(not PIDFD, reason="this system has no pidfd")
def test_a_signal_handler_that_raises_once_there_is_a_pidfd(
    loop: Loop, run_on: Callable[..., Any], open_files: Callable[[], set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is given back, and the child is killed and reaped."""

    async def main() -> None:
        before = open_files()
        with monkeypatch.context() as patch:
            patch.setattr(os, "pidfd_open", cut_short(map(os.pidfd_open, [os.getpid()])))
            with pytest.raises(Cut):
                await sleeping()
        assert open_files() == before

    run_on(loop, main())


@pytest.mark.skipif(not PIDFD, reason="this system has no pidfd")
@pytest.mark.parametrize("first", [True, False], ids=["before", "behind"])
def test_a_signal_handler_that_raises_while_a_child_is_let_go(
    first: bool, loop: Any, run_on: Callable[..., Any], open_files: Callable[[], set[str]]
) -> None:
    """Its end is told, its pidfd is given back, and the poller does not tell of it any more."""
    remove = loop._remove_reader

    def cut(fd: int) -> Any:
        del loop._remove_reader
        if not first:
            remove(fd)
        raise Cut

    async def wait(process: Any) -> int:
        loop._remove_reader = cut
        code: int = await process.wait()
        for _ in range(5):
            await hasten.sleep(0)
        return code

    process = run_on(loop, sleeping())
    before = open_files()
    end(process)
    waiting = loop.create_task(wait(process))
    with pytest.raises(Cut):
        loop.run_until_complete(waiting)
    assert run_on(loop, waiting) == -9
    assert len(open_files()) == len(before) - 1
    assert not loop._children._watched


def test_a_signal_handler_that_raises_while_the_end_is_told(
    way: str, loop: Any, run_on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, recorder: Any
) -> None:
    async def main() -> Any:
        return await loop.subprocess_exec(recorder, "sleep", "1000", stdin=None, stdout=None, stderr=None)

    transport, protocol = run_on(loop, main())
    transport.kill()
    loop.set_debug(True)  # it is told the log

    def cut(*args: Any) -> None:
        patch.undo()
        raise Cut

    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(logging.getLogger("asyncio"), "info", cut)
        loop.run_until_complete(protocol.over)
    loop.set_debug(False)
    run_on(loop, asyncio.wait_for(protocol.over, 30))
    assert protocol.told == ["made", ("exited", -9), "over"]
    transport.close()


@pytest.mark.parametrize("name", ["waitid", "call_soon_threadsafe"])
def test_no_memory_in_the_thread_that_waits(
    name: str, loop: Any, run_on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    if PIDFD:
        without_pidfd(monkeypatch, errno.ENOSYS)
    failed: list[Any] = []
    where = os if name == "waitid" else loop
    real = getattr(where, name)

    def fail_once(*args: Any) -> Any:
        if not failed and threading.current_thread() is not threading.main_thread():
            failed.append(args)
            raise MemoryError
        return real(*args)

    async def main() -> None:
        monkeypatch.setattr(where, name, fail_once)
        process = await sleeping()
        while name == "waitid" and not failed:
            await hasten.sleep(0.001)
        process.kill()
        assert await process.wait() == -9

    run_on(loop, main())
    assert failed
    for thread in waiting_threads():
        thread.join(10)
    monkeypatch.undo()


@pytest.mark.skipif(not PIDFD, reason="this system has no pidfd")
def test_a_status_that_is_not_to_be_had_and_a_poller_that_refuses(
    loop: Any, run_on: Callable[..., Any], reports: Any
) -> None:
    remove = loop._remove_reader

    def refuse(fd: int) -> bool:
        del loop._remove_reader
        remove(fd)
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    async def main() -> None:
        process = await sleeping()
        popen = process._transport.get_extra_info("subprocess")
        with popen._waitpid_lock:
            end(process)
            loop._remove_reader = refuse
            while not reports:
                await hasten.sleep(0)
        assert await process.wait() == -9

    run_on(loop, main())
    assert [type(report["exception"]) for report in reports] == [OSError]


@pytest.mark.skipif(not PIDFD, reason="this system has no pidfd")
def test_the_number_of_a_pidfd_belongs_to_a_transport(loop: Any, run_on: Callable[..., Any], open_files: Any) -> None:
    """A program has closed a transport's descriptor behind its back."""

    async def main() -> None:
        ours, theirs = socket.socketpair()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        before = open_files()
        number = ours.fileno()
        kept = os.dup(number)
        os.close(number)
        with pytest.raises(RuntimeError, match="is used by transport"):
            await hasten.create_subprocess_exec("sleep", "1000")
        os.dup2(kept, number, inheritable=False)
        os.close(kept)
        assert open_files() == before
        transport.abort()
        theirs.close()
        await hasten.sleep(0)

    run_on(loop, main())
