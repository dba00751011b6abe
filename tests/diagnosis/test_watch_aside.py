"""The watch where its own thread comes late: behind the loop's, or behind another thread that watches in its place."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten.diagnosis.watch import how
from hasten.diagnosis.watcher import Watcher
from tests.net.injecting import needs_strace, run_failing

IN_C = how() == "C thread"
needs_c = pytest.mark.skipif(not IN_C, reason="there is no thread of C here")

STANDS = """
import os, signal, sys, time
import hasten
hasten.watch(1.0)
async def main():
    await hasten.sleep(0.01)
    time.sleep(0.8)  # for long enough to be looked at, ever more rarely
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(float(sys.argv[1]))
    await hasten.sleep(0.01)
hasten.run(main())
"""


@needs_c
@pytest.mark.slow  # stands still for a second
@pytest.mark.parametrize("then", ["0", "0.03"])
def test_a_callback_that_ends_soon_after_the_process_stood_still(then: str) -> None:
    with subprocess.Popen([sys.executable, "-c", STANDS, then], stderr=subprocess.PIPE, text=True) as process:
        try:
            while b") T " not in Path(f"/proc/{process.pid}/stat").read_bytes():
                time.sleep(0.001)
            time.sleep(1.2)
            process.send_signal(signal.SIGCONT)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "blocked" not in errors


@needs_c
def test_what_was_sampled_and_not_taken_hides_no_later_stall() -> None:
    told: list[float] = []
    watcher = Watcher(lambda watcher, loop, since, now, seen: told.append(since))

    async def main() -> Any:
        loop = hasten.get_running_loop()
        assert watcher.watch(loop, 0.05, 1e9, True)
        for _ in range(2):  # the poll between them is not told of, as if the sample had come a moment too late
            since = time.monotonic()
            watcher.poll_ends(loop, since)
            time.sleep(0.2)  # noqa: ASYNC251
        watcher.poll_begins(loop, 0.0)
        watcher.let_go()
        return since

    since = hasten.run(main(), debug=False)
    assert told == [since]


TAKES_OVER = """
import os, threading, time, warnings
warnings.simplefilter("ignore")
import hasten
told = []
hasten.watch(0.1, report=told.append)
async def other():
    await hasten.sleep(2.0)
    time.sleep(0.5)
    await hasten.sleep(0.01)
thread = threading.Thread(target=lambda: hasten.run(other()))
async def main():
    await hasten.sleep(0.7)
    threading.Timer(0.1, thread.start).start()
    if os.fork() == 0:  # waits until the thread that looks has ended
        os._exit(0)
    os.wait()
    while thread.is_alive():
        await hasten.sleep(0.05)
hasten.run(main())
print(len(told))
"""


@needs_c
@needs_strace
@pytest.mark.slow  # system calls take half a second
def test_a_thread_that_ends_late_does_not_put_to_sleep_the_one_that_has_begun_meanwhile() -> None:
    # The thread that looks finds itself late, and asks the kernel why: when it has the answer, a fork has told it to
    # end, and a loop of another thread has begun another one.
    done = run_failing(TAKES_OVER, "openat:delay_enter=500000:when=2..3")
    assert (done.stdout, done.stderr) == ("1\n", "")
