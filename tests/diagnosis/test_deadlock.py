"""Deadlocks: raised where the main task waits; and never where something might still wake a task."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten.core import attending
from hasten.diagnosis import deadlock

from . import programs

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="threads of C are seen on Linux only")

BEGIN = """
import asyncio, gc, os, signal, socket, subprocess, sys, threading
import hasten

one, two = hasten.Lock(), hasten.Lock()

async def take(first, second):
    async with first:
        await hasten.sleep(0)
        async with second:
            pass

"""


def test_a_circle_is_named_and_raised_in_the_main_task(tmp_path: Path) -> None:
    source = """
async def main():
    try:
        async with hasten.TaskGroup() as group:
            group.create_task(take(one, two), name="a")
            group.create_task(take(two, one), name="b")
    except hasten.DeadlockError as error:
        print(error, *error.__notes__, sep="\\n")
        raise SystemExit(3)

hasten.run(main())
"""
    done = programs.run(BEGIN + source, tmp_path)
    assert done.returncode == 3, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "Deadlock: every task waits, and nothing can wake one."
    assert lines[1].startswith("In a circle: task 'a' → Lock")
    assert lines[1].endswith("(held) → task 'a'")
    assert any(line.startswith("  task 'b' stands at File") and "program.py" in line for line in lines)
    assert lines[-1] == "See docs/mistakes/deadlock.md"


@pytest.mark.parametrize(
    "wait",
    [
        "await asyncio.get_running_loop().create_future()",
        "await hasten.Event().wait()",
        "await hasten.Queue().get()",
        "await hasten.create_task(hasten.Event().wait())",
        "await hasten.gather(hasten.Event().wait(), hasten.Queue().get())",
        "await hasten.wait([hasten.create_task(hasten.Event().wait())])",
        "await hasten.shield(hasten.Event().wait())",
        "await hasten.wait_for(hasten.Event().wait(), None)",
        "await hasten.Barrier(2).wait()",
        "await asyncio.Event().wait()",
        "await asyncio.Queue().get()",
        "await asyncio.Future()",
    ],
)
def test_a_wake_up_that_is_lost(wait: str, tmp_path: Path) -> None:
    source = f"""
async def main():
    {wait}

try:
    hasten.run(main())
except hasten.DeadlockError as error:
    text = str(error)
    assert "Nobody is left who could do what they wait for:" in text, text
    assert "program.py" in text
    print("told")
"""
    done = programs.run(BEGIN + source, tmp_path)
    assert (done.returncode, done.stdout) == (0, "told\n"), done.stderr


def test_a_gather_that_the_verdict_left_says_nothing_at_the_end(tmp_path: Path) -> None:
    """run() cancels what gather() waits for; that nobody took this cancellation is no news."""
    source = """
async def main():
    await hasten.gather(take(one, two), take(two, one))

hasten.run(main())
"""
    done = programs.run(BEGIN + source, tmp_path)
    assert done.returncode == 1
    assert "hasten.DeadlockError: Deadlock" in done.stderr
    assert "never retrieved" not in done.stderr


def test_what_fails_after_the_verdict_is_told(tmp_path: Path) -> None:
    source = """
async def fails():
    try:
        await hasten.Event().wait()
    finally:
        raise ValueError("while it ends")

async def main():
    await hasten.gather(fails())

hasten.run(main())
"""
    done = programs.run(BEGIN + source, tmp_path)
    assert "hasten.DeadlockError: Deadlock" in done.stderr
    assert "ValueError: while it ends" in done.stderr


def test_who_catches_it_and_waits_again_is_told_once(tmp_path: Path) -> None:
    source = """
async def main():
    try:
        await hasten.Event().wait()
    except hasten.DeadlockError:
        print("told", flush=True)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(1)  # ends the process: nobody is to tell it again
    await hasten.Event().wait()

hasten.run(main())
"""
    done = programs.run(BEGIN + source, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (-14, "told\n", "")


def test_without_a_main_task_it_is_logged(tmp_path: Path) -> None:
    source = """
loop = hasten.new_event_loop()
task = loop.create_task(hasten.Event().wait(), name="the one")
signal.alarm(1)
loop.run_forever()
"""
    done = programs.run(BEGIN + source, tmp_path)
    assert done.returncode == -14
    assert done.stderr.startswith("Deadlock: every task waits, and nothing can wake one.\n")
    assert done.stderr.count("task 'the one' stands at") == 1


@pytest.mark.parametrize(
    "case",
    {
        "a timer": "asyncio.get_running_loop().call_later(0.05, event.set)",
        "a sleep": "task = hasten.create_task(after(hasten.sleep(0.05)))",
        "a thread": """
    loop = asyncio.get_running_loop()
    thread = threading.Timer(0.05, loop.call_soon_threadsafe, [event.set])
    thread.start()""",
        "a job": "task = hasten.create_task(after(hasten.to_thread(__import__('time').sleep, 0.05)))",
        "a descriptor": """
    ours, theirs = os.pipe()
    child = subprocess.Popen(["sh", "-c", "sleep 0.1; echo"], stdout=theirs)
    loop = asyncio.get_running_loop()
    loop.add_reader(ours, lambda: (loop.remove_reader(ours), event.set()))""",
        "a child": """
    async def child():
        process = await hasten.create_subprocess_exec("sleep", "0.1")
        await process.wait()
    task = hasten.create_task(after(child()))""",
        "a stream": """
    ours, theirs = socket.socketpair()
    child = subprocess.Popen(["sh", "-c", "sleep 0.1; echo >&0"], stdin=theirs)
    async def reads():
        reader, writer = await hasten.open_connection(sock=ours)
        await reader.readline()
        writer.close()
    task = hasten.create_task(after(reads()))""",
        "a socket": """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    child = subprocess.Popen(["sh", "-c", "sleep 0.1; echo >&0"], stdin=theirs)
    task = hasten.create_task(after(asyncio.get_running_loop().sock_recv(ours, 1)))""",
        "a loop's signal handler": """
    asyncio.get_running_loop().add_signal_handler(signal.SIGALRM, event.set)
    signal.setitimer(signal.ITIMER_REAL, 0.05)""",
        "a signal handler": """
    loop = asyncio.get_running_loop()
    signal.signal(signal.SIGALRM, lambda *_: loop.call_soon_threadsafe(event.set))
    signal.setitimer(signal.ITIMER_REAL, 0.05)""",
        "a thread of C": """
    import ctypes
    libc = ctypes.CDLL(None)
    usleep = ctypes.cast(libc.usleep, ctypes.c_void_p)  # as a thread's function: the interpreter knows none of it
    number = ctypes.c_ulong()
    libc.pthread_create(ctypes.byref(number), None, usleep, ctypes.c_void_p(50000))
    known = [each for each in threading.enumerate() if each.name != "hasten-watch"]  # uncompiled, a thread of Python's
    assert deadlock._others_live() and len(known) == 1
    libc.pthread_join(number, None)
    event.set()""",
        "an idle thread": """
    await hasten.to_thread(int)
    assert deadlock._others_live()
    asyncio.get_running_loop().call_later(0.05, event.set)""",
    }.items(),
    ids=lambda case: case[0],
)
def test_nothing_is_said_while_something_may_wake_a_task(case: tuple[str, str], tmp_path: Path) -> None:
    source = f"""
from hasten.diagnosis import deadlock

async def after(what):
    await what
    event.set()

async def main():
    global event
    event = hasten.Event()
    {case[1].strip()}
    await event.wait()
    print("woken")

hasten.run(main())
"""
    done = programs.run(BEGIN + source, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "woken\n", "")


def test_a_loop_in_another_thread_is_left_alone(tmp_path: Path) -> None:
    source = """
async def main(ready):
    global loop, event
    loop, event = asyncio.get_running_loop(), hasten.Event()
    ready.set()
    await event.wait()
    print("woken")

ready = threading.Event()
thread = threading.Thread(target=lambda: hasten.run(main(ready)))
thread.start()
ready.wait()
import time
time.sleep(0.2)
loop.call_soon_threadsafe(event.set)
thread.join()
"""
    done = programs.run(BEGIN + source, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "woken\n", "")


def test_what_the_collector_wakes_is_no_deadlock(tmp_path: Path) -> None:
    """The check itself makes garbage, whose destructors run: if one wakes somebody, nothing is said."""
    source = """
class Waker:
    def __init__(self):
        self.circle = self
    def __del__(self):
        event.set()

async def main():
    global event
    event = hasten.Event()
    from hasten.diagnosis import deadlock
    said = deadlock.verdict
    def verdict(graph):
        gc.collect()
        return said(graph)
    deadlock.verdict = verdict
    gc.disable()
    Waker()
    await event.wait()
    print("woken")

hasten.run(main())
"""
    done = programs.run(BEGIN + source, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "woken\n", "")


@pytest.mark.parametrize("value", ["1", "50", "0.5"])
def test_any_value_of_the_variable_but_0_turns_it_on(value: str, tmp_path: Path) -> None:
    source = """
try:
    hasten.run(hasten.Event().wait())
except hasten.DeadlockError:
    print("told")
"""
    done = programs.run(BEGIN + source, tmp_path, HASTEN_WATCH=value)
    assert (done.returncode, done.stdout, done.stderr) == (0, "told\n", "")


def test_hasten_run_looks_for_them_too(tmp_path: Path) -> None:
    source = """
import asyncio

async def main():
    await asyncio.Event().wait()

asyncio.run(main())
"""
    done = programs.run(source, tmp_path, "-m", "hasten", "run", HASTEN_WATCH="")
    assert done.returncode == 1
    assert "DeadlockError: Deadlock: every task waits" in done.stderr


def test_without_being_asked_nothing_looks(tmp_path: Path) -> None:
    source = """
import sys, signal
import hasten

async def main():
    signal.alarm(1)
    print([name for name in sys.modules if name.startswith("hasten.diagnosis.") and "deadlock" in name], flush=True)
    await hasten.Event().wait()

hasten.run(main())
"""
    done = programs.run(source, tmp_path, HASTEN_WATCH="0")
    assert (done.returncode, done.stdout, done.stderr) == (-14, "[]\n", "")


def test_a_hook_that_fails_is_reported_and_the_loop_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> str:
        loop: Any = hasten.get_running_loop()
        event = hasten.Event()

        def hook(loop: Any) -> None:
            loop.call_soon(event.set)
            raise ValueError("the hook's")

        attending.on_idle = hook
        loop._attend()
        await event.wait()
        assert loop.is_running()
        return "woken"

    assert hasten.run(main()) == "woken"
    assert attending.on_idle is None
    assert "a companion of hasten's failed and is off now: the hook's" in caplog.text


def test_interrupting_a_task_leaves_what_it_waited_for() -> None:
    async def main() -> None:
        future = hasten.get_running_loop().create_future()
        lock = hasten.Lock()
        await lock.acquire()

        async def waits(what: object) -> str:
            try:
                await what  # type: ignore[misc]
            except KeyError:
                return "interrupted"
            return "done"

        for what in (future, lock.acquire(), hasten.create_task(hasten.sleep(0.001)), hasten.sleep(100)):
            task = hasten.create_task(waits(what))
            assert not deadlock._interrupt(task, KeyError())
            await hasten.sleep(0)
            assert deadlock._interrupt(task, KeyError())
            assert not deadlock._interrupt(task, KeyError())
            assert await task == "interrupted"
            assert not deadlock._interrupt(task, KeyError())
        assert not future.done()
        lock.release()
        assert not lock.locked()

    hasten.run(main())


def test_a_poller_that_is_not_known_may_do_anything() -> None:
    class Poller:
        name = "virtual"

    class Loop:
        _poller = Poller()

    assert not deadlock.is_dead(Loop())


def test_it_is_switched_off_again() -> None:
    deadlock.tell_deadlocks()
    deadlock.tell_deadlocks(False)
    assert issubclass(hasten.DeadlockError, RuntimeError)


def test_a_task_that_goes_on_after_the_verdict_is_not_woken_twice(tmp_path: Path) -> None:
    source = """
async def main():
    loop = hasten.get_running_loop()
    future = loop.create_future()
    try:
        await future
    except hasten.DeadlockError:
        print("deadlock")
    loop.call_soon(future.set_result, None)
    begun = loop.time()
    await hasten.sleep(0.01)
    print("slept", loop.time() - begun >= 0.01)

hasten.tell_deadlocks()
hasten.run(main())
"""
    done = programs.run(BEGIN + source, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "deadlock\nslept True\n", "")
