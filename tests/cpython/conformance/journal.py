"""The child's side of the record: a unittest result that writes each event as a line, the moment it happens."""

from __future__ import annotations

import json
import os
import time
import unittest
from collections.abc import Callable
from typing import Any

# The worst outcome of a test's subtests is the test's.
RANK = {"pass": 0, "unrelated": 0, "skip": 1, "fail": 2}
TEXT_LIMIT = 6000


def identity(test: Any) -> str:
    """Class.method, or what unittest calls a failed setUpClass or setUpModule."""
    method = getattr(test, "_testMethodName", None)
    return f"{type(test).__qualname__}.{method}" if method else str(test)


class Journal(unittest.TestResult):
    """Writes `{"event": ...}` lines to a file descriptor.

    `loops()` tells how many loops under test have been made so far: in loop mode a test that passes without one says
    nothing about the loop and becomes `unrelated`. Pass None where that does not matter. `in_real_time()` tells how
    many of them ran in real time where the test was written for a virtual clock.
    """

    def __init__(self, fd: int, loops: Callable[[], int] | None, in_real_time: Callable[[], int]) -> None:
        super().__init__()
        self._fd = fd
        self._loops, self._in_real_time = loops, in_real_time
        self._outcome, self._text = "pass", ""
        self._started, self._loops_before, self._in_real_time_before = 0.0, 0, 0

    def write(self, event: str, **fields: object) -> None:
        os.write(self._fd, json.dumps({"event": event, **fields}).encode() + b"\n")

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        self._outcome, self._text = "pass", ""
        self._started = time.monotonic()
        self._loops_before = self._loops() if self._loops else 0
        self._in_real_time_before = self._in_real_time()
        self.write("start", test=identity(test))

    def stopTest(self, test: unittest.TestCase) -> None:
        super().stopTest(test)
        if self._loops and self._outcome == "pass" and self._loops() == self._loops_before:
            self._outcome = "unrelated"
        self.write(
            "end",
            test=identity(test),
            outcome=self._outcome,
            text=self._text[-TEXT_LIMIT:],
            seconds=round(time.monotonic() - self._started, 3),
            timing=self._in_real_time() > self._in_real_time_before,
        )

    def _note(self, test: Any, outcome: str, text: str) -> None:
        if not hasattr(test, "_testMethodName"):  # setUpClass and its kin are reported outside of any test
            self.write("end", test=identity(test), outcome=outcome, text=text[-TEXT_LIMIT:], seconds=0.0)
        elif RANK[outcome] >= RANK[self._outcome]:
            self._outcome, self._text = outcome, text

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:
        self._note(test, "fail", self._exc_info_to_string(err, test))  # type: ignore[attr-defined]

    def addError(self, test: unittest.TestCase, err: Any) -> None:
        self._note(test, "fail", self._exc_info_to_string(err, test))  # type: ignore[attr-defined]

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:
        if err is not None:
            self._note(test, "fail", self._exc_info_to_string(err, test))  # type: ignore[attr-defined]

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:
        self._note(test, "skip", reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:
        pass  # as good as passed

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:
        self._note(test, "fail", "unexpected success")
