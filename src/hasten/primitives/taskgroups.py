"""TaskGroup: tasks that end together with a block of code.

The parent is the task that runs the block. When a child fails, or cancel() is called, the group cancels the other
children and the parent; the parent's cancellation is the group's own doing and is taken back at the end, so that only
a cancellation from outside leaves the block as CancelledError.

The group is told of each child's end by its Members, which stand where a task that waits for the child would.
Exceptions hold tracebacks, these hold frames, and frames hold exceptions: what raises one here drops its own references
first, else each failed group would wait for the garbage collector.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import CancelledError, current_task
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, TypeVar

import cython

from hasten.core import native, outcomes
from hasten.core.future import Future
from hasten.core.native import NativeCoroutine
from hasten.core.scheduler import Scheduler
from hasten.kernel import functions, step
from hasten.primitives import many_futures, spawning
from hasten.primitives.awaited_by import forget_child, record_child
from hasten.primitives.many_futures import Collector

T = TypeVar("T")


@cython.cclass
class Children:
    """A set of tasks. Mostly they end in the order they came: as long as that holds it is a queue, which costs less."""

    order: list[Any]
    first: int
    loose: dict[int, Any] | None

    def __init__(self) -> None:
        self.order = []
        self.first = 0
        self.loose = None

    def count(self) -> int:
        return len(self.order) - self.first if self.loose is None else len(self.loose)

    def add(self, task: Any) -> int:
        if self.loose is None:
            self.order.append(task)
        else:
            self.loose[id(task)] = task
        return 0

    def discard(self, task: Any) -> int:
        """Take one out. Needs no memory: nobody tells of its end again."""
        if self.loose is not None:
            key = many_futures.key_of(task, self.loose)
            if key is not None:
                del self.loose[key]
            if len(self.loose) == 0:
                self.loose = None
            return 0
        first, size = self.first, len(self.order)
        if first == size or self.order[first] is not task:
            try:
                self.scatter()
                return self.discard(task) if self.loose is not None else 0
            except MemoryError:
                if not self.bring_forward(task):
                    return 0
        self.order[first] = None  # its result is not kept
        self.first = first = first + 1
        if first == size:
            self.order.clear()
            self.first = 0
        elif first > 64 and 2 * first > size:
            try:
                del self.order[:first]
                self.first = 0
            except MemoryError:  # the next one may find some
                pass
        return 0

    def bring_forward(self, task: Any) -> bool:
        """Make a task the first in the order; return False if it is not there."""
        at, first = self.first, self.first
        while at < len(self.order) and self.order[at] is not task:
            at += 1
        if at == len(self.order):
            return False
        while at > first:
            self.order[at] = self.order[at - 1]
            at -= 1
        self.order[first] = task
        return True

    def scatter(self) -> int:
        """Give up the order."""
        self.loose = {id(task): task for task in self.members()} or None
        self.order.clear()
        self.first = 0
        return 0

    def members(self) -> list[Any]:
        """Return all of them, in the order they came, as a new list."""
        return self.order[self.first :] if self.loose is None else list(self.loose.values())


@cython.binding(True)
@cython.cclass
class TaskGroup:
    """A group of tasks, used once: `async with TaskGroup() as group: ... group.create_task(coroutine) ...`.

    The block's end waits for all tasks of the group. If one of them (or the block) raises, the others are cancelled,
    and what was raised is raised together, as an ExceptionGroup.
    """

    _entered: bool
    _exiting: bool
    _aborting: bool
    _cancel_on_enter: bool
    _parent_cancel_requested: bool
    _loop: Any
    _parent_task: Any
    children: Children
    _errors: list[BaseException] | None
    _base_error: BaseException | None
    _on_completed_fut: Any
    members: Members | None

    def __cinit__(self) -> None:
        self.children = Children()  # also of a group whose __init__() was not called
        self._errors = []

    def __init__(self) -> None:
        pass  # takes no arguments

    def __dealloc__(self) -> None:
        step.drop_attributes(self)

    @property
    def _tasks(self) -> set[Any]:
        return set(self.children.members())

    def __repr__(self) -> str:
        parts = ["<TaskGroup"]
        if self.children.count():
            parts.append(f"tasks={self.children.count()}")
        if self._errors:
            parts.append(f"errors={len(self._errors)}")
        if self._aborting:
            parts.append("cancelling")
        elif self._entered:
            parts.append("entered")
        return " ".join(parts) + ">"

    def __aenter__(self) -> Coroutine[Any, Any, TaskGroup]:
        e = cython.cast(GroupEntry, GroupEntry.__new__(GroupEntry))
        e.group = self
        return e  # type: ignore[return-value]

    def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> Coroutine[Any, Any, bool]:
        e = cython.cast(GroupExit, GroupExit.__new__(GroupExit))
        e.group = self
        e.exc = exc
        return e  # type: ignore[return-value]

    def enter(self) -> int:
        if self._entered:
            raise RuntimeError(f"TaskGroup {self!r} has already been entered")
        if self._loop is None:
            self._loop = native.running()
        self._parent_task = current_task(self._loop)
        if self._parent_task is None:
            raise RuntimeError(f"TaskGroup {self!r} cannot determine the parent task")
        self._entered = True
        if self._cancel_on_enter:
            self.cancel()
        return 0

    def create_task(self, coro: Coroutine[Any, Any, T], **kwargs: Any) -> asyncio.Task[T]:
        """Make a task of the coroutine, in this group. Keyword arguments are those of `create_task`.

        Raises RuntimeError, and closes the coroutine, if the group was not entered, is over or is being cancelled.
        """
        if not self._entered or self._exiting or self._aborting:
            self.check_open(coro)
        members = cython.cast(Members, self.members) if self.members is not None else self.make_members()
        if not kwargs and self._loop is step.running_loop() and isinstance(self._loop, Scheduler):
            task = spawning.start(self._loop, coro, None, None)
        else:
            task = self._loop.create_task(coro, **kwargs)
        if not step.is_instance(task, Future) and self._parent_task is not None:
            record_child(task, self._parent_task)
        # Also if it is done already (started eagerly): its exception must not cancel the parent, who is running right
        # now, but at the next await.
        self.children.add(task)
        try:
            members.collect(task)
        except BaseException:
            self.children.discard(task)  # nobody would tell us of its end
            task.cancel()
            raise
        if self._aborting and not task.done():
            task.cancel()  # started eagerly, it has cancelled the group before it joined it
        try:
            return task  # type: ignore[no-any-return]
        finally:
            del task  # its exception's traceback may come to hold this frame

    def make_members(self) -> Members:
        m = Members.__new__(Members)
        m.group = self
        m.shown_for(self._parent_task)
        self.members = m
        return m

    def check_open(self, coro: Any) -> int:
        """Raise RuntimeError if there may be no new tasks."""
        if not self._entered:
            why = "has not been entered"
        elif self._exiting and self.children.count() == 0:
            why = "is finished"
        elif self._aborting:
            why = "is shutting down"
        else:
            return 0
        coro.close()
        raise RuntimeError(f"TaskGroup {self!r} {why}")

    def cancel(self) -> None:
        """Cancel the group's tasks and the block, which then ends without raising CancelledError.

        If called before the block is entered, the block is cancelled at its first await; if called after it, or more
        than once, it changes nothing.
        """
        if not self._entered:
            self._cancel_on_enter = True
            return
        if self._exiting and self.children.count() == 0:
            return
        if not self._aborting:
            error = self.abort()
            parent = self._parent_task
            if parent is not None and not self._parent_cancel_requested:
                self._parent_cancel_requested = True
                parent.cancel()
            if error is not None:
                raise error

    def abort(self) -> BaseException | None:
        """Cancel all, also if one raises instead; return what that one raised, or None."""
        self._aborting = True
        error: BaseException | None = None
        for task in self.children.members():
            try:
                if not task.done():
                    task.cancel()
            except BaseException as exc:
                error = exc
        return error

    def _on_task_done(self, task: Any) -> None:
        self.task_done(task)

    def task_done(self, task: Any) -> int:
        """Deal with a child's end."""
        self.children.discard(task)
        waiting = self._on_completed_fut
        if waiting is not None and self.children.count() == 0:
            outcomes.set_unless_done(waiting, True)
        if outcomes.succeeded(task):
            return 0
        parent = self._parent_task
        try:
            if not step.is_instance(task, Future) and parent is not None:
                forget_child(task, parent)
            exc = None if task.cancelled() else task.exception()
        except BaseException as raised:  # its methods are anybody's: the block is told
            if step.ends_loop(raised):
                raise
            exc = raised
        return 0 if exc is None else self.child_failed(task, exc)

    def child_failed(self, task: Any, exc: BaseException) -> int:
        if self._errors is not None:
            self._errors.append(exc)
            if self._base_error is None and step.ends_loop(exc):
                self._base_error = exc
        parent = self._parent_task
        if parent is None or parent.done():
            # The parent was closed, or ended by an exception that is none of ours, and did not wait.
            self._loop.call_exception_handler(
                {
                    "message": f"Task {task!r} has errored out but its parent task {parent} is already completed",
                    "exception": exc,
                    "task": task,
                }
            )
        elif not self._aborting and not self._parent_cancel_requested:
            # The parent is in the block, or waits at its end: either way it must stop what it is doing.
            error = self.abort()
            if error is not None and self._errors is not None:
                self._errors.append(error)
            self._parent_cancel_requested = True
            parent.cancel()
        return 0

    def verdict(
        self, exc: BaseException | None, outside: BaseException | None, latest: BaseException | None
    ) -> BaseException | None:
        """Return what leaves the block, in the order of importance; None if nothing does."""
        if self._base_error is not None:
            return self._base_error
        parent, errors = self._parent_task, self._errors
        if parent is None or errors is None:
            return RuntimeError(f"TaskGroup {self!r} has been left already")
        if self._parent_cancel_requested:
            # Our own request is taken back. If none is left, nobody else has cancelled us; if one is, it arrived
            # while we were waiting for the children, cancelled already, and must not be dropped.
            if parent.uncancel() == 0:
                outside = None
            elif outside is None:
                outside = latest
        if outside is not None and not errors:
            return outside
        if exc is not None and not step.is_instance(exc, CancelledError):
            errors.append(exc)
        if not errors:
            return None
        if parent.cancelling():
            # Cancelled from outside, while the errors go first: let the next await raise CancelledError, without
            # changing the count of requests.
            parent.uncancel()
            parent.cancel()
        if step.is_instance(exc, GeneratorExit) and len(errors) == 1:
            return exc  # an async generator is being closed in the block, and expects to see just that
        group = BaseExceptionGroup("unhandled errors in a TaskGroup", errors)
        group.__suppress_context__ = True
        return group

    def forget(self) -> int:
        """Let go of what the block has led to."""
        members = self.members
        self._parent_task = self._errors = self._base_error = self.members = None
        if members is not None:
            members.shown_for(None)
        return 0


step.lazy_attributes(TaskGroup)


@cython.cclass
class Members(Collector):
    """The collector that tells a group of its tasks' ends."""

    group: TaskGroup

    def child_done(self, child: Any) -> int:
        group = self.group
        if type(group) is TaskGroup:
            return group.task_done(child)
        group._on_task_done(child)
        return 0


@cython.cclass
class GroupEntry(NativeCoroutine):
    """The beginning of a group's block."""

    group: TaskGroup
    __name__ = "__aenter__"
    __qualname__ = "TaskGroup.__aenter__"

    def start(self) -> int:
        group = self.group
        try:
            group.enter()
        except BaseException as exc:
            return self.fail(exc)
        return self.give(group)


@cython.cclass
class GroupExit(NativeCoroutine):
    """The end of a group's block: waits for the children."""

    group: TaskGroup
    exc: BaseException | None
    outside: BaseException | None
    latest: BaseException | None
    __name__ = "__aexit__"
    __qualname__ = "TaskGroup.__aexit__"

    def start(self) -> int:
        group, exc = self.group, self.exc
        group._exiting = True
        if exc is not None:
            if group._base_error is None and step.ends_loop(exc):
                group._base_error = exc
            if step.is_instance(exc, CancelledError):
                self.outside = exc
            self.abort(group)
        return self.wait_on()

    def abort(self, group: TaskGroup) -> int:
        if not group._aborting:
            error = group.abort()
            if error is not None and group._errors is not None:
                group._errors.append(error)
        return 0

    def wait_on(self) -> int:
        group = self.group
        if group.children.count() == 0:
            return self.conclude()
        fut = native.new_waiter(group._loop)
        if group.children.count() == 0:  # again, as to make it may have run anything
            return self.conclude()
        group._on_completed_fut = fut
        return self.suspend(fut)

    def woken(self) -> int:
        self.group._on_completed_fut = None
        return self.wait_on()

    def failed(self, exc: BaseException) -> int:
        group = self.group
        group._on_completed_fut = None
        if not step.is_instance(exc, CancelledError):
            return self.end(exc)
        self.latest = exc
        if not group._aborting:
            self.outside = exc
            self.abort(group)
        return self.wait_on()  # again, as we may be cancelled many times

    def conclude(self) -> int:
        group = self.group
        try:
            verdict = group.verdict(self.exc, self.outside, self.latest)
        except BaseException as raised:
            return self.end(raised)
        return self.end(verdict)

    def end(self, verdict: BaseException | None) -> int:
        """Raise the verdict; end the block silently if there is none."""
        group = self.group
        group.forget()
        self.exc = self.outside = self.latest = None
        if verdict is None:
            return self.give(True)
        chain(verdict, sys.exception())
        return self.fail(verdict)


def chain(raised: BaseException, handled: BaseException | None) -> int:
    """Do what the interpreter does when `raised` is raised while `handled` is being handled."""
    if handled is None or handled is raised:
        return 0
    at = slow = handled
    turn = False
    while True:
        context = step.context_of(at)
        if context is None:
            break
        if context is raised:
            step.set_context(at, None)
            break
        at = context
        if turn:
            slow = step.context_of(slow)  # type: ignore[assignment]
            if slow is at:  # a circle that somebody has made
                break
        turn = not turn
    step.set_context(raised, handled)
    return 0


for _cls in (GroupEntry, GroupExit):
    functions.coroutine_class(_cls, 64)
functions.publish(TaskGroup, "()", "__aenter__", "__aexit__")
functions.share(TaskGroup, asyncio.TaskGroup)
