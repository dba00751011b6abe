"""Starting a child is cancelled, or fails half-way: the child is killed and reaped, and no descriptor is left."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import subprocess
import sys
import warnings
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

import hasten
from hasten.aio import subprocess as aio
from hasten.process import spawning, transport

from .conftest import children

Loop = asyncio.AbstractEventLoop
pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="asyncio's Proactor loop runs processes there"),
    pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning"),
]
COMMAND = ("sleep", "1000")


@pytest.fixture(autouse=True)
def _no_warning() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
        gc.collect()


@pytest.mark.parametrize("pipes", [PIPE, None])
def test_cancelled_at_each_await(
    loop: Loop, run_on: Callable[..., Any], open_files: Callable[[], set[str]], pipes: Any
) -> None:
    async def main() -> None:
        before, known = open_files(), children()
        cancelled = 0
        for steps in range(25):
            start = hasten.create_subprocess_exec(*COMMAND, stdin=pipes, stdout=pipes, stderr=pipes)
            task = loop.create_task(start)
            for _ in range(steps):
                await hasten.sleep(0)
            task.cancel()
            try:
                process = await task
            except asyncio.CancelledError:
                cancelled += 1
                assert children() == known
            else:
                process.kill()
                await process.wait()
                process._transport.close()
            for _ in range(5):
                await hasten.sleep(0)
            assert open_files() == before
        assert 2 <= cancelled < 25

    run_on(loop, main())


def test_cancelled_twice(loop: Any, run_on: Callable[..., Any], open_files: Callable[[], set[str]]) -> None:
    """Nobody waits for the end of the child any more but the loop."""

    async def main() -> None:
        before, known = open_files(), children()
        task = loop.create_task(hasten.create_subprocess_exec(*COMMAND, stdin=PIPE, stdout=PIPE))
        await hasten.sleep(0)
        assert children() != known
        task.cancel()
        await hasten.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while children() != known or open_files() != before:
            await hasten.sleep(0.001)

    run_on(loop, main())


def test_a_coroutine_that_is_closed(loop: Any, run_on: Callable[..., Any], open_files: Callable[[], set[str]]) -> None:
    async def main() -> None:
        before, known = open_files(), children()
        start = loop.subprocess_exec(asyncio.SubprocessProtocol, *COMMAND)
        start.send(None)
        start.close()
        while children() != known or open_files() != before:
            await hasten.sleep(0.001)

    run_on(loop, main())


@pytest.mark.parametrize("method", ["connect_read_pipe", "connect_write_pipe"])
@pytest.mark.parametrize("error", [asyncio.CancelledError(), OSError(errno.EMFILE, "none left"), SystemExit(3)])
def test_a_pipe_cannot_be_connected(
    loop: Any, run_on: Callable[..., Any], open_files: Callable[[], set[str]], method: str, error: BaseException
) -> None:
    plain = getattr(loop, method)
    calls: list[Any] = []

    async def fail(*args: Any) -> Any:
        calls.append(args)
        if len(calls) < (2 if method == "connect_read_pipe" else 1):
            return await plain(*args)
        raise error

    async def main() -> None:
        before, known = open_files(), children()
        setattr(loop, method, fail)
        try:
            with pytest.raises(type(error)) as caught:
                await hasten.create_subprocess_exec(*COMMAND, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        finally:
            delattr(loop, method)
        assert caught.value is error
        while children() != known or open_files() != before:
            await hasten.sleep(0.001)

    run_on(loop, main())


@pytest.mark.parametrize("number", [1, 2])
def test_the_transport_of_a_pipe_cannot_be_made(
    loop: Any, run_on: Callable[..., Any], open_files: Any, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    calls: list[Any] = []

    def fail(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == number:
            raise MemoryError
        return open_reading(*args)

    open_reading = transport.pipes.open_reading

    async def main() -> None:
        before, known = open_files(), children()
        with monkeypatch.context() as patch:
            patch.setattr(transport, "pipes", SimpleNamespace(**{**vars(transport.pipes), "open_reading": fail}))
            with pytest.raises(MemoryError):
                await hasten.create_subprocess_exec(*COMMAND, stdin=PIPE, stdout=PIPE, stderr=PIPE)
        while children() != known or open_files() != before:
            await hasten.sleep(0.001)

    run_on(loop, main())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere files can be polled")
@pytest.mark.parametrize("names", [["stdin"], ["stdout"], ["stderr"], ["stdout", "stderr"]])
def test_pipes_that_cannot_be_polled(
    loop: Any, run_on: Callable[..., Any], open_files: Any, monkeypatch: Any, names: list[str], tmp_path: Path
) -> None:
    plain = subprocess.Popen
    protocol = mock.Mock(spec=asyncio.SubprocessProtocol)

    def popen(*args: Any, **kwargs: Any) -> Any:
        made = plain(*args, **kwargs)
        for name in names:
            getattr(made, name).close()
            setattr(made, name, (tmp_path / name).open("wb+", 0))
        return made

    async def main() -> None:
        before, known = open_files(), children()
        with monkeypatch.context() as patch:
            patch.setattr(subprocess, "Popen", popen)
            with pytest.raises(PermissionError):
                await loop.subprocess_exec(lambda: protocol, *COMMAND)
        while children() != known or open_files() != before:
            await hasten.sleep(0.001)
        assert protocol.mock_calls == []

    run_on(loop, main())


def test_a_signal_handler_that_raises_while_pipes_begin(
    loop: Any, run_on: Callable[..., Any], open_files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the loop; who runs that again finds that the start has failed, and nothing is left."""

    class Cut(KeyboardInterrupt):
        pass

    def cut(self: Any) -> None:
        raise Cut

    async def start() -> None:
        await hasten.create_subprocess_exec(*COMMAND, stdin=PIPE, stdout=PIPE)

    before, known = open_files(), children()
    task = loop.create_task(start())
    with monkeypatch.context() as patch, pytest.raises(Cut):
        patch.setattr(transport.SubprocessTransport, "_introduce", cut)
        loop.run_until_complete(task)
    with pytest.raises(Cut):
        loop.run_until_complete(task)

    async def gone() -> None:
        while children() != known or open_files() != before:
            await hasten.sleep(0.001)

    run_on(loop, gone())


def test_the_transport_cannot_be_made(
    loop: Any, run_on: Callable[..., Any], open_files: Callable[[], set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any) -> None:
        raise MemoryError

    async def main() -> None:
        before, known = open_files(), children()
        with monkeypatch.context() as patch:
            patch.setattr(spawning, "SubprocessTransport", fail)
            with pytest.raises(MemoryError):
                await hasten.create_subprocess_exec(*COMMAND, stdin=PIPE, stdout=PIPE)
        assert children() == known
        assert open_files() == before

    run_on(loop, main())


@pytest.mark.parametrize("start", [hasten.create_subprocess_exec, hasten.create_subprocess_shell])
def test_no_memory_for_the_process_object(
    loop: Any, run_on: Callable[..., Any], open_files: Any, monkeypatch: pytest.MonkeyPatch, start: Any
) -> None:
    def fail(*args: Any) -> None:
        raise MemoryError

    async def main() -> None:
        before, known = open_files(), children()
        with monkeypatch.context() as patch:
            patch.setattr(aio, "Process", fail)
            with pytest.raises(MemoryError):
                await start("cat", stdin=PIPE)
        while children() != known or open_files() != before:
            await hasten.sleep(0.001)

    run_on(loop, main())


def test_a_child_that_may_not_be_killed(loop: Any, run_on: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """One that runs as another user and cannot be watched: the error comes, and nobody waits for its end."""
    started: list[Any] = []

    def fail(loop: Any, protocol: Any, popen: Any, extra: Any) -> None:
        started.append(popen)
        popen.kill = refuse
        raise MemoryError

    def refuse() -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(spawning, "SubprocessTransport", fail)
            with pytest.raises(MemoryError):
                await hasten.create_subprocess_exec(*COMMAND)
        (popen,) = started
        assert popen.poll() is None
        del popen.kill
        popen.kill()
        popen.wait()

    run_on(loop, main())


def test_fork_while_children_run(loop: Loop, run_on: Callable[..., Any]) -> None:
    """A forked process leaves its parent's children alone, also when it ends."""

    async def main() -> int:
        process = await hasten.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        closing = await hasten.create_subprocess_exec("sleep", "1000")
        closing._transport.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # from 3.12 on: fork() in a process with threads
            pid = os.fork()
        if pid == 0:
            code = 1
            try:
                asyncio._set_running_loop(None)
                process._transport.close()
                loop._children.close(loop)  # type: ignore[attr-defined]
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
        assert await process.communicate(b"alive") == (b"alive", None)
        assert await closing.wait() == -9
        return process.returncode

    assert run_on(loop, main()) == 0
