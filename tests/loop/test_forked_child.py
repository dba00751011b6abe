"""A child process that a fork made inside a running loop: it must not disturb its parent's loop."""

from __future__ import annotations

import os
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


SIGNALS = """
import asyncio, os, signal, sys, hasten

foreign = sys.argv[1:] == ["foreign"]

async def main():
    loop = asyncio.get_running_loop()
    heard = loop.create_future()
    loop.add_signal_handler(signal.SIGUSR1, lambda: heard.done() or heard.set_result("SIGUSR1"))
    loop.add_signal_handler(signal.SIGTERM, print, "the parent heard the child's SIGTERM")
    if foreign:
        a, b = os.pipe()
        os.set_blocking(b, False)
        signal.set_wakeup_fd(b)
    ready, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        left = signal.set_wakeup_fd(-1)
        print("left in the child:", "nothing" if left == -1 else "the other one" if foreign and left == b else "ours")
        sys.stdout.flush()
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        os.write(told, b"x")
        while True:
            signal.pause()
    os.read(ready, 1)
    os.kill(pid, signal.SIGTERM)
    print("child ended with", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    if foreign:
        return
    os.kill(os.getpid(), signal.SIGUSR1)  # comes by the same way, behind whatever the child has written
    print(await asyncio.wait_for(heard, 10))

hasten.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")
@pytest.mark.parametrize("whose", ["ours", "foreign"])
def test_the_childs_signals_do_not_reach_the_parent(whose: str) -> None:
    done = subprocess.run(
        [sys.executable, "-u", "-W", "ignore", "-c", SIGNALS, whose],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if whose == "ours":
        expected = ["left in the child: nothing", "child ended with 7", "SIGUSR1"]
    elif sys.version_info >= (3, 12):  # asyncio itself takes away whatever there is
        expected = ["left in the child: nothing", "child ended with 7"]
    else:
        expected = ["left in the child: the other one", "child ended with 7"]
    assert done.stdout.splitlines() == expected, done.stderr
