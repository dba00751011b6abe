"""One run of a scenario in a forked child under strace, and what is to be said of it.

The child waits for a signal until strace has attached, so that strace counts the calls from there on, and nothing of
the interpreter's start is made to fail. When the scenario is over it waits once more, until strace is gone, and looks
at itself: open files, children, threads, its time.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import json
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from .scenarios import Scenario
from .scene import Scene, open_files

PATIENCE = 30.0  # seconds for one run
PR_SET_PTRACER, PR_SET_PTRACER_ANY = 0x59616D61, ctypes.c_ulong(-1)
GO = signal.SIGUSR1
CALL = re.compile(r"^(?:(\d+) +)?([a-z_0-9]+)\((.*)$")
_ENDED = b"the scenario is over\n"
MOST_CPU = 1.5  # seconds of the processor's time in user mode


class Unavailable(Exception):
    """strace is not there, or may not trace."""


class Call(NamedTuple):
    """A system call that a scenario has made: the n-th of this kind of its thread."""

    thread: str  # "" the main thread; else its number in order
    name: str
    arguments: str
    n: int


class Fault(NamedTuple):
    """What strace is told to do."""

    call: str
    error: str
    when: str

    @property
    def option(self) -> str:
        calls = self.call.replace(" ", ",?")
        return f"inject=?{calls}:error={self.error}:when={self.when}"

    def __str__(self) -> str:
        name = self.call if " " not in self.call else "each call"
        return f"{name} {self.error} when={self.when}"


class Result(NamedTuple):
    """What came of a run."""

    wrong: list[str]  # it must not be so
    told: list[dict[str, Any]]  # whom errors were told
    met: list[str]  # the calls that were made to fail, as strace shows them
    calls: list[Call]
    detail: str = ""

    @property
    def verdict(self) -> str:
        if self.wrong:
            return "wrong"
        if not self.met:
            return "not met"
        return "told" if self.told else "absorbed"


def available() -> str:
    """Why no run is possible here; "" if one is."""
    if not sys.platform.startswith("linux"):
        return "system calls are made to fail by strace, which is there for Linux only"
    if shutil.which("strace") is None:
        return "strace is not installed, which makes system calls fail (Debian's package strace)"
    child = os.fork()
    if child == 0:
        _let_anybody_trace()
        time.sleep(60)
        os._exit(0)
    try:
        time.sleep(0.05)
        tracer = subprocess.Popen(["strace", "-p", str(child)], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        try:
            assert tracer.stderr is not None
            line = tracer.stderr.readline().decode(errors="replace").strip()
        finally:
            tracer.terminate()
            tracer.communicate()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    return "" if "attached" in line else f"strace may not trace another process here: {line}"


def _let_anybody_trace() -> None:
    """Let a process that is no ancestor trace this one, where only those may: ptrace_scope of the module Yama."""
    ctypes.CDLL(None).prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0)


# ---- the child ----------------------------------------------------------------------------------------


def _child(kind: str, scenario: Scenario, folder: Path, report: int, control: int) -> None:
    _let_anybody_trace()
    faulthandler.enable()
    namespace, loop_factory = kinds()[kind]
    if control >= 0:
        threading.Thread(target=_close_what_is_told, args=(control,), daemon=True).start()
    gc.collect()
    before, threads = open_files(), threading.active_count()
    os.write(report, b"ready\n")
    signal.sigwait({GO})
    begun, spent = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    scene = Scene(namespace, folder)
    try:
        scene.run(scenario.run, loop_factory)
    except BaseException as exc:
        scene.wrong.append("".join(traceback.format_exception(exc)))
    spent = resource.getrusage(resource.RUSAGE_SELF).ru_utime - spent
    for _ in range(100):  # a fault that was meant for the scenario may be met here
        with contextlib.suppress(OSError):
            os.write(report, _ENDED)
            break
    signal.sigwait({GO})
    gc.collect()
    scene.judge()
    left = _left(before, wait=2 if control >= 0 else 0)
    children = _children()
    if threading.active_count() > threads:
        deadline = time.monotonic() + 2
        while threading.active_count() > threads and time.monotonic() < deadline:
            time.sleep(0.01)
    if threading.active_count() > threads:
        scene.wrong.append(f"a thread is left: {threading.enumerate()[threads:]}")
    found = {
        "wrong": scene.wrong,
        "told": scene.told,
        "left": left,
        "children": children,
        "spent": spent,
        "took": time.monotonic() - begun,
    }
    os.write(report, json.dumps(found).encode())


def _left(before: dict[int, str], wait: float) -> dict[int, str]:
    """What is open and was not. `wait`: seconds in which what Linux would have closed may still be."""
    deadline = time.monotonic() + wait
    while True:
        left = {fd: what for fd, what in open_files().items() if before.get(fd) != what}
        if not left or time.monotonic() >= deadline:
            return left
        time.sleep(0.01)


def _children() -> list[str]:
    """Children of this process that nobody has waited for."""
    found = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return found
        if pid == 0:
            return [*found, "one that still runs"]
        found.append(f"a zombie, pid {pid}, status {status}")


def _close_what_is_told(control: int) -> None:
    """Close the descriptors whose numbers come: Linux closes what it says it cannot close, and an injected fault of
    close() does not."""
    with os.fdopen(control) as numbers:
        for number in numbers:
            with contextlib.suppress(OSError):  # the scenario has tried once more
                os.close(int(number))


def kinds() -> dict[str, Any]:
    import asyncio

    import hasten

    return {"hasten": (hasten, hasten.new_event_loop), "asyncio": (asyncio, asyncio.SelectorEventLoop)}


# ---- the driver -----------------------------------------------------------------------------------------


class Trial:
    """A run in a child."""

    def __init__(self, kind: str, scenario: Scenario, folder: Path, fault: Fault | None) -> None:
        self.fault = fault
        self.output = folder / "strace.txt"
        self.errors = folder / "stderr.txt"
        self.output.write_text("")
        self.closes = fault is not None and fault.call == "close"
        self.report, report = os.pipe()
        control, self.control = os.pipe() if self.closes else (-1, -1)
        old = signal.pthread_sigmask(signal.SIG_BLOCK, {GO})
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setsid()
                os.close(self.report)
                if self.closes:
                    os.close(self.control)
                with open(self.errors, "w") as errors:
                    os.dup2(errors.fileno(), 2)
                    os.dup2(errors.fileno(), 1)
                with open(os.devnull) as nothing:
                    os.dup2(nothing.fileno(), 0)
                _child(kind, scenario, folder, report, control)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
        os.close(report)
        if self.closes:
            os.close(control)
        self.threads = scenario.threads
        self.closed: set[str] = set()

    def run(self) -> Result:
        tracer = None
        text = b""
        try:
            self._read_until(b"ready\n", text)
            tracer = self._attach()
            os.kill(self.pid, GO)
            text, over = self._read_until(_ENDED, b"")
            tracer.terminate()  # it detaches
            tracer.communicate()
            if over:
                os.kill(self.pid, GO)
                text, _ = self._read_until(None, b"")
            return self._result(text, over)
        finally:
            if tracer is not None and tracer.poll() is None:
                tracer.kill()
                tracer.communicate()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            os.close(self.report)
            if self.closes:
                os.close(self.control)

    def _attach(self) -> subprocess.Popen[bytes]:
        command = ["strace", "-p", str(self.pid), "-yy", "-s", "16", "-o", str(self.output)]
        if self.threads:
            command.append("-f")
        if self.fault is not None:
            command += ["-e", self.fault.option]
        tracer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert tracer.stderr is not None
        line = tracer.stderr.readline()
        if b"attached" not in line:
            tracer.terminate()
            raise Unavailable((line + tracer.stderr.read()).decode(errors="replace"))
        return tracer

    def _read_until(self, mark: bytes | None, text: bytes) -> tuple[bytes, bool]:
        """Read what the child reports; False if it ended or took too long before the mark."""
        deadline = time.monotonic() + PATIENCE
        while mark is None or mark not in text:
            wait = deadline - time.monotonic()
            if wait <= 0:
                return text, False
            if self.closes:
                self._close_for_linux()
                wait = min(wait, 0.002)
            ready, _, _ = select.select([self.report], [], [], wait)
            if ready:
                piece = os.read(self.report, 65536)
                if not piece:
                    return text, False
                text += piece
        if self.closes:  # what was met just before the mark
            self._close_for_linux()
        return text, True

    def _close_for_linux(self) -> None:
        for line in self._met():
            number = re.match(r"close\((\d+)", line)
            if number and line not in self.closed:
                self.closed.add(line)
                os.write(self.control, number[1].encode() + b"\n")

    def _met(self) -> list[str]:
        lines = self.output.read_text(errors="replace").splitlines()
        return [re.sub(r"^\d+ +", "", line) for line in lines if line.endswith("(INJECTED)")]

    # ---- what came of it --------------------------------------------------------------------

    def _result(self, text: bytes, over: bool) -> Result:
        met = self._met()
        wrong: list[str] = []
        told: list[dict[str, Any]] = []
        detail = ""
        if over and text:
            found = json.loads(text)
            told = found["told"]
            wrong = found["wrong"] + self._judge(found, met)
        else:
            wrong.append(self._crash())
            detail = self.errors.read_text(errors="replace")[-4000:]
        return Result(wrong, told, met, calls(self.output.read_text(errors="replace")), detail)

    def _crash(self) -> str:
        for _ in range(20):
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                code = os.waitstatus_to_exitcode(status)
                return (
                    f"crash: it was ended by {signal.Signals(-code).name}" if code < 0 else f"crash: exit status {code}"
                )
            time.sleep(0.01)
        os.kill(self.pid, signal.SIGABRT)  # which shows where it is
        time.sleep(0.5)
        return f"hang: not over after {PATIENCE} seconds"

    def _judge(self, found: dict[str, Any], met: list[str]) -> list[str]:
        wrong = []
        reaped = any(line.startswith(("wait4", "waitid")) for line in met)
        if found["left"]:
            wrong.append(f"open descriptors are left: {found['left']}")
        if found["children"] and not reaped:
            wrong.append(f"children are left: {found['children']}")
        if found["spent"] > MOST_CPU:
            wrong.append(f"busy: {found['spent']:.1f} s of the processor's time")
        wrong += [f"not a clear error: {each['where']}: {each['error']}" for each in found["told"] if not each["clear"]]
        return wrong


def calls(text: str) -> list[Call]:
    """The calls of a scenario, in order, up to the note that it is over. Before it, the child only waits."""
    found: list[Call] = []
    counts: Counter[tuple[str, str]] = Counter()
    threads: dict[str, str] = {}
    for line in text.splitlines():
        match = CALL.match(line)
        if match is None:
            continue
        number, name, arguments = match[1] or "", match[2], match[3]
        thread = threads.setdefault(number, "" if not threads else str(len(threads)))
        counts[thread, name] += 1
        if name == "write" and '"the scenario is "' in arguments:
            break
        found.append(Call(thread, name, arguments, counts[thread, name]))
    return found
