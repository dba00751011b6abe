"""What `hasten top` shows, by looking at the loops many times a second for as long as somebody watches.

Nothing is counted in the program itself. A look (`sample()`) reads a few words of each loop and, of a loop that does
not sleep, the frames of its thread. What is said of times is what was seen: a batch that was under way in three looks
took at least the time between the first and the third.

Who looks has the interpreter's lock, and most often gets it when a loop gives it away, between two steps. To see what
the main thread does when it works, that thread looks itself, when it is told to without the lock (`kernel/nudge`). Of
loops in other threads, and uncompiled, steps shorter than the switch interval (5 ms) are seldom seen.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import threading
import time
import weakref
from types import FrameType
from typing import Any

from hasten.core.scheduler import Scheduler
from hasten.core.task import Task
from hasten.diagnosis import census, meeting, meter
from hasten.kernel import nudge
from hasten.loop import Loop

MOST_TASKS = 5_000  # that are gone through for each report
SHOWN = 20
_RUN = {Loop.run_forever.__code__, asyncio.BaseEventLoop.run_forever.__code__}
_HERE = os.path.dirname(os.path.dirname(__file__)) + os.sep


_clock_of = getattr(time, "pthread_getcpuclockid", None)
_chance = random.Random()  # the program's own is not touched
_samplers: list[Sampler] = []


def pause() -> bool:
    """Sleep until it is time for the next look; return whether the main thread works then, and looks itself."""
    # not at even distances: what the program does in turns would be met in the same place again and again
    seconds = meeting.PERIOD * (0.5 + _chance.random())
    return nudge.after(seconds, b"/proc/self/task/%d/stat" % os.getpid())


def _look_in_main() -> None:
    """Look what the main thread does: called there."""
    key = _what_runs(sys._getframe(1))
    for sampler in _samplers[:]:
        sampler.count(key)


class Sampler:
    """Looks that one watcher has asked for."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}
        self._busy: dict[tuple[census.Place, census.Place], int] = {}
        self._looks = 0
        self._since = time.monotonic()
        self._stands: dict[int, _Stand] = {}  # by the ids of tasks
        _samplers.append(self)
        nudge.set_hook(_look_in_main)

    def close(self) -> None:
        """Look no more. Closing again does nothing."""
        if self in _samplers:
            _samplers.remove(self)
        if not _samplers:
            nudge.set_hook(None)

    def sample(self, loops: list[Any], at_work: bool = False) -> None:
        """Look once. `at_work`: the main thread is, and looks itself."""
        self._looks += 1
        now = time.monotonic()
        main = threading.main_thread().ident
        for loop in loops:
            seen = self._seen.setdefault(id(loop), _Seen())
            thread = getattr(loop, "_thread_id", None)
            looks_itself = at_work and thread == main
            if seen.look(loop, now, looks_itself) and not looks_itself:
                self.count(_what_runs(sys._current_frames().get(thread or 0)))

    def count(self, key: tuple[census.Place, census.Place]) -> None:
        """Count what was found running in one look."""
        self._busy[key] = self._busy.get(key, 0) + 1

    def report(self, loops: list[Any]) -> dict[str, Any]:
        """Return what was seen since the last report."""
        now = time.monotonic()
        took = max(now - self._since, 1e-9)
        threads = census.thread_names()
        told = []
        for loop in loops:
            facts = census.loop_facts(loop, threads)
            seen = self._seen.setdefault(id(loop), _Seen())
            facts |= seen.report(loop, now, took)
            told.append(facts)
        busy = self._busiest()
        groups, longest, tasks = self._tasks(loops, now)
        looks = self._looks
        self._busy, self._looks, self._since = {}, 0, now
        self._seen = {key: seen for key, seen in self._seen.items() if key in {id(loop) for loop in loops}}
        return {"loops": told, "seconds": took, "looks": looks, "busy": busy, "groups": groups, "longest": longest} | {
            "tasks": tasks
        }

    def ages(self) -> dict[int, float]:
        """Return for how many seconds each task had stood where it stood in the last report, by its id."""
        return {key: self._since - stand.since for key, stand in self._stands.items()}

    def _busiest(self) -> list[dict[str, Any]]:
        """Return what was found running most often, and the places where it was found, the most frequent first."""
        by_root: dict[census.Place, dict[census.Place, int]] = {}
        for (root, at), count in list(self._busy.items()):
            by_root.setdefault(root, {})[at] = count
        found: list[dict[str, Any]] = []
        for root, places in by_root.items():
            share = min(sum(places.values()) / max(self._looks, 1), 1.0)
            found.append({"root": root, "at": max(places, key=places.__getitem__), "share": share})
        return sorted(found, key=lambda each: each["share"], reverse=True)[:SHOWN]

    def _tasks(self, loops: list[Any], now: float) -> tuple[list[Any], list[Any], int]:
        """Return the coroutines that most tasks run, those that have stood longest, and how many tasks there are."""
        references = census.unfinished([loop for loop in loops if not isinstance(loop, Scheduler)])
        counts: dict[str, int] = {}
        stands: dict[int, _Stand] = {}
        oldest: dict[Any, dict[str, Any]] = {}  # of those that run the same and stand in the same place
        for reference in references[:MOST_TASKS]:
            task = reference()
            if task is None or Task not in type(task).__mro__:
                continue
            coro = task._coro
            name = census.name_of_coroutine(coro)
            counts[name] = counts.get(name, 0) + 1
            frame = getattr(coro, "cr_frame", None) if type(coro) in census.FIELDS else None
            stand = _Stand(frame, task._fut_waiter, now)
            before = self._stands.get(id(task))
            if before is not None and before.is_still(stand):
                stand.since = before.since
            stands[id(task)] = stand
            at = None if frame is None else census.place(frame)
            first = oldest.setdefault((name, at), {"seconds": -1.0, "tasks": 0})
            first["tasks"] += 1
            if now - stand.since > first["seconds"]:
                first |= {"seconds": now - stand.since, "task": census.name_of_task(task), "coroutine": name, "at": at}
            task = coro = frame = None
        self._stands = stands
        most = sorted(counts.items(), key=lambda item: -item[1])[:SHOWN]
        longest = sorted(oldest.values(), key=lambda each: -each["seconds"])[:SHOWN]
        return most, longest, len(references)


class _Stand:
    """Where a task stood when it was looked at, without holding anything of it."""

    def __init__(self, frame: FrameType | None, waiter: Any, now: float) -> None:
        self.since = now
        self._at = None if frame is None else (id(frame.f_code), frame.f_lasti)
        try:
            self._waiter = None if waiter is None else weakref.ref(waiter)
        except TypeError:
            self._waiter = None

    def is_still(self, later: _Stand) -> bool:
        """True if the task stands there as before, and waits for the same thing, in a later look."""
        if self._at != later._at or self._waiter is None or later._waiter is None:
            return False
        waiter = self._waiter()
        return waiter is not None and waiter is later._waiter()


class _Seen:
    """What was seen of one loop."""

    def __init__(self) -> None:
        self._batch: int | None = None  # the number of the batch that was under way in the last look
        self._since = 0.0  # and when it was first seen
        self._longest = 0.0
        self._busy = self._looks = 0
        self._reported: tuple[int, int] | None = None  # batches and steps, ever
        self._used: tuple[int, float] | None = None  # thread, and its processor time

    def look(self, loop: Any, now: float, at_work: bool) -> bool:
        """Note what the loop does; return True if it works. `at_work`: it did a moment ago, for sure."""
        if not isinstance(loop, Scheduler) or not Scheduler.is_running(loop):
            return False
        self._looks += 1
        number = loop._ticks
        if loop._poller.sleeping:
            self._batch = None
            self._busy += at_work
            return False
        self._busy += 1
        if number == self._batch:
            self._longest = max(self._longest, now - self._since)
        else:
            self._batch, self._since = number, now
        return True

    def report(self, loop: Any, now: float, took: float) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        if isinstance(loop, Scheduler):
            number, steps = loop._ticks, meter.kept(loop)["steps"]
            before = self._reported
            if number == self._batch and not loop._poller.sleeping:
                self._longest = max(self._longest, now - self._since)
            facts = {
                "busy": self._busy / self._looks if self._looks else None,
                "lag": self._longest,
                "steps_per_second": None if before is None else (steps - before[1]) / took,
                "batches_per_second": None if before is None else (number - before[0]) / took,
                "tasks": _count(loop),
            }
            self._reported = number, steps
            thread, used = loop._thread_id, _processor_time(loop._thread_id)
            if self._used is not None and used is not None and self._used[0] == thread:
                facts["processor"] = max(used - self._used[1], 0.0) / took
            self._used = None if thread is None or used is None else (thread, used)
        self._longest, self._busy, self._looks = 0.0, 0, 0
        return facts


def _clock(thread: int | None) -> int | None:
    """Return the clock of a thread's processor time, or None if there is none."""
    if thread is None or _clock_of is None:
        return None
    try:
        # Of a thread that has ended the C library may not be asked: it would read what is freed. So there is no call,
        # and with it no other thread's turn, between the look whether it lives and the question.
        return _clock_of(thread) if thread in threading._active else None  # type: ignore[attr-defined]
    except OSError:
        return None


def _processor_time(thread: int | None) -> float | None:
    """Return the seconds of processor time that a thread which runs a loop has used, or None if that is not known."""
    clock = _clock(thread)
    return None if clock is None else time.clock_gettime(clock)


def _count(loop: Any) -> int:
    return len(loop._roster.members())


def _what_runs(frame: FrameType | None) -> tuple[census.Place, census.Place]:
    """Return the outermost function of the program's that runs in a loop's thread now, and where it is inside.

    `frame`: the innermost one of the thread.
    """
    root: census.Place | None = None
    at: census.Place | None = None
    for _ in range(census.DEPTH * 10):
        if frame is None:
            return _ELSE, _ELSE  # in no loop
        code = frame.f_code
        if code in _RUN:
            break
        if not code.co_filename.startswith(_HERE):
            at = at or census.place(frame)
            root = code.co_filename, code.co_firstlineno, code.co_qualname
        frame = frame.f_back
    if root is None or at is None:
        return _ELSE, _ELSE
    return root, at


_ELSE: census.Place = "", 0, "(no Python code: the loop itself, or C)"
