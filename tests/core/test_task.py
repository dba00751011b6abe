"""Task: stepping, contexts, cancellation, names, exceptions; hasten's and asyncio's, on either loop."""

from __future__ import annotations

import asyncio
import collections.abc
import contextvars
import re
import types
import weakref
from collections.abc import Callable, Generator
from typing import Any

import pytest

import hasten
from hasten import compat

from ..worlds import Kit


class MyError(Exception):
    pass


async def value(result: Any = None, rounds: int = 0) -> Any:
    for _ in range(rounds):
        await asyncio.sleep(0)
    return result


async def failing(error: BaseException) -> None:
    await asyncio.sleep(0)
    raise error


def test_a_task_runs_a_coroutine(kit: Kit) -> None:
    out: list[str] = []

    async def main() -> str:
        out.append("started")
        await asyncio.sleep(0)
        out.append("went on")
        return "done"

    task = kit.task(main())
    assert out == []
    assert not task.done()
    kit.tick()
    assert out == ["started"]
    assert kit.loop.run_until_complete(task) == "done"
    assert out == ["started", "went on"]
    assert task.result() == "done"
    assert task.exception() is None


def test_who_is_who(kit: Kit) -> None:
    coro = value()
    task = kit.task(coro)
    assert isinstance(task, asyncio.Task)
    assert isinstance(task, asyncio.Future)
    assert isinstance(task, kit.Task)
    assert isinstance(task, kit.Future)
    assert asyncio.isfuture(task)
    assert task.get_coro() is coro
    assert task.get_loop() is kit.loop
    assert type(kit.Task[int]).__name__ == "GenericAlias"
    kit.loop.run_until_complete(task)


@pytest.mark.parametrize("what", [None, 1, "coro", value, print, object()])
def test_what_is_no_coroutine_is_refused(kit: Kit, what: Any) -> None:
    with pytest.raises(TypeError, match="a coroutine was expected, got"):
        kit.task(what)
    with pytest.raises(TypeError, match="a coroutine was expected, got"):
        kit.loop.create_task(what)


def test_a_done_future_is_no_coroutine(kit: Kit) -> None:
    with pytest.raises(TypeError, match="a coroutine was expected, got"):
        kit.task(kit.future())


class Custom(collections.abc.Coroutine[Any, Any, Any]):
    """A coroutine that is not Python's own."""

    def __init__(self, script: list[Any]) -> None:
        self.script = list(script)
        self.thrown: list[BaseException] = []

    def send(self, value: Any) -> Any:
        step = self.script.pop(0)
        if isinstance(step, BaseException):
            raise step
        return step

    def throw(self, typ: Any, val: Any = None, tb: Any = None) -> Any:
        self.thrown.append(typ)
        return self.send(None)

    def close(self) -> None:
        pass

    def __await__(self) -> Generator[Any, Any, Any]:
        return self  # type: ignore[return-value]


def test_any_coroutine_object_is_run(kit: Kit) -> None:
    assert kit.run(Custom([None, None, StopIteration("end")])) == "end"
    coro = Custom([None, None, StopIteration("end")])
    task = kit.task(coro)
    kit.tick()
    task.cancel("x")
    assert kit.loop.run_until_complete(task) == "end"
    assert [type(exc) for exc in coro.thrown] == [asyncio.CancelledError]


def test_a_generator_based_coroutine(kit: Kit) -> None:
    @types.coroutine
    def old() -> Generator[Any, None, str]:
        yield
        yield from asyncio.sleep(0).__await__()
        return "old"

    assert kit.run(wrap(old())) == "old"


async def wrap(awaitable: Any) -> Any:
    return await awaitable


@pytest.mark.parametrize("result", [None, (), (1, 2), StopIteration, [0], MyError("value")])
def test_any_result(kit: Kit, result: Any) -> None:
    assert kit.run(value(result)) is result
    assert kit.run(value(result, 1)) is result

    async def outer() -> Any:
        return await kit.task(value(result, 1))

    assert kit.run(outer()) is result


# ---- what a coroutine may yield -----------------------------------------------------------------


@pytest.mark.parametrize("what", [1, "x", object(), (), int])
def test_a_bad_yield_is_told_to_the_coroutine(kit: Kit, what: Any) -> None:
    @types.coroutine
    def bad() -> Generator[Any, None, None]:
        yield what

    async def main() -> str:
        try:
            await bad()
        except RuntimeError as exc:
            return str(exc)
        return "?"

    assert re.match(r"Task got bad yield: ", kit.run(main()))


def test_yielding_a_generator(kit: Kit) -> None:
    @types.coroutine
    def bad() -> Generator[Any, None, None]:
        yield (i for i in [1])

    with pytest.raises(RuntimeError, match="yield was used instead of yield from for generator in task"):
        kit.run(wrap(bad()))


def test_yielding_a_future_without_yield_from(kit: Kit) -> None:
    @types.coroutine
    def bad() -> Generator[Any, None, None]:
        yield kit.future()

    with pytest.raises(RuntimeError, match="yield was used instead of yield from in task"):
        kit.run(wrap(bad()))


def test_a_task_that_awaits_itself(kit: Kit) -> None:
    async def main() -> str:
        try:
            await asyncio.current_task()
        except RuntimeError as exc:
            return str(exc)
        return "?"

    assert "Task cannot await on itself" in kit.run(main())


def test_a_bad_yield_again_and_again(kit: Kit) -> None:
    @types.coroutine
    def stubborn() -> Generator[Any, None, int]:
        for i in range(50):
            try:
                yield i
            except RuntimeError:
                pass
        return 50

    assert kit.run(wrap(stubborn())) == 50


# ---- contexts -----------------------------------------------------------------------------------

var: contextvars.ContextVar[str] = contextvars.ContextVar("var", default="outside")


async def read_and_set(new: str) -> tuple[str, str]:
    before = var.get()
    var.set(new)
    await asyncio.sleep(0)
    return before, var.get()


def test_each_task_has_a_context_of_its_own(kit: Kit) -> None:
    async def main() -> list[Any]:
        var.set("main")
        tasks = [kit.task(read_and_set(f"t{i}")) for i in range(3)]
        out = [await task for task in tasks]
        return [*out, var.get()]

    assert kit.run(main()) == [("main", "t0"), ("main", "t1"), ("main", "t2"), "main"]
    assert var.get() == "outside"


def test_a_context_that_is_given(kit: Kit) -> None:
    context = contextvars.copy_context()
    context.run(var.set, "given")
    task = kit.task(read_and_set("new"), context=context)
    if hasattr(task, "get_context"):  # stock tasks have it from 3.12 on
        assert task.get_context() is context
    assert kit.loop.run_until_complete(task) == ("given", "new")
    assert context[var] == "new"


def test_a_context_shared_by_tasks(kit: Kit) -> None:
    context = contextvars.copy_context()

    async def main() -> list[Any]:
        tasks = [kit.task(read_and_set(f"t{i}"), context=context) for i in range(3)]
        return [await task for task in tasks]

    assert kit.run(main()) == [("outside", "t2"), ("t0", "t2"), ("t1", "t2")]


def test_the_context_holds_when_an_error_is_thrown_in(kit: Kit) -> None:
    async def main() -> str:
        var.set("inner")
        try:
            await kit.future()
        except asyncio.CancelledError:
            return var.get()
        return "?"

    task = kit.task(main())
    kit.tick()
    task.cancel()
    assert kit.loop.run_until_complete(task) == "inner"


def test_a_callback_of_a_task_runs_in_the_context_of_who_added_it(kit: Kit) -> None:
    out: list[str] = []
    task = kit.task(read_and_set("inside"))
    task.add_done_callback(lambda t: out.append(var.get()))
    kit.loop.run_until_complete(task)
    kit.tick()
    assert out == ["outside"]


# ---- names, repr, stack ---------------------------------------------------------------------------


def test_names(kit: Kit) -> None:
    tasks = [kit.task(value()) for _ in range(2)]
    names = [task.get_name() for task in tasks]
    assert all(re.fullmatch(r"Task-\d+", name) for name in names)
    assert len(set(names)) == 2
    tasks[0].set_name("mine")
    assert tasks[0].get_name() == "mine"
    tasks[0].set_name(123)
    assert tasks[0].get_name() == "123"
    named = kit.task(value(), name="given")
    assert named.get_name() == "given"
    assert kit.loop.create_task(value(), name=5).get_name() == "5"
    for task in asyncio.all_tasks(kit.loop):
        kit.loop.run_until_complete(task)


def test_default_names_tell_the_order_of_creation(kit: Kit) -> None:
    tasks = [kit.task(value()) for _ in range(3)]
    numbers = [int(task.get_name().removeprefix("Task-")) for task in reversed(tasks)]
    if kit.ours:
        assert numbers == sorted(numbers, reverse=True)
    for task in tasks:
        kit.loop.run_until_complete(task)


def test_repr(kit: Kit) -> None:
    fut = kit.future()
    task = kit.task(wrap(fut), name="shown")
    line = wrap.__code__.co_firstlineno
    assert re.match(rf"<Task pending name='shown' coro=<wrap\(\) running at .*test_task.py:{line}>", repr(task)), repr(
        task
    )
    kit.tick()
    assert re.search(rf"running at .*:{line + 1}> wait_for=<Future pending cb=\[", repr(task))
    fut.set_result(5)
    kit.loop.run_until_complete(task)
    assert re.match(r"<Task finished name='shown' coro=<wrap\(\) done, defined at .*> result=5>", repr(task))


def test_repr_of_one_that_is_being_cancelled(kit: Kit) -> None:
    task = kit.task(wrap(kit.future()))
    kit.tick()
    task.cancel()
    assert repr(task).startswith("<Task cancelling ")
    with pytest.raises(asyncio.CancelledError):
        kit.loop.run_until_complete(task)
    assert repr(task).startswith("<Task cancelled ")


def test_get_stack(kit: Kit) -> None:
    fut = kit.future()
    task = kit.task(wrap(fut))
    kit.tick()
    (frame,) = task.get_stack()
    assert frame.f_code is wrap.__code__
    assert task.get_stack(limit=0) == []
    fut.set_exception(MyError())
    with pytest.raises(MyError):
        kit.loop.run_until_complete(task)
    assert task.get_stack()[-1].f_code is wrap.__code__
    assert len(task.get_stack(limit=1)) == 1


@pytest.mark.skipif(not compat.compiled(), reason="plain Python is seen in tracebacks")
def test_tracebacks_show_the_program_and_not_the_machinery(kit: Kit) -> None:
    def shown(exc: BaseException) -> list[str]:
        tb, names = exc.__traceback__, []
        while tb is not None:
            names.append(tb.tb_frame.f_code.co_name)
            tb = tb.tb_next
        return names

    async def inner(fut: Any) -> None:
        await fut

    async def main(fut: Any) -> list[str]:
        try:
            await inner(fut)
        except BaseException as exc:
            return shown(exc)
        return []

    for act in (lambda fut: fut.set_exception(MyError()), lambda fut: fut.cancel()):
        fut = kit.future()
        kit.loop.call_soon(lambda act=act, fut=fut: kit.loop.call_soon(act, fut))
        assert kit.run(main(fut)) == ["main", "inner"]

    async def sleeper() -> list[str]:
        try:
            await hasten.sleep(100)
        except BaseException as exc:
            return shown(exc)
        return []

    task = kit.task(sleeper())
    kit.tick()
    kit.tick()
    task.cancel()
    names = kit.loop.run_until_complete(task)
    # elsewhere sleep() is a coroutine of Python, or its future is asked by asyncio
    assert names == ["sleeper"] if kit.kind == "hasten" else names[0] == "sleeper"


def test_print_stack(kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    task = kit.task(wrap(kit.future()), name="printed")
    kit.tick()
    task.print_stack()
    shown = capsys.readouterr().err
    if kit.ours:  # asyncio prints its first line to stdout
        assert shown.startswith("Stack for <Task pending name='printed'")
    assert "return await awaitable" in shown
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        kit.loop.run_until_complete(task)


# ---- exceptions -----------------------------------------------------------------------------------


def test_an_exception(kit: Kit) -> None:
    error = MyError("x")
    task = kit.task(failing(error))
    with pytest.raises(MyError) as caught:
        kit.loop.run_until_complete(task)
    assert caught.value is error
    assert task.exception() is error


def test_results_cannot_be_set(kit: Kit) -> None:
    task = kit.task(value())
    with pytest.raises(RuntimeError, match="Task does not support set_result operation"):
        task.set_result(1)
    with pytest.raises(RuntimeError, match="Task does not support set_exception operation"):
        task.set_exception(MyError())
    kit.loop.run_until_complete(task)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exit_ends_the_loop_and_the_task(kit: Kit, kind: type[BaseException]) -> None:
    task = kit.task(failing(kind("bye")))
    others: list[str] = []
    with pytest.raises(kind, match="bye"):
        kit.loop.run_forever()
    assert task.done()
    assert isinstance(task.exception(), kind)
    kit.loop.call_soon(others.append, "alive")
    kit.tick()
    assert others == ["alive"]


def test_a_base_exception_of_another_kind_is_the_tasks_own(kit: Kit) -> None:
    class Mine(BaseException):
        pass

    task = kit.task(failing(Mine()))
    with pytest.raises(Mine):
        kit.loop.run_until_complete(task)


def test_an_exception_that_nobody_retrieves_is_reported_with_name_and_place(
    kit: Kit, reports: list[dict[str, Any]], collect: Callable[[], None]
) -> None:
    task = kit.task(failing(MyError("lost")), name="forgotten")
    for _ in range(4):
        kit.tick()
    del task
    collect()
    (report,) = reports
    assert report["message"] == "Task exception was never retrieved"
    assert str(report["exception"]) == "lost"
    assert report["future"].get_name() == "forgotten"
    if kit.ours:
        place = r'File ".*worlds.py", line \d+, in .*task'
        assert re.match(place, report["created_at"]), report
    reports.clear()


def test_the_default_report_names_the_task(loop, caplog: Any, collect: Callable[[], None]) -> None:
    async def main() -> None:
        hasten.create_task(failing(MyError("lost")), name="forgotten")
        for _ in range(4):
            await asyncio.sleep(0)

    loop.run_until_complete(main())
    collect()
    assert "Task exception was never retrieved" in caplog.text
    assert "forgotten" in caplog.text
    assert re.search(r'created_at: File ".*test_task.py", line \d+, in .*main', caplog.text)


def test_tasks_are_held_until_they_are_done(kit: Kit, collect: Callable[[], None]) -> None:
    """Nobody but the loop knows the task, and nobody but the task's coroutine the future that it waits for."""
    out: list[str] = []

    async def lonely() -> None:
        inner = kit.loop.create_future()
        loose.append(weakref.ref(inner))
        try:
            await inner
        finally:
            out.append("ended")

    if not kit.ours:
        return
    loose: list[Any] = []
    alive = weakref.ref(kit.task(lonely()))
    kit.tick()
    collect()
    assert alive() is not None
    assert out == []
    loose[0]().set_result(None)
    kit.tick()
    assert out == ["ended"]
    collect()
    assert alive() is None
