"""hasten.trace(): keeps the latest events of all loops in memory, and writes them to a file when it is asked to.

What is in the file, and what can be made of it: diagnosis/trace_file.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
import weakref
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from hasten.core import observing
from hasten.core.probe import Observer
from hasten.core.registry import all_tasks
from hasten.core.task import Task
from hasten.diagnosis import recorder, trace_file
from hasten.diagnosis.metrics import thread_name
from hasten.diagnosis.recorder import Recorder

EVENTS = 65536  # 40 bytes each
ENDED_LOOPS = 16  # of loops that are closed, the rings of so many are kept


class Trace(Observer):
    """A recording that is under way, of each loop of hasten that runs; `hasten.trace()` makes it.

    As a context manager it ends with the block, and is written then if it has a file.
    """

    def __init__(self, file: str | Path | None, events: int) -> None:
        self.file = None if file is None else Path(file)
        self.size = events
        self.recorders: list[tuple[weakref.ref[Any], Recorder]] = []  # each with its loop
        self.began = (recorder.counter(), time.monotonic())
        self.tasks: dict[int, dict[str, Any]] = {}  # of loops that have ended
        self.on = True
        observing.attach(self)

    def loop_begins(self, loop: Any) -> None:
        """Record a loop, in the ring that it has already if it ran before."""
        if any(known() is loop for known, _ in self.recorders):
            return
        made = Recorder(self.size, thread_name(loop._thread_id or threading.get_ident()))
        ended = [each for each in self.recorders if (ran := each[0]()) is None or ran.is_closed()]
        gone = ended[: -ENDED_LOOPS + 1] if len(ended) >= ENDED_LOOPS else []
        self.recorders = [each for each in self.recorders if each not in gone] + [(weakref.ref(loop), made)]
        observing.attach(made, loop)

    def loop_ends(self, loop: Any) -> None:
        """Note what is known of the tasks that are left: the loop may be gone when that is asked for."""
        self.tasks.update(_known_tasks(loop))

    def contents(self) -> dict[str, Any]:
        """Return what is recorded, in the form of the file: see diagnosis/trace_file."""
        now = (recorder.counter(), time.monotonic())
        tasks = dict(self.tasks)
        loops = []
        for known, made in list(self.recorders):
            loop = known()
            if loop is not None:
                tasks.update(_known_tasks(loop))
            loops.append({"thread": made.thread, "lost": max(made.used - made.mask - 1, 0), "events": made.events()})
        return trace_file.contents(loops, tasks, self.began, now)

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
        """Write the file when the process gets a signal. Raises ValueError outside the main thread."""

        def handle(signum: int, frame: FrameType | None) -> None:
            self.write()

        signal.signal(signum, handle)

    def stop(self) -> None:
        """Record no more. What is recorded stays, and can be written."""
        if not self.on:
            return
        self.on = False
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


def trace(file: str | Path | None = None, *, events: int = EVENTS) -> Trace:
    """Record what each loop of hasten does from now on: the latest events, in memory.

    Arguments:
        file: where write(), and the end of a `with` block, write them; `hasten trace FILE` shows it.
        events: how many events of each loop are kept, rounded up to a power of two; one takes 40 bytes.

    Raises:
        ValueError: `events` is less than 1 or more than 2**26.
    """
    if not isinstance(events, int) or not 1 <= events <= 1 << 26:
        raise ValueError(f"events is a number from 1 to {1 << 26}, not {events!r}")
    return Trace(file, 1 << (events - 1).bit_length())


def _known_tasks(loop: Any) -> dict[int, dict[str, Any]]:
    """What is known of a loop's unfinished tasks, by their numbers."""
    found: dict[int, dict[str, Any]] = {}
    for task in all_tasks(loop):
        if type(task) is Task:
            name, coroutine, *origin = recorder.title(task)
            made = recorder.place(*origin)
            found[recorder.number(task)] = {"name": name, "coroutine": coroutine, "made": made}
    return found


def write_at_exit(file: str | Path) -> Trace:
    """Record until the interpreter ends, and write the file then: for `hasten run --trace`."""
    import atexit

    made = trace(file)

    def finish() -> None:
        made.stop()
        try:
            print(f"hasten: wrote {made.write()}: 'hasten trace {file}' shows it", file=sys.stderr)
        except OSError as exc:
            print(f"hasten: the trace could not be written to {file}: {exc.strerror}", file=sys.stderr)

    atexit.register(finish)
    return made
