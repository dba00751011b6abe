"""What can be waited for: which kind it is, what state it is in, and whether a coroutine waits at it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import gc
import types
from collections.abc import Iterator
from typing import Any

from hasten.diagnosis import census, standing
from hasten.diagnosis.standing import is_a
from hasten.kernel import codes
from hasten.kernel.step import Awaitable
from hasten.primitives import conditions, locks, queues, taskgroups, timeouts
from hasten.process.transport import SubprocessTransport

# What can be waited for, by its class: hasten's own, and asyncio's for who uses them on a loop of hasten's.
_KINDS: tuple[tuple[str, tuple[Any, ...]], ...] = (
    ("condition", (conditions.Condition, asyncio.Condition)),
    ("barrier", (conditions.Barrier, asyncio.Barrier)),
    ("lock", (locks.Lock, asyncio.Lock)),
    ("semaphore", (locks.Semaphore, asyncio.Semaphore)),
    ("event", (locks.Event, asyncio.Event)),
    ("queue", (queues.Queue, asyncio.Queue)),
    ("group", (taskgroups.TaskGroup, asyncio.TaskGroup)),
    ("timeout", (timeouts.Timeout, asyncio.Timeout)),
    ("stream", (asyncio.StreamReader, asyncio.StreamReaderProtocol)),
    ("process", (SubprocessTransport,)),
)
OWNED = ("lock", "condition", "semaphore")


def kind_of(thing: Any) -> str | None:
    cls = type(thing)
    for kind, classes in _KINDS:
        for each in classes:
            if issubclass(cls, each):
                return kind
    return None


def native_kind(link: Any) -> str:
    """Return the name of a native coroutine's class; "" for everything else."""
    return codes.real_name(type(link))[1] if is_a(link, Awaitable) else ""


def belongs(link: Any, thing: Any, name: str) -> bool:
    """True if an awaitable is a method of this object, or hasten's for one: its variables hold others, too."""
    if is_a(link, Awaitable):
        return True
    if name == "Queue.join" and is_a(link, types.CoroutineType) and link.cr_code.co_name == "wait_until_set":
        return is_a(thing, queues.Queue)
    code = getattr(link, "cr_code", None)
    if code is None:
        return False
    for cls in type(thing).__mro__:
        method = vars(cls).get(code.co_name)
        if getattr(method, "__code__", None) is code:
            return True
    return False


def is_made_of_others(link: Any) -> bool:
    if type(link) is not types.CoroutineType:
        return False
    code = link.cr_code
    if standing.is_users((code.co_filename, 0, "")):
        return False
    return code.co_qualname in ("Barrier.wait", "wait_until_set", "Queue.join")


def collected(collector: Any) -> list[Any]:
    """Return what a collector waits for, without who waits for it."""
    waiting = {id(each) for each in list(getattr(collector, "_asyncio_awaited_by", None) or ())}
    held = [each for each in standing.refers_to(collector) if type(each) is not set]
    return [each for each in flat(held) if id(each) not in waiting]


def entered_now(chain: list[Any]) -> Any:
    """Return the object whose `async with` the chain's end waits to enter; None if it does not."""
    if not chain:
        return None
    last = chain[-1]
    if native_kind(last) in ("LockAcquire", "SemaphoreAcquire"):
        held = standing.refers_to(last)
        thing = next((each for each in held if kind_of(each) in ("lock", "semaphore")), None)
        by_with = not any(each is True for each in held)
        names = [getattr(link, "__name__", "") for link in chain[-3:-1] if standing._can_be_asked(link)]
        if "__aenter__" in names or "enter_by_acquire" in names:
            by_with = True
            for link in chain[-3:-1]:
                for each in gc.get_referents(link):
                    if kind_of(each) == "condition":
                        return each
        return thing if by_with else None
    names = [getattr(link, "__name__", "") for link in chain[-3:] if standing._can_be_asked(link)]
    if "__aenter__" in names:  # asyncio's own
        for link in chain[-3:]:
            for each in gc.get_referents(link):
                if kind_of(each) in OWNED:
                    return each
    return None


def is_wait_of(link: Any, condition: Any) -> bool:
    if type(link) is not types.CoroutineType or link.__name__ != "wait":
        return False
    return any(each is condition for each in gc.get_referents(link))


def limits(link: Any) -> list[Any]:
    """Return the timeout of wait_for()."""
    if native_kind(link) != "WaitFor":
        return []
    return [each for each in standing.refers_to(link) if is_a(each, timeouts.Timeout)]


def is_first_only(held: list[Any]) -> bool:
    return any(type(each) is str and each != asyncio.ALL_COMPLETED for each in held)


def flat(held: list[Any]) -> Iterator[Any]:
    """What stands in an object's fields, or in lists, sets and dicts that do."""
    for each in held:
        if type(each) in (list, set, tuple, frozenset):
            yield from list(each)
        elif type(each) is dict:
            yield from list(each.values())
        else:
            yield each


def tasks_of(group: Any) -> list[Any]:
    try:
        return list(group._tasks)
    except Exception:
        return []


def waits_in(fut: Any) -> str:
    name = type(fut).__name__
    if "Gather" in name:
        return "gather()"
    return {"Shield": "shield()", "Countdown": "wait()"}.get(name, name)


def verb(name: str, kind: str) -> str:
    if kind == "queue":
        return "puts into" if name.endswith("put") else "joins" if name.endswith("join") else "gets from"
    if kind in ("lock", "semaphore"):
        return "waits to acquire"
    return "waits for"


def title(thing: Any) -> str:
    """Name an object by its class and its address."""
    return f"{census.kind_of(thing)} {id(thing):#x}"


def _length(thing: Any, name: str) -> int:
    line = getattr(thing, name, None)
    return len(line) if line is not None else 0


def state_of(thing: Any, kind: str, owned: bool) -> str:
    """Say what state an object is in, by its own fields; "" if a class of somebody's own has others."""
    try:
        return _state_of(thing, kind, owned)
    except Exception:
        return ""


def _state_of(thing: Any, kind: str, owned: bool) -> str:
    if kind == "lock":
        if not thing._locked:
            return "free"
        return "held" if owned else "held, nobody known to be inside `async with`"
    if kind == "semaphore":
        return f"{thing._value} free, {_length(thing, '_waiters')} wait"
    if kind == "event":
        return "set" if thing._value else "unset"
    if kind == "condition":
        return f"{_length(thing, '_waiters')} wait for a notification"
    if kind == "barrier":
        return f"{thing._count} of {thing._parties} are there"
    if kind == "queue":
        return f"{_length(thing, '_queue')} items, {_length(thing, '_getters')} get, {_length(thing, '_putters')} put"
    if kind == "process":
        return f"pid {thing._pid}"
    return ""


def job_of(fut: Any) -> Any:
    """Return the concurrent.futures.Future whose end completes a future, or None."""
    for callback, _ in getattr(fut, "_callbacks", None) or ():
        held: tuple[Any, ...] = ()
        if type(callback) is functools.partial:
            held = (*callback.args,)
        elif getattr(callback, "__closure__", None):
            held = tuple(gc.get_referents(*callback.__closure__))
        for each in held:
            if is_a(each, concurrent.futures.Future):
                return each
    return None
