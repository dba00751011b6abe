"""Subprocesses, on the loop that has them today: the stock one."""

from __future__ import annotations

import asyncio
import sys

import hasten

CAT = "import sys; sys.stdout.write(sys.stdin.read().upper())"


def run(coro):
    # the default loop of the platform: the one that can start subprocesses everywhere
    with asyncio.Runner() as runner:
        return runner.run(coro)


def test_communicate_without_input_ends_a_child_that_reads():
    async def main():
        process = await hasten.create_subprocess_exec(
            sys.executable, "-c", CAT, stdin=hasten.subprocess.PIPE, stdout=hasten.subprocess.PIPE
        )
        assert isinstance(process, hasten.subprocess.Process)
        assert await asyncio.wait_for(process.communicate(), 60) == (b"", None)
        assert process.returncode == 0

    run(main())


def test_communicate_with_input():
    async def main():
        process = await hasten.create_subprocess_exec(
            sys.executable, "-c", CAT, stdin=hasten.subprocess.PIPE, stdout=hasten.subprocess.PIPE
        )
        assert await process.communicate(b"hello") == (b"HELLO", None)

    run(main())


def test_shell():
    async def main():
        process = await hasten.create_subprocess_shell("echo out; echo err >&2; exit 3", stdout=-1, stderr=-1)
        assert await process.communicate() == (b"out\n", b"err\n")
        assert process.returncode == 3

    run(main())


def test_module_is_what_programs_expect():
    for name in ("PIPE", "STDOUT", "DEVNULL"):
        assert getattr(hasten.subprocess, name) == getattr(asyncio.subprocess, name)
    assert issubclass(hasten.subprocess.Process, asyncio.subprocess.Process)
