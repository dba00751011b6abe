"""What runs in the process of a suite's tests: the loops that it makes are counted, the end of each test is noted.

The notes are lines of JSON: one for each test ({"test", "outcome", "text", "detail"}), and at the end, which tells that
the process came so far, {"hasten_loops", "other_loops"}.
"""

import asyncio
import functools
import json
import signal
import traceback
import unittest

# The later one counts when a test has several: its set-up, its call, its tear-down.
RANK = ("passed", "xfailed", "skipped", "xpassed", "failed", "error")
DETAIL = 20_000  # characters of a failure's tracebacks and logs


def count_calls(kind):
    """A list that gets an item for each object of `kind`."""
    made = []
    make = kind.__init__

    @functools.wraps(make)
    def counted(self, *args, **kwargs):
        made.append(kind.__name__)
        make(self, *args, **kwargs)

    kind.__init__ = counted
    return made


class Notes:
    """Keeps the outcome of each test, and writes it down when the test is over."""

    def __init__(self, file):
        self.file = open(file, "w", buffering=1)  # noqa: SIM115 - closed by `close`
        self.outcomes = {}
        self.stock_loops = count_calls(asyncio.BaseEventLoop)
        self.hasten_loops = []

    def count_hasten(self):
        import hasten

        self.hasten_loops = count_calls(hasten.EventLoop)

    def add(self, test, outcome, text="", detail=""):
        found = outcome, text[:2000], detail[-DETAIL:]
        known = self.outcomes.get(test, found)
        self.outcomes[test] = max(known, found, key=lambda each: RANK.index(each[0]))

    def over(self, test, otherwise="skipped"):
        """`otherwise` stands for a test that said nothing."""
        outcome, text, detail = self.outcomes.get(test, (otherwise, "", ""))
        self.write(test=test, outcome=outcome, text=text, detail=detail)

    def write(self, **fields):
        self.file.write(json.dumps(fields) + "\n")

    def close(self):
        self.write(hasten_loops=len(self.hasten_loops), other_loops=len(self.stock_loops))
        self.file.close()


class PytestPlugin:
    """Notes what pytest reports."""

    def __init__(self, notes):
        self.notes = notes

    def pytest_runtest_logreport(self, report):
        outcome = report.outcome
        if hasattr(report, "wasxfail"):
            outcome = "xpassed" if report.passed else "xfailed"
        elif report.failed and report.when != "call":
            outcome = "error"
        crash = getattr(report.longrepr, "reprcrash", None)
        detail = "\n".join([report.longreprtext, *(text for _, text in report.sections)]) if report.failed else ""
        self.notes.add(report.nodeid, outcome, crash.message if crash else "", detail)
        if report.when == "teardown":
            self.notes.over(report.nodeid)

    def pytest_unconfigure(self):
        self.notes.close()


class Late(BaseException):
    """A test took too long. No Exception, so that the test does not take it for one of its own."""


def unittest_result(notes, limit):
    """A result class for unittest's runners that also notes each test, and ends one after `limit` seconds."""

    def late(signum, frame):
        raise Late(f"no end after {limit} seconds")

    class NotingResult(unittest.TextTestResult):
        def startTest(self, test):
            super().startTest(test)
            signal.signal(signal.SIGALRM, late)
            signal.setitimer(signal.ITIMER_REAL, limit, 5)

        def stopTest(self, test):
            signal.setitimer(signal.ITIMER_REAL, 0)
            super().stopTest(test)
            notes.over(test.id())

        def failure(self, test, outcome, err):
            text = traceback.format_exception_only(err[0], err[1])[-1].strip()
            notes.add(test.id(), outcome, text, "".join(traceback.format_exception(*err)))
            if not hasattr(test, "_testMethodName"):  # the set-up of a class or a module
                notes.over(test.id())

        def addSuccess(self, test):
            super().addSuccess(test)
            notes.add(test.id(), "passed")

        def addError(self, test, err):
            super().addError(test, err)
            self.failure(test, "error", err)

        def addFailure(self, test, err):
            super().addFailure(test, err)
            self.failure(test, "failed", err)

        def addSubTest(self, test, subtest, err):
            super().addSubTest(test, subtest, err)
            if err is not None:
                self.failure(test, "failed", err)

        def addSkip(self, test, reason):
            super().addSkip(test, reason)
            notes.add(test.id(), "skipped", reason)

        def addExpectedFailure(self, test, err):
            super().addExpectedFailure(test, err)
            notes.add(test.id(), "xfailed")

        def addUnexpectedSuccess(self, test):
            super().addUnexpectedSuccess(test)
            notes.add(test.id(), "xpassed")

    return NotingResult
