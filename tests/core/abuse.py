"""A program that calls what it is told to with wrong arguments: test_abuse.py runs it, and looks whether it survives.

    python abuse.py GROUP SEED

GROUP: one that `abuse.py groups` prints, or the floor that all of its modules begin with ("core", "net", …).

Prints the name of each callable before it is called, so that the last line names the culprit, and "survived" at the
end. Exceptions are what is expected; a crash, a hang or an abort are not.
"""

from __future__ import annotations

import _signal  # the functions of `signal`, without its enums, which take longer than most calls here
import asyncio
import contextvars
import copy
import faulthandler
import functools
import gc
import importlib
import inspect
import itertools
import logging
import os
import pickle
import random
import socket
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hasten
from hasten.kernel import codes

CALLS = 120  # of each callable
FEW = 12  # of a method that a class has from `object`: its arguments are looked at by the interpreter alone
PATIENCE = 60.0  # seconds for one callable, all its calls: only a hang takes as long
PACKAGE = Path(hasten.__file__).parent
# All that is compiled, and two that stand close to it.
MODULES = [
    *sorted(
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        for path in PACKAGE.rglob("*.pxd")
        if path.stem != "__init__"
    ),
    "core.registry",
    "poll.choice",
]
# They end the process, or wait for what never comes, by their very purpose.
SPARED = {"KqueueEventLoop", "BaseEventLoop", "SelectorEventLoop"}


class Evil:
    """Raises at every touch."""

    def __getattr__(self, name: str) -> Any:
        raise ZeroDivisionError(name)

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError("eq")

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        raise ZeroDivisionError("repr")

    def __bool__(self) -> bool:
        raise ZeroDivisionError("bool")

    def __float__(self) -> float:
        raise ZeroDivisionError("float")

    def __index__(self) -> int:
        raise ZeroDivisionError("index")

    def __len__(self) -> int:
        raise ZeroDivisionError("len")

    def __iter__(self) -> Iterator[Any]:
        raise ZeroDivisionError("iter")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("call")


class Pretender:
    """Has every attribute, and each is another pretender, of a wrong type."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Pretender()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return Pretender()

    def __len__(self) -> int:
        return 2**62

    def fileno(self) -> int:
        return 10**6


class Halves:
    """A loop in pieces: some of hasten's parts, some not."""

    _ready = hasten.core.ready.Ready()
    _step = hasten.kernel.step.Step(None)
    _roster = None

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def call_soon(self, *args: Any, **kwargs: Any) -> None:
        pass


async def coroutine() -> None:
    await asyncio.sleep(0)


def generator() -> Iterator[None]:
    yield


class Workshop:
    """Makes wrong arguments, and objects in all their states."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.loop = hasten.new_event_loop()
        self.closed = hasten.new_event_loop()
        self.closed.close()
        self.stock = asyncio.SelectorEventLoop()
        self.sockets: list[socket.socket] = []
        self.plain = [
            *(None, 0, 1, -1, 2, 10**6, 2**31 - 1, 2**31, 2**64, -(2**63), 2**200, True),
            *(0.0, -1.5, 1e-9, float("nan"), float("inf"), -float("inf"), 1e308, 1j),
            *("", "x", "\0", "epoll", "é" * 50, b"", b"x", b"\0" * 100, bytearray(b"y"), memoryview(b"z")),
            *([], [1], (), (1, 2), {}, {"a": 1}, set(), frozenset([1])),
            *(object, int, type, Exception, KeyError("x"), StopIteration(1), asyncio.CancelledError()),
            *(len, coroutine, lambda *args: None, Ellipsis, NotImplemented),
            *(Evil(), Pretender(), Halves(), sys, contextvars.copy_context(), asyncio.Protocol()),
            *(asyncio.BufferedProtocol(), logging.getLogger("x"), threading.Lock(), range(3)),
            *(memoryview(b"abcd")[::2], memoryview(bytearray(8)).cast("I")),
        ]
        self.made = self.makers()

    def sock(self) -> socket.socket:
        one, other = socket.socketpair()
        one.setblocking(False)
        self.sockets += [one, other]
        return one

    def loops(self) -> Any:
        bare = hasten.Loop.__new__(hasten.Loop)
        return self.rng.choice([self.loop, self.closed, self.stock, bare])

    def done(self) -> Any:
        fut = hasten.Future(loop=self.loop)
        fut.set_result(None)
        return fut

    def task(self) -> Any:
        return self.loop.create_task(coroutine())

    def transport(self) -> Any:
        return hasten.net.stream.SocketTransport(self.loop, self.sock(), asyncio.Protocol())

    def makers(self) -> list[Callable[[], Any]]:
        """What is made anew each time, since a call may use it up."""
        return [
            coroutine,
            generator,
            self.sock,
            self.loops,
            self.done,
            self.task,
            self.transport,
            lambda: self.loop.create_future(),
            lambda: self.loop.call_later(1e-6, len, ()),
            lambda: self.loop.call_soon(len, ()),
            lambda: asyncio.Future(loop=self.stock),
            lambda: hasten.Future.__new__(hasten.Future),
            lambda: hasten.Task.__new__(hasten.Task),
            lambda: hasten.Handle.__new__(hasten.Handle),
            lambda: hasten.TimerHandle.__new__(hasten.TimerHandle),
            lambda: hasten.primitives.gathering.GatheringFuture.__new__(hasten.primitives.gathering.GatheringFuture),
            lambda: hasten.net.stream.SocketTransport.__new__(hasten.net.stream.SocketTransport),
            lambda: hasten.sleep(0.001),
        ]

    def value(self) -> Any:
        if self.rng.random() < 0.15:
            return None  # which passes the type tests of compiled code
        return self.rng.choice(self.made)() if self.rng.random() < 0.4 else self.rng.choice(self.plain)

    def settle(self) -> None:
        """Runs what the calls have set going: that, too, must not crash."""
        for loop in (self.loop, self.stock):
            if not loop.is_closed() and not loop.is_running():
                with suppressed():
                    loop.call_soon(loop.stop)
                    loop.run_forever()
        if self.loop.is_closed() or self.rng.random() < 0.02:
            self.loop = hasten.new_event_loop()
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()


class suppressed:
    """Suppresses whatever is raised, KeyboardInterrupt and SystemExit too."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> bool:
        return True


def interrupt(signum: int, frame: object) -> None:
    raise TimeoutError("enough")


def limited(fn: Callable[[], Any]) -> None:
    """Calls, suppresses whatever is raised, and ends what waits by a signal."""
    _signal.signal(_signal.SIGALRM, interrupt)  # again each time: what is called may have put another in its place
    with suppressed():
        try:
            _signal.setitimer(_signal.ITIMER_REAL, 0.05, 0.05)
            fn()
        finally:  # the signal may still come, up to the end of this line
            _signal.setitimer(_signal.ITIMER_REAL, 0)
    _signal.setitimer(_signal.ITIMER_REAL, 0)
    _signal.signal(_signal.SIGALRM, _signal.SIG_IGN)


def names_of(fn: Any) -> list[str]:
    try:
        return [name for name in inspect.signature(fn).parameters if name not in ("self", "args", "kwargs")]
    except (TypeError, ValueError):
        return ["loop", "context", "name", "limit", "timeout", "eager_start", "extra", "high"]


def abuse(shop: Workshop, fn: Callable[..., Any], calls: int = CALLS) -> None:
    """Calls `fn` with no arguments, with each plain one (with as many as come to half of the calls), and with chance
    combinations."""
    names = names_of(fn)
    plain = shop.plain if calls == CALLS else shop.rng.sample(shop.plain, calls // 2)
    attempts: list[tuple[list[Any], dict[str, Any]]] = [([], {})] + [([v], {}) for v in plain]
    for _ in range(calls - len(attempts)):
        args = [shop.value() for _ in range(shop.rng.choice((1, 1, 2, 2, 3, 4, 6)))]
        chosen = shop.rng.sample(names, min(len(names), shop.rng.choice((0, 0, 1, 2))))
        attempts.append((args, {name: shop.value() for name in chosen}))
    for args, kwargs in attempts:
        limited(functools.partial(lambda args, kwargs: use(shop, fn(*args, **kwargs)), args, kwargs))


def use(shop: Workshop, result: Any) -> None:
    """Awaits, shows and drops what a call gave."""
    with suppressed():
        repr(result)
    if inspect.isawaitable(result) and not shop.loop.is_closed() and shop.rng.random() < 0.3:
        shop.loop.run_until_complete(asyncio.wait_for(result, 0.002))
    if hasattr(result, "close") and shop.rng.random() < 0.5:
        result.close()


def states(shop: Workshop, cls: type[Any]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """(what it is, makes one) for an object of a class: never initialised, as it should be, used up."""
    yield "uninitialised", lambda: cls.__new__(cls)
    makers: dict[str, Callable[[], Any]] = {
        "Future": lambda: cls(loop=shop.loop),
        "Task": lambda: cls(coroutine(), loop=shop.loop),
        "GatheringFuture": lambda: hasten.primitives.gathering.collect(shop.loop, *[[shop.task()]] * 2, False),
        "Handle": lambda: cls(len, ((),), shop.loop),
        "TimerHandle": lambda: shop.loop.call_later(1e-6, len, ()),
        "Step": lambda: cls(shop.loop),
        "Sleep": lambda: hasten.sleep(0.001),
        "FutureIter": lambda: hasten.Future(loop=shop.loop).__await__(),
        "Scheduler": lambda: cls(hasten.poll.choice.make()),
        "Loop": hasten.new_event_loop,
        "FdWatch": lambda: cls(shop.loop, shop.sock().fileno()),
        "SocketTransport": shop.transport,
        **coroutines(shop),
    }
    name = codes.real_name(cls)[1]
    yield "fresh", makers.get(name, cls)
    if hasattr(cls, "cancel"):
        yield "cancelled", lambda: spent(makers.get(name, cls)(), "cancel")
    if hasattr(cls, "close"):
        yield "closed", lambda: spent(makers.get(name, cls)(), "close")
    if name in coroutines(shop):
        yield "begun", lambda: begun(shop, makers[name])


def coroutines(shop: Workshop) -> dict[str, Callable[[], Any]]:
    """Makers of native coroutines and what belongs to them, which only their own functions make."""

    def taken(primitive: Any) -> Any:
        with suppressed():
            primitive.acquire().send(None)
        return primitive

    def full() -> Any:
        queue = hasten.Queue[int](1)
        queue.put_nowait(1)
        return queue

    return {
        "LockAcquire": lambda: taken(hasten.Lock()).acquire(),
        "SemaphoreAcquire": lambda: taken(hasten.Semaphore(1)).acquire(),
        "EventWait": lambda: hasten.Event().wait(),
        "QueueGet": lambda: hasten.Queue().get(),
        "QueuePut": lambda: full().put(2),
        "Sleep": lambda: hasten.sleep(0.001),
        "WaitFor": lambda: hasten.wait_for(shop.loop.create_future(), 0.001),
        "Wait": lambda: hasten.wait([shop.task()], timeout=0.001),
        "AsCompleted": lambda: hasten.as_completed([shop.task()]),
        "Next": lambda: next(iter(hasten.as_completed([shop.task()]))),
        "Shield": lambda: hasten.shield(shop.task()),
        "Timeout": lambda: hasten.timeout(0.001),
        "Entering": lambda: hasten.timeout(0.001).__aenter__(),
        "GroupEntry": lambda: hasten.TaskGroup().__aenter__(),
        "GroupExit": lambda: hasten.TaskGroup().__aexit__(None, None, None),
    }


def begun(shop: Workshop, make: Callable[[], Any]) -> Any:
    """One that a task has begun to await."""
    made: list[Any] = []

    async def begin() -> None:
        made.append(make())
        await made[0]

    with suppressed():
        task = shop.loop.create_task(begin())
        shop.loop.call_soon(shop.loop.stop)
        shop.loop.run_forever()
        if shop.rng.random() < 0.5:
            task.cancel()
    return made[0]


def spent(obj: Any, method: str) -> Any:
    with suppressed():
        getattr(obj, method)()
    return obj


def abuse_class(shop: Workshop, cls: type[Any], where: str) -> None:
    """All methods and attributes of a class's objects, in each state."""
    tell(f"{where}()")
    abuse(shop, cls)
    for state, make in states(shop, cls):
        for name in sorted(set(dir(cls)) - {"__class__", "__new__", "__init_subclass__", "__subclasshook__"}):
            tell(f"{where}.{name} of one that is {state}")
            abuse_attribute(shop, make, name, FEW if from_object(cls, name) else CALLS)
            shop.settle()
        tell(f"copies of {where} that is {state}")
        for fn in (copy.copy, copy.deepcopy, pickle.dumps, hash, len, list, float, str, repr, bool, dir):
            limited(functools.partial(lambda fn: fn(make()), fn))
        tell(f"several methods of one {where} that is {state}")
        for _ in range(20):
            abuse_one(shop, cls, make)
            shop.settle()


def from_object(cls: type[Any], name: str) -> bool:
    """Does no class below `object` say anything about this attribute?"""
    return name in vars(object) and not any(name in vars(kind) for kind in cls.__mro__[:-1])


def abuse_attribute(shop: Workshop, make: Callable[[], Any], name: str, calls: int) -> None:
    with suppressed():
        if callable(getattr(make(), name)):
            abuse(shop, lambda *args, **kwargs: getattr(make(), name)(*args, **kwargs), calls)
    for value in itertools.islice(shop.plain, None, None, 3):
        with suppressed():
            setattr(make(), name, value)
    with suppressed():
        delattr(make(), name)


def abuse_one(shop: Workshop, cls: type[Any], make: Callable[[], Any]) -> None:
    """A chance sequence of calls on one and the same object."""
    with suppressed():
        obj = make()
        names = [
            name for name in dir(cls) if not name.startswith("__") or name in ("__init__", "__await__", "__next__")
        ]

        def one_call() -> None:
            value = getattr(obj, name)
            if callable(value):
                use(shop, value(*[shop.value() for _ in range(shop.rng.choice((0, 0, 1, 1, 2)))]))
            else:
                setattr(obj, name, shop.value())

        for _ in range(30):
            name = shop.rng.choice(names)
            limited(one_call)


def tell(line: str) -> None:
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    print(line, flush=True)
    gc.collect(0)


def compiled_types(module: types.ModuleType) -> list[str]:
    return sorted(name for name, value in vars(module).items() if callable(value) and not name.startswith("__"))


def home_of(value: Any) -> str | None:
    return codes.real_name(value)[0] if isinstance(value, type) else getattr(value, "__module__", None)


def groups() -> dict[str, list[tuple[str, Any]]]:
    """group → [(name, callable)]: one for each internal module, and the public names, in two halves."""
    found: dict[str, list[tuple[str, Any]]] = {}
    for name in MODULES:
        module = importlib.import_module(f"hasten.{name}")
        mine = {id(getattr(module, each)): (each, getattr(module, each)) for each in compiled_types(module)}.values()
        found[name] = [
            (f"{name}.{each}", value) for each, value in mine if (home_of(value) or module.__name__) == module.__name__
        ]
    public = [(name, getattr(hasten, name)) for name in hasten.__all__ if name not in SPARED]
    home = [(f"hasten.{name}", fn) for name, fn in public if str(getattr(fn, "__module__", "")).startswith("hasten")]
    found["functions"] = [(name, fn) for name, fn in home if callable(fn) and not isinstance(fn, type)]
    found["classes"] = [
        (name, fn)
        for name, fn in home
        if isinstance(fn, type) and fn.__module__.removeprefix("hasten.") not in (*MODULES, "loop")
    ]
    found["loop"] = [("hasten.Loop", hasten.Loop)]
    return found


def main(group: str, seed: int) -> None:
    faulthandler.enable()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    sys.unraisablehook = lambda unraisable: None
    threading.excepthook = lambda args: None
    # what is printed by print() as a callback, and file descriptors 0 and 1 as arguments, stay away from the parent
    report = os.fdopen(os.dup(1), "w")
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1):
        os.dup2(null, fd)
    sys.stdout = report
    shop = Workshop(random.Random(seed))
    chosen = [members for name, members in groups().items() if name == group or name.startswith(f"{group}.")]
    if not chosen:
        raise SystemExit(f"no group is called {group!r}")
    for name, target in itertools.chain(*chosen):
        if isinstance(target, type):
            abuse_class(shop, target, name)
        else:
            tell(f"{name}()")
            abuse(shop, target)
            shop.settle()
    gc.collect()
    shop.settle()
    print("survived", flush=True)
    os._exit(0)  # threads that wait for what the calls have started are not waited for


if __name__ == "__main__":
    if sys.argv[1:] == ["groups"]:
        print("\n".join(groups()))
    else:
        main(sys.argv[1], int(sys.argv[2]))
