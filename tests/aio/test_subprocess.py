"""create_subprocess_exec() and _shell(), and the Process that they give: its streams, communicate(), wait()."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import logging
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

import hasten

PIPE = asyncio.subprocess.PIPE
MIB = 1 << 20


def spawn(world: Any, *command: Any, stdin: Any = PIPE, stdout: Any = PIPE, **options: Any) -> Any:
    return world.ns.create_subprocess_exec(*command, stdin=stdin, stdout=stdout, **options)


def test_module_is_what_programs_expect() -> None:
    for name in ("PIPE", "STDOUT", "DEVNULL"):
        assert getattr(hasten.subprocess, name) == getattr(asyncio.subprocess, name)
    assert issubclass(hasten.subprocess.Process, asyncio.subprocess.Process)
    for name in ("create_subprocess_exec", "create_subprocess_shell"):
        ours, theirs = getattr(hasten.subprocess, name), getattr(asyncio.subprocess, name)
        assert ours is getattr(hasten, name)
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(theirs).parameters)
        assert inspect.iscoroutinefunction(ours)


def test_communicate_with_input(world: Any) -> None:
    async def main() -> None:
        process = await spawn(world, "tr", "a-z", "A-Z")
        assert isinstance(process, world.ns.subprocess.Process)
        assert repr(process) == f"<Process {process.pid}>"
        assert process.returncode is None
        assert await process.communicate(b"hello") == (b"HELLO", None)
        assert process.returncode == 0

    world.run(main())


@pytest.mark.stdlib_since(3, 12)
def test_communicate_without_input_ends_a_child_that_reads(world: Any) -> None:
    async def main() -> None:
        process = await spawn(world, "tr", "a-z", "A-Z")
        assert await world.ns.wait_for(process.communicate(), 60) == (b"", None)
        assert process.returncode == 0

    world.run(main())


def test_communicate_with_what_there_is(world: Any) -> None:
    """Streams that are no pipes give None."""

    async def main() -> None:
        command = "cat; echo out; echo err >&2; exit 3"
        for stdin in (PIPE, None):
            for stdout in (PIPE, asyncio.subprocess.DEVNULL):
                for stderr in (PIPE, asyncio.subprocess.STDOUT):
                    process = await world.ns.create_subprocess_shell(
                        f"exec </dev/null; {command}" if stdin is None else command,
                        stdin=stdin,
                        stdout=stdout,
                        stderr=stderr,
                    )
                    found = await process.communicate(b"in " if stdin else None)
                    merged = b"out\n" + (b"" if stderr == PIPE else b"err\n")
                    expected = (b"in " if stdin else b"") + merged if stdout == PIPE else None
                    assert found == (expected, b"err\n" if stderr == PIPE else None)
                    assert process.returncode == 3

    world.run(main())


@pytest.mark.slow("moves a hundred megabytes through two pipes")
def test_communicate_with_a_hundred_megabytes(world: Any) -> None:
    sent = os.urandom(MIB) * 100

    async def main() -> bytes:
        process = await spawn(world, "cat")
        out, _ = await process.communicate(sent)
        assert process.returncode == 0
        return out

    assert hashlib.sha256(world.run(main())).digest() == hashlib.sha256(sent).digest()


def test_a_child_that_does_not_read_its_input(world: Any) -> None:
    """That is no error: what it did not want is dropped."""

    async def main() -> None:
        process = await spawn(world, "true")
        assert await process.communicate(b"x" * MIB) == (b"", None)
        process = await spawn(world, "sh", "-c", "exec <&-; echo closed; cat /dev/null")
        assert await process.communicate(b"x" * MIB) == (b"closed\n", None)

    world.run(main())


def test_a_child_that_ended_before_it_was_given_its_input(world: Any) -> None:
    async def main() -> None:
        process = await spawn(world, "true")
        await process.wait()
        await asyncio.sleep(0)
        assert await process.communicate(b"x" * MIB) == (b"", None)

    world.run(main())


def test_lines(world: Any) -> None:
    async def main() -> None:
        process = await spawn(world, "sh", "-c", "while read line; do echo got $line; done")
        for number in range(20):
            process.stdin.write(b"%d\n" % number)
            await process.stdin.drain()
            assert await process.stdout.readline() == b"got %d\n" % number
        process.stdin.close()
        await process.stdin.wait_closed()
        assert await process.stdout.read() == b""
        assert await process.wait() == 0

    world.run(main())


def test_limit(world: Any) -> None:
    """A reader that has enough pauses the pipe, and the child waits."""

    async def main() -> None:
        # told to begin: what comes before uvloop has handed the pipe over is read without a limit, all of it
        process = await spawn(world, "sh", "-c", f"read line; exec head -c {MIB} /dev/zero", limit=1000)
        process.stdin.write(b"begin\n")
        with pytest.raises(ValueError, match="limit"):
            await process.stdout.readline()
        got = 0
        while data := await process.stdout.read(500):
            got += len(data)
        assert 0 < got <= MIB
        assert await process.wait() == 0

    world.run(main())


def test_cancelled_communicate(world: Any) -> None:
    async def main() -> None:
        process = await spawn(world, "sleep", "1000", stderr=PIPE)
        task = world.ns.create_task(process.communicate(b"x"))
        await world.ns.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        process.kill()
        assert await process.wait() == -signal.SIGKILL

    world.run(main())


def test_timeout(world: Any) -> None:
    async def main() -> None:
        process = await spawn(world, "sleep", "1000", stdin=None)
        with pytest.raises(TimeoutError):
            await world.ns.wait_for(process.communicate(), 0.02)
        process.terminate()
        assert await process.wait() == -signal.SIGTERM

    world.run(main())


def test_communicate_waits_for_who_holds_the_pipes(world: Any) -> None:
    async def main() -> None:
        process = await world.ns.create_subprocess_shell("sleep 1000 & echo $!; exit 3", stdout=PIPE)
        pid = int(await process.stdout.readline())
        task = world.ns.create_task(process.communicate())
        await world.ns.sleep(0.02)
        assert not task.done()
        os.kill(pid, signal.SIGKILL)
        assert await task == (b"", None)
        assert process.returncode == 3

    world.run(main())


@pytest.mark.parametrize("name", ["create_subprocess_exec", "create_subprocess_shell"])
def test_debug_mode(name: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_debug(True)
        process = await getattr(hasten, name)("cat", stdin=PIPE, stdout=PIPE)
        assert await process.communicate(b"data") == (b"data", None)

    with caplog.at_level(logging.DEBUG, "asyncio"), asyncio.Runner(loop_factory=hasten.new_event_loop) as runner:
        runner.run(main())
    for text in ("feed stdin (4 bytes)", "close stdin", "read stdout", "close stdout"):
        assert text in caplog.text


def test_asyncios_own_functions_after_install() -> None:
    hasten.install()
    try:

        async def main() -> Any:
            process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
            assert type(process) is hasten.subprocess.Process
            return await process.communicate(b"installed")

        assert asyncio.run(main()) == (b"installed", None)
    finally:
        hasten.uninstall()


def test_two_tasks_at_one_process(world: Any) -> None:
    async def main() -> None:
        process = await spawn(world, "cat")
        waiting = [world.ns.create_task(process.wait()) for _ in range(3)]
        assert await process.communicate(b"x") == (b"x", None)
        assert await world.ns.gather(*waiting) == [0, 0, 0]
        assert await process.communicate() == (b"", None)

    world.run(main())


def test_many_at_once(world: Any) -> None:
    async def one(number: int) -> None:
        process = await spawn(world, "cat")
        assert await process.communicate(b"%d" % number) == (b"%d" % number, None)

    async def main() -> None:
        await world.ns.gather(*map(one, range(40)))

    world.run(main())


def test_a_program_that_forgets_a_child() -> None:
    """It ends, without an error of the loop's, and the child is killed."""
    program = """
import asyncio, hasten
async def main():
    global process
    process = await asyncio.create_subprocess_exec("sleep", "1000", stdin=-1, stdout=-1)
with asyncio.Runner(loop_factory=hasten.new_event_loop) as runner:
    runner.run(main())
print(process.pid)
"""
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)
