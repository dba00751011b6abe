"""`install()` and `uninstall()`: what becomes hasten's in the asyncio package, what stays, and that all comes back."""

from __future__ import annotations

import asyncio
import asyncio.events
import contextvars
import inspect
import sys
import threading
import unittest
import warnings
import weakref
from asyncio import Runner as StockRunner
from asyncio import new_event_loop as stock_new_event_loop
from asyncio import run as stock_run
from asyncio import sleep as stock_sleep
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import hasten
from hasten.aio import install as installing
from hasten.aio.install import KEPT, install, uninstall
from hasten.kernel import births

StockTask = asyncio.Task


@pytest.fixture(autouse=True)
def _reset() -> Iterator[None]:
    with warnings.catch_warnings():
        # policies are deprecated from 3.14 on, and part of what is tested
        warnings.simplefilter("ignore", DeprecationWarning)
        yield
        uninstall()
        events: Any = asyncio.events
        getattr(events, "_set_event_loop_policy", events.set_event_loop_policy)(None)


def modules() -> dict[str, dict[str, Any]]:
    """All names of all modules of the asyncio package, as they are now."""
    return {
        name: dict(vars(module))
        for name, module in list(sys.modules.items())
        if name == "asyncio" or name.startswith("asyncio.")
    }


def is_hastens(loop: asyncio.AbstractEventLoop) -> bool:
    return type(loop).__module__.partition(".")[0] == "hasten"


async def running() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


class TestNames:
    def test_each_name_that_hasten_has_of_its_own(self) -> None:
        before = {name: getattr(asyncio, name) for name in asyncio.__all__}
        install()
        for name, stock in before.items():
            ours = getattr(hasten, name, stock)
            if getattr(ours, "__module__", "").partition(".")[0] != "hasten":
                assert ours is stock, name
            assert getattr(asyncio, name) is (stock if name in KEPT else ours), name
        for name in ("run", "Runner", "sleep", "gather", "wait", "create_task"):
            assert getattr(asyncio, name) is getattr(hasten, name) is not before[name]

    def test_the_same_object_in_every_module(self) -> None:
        stock = {name: getattr(asyncio, name) for name in asyncio.__all__}
        install()
        for module, names in modules().items():
            for name, value in names.items():
                if name in stock and value is stock[name]:
                    assert getattr(asyncio, name) is stock[name], f"{module}.{name} was left behind"
        assert asyncio.tasks.sleep is asyncio.streams.sleep is hasten.sleep  # type: ignore[attr-defined]
        assert asyncio.runners.run is hasten.run

    def test_exceptions_and_abstract_classes_are_untouched(self) -> None:
        kinds = {
            name: value
            for name, value in vars(asyncio).items()
            if inspect.isclass(value) and (issubclass(value, BaseException) or name.startswith(("Abstract", "Base")))
        }
        assert len(kinds) > 10
        install()
        for name, value in kinds.items():
            assert getattr(asyncio, name) is value

    def test_kept_names_exist_and_have_reasons(self) -> None:
        elsewhere = {"ProactorEventLoop", "EventLoop", "get_event_loop_policy", "set_event_loop_policy"}
        for name, reason in KEPT.items():
            assert reason
            assert name in elsewhere or name in asyncio.__all__

    def test_uninstall_gives_everything_back(self) -> None:
        before = modules()
        install()
        assert modules() != before
        uninstall()
        assert modules() == before

    def test_twice_and_never(self) -> None:
        before = modules()
        uninstall()
        assert modules() == before
        install()
        installed = modules()
        install()
        assert modules() == installed
        uninstall()
        uninstall()
        assert modules() == before

    def test_what_others_replaced_is_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def theirs() -> None: ...

        def early() -> None: ...

        monkeypatch.setattr(asyncio, "gather", early)
        monkeypatch.setattr(asyncio, "sleep", stock_sleep)  # the first value noted is what it gets back in the end
        install()
        assert asyncio.gather is hasten.gather
        assert asyncio.tasks.gather is not hasten.gather  # it was not what asyncio.gather was
        monkeypatch.setattr(asyncio, "sleep", theirs)
        uninstall()
        assert asyncio.sleep is theirs
        assert asyncio.gather is early
        assert asyncio.tasks.sleep is stock_sleep


class TestLoops:
    def test_every_way_to_a_default_loop(self) -> None:
        install()
        assert is_hastens(asyncio.run(running()))
        assert is_hastens(stock_run(running()))  # imported before
        with asyncio.Runner() as runner:
            assert is_hastens(runner.run(running()))
        with StockRunner() as runner:
            assert is_hastens(runner.run(running()))
        for factory in (
            asyncio.new_event_loop,
            stock_new_event_loop,
            asyncio.get_event_loop_policy().new_event_loop,
        ):
            loop = factory()
            assert is_hastens(loop)
            loop.close()

    def test_unittest(self) -> None:
        seen = []

        class Case(unittest.IsolatedAsyncioTestCase):
            async def test(self) -> None:
                seen.append(await running())

        install()
        result = unittest.TestResult()
        Case("test").run(result)
        assert result.wasSuccessful(), result.errors
        assert is_hastens(seen[0])

    def test_stock_loops_again_after_uninstall(self) -> None:
        install()
        uninstall()
        assert not is_hastens(asyncio.run(running()))
        loop = asyncio.new_event_loop()
        assert type(loop) is asyncio.SelectorEventLoop
        loop.close()

    def test_a_loop_of_another_kind_on_request(self) -> None:
        install()
        loop = asyncio.SelectorEventLoop()
        assert not is_hastens(loop)
        loop.close()
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            assert type(runner.run(running())) is asyncio.SelectorEventLoop

    @pytest.mark.parametrize("run", [stock_run, lambda main: asyncio.run(main)], ids=["early", "late"])
    def test_a_policy_set_afterwards_is_obeyed(self, run: Callable[[Any], Any]) -> None:
        class Policy(asyncio.DefaultEventLoopPolicy):  # type: ignore[misc]
            def new_event_loop(self) -> asyncio.AbstractEventLoop:
                return asyncio.SelectorEventLoop()

        install()
        asyncio.set_event_loop_policy(Policy())
        assert type(run(running())) is asyncio.SelectorEventLoop
        loop = asyncio.new_event_loop()
        assert type(loop) is asyncio.SelectorEventLoop
        loop.close()

    def test_a_policy_that_inherits_the_default_gives_hastens(self) -> None:
        class Policy(asyncio.DefaultEventLoopPolicy):  # type: ignore[misc]
            pass

        asyncio.set_event_loop_policy(policy := Policy())
        install()
        assert asyncio.get_event_loop_policy() is policy
        assert is_hastens(asyncio.run(running()))
        assert is_hastens(stock_run(running()))

    def test_an_earlier_policy_gives_way_and_comes_back(self) -> None:
        class Policy(type(asyncio.DefaultEventLoopPolicy()).__mro__[1]):  # type: ignore[misc]
            _loop_factory = asyncio.SelectorEventLoop

        asyncio.set_event_loop_policy(policy := Policy())
        install()
        assert is_hastens(stock_run(running()))
        uninstall()
        assert asyncio.get_event_loop_policy() is policy
        assert type(stock_run(running())) is asyncio.SelectorEventLoop

    def test_a_policy_set_in_between_stays(self) -> None:
        class Policy(asyncio.DefaultEventLoopPolicy):  # type: ignore[misc]
            _loop_factory = asyncio.SelectorEventLoop

        asyncio.set_event_loop_policy(Policy())
        install()
        asyncio.set_event_loop_policy(policy := Policy())
        uninstall()
        assert asyncio.get_event_loop_policy() is policy


async def use_everything() -> list[object]:
    """A little of each function, by the names that asyncio has now."""
    results: list[object] = []

    async def work(result: object) -> object:
        await asyncio.sleep(0)
        return result

    task = asyncio.create_task(work(1), name="work")
    assert isinstance(task, asyncio.Task)
    assert isinstance(task, asyncio.Future)
    assert asyncio.isfuture(task)
    assert task in asyncio.all_tasks()
    current = asyncio.current_task()
    assert current is not None
    assert isinstance(current, asyncio.Task)
    results.append(await task)
    results += await asyncio.gather(work(2), asyncio.ensure_future(work(3)), asyncio.shield(work(4)))
    done, pending = await asyncio.wait([asyncio.create_task(work(5))])
    results += [each.result() for each in done]
    assert not pending
    results.append(await asyncio.wait_for(work(6), 30))
    results += [await each for each in asyncio.as_completed([work(7)])]
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        grouped = group.create_task(work(8))
    results.append(grouped.result())
    results.append(await asyncio.to_thread(int, "9"))
    queue: asyncio.Queue[int] = asyncio.Queue()
    async with asyncio.Lock(), asyncio.Semaphore(1):
        await queue.put(10)
    results.append(await queue.get())
    loop = asyncio.get_running_loop()
    future: asyncio.Future[int] = loop.create_future()
    assert isinstance(future, asyncio.Future)
    loop.call_later(0, future.set_result, 11)
    results.append(await future)
    try:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
    except TimeoutError:
        results.append(12)
    return results


class TestTogether:
    """The functions of the one on the loops and tasks of the other."""

    def test_two_threads_wait_for_each_other(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = modules()
        others: list[threading.Thread] = []

        def another_comes(find: Callable[[], Any] = installing.default_policy_class) -> Any:
            if not others:
                others.append(threading.Thread(target=uninstall))
                others[0].start()
                others[0].join(0.1)
            return find()

        install()
        uninstall()
        monkeypatch.setattr(installing, "default_policy_class", another_comes)
        install()
        others[0].join()
        assert modules() == before

    def test_what_came_to_no_end_is_taken_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        before = modules()

        def fails() -> Any:
            raise MemoryError

        with monkeypatch.context() as patch:
            patch.setattr(installing, "default_policy_class", fails)
            with pytest.raises(MemoryError):
                install()
        assert modules() != before
        uninstall()
        assert modules() == before

    def test_all_of_hasten(self) -> None:
        install()
        assert asyncio.run(use_everything()) == list(range(1, 13))

    def test_hastens_functions_on_a_stock_loop(self) -> None:
        install()
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            assert runner.run(use_everything()) == list(range(1, 13))

    def test_stock_functions_on_hastens_loop(self) -> None:
        with asyncio.Runner(loop_factory=hasten.new_event_loop) as runner:
            assert runner.run(use_everything()) == list(range(1, 13))

    def test_stock_tasks_on_hastens_loop(self) -> None:
        class Stock(asyncio.Task):  # type: ignore[type-arg]
            """A subclass: the class itself makes hasten's there."""

        async def main() -> list[object]:
            asyncio.get_running_loop().set_task_factory(lambda loop, coro, **options: Stock(coro, loop=loop, **options))
            task = asyncio.create_task(use_everything())
            assert type(task) is Stock
            assert isinstance(task, asyncio.Task)
            return await task

        install()
        assert asyncio.run(main()) == list(range(1, 13))

    def test_streams(self) -> None:
        async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            assert isinstance(reader, asyncio.StreamReader)
            writer.write(await reader.readline())
            writer.close()
            await writer.wait_closed()

        async def main() -> bytes:
            server = await asyncio.start_server(echo, "127.0.0.1", 0)
            async with server:
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                assert isinstance(reader, asyncio.StreamReader)
                assert isinstance(writer, asyncio.StreamWriter)
                writer.write(b"hello\n")
                answer = await reader.read()
                writer.close()
                await writer.wait_closed()
                return answer

        install()
        assert asyncio.run(main()) == b"hello\n"
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            assert runner.run(main()) == b"hello\n"


@pytest.mark.skipif(not births.available(), reason="not compiled: asyncio.Task stays what it makes")
class TestTasksMadeByTheirClass:
    """`asyncio.Task(...)`, as libraries write it that start tasks eagerly."""

    @staticmethod
    async def work(value: int = 1) -> int:
        await asyncio.sleep(0)
        return value

    def test_they_are_hastens(self) -> None:
        install()

        async def main() -> list[Any]:
            loop = asyncio.get_running_loop()
            context = contextvars.copy_context()
            tasks = [
                StockTask(self.work(1)),
                asyncio.Task(self.work(2), loop=loop, name="named"),
                asyncio.Task(self.work(3), context=context),
                asyncio.Task(coro=self.work(4)),  # type: ignore[call-arg]
            ]
            assert tasks[1].get_name() == "named"
            for task in tasks:
                assert type(task) is hasten.Task
                assert isinstance(task, asyncio.Task)
                assert "test_install.py" in str(task.created_at())
            return [await task for task in tasks]

        assert asyncio.run(main()) == [1, 2, 3, 4]

    def test_they_start_eagerly(self) -> None:
        install()

        async def at_once() -> int:
            return 5

        async def main() -> None:
            options: Any = {"loop": asyncio.get_running_loop(), "eager_start": True}
            task = asyncio.Task(at_once(), **options)
            assert type(task) is hasten.Task
            assert task.done()
            assert await task == 5

        asyncio.run(main())

    def test_the_class_is_the_same_one(self) -> None:
        before = dict(vars(asyncio.Task))
        install()
        assert asyncio.Task is StockTask is asyncio.tasks.Task
        assert dict(vars(asyncio.Task)) == before

    def test_subclasses_are_made_as_ever(self) -> None:
        class Earlier(asyncio.Task):  # type: ignore[type-arg]
            pass

        install()

        class Later(asyncio.Task):  # type: ignore[type-arg]
            def __new__(cls, *args: Any, **kwargs: Any) -> Any:
                return super().__new__(cls, *args, **kwargs)

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)

        class Plain(asyncio.Task):  # type: ignore[type-arg]
            pass

        async def main() -> None:
            for kind in (Earlier, Later, Plain):
                task = kind(self.work(3))
                assert type(task) is kind
                assert await task == 3

        asyncio.run(main())
        uninstall()
        asyncio.run(main())
        hasten.run(main())

    def test_on_other_loops_they_are_asyncio_s(self) -> None:
        install()
        loop = asyncio.SelectorEventLoop()
        try:
            task = asyncio.Task(self.work(), loop=loop)
            assert type(task) is StockTask
            assert loop.run_until_complete(task) == 1
        finally:
            loop.close()

    def test_subclasses_with_a_new_of_their_own(self) -> None:
        def derive() -> tuple[Any, Any]:
            class Mine(asyncio.Task[int]):
                pass

            class Below(Mine):
                def __new__(cls, *args: Any, **kwargs: Any) -> Any:
                    return super().__new__(cls, *args, **kwargs)

            return Mine, Below

        async def main(*kinds: Any) -> None:
            for kind in kinds:
                task = kind(self.work())
                assert type(task) is kind
                assert type(kind.__new__(kind)) is kind
                assert await task == 1

        before = derive()
        install()
        asyncio.run(main(*before))
        between = derive()
        asyncio.run(main(*between))
        uninstall()
        asyncio.run(main(*before, *between))

    def test_errors_are_as_ever(self) -> None:
        def errors() -> list[str]:
            found = []
            for args, kwargs in (((), {}), ((1,), {}), ((1, 2), {}), ((1,), {"loop": 3})):
                try:
                    asyncio.Task(*args, **kwargs)  # type: ignore[arg-type, call-overload]
                except (TypeError, RuntimeError, AttributeError) as error:
                    found.append(f"{type(error).__name__}: {error}")
            return found

        before = errors()
        install()
        assert errors() == before

        async def main() -> None:
            with pytest.raises(TypeError):
                asyncio.Task(1)  # type: ignore[arg-type]
            with pytest.raises(TypeError):
                asyncio.Task()  # type: ignore[call-arg]
            assert type(asyncio.Task.__new__(asyncio.Task)) is StockTask

        asyncio.run(main())

    def test_uninstall_gives_it_back(self) -> None:
        install()
        uninstall()

        async def main() -> None:
            task = asyncio.Task(self.work())
            assert type(task) is StockTask
            await task

        asyncio.run(main())
        hasten.run(main())
        install()
        uninstall()

    def test_nothing_is_kept(self) -> None:
        install()

        class Value:
            pass

        async def give() -> Value:
            return Value()

        async def main() -> weakref.ref[Value]:
            return weakref.ref(await asyncio.Task(give()))

        assert asyncio.run(main())() is None
