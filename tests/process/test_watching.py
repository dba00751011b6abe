"""How the loop learns of a child's end: by pidfd, by a thread; with others who reap and kill."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import warnings
from asyncio.subprocess import PIPE
from collections.abc import Callable
from typing import Any

import pytest

import hasten

from .conftest import PIDFD, end, sleeping, waiting_threads, without_pidfd

Loop = asyncio.AbstractEventLoop
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="asyncio's Proactor loop runs processes there")


def test_each_way_tells_the_end(way: str, loop: Loop, run_on: Callable[..., Any]) -> None:
    async def main() -> None:
        process = await hasten.create_subprocess_shell("read x; exit 9", stdin=PIPE)
        assert len(waiting_threads()) == (way == "thread")
        assert process.returncode is None
        process.stdin.write(b"\n")
        assert await process.wait() == 9
        process = await hasten.create_subprocess_exec("sleep", "1000")
        process.terminate()
        assert await process.wait() == -signal.SIGTERM

    run_on(loop, main())
    for thread in waiting_threads():
        thread.join(10)


@pytest.mark.skipif(not PIDFD, reason="this system has no pidfd")
@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENODEV, errno.ENOMEM])
def test_where_there_is_no_pidfd_a_thread_waits(
    code: int, loop: Loop, run_on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    without_pidfd(monkeypatch, code)

    async def main() -> None:
        process = await hasten.create_subprocess_exec("echo", "x", stdout=PIPE)
        assert await process.communicate() == (b"x\n", None)
        assert process.returncode == 0

    run_on(loop, main())


@pytest.mark.skipif(not PIDFD, reason="this system has no pidfd")
def test_a_pidfd_that_cannot_be_polled(
    loop: Any, run_on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, open_files: Callable[[], set[str]]
) -> None:
    async def main() -> None:
        before = open_files()
        with monkeypatch.context() as patch:
            patch.setattr(os, "pidfd_open", lambda pid: os.open(__file__, os.O_RDONLY))  # EPERM, as epoll has it
            process = await hasten.create_subprocess_exec("true")
        assert await process.wait() == 0
        assert open_files() == before

    run_on(loop, main())


def test_neither_pidfd_nor_thread(
    loop: Loop, run_on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, open_files: Callable[[], set[str]]
) -> None:
    """The child is killed and reaped, its pipes are closed, and the error says what was missing."""
    if PIDFD:
        without_pidfd(monkeypatch, errno.EMFILE)

    def refuse(thread: Any) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        before = open_files()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await hasten.create_subprocess_exec("sleep", "1000", stdin=PIPE, stdout=PIPE, stderr=PIPE)
        assert open_files() == before

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_on(loop, main())
        gc.collect()


# ---- others ---------------------------------------------------------------------------------------


def test_somebody_else_reaps(
    way: str, loop: Loop, run_on: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        process = await hasten.create_subprocess_exec("sleep", "1000")
        os.kill(process.pid, signal.SIGKILL)
        os.waitpid(process.pid, 0)
        process.kill()  # goes nowhere, and not to another process
        assert await process.wait() == 255

    with caplog.at_level(logging.WARNING, "asyncio"):
        run_on(loop, main())
    assert "exit status already read" in caplog.text
    assert "255" in caplog.text
    for thread in waiting_threads():
        thread.join(10)


def test_the_popen_object_reaps(way: str, loop: Loop, run_on: Callable[..., Any], caplog: Any) -> None:
    """Its status is not lost, whoever asks for it."""

    async def main() -> None:
        for reap in (lambda popen: popen.wait(), lambda popen: popen.wait(10), lambda popen: popen.communicate()):
            process = await hasten.create_subprocess_shell("read x; exit 6", stdin=PIPE)
            popen = process._transport.get_extra_info("subprocess")
            thread = threading.Thread(target=reap, args=(popen,))
            thread.start()
            process.stdin.write(b"\n")
            assert await process.wait() == 6
            await hasten.to_thread(thread.join)
            assert popen.returncode == 6
        await hasten.get_running_loop().shutdown_default_executor()

    run_on(loop, main())
    assert caplog.text == ""


def test_nobody_elses_child_is_reaped(way: str, loop: Loop, run_on: Callable[..., Any]) -> None:
    other = subprocess.Popen(["sh", "-c", "exit 3"])

    async def main() -> None:
        for _ in range(3):
            process = await hasten.create_subprocess_exec("true")
            await process.wait()

    run_on(loop, main())
    assert os.waitpid(other.pid, 0) == (other.pid, 3 << 8)
    other.returncode = 3


def test_sigchld_may_be_ignored_or_handled(loop: Loop, run_on: Callable[..., Any], caplog: Any) -> None:
    async def main() -> list[int]:
        process = await hasten.create_subprocess_shell("exit 4", stdout=PIPE)
        await process.communicate()
        seen: list[Any] = []
        loop.add_signal_handler(signal.SIGCHLD, seen.append, 1)
        second = await hasten.create_subprocess_shell("exit 5", stdout=PIPE)
        await second.communicate()
        while not seen:
            await hasten.sleep(0.001)
        loop.remove_signal_handler(signal.SIGCHLD)
        return [process.returncode, second.returncode]

    assert run_on(loop, main()) == [4, 5]
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps: nobody learns the status
    try:
        assert run_on(loop, main()) == [255, 5]
    finally:
        signal.signal(signal.SIGCHLD, before)


def test_a_child_that_ends_while_the_loop_does_not_run(way: str, loop: Loop, run_on: Callable[..., Any]) -> None:
    process = run_on(loop, sleeping())
    end(process)
    assert process.returncode is None
    assert run_on(loop, process.wait()) == -9


def test_waitpid_fails(
    loop: Loop, run_on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, reports: Any, open_files: Any
) -> None:
    async def main() -> None:
        before = open_files()
        process = await sleeping()
        failed: list[int] = []

        def waitpid(pid: int, options: int) -> Any:
            failed.append(pid)
            raise OSError(errno.EIO, "unexpected")

        with monkeypatch.context() as patch:
            patch.setattr(os, "waitpid", waitpid)
            process.kill()
            while not failed:
                await hasten.sleep(0)
        assert open_files() == before
        assert await process.wait() == 255
        os.waitpid(process.pid, 0)

    run_on(loop, main())
    assert [type(report["exception"]) for report in reports] == [OSError]


def test_a_poller_that_does_not_let_go(loop: Any, run_on: Callable[..., Any], reports: Any, open_files: Any) -> None:
    remove = loop._remove_reader

    def refuse(fd: int) -> bool:
        remove(fd)
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    async def main() -> None:
        before = open_files()
        process = await sleeping()
        loop._remove_reader = refuse
        process.kill()
        try:
            assert await process.wait() == -9
        finally:
            del loop._remove_reader
        assert open_files() == before

    if PIDFD:
        run_on(loop, main())
        assert [type(report["exception"]) for report in reports] == [OSError]


def test_a_status_that_is_not_to_be_had_yet(way: str, loop: Loop, run_on: Callable[..., Any]) -> None:
    """Popen's lock is held, as by a thread inside Popen.wait(): the loop goes on, and looks again."""

    async def main() -> None:
        process = await sleeping()
        popen = process._transport.get_extra_info("subprocess")
        with popen._waitpid_lock:
            os.kill(process.pid, signal.SIGKILL)
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            await hasten.sleep(0.03)
            assert process.returncode is None
        assert await process.wait() == -9

    run_on(loop, main())


# ---- many, and elsewhere --------------------------------------------------------------------------


@pytest.mark.slow("a thousand processes are started")
def test_a_thousand_children(run: Callable[..., Any], open_files: Callable[[], set[str]]) -> None:
    """In waves, so that a small machine bears it."""

    async def one(number: int) -> int:
        process = await asyncio.create_subprocess_exec("/bin/sh", "-c", f"exit {number % 200}")
        return await process.wait()

    async def main() -> None:
        before = open_files()
        for wave in range(10):
            numbers = range(wave * 100, wave * 100 + 100)
            assert await asyncio.gather(*map(one, numbers)) == [number % 200 for number in numbers]
        assert open_files() == before

    run(main())


def test_more_children_than_descriptors(loop: Loop, run_on: Callable[..., Any]) -> None:
    """Where descriptors run out, threads wait."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def main() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 20, hard))
        fillers: list[int] = []
        processes: list[Any] = []
        try:
            with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
                while True:
                    fillers.append(os.open(os.devnull, os.O_RDONLY))
            for _ in range(12):
                os.close(fillers.pop())
            with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
                while len(processes) < 40:
                    processes.append(await hasten.create_subprocess_exec("sleep", "1000", stdin=PIPE))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for filler in fillers:
                os.close(filler)
        assert processes
        for process in processes:
            process.kill()
            assert await process.wait() == -9

    run_on(loop, main())


def test_loops_in_other_threads(way: str) -> None:
    results: list[Any] = []

    async def main() -> None:
        processes = [await hasten.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE) for _ in range(3)]
        for process in processes:
            results.append(await process.communicate(b"x" * 100_000))

    threads = [threading.Thread(target=hasten.run, args=(main(),)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [(b"x" * 100_000, None)] * 12
