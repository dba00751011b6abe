"""What inspect, typing, pickle and pydoc say of functions, classes and coroutines: the same as of asyncio's."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import functools
import inspect
import pickle
import pydoc
import sys
import types
import typing
import weakref
from typing import Any
from unittest import mock

import pytest

import hasten
from hasten import compat
from hasten.kernel import codes

FUNCTIONS = sorted(
    name
    for name in set(hasten.__all__) & set(asyncio.__all__)
    if inspect.isfunction(getattr(asyncio, name)) and getattr(hasten, name) is not getattr(asyncio, name)
)
CLASSES = [
    "Barrier",
    "BoundedSemaphore",
    "Condition",
    "Event",
    "LifoQueue",
    "Lock",
    "PriorityQueue",
    "Queue",
    "Runner",
    "Semaphore",
    "TaskGroup",
    "Timeout",
]
METHODS = sorted(
    (cls, name)
    for cls in (*CLASSES, "Handle", "TimerHandle")
    for name, value in inspect.getmembers(getattr(asyncio, cls), inspect.isfunction)
    if not name.startswith("_") or name in ("__aenter__", "__aexit__")
)
LOOP_METHODS = sorted(
    name
    for name, value in inspect.getmembers(asyncio.AbstractEventLoop, inspect.isfunction)
    if not name.startswith("_")
)
COROUTINE_FUNCTIONS = [
    "sleep",
    "wait",
    "wait_for",
    "to_thread",
    "open_connection",
    "start_server",
    "create_subprocess_exec",
]
COROUTINE_METHODS = [
    *(("Lock", name) for name in ("acquire", "__aenter__", "__aexit__")),
    *(("Semaphore", name) for name in ("acquire", "__aenter__", "__aexit__")),
    *(("BoundedSemaphore", name) for name in ("acquire", "__aenter__")),
    *(("Condition", name) for name in ("wait", "wait_for", "__aenter__", "__aexit__")),
    *(("Barrier", name) for name in ("wait", "reset", "abort")),
    *(("Queue", name) for name in ("get", "put", "join")),
    *(("PriorityQueue", name) for name in ("get", "put", "join")),
    *(("TaskGroup", name) for name in ("__aenter__", "__aexit__")),
    *(("Timeout", name) for name in ("__aenter__", "__aexit__")),
    ("Event", "wait"),
]
ARGUMENTS: dict[str, tuple[Any, ...]] = {"Barrier": (1,), "Timeout": (None,)}


def parameters(obj: Any) -> list[tuple[str, Any]]:
    return [(p.name, p.kind) for p in inspect.signature(obj).parameters.values()]


# ---- coroutine functions --------------------------------------------------------------------------


def is_coroutine_function(obj: Any) -> bool:
    said = {inspect.iscoroutinefunction(obj)}
    if sys.version_info < (3, 14):  # deprecated from then on
        said.add(asyncio.iscoroutinefunction(obj))
    (answer,) = said
    return answer


@pytest.mark.parametrize("name", COROUTINE_FUNCTIONS)
def test_coroutine_functions_are_known(world: Any, name: str) -> None:
    function = getattr(world.ns, name)
    assert is_coroutine_function(function)
    assert is_coroutine_function(functools.partial(function, 1))


@pytest.mark.parametrize(("cls", "name"), COROUTINE_METHODS)
def test_coroutine_methods_are_known(world: Any, cls: str, name: str) -> None:
    kind = getattr(world.ns, cls)
    obj = kind(*ARGUMENTS.get(cls, ()))
    assert is_coroutine_function(getattr(kind, name))
    assert is_coroutine_function(getattr(obj, name))
    assert is_coroutine_function(functools.partial(getattr(obj, name)))

    class Derived(kind):  # type: ignore[misc]
        pass

    assert is_coroutine_function(getattr(Derived, name))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_of_asyncios_kind(name: str) -> None:
    mine, stock = getattr(hasten, name), getattr(asyncio, name)
    assert is_coroutine_function(mine) is is_coroutine_function(stock)


@pytest.mark.parametrize(("cls", "name"), METHODS)
def test_methods_are_of_asyncios_kind(cls: str, name: str) -> None:
    mine, stock = getattr(getattr(hasten, cls), name), getattr(getattr(asyncio, cls), name)
    assert is_coroutine_function(mine) is is_coroutine_function(stock)


@pytest.mark.parametrize("name", LOOP_METHODS)
def test_a_loops_methods_are_of_asyncios_kind(name: str) -> None:
    mine, stock = getattr(hasten.Loop, name), getattr(asyncio.SelectorEventLoop, name)
    assert is_coroutine_function(mine) is is_coroutine_function(stock)


def test_a_dispatcher_awaits_what_has_to_be_awaited(world: Any) -> None:
    async def dispatch(function: Any, *args: Any) -> None:
        if inspect.iscoroutinefunction(function):
            await function(*args)
        else:
            await asyncio.get_running_loop().run_in_executor(None, function, *args)

    async def main() -> None:
        queue = world.ns.Queue()
        await dispatch(queue.put, "item")
        await dispatch(queue.put_nowait, "another")
        assert queue.qsize() == 2

    world.run(main())


# ---- signatures and the like ------------------------------------------------------------------------


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_asyncios_parameters(name: str) -> None:
    mine, stock = dict(parameters(getattr(hasten, name))), dict(parameters(getattr(asyncio, name)))
    for parameter in ("limit", "loop", "poller"):  # additions, and what older versions have
        if parameter not in stock:
            mine.pop(parameter, None)
    if sys.version_info >= (3, 14):
        assert mine == stock or {*mine, "kwargs"} >= {*stock}
    else:
        assert set(stock) - {"context", "name"} <= set(mine)


@pytest.mark.parametrize(("cls", "name"), METHODS)
def test_methods_have_a_signature(cls: str, name: str) -> None:
    mine, stock = parameters(getattr(getattr(hasten, cls), name)), parameters(getattr(getattr(asyncio, cls), name))
    if name not in ("create_task", "__aexit__"):  # how asyncio spells those depends on the version
        assert [each for each, _ in mine] == [each for each, _ in stock]


@pytest.mark.parametrize("cls", [*CLASSES, "Future", "Task", "Handle", "TimerHandle"])
def test_classes_have_a_signature(cls: str) -> None:
    mine, stock = dict(parameters(getattr(hasten, cls))), dict(parameters(getattr(asyncio, cls)))
    mine.pop("eager_start", None)
    stock.pop("eager_start", None)
    if cls == "Future":
        stock = {"loop": inspect.Parameter.KEYWORD_ONLY}  # some versions show (*args, **kwargs)
    assert mine == stock


@pytest.mark.parametrize("name", LOOP_METHODS)
def test_a_loops_methods_have_a_signature(name: str) -> None:
    inspect.signature(getattr(hasten.Loop, name))


@pytest.mark.parametrize("name", ["set_result", "set_exception", "cancel", "add_done_callback", "result", "done"])
def test_methods_of_futures_have_a_signature(name: str) -> None:
    inspect.signature(getattr(hasten.Future, name))
    inspect.signature(getattr(hasten.Task, name))


def test_the_default_values_are_told(world: Any) -> None:
    ns = world.ns
    assert inspect.signature(ns.sleep).parameters["result"].default is None
    assert inspect.signature(ns.wait).parameters["return_when"].default == "ALL_COMPLETED"
    assert ns.sleep.__defaults__ == (None,)
    assert ns.wait.__kwdefaults__ == {"timeout": None, "return_when": "ALL_COMPLETED"}
    assert inspect.signature(ns.Semaphore).parameters["value"].default == 1
    assert inspect.signature(ns.Queue).parameters["maxsize"].default == 0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_are_functions(name: str) -> None:
    mine = getattr(hasten, name)
    if name in ("isfuture", "iscoroutine", "eager_task_factory", "future_add_to_awaited_by"):
        assert inspect.isroutine(mine)
        return
    assert inspect.isfunction(mine)
    assert mine.__name__ == mine.__qualname__ == name
    assert mine.__module__.startswith("hasten")
    assert mine.__doc__
    assert isinstance(mine.__code__, types.CodeType)
    assert mine.__code__.co_name == name
    typing.get_type_hints(mine)
    assert f"def {name}" in inspect.getsource(mine)
    assert pickle.loads(pickle.dumps(mine)) is mine
    assert copy.copy(mine) is mine
    assert copy.deepcopy(mine) is mine
    assert weakref.ref(mine)() is mine
    assert {mine: 1}[mine] == 1
    assert name in repr(mine)
    assert name in pydoc.render_doc(mine)


@pytest.mark.parametrize("cls", CLASSES)
def test_methods_are_functions(cls: str) -> None:
    kind = getattr(hasten, cls)
    for name, value in vars(kind).items():
        if not name.startswith("_") and callable(value):
            assert inspect.isfunction(value), name
            assert value.__qualname__ == f"{cls}.{name}"
            typing.get_type_hints(value)
            assert f"def {name}" in inspect.getsource(value)
            bound = getattr(kind(*ARGUMENTS.get(cls, ())), name)
            if not isinstance(bound, types.MethodType):
                continue
            assert bound.__func__ is value
            assert inspect.ismethod(bound)


@pytest.mark.parametrize("cls", [*CLASSES, "Future", "Task", "Handle", "TimerHandle"])
def test_classes_can_be_shown(cls: str) -> None:
    kind = getattr(hasten, cls)
    assert kind.__name__ in pydoc.render_doc(kind)
    assert {each.name for each in inspect.classify_class_attrs(kind)} >= {"__init__", "__doc__"}
    assert dict(inspect.getmembers(kind))
    assert kind.__doc__
    assert kind.__name__ == kind.__qualname__ == cls
    assert kind.__module__.startswith("hasten.")
    assert pickle.loads(pickle.dumps(kind)) is kind
    assert copy.deepcopy(kind) is kind


def test_a_compiled_function_takes_attributes(world: Any) -> None:
    world.ns.sleep.mark = "mine"
    assert world.ns.sleep.mark == "mine"
    del world.ns.sleep.mark

    @functools.wraps(world.ns.sleep)
    async def wrapper(*args: Any) -> Any:
        return await world.ns.sleep(*args)

    assert wrapper.__name__ == "sleep"
    assert inspect.unwrap(wrapper) is world.ns.sleep
    assert inspect.signature(wrapper) == inspect.signature(world.ns.sleep)


def test_the_code_of_a_compiled_function_cannot_be_run() -> None:
    if not compat.compiled():
        pytest.skip("not compiled: its code is its code")
    with pytest.raises(TypeError, match="cannot be run by itself"):
        types.FunctionType(hasten.shield.__code__, {})(1)
    with pytest.raises(TypeError, match="cannot be run by itself"):
        types.FunctionType(hasten.sleep.__code__, {})(1, 2).send(None)


def test_a_compiled_method_checks_its_first_argument() -> None:
    queue: Any = hasten.Queue
    for wrong in (lambda: queue.get(1), lambda: queue.get(), lambda: queue.put(object(), 1), lambda: queue.get(None)):
        if compat.compiled():
            with pytest.raises(TypeError, match="argument"):
                wrong()


def test_no_raw_function_of_cythons_is_left_in_a_class() -> None:
    """They take anything as `self`."""
    for module in [m for name, m in sys.modules.items() if name.startswith("hasten.")]:
        for value in list(vars(module).values()):
            if isinstance(value, type) and value.__module__.startswith("hasten."):
                raw = [n for n, v in vars(value).items() if type(v).__name__ == "cython_function_or_method"]
                assert not raw, value


@pytest.mark.parametrize("cls", ["Lock", "Event", "Semaphore", "Queue", "TaskGroup", "Timeout"])
def test_what_tasks_share_cannot_be_copied(cls: str) -> None:
    if not compat.compiled():
        pytest.skip("not compiled: ordinary objects")
    obj = getattr(hasten, cls)(*ARGUMENTS.get(cls, ()))
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(obj)


def test_exceptions_are_pickled() -> None:
    for name in ("QueueEmpty", "QueueFull", "QueueShutDown", "CancelledError", "TimeoutError", "InvalidStateError"):
        kind = getattr(hasten, name)
        assert type(pickle.loads(pickle.dumps(kind("why")))) is kind


# ---- coroutines -------------------------------------------------------------------------------------

MAKERS = {
    "sleep": lambda ns: ns.sleep(0),
    "wait_for": lambda ns: ns.wait_for(ns.sleep(0), 1),
    "wait": lambda ns: ns.wait([]),
    "Queue.get": lambda ns: ns.Queue().get(),
    "Queue.put": lambda ns: ns.Queue().put(1),
    "Queue.join": lambda ns: ns.Queue().join(),
    "Event.wait": lambda ns: ns.Event().wait(),
    "Lock.acquire": lambda ns: ns.Lock().acquire(),
    "Semaphore.acquire": lambda ns: ns.Semaphore().acquire(),
    "TaskGroup.__aenter__": lambda ns: ns.TaskGroup().__aenter__(),
    "Timeout.__aenter__": lambda ns: ns.Timeout(None).__aenter__(),
}


@pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited:RuntimeWarning")
@pytest.mark.parametrize("name", MAKERS)
def test_a_coroutine_that_was_not_started(world: Any, name: str) -> None:
    coro = MAKERS[name](world.ns)
    assert inspect.iscoroutine(coro)
    assert isinstance(coro, types.CoroutineType)
    assert inspect.isawaitable(coro)
    assert asyncio.iscoroutine(coro)
    assert inspect.getcoroutinestate(coro) == inspect.CORO_CREATED
    assert not coro.cr_running
    assert coro.cr_await is None
    assert coro.cr_origin is None
    last = name.rpartition(".")[2]
    assert coro.__name__ == last
    assert coro.cr_code.co_name in (last, "wait_until_set")
    assert coro.cr_code.co_flags & inspect.CO_COROUTINE
    assert coro.cr_frame.f_code.co_name == coro.cr_code.co_name
    assert inspect.getcoroutinelocals(coro) is not None
    coro.close()
    assert inspect.getcoroutinestate(coro) == inspect.CORO_CLOSED
    assert coro.cr_frame is None


def test_a_coroutine_that_is_suspended(world: Any) -> None:
    async def main() -> None:
        ns = world.ns
        lock, semaphore = ns.Lock(), ns.Semaphore(0)
        await lock.acquire()
        coros = {
            "sleep": ns.sleep(60),
            "Lock.acquire": lock.acquire(),
            "Semaphore.acquire": semaphore.acquire(),
            "Event.wait": ns.Event().wait(),
            "Queue.get": ns.Queue().get(),
            "wait_for": ns.wait_for(ns.Event().wait(), 60),
        }
        tasks = {name: asyncio.ensure_future(coro) for name, coro in coros.items()}
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for name, coro in coros.items():
            assert inspect.getcoroutinestate(coro) == inspect.CORO_SUSPENDED, name
            assert coro.cr_await is not None, name
            assert coro.cr_frame is not None, name
            assert name.rpartition(".")[2] in repr(tasks[name])
        for task in tasks.values():
            task.cancel()
        await asyncio.wait(tasks.values())
        for name, coro in coros.items():
            assert inspect.getcoroutinestate(coro) == inspect.CORO_CLOSED, name

    world.run(main())


def test_what_a_coroutine_is_made_of_can_be_read_in_the_source() -> None:
    coro: Any = hasten.sleep(0)
    assert "def sleep(" in inspect.getsource(coro.cr_code)
    assert coro.cr_frame.f_globals["__name__"] == "hasten.primitives.sleeping"
    coro.close()


@pytest.mark.parametrize(
    ("home", "name", "make"),
    [
        ("hasten.primitives.sleeping", "sleep", lambda: hasten.sleep(0)),
        ("hasten.primitives.waiting", "wait_for", lambda: hasten.wait_for(hasten.Event().wait(), 1)),
        ("hasten.primitives.queues", "Queue.get", lambda: hasten.Queue().get()),
        ("hasten.primitives.locks", "Lock.acquire", lambda: hasten.Lock().acquire()),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited:RuntimeWarning")
def test_a_patched_function_does_not_lend_its_code(
    monkeypatch: pytest.MonkeyPatch, home: str, name: str, make: Any
) -> None:
    """Nor does it leave it behind."""
    last = name.rpartition(".")[2]
    coro = make()
    if not hasattr(coro, "cr_state"):
        coro.close()
        pytest.skip("not compiled: a coroutine of Python's")
    original = functools.reduce(getattr, name.split("."), sys.modules[home])

    @functools.wraps(original)
    async def wrapper(*args: Any) -> Any:
        return await original(*args)

    same_name: dict[str, Any] = {}
    exec(f"async def {last}(mine): pass", same_name)
    for replacement in (mock.AsyncMock(), mock.Mock(), wrapper, same_name[last], mock.create_autospec(original)):
        monkeypatch.setattr(codes, "_codes", {})  # as if nobody had looked before
        with mock.patch(f"{home}.{name}", replacement):
            assert coro.cr_code.co_name == coro.cr_frame.f_code.co_name == last
            assert not {"args", "mine"} & set(coro.cr_code.co_varnames)
        assert f"def {last}(" in inspect.getsource(coro.cr_code)
    monkeypatch.setattr(codes, "_codes", {})
    monkeypatch.delitem(sys.modules, home)
    assert coro.cr_code.co_name == coro.cr_frame.f_code.co_name == last
    coro.close()


def test_a_compiled_functions_attributes_are_set_and_deleted_as_any_functions(world: Any) -> None:
    async def plain() -> None:
        """Does nothing."""

    for function in (plain, world.ns.sleep, world.ns.Lock.release):
        name, qualname, doc, module = function.__name__, function.__qualname__, function.__doc__, function.__module__
        annotations = function.__annotations__
        for attribute in ("__name__", "__qualname__"):
            with pytest.raises(TypeError):
                delattr(function, attribute)
            for wrong in (None, 1):
                with pytest.raises(TypeError):
                    setattr(function, attribute, wrong)
            setattr(function, attribute, "other")
            assert getattr(function, attribute) == "other"
        assert "other" in repr(function)
        with pytest.raises(TypeError):
            function.__annotations__ = 1
        del function.__annotations__
        assert function.__annotations__ == {}
        function.__annotations__ = None
        assert function.__annotations__ == {}
        for attribute in ("__doc__", "__module__"):
            delattr(function, attribute)
            assert getattr(function, attribute) is None
        function.__name__, function.__qualname__, function.__doc__, function.__module__ = name, qualname, doc, module
        function.__annotations__ = annotations
        assert function.__annotations__ is annotations
        assert function.__builtins__["len"] is len


def test_coroutines_cannot_be_pickled_or_copied(world: Any) -> None:
    coro = world.ns.sleep(0)
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(coro)
    coro.close()


def test_a_generator_based_wrapper_takes_a_native_coroutine(world: Any) -> None:
    @types.coroutine
    def wrapper() -> Any:
        return world.ns.sleep(0, "value")

    async def main() -> Any:
        return await wrapper()

    assert world.run(main()) == "value"


# ---- what classes are good for ------------------------------------------------------------------------


def test_single_dispatch_dataclasses_and_class_hooks(world: Any) -> None:
    ns = world.ns

    @functools.singledispatch
    def tell(obj: object) -> str:
        return "something"

    tell.register(ns.Lock, lambda obj: "a lock")

    assert tell(ns.Lock()) == "a lock"
    assert tell(ns.Event()) == "something"

    @dataclasses.dataclass
    class Holder:
        lock: Any = dataclasses.field(default_factory=ns.Lock)
        wait: Any = ns.sleep

    assert Holder().lock is not Holder().lock
    seen = []

    class Base(ns.Queue):  # type: ignore[misc]
        def __init_subclass__(cls, **kwargs: Any) -> None:
            seen.append((cls.__name__, kwargs))

    class Derived(Base, word=1):
        pass

    assert seen == [("Derived", {"word": 1})]
    assert ns.Queue[int].__origin__ is ns.Queue
    assert Derived[int].__origin__ is Derived
