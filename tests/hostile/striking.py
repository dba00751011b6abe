"""A signal that comes at the n-th point where the interpreter lets one in.

The interpreter looks for signals where a function of Python begins or a generator goes on, after a call of a function
that is not Python's, and where a loop jumps back. So only Python code is interrupted: the program's, hasten's plain
modules, the standard library. A trace function counts these points, and raises the signal at one of them, whose handler
raises, or does what somebody has set (a Runner cancels its task). A signal that comes while compiled code runs is seen
at the next of these points, or where the loop looks for it before it polls.
"""

from __future__ import annotations

import dis
import functools
import os
import signal
import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

HERE = str(Path(__file__).parent) + os.sep
AFTER_CALL = ("CALL", "CALL_KW", "CALL_FUNCTION_EX")
# code of the tests that keeps account of what happened: it is interrupted when it has done so
ACCOUNTS = ("calls_net.py", "calls_pipes.py")


class Struck(Exception):
    """What a handler raises that does not end the loop, as time limits of tests do."""


@functools.cache
def points_of(code: CodeType) -> tuple[frozenset[int], frozenset[int], frozenset[int]]:
    """The offsets of instructions: those after calls, those that loops jump back to, and those where a frame is entered
    again at an `await`, where no signal comes."""
    after_calls, targets, closed = set(), set(), set()
    after = False
    for each in dis.get_instructions(code):
        if after:
            after_calls.add(each.offset)
        name = each.opname
        after = name in AFTER_CALL or name.startswith("INSTRUMENTED_CALL")
        if name.startswith("JUMP_BACKWARD") and name != "JUMP_BACKWARD_NO_INTERRUPT":
            targets.add(each.argval)
        elif name == "RESUME" and each.arg is not None and each.arg & 3 >= 2:
            closed.add(each.offset)
    return frozenset(after_calls), frozenset(targets), frozenset(closed)


class Strike:
    """Counts the points from start() on, and raises the signal at number `at` (0: never)."""

    def __init__(self, at: int, signum: int = signal.SIGINT) -> None:
        self.at = at
        self.signum = signum
        self.points = 0
        self.where = ""
        self.left_from: FrameType | None = None
        self.before: dict[FrameType, int] = {}  # the instruction that was last, of each frame that runs

    @property
    def hit(self) -> bool:
        return self.where != ""

    def start(self) -> None:
        if not self.hit:
            sys._getframe().f_trace_opcodes = True  # Python 3.12 and 3.13 look for it only when a trace function is set
            sys.settrace(self.trace)

    def stop(self) -> None:
        sys.settrace(None)
        self.left_from = None
        self.before.clear()

    def trace(self, frame: FrameType, event: str, arg: object) -> Any:
        code = frame.f_code
        if event == "opcode":
            left_from, self.left_from = self.left_from, None
            after_calls, targets, _ = points_of(code)
            at, before = frame.f_lasti, self.before.get(frame, -1)
            self.before[frame] = at
            # a call of a function of Python's has no point after it: the function itself had
            if (at in after_calls and left_from is not frame) or (at in targets and at < before):
                self.point(frame)
            return self.trace
        if event == "call":
            self.left_from = None
            kind = kind_of(code)
            if kind == LIBRARY:
                if (
                    frame.f_back is not None
                    and kind_of(frame.f_back.f_code) != LIBRARY
                    and frame.f_lasti not in points_of(code)[2]
                ):
                    self.point(frame)
                return None
            if kind == HARNESS:
                return None
            if kind == ACCOUNT:
                frame.f_trace_lines = False
                return self.account
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
            if frame.f_lasti not in points_of(code)[2]:
                self.point(frame)
        elif event == "return":
            self.left_from = frame.f_back
            self.before.pop(frame, None)
        return self.trace

    def account(self, frame: FrameType, event: str, arg: object) -> Any:
        """A function that is not interrupted before it ends."""
        if event == "return":
            self.point(frame)
            self.left_from = frame.f_back
        return self.account

    def point(self, frame: FrameType) -> None:
        self.points += 1
        if self.points == self.at:
            code = frame.f_code
            self.where = f"{shortened(code.co_filename)}:{frame.f_lineno} {code.co_qualname}+{frame.f_lasti}"
            sys.settrace(None)
            signal.raise_signal(self.signum)


OURS = ("interrupts.py", "striking.py", "nomemory.py")
PROGRAM, LIBRARY, HARNESS, ACCOUNT = range(4)
STDLIB = os.path.dirname(os.__file__) + os.sep


@functools.cache
def kind_of(code: CodeType) -> int:
    """Whose code it is. The standard library's own, but asyncio, is interrupted where it is entered only: what it loses
    in its middle (a lock of `threading`, a new descriptor of `socket`) is its own matter."""
    path = code.co_filename
    name = os.path.basename(path)
    if path.startswith(HERE):
        if name in OURS:
            return HARNESS
        if name in ACCOUNTS and "." in code.co_qualname and "<locals>" not in code.co_qualname:
            return ACCOUNT
        return PROGRAM
    if path.startswith(STDLIB + "asyncio"):
        return PROGRAM
    return LIBRARY if path.startswith((STDLIB, "<frozen")) else PROGRAM


def shortened(path: str) -> str:
    parts = Path(path).parts
    for mark in ("hasten", "hostile", "asyncio"):
        if mark in parts:
            return "/".join(parts[len(parts) - 1 - parts[::-1].index(mark) :])
    return "/".join(parts[-2:])
