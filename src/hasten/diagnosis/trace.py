"""hasten.trace(): keeps the latest events of all loops in memory, and writes them to a file when it is asked to.

What is in the file, and what can be made of it: diagnosis/trace_file.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

from hasten.core import observing
from hasten.core.probe import Observer
from hasten.core.registry import all_tasks
from hasten.core.task import Task
from hasten.diagnosis import recorder, trace_file
from hasten.diagnosis.recorder import Recorder
from hasten.kernel import clock, step

EVENTS = 65536  # 40 bytes each


class Trace(Observer):
    """A recording that is under way, of each loop of hasten that runs; `hasten.trace()` makes it.

    As a context manager it ends with the block, and is written then if it has a file.
    """

    def __init__(self, file: str | Path | None, events: int) -> None:
        self.file = None if file is None else Path(file)
        self.size = events
        self.recorders: list[tuple[Any, Recorder]] = []  # each with its loop, as long as that runs
        self.began = (clock.count(), step.monotonic())
        self.tasks: dict[int, dict[str, Any]] = {}  # of loops that have ended
        self.on = True
        observing.attach(self)

    def loop_begins(self, loop: Any) -> None:
        """Record a loop, in the ring that it has already if it ran before."""
        if any(known is loop for known, _ in self.recorders):
            return
        made = Recorder(self.size, threading.current_thread().name)
        self.recorders.append((loop, made))
        observing.attach(made, loop)

    def loop_ends(self, loop: Any) -> None:
        """Let go of the loop: nothing of the program lives longer because it is recorded."""
        for i, (known, made) in enumerate(self.recorders):
            if known is loop:
                self.tasks.update(_known_tasks(loop))
                observing.detach(made, loop)
                self.recorders[i] = (None, made)

    def contents(self) -> dict[str, Any]:
        """Return what is recorded, in the form of the file: see diagnosis/trace_file."""
        now = (clock.count(), step.monotonic())
        tasks = dict(self.tasks)
        loops = []
        for loop, made in list(self.recorders):
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
        for loop, made in list(self.recorders):
            if loop is not None:
                self.tasks.update(_known_tasks(loop))
                observing.detach(made, loop)
        self.recorders = [(None, made) for _, made in self.recorders]

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
            name, coroutine = recorder.title(task)
            made = task.created_at()
            found[recorder.number(task)] = {
                "name": name,
                "coroutine": coroutine,
                "made": None if made is None else f"{made[0]}:{made[1]}",
            }
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
