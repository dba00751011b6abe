"""Which loops, tasks and threads there are and where they stand, as data that can be written as JSON.

This looks from a thread of its own at a program that goes on, so it has rules:

- Nothing of the program's is called: no repr, no property, no comparison. What an object is says its type, and fields
  are read only from types that are the interpreter's or hasten's own.
- Nothing is held: one task at a time, and no frame longer than it takes to read its line. What ends meanwhile ends.
- It is no photograph: the program may move on between two tasks that are looked at.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator
from types import AsyncGeneratorType, BuiltinMethodType, CoroutineType, FrameType, GeneratorType, MethodType
from typing import Any

from hasten.core import registry
from hasten.core.future import Future
from hasten.core.task import Task
from hasten.kernel.step import Awaitable

MOST_TASKS = 10_000
DEPTH = 100  # frames of one stack, and awaits of one chain
LENGTH = 200  # letters of a name

Place = tuple[str, int, str]  # file, line, function
_type_module: Any = type.__dict__["__module__"]  # as of any class, whatever its metaclass makes of these names
_type_name: Any = type.__dict__["__qualname__"]
FIELDS: dict[type, tuple[str, str]] = {
    CoroutineType: ("cr_frame", "cr_await"),
    GeneratorType: ("gi_frame", "gi_yieldfrom"),
    AsyncGeneratorType: ("ag_frame", "ag_await"),
}
# The interpreter's awaitables around another one, which only the garbage collector is shown (see aio/graph).
_WRAPPERS = {"coroutine_wrapper", "async_generator_asend", "async_generator_athrow", "anext_awaitable"}
_COLLECTORS = {"GatheringFuture": "gather", "LimitedGathering": "gather", "_GatheringFuture": "gather"}
_HERE = os.path.dirname(os.path.dirname(__file__)) + os.sep


# ---- names and places ---------------------------------------------------------------------


def text(value: Any) -> str:
    """Return a str of the program's as a plain one, not too long."""
    return "".join((value,))[:LENGTH] if isinstance(value, str) else ""


def kind_of(value: Any) -> str:
    """Return the name of an object's class."""
    return text(_type_name.__get__(type(value)))


def place(frame: FrameType) -> Place:
    """Return where a frame stands."""
    code = frame.f_code
    return code.co_filename, frame.f_lineno or 0, code.co_qualname


def name_of_coroutine(coro: Any) -> str:
    """Return what a coroutine calls itself, or its class if that cannot be known without its own code."""
    if type(coro) in FIELDS or _is_known(type(coro)):
        return text(getattr(coro, "__qualname__", None)) or kind_of(coro)
    return kind_of(coro)


def _is_known(kind: type) -> bool:
    """True for hasten's native awaitables, and for what Cython makes of `async def`."""
    return Awaitable in kind.__mro__ or str(_type_module.__get__(kind)).startswith("_cython_")


def chain(coro: Any) -> tuple[list[Place], str | None]:
    """Return where a coroutine stands and where those that it awaits stand, outermost first; and what the last awaits.

    The latter is the name of a native awaitable (`sleep`, `Queue.get`) or of a class.
    """
    places: list[Place] = []
    last = None
    for _ in range(DEPTH):
        kind = type(coro)
        fields = FIELDS.get(kind)
        if fields is None and _is_known(kind):
            fields = ("cr_frame", "cr_await")
        if fields is not None:
            frame = None if Awaitable in kind.__mro__ else getattr(coro, fields[0], None)  # of a native one: for show
            if type(frame) is FrameType:
                places.append(place(frame))
                last = None
            elif last is None or Future not in kind.__mro__:
                last = name_of_coroutine(coro)
            frame = None
            coro = getattr(coro, fields[1], None)
        elif _type_module.__get__(kind) == "builtins" and _type_name.__get__(kind) in _WRAPPERS:
            coro = next(iter(gc.get_referents(coro)), None)
        else:
            break
        if coro is None:
            return places, last
    if last is None or last == "FutureIter":
        last = kind_of(coro)
    return places, last


def stack(frame: FrameType | None, end: FrameType | None = None) -> list[Place]:
    """Return the places of this frame and of its callers, as far as `end`; outermost first. Of a very deep stack, the
    innermost."""
    found: list[Place] = []
    while frame is not None and len(found) < DEPTH:
        found.append(place(frame))
        frame = None if frame is end else frame.f_back
    found.reverse()
    return found


def _is_below(frame: FrameType | None, end: FrameType) -> bool:
    """True if `end` is this frame or one of its callers."""
    for _ in range(100 * DEPTH):
        if frame is None or frame is end:
            break
        frame = frame.f_back
    return frame is end


def _running_stack(coro: Any) -> list[Place]:
    """Return the places of a coroutine that runs now, in whatever thread, down to where it is."""
    fields = FIELDS.get(type(coro))
    frame = None if fields is None else getattr(coro, fields[0])
    if frame is None:
        return []
    for innermost in sys._current_frames().values():
        if _is_below(innermost, frame):
            return stack(innermost, frame)
    return [place(frame)]


# ---- loops and tasks ----------------------------------------------------------------------


def loop_facts(loop: Any, threads: dict[int, str]) -> dict[str, Any]:
    """Return what there is to say of a loop."""
    thread = getattr(loop, "_thread_id", None)
    facts = {"id": id(loop), "kind": kind_of(loop), "thread": threads.get(thread or 0), "thread_id": thread}
    poller = getattr(loop, "_poller", None)
    if poller is not None:
        facts |= {"poller": text(poller.name), "asleep": bool(poller.sleeping), "batches": int(loop._ticks)}
    return facts


def thread_names() -> dict[int, str]:
    """Return the names of Python's threads by their numbers. Takes no lock: who holds it may be stuck."""
    threads = dict(getattr(threading, "_active", {}))
    return {ident: text(getattr(thread, "_name", "")) for ident, thread in threads.items()}


def unfinished(loops: Iterable[Any]) -> list[weakref.ref[Any]]:
    """Return weak references to the tasks that there are, hasten's own and those of others.

    `loops`: from Python 3.14 on the interpreter's tasks are known by their loops only.
    """
    found: dict[int, weakref.ref[Any]] = {}
    for task in registry.members():
        found[id(task)] = weakref.ref(task)
    for name in ("_all_tasks", "_scheduled_tasks"):  # 3.11, later ones
        known = getattr(asyncio.tasks, name, None)
        if isinstance(known, weakref.WeakSet):
            # as it is, in one go: it changes in other threads, and its iterator looks at hasten's tasks once more
            found.update((id(reference()), reference) for reference in known.data.copy())  # type: ignore[attr-defined]
    others = list(getattr(asyncio.tasks, "_eager_tasks", ()))
    if sys.version_info >= (3, 14):
        for loop in loops:
            try:
                others += registry._stdlib_all_tasks(loop)
            except Exception:  # a hash of the program's own
                pass
    while others:
        task = others.pop()
        found[id(task)] = weakref.ref(task)
    found.pop(id(None), None)
    return list(found.values())


def census(loops: Iterable[Any], most: int = MOST_TASKS) -> dict[str, Any]:
    """Return the loops, and of each task who it is, where it was made, where it stands, and who waits for it.

    `loops`: those that are known to run; others are known by their tasks. `most`: how many tasks are looked at.
    """
    known = {id(loop): loop for loop in loops}
    references = unfinished(known.values())
    threads = thread_names()
    tasks: list[dict[str, Any]] = []
    waits: dict[int, int] = {}  # a future's id → that of the task that is parked on it
    for reference in references[:most]:
        task = reference()
        if task is None:
            continue
        try:
            if _is_done(task):
                continue
            loop = task._loop
            known.setdefault(id(loop), loop)
            facts = task_facts(task)
            waits.setdefault(id(task._fut_waiter), facts["id"])
            tasks.append(facts)
        except Exception as error:  # a class of tasks that is neither asyncio's nor ours
            why = f"cannot be looked into ({type(error).__name__})"
            unknown = {"id": id(task), "loop": None, "name": kind_of(task), "coroutine": why, "state": "unknown"}
            tasks.append(unknown | {"stands": [], "awaits": None, "made": None, "cancelling": False, "parent": None})
        task = loop = None
    _find_parents(tasks, waits)
    told = [loop_facts(loop, threads) for loop in known.values()]
    return {"loops": told, "tasks": tasks, "tasks_in_all": len(references) if len(references) > most else len(tasks)}


def _is_done(task: Any) -> bool:
    for kind in (Task, asyncio.Task):
        if kind in type(task).__mro__:
            return bool(kind.done(task))
    return bool(task.done())


def task_facts(task: Any) -> dict[str, Any]:
    """Return what there is to say of one task. May raise anything for tasks of an unknown make."""
    ours = Task in type(task).__mro__
    coro = task._coro if ours else task.get_coro()
    running = bool(getattr(coro, "cr_running", False)) if type(coro) in FIELDS else False
    waiter = task._fut_waiter
    if running:
        places, awaits = _running_stack(coro), None
    else:
        places, awaits = chain(coro)
    if waiter is None:
        awaits = None
    elif asyncio.Task in type(waiter).__mro__ or Task in type(waiter).__mro__:
        awaits = f"task {name_of_task(waiter)}"
    elif awaits in (None, "Future", "FutureIter"):
        awaits = _COLLECTORS.get(kind_of(waiter)) or kind_of(waiter)
    made = Task.created_at(task) if ours else None
    if made is not None and made[0].startswith(_HERE):  # by run(), by a task group…
        made = None
    return {
        "id": id(task),
        "loop": id(task._loop),
        "name": name_of_task(task),
        "coroutine": name_of_coroutine(coro),
        "state": "running" if running else "ready" if waiter is None else "waiting",
        "stands": places,
        "awaits": awaits,
        "made": made,
        "cancelling": bool(Task.cancelling(task)) if ours else False,
        "parent": None,
        "_told": list(_told(task)),
    }


def name_of_task(task: Any) -> str:
    """Return what a task is called, by its class's own method and not by one of the program's."""
    if Task in type(task).__mro__:
        return text(Task.get_name(task))  # a subclass of the program's may have its own
    return text(asyncio.Task.get_name(task)) if asyncio.Task in type(task).__mro__ else kind_of(task)


def _told(task: Any) -> Iterator[int]:
    """Yield the ids of those that are told when a task ends: of tasks that await it, of futures that collect it."""
    for entry in (task._callbacks or ())[:DEPTH]:
        callback = entry[0] if type(entry) is tuple else entry
        if type(callback) not in (MethodType, BuiltinMethodType):
            continue
        owner: Any = callback.__self__
        yield id(owner)
        if Future in type(owner).__mro__:  # what collects a group's tasks knows for whom
            yield from map(id, tuple(owner._asyncio_awaited_by or ()))
        elif _type_module.__get__(type(owner)) == "asyncio.taskgroups":
            yield id(getattr(owner, "_parent_task", None))
    yield from map(id, tuple(getattr(task, "_asyncio_awaited_by", None) or ()))


def _find_parents(tasks: list[dict[str, Any]], waits: dict[int, int]) -> None:
    """Set each task's parent: the first task that waits for it, itself or by a future that collects it."""
    known = {facts["id"] for facts in tasks}
    waits.pop(id(None), None)
    for facts in tasks:
        for one in facts.pop("_told", ()):
            parent = one if one in known else waits.get(one)
            if parent is not None and parent != facts["id"]:
                facts["parent"] = parent
                break


# ---- threads ------------------------------------------------------------------------------


def threads(without: int | None = None) -> list[dict[str, Any]]:
    """Return all threads that Python knows, with their stacks, outermost frame first. `without`: the one that asks."""
    names, natives = thread_names(), {}
    for ident, thread in dict(getattr(threading, "_active", {})).items():
        natives[ident] = getattr(thread, "_native_id", None)
    found = []
    for ident in sys._current_frames():
        if ident != without:
            places = stack(sys._current_frames().get(ident))
            found.append({"id": ident, "name": names.get(ident), "native": natives.get(ident), "stack": places})
    return found
