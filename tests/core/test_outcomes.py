"""What is asked of futures of any kind and done to them; which exceptions end the loop."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import hasten
from hasten.core import outcomes
from hasten.kernel import step

Kit = Any  # see conftest.py


def test_set_once(kit: Kit) -> None:
    fut = kit.future()
    assert outcomes.set_unless_done(fut, 1) is True
    assert outcomes.set_unless_done(fut, 2) is False
    assert outcomes.fail_unless_done(fut, KeyError()) is False
    assert fut.result() == 1


def test_fail_once(kit: Kit) -> None:
    fut, exc = kit.future(), KeyError()
    assert outcomes.fail_unless_done(fut, exc) is True
    assert outcomes.fail_unless_done(fut, ValueError()) is False
    assert outcomes.set_unless_done(fut, 2) is False
    assert fut.exception() is exc


def test_a_cancelled_one_stays_cancelled(kit: Kit) -> None:
    fut = kit.future()
    fut.cancel()
    assert outcomes.set_unless_done(fut) is False
    assert outcomes.fail_unless_done(fut, KeyError()) is False
    assert fut.cancelled()


def test_who_waits_is_woken(kit: Kit) -> None:
    async def wait(fut: Any) -> Any:
        return await fut

    async def main() -> Any:
        fut = kit.future()
        task = kit.task(wait(fut))
        await asyncio.sleep(0)
        outcomes.set_unless_done(fut, "result")
        return await task

    assert kit.run(main()) == "result"


def test_what_a_subclass_has_is_called(kit: Kit) -> None:
    given = []

    class Own(kit.Future):  # type: ignore[misc]
        def set_result(self, result: Any) -> None:
            given.append(result)

        def set_exception(self, exc: Any) -> None:
            given.append(exc)

    exc = KeyError()
    assert outcomes.set_unless_done(Own(loop=kit.loop), 1) is True
    assert outcomes.fail_unless_done(Own(loop=kit.loop), exc) is True
    assert given == [1, exc]


def test_completed_by_what_is_asked_meanwhile() -> None:
    """In debug mode and on other loops the loop is asked before anything is set, and that may be anybody's code."""

    class Asked(asyncio.SelectorEventLoop):
        fut: Any = None

        def is_closed(self) -> bool:
            fut, self.fut = self.fut, None
            if fut is not None:
                fut.set_result("faster")
            return super().is_closed()

    loop = Asked()
    for settle, value in ((outcomes.set_unless_done, 1), (outcomes.fail_unless_done, KeyError())):
        fut = hasten.Future(loop=loop)
        fut.add_done_callback(lambda fut: None)
        loop.fut = fut
        assert settle(fut, value) is False
        assert fut.result() == "faster"
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()


def test_completed_by_the_exception_that_is_made(kit: Kit) -> None:
    fut = kit.future()

    class Made(Exception):
        def __init__(self) -> None:
            fut.set_result("faster")

    if kit.ours:
        assert outcomes.fail_unless_done(fut, Made) is False
        assert fut.result() == "faster"


def test_nobody_can_be_woken_on_a_closed_loop() -> None:
    loop = hasten.new_event_loop()
    fut, other = loop.create_future(), loop.create_future()
    fut.add_done_callback(print)
    loop.close()
    with pytest.raises(RuntimeError, match=r"^Event loop is closed(?m:$)"):
        outcomes.set_unless_done(fut)
    with pytest.raises(RuntimeError, match=r"^Event loop is closed(?m:$)"):
        outcomes.fail_unless_done(fut, KeyError())
    assert not fut.done()
    assert outcomes.set_unless_done(other) is True


def test_an_exception_that_is_none(kit: Kit) -> None:
    fut = kit.future()
    with pytest.raises(TypeError):
        outcomes.fail_unless_done(fut, "no exception")
    assert not fut.done()


def test_what_ends_the_loop() -> None:
    class Interrupt(KeyboardInterrupt):
        pass

    class Pretender(Exception):
        @property
        def __class__(self) -> Any:
            return KeyboardInterrupt

    class Raiser(Exception):
        @property
        def __class__(self) -> Any:
            raise AssertionError("nobody asks it")

    assert all(map(step.ends_loop, (KeyboardInterrupt(), SystemExit(1), Interrupt())))
    others = (Exception(), BaseException(), GeneratorExit(), asyncio.CancelledError(), Pretender(), Raiser())
    assert not any(map(step.ends_loop, others))
