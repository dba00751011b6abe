"""Children whose methods fail: who waits for them is told, and the loop goes on."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import hasten

pytestmark = pytest.mark.filterwarnings("ignore:coroutine '.*' was never awaited:RuntimeWarning")


class Hostile(Exception):
    pass


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """What a factory refused is given up here, and not in the middle of another test."""
    yield
    gc.collect()


def refuse(*_: Any, **__: Any) -> Any:
    raise Hostile


def hostile_future(*names: str) -> Any:
    """A future of hasten's whose methods `names` fail."""
    return type("HostileFuture", (hasten.Future,), dict.fromkeys(names, refuse))(loop=hasten.get_running_loop())


def stranger(*names: str) -> Any:
    """The same, of asyncio's making."""
    return type("Stranger", (asyncio.Future,), dict.fromkeys(names, refuse))(loop=hasten.get_running_loop())


class Reports(list[Any]):
    def __call__(self, loop: Any, context: dict[str, Any]) -> None:
        self.append(context)


def reports() -> Reports:
    kept = Reports()
    hasten.get_running_loop().set_exception_handler(kept)
    return kept


MAKERS = [hostile_future, stranger]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("limit", [None, 2])
@pytest.mark.parametrize("name", ["exception", "cancelled"])
def test_gather_raises_what_a_child_raises_when_asked(make: Any, limit: int | None, name: str) -> None:
    async def main() -> None:
        reports()
        bad, good = make(name), hasten.get_running_loop().create_future()
        gathering = hasten.gather(bad, good, hasten.sleep(0), limit=limit)
        bad.set_exception(KeyError())
        with pytest.raises(Hostile):
            await gathering
        assert not good.done()

    hasten.run(main())


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("limit", [None, 2])
def test_what_a_child_raises_when_its_gather_is_over_is_reported(make: Any, limit: int | None) -> None:
    async def main() -> None:
        told = reports()
        bad, failing = make("exception"), hasten.get_running_loop().create_future()
        gathering = hasten.gather(bad, failing, limit=limit)
        failing.set_exception(KeyError())
        with pytest.raises(KeyError):
            await gathering
        bad.set_exception(ValueError())
        await hasten.sleep(0)
        await hasten.sleep(0)
        assert [type(context["exception"]) for context in told] == [Hostile]

    hasten.run(main())


@pytest.mark.parametrize("make", MAKERS)
def test_gather_of_exceptions_raises_what_a_child_raises_when_asked(make: Any) -> None:
    async def main() -> None:
        reports()
        bad = make("exception")
        gathering = hasten.gather(bad, hasten.sleep(0), return_exceptions=True)
        bad.set_exception(KeyError())
        with pytest.raises(Hostile):
            await gathering

    hasten.run(main())


@pytest.mark.parametrize("answer", [5, "text", KeyError])
def test_gather_of_what_gives_no_exception(answer: Any) -> None:
    class Odd(asyncio.Future[Any]):
        def exception(self) -> Any:
            return answer

    async def main() -> None:
        reports()
        bad = Odd(loop=hasten.get_running_loop())
        gathering = hasten.gather(bad)
        shielded = hasten.shield(bad)
        bad.set_exception(ValueError())
        for waiting in (gathering, shielded):
            with pytest.raises(KeyError if answer is KeyError else TypeError):
                await waiting

    hasten.run(main())


@pytest.mark.parametrize("limit", [None, 2])
def test_cancelling_a_gather_cancels_all_though_one_refuses(limit: int | None) -> None:
    async def main() -> None:
        reports()
        bad, good = hostile_future("cancel"), hasten.get_running_loop().create_future()
        late = hasten.sleep(60)
        gathering = hasten.gather(bad, good, late, hasten.sleep(60), hasten.sleep(60), limit=limit)
        await hasten.sleep(0)
        with pytest.raises(Hostile):
            gathering.cancel()
        assert good.cancelled()
        bad.set_result(1)
        with pytest.raises(asyncio.CancelledError):
            await gathering

    hasten.run(main())


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("when", [asyncio.FIRST_EXCEPTION, asyncio.ALL_COMPLETED])
def test_wait_goes_on(make: Any, when: str) -> None:
    async def main() -> None:
        reports()
        bad = make("exception")
        good = hasten.get_running_loop().create_future()
        waiting = hasten.create_task(hasten.wait([bad, good], return_when=when))
        await hasten.sleep(0)
        bad.set_exception(KeyError())
        if when == asyncio.FIRST_EXCEPTION:
            with pytest.raises(Hostile):
                await waiting
            assert not good._callbacks
        else:
            good.set_result(1)
            assert await waiting == ({bad, good}, set())

    hasten.run(main())


def test_wait_lets_go_of_all_though_one_refuses() -> None:
    async def main() -> None:
        reports()
        bad = [hostile_future("remove_done_callback") for _ in range(2)]
        for each in bad:
            each.add_done_callback(print)  # so that it is asked
        good = [hasten.get_running_loop().create_future() for _ in range(5)]
        waiting = hasten.create_task(hasten.wait([*bad, *good]))
        await hasten.sleep(0)
        waiting.cancel()
        with pytest.raises((asyncio.CancelledError, Hostile)):
            await waiting
        assert not any(each._callbacks for each in good)

    hasten.run(main())


@pytest.mark.parametrize("make", MAKERS)
def test_a_shield_raises_what_its_inner_one_raises_when_asked(make: Any) -> None:
    async def main() -> None:
        reports()
        bad = make("exception", "result")
        shielded = hasten.shield(bad)
        bad.set_exception(KeyError())
        with pytest.raises(Hostile):
            await shielded

    hasten.run(main())


@pytest.mark.parametrize("make", MAKERS)
def test_wait_for_with_no_time_raises_what_is_raised_when_asked(make: Any) -> None:
    async def main() -> None:
        reports()
        bad = make("result")
        waiting = hasten.create_task(hasten.wait_for(bad, 0))
        await hasten.sleep(0)
        bad.cancel()
        with pytest.raises(Hostile):
            await waiting

    hasten.run(main())


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("limit", [None, 2])
def test_as_completed_hands_out_what_fails(make: Any, limit: int | None) -> None:
    async def main() -> None:
        reports()
        bad, good = make("result"), hasten.get_running_loop().create_future()
        bad.set_exception(KeyError())
        good.set_result("good")
        seen = []
        for coro in hasten.as_completed([bad, good], limit=limit):
            try:
                seen.append(await coro)
            except (Hostile, KeyError) as exc:
                seen.append(type(exc))
        assert len(seen) == 2
        assert "good" in seen

    hasten.run(main())


# ---- task groups ----------------------------------------------------------------------------------


class Stubborn(hasten.Task[Any]):
    refuses: str = ""

    def cancel(self, msg: Any = None) -> bool:
        if self.refuses == "cancel":
            raise Hostile
        return super().cancel(msg)

    def exception(self) -> Any:
        if self.refuses == "exception":
            raise Hostile
        return super().exception()


@pytest.mark.parametrize("refuses", ["cancel", "exception"])
def test_a_group_ends_though_a_child_refuses(refuses: str) -> None:
    async def main() -> None:
        reports()
        loop = hasten.get_running_loop()
        future = loop.create_future()
        loop.set_task_factory(lambda loop, coro, **kwargs: Stubborn(coro, loop=loop, **kwargs))

        async def fails(future: Any) -> None:
            await future
            raise KeyError

        with pytest.raises(BaseExceptionGroup) as info:
            async with hasten.TaskGroup() as group:
                first: Any = group.create_task(fails(future))
                second: Any = group.create_task(hasten.sleep(60))
                third: Any = group.create_task(hasten.sleep(60))
                if refuses == "cancel":
                    second.refuses = refuses
                    loop.call_soon(loop.call_soon, loop.call_soon, second._coro.close)  # it ends all the same
                    loop.call_soon(loop.call_soon, setattr, second, "refuses", "")
                    loop.call_later(0.05, lambda: second.cancel())
                else:
                    first.refuses = refuses
                loop.call_soon(future.set_result, None)
        assert info.value.subgroup(Hostile) is not None or info.value.subgroup(KeyError) is not None
        assert third.cancelled()

    hasten.run(main())


# ---- task factories -------------------------------------------------------------------------------


def refusing_factory(after: int) -> Callable[..., Any]:
    """Refuses the next but `after`, without closing it."""
    left = after

    def factory(loop: Any, coro: Any, **kwargs: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Hostile
        return hasten.Task(coro, loop=loop, **kwargs)

    return factory


async def work() -> int:
    await hasten.sleep(0)
    return 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("after", range(5))
def test_a_factory_that_refuses_under_a_limited_gather(after: int) -> None:
    async def main() -> None:
        coros = [work() for _ in range(5)]
        hasten.get_running_loop().set_task_factory(refusing_factory(after))
        with pytest.raises(Hostile):
            await hasten.gather(*coros, limit=2)
        hasten.get_running_loop().set_task_factory(None)
        await hasten.sleep(0)
        await hasten.sleep(0)
        assert all(coro.cr_frame is None for coro in coros)  # run or closed, none is left

    hasten.run(main())


@pytest.mark.parametrize("after", range(5))
def test_a_factory_that_refuses_under_a_limited_as_completed(after: int) -> None:
    async def main() -> None:
        hasten.get_running_loop().set_task_factory(refusing_factory(after))
        seen = 0
        with pytest.raises(Hostile):
            async for task in hasten.as_completed([work() for _ in range(5)], limit=2):
                seen += await task
        assert seen == after
        hasten.get_running_loop().set_task_factory(None)

    hasten.run(main())


@pytest.mark.parametrize(
    "wait",
    [
        lambda: hasten.gather(work(), work()),
        lambda: hasten.as_completed([work()]),
        lambda: hasten.wait_for(work(), 0),
        lambda: hasten.shield(work()),
        lambda: hasten.ensure_future(work()),
        lambda: hasten.create_task(work()),
    ],
    ids=["gather", "as_completed", "wait_for", "shield", "ensure_future", "create_task"],
)
def test_a_factory_that_refuses(wait: Callable[[], Any]) -> None:
    async def main() -> None:
        hasten.get_running_loop().set_task_factory(refusing_factory(0))
        with pytest.raises(Hostile):
            await wait()
        hasten.get_running_loop().set_task_factory(None)
        assert await work() == 1

    hasten.run(main())


def test_a_factory_that_refuses_in_a_group() -> None:
    async def main() -> None:
        hasten.get_running_loop().set_task_factory(refusing_factory(1))
        with pytest.raises(BaseExceptionGroup) as info:
            async with hasten.TaskGroup() as group:
                group.create_task(work())
                group.create_task(work())
        assert info.value.subgroup(Hostile) is not None
        hasten.get_running_loop().set_task_factory(None)

    hasten.run(main())


# ---- exceptions that lie ---------------------------------------------------------------------------


class Liar(Exception):
    """What is asked of it fails, as far as Python lets it."""

    __class__ = property(refuse)  # type: ignore[assignment]
    __traceback__ = property(refuse)  # type: ignore[assignment]
    __context__ = property(refuse, refuse)  # type: ignore[assignment]
    __cause__ = property(refuse, refuse)  # type: ignore[assignment]
    with_traceback = refuse


async def lie() -> None:
    raise Liar


async def lie_in_a_group() -> None:
    async with hasten.TaskGroup() as group:
        group.create_task(lie())


async def lie_in_a_block() -> None:
    async with hasten.TaskGroup():
        raise Liar


async def lie_when_cancelled() -> None:
    async def swap() -> None:
        try:
            await hasten.sleep(60)
        finally:
            raise Liar

    async with hasten.timeout(0):
        await swap()


@pytest.mark.parametrize("block", [lie_in_a_block, lie_in_a_group])
def test_a_group_passes_on_an_exception_that_lies(block: Callable[[], Any]) -> None:
    async def main() -> None:
        with pytest.raises(ExceptionGroup) as info:
            await block()
        assert type(info.value.exceptions[0]) is Liar

    hasten.run(main())


@pytest.mark.parametrize(
    "wait",
    [
        lambda: hasten.wait_for(lie(), 60),
        lambda: hasten.wait_for(lie(), None),
        lie_when_cancelled,
    ],
    ids=["wait_for", "wait_for for ever", "timeout"],
)
def test_what_waits_passes_on_an_exception_that_lies(wait: Callable[[], Any]) -> None:
    async def main() -> None:
        try:
            await wait()
        except BaseException as exc:
            assert type(exc) is Liar  # noqa: PT017 (pytest.raises would ask its __class__)
        else:
            raise AssertionError("nothing was raised")

    hasten.run(main())


def test_contexts_in_a_circle_end() -> None:
    async def main() -> None:
        first, second = KeyError(), ValueError()
        first.__context__, second.__context__ = second, first
        with pytest.raises(KeyError):
            async with hasten.timeout(0):
                try:
                    await hasten.sleep(60)
                except asyncio.CancelledError:
                    pass
                raise first from None

    hasten.run(main())
