"""`hasten ps`, `dump` and `top`, of children that `hasten run --inspect` has started."""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hasten.cli import looking, ps, top
from hasten.cli.main import main
from hasten.diagnosis import asking, meeting, processes

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs unix sockets")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

PROGRAM = """
import asyncio, ctypes, functools, sys, time

async def waits():
    await asyncio.sleep(1000)

async def parent():
    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(waits())

def spins():
    while True:
        pass

async def stuck(how):
    if how == "waits":  # said when it does
        asyncio.get_running_loop().call_soon(functools.partial(print, "ready", flush=True))
    else:
        print("ready", flush=True)
    if how == "sleeps":
        time.sleep(1000)
    elif how == "spins":
        spins()
    elif how == "holds":
        ctypes.PyDLL(None).sleep(1000)
    await asyncio.sleep(1000)

async def main():
    async with asyncio.TaskGroup() as group:
        group.create_task(parent(), name="the parent")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        group.create_task(stuck(sys.argv[1]), name="the last")

asyncio.run(main())
"""
Child = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    """Starts a program that can be looked into, and returns when it has said that it is ready."""
    (tmp_path / "program.py").write_text(PROGRAM)
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, options: tuple[str, ...] = ("--inspect",), **variables: str) -> subprocess.Popen[str]:
        one = subprocess.Popen(
            [sys.executable, "-m", "hasten", "run", *options, *(words or ("program.py", "waits"))],
            cwd=tmp_path,
            env={**os.environ, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(one)
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
        return one

    yield start
    for one in started:
        one.kill()
        one.communicate()
        for path in meeting.places(one.pid, os.geteuid()):
            if os.path.exists(path):
                os.unlink(path)


def hasten_says(capsys: pytest.CaptureFixture[str], *words: Any) -> str:
    assert main([*map(str, words)]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def refused(capsys: pytest.CaptureFixture[str], *words: Any, status: int = 1) -> str:
    assert main([*map(str, words)]) == status
    out, err = capsys.readouterr()
    assert out == ""
    return err


# ---- what is shown ------------------------------------------------------------------------


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(PROGRAM.splitlines(), 1) if text in line)


def test_ps(child: Child, capsys: pytest.CaptureFixture[str]) -> None:
    pid = child().pid
    lines = hasten_says(capsys, "ps", pid).splitlines()
    assert lines[0] == f"process {pid}: {processes.command(pid)}"
    assert re.fullmatch(r"hasten \S+, Python \S+", lines[1])
    assert re.fullmatch(r"loop in MainThread, (asleep|at work) \(\w+\): 9 tasks", lines[3])
    rows = [re.split(r"  +", line) for line in lines[4:]]
    assert rows[0] == ["TASK", "COROUTINE", "STANDS AT", "AWAITS", "MADE AT"]
    made = f"program.py:{line_of('create_task(waits())')}"
    waits = ["waits", f"program.py:{line_of('sleep(1000)')}", "sleep", made]
    group = f"program.py:{line_of('as group')}"
    in_main = f"program.py:{line_of('def main') + 1}"
    assert rows[1][1:4] == ["main", in_main, "TaskGroup.__aexit__"]
    parent = ["├─ the parent", "parent", group, "TaskGroup.__aexit__", f"program.py:{line_of('the parent')}"]
    assert rows[2] == parent
    assert [row[1:] for row in rows[3:6]] == [["├─ " + row[1][3:], *waits] for row in rows[3:6]]
    assert rows[6] == ["│", "└─ … 3 more like this"]
    assert rows[7][:2] == ["└─ the last", "stuck"]
    assert len(rows) == 8
    everything = hasten_says(capsys, "ps", pid, "--all")
    assert everything.count("waits  ") == 6
    assert "more like this" not in everything


def test_ps_for_some_time(child: Child, capsys: pytest.CaptureFixture[str]) -> None:
    code = (
        "import asyncio\n"
        "async def moves():\n    while True:\n        await asyncio.sleep(0.001)\n"
        "async def stays():\n"
        "    asyncio.get_running_loop().call_later(0.01, lambda: print('ready', flush=True))  # it stands by then\n"
        "    await asyncio.sleep(1000)\n"
        "async def main():\n"
        "    await asyncio.gather(moves(), stays())\n"
        "asyncio.run(main())"
    )
    told = hasten_says(capsys, "ps", child("-c", code).pid, "--for", "0.6")
    assert re.search(r"^TASK +COROUTINE +STANDS AT +AWAITS +FOR +MADE AT$", told, re.M)
    assert re.search(r" stays .* sleep +≥ \d+ s ", told)
    assert re.search(r" moves  .*\S  +moves( |$)", told, re.M)


def test_ps_as_json(child: Child, capsys: pytest.CaptureFixture[str]) -> None:
    pid = child().pid
    told = json.loads(hasten_says(capsys, "ps", "--json", pid))
    assert told["process"]["pid"] == pid
    assert len(told["tasks"]) == 9
    assert {"name", "coroutine", "state", "stands", "awaits", "made", "parent", "loop"} <= set(told["tasks"][0])


def test_dump(child: Child, capsys: pytest.CaptureFixture[str]) -> None:
    pid = child().pid
    told = hasten_says(capsys, "dump", pid)
    assert re.search(rf"^thread MainThread \(\d+, {pid} for the system\), runs a loop$", told, re.M)
    assert "hasten-inspect" not in told
    task = told.partition("task the last: stuck() awaits sleep, made at ")[2].splitlines()
    assert task[0].endswith(f"program.py:{line_of('the last')} in main")
    assert re.fullmatch(r'  File ".*/program.py", line \d+, in stuck', task[1])
    assert task[2] == "    await asyncio.sleep(1000)"
    assert told.count(": waits() awaits sleep") == 1
    assert re.search(r"^  and 5 more like this: (Task-\d+, ){4}Task-\d+$", told, re.M)
    everything = hasten_says(capsys, "dump", "--all", pid)
    assert everything.count(": waits() awaits sleep") == 6
    assert json.loads(hasten_says(capsys, "dump", "--json", pid))["threads"]


def test_top_once(child: Child, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top, "EVERY", 0.2)
    pid = child("program.py", "spins").pid
    told = hasten_says(capsys, "top", "--once", pid)
    assert re.search(r"^LOOP IN +TASKS +STEPS/S +AT WORK +LONGEST BATCH$", told, re.M)
    assert re.search(r"^MainThread +\d+ +0 +\d+%  ", told, re.M)
    assert re.search(rf"^ +\d+%  stuck \(program.py:{line_of('def stuck')}\)", told, re.M)
    assert re.search(r"^ +6  waits$", told, re.M)
    assert re.search(r"the parent +parent +program.py", told)
    assert re.search(r"Task-\d+ and 5 more +waits +program.py", told)
    answer = json.loads(hasten_says(capsys, "top", "--once", "--json", pid))
    assert answer["loops"][0]["lag"] > 0
    assert answer["loops"][0]["batches_per_second"] == answer["loops"][0]["steps_per_second"] == 0


def test_top_in_a_terminal(child: Child) -> None:
    """By rich if that is there and as text if not, until Ctrl-C; and until the process ends."""
    pty = pytest.importorskip("pty")
    one = child()
    hidden = "import sys; sys.modules['rich'] = sys.modules['rich.console'] = None; "
    start = "from hasten.cli import main, top; top.EVERY = 0.05; sys.exit(main.main(['top', sys.argv[1]]))"
    for code, ended in ((f"import sys; {start}", False), (hidden + start, False), (hidden + start, True)):
        ours, theirs = pty.openpty()
        watching = subprocess.Popen(
            [sys.executable, "-c", code, str(one.pid)], stdin=theirs, stdout=theirs, stderr=subprocess.PIPE, text=True
        )
        os.close(theirs)
        shown = b""
        while shown.count(b"LOOP IN") < 2:
            shown += os.read(ours, 65536)
        if ended:
            one.kill()
            one.wait()
        else:
            watching.send_signal(signal.SIGINT)
        drained = threading.Thread(target=drain, args=(ours,))
        drained.start()
        error = watching.communicate(timeout=60)[1]
        drained.join()
        os.close(ours)
        assert watching.returncode == (1 if ended else 0), error
        assert error == (f"hasten: process {one.pid} has ended\n" if ended else "")


def drain(fd: int) -> None:
    try:
        while os.read(fd, 65536):
            pass
    except OSError:  # how a terminal says that the other end is closed
        pass


# ---- a loop that is stuck -----------------------------------------------------------------


@pytest.mark.parametrize(("how", "where"), [("sleeps", "time.sleep(1000)"), ("spins", "while True:")])
def test_a_loop_that_is_stuck(child: Child, capsys: pytest.CaptureFixture[str], how: str, where: str) -> None:
    pid = child("program.py", how).pid
    while True:
        told = {task["name"]: task for task in json.loads(hasten_says(capsys, "ps", "--json", pid))["tasks"]}
        task = told["the last"]
        assert task["state"] == "running"
        if task["stands"][-1][1] in (line_of(where), line_of(where) + 1):  # it has left its print()
            break
    assert "(runs now)" in hasten_says(capsys, "ps", pid)
    assert "runs now" in hasten_says(capsys, "dump", pid)


@linux
def test_the_lock_is_held(child: Child, capsys: pytest.CaptureFixture[str]) -> None:
    assert hasattr(ctypes, "PyDLL")
    pid = child("program.py", "holds").pid
    while processes.call(processes.read(f"/proc/{pid}/task/{pid}/syscall")) not in ("clock_nanosleep", "nanosleep"):
        if not processes.read(f"/proc/{pid}/task/{pid}/syscall"):
            pytest.skip("the system calls of other processes cannot be seen here")
    told = refused(capsys, "ps", pid, "--timeout", "0.2").splitlines()
    assert told[0] == f"hasten: process {pid} does not answer within 0.2 s: something holds the interpreter's lock"
    assert re.fullmatch(rf"  thread {pid} \(.+\) sleeps in (clock_)?nanosleep, 0% of a processor", told[1])


@linux
def test_a_process_that_is_stopped(child: Child, capsys: pytest.CaptureFixture[str]) -> None:
    pid = child().pid
    os.kill(pid, signal.SIGSTOP)
    os.waitid(os.P_PID, pid, os.WSTOPPED)
    told = refused(capsys, "top", pid, "--timeout=0.2").splitlines()
    assert told[0] == f"hasten: process {pid} does not answer: it is stopped (kill -CONT lets it go on)"
    os.kill(pid, signal.SIGCONT)
    assert hasten_says(capsys, "ps", pid)


# ---- what goes wrong ----------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["ps", "dump", "top"])
def test_wrong_command_lines(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words, told in (
        ([], f"{verb} needs the number of a process: 'hasten {verb} PID'"),
        (["x"], f"'x' is not the number of a process: 'hasten {verb} PID'"),
        (["0"], f"'0' is not the number of a process: 'hasten {verb} PID'"),
        (["-1"], f"{verb} has no option '-1': see 'hasten {verb} --help'"),
        (["1", "2"], f"{verb} looks into one process: what is '2'?"),
        (["--timeout"], f"{verb} --timeout needs a number of seconds above 0, not ''"),
        (["--for", "1", "1"], f"{verb} has no option '--for': see 'hasten {verb} --help'"),
        (["--timeout=nan", "1"], f"{verb} --timeout needs a number of seconds above 0, not 'nan'"),
    ):
        if verb != "ps" or words[:1] != ["--for"]:
            assert refused(capsys, verb, *words, status=2) == f"hasten: {told}\n"


def test_no_such_process(capsys: pytest.CaptureFixture[str]) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for pid in (ended.pid, 10**30):
        assert refused(capsys, "ps", pid) == f"hasten: there is no process {pid}\n"


@linux
def test_a_process_that_cannot_be_looked_into(child: Child, capsys: pytest.CaptureFixture[str]) -> None:
    off = child(options=())
    told = refused(capsys, "ps", off.pid)
    assert told.startswith(
        f"hasten: process {off.pid} cannot be looked into: start it by `hasten run --inspect` or with"
    )
    assert told.count("\n") == 1
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdin.write(b"x")  # when it answers, it is no copy of this process any more
        other.stdin.flush()
        assert other.stdout.read(1) == b"x"
        assert refused(capsys, "dump", other.pid) == f"hasten: process {other.pid} is no Python program\n"
    code = "print('ready', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other_python:
        assert other_python.stdout is not None
        assert other_python.stdout.readline()
        assert refused(capsys, "ps", other_python.pid).endswith("(no compiled module of hasten is loaded in it)\n")
    early = child("-c", "print('ready', flush=True); input()", options=(), HASTEN_INSPECT="1")
    assert "no loop of hasten's has run in it yet" in refused(capsys, "ps", early.pid)


def test_switched_on_by_the_environment(child: Child, capsys: pytest.CaptureFixture[str]) -> None:
    assert "the parent" in hasten_says(capsys, "ps", child(options=(), HASTEN_INSPECT="1").pid)


@linux
def test_a_process_of_somebody_else(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    uid = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: uid + 12345)
    told = refused(capsys, "ps", os.getpid())
    assert re.fullmatch(
        rf"hasten: process {os.getpid()} belongs to user \S+: only that user can look into it \(sudo -u …\)\n", told
    )


@linux
def test_a_process_that_nobody_has_reaped(capsys: pytest.CaptureFixture[str]) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    assert "has ended, and its parent has not noticed" in refused(capsys, "ps", ended.pid)
    ended.wait()


def test_it_ends_in_the_middle(child: Child) -> None:
    one = child()
    with asking.Line(one.pid, 20) as line:
        assert line.ask("ps")["tasks"]
        one.kill()
        one.wait()
        with pytest.raises(asking.Unreachable, match=f"^process {one.pid} has ended$"):
            line.ask("ps")


def test_its_end_leaves_nothing(child: Child) -> None:
    one = child("-c", "import asyncio; print('ready', flush=True); asyncio.run(asyncio.sleep(0)); input()")
    path = next(path for path in meeting.places(one.pid, os.geteuid()) if os.path.exists(path))
    one.communicate("\n")
    assert one.returncode == 0
    assert not os.path.exists(path)


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"rubbish\n", "sends what is no answer"),
        (b"[1]\n", "sends what is no answer"),
        (b"[" * 100_000 + b"\n", "sends what is no answer"),
        (b'{"error": "no memory"}\n', "cannot tell: no memory"),
        (b"{", "has hung up"),
        (b"x" * 200_000, "sends more than can be an answer"),
    ],
    ids=lambda value: str(value[:12]),
)
def test_what_comes_is_no_answer(
    sent: bytes, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(asking, "_connect", lambda pid, timeout: ours)
    monkeypatch.setattr(meeting, "ANSWER_LIMIT", 150_000)

    def answer() -> None:
        with theirs:
            theirs.recv(100)
            try:
                theirs.sendall(sent)
            except OSError:
                pass

    thread = threading.Thread(target=answer)
    thread.start()
    error = refused(capsys, "ps", os.getpid())
    thread.join()
    assert error == f"hasten: process {os.getpid()} {told}\n"


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert looking.plain("a\x1b[31mb\n\u202ec\udc80") == "a\\x1b[31mb\\n\\u202ec\\udc80"


def test_places_are_shown_short() -> None:
    paths = looking.Paths(os.getpid())
    paths._folder = "/home/me/"
    assert paths.short("/home/me/a/b.py") == "a/b.py"
    assert paths.short("/usr/lib/python3.11/site-packages/x/y.py") == "x/y.py"
    assert paths.short("/usr/lib/python3.13/asyncio/tasks.py") == "asyncio/tasks.py"
    assert paths.short("/opt/x.py") == "/opt/x.py"


def a_task(number: int, parent: int | None, **more: Any) -> dict[str, Any]:
    facts = {"id": number, "parent": parent, "loop": 1, "name": f"t{number}", "coroutine": "f", "state": "waiting"}
    return facts | {"stands": [], "awaits": "sleep", "made": None, "cancelling": False} | more


def test_tasks_that_wait_for_each_other() -> None:
    """A circle, and a chain that is longer than Python's stack may be."""
    tasks = [a_task(1, 2), a_task(2, 3), a_task(3, 1), a_task(4, 3)]
    answer: dict[str, Any] = {"loops": [], "tasks": tasks, "tasks_in_all": 4}
    lines = list(ps.as_text(answer, looking.Paths(0), None))
    assert sorted(line.lstrip("│├└─ ")[:2] for line in lines if "sleep" in line) == ["t1", "t2", "t3", "t4"]
    chain = [a_task(0, None), *(a_task(number, number - 1) for number in range(1, 3000))]
    lines = list(ps.as_text(answer | {"tasks": chain}, looking.Paths(0), 80))
    assert sum("sleep" in line for line in lines) == 3000


def test_a_narrow_screen() -> None:
    tasks = [a_task(1, None, name="a name that is long " * 9, stands=[["/long/" * 20 + "end.py", 7, "f"]])]
    answer: dict[str, Any] = {"loops": [], "tasks": tasks, "tasks_in_all": 3}
    lines = list(ps.as_text(answer, looking.Paths(0), 80))
    assert max(map(len, lines)) <= 80
    assert any("end.py:7" in line for line in lines)
    assert lines[-1] == "… and 2 more tasks that were not looked at"
