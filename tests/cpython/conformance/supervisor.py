"""The parent's side: runs one job in child processes, and survives their hangs and crashes."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from conformance.plan import SHARDS, Job

FOLDER = Path(__file__).parent.parent
# Seconds without a line in the journal. Importing and collecting may take long on a busy machine.
TEST_PATIENCE = 40.0
START_PATIENCE = 180.0
EXIT_PATIENCE = 10.0
# A child that dies this often is not worth another one.
MAX_CHILDREN = 40


@dataclass
class Record:
    """What became of one test."""

    outcome: str
    text: str = ""
    seconds: float = 0.0
    # ran in real time where it was written for a virtual clock
    timing: bool = False
    # failed at first, and passed when it was run again by itself
    again: bool = False

    @property
    def bad(self) -> bool:
        return self.outcome in ("fail", "hang", "crash")


@dataclass
class Outcome:
    """What became of one module."""

    tests: dict[str, Record] = field(default_factory=dict)
    # why the module as a whole was skipped, or could not be run
    skipped: str = ""
    broken: str = ""


class _Child:
    """One child process: its journal, its output, its end."""

    def __init__(self, job: Job, results: dict[str, Record]) -> None:
        self.results = results
        self.current: str | None = None
        self.finished = False
        self.skipped = ""
        self._buffer = b""
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        self._journal, theirs = os.pipe()
        command = [sys.executable, str(FOLDER / "child.py"), str(theirs), job.to_json()]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            pass_fds=[theirs],
            start_new_session=True,  # so that what tests leave running can be ended with it
            cwd=tempfile.gettempdir(),
        )
        os.close(theirs)

    def watch(self) -> str:
        """Reads the journal until the child is gone. Returns "" (it came to its end), "hang" or "crash"."""
        journal = select.poll()
        journal.register(self._journal, select.POLLIN)
        heard, patience = time.monotonic(), START_PATIENCE
        while True:
            ended = self._process.poll() is not None  # asked before reading, so that nothing written is missed
            if journal.poll(0 if ended else 250):
                data = os.read(self._journal, 65536)
                if data:
                    self._take(data)
                    heard, patience = time.monotonic(), EXIT_PATIENCE if self.finished else TEST_PATIENCE
                    continue
                ended = self._wait()
            if ended:
                return "" if self.finished else "crash"
            if time.monotonic() - heard > patience:
                self._abort()
                return "" if self.finished else "hang"

    def _wait(self) -> bool:
        """The journal is closed on the child's side: it is about to end, or is made to."""
        try:
            self._process.wait(EXIT_PATIENCE)
        except subprocess.TimeoutExpired:
            self._abort()
        return True

    def _take(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._record(json.loads(line))

    def _record(self, line: dict[str, Any]) -> None:
        match line["event"]:
            case "start":
                self.current = line["test"]
            case "end":
                self.results[line["test"]] = Record(
                    line["outcome"], line["text"], line["seconds"], line.get("timing", False)
                )
                if line["test"] == self.current:
                    self.current = None
            case "skip-module":
                self.skipped = line["reason"]
            case "finish":
                self.finished = True

    def _abort(self) -> None:
        """SIGABRT, so that faulthandler writes where each thread stands; SIGKILL when that is not enough."""
        for signum in (signal.SIGABRT, signal.SIGKILL):
            try:
                os.kill(self._process.pid, signum)
                self._process.wait(5)
                return
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue

    def close(self) -> str:
        """Ends what is left of the child's process group; returns the end of its output."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self._process.wait()
        os.close(self._journal)
        with self._output as output:
            size = output.seek(0, os.SEEK_END)
            output.seek(max(0, size - 4000))
            return output.read().decode(errors="replace")


def run(job: Job) -> Outcome:
    """Runs `job`, in as many children at a time as its module wants."""
    count = SHARDS.get((job.mode, job.module), 1)
    with ThreadPoolExecutor(count) as pool:
        parts = list(pool.map(_run_shard, [replace(job, shard=index, shards=count) for index in range(count)]))
    whole = Outcome(skipped=parts[0].skipped)
    for part in parts:
        whole.tests.update(part.tests)
        whole.broken = whole.broken or part.broken
    _run_timing_again(job, whole)
    return whole


def _run_timing_again(job: Job, whole: Outcome) -> None:
    """Tests with margins of 20 ms, made for a clock that waits for them, get a second chance on a busy machine.

    Others do not: what fails now and then for another reason than time is a failure. So is a test that was over in no
    time.
    """
    late = [
        test
        for test, record in whole.tests.items()
        if record.outcome == "fail" and record.timing and record.seconds > 0.05
    ]
    if not late:
        return
    second = _run_shard(replace(job, only=tuple(f"{job.module}.{test}" for test in late), exact=True))
    for test, record in second.tests.items():
        if not record.bad:
            whole.tests[test] = replace(record, again=True)


def _run_shard(job: Job) -> Outcome:
    """Runs `job` with one child, and a new one for what is left after each hang or crash."""
    outcome = Outcome()
    for _ in range(MAX_CHILDREN):
        before = len(outcome.tests)
        child = _Child(replace(job, done=tuple(outcome.tests)), outcome.tests)
        how = child.watch()
        status, output = child._process.returncode, child.close()
        outcome.skipped = child.skipped
        if not how:
            return outcome
        if child.current is not None:
            outcome.tests[child.current] = Record(how, f"exit status {status}\n{output}", TEST_PATIENCE)
        elif len(outcome.tests) == before:
            outcome.broken = f"{how} outside of any test, exit status {status}\n{output}"
            return outcome
    outcome.broken = f"gave up after {MAX_CHILDREN} children"
    return outcome
