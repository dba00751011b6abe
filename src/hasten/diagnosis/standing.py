"""Where a task stands: the objects that its coroutine goes through, and what these hold, seen without running anything.

Only the interpreter's coroutines and hasten's are asked; another class may run anything when it is. What a suspended
coroutine or one of hasten's native ones refers to is taken from what it shows to the garbage collector: no reference
is kept, no `f_locals` is made (which would hold the variables longer than the program does), nothing is hashed,
compared or shown.
"""

from __future__ import annotations

import asyncio
import gc
import os
import types
from types import FrameType
from typing import Any

from hasten.aio import graph
from hasten.core.future import Future
from hasten.core.task import Task
from hasten.diagnosis import census
from hasten.diagnosis.showing import plain
from hasten.kernel.step import Awaitable

Place = tuple[str, int, str]  # file, line, function

_BUILT_IN: tuple[type, ...] = (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType)
_HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LIBRARIES = (os.path.dirname(os.path.abspath(asyncio.__file__)) + os.sep, _HERE + os.sep)
_StockFuture: Any = asyncio.Future
_is_subclass = type.__subclasscheck__  # asks nobody


def is_a(obj: object, cls: Any) -> bool:
    """Do as isinstance(), by the type alone: a `__class__` may be anything."""
    kind = type(obj)
    return any(_is_subclass(each, kind) for each in (cls if type(cls) is tuple else (cls,)))


def is_future(obj: object) -> bool:
    return is_a(obj, Future) or is_a(obj, _StockFuture)


def _can_be_asked(obj: object) -> bool:
    cls = type(obj)
    return cls in _BUILT_IN or issubclass(cls, Awaitable) or module_of(cls) == "builtins" or _is_cython(cls)


def module_of(cls: type) -> str:
    """Return the name of a class's module; "" if what stands there is no name."""
    try:
        module = census._type_module.__get__(cls)  # not by its metaclass, which may be anything
    except AttributeError:
        return ""
    return module if type(module) is str else ""


def _is_cython(cls: type) -> bool:
    return module_of(cls).startswith("_cython_")


def chain(coro: Any) -> list[Any]:
    """Return a coroutine and what it awaits, the outermost first, as far as it can be followed."""
    found: list[Any] = []
    seen: set[int] = set()
    while coro is not None and id(coro) not in seen and not is_future(coro) and _can_be_asked(coro):
        seen.add(id(coro))
        found.append(coro)
        coro = graph._awaited(coro)
    return found


def refers_to(obj: Any) -> list[Any]:
    """Return what an object holds; of hasten's own, uncompiled, also what stands in the `__dict__`."""
    found = gc.get_referents(obj)
    ours = is_a(obj, Awaitable) or module_of(type(obj)).startswith("hasten.")
    if ours and any(type(each) is dict for each in found):
        own = getattr(obj, "__dict__", None)
        if own is not None:
            found.extend(list(own.values()))
    return found


def place_of(coro: Any) -> Place | None:
    """Return file, line and function where a coroutine or generator stands; None for a native one."""
    frame = graph._own_frame(coro)
    if not isinstance(frame, FrameType):
        return None
    return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname


def is_users(place: Place) -> bool:
    """True for a place that is in no file of asyncio or hasten."""
    return not place[0].startswith(_LIBRARIES)


def inside_of(coro: Any) -> list[Any]:
    """Return the objects whose `async with` or `with` blocks a suspended coroutine is in, or about to enter.

    The block's exit waits on the coroutine's stack: bound to its object, or (from Python 3.14) beside it.
    """
    found: list[Any] = []
    before: Any = None
    for each in gc.get_referents(coro):
        if getattr(each, "__name__", None) in ("__aexit__", "__exit__") if _is_function(each) else False:
            owner = getattr(each, "__self__", None)
            if owner is not None and type(owner) is not types.ModuleType:
                found.append(owner)
            else:
                before = each
                continue
        elif before is not None:
            found.append(each)
        before = None
    return found


def _is_function(obj: object) -> bool:
    cls = type(obj)
    if cls in (types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.MethodDescriptorType):
        return True
    return cls is types.WrapperDescriptorType or _is_cython(cls) or module_of(cls) == "hasten.kernel.functions"


def name_of(task: Any) -> str:
    """Return a task's name, by the method of its make: its class's own may be anybody's."""
    kinds = type(task).__mro__
    for make in (Task, asyncio.Task):
        if make in kinds:
            return "".join((make.get_name(task),))  # a plain str
    try:
        return "".join((task.get_name(),))
    except Exception:
        return f"task {id(task):#x}"


def made_at(task: Any) -> Place | None:
    """Return where a task of hasten's was made, if it is known, and not inside of run()."""
    place = Task.created_at(task) if is_a(task, Task) else None
    return place if place is not None and is_users(place) else None


def created_at(task: asyncio.Task[Any]) -> Place | None:
    """Return the (file, line, function) where a task was made; None if unknown, as of a stock task."""
    return Task.created_at(task) if is_a(task, Task) else None  # type: ignore[arg-type]


def coroutine_of(task: Any) -> Any:
    """Return a task's coroutine, by the method of its make; None if it cannot be had."""
    for make in (Task, asyncio.Task):
        if make in type(task).__mro__:
            return make.get_coro(task)
    try:
        return task.get_coro()
    except Exception:
        return None


def stands_at(task: Any) -> list[Place]:
    """Return the places where a task's coroutine stands, the outermost first."""
    places = [place_of(each) for each in chain(coroutine_of(task))]
    return [place for place in places if place is not None]


def innermost(places: list[Place] | tuple[Place, ...]) -> Place | None:
    """Return the innermost place in code that is neither asyncio's nor hasten's; else the innermost."""
    for place in reversed(places):
        if is_users(place):
            return place
    return places[-1] if places else None


def show(place: Place | None) -> str:
    """Write a place as tracebacks do."""
    return "at an unknown place" if place is None else plain(f'File "{place[0]}", line {place[1]}, in {place[2]}')


def waits_on(task: Any) -> Any:
    """Return the future that a task is parked on; None if it is to run, or runs."""
    fut = getattr(task, "_fut_waiter", None)
    if fut is None:
        return None
    if is_future(fut):
        return None if fut.done() else fut
    return fut
