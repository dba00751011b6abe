"""hasten.watch(): which line blocks a loop."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cython
import pytest

import hasten
from hasten.diagnosis import watch as watching
from hasten.diagnosis.instead import instead_of
from hasten.diagnosis.stall import Place, Stall
from hasten.kernel import stalls

IN_C = watching.how() == "C thread"
needs_c = pytest.mark.skipif(not IN_C, reason="a thread of Python's sees nothing while the interpreter's lock is kept")


@pytest.fixture
def seen() -> Iterator[list[Stall]]:
    found: list[Stall] = []
    with hasten.watch(report=found.append):
        yield found


def block() -> int:
    """Waits for 0.5 s in one line; returns its number."""
    time.sleep(0.5)
    return sys._getframe().f_lineno - 1


def test_the_line_the_chain_and_how_long(seen: list[Stall]) -> None:
    lines = []

    async def inner() -> None:
        lines.append(block())

    async def outer() -> None:
        await inner()

    async def main() -> None:
        await hasten.create_task(outer(), name="the one")
        await hasten.sleep(0)

    hasten.run(main())
    [stall] = seen
    assert 0.19 <= stall.seconds < 5.0
    assert stall.place == Place(__file__, lines[0], "block")
    chain = [place.function.rpartition(".")[2] for place in stall.chain()]
    assert chain == ["outer", "inner", "block"]
    assert "time.sleep(0.5)" in str(stall)
    assert "asyncio.sleep" in stall.advice
    assert stall.share > 0.5
    assert stall.computed < 0.5 or not IN_C


def test_the_task_and_where_it_was_made_if_it_goes_on(seen: list[Stall]) -> None:
    async def work() -> None:
        block()
        await hasten.sleep(0.001)

    async def main() -> None:
        await hasten.create_task(work(), name="a worker")

    hasten.run(main())
    [stall] = seen
    assert stall.task == "a worker"
    assert stall.made is not None
    assert stall.made.startswith(__file__)
    assert "In task 'a worker', made at" in str(stall)


def test_of_run_s_own_task_no_place_is_told(seen: list[Stall]) -> None:
    async def main() -> None:
        block()
        await hasten.sleep(0.001)

    hasten.run(main())
    [stall] = seen
    assert stall.task is not None
    assert stall.made is None
    assert f"In task {stall.task!r}\n" in str(stall)


def test_how_many_waited_meanwhile(seen: list[Stall]) -> None:
    async def main() -> None:
        loop = hasten.get_running_loop()
        for _ in range(3):
            loop.call_later(0.05, int)
        loop.call_later(1000, int)
        await hasten.sleep(0)
        block()
        await hasten.sleep(0.001)

    hasten.run(main())
    assert seen[0].waiting == 3


@pytest.mark.parametrize("call", [lambda: time.sleep(0.02), lambda: None])
def test_what_is_short_is_not_told(call: Callable[[], object]) -> None:
    seen: list[Stall] = []

    async def main() -> None:
        for _ in range(5):
            call()
            await hasten.sleep(0)

    with hasten.watch(0.6, report=seen.append):  # far above, as this process may have to wait for a processor
        hasten.run(main())
    assert seen == []


def test_a_loop_that_sleeps_is_not_blocked() -> None:
    seen: list[Stall] = []
    with hasten.watch(0.6, report=seen.append):
        hasten.run(hasten.sleep(1.0))
    assert seen == []


def test_several_stalls_are_told_each(seen: list[Stall]) -> None:
    async def main() -> None:
        for _ in range(3):
            block()
            await hasten.sleep(0.001)

    hasten.run(main())
    assert len(seen) == 3
    assert len({stall.place for stall in seen}) == 1


def test_the_last_stall_of_a_run_is_told_too(seen: list[Stall]) -> None:
    loop = hasten.new_event_loop()
    loop.call_soon(block)
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    [stall] = seen
    assert stall.task is None
    assert stall.place is not None
    assert stall.place.function == "block"


KINDS: dict[str, Callable[[], object]] = {
    "computing": lambda: sum(i * i for i in range(4_000_000)),
    "one call of C": lambda: sum(range(20_000_000)),
    "sorting": lambda: sorted(range(1_500_000), key=lambda x: -x),
    "json": lambda: json.dumps(list(range(1_000_000))),
    "a power": lambda: pow(7, 600_000).bit_length() and pow(3, 2_000_000),
    "a lock": lambda: threading.Lock().acquire() and threading.Event().wait(0.5),
    "a child": lambda: subprocess.run([sys.executable, "-c", "import time; time.sleep(0.5)"], check=True),
    "a read": lambda: _read_late(),
}


def _read_late() -> bytes:
    r, w = os.pipe()
    timer = threading.Timer(0.5, os.write, (w, b"x"))
    timer.start()
    try:
        return os.read(r, 1)
    finally:
        timer.join()
        os.close(r)
        os.close(w)


@needs_c
@pytest.mark.slow  # each kind blocks for some tenths of a second
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_calls(kind: str, seen: list[Stall]) -> None:
    async def main() -> float:
        await hasten.sleep(0)
        own = threading.get_native_id()
        begun, waited = time.monotonic(), watching._queued(own)
        KINDS[kind]()
        took = time.monotonic() - begun - (watching._queued(own) - waited)  # what it waited for a processor is excused
        await hasten.sleep(0.001)
        return took

    took = hasten.run(main())
    if took < 0.11:
        pytest.skip(f"this machine is too fast: {took:.3f} s")
    assert seen
    assert abs(seen[0].seconds - took) < 0.1
    assert any(place.file == __file__ for place in seen[0].places)


@needs_c
def test_it_tells_computing_from_waiting(seen: list[Stall]) -> None:
    async def main() -> None:
        end = time.thread_time() + 0.2
        while time.thread_time() < end:
            pass
        await hasten.sleep(0.001)
        block()
        await hasten.sleep(0.001)

    hasten.run(main())
    busy, idle = seen
    assert busy.computed > idle.computed
    assert idle.computed < 0.2
    assert "process" in busy.advice or busy.computed < 0.5


def test_loops_of_several_threads(seen: list[Stall]) -> None:
    async def main() -> None:
        block()
        await hasten.sleep(0.001)

    threads = [threading.Thread(target=lambda: hasten.run(main()), name=f"loop {i}") for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(stall.thread for stall in seen) == ["loop 0", "loop 1", "loop 2"]


def test_begun_while_loops_run_here_and_in_another_thread() -> None:
    found: list[Stall] = []
    ready, go = threading.Event(), threading.Event()

    async def other() -> None:
        ready.set()
        await hasten.to_thread(go.wait)
        block()
        await hasten.sleep(0.001)

    async def main() -> None:
        thread = threading.Thread(target=lambda: hasten.run(other()), name="other")
        thread.start()
        await hasten.to_thread(ready.wait)
        with hasten.watch(report=found.append):
            go.set()
            await hasten.to_thread(thread.join)
            block()
            await hasten.sleep(0.001)
        block()  # not watched any more
        await hasten.sleep(0.001)

    hasten.run(main())
    assert {stall.thread for stall in found} == {"MainThread", "other"}
    assert len(found) == 2


def test_the_log_tells_a_place_once_and_counts_it(caplog: Any) -> None:
    async def main() -> None:
        for _ in range(3):
            block()
            await hasten.sleep(0.001)

    with hasten.watch():
        hasten.run(main())
    told = [record for record in caplog.records if "blocked" in record.getMessage()]
    assert len(told) == 1
    assert told[0].levelno == logging.WARNING
    assert told[0].name == "asyncio"
    assert "See docs/diagnosis/watch.md" in told[0].getMessage()


def test_told_again_after_a_minute_with_how_often(caplog: Any, monkeypatch: Any) -> None:
    async def main() -> None:
        for again in (60.0, 60.0, 0.1):  # the last one finds the minute over
            monkeypatch.setattr(watching, "AGAIN", again)
            block()
            await hasten.sleep(0.001)

    with hasten.watch():
        hasten.run(main())
    told = [record.getMessage() for record in caplog.records if "blocked" in record.getMessage()]
    assert len(told) == 2
    assert "blocked once more since it was last told" in told[1]


def test_a_report_that_raises_is_logged_and_does_no_harm(caplog: Any) -> None:
    def fail(stall: Stall) -> None:
        raise ValueError("no disk")

    async def main() -> str:
        block()
        await hasten.sleep(0.001)
        block()
        await hasten.sleep(0.001)
        return "done"

    with hasten.watch(report=fail):
        assert hasten.run(main()) == "done"
    assert caplog.text.count("ValueError: no disk") == 2


@pytest.mark.parametrize("threshold", [0, -1, 0.0001, float("inf"), float("nan")])
def test_a_threshold_that_is_none(threshold: float) -> None:
    with pytest.raises(ValueError, match="at least 0.001"):
        hasten.watch(threshold)


@pytest.mark.parametrize(("threshold", "report"), [("0.1", None), (None, None), (True, None), (0.1, "print")])
def test_arguments_of_wrong_kinds(threshold: Any, report: Any) -> None:
    with pytest.raises(TypeError):
        hasten.watch(threshold, report=report)


def test_a_threshold_of_one_s_own() -> None:
    found: list[Stall] = []

    async def main() -> None:
        await hasten.sleep(0)
        time.sleep(0.1)  # noqa: ASYNC251 # not long enough
        await hasten.sleep(0.001)
        time.sleep(0.9)  # noqa: ASYNC251 # it blocks
        await hasten.sleep(0.001)

    with hasten.watch(0.35, report=found.append) as made:
        assert "0.35 s" in repr(made)
        hasten.run(main())
    assert len(found) == 1
    assert found[0].seconds >= 0.9


def test_stopped_twice_and_begun_again() -> None:
    found: list[Stall] = []
    made = hasten.watch(report=found.append)
    made.stop()
    made.stop()

    async def main() -> None:
        block()
        await hasten.sleep(0.001)

    hasten.run(main())
    assert found == []
    for _ in range(20):
        with hasten.watch(report=found.append):
            hasten.run(hasten.sleep(0))
    assert found == []


def child(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **variables}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)


BLOCKS = (
    "import hasten, time\nasync def main():\n    time.sleep({0})\n    await hasten.sleep(0.001)\nhasten.run(main())\n"
)


@pytest.mark.parametrize(
    ("said", "seconds", "told"), [("1", 0.5, True), ("0", 0.2, False), ("0.05", 0.5, True), ("10", 0.2, False)]
)
def test_the_environment_variable(said: str, seconds: float, told: bool) -> None:
    done = child(BLOCKS.format(seconds), HASTEN_WATCH=said)
    assert done.returncode == 0, done.stderr
    assert ("The event loop was blocked" in done.stderr) == told, done.stderr


def test_a_wrong_value_of_the_variable_is_told_and_it_watches() -> None:
    done = child(BLOCKS.format(0.5), HASTEN_WATCH="yes")
    assert "HASTEN_WATCH='yes'" in done.stderr
    assert "The event loop was blocked" in done.stderr


def test_hasten_run_watches_unless_it_is_told_not_to(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(BLOCKS.format(0.5))
    for variables, told in (({}, True), ({"HASTEN_WATCH": "0"}, False)):
        environment = {key: value for key, value in os.environ.items() if key != "HASTEN_WATCH"} | variables
        command = [sys.executable, "-m", "hasten", "run", str(program)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
        assert done.returncode == 0, done.stderr
        assert ("The event loop was blocked" in done.stderr) == told


FORKS = """\
import os, sys, time, warnings
warnings.simplefilter("error")
import hasten
found = []
hasten.watch(report=found.append)
async def main():
    time.sleep(0.5)
    await hasten.sleep(0.001)
hasten.run(main())
for _ in range(20):
    child = os.fork()
    if child == 0:
        del found[:]
        hasten.run(main())
        os._exit(0 if len(found) == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    break
hasten.run(main())
assert len(found) == 2, found
async def forks():
    for _ in range(30):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        await hasten.sleep(0)
hasten.run(forks())
print("good")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@needs_c
def test_a_fork_while_it_watches() -> None:
    done = child(FORKS)
    assert done.stdout == "good\n", done.stderr


HANGS = """\
import hasten, time
from hasten.diagnosis import watch
watch.HANG = 0.5
hasten.watch()
async def main():
    sum(range(10**9)) if {0} else time.sleep(1.0)
hasten.run(main())
"""


@needs_c
@pytest.mark.slow  # hangs for a second
@pytest.mark.parametrize("computes", [False, True])
def test_a_hang_is_told_without_python(computes: bool) -> None:
    process = subprocess.Popen([sys.executable, "-c", HANGS.format(computes)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    first = process.stderr.readline()
    line = process.stderr.readline()
    process.kill()
    process.communicate()
    assert "an event loop is blocked, for 0." in first
    assert 'File "<string>", line 6, in main' in line


@needs_c
@pytest.mark.slow  # stands still for half a second
def test_a_process_that_stood_still_is_not_told_of() -> None:
    code = BLOCKS.replace("time.sleep({0})", "os.kill(os.getpid(), signal.SIGSTOP)").replace(
        "import hasten", "import os, signal, hasten"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, env={**os.environ, "HASTEN_WATCH": "1"}
    )
    while b") T " not in Path(f"/proc/{process.pid}/stat").read_bytes():
        time.sleep(0.01)
    time.sleep(0.6)
    process.send_signal(signal.SIGCONT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "blocked" not in errors


def test_at_the_interpreter_s_end_and_in_daemon_threads() -> None:
    code = (
        "import hasten, threading, time\nhasten.watch()\n"
        "async def main():\n    while True:\n        time.sleep(0.001)\n        await hasten.sleep(0)\n"
        "for _ in range(3): threading.Thread(target=lambda: hasten.run(main()), daemon=True).start()\n"
        "time.sleep(0.3)\n"
    )
    done = child(code)
    assert done.returncode == 0, done.stderr


@needs_c
def test_by_a_pipe_where_the_other_way_is_refused(seen: list[Stall]) -> None:
    assert stalls.only_by_pipe(True)
    try:
        assert watching._agrees()

        async def main() -> None:
            block()
            await hasten.sleep(0.001)

        hasten.run(main())
    finally:
        assert stalls.only_by_pipe(False)
    assert [stall.place.function for stall in seen if stall.place] == ["block"]


@needs_c
def test_a_pipe_that_the_program_has_closed_is_made_anew() -> None:
    code = """
import os
from hasten.diagnosis import watch
from hasten.kernel import stalls
before = set(os.listdir("/proc/self/fd"))
assert stalls.only_by_pipe(True)
made = [int(fd) for fd in os.listdir("/proc/self/fd") if fd not in before and os.path.exists(f"/proc/self/fd/{fd}")]
for fd in made:
    os.close(fd)
theirs = [os.open("/dev/null", os.O_RDWR) for _ in made]  # under the numbers of the pipe
r, w = os.pipe()
assert watch._agrees()
for fd in theirs:
    os.fstat(fd)  # they are open still
os.set_blocking(r, False)
try:
    print(os.read(r, 10))
except BlockingIOError:
    print("good")
"""
    done = child(code)
    assert done.stdout == "good\n", done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_in_the_child_of_a_fork_no_loop_is_said_to_run() -> None:
    code = """
import os, threading
import hasten
from hasten.core import observing
ready, end = threading.Event(), threading.Event()
async def other():
    ready.set()
    await hasten.to_thread(end.wait)
threading.Thread(target=lambda: hasten.run(other())).start()
ready.wait()
async def main():
    assert len(observing.running) == 2
    child = os.fork()
    if child == 0:
        os._exit(0 if observing.running == [] and hasten.all_metrics() == [] else 1)
    print(os.waitpid(child, 0)[1])
    end.set()
hasten.run(main())
"""
    done = child(code)
    assert done.stdout == "0\n", done.stderr


@needs_c
def test_frames_are_read_as_python_shows_them() -> None:
    def deep(n: int) -> bool:
        return watching._agrees() if n == 0 else deep(n - 1)

    class Made:
        def __init__(self) -> None:
            self.fine = watching._agrees()

    fine: list[bool] = []
    assert all(deep(n) for n in (0, 5, 30, 100, 500))
    assert Made().fine
    assert [watching._agrees() for _ in range(2)] == [True, True]
    assert sorted([1], key=lambda _: fine.append(watching._agrees()) or 0) == [1]  # type: ignore[func-returns-value]
    assert fine == [True]

    def generator() -> Iterator[bool]:
        yield watching._agrees()

    assert list(generator()) == [True]
    scope: dict[str, Any] = {"watching": watching}
    name = "ñame_" + "長" * 200
    exec(compile(f"def {name}():\n\n\n    return watching._agrees()", "pfad/ü.py", "exec"), scope)
    assert scope[name]()

    async def main() -> bool:
        return watching._agrees()

    assert hasten.run(main())


def test_a_watcher_of_what_is_no_loop() -> None:
    from hasten.diagnosis.watcher import Watcher, waiting

    with pytest.raises(TypeError, match="only hasten's own loops"):
        Watcher(print).watch(None, 0.1, 5.0, True)
    with pytest.raises(TypeError, match="only hasten's own loops"):
        waiting(object())
    if cython.compiled or IN_C:
        assert not stalls.Watched().attach(None, 0.1, 5.0)
        assert stalls.Watched().take() is None
        assert stalls.Watched().detach() == 0


def test_a_watcher_whose_samples_somebody_else_has_set() -> None:
    from hasten.diagnosis.watcher import Watcher

    told: list[Any] = []
    watcher = Watcher(lambda *args: told.append(args))
    for nothing in [(), (1.0,), ("early",)]:
        watcher.sampled = nothing
        watcher.loop_ends(None)
        assert watcher.sampled is None
    assert told == []
    if cython.compiled or IN_C:
        with pytest.raises(TypeError):
            watcher.sampled = [0.0]


def test_stock_loops_are_left_alone(seen: list[Stall]) -> None:
    async def main() -> None:
        block()
        await asyncio.sleep(0.001)

    loop = asyncio.SelectorEventLoop()
    loop.run_until_complete(main())
    loop.close()
    assert seen == []


@pytest.mark.parametrize(
    ("file", "line", "computed", "wanted"),
    [
        ("app.py", "time.sleep(1)", False, "asyncio.sleep"),
        ("app.py", "return requests.get(url)", False, "asynchronous client"),
        ("/usr/lib/python3.13/site-packages/urllib3/connection.py", "fetch(url)", False, "asynchronous client"),
        ("/usr/lib/python3.13/subprocess.py", "run(command)", False, "create_subprocess_exec"),
        ("app.py", "os.system('make')", False, "create_subprocess_exec"),
        ("app.py", "socket.getaddrinfo(host, 80)", False, "loop.getaddrinfo"),
        ("app.py", "name = input('name? ')", False, "to_thread(input"),
        ("app.py", "lock.acquire()", False, "asyncio's own Lock"),
        ("/usr/lib/python3.13/threading.py", "event.wait()", False, "asyncio's own Lock"),
        ("app.py", "cursor.execute(query)", False, "asynchronous driver"),
        ("app.py", "data = open(path).read()", False, "files in a thread"),
        ("app.py", "future.result()", False, "wrap_future"),
        ("app.py", "total = sum(numbers)", True, "ProcessPoolExecutor"),
        ("app.py", "something()", False, "to_thread(function"),
        ("", "", True, "ProcessPoolExecutor"),
    ],
)
def test_what_to_use_instead(file: str, line: str, computed: bool, wanted: str) -> None:
    assert wanted in instead_of(file, line, computed)
