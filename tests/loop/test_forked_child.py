"""A child process that a fork made inside a running loop: it must not disturb its parent's loop."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, os, hasten

async def inherit():
    loop = asyncio.get_running_loop()
    read, write = os.pipe()
    got = loop.create_future()
    loop.add_reader(read, lambda: got.done() or got.set_result(os.read(read, 10)))
    pid = os.fork()
    if pid == 0:
        try:
            hasten.create_task(None)
        except RuntimeError as exc:
            print(exc)
        loop.remove_reader(read)
        try:
            loop.add_reader(read, print)
        except RuntimeError as exc:
            print(exc)
        asyncio._set_running_loop(None)
        print(hasten.run(asyncio.sleep(0, "the child's own loop runs")), flush=True)
        os._exit(0)
    print("child ended with", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    os.write(write, b"seen")
    print(await asyncio.wait_for(got, 10))

hasten.run(inherit())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the child's epoll is the parent's on Linux only")
def test_the_childs_changes_do_not_reach_the_parent() -> None:
    done = subprocess.run(
        [sys.executable, "-u", "-W", "ignore", "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.splitlines() == [
        "no running event loop",
        "this event loop was made before a fork: the child process has to make its own",
        "the child's own loop runs",
        "child ended with 0",
        "b'seen'",
    ], done.stderr
