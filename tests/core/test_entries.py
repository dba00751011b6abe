"""Native coroutines that are entered while they run, or awaited by a second task while they are suspended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import hasten
from hasten.loop import Loop

pytestmark = pytest.mark.filterwarnings(
    "ignore:coroutine '.*' was never awaited:RuntimeWarning", "ignore:the .type, exc, tb. signature:DeprecationWarning"
)

ENTRIES: dict[str, Callable[[Any], Any]] = {
    "send": lambda coro: coro.send(None),
    "send a value": lambda coro: coro.send(1),
    "throw": lambda coro: coro.throw(KeyError("thrown")),
    "close": lambda coro: coro.close(),
    "next": lambda coro: next(coro),
    "__next__": lambda coro: coro.__next__(),
    "await": lambda coro: other().send(coro),
}


def other() -> Any:
    """A generator that awaits what is sent to it."""

    async def driven(coro: Any) -> Any:
        return await coro

    class Awaits:
        def send(self, coro: Any) -> Any:
            awaiting = driven(coro)
            try:
                return awaiting.send(None)
            finally:
                awaiting.close()

    return Awaits()


class Meddler:
    """Calls what it was given, once, from wherever it is put."""

    def __init__(self) -> None:
        self.meddle: Callable[[], Any] | None = None

    def now(self) -> None:
        meddle, self.meddle = self.meddle, None
        if meddle is not None:
            meddle()


class Delay(float):
    meddler: Meddler

    def __le__(self, other: Any) -> bool:
        self.meddler.now()
        return float(self) <= other


class Picky(hasten.Queue[int]):
    meddler = Meddler()

    def empty(self) -> bool:
        self.meddler.now()
        return super().empty()

    def full(self) -> bool:
        self.meddler.now()
        return super().full()


class Future(hasten.Future[Any]):
    meddler: Meddler

    def __hash__(self) -> int:
        self.meddler.now()
        return 1


async def drive_sleep(meddler: Meddler) -> Any:
    delay = Delay(0)
    delay.meddler = meddler
    return hasten.sleep(delay, "result")


async def drive_get(meddler: Meddler) -> Any:
    queue = Picky()
    queue.put_nowait("result")  # type: ignore[arg-type]
    Picky.meddler = meddler
    return queue.get()


async def drive_put(meddler: Meddler) -> Any:
    Picky.meddler = meddler
    return Picky().put(1)


async def drive_wait(meddler: Meddler) -> Any:
    future = Future(loop=hasten.get_running_loop())
    future.meddler = meddler
    future.set_result(1)
    return hasten.wait([future])


async def drive_wait_for(meddler: Meddler) -> Any:
    async def inner() -> str:
        meddler.now()
        return "result"

    return hasten.wait_for(inner(), 5)


async def drive_wait_for_another(meddler: Meddler) -> Any:
    return hasten.wait_for(await drive_sleep(meddler), 5)


async def drive_next(meddler: Meddler) -> Any:
    def source() -> Any:
        meddler.now()
        yield hasten.sleep(0)

    return hasten.as_completed(source(), limit=1).__anext__()


async def drive_iterator(meddler: Meddler) -> Any:
    class Error(Exception):
        def with_traceback(self, tb: Any) -> Any:
            meddler.now()
            return super().with_traceback(tb)

    future = hasten.get_running_loop().create_future()
    future.set_exception(Error())
    return future.__await__()


DRIVEN = (drive_sleep, drive_get, drive_put, drive_wait, drive_wait_for, drive_wait_for_another, drive_next)


@pytest.mark.parametrize("drive", DRIVEN)
@pytest.mark.parametrize("entry", ENTRIES)
def test_nobody_enters_what_runs(drive: Callable[[Meddler], Any], entry: str) -> None:
    told: list[str] = []

    async def main() -> None:
        meddler = Meddler()
        coro = await drive(meddler)

        def enter() -> None:
            assert getattr(coro, "cr_running", True)
            with pytest.raises(ValueError, match="^coroutine already executing$") as info:
                ENTRIES[entry](coro)
            told.append(str(info.value))

        meddler.meddle = enter
        await coro  # and it goes on as if nothing had been
        assert not getattr(coro, "cr_running", False)

    hasten.run(main())
    assert told == ["coroutine already executing"]


@pytest.mark.parametrize("entry", [name for name in ENTRIES if name != "send a value"])
def test_what_ended_with_an_error_no_longer_runs(entry: str) -> None:
    class Wrong(float):
        def __le__(self, other: Any) -> bool:
            raise KeyError("comparison")

    async def main() -> None:
        coro = hasten.sleep(Wrong())
        with pytest.raises(KeyError):
            await coro
        if entry == "close":
            coro.close()
            return
        with pytest.raises(RuntimeError, match="^cannot reuse already awaited coroutine$"):
            ENTRIES[entry](coro)

    hasten.run(main())


# ---- awaited already ----------------------------------------------------------------------------


def suspended_makers() -> dict[str, Callable[[], Any]]:
    async def waits(future: Any) -> Any:
        return await future

    def held() -> Any:
        lock = hasten.Lock()
        lock._locked = True
        return lock.acquire()

    def full() -> Any:
        queue = hasten.Queue[int](1)
        queue.put_nowait(1)
        return queue.put(2)

    return {
        "sleep": lambda: hasten.sleep(60),
        "sleep(0)": lambda: hasten.sleep(0),
        "Lock.acquire": held,
        "Semaphore.acquire": lambda: hasten.Semaphore(0).acquire(),
        "Event.wait": lambda: hasten.Event().wait(),
        "Queue.get": lambda: hasten.Queue[int]().get(),
        "Queue.put": full,
        "wait": lambda: hasten.wait([asyncio.get_running_loop().create_future()]),
        "wait_for": lambda: hasten.wait_for(waits(asyncio.get_running_loop().create_future()), 60),
        "wait_for a future": lambda: hasten.wait_for(asyncio.get_running_loop().create_future(), 60),
        "wait_for a wait": lambda: hasten.wait_for(hasten.Event().wait(), 60),
        "as_completed": lambda: hasten.as_completed([hasten.sleep(60)]).__anext__(),
    }


MAKERS = suspended_makers()


def try_to_send(coro: Any) -> str:
    with pytest.raises(RuntimeError) as info:
        coro.send(None)
    return str(info.value)


@pytest.mark.parametrize("name", MAKERS)
def test_a_second_await_is_refused_and_the_first_goes_on(name: str) -> None:
    async def main() -> None:
        coro = MAKERS[name]()

        async def user() -> Any:
            return await coro

        first = hasten.create_task(user())
        again = user()
        if name == "sleep(0)":
            refused = []
            hasten.get_running_loop().call_soon(lambda: refused.append(try_to_send(again)))
            await first
            assert refused == ["coroutine is being awaited already"]
            return
        await hasten.sleep(0)
        assert getattr(coro, "cr_suspended", True)
        with pytest.raises(RuntimeError, match=r"^coroutine is being awaited already(\n|$)"):
            await again
        with pytest.raises(RuntimeError, match=r"^coroutine is being awaited already(\n|$)"):
            await hasten.wait_for(coro, 60)
        assert not first.done()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

    hasten.run(main())


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "sleep(0)"])
def test_a_second_task_of_one_coroutine_is_told_so(name: str) -> None:
    async def main() -> None:
        coro = MAKERS[name]()
        first = hasten.create_task(coro)
        await hasten.sleep(0)
        with pytest.raises(RuntimeError, match=r"^coroutine is being awaited already(\n|$)"):
            await hasten.create_task(coro)
        assert not first.done()
        # and it is still known that the first waits
        with pytest.raises(RuntimeError, match=r"^coroutine is being awaited already(\n|$)"):
            await coro
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

    hasten.run(main())


def test_the_first_gets_what_it_waits_for() -> None:
    async def main() -> None:
        future = hasten.get_running_loop().create_future()

        async def inner() -> Any:
            return await future

        coro = hasten.wait_for(inner(), 60)

        async def user() -> Any:
            return await coro

        first, second = hasten.create_task(user()), hasten.create_task(user())
        await hasten.wait([second])
        assert str(second.exception()) == "coroutine is being awaited already"
        future.set_result("value")
        assert await first == "value"

    hasten.run(main())


# ---- throw --------------------------------------------------------------------------------------


class GivesANumber(Exception):
    def __new__(cls) -> Any:
        return 5


class RaisesItself(Exception):
    def __init__(self) -> None:
        raise KeyError("in __init__")


@pytest.mark.parametrize(
    ("args", "expected", "text"),
    [
        ((GivesANumber,), TypeError, "should have returned an instance of BaseException, not int"),
        ((RaisesItself,), KeyError, "in __init__"),
        ((ValueError, 1), ValueError, "1"),
        ((ValueError, (1, 2)), ValueError, r"\(1, 2\)"),
        ((ValueError, ValueError("given")), ValueError, "given"),
        ((LookupError, KeyError("given")), KeyError, "given"),
        ((ValueError, KeyError("an argument")), ValueError, "an argument"),
    ],
)
@pytest.mark.parametrize("kind", ["future", "sleep", "wait_for", "python"])
def test_throw_throws_what_python_throws(args: Any, expected: type[BaseException], text: str, kind: str) -> None:
    async def main() -> None:
        future = hasten.get_running_loop().create_future()

        async def waits() -> None:
            await future

        made: dict[str, Callable[[], Any]] = {
            "future": future.__await__,
            "sleep": lambda: hasten.sleep(60),
            "wait_for": lambda: hasten.wait_for(waits(), 60),
            "python": waits,
        }
        coro = made[kind]()
        if kind == "future":
            next(coro)
        else:
            coro.send(None)
        with pytest.raises(expected, match=text) as info:
            coro.throw(*args)
        assert type(info.value) is expected

    hasten.run(main())


def test_throw_refuses_a_traceback_that_is_none() -> None:
    async def main() -> None:
        coro = hasten.sleep(60)
        coro.send(None)
        with pytest.raises(TypeError, match="third argument must be a traceback object"):
            coro.throw(ValueError, None, 1)  # type: ignore[arg-type]
        coro.close()

    hasten.run(main())


# ---- what ran between a check and the wait -------------------------------------------------------


class Meddling(Loop):
    """Something runs where a waiter is made: in debug mode a future asks its loop."""

    meddler = Meddler()

    def get_debug(self) -> bool:
        self.meddler.now()
        return super().get_debug()


def put(queue: Any) -> Any:
    return queue, queue.get, lambda: queue.put_nowait(1)


def take(queue: Any) -> Any:
    queue.put_nowait(1)
    return queue, lambda: queue.put(2), queue.get_nowait


def release(lock: Any) -> Any:
    if isinstance(lock, hasten.Lock):
        lock._locked = True
    return lock, lock.acquire, lock.release


def set_event(event: Any) -> Any:
    return event, event.wait, event.set


def shut_down(queue: Any) -> Any:
    async def get() -> None:
        with pytest.raises(hasten.QueueShutDown):
            await queue.get()

    return queue, get, queue.shutdown


@pytest.mark.parametrize(
    "make",
    [
        lambda: put(hasten.Queue()),
        lambda: put(hasten.LifoQueue()),
        lambda: put(Picky()),
        lambda: take(hasten.Queue(1)),
        lambda: take(hasten.PriorityQueue(1)),
        lambda: shut_down(hasten.Queue()),
        lambda: release(hasten.Lock()),
        lambda: release(hasten.Semaphore(0)),
        lambda: set_event(hasten.Event()),
    ],
    ids=["get", "get lifo", "get derived", "put", "put priority", "shutdown", "Lock", "Semaphore", "Event"],
)
def test_what_comes_while_a_waiter_is_made_is_not_missed(make: Callable[[], Any]) -> None:
    async def main() -> None:
        hasten.get_running_loop().set_debug(True)
        _primitive, wait, provide = make()
        coro = wait()
        Meddling.meddler.meddle = provide
        with pytest.raises(StopIteration):
            coro.send(None)
            raise AssertionError("it waits for what is there")
        assert Meddling.meddler.meddle is None

    with hasten.Runner(loop_factory=Meddling) as runner:
        runner.run(main())
