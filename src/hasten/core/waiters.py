"""Who waits for a future: Handles that lack their arguments yet, tasks, and futures that collect."""

from __future__ import annotations

import asyncio
from typing import Any

import cython

from hasten.core import advice, describe
from hasten.core.handle import Handle
from hasten.kernel import step

UNKNOWN, NONE = -2, -1


def callback_of(entry: Any) -> Any:
    """Return what the waiter gave, or would have given, to add_done_callback()."""
    return cython.cast(Handle, entry)._callback if type(entry) is Handle else entry._wakeup


def is_callback(entry: Any, fn: Any) -> int:
    """Return whether callback_of(entry) == fn, or -1 if only `==` can tell."""
    if type(entry) is Handle:
        return step.same_callback(cython.cast(Handle, entry)._callback, fn)
    return step.may_be_method(fn, entry)


def find(entries: list[Any], fn: Any) -> int:
    """Find the only entry whose callback is `fn`: its index, NONE, or UNKNOWN (several, or only `==` can tell)."""
    found = NONE
    for i, entry in enumerate(entries):
        same = is_callback(entry, fn)
        if same < 0 or (same and found != NONE):
            return UNKNOWN
        if same:
            found = i
    return found


def equal(entries: list[Any], fn: Any) -> set[int]:
    """Return the identities of those whose callback is `fn`, by `==`, which may run code of others."""
    return {id(entry) for entry in entries if callback_of(entry) == fn}


def check_loop(loop: Any, ours: bool) -> int:
    """Raise RuntimeError if nobody can be woken on a loop: it is closed, or another thread's."""
    if loop.is_closed():
        raise advice.add(RuntimeError("Event loop is closed"), advice.CLOSED_LOOP)
    if not ours and loop.get_debug() and loop.is_running() and asyncio._get_running_loop() is not loop:
        raise advice.add(RuntimeError(describe.WRONG_THREAD), advice.WRONG_THREAD)
    return 0


def made(kind: type[BaseException], message: object) -> BaseException:
    """Make `kind(message)`, or `kind()` if that is None; return the MemoryError if there is no memory for it."""
    try:
        return kind() if message is None else kind(message)
    except MemoryError as exc:
        return exc


def done_already(fut: Any) -> BaseException:
    return asyncio.InvalidStateError(f"invalid state: {describe.safe(fut)} is done already")


def as_exception(exception: Any) -> BaseException:
    """Return what set_exception() was given, an instance or a class, as an exception that `await` can raise."""
    if step.is_subclass(exception, BaseException):
        exception = exception()
    if not step.is_instance(exception, BaseException):
        raise TypeError(f"invalid exception object: an exception was expected, got {describe.safe(exception)}")
    if step.is_instance(exception, StopIteration):
        return not_stopping(
            exception, "StopIteration interacts badly with generators and cannot be raised into a Future"
        )
    return exception  # type: ignore[no-any-return]


def not_stopping(exc: Any, message: str) -> BaseException:
    """Return what replaces a StopIteration, which would end the awaiting generator instead of reaching it."""
    stand_in = RuntimeError(message)
    step.set_cause(stand_in, exc)
    step.set_context(stand_in, exc)
    return stand_in
