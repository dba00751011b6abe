"""Processes of ours: each on its core, each answering in lines of JSON, none outliving us."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from bench.failures import Failure, Unsupported

ROOT = Path(__file__).resolve().parent.parent
_PR_SET_PDEATHSIG = 1


def _settle(core: int) -> Callable[[], None]:
    """What a new process does before it becomes the program: takes its core, and asks to die with us."""
    libc = ctypes.CDLL(None)

    def settle() -> None:
        os.sched_setaffinity(0, {core})
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return settle


class Child:
    """A process on one core. Use it in a `with` statement: it is ended on the way out.

    argv: the program and its arguments
    core: the core that it may use
    """

    def __init__(self, argv: Sequence[str], core: int) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in end()
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=ROOT,
            preexec_fn=_settle(core),
            env=dict(os.environ, PYTHONHASHSEED="0"),
        )
        self._text = b""
        self.pid = self._process.pid

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.end()

    def tell(self, line: str) -> None:
        """Writes a line to the process's standard input."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._gone() from None

    def hear(self, event: str, seconds: float) -> dict[str, Any]:
        """The next message of that kind. Raises Failure when the process ends, fails or stays silent for so long."""
        until = time.monotonic() + seconds
        while True:
            line = self._line(until, seconds)
            try:
                message = json.loads(line)
            except ValueError:
                continue  # a library's own words
            if not isinstance(message, dict):
                continue
            if message.get("event") == event:
                return message
            if message.get("event") == "unsupported":
                raise Unsupported(message["why"])

    def check(self) -> None:
        """Raises Failure, with what it said last, when the process has ended."""
        if self._process.poll() is not None:
            raise self._gone()

    def finish(self, seconds: float = 10) -> None:
        """Waits for the process to end by itself, with status 0."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure("hang", "has its result but does not end") from None
        if status:
            raise self._gone()

    def end(self) -> None:
        """Ends the process, if it still runs, and closes everything."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def _line(self, until: float, seconds: float) -> bytes:
        assert self._process.stdout is not None
        while b"\n" not in self._text:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise Failure("hang", f"nothing for {seconds:g} s{self.last_words()}")
            data = os.read(self._process.stdout.fileno(), 1 << 16)
            if not data:
                raise self._gone()
            self._text += data
        line, _, self._text = self._text.partition(b"\n")
        return line

    def _gone(self) -> Failure:
        try:
            status = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return Failure("hang", "closed its output but does not end")
        if status < 0:
            return Failure("crash", f"{signal.Signals(-status).name}{self.last_words()}")
        return Failure("error", self.last_words().removeprefix(": ") or f"ended with status {status}")

    def last_words(self) -> str:
        """The last line of a traceback, or of anything else on standard error, after ": "; or nothing."""
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().decode(errors="replace").splitlines()]
        lines = [line for line in lines if line]
        raised = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception", "Exit"))]
        last = (raised or lines or [""])[-1]
        return f": {last[:200]}" if last else ""


def python(*arguments: str) -> list[str]:
    """The command line of a measured Python process."""
    return [sys.executable, "-m", "bench.child", *arguments]
