"""Future: the same behaviour of hasten's and of asyncio's, on either loop."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import re
import traceback
import weakref
from collections.abc import Callable, Generator
from typing import Any

import pytest

import hasten

from ..worlds import Kit


class MyError(Exception):
    pass


def test_pending(kit: Kit) -> None:
    fut = kit.future()
    assert not fut.done()
    assert not fut.cancelled()
    assert fut.get_loop() is kit.loop
    assert fut._state == "PENDING"
    with pytest.raises(asyncio.InvalidStateError, match=r"Result is not (ready|set)\."):
        fut.result()
    with pytest.raises(asyncio.InvalidStateError, match=r"Exception is not set\."):
        fut.exception()


def test_who_is_who(kit: Kit) -> None:
    fut = kit.future()
    assert isinstance(fut, asyncio.Future)
    assert asyncio.isfuture(fut)
    assert not isinstance(fut, asyncio.Task)
    assert not asyncio.iscoroutine(fut)
    assert isinstance(fut, kit.Future)
    assert type(kit.Future[int]).__name__ == "GenericAlias"
    assert isinstance(hasten.Future(loop=kit.loop), hasten.Future)


def test_result(kit: Kit) -> None:
    fut = kit.future()
    value = object()
    fut.set_result(value)
    assert fut.done()
    assert not fut.cancelled()
    assert fut.result() is value
    assert fut.exception() is None
    assert fut._state == "FINISHED"
    assert fut._result is value
    assert not fut.cancel()
    with pytest.raises(asyncio.InvalidStateError):
        fut.set_result(1)
    with pytest.raises(asyncio.InvalidStateError):
        fut.set_exception(MyError())
    assert fut.result() is value


def test_exception(kit: Kit) -> None:
    fut = kit.future()
    error = MyError("x")
    fut.set_exception(error)
    assert fut.done()
    assert fut.exception() is error
    with pytest.raises(MyError) as caught:
        fut.result()
    assert caught.value is error
    with pytest.raises(asyncio.InvalidStateError):
        fut.set_result(1)
    assert not fut.cancel()


def test_an_exception_class_is_instantiated(kit: Kit) -> None:
    fut = kit.future()
    fut.set_exception(MyError)
    assert type(fut.exception()) is MyError


@pytest.mark.parametrize("what", [None, 1, "error", object, []])
def test_what_is_no_exception_is_refused(kit: Kit, what: Any) -> None:
    fut = kit.future()
    with pytest.raises(TypeError, match="invalid exception object|exception object"):
        fut.set_exception(what)
    assert not fut.done()


@pytest.mark.stdlib_since(3, 13)  # and since 3.12.2: the two before raise TypeError
@pytest.mark.parametrize("error", [StopIteration, StopIteration(7)])
def test_stop_iteration_is_wrapped(kit: Kit, error: Any) -> None:
    fut = kit.future()
    fut.set_exception(error)
    with pytest.raises(RuntimeError, match="StopIteration interacts badly with generators") as caught:
        fut.result()
    assert isinstance(caught.value.__cause__, StopIteration)


def test_cancel(kit: Kit) -> None:
    fut = kit.future()
    assert fut.cancel()
    assert fut.done()
    assert fut.cancelled()
    assert fut._state == "CANCELLED"
    assert not fut.cancel()
    for ask in (fut.result, fut.exception):
        with pytest.raises(asyncio.CancelledError):
            ask()
    with pytest.raises(asyncio.InvalidStateError):
        fut.set_result(1)
    with pytest.raises(asyncio.InvalidStateError):
        fut.set_exception(MyError())


@pytest.mark.parametrize("msg", ["why", 0, (1, 2), b"x", False])
def test_the_cancel_message_comes_with_the_error(kit: Kit, msg: Any) -> None:
    fut = kit.future()
    fut.cancel(msg=msg)
    with pytest.raises(asyncio.CancelledError) as caught:
        fut.result()
    assert caught.value.args == (msg,)
    assert fut._cancel_message == msg

    async def main() -> None:
        await fut

    with pytest.raises(asyncio.CancelledError) as caught:
        kit.run(main())
    assert caught.value.args == (msg,)


def test_without_a_message_the_error_has_no_arguments(kit: Kit) -> None:
    fut = kit.future()
    fut.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        fut.result()
    assert caught.value.args == ()


def test_tracebacks_do_not_grow(kit: Kit) -> None:
    """Each raise starts from the traceback that the exception came with."""
    fut = kit.future()
    try:
        raise MyError("first")
    except MyError as exc:
        fut.set_exception(exc)
    depths = []
    for _ in range(5):
        try:
            fut.result()
        except MyError as exc:
            depths.append(len(traceback.extract_tb(exc.__traceback__)))
    assert max(depths) == depths[0]

    async def main() -> int:
        try:
            await fut
        except MyError as exc:
            return len(traceback.extract_tb(exc.__traceback__))
        return -1

    seen = {kit.run(main()) for _ in range(5)}
    assert len(seen) == 1


def test_many_waiters_do_not_grow_the_traceback(kit: Kit) -> None:
    fut = kit.future()
    depths: list[int] = []

    async def wait() -> None:
        try:
            await fut
        except MyError as exc:
            depths.append(len(traceback.extract_tb(exc.__traceback__)))

    async def main() -> None:
        tasks = [kit.task(wait()) for _ in range(20)]
        await asyncio.sleep(0)
        fut.set_exception(MyError())
        await asyncio.gather(*tasks)

    kit.run(main())
    assert len(depths) == 20
    assert max(depths) - min(depths) <= 0


# ---- callbacks ------------------------------------------------------------------------------


def test_callbacks_run_soon_and_in_order(kit: Kit) -> None:
    fut = kit.future()
    out: list[Any] = []
    for i in range(5):
        fut.add_done_callback(lambda f, i=i: out.append((i, f)))
    fut.set_result(None)
    assert out == []
    kit.tick()
    assert out == [(i, fut) for i in range(5)]


def test_a_callback_added_when_it_is_done_runs_soon(kit: Kit) -> None:
    fut = kit.future()
    fut.set_result(None)
    out: list[Any] = []
    fut.add_done_callback(out.append)
    assert out == []
    kit.tick()
    assert out == [fut]


@pytest.mark.parametrize("pattern", ["tctc", "cttc", "ttcc", "ccttct", "t", "c", "tttt", "tcccct"])
def test_tasks_and_callbacks_are_woken_in_the_order_they_came(kit: Kit, pattern: str) -> None:
    fut = kit.future()
    out: list[tuple[int, str]] = []

    async def wait(i: int) -> None:
        await fut
        out.append((i, "t"))

    async def main() -> None:
        tasks = []
        for i, kind in enumerate(pattern):
            if kind == "t":
                tasks.append(kit.task(wait(i)))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            else:
                fut.add_done_callback(lambda f, i=i: out.append((i, "c")))
        fut.set_result(None)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await asyncio.gather(*tasks)

    kit.run(main())
    assert out == list(enumerate(pattern))


def test_callbacks_run_in_their_contexts(kit: Kit) -> None:
    var: contextvars.ContextVar[int] = contextvars.ContextVar("var", default=0)
    fut = kit.future()
    out: list[int] = []
    contexts = [contextvars.copy_context() for _ in range(3)]
    for i, context in enumerate(contexts):
        context.run(var.set, i + 10)
        fut.add_done_callback(lambda f: out.append(var.get()), context=context)
    contextvars.copy_context().run(lambda: (var.set(99), fut.add_done_callback(lambda f: out.append(var.get()))))
    fut.set_result(None)
    kit.tick()
    assert out == [10, 11, 12, 99]


def test_a_callback_that_raises_does_not_stop_the_others(kit: Kit, reports: list[dict[str, Any]]) -> None:
    fut = kit.future()
    out: list[int] = []
    fut.add_done_callback(lambda f: out.append(1))
    fut.add_done_callback(lambda f: 1 / 0)
    fut.add_done_callback(lambda f: out.append(3))
    fut.set_result(None)
    kit.tick()
    assert out == [1, 3]
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError]


def test_remove_done_callback(kit: Kit) -> None:
    fut = kit.future()
    out: list[str] = []

    def one(f: Any) -> None:
        out.append("one")

    def two(f: Any) -> None:
        out.append("two")

    assert fut.remove_done_callback(one) == 0
    for each in (one, two, one, two, one):
        fut.add_done_callback(each)
    assert fut.remove_done_callback(one) == 3
    assert fut.remove_done_callback(one) == 0
    fut.set_result(None)
    kit.tick()
    assert out == ["two", "two"]
    assert fut.remove_done_callback(two) == 0


def test_a_callback_removed_by_another_one_that_runs_with_it(kit: Kit) -> None:
    """Both are scheduled by then: it runs."""
    fut = kit.future()
    out: list[str] = []

    def second(f: Any) -> None:
        out.append("second")

    fut.add_done_callback(lambda f: out.append(str(fut.remove_done_callback(second))))
    fut.add_done_callback(second)
    fut.set_result(None)
    kit.tick()
    assert out == ["0", "second"]


@pytest.mark.parametrize("act", ["remove", "finish", "add", "clear"])
def test_comparing_callbacks_may_run_anything(kit: Kit, act: str) -> None:
    fut = kit.future()
    others = [lambda f: None for _ in range(5)]

    class Meddling:
        def __call__(self, f: Any) -> None:
            pass

        def __eq__(self, other: object) -> bool:
            if act == "remove":
                while others:
                    fut.remove_done_callback(others.pop())
            elif act == "finish" and not fut.done():
                fut.set_result(None)
            elif act == "add" and len(others) < 50:
                others.append(lambda f: None)
                fut.add_done_callback(others[-1])
            elif act == "clear":
                fut.cancel()
            return False

        __hash__ = None  # type: ignore[assignment]

    for i, each in enumerate(others[:]):
        fut.add_done_callback(Meddling() if i == 3 else each)
    assert fut.remove_done_callback(Meddling()) == 0
    fut.cancel()
    kit.tick()


def test_an_error_while_callbacks_are_compared_comes_out(kit: Kit) -> None:
    class Broken:
        def __call__(self, f: Any) -> None:
            pass

        def __eq__(self, other: object) -> bool:
            raise ZeroDivisionError

        __hash__ = None  # type: ignore[assignment]

    fut = kit.future()
    fut.add_done_callback(Broken())
    fut.add_done_callback(lambda f: None)
    with pytest.raises(ZeroDivisionError):
        fut.remove_done_callback(Broken())


@pytest.mark.parametrize("what", [None, 1, "x"])
def test_what_cannot_be_called_is_an_error_in_the_end(kit: Kit, reports: list[dict[str, Any]], what: Any) -> None:
    """asyncio takes anything as a callback, and its debug mode and hasten's loop refuse it when it is scheduled."""
    fut = kit.future()
    fut.add_done_callback(what)
    try:
        fut.set_result(None)
    except TypeError:
        reports.append({"exception": TypeError()})
    kit.tick()
    assert [type(report["exception"]) for report in reports] == [TypeError]


# ---- awaiting -------------------------------------------------------------------------------


def test_await_gives_the_result(kit: Kit) -> None:
    fut = kit.future()
    kit.loop.call_soon(fut.set_result, (1, 2))

    async def main() -> Any:
        return await fut

    assert kit.run(main()) == (1, 2)


@pytest.mark.parametrize("value", [None, (), (1,), StopIteration, MyError("as a value"), [1], 0])
def test_any_value_passes_through_await(kit: Kit, value: Any) -> None:
    fut = kit.future()
    fut.set_result(value)

    async def main() -> Any:
        return await fut

    assert kit.run(main()) is value


def test_the_iterator(kit: Kit) -> None:
    fut = kit.future()
    it = fut.__await__()
    assert iter(it) is it
    assert next(it) is fut
    assert fut._asyncio_future_blocking is True
    with pytest.raises(RuntimeError, match="await wasn't used with future"):
        next(it)
    fut._asyncio_future_blocking = False
    fut.set_result(5)
    it = iter(fut)
    with pytest.raises(StopIteration) as stop:
        next(it)
    assert stop.value.value == 5


def test_throwing_into_the_iterator(kit: Kit) -> None:
    fut = kit.future()
    it = fut.__await__()
    assert it.send(None) is fut
    with pytest.raises(MyError):
        it.throw(MyError())
    with pytest.raises(StopIteration):
        next(it)
    it = fut.__await__()
    with pytest.raises(TypeError):
        it.throw(7)
    it.close()
    if kit.ours:  # asyncio's: SystemError, "error return without exception set"
        with pytest.raises(StopIteration):
            it.send(None)
    fut._asyncio_future_blocking = False


def test_await_inside_a_generator_based_awaitable(kit: Kit) -> None:
    fut = kit.future()

    class Awaitable:
        def __await__(self) -> Generator[Any, None, Any]:
            first = yield from fut
            return first + 1

    async def main() -> Any:
        return await Awaitable()

    kit.loop.call_soon(fut.set_result, 1)
    assert kit.run(main()) == 2


# ---- showing --------------------------------------------------------------------------------


def test_repr(kit: Kit) -> None:
    fut = kit.future()
    assert repr(fut) == "<Future pending>"
    fut.add_done_callback(test_repr)
    assert re.match(r"<Future pending cb=\[test_repr\(\) at .*test_future.py:\d+\]>", repr(fut))
    for _ in range(3):
        fut.add_done_callback(test_repr)
    assert "<2 more>" in repr(fut)
    fut.remove_done_callback(test_repr)
    fut.set_result("x" * 500)
    assert re.fullmatch(r"<Future finished result='x+\.\.\.x+'>", repr(fut))
    failed = kit.future()
    failed.set_exception(MyError("y"))
    assert repr(failed) == "<Future finished exception=MyError('y')>"
    failed.exception()
    cancelled = kit.future()
    cancelled.cancel()
    assert repr(cancelled) == "<Future cancelled>"


def test_repr_of_one_that_holds_itself(kit: Kit) -> None:
    fut = kit.future()
    fut.set_result([fut])
    assert "..." in repr(fut)


def test_debug_mode_remembers_where_it_was_made(kit: Kit) -> None:
    kit.loop.set_debug(True)
    fut = kit.loop.create_future()
    # the stock loop's create_future() is Python
    assert "test_debug_mode_remembers_where_it_was_made" in [frame.name for frame in fut._source_traceback[-2:]]
    assert re.search(r"created at .*\.py:\d+", repr(fut))
    kit.loop.set_debug(False)
    assert kit.future()._source_traceback is None


def test_an_exception_that_nobody_retrieves_is_reported(
    kit: Kit, reports: list[dict[str, Any]], collect: Callable[[], None]
) -> None:
    fut = kit.future()
    error = MyError("lost")
    fut.set_exception(error)
    fut.add_done_callback(lambda f: None)
    kit.tick()
    assert reports == []
    del fut
    collect()
    (report,) = reports
    assert report["message"] == "Future exception was never retrieved"
    assert report["exception"] is error
    reports.clear()


@pytest.mark.parametrize("look", ["exception", "result", "await", "cancel", "log_traceback"])
def test_one_that_was_looked_at_is_not_reported(
    kit: Kit, reports: list[dict[str, Any]], collect: Callable[[], None], look: str
) -> None:
    fut = kit.future()
    fut.set_exception(MyError("seen"))

    async def wait() -> None:
        await fut

    if look == "exception":
        fut.exception()
    elif look == "result":
        with pytest.raises(MyError):
            fut.result()
    elif look == "await":
        with pytest.raises(MyError):
            kit.run(wait())
    elif look == "cancel":
        assert not fut.cancel()
    else:
        assert fut._log_traceback is True
        fut._log_traceback = False
        with pytest.raises(ValueError, match="_log_traceback can only be set to False"):
            fut._log_traceback = True
    del fut
    collect()
    assert reports == []


def test_weak_references_and_attributes(kit: Kit) -> None:
    fut = kit.future()
    fut.note = "mine" if kit.ours else None
    alive = weakref.ref(fut)
    assert alive() is fut
    del fut
    gc.collect()
    assert alive() is None
