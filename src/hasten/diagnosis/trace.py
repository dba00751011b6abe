"""hasten.trace(): keeps the latest events of all loops in memory, and writes them to a file when it is asked to.

What is in the file, and what can be made of it: diagnosis/trace_file.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from hasten.core import attending, observing, report
from hasten.core.probe import Observer
from hasten.core.registry import all_tasks
from hasten.diagnosis import recorder, trace_file
from hasten.diagnosis.metrics import thread_name
from hasten.diagnosis.recorder import Recorder
from hasten.diagnosis.stall import Stall
from hasten.diagnosis.watch import THRESHOLD, Watch, watch

EVENTS = 65536  # 40 bytes each
ENDED_LOOPS = 16  # of loops that are closed, the rings of so many are kept
AGAIN = 60.0  # seconds in which what happens again is not written again
ASIDE = 10  # files that are written on stalls and errors; the next one takes the place of the first
MOMENTS = ("stall", "error", "signal")  # when `hasten run --trace-on` has it written


class Trace(Observer):
    """A recording that is under way, of each loop of hasten that runs; `hasten.trace()` makes it.

    As a context manager it ends with the block, and is written then if it has a file.
    """

    def __init__(
        self, file: str | Path | None, events: int, on_stall: float | None = None, on_error: bool = False
    ) -> None:
        self.file = None if file is None else Path(file)
        self.size = events
        self.recorders: list[tuple[weakref.ref[Any], Recorder]] = []  # each with its loop
        self.began = (recorder.counter(), time.monotonic())
        self.tasks: dict[int, dict[str, Any]] = {}  # of loops that have ended
        self.on = True
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._next = 0.0
        self._count = 0
        self._writer: threading.Thread | None = None
        self._watch: Watch | None = None if on_stall is None else watch(on_stall, report=self._stalled)
        observing.attach(self)
        if on_error:
            attending.on_report.append(self._reported)

    def loop_begins(self, loop: Any) -> None:
        """Record a loop, in the ring that it has already if it ran before."""
        if any(known() is loop for known, _ in list(self.recorders)):
            return
        made = Recorder(self.size, thread_name(loop._thread_id or threading.get_ident()))
        self.recorders.append((weakref.ref(loop), made))  # loops of other threads begin at the same time
        ended = [each for each in list(self.recorders) if (ran := each[0]()) is None or ran.is_closed()]
        for each in ended[: -ENDED_LOOPS + 1] if len(ended) >= ENDED_LOOPS else []:
            self._forget(each)
        observing.attach(made, loop)

    def _forget(self, gone: Any) -> None:
        for i in range(len(self.recorders) - 1, -1, -1):
            if i < len(self.recorders) and self.recorders[i] is gone:  # others may forget some, too
                del self.recorders[i]
                break

    def loop_ends(self, loop: Any) -> None:
        """Note what is known of the tasks that are left: the loop may be gone when that is asked for."""
        self.tasks.update(_known_tasks(loop))

    def contents(self) -> dict[str, Any]:
        """Return what is recorded, in the form of the file: see diagnosis/trace_file."""
        return trace_file.contents(*self._taken())

    def _taken(self) -> tuple[list[dict[str, Any]], dict[int, dict[str, Any]], tuple[int, float], tuple[int, float]]:
        """Take what contents() is made of: the shorter part of the work, for the loop's thread."""
        now = (recorder.counter(), time.monotonic())
        tasks = dict(self.tasks)
        loops = []
        for known, made in list(self.recorders):
            loop = known()
            if loop is not None:
                tasks.update(_known_tasks(loop))
            loops.append({"thread": made.thread, "lost": max(made.used - made.mask - 1, 0), "events": made.events()})
        return loops, tasks, self.began, now

    def write(self, file: str | Path | None = None) -> Path:
        """Write what is recorded until now to a file, and go on; return the file's path.

        Arguments:
            file: its path; None: the one that trace() was given.

        Raises:
            ValueError: there is no file.
            OSError: it cannot be written.
        """
        path = self.file if file is None else Path(file)
        if path is None:
            raise ValueError("a file is needed: write(file), or trace(file)")
        trace_file.write(path, self.contents())
        return path

    def write_on(self, signum: int = signal.SIGUSR2) -> None:
        """Write the file when the process gets a signal. Raises ValueError outside the main thread.

        A process that is forked from this one writes FILE.PID.json.
        """

        def handle(signum: int, frame: FrameType | None) -> None:
            try:
                self.write(None if self.file is None else self._beside(self.file, ""))
            except Exception as error:  # what the signal has interrupted goes on
                report.note(logging.ERROR, f"hasten: the trace could not be written: {error}")

        signal.signal(signum, handle)

    # ---- on stalls and errors -------------------------------------------------------------

    def _stalled(self, stall: Stall) -> None:
        self.write_aside(f"the event loop was blocked for {stall.seconds * 1e3:.0f} ms at {stall.place}")

    def _reported(self, loop: Any, context: dict[str, Any]) -> None:
        self.write_aside(str(context.get("message") or "an error that nobody awaits"))

    def write_aside(self, why: str) -> None:
        """Write what is recorded to a file of its own (FILE.1.json, FILE.2.json…), in a thread: the program goes on.

        Within a minute of the last time it does nothing. After ten files, the first is written anew. The files of a
        process that is forked from this one are FILE.PID.1.json and so on.

        Arguments:
            why: what the log says of the reason.

        Raises:
            ValueError: trace() was given no file.
        """
        if self.file is None:
            raise ValueError("a file is needed: trace(file)")
        if not self._lock.acquire(blocking=False):
            return  # another loop does so just now; or this one, and a destructor reports an error in the middle
        try:
            now = time.monotonic()
            if now < self._next:
                return
            self._next = now + AGAIN
            number, self._count = self._count % ASIDE + 1, self._count + 1
            path, taken = self._beside(self.file, f".{number}"), self._taken()
            self._writer = threading.Thread(target=self._write_aside, args=(path, taken, why), name="hasten-trace")
            self._writer.start()
        finally:
            self._lock.release()

    def _beside(self, file: Path, mark: str) -> Path:
        """Return the path of FILE with a mark; in a process that was forked since, with its number too."""
        if os.getpid() != self._pid:
            mark = f".{os.getpid()}{mark}"
        plain, packed = (file, "") if file.suffix != ".gz" else (file.with_suffix(""), ".gz")
        return plain.with_name(f"{plain.stem}{mark}{plain.suffix}{packed}")

    def _write_aside(self, path: Path, taken: Any, why: str) -> None:
        try:
            trace_file.write(path, trace_file.contents(*taken))
        except OSError as exc:
            report.note(logging.ERROR, f"hasten could not write the trace to {path}: {exc.strerror}")
        else:
            report.note(logging.WARNING, f"hasten wrote a trace, since {why}: 'hasten trace {path}' shows it")

    def stop(self) -> None:
        """Record no more. What is recorded stays, and can be written."""
        if not self.on:
            return
        self.on = False
        if self._watch is not None:
            self._watch.stop()
        attending.on_report[:] = [each for each in attending.on_report if each != self._reported]
        writer = self._writer
        if writer is not None and writer is not threading.current_thread():
            writer.join()
        observing.detach(self)
        for known, made in list(self.recorders):
            loop = known()
            if loop is not None:
                self.tasks.update(_known_tasks(loop))
                observing.detach(made, loop)

    def __enter__(self) -> Trace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        if self.file is not None:
            self.write()


def trace(
    file: str | Path | None = None, *, events: int = EVENTS, on_stall: float | None = None, on_error: bool = False
) -> Trace:
    """Record what each loop of hasten does from now on: the latest events, in memory.

    Arguments:
        file: where write(), and the end of a `with` block, write them; `hasten trace FILE` shows it.
        events: how many events of each loop are kept, rounded up to a power of two; one takes 40 bytes.
        on_stall: seconds; when a loop was blocked for so long, they are written beside `file` (see Trace.write_aside).
        on_error: the same when an error comes to a loop's exception handler.

    Raises:
        TypeError: `on_stall` is no number.
        ValueError: `events` is less than 1 or more than 2**26, `on_stall` is less than 0.001, or there is no `file`
            for what is asked for.
    """
    if not isinstance(events, int) or not 1 <= events <= recorder.MOST:
        raise ValueError(f"events is a number from 1 to {recorder.MOST}, not {events!r}")
    if file is None and (on_stall is not None or on_error):
        raise ValueError("on_stall and on_error need a file to write to: trace(file, ...)")
    return Trace(file, 1 << (events - 1).bit_length(), on_stall, on_error)


def _known_tasks(loop: Any) -> dict[int, dict[str, Any]]:
    """What is known of a loop's unfinished tasks, by their numbers."""
    found: dict[int, dict[str, Any]] = {}
    for task in all_tasks(loop):
        title = recorder.title(task)
        if title is not None:
            name, coroutine, made = title.shown()
            found[recorder.number(task)] = {"name": name, "coroutine": coroutine, "made": made}
    return found


def write_at_exit(file: str | Path, on: Sequence[str] = ()) -> Trace:
    """Record until the interpreter ends, and write the file then: for `hasten run --trace`.

    `on`: when it is written besides, of MOMENTS.
    """
    import atexit

    made, pid = trace(file, on_stall=THRESHOLD if "stall" in on else None, on_error="error" in on), os.getpid()
    if "signal" in on:
        made.write_on()

    def finish() -> None:
        made.stop()
        if os.getpid() != pid:  # a forked child that ends in the ordinary way: the file is its parent's
            return
        try:
            report.say(f"hasten: wrote {made.write()}: 'hasten trace {file}' shows it")
        except OSError as exc:
            report.say(f"hasten: the trace could not be written to {file}: {exc.strerror}")

    atexit.register(finish)
    return made
