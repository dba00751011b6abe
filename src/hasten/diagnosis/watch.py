"""hasten.watch(): tells which line blocks a loop, when it has, and what to use instead.

A thread of C looks whether the loops come back to their pollers, and reads what their threads do meanwhile (see
kernel/stall_watch.h). Where that cannot be, a thread of Python's does, which sees nothing while a C function keeps the
interpreter's lock. Reports are made by the loop's own thread, when the stall is over.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import TracebackType
from typing import Any

from hasten.core import attending, describe, observing
from hasten.core.probe import Observer
from hasten.core.registry import all_tasks, current_task
from hasten.core.report import note
from hasten.core.task import Task
from hasten.diagnosis import processes
from hasten.diagnosis.stall import Place, Stall, innermost_first
from hasten.diagnosis.standing import is_users
from hasten.diagnosis.watcher import Watcher, waiting
from hasten.kernel import stalls

THRESHOLD = 0.1
LEAST = 0.001
HANG = 5.0  # seconds of a stall, after which the thread of C tells it without Python
AGAIN = 60.0  # seconds in which the same place is not told again
PLACES = 1000  # that are remembered
_how: str | None = None


def how() -> str:
    """Return who looks: "C thread", or "Python thread: " and why."""
    global _how
    if _how is None:
        _how = _find_out()
    return _how


def _find_out() -> str:
    if not stalls.available():
        if os.environ.get("HASTEN_NO_EXTENSIONS") or not hasattr(stalls, "__pyx_capi__"):
            return "Python thread: hasten is not compiled"
        return "Python thread: this system does not let a process read its own memory by process_vm_readv or a pipe"
    if not _agrees():
        return f"Python thread: the frames of this Python ({sys.version.split()[0]}) lie otherwise than expected"
    return "C thread"


def _agrees() -> bool:
    """True if the thread of C would read just the frames that sys._getframe() shows: before it is trusted."""

    def read() -> tuple[list[tuple[str, int, str]] | None, list[tuple[str, int, str]]]:
        return stalls.mirror(), innermost_first(sys._getframe(1))

    seen, expected = read()
    if seen is None:
        return False
    # The innermost one is read(); the next stands at the line that called it in both.
    return all(
        line == wanted[1] and wanted[0].endswith(file) and wanted[2].endswith(name)
        for (file, line, name), wanted in zip(seen[1:20], expected[:19], strict=False)
    ) and (len(seen) > 40 or len(seen) == len(expected) + 1)


class Watch(Observer):
    """All loops of hasten, being watched; `hasten.watch()` makes it. As a context manager it ends with the block."""

    def __init__(self, threshold: float, report: Callable[[Stall], object] | None = None) -> None:
        self.threshold = threshold
        self._report = report
        # No lock guards what follows: a signal handler or a destructor, which may run anywhere here, would wait for it
        # for ever where its own thread has it. Each change is one step under the interpreter's lock.
        # of the loops that run, by their ids; weak, since who has no memory may not tell that one has ended
        self._watchers: dict[int, tuple[weakref.ref[Any], Watcher]] = {}
        self._told: dict[tuple[str, int], list[float]] = {}  # when a place was told last, and how often it was not
        self._looker: dict[
            str, tuple[threading.Event, list[threading.Thread]]
        ] = {}  # of Python's: what ends it; itself
        self._stopped = False
        self._pid = os.getpid()

    def __repr__(self) -> str:
        return f"<hasten.watch threshold={self.threshold:g} s, {how()}>"

    def loop_begins(self, loop: Any) -> None:
        """Watch a loop that begins to run, or runs already; in its thread, or in the one that attaches the watch."""
        if self._pid != os.getpid():  # a fork has no other thread
            self._looker, self._watchers, self._pid = {}, {}, os.getpid()
        self._let_go(loop)
        key, watcher = id(loop), Watcher(self._stalled)
        try:
            self._begin(loop, key, watcher)
        except BaseException:  # no memory: then nobody tells when the loop ends
            self._watchers.pop(key, None)
            watcher.let_go()
            raise

    def _begin(self, loop: Any, key: int, watcher: Watcher) -> None:
        entry = weakref.ref(loop, partial(self._watchers.pop, key)), watcher  # type: ignore[arg-type]
        watcher.thread = loop._thread_id or threading.get_ident()
        if watcher.thread == threading.get_ident():  # asked for: of a fork by C code Python has not heard
            watcher.native = threading.get_native_id()
        else:
            known = threading._active.get(watcher.thread)  # type: ignore[attr-defined]
            watcher.native = getattr(known, "native_id", None)
        # Where the process began without stderr, its number may be a connection's now.
        hang = HANG if sys.__stderr__ is not None else math.inf
        by_c = how() == "C thread" and watcher.watch(loop, self.threshold, hang, True)
        if not by_c:
            watcher.watch(loop, self.threshold, hang, False)
        self._watchers[key] = entry
        if not by_c and not self._begin_thread():  # only now: a thread ends where nothing is entered any more
            self._let_go(loop)
            return
        observing.attach(watcher, loop)
        other = watcher.thread != threading.get_ident()
        if self._stopped or (other and loop._thread_id is None):  # by another thread, meanwhile; or the loop has ended
            self._let_go(loop)

    def loop_ends(self, loop: Any) -> None:
        """Let go of the loop."""
        self._let_go(loop)
        if not self._watchers:
            self._end_thread()
            if self._watchers:  # another thread's loop has begun meanwhile
                self._begin_thread()

    def _let_go(self, loop: Any) -> None:
        _, watcher = self._watchers.pop(id(loop), (None, None))
        if watcher is not None:
            if watcher.thread == threading.get_ident():
                watcher.loop_ends(loop)
            else:  # the batch that it is in has not ended, and is not told in another thread
                watcher.let_go()
            observing.detach(watcher, loop)

    def _watched(self) -> list[tuple[Any, Watcher]]:
        """Return the loops that are watched now, each with what watches it."""
        found = [(loop(), watcher) for loop, watcher in list(self._watchers.values())]
        return [each for each in found if each[0] is not None]

    def stop(self) -> None:
        """Watch no more."""
        self._stopped = True
        observing.detach(self)
        for loop, _ in self._watched():
            self._let_go(loop)
            observing.detach(self, loop)
        self._end_thread()
        _look_after_debug_mode()

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    # ---- telling --------------------------------------------------------------------------

    def _stalled(self, watcher: Watcher, loop: Any, since: float, now: float, seen: Any) -> None:
        """Tell of a stall that was sampled; in the loop's thread, which has just ended it."""
        try:
            stall = self._understood(loop, since, now, seen)
        except Exception as error:  # somebody's own code: a loop's clock, a task's methods. It is watched on
            note(logging.WARNING, f"hasten: a blocked event loop cannot be described: {describe.safe(error)}")
            return
        if stall is not None:
            self._tell(stall, now)

    def _understood(self, loop: Any, since: float, now: float, seen: Any) -> Stall | None:
        """Make a Stall of what was sampled; None: it was too short."""
        _, excused, computed, of, _, _, samples, *queued = seen
        if queued and queued[0].waited >= 0.0:  # by a thread of Python's: what it had been at the first sample
            waited = _queued(threading.get_native_id()) - queued[0].waited
            excused += max(min(waited, now - since - queued[0].asleep), 0.0)
        seconds = now - since - excused
        if seconds < self.threshold:
            return None
        if samples:
            samples.sort(key=lambda each: each[0], reverse=True)
            count, _, _, address, frames, name, made = samples[0]
        else:  # nothing stood still for long enough to be read
            count, address, frames, name, made = 0, 0, [], None, None
        if name is None and address:  # a task of another make
            name, made = _named(next((each for each in all_tasks(loop) if id(each) == address), None))
        if made is not None and not is_users((made, 0, "")):  # by run(), which the reader has not written
            made = None
        return Stall(
            seconds=seconds,
            computed=min(max(computed / of, 0.0), 1.0) if of > 0.0 else 0.0,
            places=tuple(Place(file, max(line, 0), function) for file, line, function in frames),
            share=count / max(sum(each[0] for each in samples), 1) if samples else 1.0,
            task=name,
            made=made,
            waiting=waiting(loop),
            thread=threading.current_thread().name,
        )

    def _tell(self, stall: Stall, now: float) -> None:
        if self._report is not None:
            try:
                self._report(stall)
            except Exception as error:
                note(logging.ERROR, "The function that hasten.watch() was given to report stalls failed", error)
            return
        place = stall.place
        key = ("", 0) if place is None else (place.file, place.line)
        told = self._told.get(key)
        if told is not None and now - told[0] < AGAIN:
            told[1] += 1
            return
        repeated = 0 if told is None else int(told[1])
        if len(self._told) >= PLACES:
            self._told.clear()
        self._told[key] = [now, 0]
        note(logging.WARNING, str(replace(stall, repeated=repeated)))

    # ---- without the thread of C --------------------------------------------------------------

    def _begin_thread(self) -> bool:
        """Return False where no thread can be had: at the interpreter's end, or as there are too many."""
        stop = threading.Event()
        threads: list[threading.Thread] = []
        mine = stop, threads
        if self._looker.setdefault("", mine) is not mine:  # there is one, or loops of several threads begin now
            return True
        try:
            thread = threading.Thread(target=self._look_on, args=(stop,), name="hasten-watch", daemon=True)
            thread.start()
        except RuntimeError:
            self._looker.pop("", None)
            return False
        except MemoryError as error:
            self._looker.pop("", None)
            note(logging.WARNING, "hasten: an event loop is not watched, for lack of memory", error)
            return False
        threads.append(thread)
        return True

    def _end_thread(self) -> None:
        stop, threads = self._looker.pop("", (None, []))
        if stop is not None and self._pid == os.getpid():  # in a fork its lock may be held by who is not there
            stop.set()
            for thread in threads:
                if thread is not threading.current_thread():
                    thread.join(1.0)

    def _look_on(self, stop: threading.Event) -> None:
        """Look at the loops now and then, in a thread of Python's."""
        while not stop.wait(self.threshold / 8):
            try:
                for loop, watcher in self._watched():
                    since = watcher.awake
                    if since and time.monotonic() - since >= self.threshold / 2:
                        self._look_at(loop, watcher, since)
                    del loop, watcher  # nothing is kept while this thread sleeps
            except Exception:  # no memory, or somebody's own code: it is looked at again in a moment
                pass

    def _look_at(self, loop: Any, watcher: Watcher, since: float) -> None:
        frame = sys._current_frames().get(watcher.thread)
        if frame is None or watcher.awake != since:
            return
        frames = innermost_first(frame)
        del frame
        found = watcher.sampled
        if found is not None and found[0] == since:
            samples, queued = list(found[6]), found[7]
        else:
            samples, queued = [], Waits(watcher.native)
        queued.look()
        try:
            task = current_task(loop)
            address, (name, made) = id(task) if task is not None else 0, _named(task)
            del task
        except Exception:
            address, name, made = 0, None, None
        for i, (count, still, left_out, known, places, *names) in enumerate(samples):
            if places == frames and known == address:
                samples[i] = (count + 1, still, left_out, known, places, *names)
                break
        else:
            if len(samples) < 3:
                samples.append((1, True, 0, address, frames, name, made))
        most = max(samples, key=lambda each: each[0])[4]  # the last one may be of what came after the call
        watcher.sampled = (since, 0.0, _computes(most), 1.0, 0, 0, samples, queued)


class Waits:
    """For how long a thread that stands still has waited for a processor, and for how long it was asleep for sure.

    Linux (6.18) counts some sleeps as waits for a processor, where more threads run than there are processors. A thread
    that is asleep, and has computed nothing since it was last looked at, was asleep all the while.
    """

    def __init__(self, native: int | None) -> None:
        self._native = native
        self.waited = -1.0 if native is None else _queued(native)  # ever, by now; below 0: nobody tells
        self.asleep = 0.0  # since then
        self._computed = self._at = -1.0

    def look(self) -> None:
        """See what it does now."""
        if self._native is None:
            return
        now, sleeps = time.monotonic(), processes.asleep(self._native)
        found = processes.schedule(self._native)
        computed = -1.0 if found is None else found[0]
        if sleeps and computed >= 0.0 and computed == self._computed:
            self.asleep += now - self._at
        self._computed, self._at = computed, time.monotonic()


def _named(task: Any) -> tuple[str | None, str | None]:
    """Return what a task is called and where it was made, by the methods of its make and not by its class's own."""
    kinds = type(task).__mro__
    if Task in kinds:
        made = Task.created_at(task)
        return str(Task.get_name(task)), None if made is None else f"{made[0]}:{made[1]}"
    return (str(asyncio.Task.get_name(task)), None) if asyncio.Task in kinds else (None, None)


def _queued(native: int) -> float:
    """Return for how many seconds a thread has waited for a processor, ever; -1: nobody tells."""
    found = processes.schedule(native)
    return -1.0 if found is None else found[1]


def _computes(frames: list[tuple[str, int, str]]) -> float:
    """Without the thread's clock nobody knows; a line that calls nothing that waits computes, most likely."""
    place = Place(*frames[0])
    return 0.0 if any(word in place.source for word in ("sleep", "acquire", "recv", "read", "wait", "join")) else 1.0


def watch(threshold: float = THRESHOLD, *, report: Callable[[Stall], object] | None = None) -> Watch:
    """Tell, from now on, of each time that a loop of hasten, in any thread, is blocked for longer than a threshold.

    Arguments:
        threshold: in seconds; times a few milliseconds below it are not told.
        report: called with each Stall, in the thread of its loop; None: they are logged as warnings of the "asyncio"
            logger, and the same place once a minute.

    Raises:
        TypeError: the threshold is no number, or `report` cannot be called.
        ValueError: it is not positive, or not finite.
    """
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)):
        raise TypeError(f"threshold is a number of seconds, not {threshold!r}")
    if not LEAST <= threshold < math.inf:
        raise ValueError(f"threshold is a number of seconds, at least {LEAST:g}, not {threshold!r}")
    if report is not None and not callable(report):
        raise TypeError(f"report is called with each stall: a function is needed, not {report!r}")
    made = Watch(float(threshold), report)
    observing.attach(made)
    _look_after_debug_mode()  # what it would tell is told by the new one
    return made


# Each has one entry at most. setdefault() is one step: loops of several threads may begin at the same time.
_by_variable: dict[str, Watch] = {}
_of_debug_mode: dict[str, Watch] = {}  # it watches the loops that run in debug mode, where nobody watches all


def begin(loop: Any = None) -> None:
    """Watch, as HASTEN_WATCH says, for the rest of the process; done once."""
    if _by_variable:
        return
    said = os.environ.get("HASTEN_WATCH", "")
    try:
        threshold, understood = THRESHOLD if said in ("", "1") else float(said), True
        if not LEAST <= threshold < math.inf:
            raise ValueError(said)
    except ValueError:
        threshold, understood = THRESHOLD, False
    made = Watch(threshold)
    if _by_variable.setdefault("", made) is not made:
        return
    if not understood:
        wanted = "1 watches loops, 0 does not, another number is a threshold in seconds"
        note(logging.WARNING, f"HASTEN_WATCH={said!r}: {wanted}")
    observing.attach(made)
    _look_after_debug_mode()


def in_debug_mode(loop: Any, enabled: bool) -> None:
    """Watch a loop that runs in debug mode, unless all loops are watched; or, not `enabled`, watch it no longer."""
    if not enabled and not _of_debug_mode:
        return
    made = _of_debug_mode.get("") or _of_debug_mode.setdefault("", Watch(THRESHOLD))
    if enabled and not _all_are_watched():
        observing.attach(made, loop)
        if not _all_are_watched():  # else another thread has called watch() meanwhile
            return
    made.loop_ends(loop)
    observing.detach(made, loop)


def _all_are_watched() -> bool:
    return any(isinstance(each, Watch) for each in list(observing.everywhere))


def _look_after_debug_mode() -> None:
    """Have the loops that run in debug mode watched, or no longer, as there is no watch for all, or is one now."""
    for loop in list(observing.running):
        if _runs_in_debug_mode(loop):
            attending.debugged(loop, True)
            if not _runs_in_debug_mode(loop):  # that has ended meanwhile
                in_debug_mode(loop, False)


def _runs_in_debug_mode(loop: Any) -> bool:
    return getattr(loop, "_origin_depth", None) is not None
