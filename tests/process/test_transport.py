"""The transport of a child: what its protocol is told, in which order; its pipes; its end."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import subprocess
import sys
import threading
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from typing import Any

import pytest

from hasten.kernel import blocking

Loop = asyncio.AbstractEventLoop
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="asyncio's Proactor loop runs processes there")


def test_what_the_protocol_is_told(either_loop: Loop, run: Callable[..., Any], recorder: Any) -> None:
    async def main() -> Any:
        transport, protocol = await either_loop.subprocess_shell(recorder, "echo out; echo err >&2; exit 3")
        assert protocol.transport is transport
        assert protocol.told[0] == "made"
        await protocol.over
        assert transport.get_returncode() == 3
        assert transport.get_protocol() is None if hasattr(transport, "get_protocol") else True
        return protocol

    protocol = run(main())
    assert protocol.data == {1: b"out\n", 2: b"err\n"}
    told = protocol.told
    assert told[0] == "made"
    assert told[-1] == "over"
    assert set(told) == {"made", ("data", 1), ("data", 2), ("lost", 0), ("lost", 1), ("lost", 2), ("exited", 3), "over"}
    assert told.index(("data", 1)) < told.index(("lost", 1))


@pytest.mark.parametrize("stdout", [None, PIPE])
def test_no_signal_once_its_end_was_awaited(either_loop: Loop, run: Callable[..., Any], stdout: int | None) -> None:
    """connection_lost() comes before who waits for the end goes on."""

    async def main() -> None:
        child = await asyncio.create_subprocess_exec("true", stdout=stdout)
        await child.communicate()
        for call in (child.kill, child.terminate, lambda: child.send_signal(0)):
            with pytest.raises(ProcessLookupError):
                call()

    run(main())


def test_a_child_that_ends_before_its_transport_is_made(
    either_loop: Loop, run: Callable[..., Any], recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    popen = subprocess.Popen

    def late(*args: Any, **kwargs: Any) -> Any:
        process = popen(*args, **kwargs)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        return process

    monkeypatch.setattr(subprocess, "Popen", late)

    async def main() -> None:
        transport, protocol = await either_loop.subprocess_exec(recorder, "echo", "gone")
        await protocol.over
        assert protocol.told[0] == "made"
        assert protocol.data[1] == b"gone\n"
        assert transport.get_returncode() == 0

    run(main())


def test_what_is_known_of_a_child(either_loop: Loop, run: Callable[..., Any], recorder: Any) -> None:
    async def main() -> None:
        transport, protocol = await either_loop.subprocess_exec(recorder, "cat", stderr=DEVNULL)
        popen = transport.get_extra_info("subprocess")
        assert isinstance(popen, subprocess.Popen)
        assert popen.pid == transport.get_pid()
        assert isinstance(transport, asyncio.SubprocessTransport)
        assert transport.get_returncode() is None
        assert not transport.is_closing()
        assert transport.get_protocol() is protocol
        assert isinstance(transport.get_pipe_transport(0), asyncio.WriteTransport)
        assert isinstance(transport.get_pipe_transport(1), asyncio.ReadTransport)
        assert transport.get_pipe_transport(2) is None
        assert transport.get_pipe_transport(9) is None
        text = repr(transport)
        assert f"pid={popen.pid} running" in text
        assert "stdin=" in text
        assert "stdout=" in text
        assert "stderr" not in text
        transport.get_pipe_transport(0).close()
        await protocol.over
        assert f"pid={popen.pid} returncode=0" in repr(transport)
        assert popen.returncode == 0
        transport.close()
        assert transport.is_closing()
        assert "closed" in repr(transport)

    run(main())


def test_signals(either_loop: Loop, run: Callable[..., Any], recorder: Any) -> None:
    async def main() -> None:
        for send, number in (
            (lambda t: t.send_signal(signal.SIGUSR1), signal.SIGUSR1),
            (lambda t: t.terminate(), signal.SIGTERM),
            (lambda t: t.kill(), signal.SIGKILL),
        ):
            transport, protocol = await either_loop.subprocess_exec(recorder, "sleep", "1000", stdin=None)
            send(transport)
            await protocol.over
            assert transport.get_returncode() == -number
            for method in (transport.kill, transport.terminate, lambda t=transport: t.send_signal(signal.SIGUSR1)):
                with pytest.raises(ProcessLookupError):
                    method()
            transport.close()

    run(main())


def test_a_signal_that_there_is_not(either_loop: Loop, run: Callable[..., Any], recorder: Any) -> None:
    async def main() -> None:
        transport, protocol = await either_loop.subprocess_exec(recorder, "sleep", "1000", stdin=None)
        with pytest.raises(OSError):
            transport.send_signal(9999)
        with pytest.raises(TypeError):
            transport.send_signal("TERM")
        transport.send_signal(0)
        transport.close()
        await protocol.over

    run(main())


def test_a_child_that_stops_and_goes_on(either_loop: Loop, run: Callable[..., Any], recorder: Any) -> None:
    async def main() -> None:
        transport, protocol = await either_loop.subprocess_exec(recorder, "cat")
        pid = transport.get_pid()
        transport.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
        await asyncio.sleep(0.02)
        assert transport.get_returncode() is None
        transport.send_signal(signal.SIGCONT)
        transport.get_pipe_transport(0).close()
        await protocol.over
        assert transport.get_returncode() == 0

    run(main())


def test_close_kills_and_the_loop_reaps(either_loop: Loop, run: Callable[..., Any], recorder: Any) -> None:
    async def main() -> None:
        transport, protocol = await either_loop.subprocess_exec(recorder, "sleep", "1000")
        transport.close()
        transport.close()
        assert transport.is_closing()
        await protocol.over
        assert transport.get_returncode() == -signal.SIGKILL

    run(main())


def test_close_inside_each_callback(either_loop: Loop, run: Callable[..., Any], recorder: Any) -> None:
    async def closing_in(name: str) -> None:
        class Closing(recorder):  # type: ignore[misc]
            pass

        def method(self: Any, *args: Any) -> None:
            getattr(recorder, name)(self, *args)
            self.transport.close()

        setattr(Closing, name, method)
        _, protocol = await either_loop.subprocess_shell(Closing, "echo out; echo err >&2; read x; exit 3")
        protocol.transport.get_pipe_transport(0).write(b"line\n")
        await protocol.over
        assert protocol.told[0] == "made"
        assert protocol.told[-1] == "over"
        assert protocol.told.count("over") == 1

    for name in ("connection_made", "pipe_data_received", "pipe_connection_lost", "process_exited", "connection_lost"):
        run(closing_in(name))


def test_callbacks_that_raise(
    either_loop: Loop, run: Callable[..., Any], recorder: Any, reports: list[dict[str, Any]]
) -> None:
    """Each is told to the loop's exception handler, and the rest goes on."""

    class Raising(recorder):  # type: ignore[misc]
        pass

    def raising(name: str) -> Callable[..., None]:
        def method(self: Any, *args: Any) -> None:
            getattr(recorder, name)(self, *args)
            raise ZeroDivisionError(name)

        return method

    names = ("connection_made", "pipe_data_received", "pipe_connection_lost", "process_exited", "connection_lost")
    for name in names:
        setattr(Raising, name, raising(name))

    async def main() -> None:
        transport, protocol = await either_loop.subprocess_shell(Raising, "cat; echo err >&2; exit 3")
        transport.get_pipe_transport(0).write(b"out")
        transport.get_pipe_transport(0).close()
        await protocol.over
        assert protocol.data == {1: b"out", 2: b"err\n"}
        assert transport.get_returncode() == 3
        transport.close()

    run(main())
    assert {str(report["exception"]) for report in reports} == set(names)


@pytest.mark.ours("wait() hangs")
def test_a_protocol_that_lacks_methods(either_loop: Loop, run: Callable[..., Any], reports: Any) -> None:
    class Made:
        def connection_made(self, transport: Any) -> None:
            pass

    async def main() -> None:
        transport, _ = await either_loop.subprocess_shell(Made, "exit 3", stdin=None, stderr=None)  # type: ignore[arg-type]
        assert await transport._wait() == 3  # type: ignore[attr-defined]
        transport.close()
        with pytest.raises(AttributeError, match="connection_made"):
            await either_loop.subprocess_exec(object, "sleep", "1000")  # type: ignore[arg-type]

    run(main())
    assert {type(report["exception"]) for report in reports} == {AttributeError}


def test_a_grandchild_that_holds_the_pipes(either_loop: Loop, run: Callable[..., Any], recorder: Any) -> None:
    """The child's end is told at once; the transport is done when the pipes are closed."""

    async def main() -> None:
        command = "sleep 1000 & echo $!; exit 5"
        transport, protocol = await either_loop.subprocess_shell(recorder, command, stdin=None, stderr=DEVNULL)
        await protocol.exited
        assert transport.get_returncode() == 5
        assert not protocol.over.done()
        assert ("lost", 1) not in protocol.told
        while not protocol.data[1]:
            await asyncio.sleep(0.001)
        os.kill(int(protocol.data[1]), signal.SIGKILL)
        await protocol.over

    run(main())


@pytest.mark.stdlib_since(3, 14)
def test_wait_does_not_wait_for_grandchildren(world: Any) -> None:
    async def main() -> None:
        process = await world.ns.create_subprocess_shell("sleep 1000 & echo $!; exit 5", stdout=PIPE)
        assert await process.wait() == 5
        pid = int(await process.stdout.readline())
        assert await process.wait() == 5
        os.kill(pid, signal.SIGKILL)
        assert await process.communicate() == (b"", None)

    if world.kind == "hasten-on-stock-loop" and sys.version_info < (3, 14):
        pytest.skip("the stock loop's transport is older")
    world.run(main())


def test_many_wait_for_one(world: Any) -> None:
    async def main() -> None:
        process = await world.ns.create_subprocess_exec("cat", stdin=PIPE)
        tasks = [world.ns.create_task(process.wait()) for _ in range(20)]
        await world.ns.sleep(0)
        tasks[3].cancel()
        process.stdin.close()
        results = await world.ns.gather(*tasks, return_exceptions=True)
        assert isinstance(results.pop(3), asyncio.CancelledError)
        assert results == [0] * 19
        assert await process.wait() == 0

    world.run(main())


def test_flow_control_of_standard_input(either_loop: Loop, run: Callable[..., Any], recorder: Any) -> None:
    class Flow(recorder):  # type: ignore[misc]
        def pause_writing(self) -> None:
            self.told.append("pause")

        def resume_writing(self) -> None:
            self.told.append("resume")

    async def main() -> None:
        transport, protocol = await either_loop.subprocess_shell(Flow, "read x; cat >/dev/null", stdout=None)
        stdin = transport.get_pipe_transport(0)
        stdin.write(b"x" * (1 << 20))
        assert protocol.told[-1] == "pause"
        stdin.write(b"\n" + b"y" * (1 << 20))
        stdin.close()
        await protocol.over
        assert "resume" in protocol.told or ("lost", 0) in protocol.told

    run(main())


def test_another_protocol(either_loop: Loop, run: Callable[..., Any], recorder: Any) -> None:
    async def main() -> None:
        transport, first = await either_loop.subprocess_exec(recorder, "cat")
        second = recorder()
        second.connection_made(transport)
        transport.set_protocol(second)
        transport.get_pipe_transport(0).write(b"data")
        transport.get_pipe_transport(0).close()
        await second.over
        assert second.data[1] == b"data"
        assert first.told == ["made"]

    run(main())


def test_a_transport_is_freed_when_all_is_over(either_loop: Loop, run: Callable[..., Any], recorder: Any) -> None:
    import weakref

    async def main() -> Any:
        transport, protocol = await either_loop.subprocess_exec(recorder, "echo", "x")
        await protocol.over
        transport.close()
        protocol.transport = None
        return weakref.ref(transport)

    gone = run(main())
    for thread in threading.enumerate():
        if "waitpid-" in thread.name:  # asyncio's, where it uses no pidfd: it holds the transport as long as it runs
            thread.join()
    gc.collect()
    assert gone() is None


class Boom(Exception):
    pass


@pytest.mark.parametrize("fails", ["pipe", "waitpid"])
def test_close_kills_whatever_fails(
    fails: str, loop: Any, run_on: Callable[..., Any], recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BadPipe:
        def close(self) -> None:
            raise Boom

    def waitpid(pid: int, options: int) -> Any:
        raise OSError(errno.EIO, "unexpected")

    async def main() -> None:
        transport, protocol = await loop.subprocess_exec(recorder, "sleep", "1000", stdout=None, stderr=None)
        pipe = transport._pipes[0]
        stdin = pipe.pipe
        with monkeypatch.context() as patch:
            if fails == "pipe":
                pipe.pipe = BadPipe()
                with pytest.raises(Boom):
                    transport.close()
                stdin.close()
            else:
                patch.setattr(os, "waitpid", waitpid)
                transport.close()
        await protocol.over
        assert transport.get_returncode() == -signal.SIGKILL

    run_on(loop, main())


def test_who_waits_for_the_end_is_woken_later_where_there_is_no_memory(
    loop: Any, run_on: Callable[..., Any], recorder: Any, reports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        transport, protocol = await loop.subprocess_exec(recorder, "cat")

        def without_memory(self: Any) -> None:
            monkeypatch.undo()
            raise MemoryError

        monkeypatch.setattr(type(transport), "_wake_waiters", without_memory)
        waiting = loop.create_task(transport._wait())
        await asyncio.sleep(0)
        transport.close()
        assert await asyncio.wait_for(waiting, 5) == -signal.SIGKILL
        assert protocol.told[-1] == "over"
        assert [type(each["exception"]) for each in reports] == [MemoryError]

    run_on(loop, main())


def test_pipes_are_closed_where_there_is_no_memory_to_connect_them(
    loop: Any, run_on: Callable[..., Any], recorder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_memory() -> None:
        raise MemoryError

    started: list[Any] = []
    popen = subprocess.Popen

    def kept(*args: Any, **kwargs: Any) -> Any:
        started.append(popen(*args, **kwargs))
        return started[0]

    async def main() -> None:
        with pytest.raises(MemoryError):
            await loop.subprocess_exec(recorder, "sleep", "600")  # it does not end by itself when its pipes do

    monkeypatch.setattr(subprocess, "Popen", kept)
    monkeypatch.setattr(loop, "_connects_pipes_plainly", without_memory)
    run_on(loop, main())
    child = started[0]
    assert child.returncode == -signal.SIGKILL
    assert child.stdin.closed
    assert child.stdout.closed
    assert child.stderr.closed


@pytest.mark.ours("the other one hears nothing any more")
@pytest.mark.parametrize("closed", ["the child's", "the other"])
def test_another_transport_on_a_pipe_to_a_child(
    either_loop: Loop, run: Callable[..., Any], recorder: Any, closed: str
) -> None:
    """Who closes the file object ends the other transport of it, which would wait for ever."""

    class Other(asyncio.Protocol):
        def __init__(self) -> None:
            self.lost = either_loop.create_future()

        def connection_lost(self, exc: Exception | None) -> None:
            self.lost.set_result(exc)

    async def main() -> None:
        transport, protocol = await either_loop.subprocess_exec(recorder, "cat", stdout=PIPE, stderr=None)
        file = transport.get_extra_info("subprocess").stdout
        other, second = await either_loop.connect_read_pipe(Other, file)
        ours: Any = transport.get_pipe_transport(1)
        (ours if closed == "the child's" else other).close()
        error = await second.lost
        while ("lost", 1) not in protocol.told:
            await asyncio.sleep(0)
        assert isinstance(error, OSError) == (closed == "the child's")
        transport.close()
        await protocol.over
        assert file.closed

    run(main())


@pytest.mark.ours("looks into hasten")
def test_pipes_of_children_are_forgotten(either_loop: Loop, run: Callable[..., Any], recorder: Any) -> None:
    """A pipe that comes later may have the same inode number."""

    async def main() -> None:
        transport, protocol = await either_loop.subprocess_exec(recorder, "cat")
        assert len(blocking.private_files) == 3
        popen = transport.get_extra_info("subprocess")
        assert not any(os.get_blocking(file.fileno()) for file in (popen.stdin, popen.stdout, popen.stderr))
        transport.close()
        await protocol.over

    run(main())
    assert not blocking.private_files
    assert not blocking.in_use
