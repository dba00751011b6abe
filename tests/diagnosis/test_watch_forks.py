"""The watch in processes that fork, by Python and by C code that does not tell Python."""

from __future__ import annotations

import sys

import pytest

from tests import families

FORKS = """
import ctypes, os, sys, threading, time, warnings
warnings.simplefilter("ignore")
import hasten
from hasten.diagnosis import watch as watching
state, how = sys.argv[1:]
if state == "telling":
    watching.HANG = 0.05
    reader, writer = os.pipe()
    saved = os.dup(2)
    os.dup2(writer, 2)
seen = []
def report(stall):
    print(os.getpid(), stall, file=sys.__stderr__, flush=True)
    if stall.seconds > 0.25:  # not one of a machine with much to do
        seen.append(stall)
hasten.watch(0.05, report=report)
libc = ctypes.CDLL(None)
fork = os.fork if how == "os" else libc.fork
def forks():
    child = fork()
    if child == 0:
        code = 1
        try:
            import asyncio
            asyncio._set_running_loop(None)
            seen.clear()
            async def main():
                time.sleep(0.5)
                await hasten.sleep(0.001)
            hasten.run(main())
            code = 0 if len(seen) == 1 else 2
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]
async def main():
    await hasten.sleep(0.01)
    if state in ("looking", "telling"):
        time.sleep(0.04 if state == "looking" else 0.2)
    return forks()
if state == "no thread yet":
    print(forks())
elif state == "nothing to watch":
    hasten.run(hasten.sleep(0))
    print(forks())
else:
    print(hasten.run(main()))
print(len(seen))
"""


@pytest.mark.parametrize("how", ["os", "C"])
@pytest.mark.parametrize("state", ["no thread yet", "nothing to watch", "napping", "looking", "telling"])
def test_forks_in_each_state_of_the_watch(state: str, how: str) -> None:
    done = families.run([sys.executable, "-c", FORKS, state, how], timeout=100)
    lines = done.stdout.split()
    assert lines[0] == "0", done.stdout + done.stderr
    # the child has its own, and the parent's is told, if the child took long enough
    assert lines[1] == ("0" if state in ("no thread yet", "nothing to watch") else "1"), done.stderr
