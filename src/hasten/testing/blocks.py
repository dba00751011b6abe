"""Who blocks a loop in a test, and for how long: a thread looks at what the loops' threads do.

It looks five times in each `threshold`. A loop whose count of ticks stands still meanwhile, and whose thread is not
where a loop sleeps, is blocked; the frame that is seen then is what blocks it. This needs the interpreter's lock: where
C code holds that all the while, the thread sees how long it took, and mostly not the place. hasten.diagnosis.watch,
where it is there, sees more, and is used instead.
"""

from __future__ import annotations

import os
import selectors
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import FrameType
from typing import Any

import hasten.loop
from hasten.diagnosis import processes
from hasten.testing import places

_SLEEPS = (
    os.path.join(os.path.dirname(hasten.loop.__file__), "poll") + os.sep,
    os.path.join(os.path.dirname(hasten.loop.__file__), "kernel") + os.sep,
)
_LOOP_FILES = (hasten.loop.__file__, __file__.replace("blocks", "leaks"), selectors.__file__)


# When no loop has run for so long, the thread rests until one does. Seconds.
REST = 1.0


class Stall:
    """What the sampler knows of one loop."""

    def __init__(self, loop: Any, ident: int, now: float) -> None:
        self.loop = loop
        self.ident = ident
        self.ticks = -1
        self.since = now
        self.native = threading.get_native_id()
        self.spent = self.queued = 0.0  # by schedule_of(), when it was last looked at
        self.lost = 0.0  # of the time since `since`, what the thread waited for a processor
        self.text: str | None = None


class Sampler:
    """The thread that looks."""

    def __init__(self) -> None:
        self.threshold = 0.0
        self.report: Callable[[str], object] = str
        self._stalls: list[Stall] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ended = self._rests = False
        self._pid = os.getpid()

    def begin(self, threshold: float, report: Callable[[str], object]) -> None:
        """Report from now on what blocks a loop for longer. 0: nothing."""
        with self._changed:
            self.threshold, self.report = threshold, report

    @contextmanager
    def watching(self, loop: Any) -> Iterator[None]:
        """Watch a loop that runs in this thread."""
        if not self.threshold or os.getpid() != self._pid:  # a fork has no such thread, and perhaps a lock held by it
            yield
            return
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="hasten-blocks", daemon=True)
                self._thread.start()
            stall = Stall(loop, threading.get_ident(), time.monotonic())
            stall.spent, stall.queued = schedule_of(stall.native)
            self._stalls.append(stall)
            if self._rests:  # else it comes by soon: to be woken for each run of a loop would cost more than all else
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._settle(stall, time.monotonic())
                self._stalls.remove(stall)

    def close(self) -> None:
        """End the thread."""
        if os.getpid() != self._pid:
            return
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        last = time.monotonic()
        with self._changed:
            while not self._ended:
                if self._stalls:
                    last = time.monotonic()
                elif time.monotonic() - last > REST:
                    self._rests = True
                    self._changed.wait()
                    self._rests = False
                    continue
                before = time.monotonic()
                pause = min(max(self.threshold / 5, 0.002), 0.05)
                self._changed.wait(pause)
                now = time.monotonic()
                for stall in list(self._stalls):
                    self._look(stall, now, now - before - pause)

    def _look(self, stall: Stall, now: float, late: float) -> None:
        frame = sys._current_frames().get(stall.ident)
        if frame is None:
            return
        ticks, (spent, queued) = stall.loop._ticks, schedule_of(stall.native)
        # Where this thread comes late, the loop's has computed and kept the lock; or the process as a whole stood
        # still, as when there are too few processors for all, so that nobody is to blame.
        lost = queued - stall.queued
        kept = spent - stall.spent + lost > 0.8 * late
        late -= lost
        stopped = late > self.threshold / 2 and not kept
        if ticks != stall.ticks or stopped or sleeps(frame):
            if stall.text is None and late > self.threshold and kept:
                self.report(f"{late:.2f} s in a C function that kept the interpreter's lock; it is not known which")
            self._settle(stall, now)
            stall.ticks, stall.since, stall.lost = ticks, now, 0.0
        else:
            stall.lost += lost
            if now - stall.since - stall.lost >= self.threshold and stall.text is None:
                stall.text = told(frame)
        stall.spent, stall.queued = spent, queued

    def _settle(self, stall: Stall, now: float) -> None:
        """Report a stall that is over."""
        text, stall.text = stall.text, None
        if text is not None:
            self.report(f"{now - stall.since - stall.lost:.2f} s {text}")


def schedule_of(native: int) -> tuple[float, float]:
    """Return how many seconds a thread has computed, and how many it has waited for a processor, as Linux tells it."""
    return processes.schedule(native) or (time.process_time(), 0.0)


def sleeps(frame: FrameType) -> bool:
    """True if a loop's thread that stands there waits for events, or is between two callbacks; or is in a debugger."""
    path = frame.f_code.co_filename
    if path in _LOOP_FILES or path.startswith(_SLEEPS):
        return True
    each: FrameType | None = frame
    while each is not None:
        if each.f_code.co_filename.endswith(("bdb.py", "pdb.py")):
            return True
        each = each.f_back
    return False


def told(frame: FrameType) -> str:
    """Return as text where a thread stands: the program's line, and who called it."""
    lines: list[str] = []
    each: FrameType | None = frame
    while each is not None and each.f_code.co_filename not in _LOOP_FILES:
        lines.append(places.told((each.f_code.co_filename, each.f_lineno, each.f_code.co_qualname)))
        each = each.f_back
    users = [line for line in lines if places.is_users(os.path.abspath(line.partition(":")[0]))] or lines
    text = f"at {users[0]}"
    if lines[0] != users[0]:
        text += f"\n      there in {lines[0]}"
    return "\n      called from ".join([text, *users[1:4]])


def text_of(stall: Any) -> str:
    """Return the watch's report as one of a test: how long, at which line, called from where."""
    place = stall.place
    if place is None:
        return f"{stall.seconds:.2f} s"
    lines = [places.told((each.file, each.line, each.function)) for each in (place, *reversed(stall.chain()))]
    callers = [line for line in dict.fromkeys(lines) if line != lines[0]]
    return "\n      called from ".join([f"{stall.seconds:.2f} s at {lines[0]}", *callers[:3]])


class Watched:
    """hasten.diagnosis.watch in the sampler's place: for one test at a time."""

    def __init__(self, watch: Callable[..., Any]) -> None:
        self._watch = watch
        self._running: Any = None

    def begin(self, threshold: float, report: Callable[[str], object]) -> None:
        """Report from now on what blocks a loop for longer. 0: nothing."""
        self.close()
        if threshold:
            self._running = self._watch(threshold=threshold, report=lambda stall: report(text_of(stall)))

    @contextmanager
    def watching(self, loop: Any) -> Iterator[None]:
        """Do nothing: it finds the loops by itself."""
        yield

    def close(self) -> None:
        """End."""
        running, self._running = self._running, None
        for name in ("stop", "close", "__exit__"):
            end = getattr(running, name, None)
            if end is not None:
                end(*((None, None, None) if name == "__exit__" else ()))
                break


def watcher() -> Sampler | Watched:
    """Return what this version of hasten has to see blocking calls with."""
    name = "hasten.diagnosis.watch"
    if find_spec(name) is not None:
        watch = getattr(import_module(name), "watch", None)
        if callable(watch):
            return Watched(watch)
    return Sampler()
