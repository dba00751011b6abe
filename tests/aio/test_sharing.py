"""isinstance() both ways: hasten's classes and asyncio's stand for each other, as type checkers are told."""

from __future__ import annotations

import abc
import asyncio
import functools
import gc
import sys
import types
import weakref

import pytest

import hasten
from hasten.kernel import sharing

# asyncio's class has memory of its own: ours cannot inherit from it
APART = ["Future", "Task", "Handle", "TimerHandle"]


class _Loop:
    def get_debug(self):
        return False


LOOP = _Loop()
MADE_BY = {
    "Lock": asyncio.Lock,
    "Event": asyncio.Event,
    "Semaphore": asyncio.Semaphore,
    "BoundedSemaphore": asyncio.BoundedSemaphore,
    "Condition": asyncio.Condition,
    "Barrier": lambda: asyncio.Barrier(2),
    "Queue": asyncio.Queue,
    "PriorityQueue": asyncio.PriorityQueue,
    "LifoQueue": asyncio.LifoQueue,
    "TaskGroup": asyncio.TaskGroup,
    "Timeout": lambda: asyncio.Timeout(None),
    "Runner": asyncio.Runner,
    "StreamReader": lambda: asyncio.StreamReader(loop=LOOP),
}
OURS = {**MADE_BY, "Barrier": lambda: hasten.Barrier(2), "Timeout": lambda: hasten.Timeout(None)}
OURS["StreamReader"] = lambda: hasten.StreamReader(loop=LOOP)


def ours(name):
    make = OURS[name]
    return make() if type(make) is types.FunctionType else getattr(hasten, name)()


@pytest.mark.parametrize("name", MADE_BY)
def test_a_stock_object_is_one_of_ours(name):
    stock = MADE_BY[name]()
    assert isinstance(stock, getattr(hasten, name))
    assert issubclass(getattr(asyncio, name), getattr(hasten, name))
    assert not isinstance(object(), getattr(hasten, name))
    assert not issubclass(object, getattr(hasten, name))


@pytest.mark.parametrize("name", MADE_BY)
def test_one_of_ours_is_a_stock_object(name):
    thing = ours(name)
    assert isinstance(thing, getattr(asyncio, name))
    assert issubclass(getattr(hasten, name), getattr(asyncio, name))
    assert type(thing) is getattr(hasten, name)


def test_the_kinds_are_told_apart():
    assert not isinstance(asyncio.Queue(), hasten.LifoQueue)
    assert isinstance(asyncio.LifoQueue(), hasten.Queue)
    assert not isinstance(hasten.Queue(), asyncio.LifoQueue)
    assert isinstance(hasten.LifoQueue(), asyncio.Queue)
    assert not isinstance(asyncio.Lock(), hasten.Event)
    assert not isinstance(hasten.Lock(), asyncio.Event)


@pytest.mark.parametrize("name", [name for name in MADE_BY if name not in ("Runner", "StreamReader")])
def test_nothing_public_is_inherited_from_asyncios_class(name):
    own, stock = getattr(hasten, name), getattr(asyncio, name)
    order = own.__mro__
    before = order[: order.index(stock)]
    for attribute in dir(stock):
        if not attribute.startswith("_"):
            assert any(attribute in vars(cls) for cls in before if cls.__module__.startswith("hasten.")), attribute


async def _nothing():
    await asyncio.sleep(0)


def in_stock_loop(work):
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(work())


def test_stock_tasks_futures_and_handles():
    async def main():
        loop = asyncio.get_running_loop()
        task, future = loop.create_task(_nothing()), loop.create_future()
        soon, later = loop.call_soon(int), loop.call_later(9, int)
        assert isinstance(task, hasten.Task)
        assert isinstance(task, hasten.Future)
        assert isinstance(future, hasten.Future)
        assert not isinstance(future, hasten.Task)
        assert isinstance(soon, hasten.Handle)
        assert not isinstance(soon, hasten.TimerHandle)
        assert isinstance(later, hasten.Handle)
        assert isinstance(later, hasten.TimerHandle)
        for name in APART:
            assert issubclass(getattr(asyncio, name), getattr(hasten, name))
        later.cancel()
        await task

    in_stock_loop(main)


def test_match_statements():
    def kind(thing):
        match thing:
            case hasten.Task():
                return "task"
            case hasten.Future():
                return "future"
            case hasten.Lock() | hasten.Event():
                return "primitive"
        return "other"

    async def main():
        loop = asyncio.get_running_loop()
        task, future = loop.create_task(_nothing()), loop.create_future()
        await task
        return [kind(thing) for thing in (task, future, asyncio.Lock(), hasten.Event(), 1)]

    assert in_stock_loop(main) == hasten.run(main()) == ["task", "future", "primitive", "primitive", "other"]


@pytest.mark.parametrize("package", [hasten, asyncio])
def test_singledispatch(package):
    @functools.singledispatch
    def kind(thing):
        return "other"

    @kind.register(package.Future)
    def _(thing):
        return "future"

    @kind.register(package.Task)
    def _(thing):
        return "task"

    @kind.register(package.Queue)
    def _(thing):
        return "queue"

    async def main():
        loop = asyncio.get_running_loop()
        task, future = loop.create_task(_nothing()), loop.create_future()
        await task
        return [kind(thing) for thing in (task, future, asyncio.Queue(), hasten.PriorityQueue(), 1)]

    assert in_stock_loop(main) == hasten.run(main()) == ["task", "future", "queue", "queue", "other"]


def test_a_derived_class_is_only_itself():
    class Mine(hasten.Future):
        pass

    class Line(hasten.Queue):
        pass

    loop = hasten.new_event_loop()
    try:
        mine = Mine(loop=loop)
        assert isinstance(mine, Mine)
        assert isinstance(mine, hasten.Future)
        assert isinstance(mine, asyncio.Future)
        assert not isinstance(hasten.Future(loop=loop), Mine)
        assert not isinstance(asyncio.Future(loop=loop), Mine)
        assert not issubclass(asyncio.Future, Mine)
        assert issubclass(Mine, hasten.Future)
    finally:
        loop.close()
    assert isinstance(Line(), asyncio.Queue)
    assert not isinstance(asyncio.Queue(), Line)
    assert issubclass(Line, asyncio.Queue)
    assert not issubclass(asyncio.Queue, Line)


def test_derived_classes_with_abstract_and_generic_bases():
    from typing import Generic, Protocol, TypeVar

    T = TypeVar("T")

    class Abstract(hasten.Future, abc.ABC):
        @abc.abstractmethod
        def must(self):
            """To be said by others."""

    class Both(hasten.Queue[T], Generic[T]):
        pass

    class Sized(Protocol):
        def qsize(self) -> int: ...

    class Explicit(hasten.Queue[T], Sized):
        pass

    assert Explicit(2).maxsize == 2

    class Plain:
        pass

    class Mixed(Plain, hasten.Lock):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Abstract(loop=object())
    queue = Both[int](3)
    queue.put_nowait(1)
    assert queue.get_nowait() == 1
    assert queue.maxsize == 3
    assert not Mixed().locked()
    assert isinstance(Mixed(), asyncio.Lock)
    queue.extra = 1
    assert vars(queue)["extra"] == 1
    assert weakref.ref(queue)() is queue


def test_a_derived_class_is_asked_as_an_abstract_one():
    class Mine(hasten.Lock, abc.ABC):
        pass

    class Plain(hasten.Lock):
        pass

    class Hooked(hasten.Queue, abc.ABC):
        @classmethod
        def __subclasshook__(cls, other):
            return hasattr(other, "looks_right") or NotImplemented

    @Mine.register
    class Entered:
        pass

    class Right:
        looks_right = True

    assert isinstance(Entered(), Mine)
    assert issubclass(Entered, Mine)
    assert isinstance(Right(), Hooked)
    assert issubclass(Right, Hooked)
    for other in (Plain, hasten.Lock, hasten.Queue):
        assert not isinstance(Entered(), other)
        assert not issubclass(Right, other)
    assert not isinstance(hasten.Lock(), Mine)
    assert not isinstance(hasten.Queue(), Hooked)


@pytest.mark.parametrize("name", [name for name in MADE_BY if name not in ("Runner", "StreamReader")])
def test_what_is_set_on_asyncios_class_later_is_found(name, monkeypatch):
    own, stock = getattr(hasten, name), getattr(asyncio, name)
    thing = ours(name)
    for _ in range(3):  # it is remembered that there is no such thing
        assert not hasattr(thing, "added_later")
    monkeypatch.setattr(stock, "added_later", 1, raising=False)
    assert thing.added_later == own.added_later == 1
    assert own in stock.__subclasses__()
    monkeypatch.undo()
    assert not hasattr(thing, "added_later")


def test_derived_classes_can_be_collected():
    class Mine(hasten.Task):
        pass

    class Line(hasten.LifoQueue):
        pass

    gone = [weakref.ref(Mine), weakref.ref(Line)]
    del Mine, Line
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_a_class_that_derives_from_both():
    class Mine(hasten.Queue, asyncio.Queue):
        pass

    queue = Mine()
    queue.put_nowait(1)
    assert queue.get_nowait() == 1


@pytest.mark.parametrize("name", ["Future", "Task", "Queue", "PriorityQueue", "LifoQueue"])
def test_generic_forms(name):
    form = getattr(hasten, name)[int]
    assert isinstance(form, types.GenericAlias)
    assert form.__origin__ is getattr(hasten, name)
    assert form.__args__ == (int,)


def test_our_own_code_goes_by_the_type_alone():
    async def main():
        loop = asyncio.get_running_loop()
        stock = asyncio.Task(_nothing(), loop=loop)
        done = loop.create_task(_nothing())
        got = await hasten.gather(stock, done)
        finished, pending = await hasten.wait([stock, done])
        async with hasten.timeout(9), hasten.TaskGroup() as group:
            group.create_task(_nothing())
        assert len(finished) == 2
        assert not pending
        return got

    assert in_stock_loop(main) == hasten.run(main()) == [None, None]


def test_classes_that_cannot_be_inherited():
    assert not sharing.inheritable(asyncio.Future)
    assert not sharing.inheritable(asyncio.Handle)
    assert sharing.inheritable(asyncio.Lock)
    assert not sharing.inheritable(int)


def test_pickling_and_copying_of_the_classes():
    import copy
    import pickle

    for name in [*APART, *MADE_BY]:
        cls = getattr(hasten, name)
        assert copy.deepcopy(cls) is cls
        assert pickle.loads(pickle.dumps(cls)) is cls


if sys.version_info < (3, 14):

    def test_streams_of_asyncios_are_ours():
        assert issubclass(asyncio.StreamWriter, hasten.StreamWriter)
        assert issubclass(asyncio.StreamReaderProtocol, hasten.StreamReaderProtocol)


def test_where_a_task_was_made():
    async def main():
        loop = asyncio.get_running_loop()
        stock, ours = asyncio.Task(_nothing(), loop=loop), hasten.create_task(_nothing())
        await asyncio.wait([stock, ours])
        return hasten.created_at(stock), hasten.created_at(ours)

    nothing, place = hasten.run(main())
    assert nothing is None
    assert place[0] == __file__
    assert place[2].endswith("main")
