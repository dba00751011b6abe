"""The watch among programs, and on machines, that make it hard."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten.diagnosis import processes
from hasten.diagnosis import watch as watching
from hasten.diagnosis.stall import Stall
from hasten.kernel import stalls
from hasten.kernel.step import Step

IN_C = watching.how() == "C thread"
needs_c = pytest.mark.skipif(not IN_C, reason="a thread of Python's sees less")


def block(seconds: float = 0.5) -> None:
    time.sleep(seconds)


def child(code: str, *args: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    command = [sys.executable, "-c", code, *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)


# ---- who it was ----------------------------------------------------------------------------


def test_a_task_that_has_ended_when_it_is_told_is_named() -> None:
    async def work() -> None:
        block()

    async def main() -> None:
        await hasten.create_task(work(), name="an ended one")
        unnamed = hasten.create_task(work())
        names.append(unnamed.get_name())
        await unnamed

    seen: list[Stall] = []
    names = ["an ended one"]
    with hasten.watch(report=seen.append):
        hasten.run(main())
    assert [stall.task for stall in seen] == names
    made = main.__code__.co_firstlineno + 1
    assert [stall.made for stall in seen] == [f"{__file__}:{made}", f"{__file__}:{made + 1}"]


def test_a_task_of_a_class_that_derives_from_hasten_s_is_named_by_its_own_name() -> None:
    class Mine(hasten.Task[None]):
        def get_name(self) -> str:
            raise ZeroDivisionError("get_name")

    async def work() -> None:
        block()

    async def main() -> None:
        await Mine(work(), loop=hasten.get_running_loop(), name="ñame 長")

    seen: list[Stall] = []
    with hasten.watch(report=seen.append):
        hasten.run(main())
    assert [stall.task for stall in seen] == ["ñame 長"]


def test_stock_tasks_with_hostile_methods_are_told_and_it_watches_on() -> None:
    class Mine(asyncio.Task[None]):
        def get_name(self) -> str:
            raise ZeroDivisionError("get_name")

        def __getattr__(self, name: str) -> Any:
            raise ZeroDivisionError(name)

    async def work() -> None:
        block()
        await asyncio.sleep(0.001)

    async def main() -> None:
        for _ in range(2):
            await Mine(work(), loop=hasten.get_running_loop(), name="stock")

    seen: list[Stall] = []
    with hasten.watch(report=seen.append):
        hasten.run(main())
    assert len(seen) == 2


def test_a_clock_of_the_program_s_own_that_fails() -> None:
    class Loop(hasten.Loop):
        broken = False

        def time(self) -> float:
            if self.broken:
                raise ZeroDivisionError("time")
            return super().time()

    seen: list[Stall] = []
    with hasten.watch(report=seen.append):
        loop = Loop()
        for _ in range(2):
            loop.call_soon(block)
            loop.call_soon(loop.stop)
            loop.run_forever()
        loop.close()
    assert len(seen) == 2


# ---- who is not to blame -------------------------------------------------------------------

STARVES = """
import ctypes, os, subprocess, sys, threading, time
import hasten
if sys.argv[1:] == ["C"] and (child := ctypes.CDLL(None).fork()):  # which Python is not told of
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
found = []
hasten.watch(0.3, report=found.append)
path = f"/proc/self/task/{threading.get_native_id()}/schedstat"
def queued():
    return int(open(path).read().split()[1]) / 1e9
async def main():
    await hasten.sleep(0.01)
    cpu = min(os.sched_getaffinity(0))
    begins = f"import os; os.sched_setaffinity(0, [{cpu}]); print(1, flush=True)"
    spins = f"{begins}\\nwhile os.getppid() == {os.getpid()}: pass"
    spinner = subprocess.Popen([sys.executable, "-c", spins], stdout=subprocess.PIPE)
    spinner.stdout.readline()
    await hasten.sleep(0.01)
    os.sched_setaffinity(0, [cpu])
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))  # of this thread: it gets what others leave
    await hasten.sleep(0.01)
    before, end = queued(), time.monotonic() + 1.0
    while time.monotonic() < end:
        pass
    waited = queued() - before
    await hasten.sleep(0)
    spinner.kill()
    spinner.wait()
    if waited < 0.8:
        print("it was not kept waiting", flush=True)
hasten.run(main())
print(len(found), flush=True)
os._exit(0)
"""


@pytest.mark.slow  # computes for a second
@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux only")
@pytest.mark.parametrize("extensions", [True, False])
@pytest.mark.parametrize("fork", ["no", "C"])
def test_a_thread_that_waits_for_a_processor_is_not_blamed(fork: str, extensions: bool) -> None:
    if not Path("/proc/self/schedstat").exists():
        pytest.skip("this kernel does not tell for how long a thread waits")
    for _ in range(3):  # where the thread that looks waits as well, it comes too late to see from when on
        done = child(STARVES, fork, **({} if extensions else {"HASTEN_NO_EXTENSIONS": "1"}))
        if "not kept waiting" in done.stdout:
            pytest.skip("the scheduler gave it time nevertheless")
        if done.stdout == "0\n":
            break
    assert done.stdout == "0\n", done.stdout + done.stderr


@needs_c
def test_a_process_that_stood_still_for_a_moment() -> None:
    code = (
        "import os, signal, hasten\nhasten.watch(0.15)\nasync def main():\n"
        "    await hasten.sleep(0.05)\n    os.kill(os.getpid(), signal.SIGSTOP)\n    await hasten.sleep(0.001)\n"
        "hasten.run(main())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    while b") T " not in Path(f"/proc/{process.pid}/stat").read_bytes():
        time.sleep(0.001)
    time.sleep(0.17)
    process.send_signal(signal.SIGCONT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "blocked" not in errors


def test_a_loop_that_sleeps_in_another_thread_when_the_watch_begins() -> None:
    code = """
import threading
import hasten
from hasten.diagnosis import watch
watch.HANG = 0.1
sleeping = threading.Event()
async def other():
    hasten.get_running_loop().call_soon(sleeping.set)
    await hasten.sleep(0.6)
thread = threading.Thread(target=lambda: hasten.run(other()))
thread.start()
sleeping.wait()
while not hasten.core.observing.running[0]._poller.sleeping:
    pass
hasten.watch(0.05)
thread.join()
"""
    assert child(code).stderr == ""


# ---- what must not keep it from looking ----------------------------------------------------


@needs_c
def test_loops_that_come_and_go_all_the_time() -> None:
    seen: list[Stall] = []
    end = threading.Event()

    def come_and_go() -> None:
        while not end.is_set():
            hasten.run(hasten.sleep(0))

    async def main() -> None:
        block()
        await hasten.sleep(0.001)

    with hasten.watch(report=seen.append):
        thread = threading.Thread(target=come_and_go)
        thread.start()
        try:
            hasten.run(main())
        finally:
            end.set()
            thread.join()
    assert any(place.function == "block" for stall in seen for place in stall.places)


@needs_c
@pytest.mark.parametrize("depth", [500, 5000, 15_000])
def test_very_deep_stacks(depth: int) -> None:
    def deep(n: int) -> None:
        if n:
            deep(n - 1)
        else:
            block(0.3)

    async def main() -> None:
        deep(depth)
        await hasten.sleep(0.001)

    outermost = [code.f_code.co_qualname for code, _ in traceback.walk_stack(None)][-1]
    seen: list[Stall] = []
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100_000)
    try:
        with hasten.watch(report=seen.append):
            hasten.run(main())
    finally:
        sys.setrecursionlimit(limit)
    [stall] = seen
    assert stall.places[0].function == "block"
    assert stall.places[-1].function == outermost


@needs_c
def test_names_that_cannot_be_read_are_told_without_a_place() -> None:
    class Name(str):
        pass

    scope: dict[str, Any] = {"time": time, "hasten": hasten}
    exec(compile("async def main():\n    time.sleep(0.5)\n    await hasten.sleep(0.001)\n", "x", "exec"), scope)
    try:
        scope["main"].__code__ = scope["main"].__code__.replace(co_filename=Name("no plain text"))
    except TypeError:
        pytest.skip("this Python takes plain texts only")
    seen: list[Stall] = []
    with hasten.watch(report=seen.append):
        hasten.run(scope["main"]())
    [stall] = seen
    assert stall.place is None
    assert "The event loop was blocked" in str(stall)


@pytest.mark.parametrize("kind", ["pipe", "terminal", "missing", "zero"])
def test_code_that_goes_by_the_name_of_what_cannot_be_read_at_once(kind: str, tmp_path: Path) -> None:
    path = {"terminal": "/dev/ptmx", "zero": "/dev/zero", "missing": "/not/there"}.get(kind, str(tmp_path / "pipe"))
    if kind == "pipe":
        os.mkfifo(path)
    scope: dict[str, Any] = {"time": time, "hasten": hasten}
    exec(compile("async def main():\n    time.sleep(0.5)\n    await hasten.sleep(0.001)\n", path, "exec"), scope)
    seen: list[str] = []
    with hasten.watch(report=lambda stall: seen.append(str(stall))):
        hasten.run(scope["main"]())
    [text] = seen
    assert f"at {path}:2, in main\n" in text


@needs_c
def test_a_program_that_replaces_the_clock_of_the_time_module(monkeypatch: Any) -> None:
    seen: list[Stall] = []

    async def main() -> None:
        block()
        await hasten.sleep(0.001)

    with hasten.watch(report=seen.append):
        monkeypatch.setattr(time, "monotonic", lambda: 1e6)
        monkeypatch.setattr(time, "thread_time", lambda: 1e6)
        hasten.run(main())
    [stall] = seen
    assert 0.19 < stall.seconds < 5.0
    assert stall.computed < 0.5


@needs_c
@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan"), float("inf")])
def test_a_threshold_with_which_the_thread_would_never_rest(threshold: float) -> None:
    with pytest.raises(ValueError, match="number of seconds"):
        stalls.Watched().attach(Step(None), threshold, 5.0)


# ---- what it must not change ---------------------------------------------------------------


@needs_c
@pytest.mark.slow  # hangs for a second and a half
def test_a_terminal_that_was_stopped_holds_up_nobody() -> None:
    """Its loop goes on, and forks, and the program ends, while the thread of C hangs in a write to stderr."""
    code = """
import os, pty, sys, termios, time
import hasten
from hasten.diagnosis import watch
main_end, terminal = pty.openpty()
os.dup2(terminal, 2)
termios.tcflow(terminal, termios.TCOOFF)
watch.HANG = 0.2
hasten.watch(report=lambda stall: print("told", flush=True))
async def main():
    await hasten.sleep(0.01)
    time.sleep(0.6)
    await hasten.sleep(0.01)
hasten.run(main())
child = os.fork()
if child == 0:
    os._exit(0)
print(os.waitpid(child, 0)[1], flush=True)
"""
    done = child(code)
    assert done.stdout == "told\n0\n", done.stdout
    assert done.returncode == 0


@needs_c
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers need terabytes of addresses")
def test_where_no_thread_can_be_had_the_program_runs_unwatched() -> None:
    code = """
import resource, threading
import hasten, hasten.diagnosis.watch, hasten.diagnosis.watcher
hasten.diagnosis.watch.how()
for _ in range(3):  # what it needs is there
    hasten.run(hasten.sleep(0))
threading.stack_size(256 * 1024 * 1024)
size = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
resource.setrlimit(resource.RLIMIT_AS, (size + 300_000, resource.RLIM_INFINITY))
with hasten.watch():
    for _ in range(3):
        hasten.run(hasten.sleep(0))
print("good")
"""
    done = child(code)
    assert (done.stdout, done.stderr) == ("good\n", "")


@needs_c
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="sanitizers need terabytes of addresses")
def test_memory_that_gives_out_while_it_watches() -> None:
    code = """
import resource, time
import hasten
found = []
hasten.watch(report=found.append)
async def main():
    await hasten.sleep(0.01)
    time.sleep(0.5)
    await hasten.sleep(0.001)
    size = int(next(line for line in open("/proc/self/status") if line.startswith("VmSize")).split()[1]) * 1024
    resource.setrlimit(resource.RLIMIT_AS, (size + 1_000_000, resource.RLIM_INFINITY))
    kept = []
    for room in (100_000, 10_000, 1_000):
        try:
            while True:
                kept.append(bytearray(room))
        except MemoryError:
            pass
    time.sleep(0.5)
    try:
        await hasten.sleep(0.001)
    except MemoryError:
        pass
    kept.clear()
    await hasten.sleep(0.001)
    time.sleep(0.5)
    await hasten.sleep(0.001)
hasten.run(main())
print(len(found))
"""
    done = child(code)
    assert done.stdout in ("2\n", "3\n"), done.stderr


@pytest.mark.parametrize("closed", ["2>&-", "<&- 2>&-", "2>/dev/full"])
def test_stderr_that_is_closed_or_full(closed: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import hasten, time\nasync def main():\n    time.sleep(0.5)\n    await hasten.sleep(0.001)\n"
        "hasten.run(main())\nprint('good')\n"
    )
    done = subprocess.run(
        ["sh", "-c", f'"$0" "$1" {closed}', sys.executable, str(program)],
        env={**os.environ, "HASTEN_WATCH": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "good\n")


@pytest.mark.parametrize("compiled", [True, False])
def test_loops_that_run_when_the_interpreter_ends(compiled: bool) -> None:
    code = """
import atexit, threading
def late():
    for _ in range(2):
        hasten.run(hasten.sleep(0))
    print("good", flush=True)
atexit.register(late)  # so it runs after what hasten registers
import hasten
hasten.watch()
hasten.run(hasten.sleep(0))
"""
    done = child(code, **({} if compiled else {"HASTEN_NO_EXTENSIONS": "1"}))
    assert (done.stdout, done.stderr) == ("good\n", "")


def test_a_watch_that_is_stopped_by_a_signal_handler_or_another_thread() -> None:
    code = """
import signal, threading
import hasten
watches = [hasten.watch() for _ in range(200)]
done = threading.Event()
def stop(*args):
    if watches:
        watches.pop().stop()
signal.signal(signal.SIGALRM, stop)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
def other():
    while watches:
        try:
            watches.pop(0).stop()
        except IndexError:
            pass
        done.wait(0.001)
thread = threading.Thread(target=other)
thread.start()
while watches:
    hasten.run(hasten.sleep(0))
signal.setitimer(signal.ITIMER_REAL, 0, 0)
thread.join()
print("good")
"""
    done = child(code)
    assert (done.stdout, done.stderr) == ("good\n", "")


def test_threads_with_loops_and_forks_in_the_middle_of_batches() -> None:
    code = """
import os, threading, time, warnings
warnings.simplefilter("ignore")
import hasten
hasten.watch(0.005, report=lambda stall: None)
end = threading.Event()
async def work():
    for _ in range(5):
        time.sleep(0.004)
        await hasten.sleep(0)
def come_and_go():
    while not end.is_set():
        hasten.run(work())
threads = [threading.Thread(target=come_and_go) for _ in range(3)]
for thread in threads:
    thread.start()
async def forks():
    for _ in range(20):
        time.sleep(0.006)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                import asyncio
                asyncio._set_running_loop(None)
                hasten.run(work())
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(child, 0)[1] == 0
        await hasten.sleep(0)
hasten.run(forks())
end.set()
for thread in threads:
    thread.join()
print("good")
"""
    done = child(code)
    assert done.stdout == "good\n", done.stderr


# ---- watches and loops that end in the middle ----------------------------------------------


@pytest.mark.parametrize("compiled", [True, False])
def test_a_watch_that_another_thread_stops_tells_nothing_of_the_batch_that_goes_on(compiled: bool) -> None:
    code = """
import threading, time
import hasten
seen = []
watch = hasten.watch(0.05, report=seen.append)
go, done = threading.Event(), threading.Event()
def other():
    go.wait()
    watch.stop()
    done.set()
thread = threading.Thread(target=other)
thread.start()
async def main():
    time.sleep(0.15)
    go.set()
    done.wait()
    await hasten.sleep(0.001)
    time.sleep(0.15)
hasten.run(main())
thread.join()
print(seen)
"""
    done = child(code, **({} if compiled else {"HASTEN_NO_EXTENSIONS": "1"}))
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("when", ["as it is understood", "as it is told"])
def test_a_loop_that_another_thread_closes_while_its_stall_is_reported(when: str, debug: bool) -> None:
    class Loop(hasten.Loop):
        def time(self) -> float:
            if ending and when == "as it is understood" and not self.is_running():
                ending.clear()
                close()
            return super().time()

    def report(stall: Stall) -> None:
        seen.append(stall)
        if when == "as it is told":
            close()

    def close() -> None:
        thread = threading.Thread(target=loop.close)
        thread.start()
        thread.join()

    def ends() -> None:
        block()
        ending.append(True)
        loop.stop()

    ending: list[bool] = []
    seen: list[Stall] = []
    with hasten.watch(report=report):
        loop = Loop()
        loop.set_debug(debug)
        loop.call_soon(ends)
        loop.call_later(0.01, print)
        loop.run_forever()
        assert loop.is_closed()
        hasten.run(hasten.sleep(0))
    assert len(seen) == 1


def test_a_report_that_stops_its_watch_and_begins_another() -> None:
    seen: list[Stall] = []

    def report(stall: Stall) -> None:
        seen.append(stall)
        watches.pop().stop()
        watches.append(hasten.watch(report=report))

    async def main() -> None:
        for _ in range(3):
            block()
            await hasten.sleep(0.001)

    watches = [hasten.watch(report=report)]
    hasten.run(main())
    watches.pop().stop()
    assert len(seen) == 3


def test_loops_that_begin_in_two_threads_at_the_same_time_have_one_thread_of_python_s() -> None:
    both = threading.Barrier(2)

    class Slow(dict[Any, Any]):
        def setdefault(self, key: Any, value: Any = None) -> Any:
            both.wait(60)  # each has found that there is none
            return super().setdefault(key, value)

    def lookers() -> int:
        return [thread.name for thread in threading.enumerate()].count("hasten-watch")

    before = lookers()
    watch = watching.Watch(60.0)
    watch._looker = Slow()
    threads = [threading.Thread(target=watch._begin_thread) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lookers() == before + 1
    watch._end_thread()
    assert lookers() == before


@pytest.mark.parametrize("compiled", [True, False])
def test_the_interpreter_ends_while_a_loop_of_another_thread_is_blocked(compiled: bool) -> None:
    code = """
import threading, time
import hasten
hasten.watch(0.05)
blocked = threading.Event()
async def main():
    blocked.set()
    time.sleep(60)
threading.Thread(target=hasten.run, args=(main(),), daemon=True).start()
blocked.wait()
time.sleep(0.1)
print("good")
"""
    done = child(code, **({} if compiled else {"HASTEN_NO_EXTENSIONS": "1"}))
    assert (done.returncode, done.stdout, done.stderr) == (0, "good\n", "")


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="Linux only")
def test_a_thread_that_sleeps_waits_for_no_processor() -> None:
    ready, go = threading.Event(), threading.Event()
    natives: list[int] = []

    def sleep() -> None:
        natives.append(threading.get_native_id())
        ready.set()
        go.wait()

    thread = threading.Thread(target=sleep)
    thread.start()
    try:
        ready.wait()
        while not processes.asleep(natives[0]):  # it may still be on its way into the wait
            time.sleep(0.001)
        queue = watching.Waits(natives[0])
        begun = time.monotonic()
        while queue.asleep == 0.0:
            queue.look()
        assert 0.0 < queue.asleep <= time.monotonic() - begun
        own = watching.Waits(threading.get_native_id())
        for _ in range(3):
            own.look()  # who looks does not sleep
        assert own.asleep == 0.0
        nobody = watching.Waits(None)
        nobody.look()
        assert (nobody.waited, nobody.asleep) == (-1.0, 0.0)
    finally:  # or the interpreter would wait for it
        go.set()
        thread.join()


def test_a_thread_of_python_looks_where_no_memory_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        block()
        await hasten.sleep(0.001)

    seen: list[Stall] = []
    monkeypatch.setattr(watching, "_how", "Python thread: a test wants it")
    with hasten.watch(report=seen.append):
        hasten.run(main())
    assert [stall.place.function for stall in seen if stall.place] == ["block"]
