"""How the loop learns of a child's end: by pidfd, by a thread; with others who reap, kill, and close."""

from __future__ import annotations

import _thread
import asyncio
import errno
import functools
import gc
import itertools
import logging
import operator
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import warnings
from asyncio.subprocess import PIPE
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import hasten
from hasten.process import watching

Loop = asyncio.AbstractEventLoop
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="asyncio's Proactor loop runs processes there")
PIDFD = hasattr(os, "pidfd_open")


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
    def refused(pid: int, flags: int = 0) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "pidfd_open", refused)


def waiting_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("hasten-waitpid")]


async def sleeping() -> Any:
    return await hasten.create_subprocess_exec("sleep", "1000")


def end(process: Any) -> None:
    """Kills the child, and returns when it has ended; the loop has not heard of it yet."""
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)


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
        process = await hasten.create_subprocess_exec("true")
        failed: list[int] = []

        def waitpid(pid: int, options: int) -> Any:
            failed.append(pid)
            raise OSError(errno.EIO, "unexpected")

        with monkeypatch.context() as patch:
            patch.setattr(os, "waitpid", waitpid)
            while not failed:
                await hasten.sleep(0)
        assert open_files() == before
        assert await process.wait() == 255
        os.waitpid(process.pid, 0)

    run_on(loop, main())
    assert [type(report["exception"]) for report in reports] == [OSError]


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


def acquired_and_cut_short(lock: Any) -> Callable[[bool], bool]:
    """A lock's acquire() during which a signal comes: its handler runs right behind it. All in C, as the method is."""
    held = map(lock.acquire, itertools.repeat(False))
    signals = itertools.chain(map(_thread.interrupt_main, [signal.SIGUSR1]), itertools.repeat(None))
    both = map(operator.itemgetter(0), zip(held, signals, strict=False))
    return functools.partial(next, both)  # acquire(False): what is given is next()'s default


class CutShortLock:
    """A lock like Popen's: a signal comes while it is acquired for the first time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.acquire = acquired_and_cut_short(self.lock)
        self.release = self.lock.release

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self.lock.release()


@pytest.fixture
def cutting() -> Iterator[None]:
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


# ---- the loop is closed ---------------------------------------------------------------------------


@pytest.fixture
def closing_loop() -> Iterator[Any]:
    loop = hasten.new_event_loop()
    yield loop
    loop.close()


@pytest.mark.parametrize("pipes", [PIPE, None])
def test_the_loop_is_closed_while_a_child_runs(
    way: str, closing_loop: Any, run_on: Callable[..., Any], open_files: Callable[[], set[str]], pipes: Any
) -> None:
    """As in asyncio: the child runs on until its transport goes, with a warning, and is killed then."""
    before = open_files()

    async def main() -> Any:
        return await hasten.create_subprocess_exec("sleep", "1000", stdin=pipes, stdout=pipes)

    process = run_on(closing_loop, main())
    popen = process._transport.get_extra_info("subprocess")
    closing_loop.close()
    assert popen.poll() is None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del process
        gc.collect()
    texts = [str(warning.message) for warning in caught]
    assert any(text.startswith("unclosed transport <SubprocessTransport pid=") for text in texts), texts
    assert popen.poll() == -9
    del popen
    gc.collect()
    for thread in waiting_threads():
        thread.join(10)
    del closing_loop
    gc.collect()
    assert len(open_files() - before) <= 3  # the loop itself, which the fixture holds


def test_a_transport_is_closed_after_its_loop(way: str, closing_loop: Any, run_on: Callable[..., Any]) -> None:
    process = run_on(closing_loop, sleeping())
    closing_loop.close()
    process._transport.close()
    assert process.returncode == -9
    for thread in waiting_threads():
        thread.join(10)


def test_a_child_is_killed_and_the_loop_closed_at_once(way: str, closing_loop: Any, run_on: Callable[..., Any]) -> None:
    """No zombie is left."""

    async def main() -> Any:
        process = await hasten.create_subprocess_exec("sleep", "1000")
        process._transport.close()
        return process

    process = run_on(closing_loop, main())
    closing_loop.close()
    for thread in waiting_threads():
        thread.join(10)
    popen = process._transport.get_extra_info("subprocess")
    assert popen.returncode == -9


def test_a_child_that_has_ended_is_reaped_when_the_loop_closes(
    way: str, closing_loop: Any, run_on: Callable[..., Any]
) -> None:
    process = run_on(closing_loop, sleeping())
    end(process)
    for thread in waiting_threads():
        thread.join(10)
    closing_loop.close()
    assert process.returncode == -9
    process._transport.close()


class Mute:
    """A protocol that cannot be told the end."""

    def connection_made(self, transport: Any) -> None:
        pass


def several(loop: Any, run_on: Callable[..., Any], factory: Any) -> list[Any]:
    async def main() -> list[Any]:
        start = functools.partial(loop.subprocess_exec, factory, stdin=None, stdout=None, stderr=None)
        return [(await start("sleep", "1000"))[0] for _ in range(4)]

    transports: list[Any] = run_on(loop, main())
    return transports


def test_the_loop_closes_though_ends_cannot_be_told(
    way: str, closing_loop: Any, run_on: Callable[..., Any], open_files: Callable[[], set[str]]
) -> None:
    before = open_files()
    told: list[Any] = []
    closing_loop.set_exception_handler(lambda loop, context: told.append(context["exception"]))
    transports = several(closing_loop, run_on, Mute)
    for transport in transports:
        end(SimpleNamespace(kill=transport.kill, pid=transport.get_pid()))
    for thread in waiting_threads():
        thread.join(10)
    closing_loop.close()
    assert closing_loop.is_closed()
    assert [type(exception) for exception in told] == [AttributeError] * 4
    assert [transport.get_returncode() for transport in transports] == [-9] * 4
    for transport in transports:
        transport.close()
    assert open_files() <= before


@pytest.mark.skipif(not PIDFD, reason="this system has no pidfd")
def test_a_signal_handler_that_raises_while_the_loop_closes(
    closing_loop: Any, run_on: Callable[..., Any], open_files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_files()
    transports = several(closing_loop, run_on, asyncio.SubprocessProtocol)
    wait_for = watching._wait_for
    calls: list[Any] = []

    def cut(*args: Any) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise Cut
        wait_for(*args)

    monkeypatch.setattr(watching, "_wait_for", cut)
    for transport in transports:
        transport.close()
    with pytest.raises(Cut):
        closing_loop.close()
    assert not closing_loop.is_closed()
    closing_loop.close()
    assert [transport.get_returncode() for transport in transports] == [-9] * 4
    assert open_files() <= before


def test_a_thread_finds_its_loop_closing(
    closing_loop: Any, run_on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it handed to the loop now would be lost with it."""
    if PIDFD:
        without_pidfd(monkeypatch, errno.ENOSYS)
    process = run_on(closing_loop, sleeping())
    popen = process._transport.get_extra_info("subprocess")
    closing_loop._children.close(closing_loop)
    process.kill()
    for thread in waiting_threads():
        thread.join(10)
    assert popen.returncode == -9
    closing_loop.close()
    process._transport.close()


@pytest.mark.parametrize("pipes", [PIPE, None])
def test_a_transport_that_is_closed_after_its_loop_keeps_no_pipe(
    way: str, closing_loop: Any, run_on: Callable[..., Any], open_files: Any, pipes: Any
) -> None:
    before = open_files()

    async def main() -> Any:
        return await hasten.create_subprocess_exec("sleep", "1000", stdin=pipes, stdout=pipes, stderr=pipes)

    process = run_on(closing_loop, main())
    closing_loop.close()
    process._transport.close()
    for thread in waiting_threads():
        thread.join(10)
    assert open_files() <= before
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the transports of the pipes were not closed
        del process
        gc.collect()
