"""The loop closes while children run, or have just ended."""

from __future__ import annotations

import asyncio
import errno
import functools
import gc
import sys
import warnings
from asyncio.subprocess import PIPE
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import hasten
from hasten.process import watching

from .conftest import PIDFD, end, sleeping, waiting_threads, without_pidfd

Loop = asyncio.AbstractEventLoop
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="asyncio's Proactor loop runs processes there")


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
            raise KeyboardInterrupt
        wait_for(*args)

    monkeypatch.setattr(watching, "_wait_for", cut)
    for transport in transports:
        transport.close()
    with pytest.raises(KeyboardInterrupt):
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
