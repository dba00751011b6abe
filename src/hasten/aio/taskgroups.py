"""TaskGroup: tasks that end together with a block of code.

The parent is the task that runs the block. When a child fails, or cancel() is called, the group cancels the other
children and the parent; the parent's cancellation is the group's own doing and is taken back at the end, so that only
a cancellation from outside leaves the block as CancelledError.

Exceptions hold tracebacks, these hold frames, and frames hold exceptions: what raises one here drops its own references
first, else each failed group would wait for the garbage collector.
"""

from __future__ import annotations

import asyncio
from asyncio import CancelledError, current_task
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

from hasten.aio.graph import forget_child, record_child

T = TypeVar("T")


class TaskGroup:
    """Used once, as `async with TaskGroup() as group: ... group.create_task(coroutine) ...`.

    The block's end waits for all tasks of the group. If one of them (or the block) raises, the others are cancelled,
    and what was raised is raised together, as an ExceptionGroup.
    """

    _entered: bool
    _exiting: bool
    _aborting: bool  # the children have been cancelled; no new ones
    _cancel_on_enter: bool
    _loop: asyncio.AbstractEventLoop | None
    _parent_task: asyncio.Task[Any] | None
    _parent_cancel_requested: bool  # by us, so we take it back
    _tasks: set[asyncio.Task[Any]]
    _errors: list[BaseException] | None  # None once it is all over
    _base_error: BaseException | None
    _on_completed_fut: asyncio.Future[bool] | None

    def __init__(self) -> None:
        self._entered = False
        self._exiting = False
        self._aborting = False
        self._cancel_on_enter = False
        self._loop = None
        self._parent_task = None
        self._parent_cancel_requested = False
        self._tasks = set()
        self._errors = []
        self._base_error = None
        self._on_completed_fut = None

    def __repr__(self) -> str:
        parts = ["<TaskGroup"]
        if self._tasks:
            parts.append(f"tasks={len(self._tasks)}")
        if self._errors:
            parts.append(f"errors={len(self._errors)}")
        if self._aborting:
            parts.append("cancelling")
        elif self._entered:
            parts.append("entered")
        return " ".join(parts) + ">"

    async def __aenter__(self) -> TaskGroup:
        if self._entered:
            raise RuntimeError(f"TaskGroup {self!r} has already been entered")
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._parent_task = current_task(self._loop)
        if self._parent_task is None:
            raise RuntimeError(f"TaskGroup {self!r} cannot determine the parent task")
        self._entered = True
        if self._cancel_on_enter:
            self.cancel()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool:
        verdict: BaseException | None = None
        try:
            verdict = await self._aexit(exc)
            if verdict is None:
                return True
            raise verdict
        finally:
            self._parent_task = self._errors = self._base_error = None
            verdict = exc = None
            del tb

    async def _aexit(self, exc: BaseException | None) -> BaseException | None:
        """Waits for the children. Returns what leaves the block, None if nothing does."""
        self._exiting = True
        if exc is not None:
            if _is_fatal(exc) and self._base_error is None:
                self._base_error = exc
            if not self._aborting:
                self._abort()
        # A cancellation that came from outside, as far as we know, and the latest of all.
        outside = latest = None
        try:
            if isinstance(exc, CancelledError):
                outside = exc
            while self._tasks:  # a loop, as we may be cancelled many times
                if self._on_completed_fut is None:
                    self._on_completed_fut = _loop_of(self).create_future()
                try:
                    await self._on_completed_fut
                except CancelledError as cancelled:
                    latest = cancelled
                    if not self._aborting:
                        outside = cancelled
                        self._abort()
                self._on_completed_fut = None
            return self._verdict(exc, outside, latest)
        finally:
            exc = outside = latest = None

    def _verdict(
        self, exc: BaseException | None, outside: CancelledError | None, latest: CancelledError | None
    ) -> BaseException | None:
        """What leaves the block, in the order of importance."""
        try:
            if self._base_error is not None:
                return self._base_error
            parent, errors = self._parent_task, self._errors
            if parent is None or errors is None:
                raise RuntimeError(f"TaskGroup {self!r} has been left already")
            if self._parent_cancel_requested:
                # Our own request is taken back. If none is left, nobody else has cancelled us; if one is, it arrived
                # while we were waiting for the children, cancelled already, and must not be dropped.
                if parent.uncancel() == 0:
                    outside = None
                elif outside is None:
                    outside = latest
            if outside is not None and not errors:
                return outside
            if exc is not None and not isinstance(exc, CancelledError):
                errors.append(exc)
            if not errors:
                return None
            if parent.cancelling():
                # Cancelled from outside, while the errors go first: let the next await raise CancelledError, without
                # changing the count of requests.
                parent.uncancel()
                parent.cancel()
            if isinstance(exc, GeneratorExit) and len(errors) == 1:
                return exc  # an async generator is being closed in the block, and expects to see just that
            group = BaseExceptionGroup("unhandled errors in a TaskGroup", errors)
            group.__suppress_context__ = True
            return group
        finally:
            exc = outside = latest = None

    def create_task(self, coro: Coroutine[Any, Any, T], **kwargs: Any) -> asyncio.Task[T]:
        """Makes a task of the coroutine, in this group. Keyword arguments are those of `create_task`.

        RuntimeError if the group has not been entered, is over or is being cancelled; the coroutine is closed then.
        """
        if not self._entered:
            coro.close()
            raise RuntimeError(f"TaskGroup {self!r} has not been entered")
        if self._exiting and not self._tasks:
            coro.close()
            raise RuntimeError(f"TaskGroup {self!r} is finished")
        if self._aborting:
            coro.close()
            raise RuntimeError(f"TaskGroup {self!r} is shutting down")
        task = _loop_of(self).create_task(coro, **kwargs)
        try:
            if self._parent_task is not None:
                record_child(task, self._parent_task)
            # Also if it is done already (started eagerly): its exception must not cancel the parent, who is running
            # right now, but at the next await.
            self._tasks.add(task)
            task.add_done_callback(self._on_task_done)
            if self._aborting and not task.done():
                task.cancel()  # started eagerly, it has cancelled the group before it joined it
            return task
        finally:
            del task  # its exception's traceback may come to hold this frame

    def cancel(self) -> None:
        """Cancels the group's tasks and the block, which then ends without raising CancelledError.

        If called before the block is entered, the block is cancelled at its first await; if called after it, or more
        than once, it changes nothing.
        """
        if not self._entered:
            self._cancel_on_enter = True
            return
        if self._exiting and not self._tasks:
            return
        if not self._aborting:
            self._abort()
            if self._parent_task is not None and not self._parent_cancel_requested:
                self._parent_cancel_requested = True
                self._parent_task.cancel()

    def _abort(self) -> None:
        self._aborting = True
        for task in self._tasks:
            if not task.done():
                task.cancel()

    def _on_task_done(self, task: asyncio.Task[Any]) -> None:
        parent = self._parent_task
        self._tasks.discard(task)
        if parent is not None:
            forget_child(task, parent)
        waiting = self._on_completed_fut
        if waiting is not None and not self._tasks and not waiting.done():
            waiting.set_result(True)
        if task.cancelled():
            return
        exc = task.exception()
        if exc is None:
            return
        if self._errors is not None:
            self._errors.append(exc)
            if _is_fatal(exc) and self._base_error is None:
                self._base_error = exc
        if parent is None or parent.done():
            # The parent was closed, or ended by an exception that is none of ours, and did not wait.
            _loop_of(self).call_exception_handler(
                {
                    "message": f"Task {task!r} has errored out but its parent task {parent} is already completed",
                    "exception": exc,
                    "task": task,
                }
            )
            return
        if not self._aborting and not self._parent_cancel_requested:
            # The parent is in the block, or waits at its end: either way it must stop what it is doing.
            self._abort()
            self._parent_cancel_requested = True
            parent.cancel()


def _is_fatal(exc: BaseException) -> bool:
    """Such exceptions leave the block as they are, whatever else has happened."""
    return isinstance(exc, (SystemExit, KeyboardInterrupt))


def _loop_of(group: TaskGroup) -> asyncio.AbstractEventLoop:
    if group._loop is None:
        raise RuntimeError(f"TaskGroup {group!r} has not been entered")
    return group._loop
