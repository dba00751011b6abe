"""capture_call_graph, format_call_graph, print_call_graph, and the edges between futures and who waits for them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import io
import re
import sys
import types
import weakref

import pytest

import hasten


def spawn(coro, name=None):
    return asyncio.get_running_loop().create_task(coro, name=name)


def stack(graph):
    return [entry.frame.f_code.co_name for entry in graph.call_stack]


def shape(graph):
    """(task's name or "future", functions innermost first, who waits for it)."""
    get_name = getattr(graph.future, "get_name", None)
    return ("future" if get_name is None else get_name(), stack(graph), sorted(shape(g) for g in graph.awaited_by))


async def on_future(fut):
    return await fut


@pytest.mark.stdlib_since(3, 14)
def test_task_that_waits_and_who_waits_for_it(world, settle):
    async def main():
        fut = asyncio.get_running_loop().create_future()

        async def inner():
            await on_future(fut)

        async def outer(task):
            await task

        task = spawn(inner(), "inner")
        waiters = [spawn(outer(task), f"outer {i}") for i in range(2)]
        await settle()
        waiting = [(f"outer {i}", ["outer"], []) for i in range(2)]
        assert shape(world.ns.capture_call_graph(task)) == ("inner", ["on_future", "inner"], waiting)
        assert shape(world.ns.capture_call_graph(fut)) == ("future", [], [("inner", ["on_future", "inner"], waiting)])
        fut.set_result(None)
        await asyncio.gather(task, *waiters)
        assert shape(world.ns.capture_call_graph(task)) == ("inner", [], [])
        assert shape(world.ns.capture_call_graph(fut)) == ("future", [], [])

    world.run(main())


@pytest.mark.stdlib_since(3, 14)
def test_the_current_task(world):
    async def main():
        def function(graphs):
            graphs.append(world.ns.capture_call_graph())
            graphs.append(world.ns.capture_call_graph(depth=2))
            graphs.append(world.ns.capture_call_graph(asyncio.current_task()))

        async def numbers(graphs):
            function(graphs)
            yield 1

        async def body(graphs):
            async for _ in numbers(graphs):
                pass
            return graphs

        full, shorter, given = await spawn(body([]), "body")
        assert stack(full) == stack(given) == ["function", "numbers", "body"]
        assert stack(shorter) == ["numbers", "body"]
        assert full.future.get_name() == "body"

    world.run(main())


@pytest.mark.stdlib_since(3, 14)
@pytest.mark.parametrize(
    ("limit", "suspended", "running"),
    [
        (None, ["c", "b", "a"], ["c", "b", "a"]),
        (2, ["b", "a"], ["b", "a"]),
        (-1, ["c"], ["c"]),
        (0, [], []),
        (9, ["c", "b", "a"], ["c", "b", "a"]),
    ],
)
def test_limit(world, settle, limit, suspended, running):
    async def main():
        fut, captured = asyncio.get_running_loop().create_future(), []

        async def c():
            captured.append(stack(world.ns.capture_call_graph(limit=limit)))
            await asyncio.shield(fut)

        async def b():
            await c()

        async def a():
            await b()

        task = spawn(a())
        await settle()
        assert stack(world.ns.capture_call_graph(task, limit=limit)) == suspended
        assert captured == [running]
        fut.set_result(None)
        await task

    world.run(main())


@pytest.mark.stdlib_since(3, 14)
def test_task_group_gather_and_wait_show(world, settle):
    async def main():
        fut = asyncio.get_running_loop().create_future()
        ns = world.ns

        async def in_group():
            async with ns.TaskGroup() as group:
                group.create_task(on_future(fut), name="child of group")

        async def in_gather(task):
            await ns.gather(task)

        async def in_wait(task):
            await ns.wait([task])

        task = spawn(on_future(fut), "child")
        spawned = [spawn(in_gather(task), "gather"), spawn(in_wait(task), "wait"), spawn(in_group(), "group")]
        await settle()
        names = sorted(g.future.get_name() for g in ns.capture_call_graph(task).awaited_by)
        assert names == ["gather", "wait"]
        child = next(t for t in ns.all_tasks() if t.get_name() == "child of group")
        (parent,) = ns.capture_call_graph(child).awaited_by
        assert parent.future.get_name() == "group"
        assert stack(parent)[-1] == "in_group"
        fut.set_result(None)
        await asyncio.gather(*spawned)
        assert ns.capture_call_graph(task).awaited_by == ()
        assert ns.capture_call_graph(child).awaited_by == ()

    world.run(main())


@pytest.mark.stdlib_since(3, 14)
def test_format(world, settle):
    async def main():
        fut = asyncio.get_running_loop().create_future()

        async def waiter(task):
            await task

        task = spawn(on_future(fut), "worker")
        other = spawn(waiter(task), "other")
        await settle()
        text = world.ns.format_call_graph(task)
        frame = r"File '.*test_graph\.py', line \d+, in async "
        expected = [
            rf"\* Task\(name='worker', id={id(task):#x}\)",
            r"  \+ Call stack:",
            rf"  \|   {frame}on_future\(\)",
            r"  \+ Awaited by:",
            rf"    \* Task\(name='other', id={id(other):#x}\)",
            r"      \+ Call stack:",
            rf"      \|   {frame}test_format\.<locals>\.main\.<locals>\.waiter\(\)",
        ]
        lines = text.splitlines()
        assert len(lines) == len(expected), text
        for line, pattern in zip(lines, expected, strict=True):
            assert re.fullmatch(pattern, line), (line, pattern)
        assert world.ns.format_call_graph(fut).splitlines()[0] == f"* Future(id={id(fut):#x})"
        out = io.StringIO()
        world.ns.print_call_graph(task, file=out)
        assert out.getvalue() == text + "\n"
        fut.set_result(None)
        await other

    world.run(main())


@pytest.mark.stdlib_since(3, 14)
def test_format_of_the_current_task(world):
    async def main():
        def generator():
            yield world.ns.format_call_graph()

        async def asynchronous():
            for text in generator():
                yield text

        texts = []
        async for text in asynchronous():
            texts.append(text)
        (text,) = texts
        tags = [line.rsplit(" in ", 1)[1].rsplit(".", 1)[-1] for line in text.splitlines() if "File" in line]
        assert tags[:3] == ["generator()", "asynchronous()", "main()"]
        assert " in generator " in text
        assert " in async generator " in text
        assert " in async " in text

    world.run(main())


@pytest.mark.stdlib_since(3, 14)
def test_nothing_to_show(world):
    with pytest.raises(RuntimeError, match="outside of a running event loop"):
        world.ns.capture_call_graph()

    async def main():
        loop = asyncio.get_running_loop()
        got = loop.create_future()
        loop.call_soon(lambda: got.set_result((world.ns.capture_call_graph(), world.ns.format_call_graph())))
        assert await got == (None, "")
        with pytest.raises(TypeError, match=r"does not appear to be compatible with asyncio\.Future"):
            world.ns.capture_call_graph(5)

    world.run(main())


@pytest.mark.stdlib_since(3, 14)
def test_edges_are_added_and_taken_back(world):
    async def main():
        loop = asyncio.get_running_loop()
        fut, me = loop.create_future(), asyncio.current_task()
        world.ns.future_discard_from_awaited_by(fut, me)
        for _ in range(2):
            world.ns.future_add_to_awaited_by(fut, me)
        assert [g.future for g in world.ns.capture_call_graph(fut).awaited_by] == [me]
        world.ns.future_discard_from_awaited_by(fut, me)
        assert world.ns.capture_call_graph(fut).awaited_by == ()
        for strange in (None, 5):
            world.ns.future_add_to_awaited_by(strange, me)
            world.ns.future_add_to_awaited_by(fut, strange)
            world.ns.future_discard_from_awaited_by(strange, me)
            world.ns.future_discard_from_awaited_by(fut, strange)
        assert world.ns.capture_call_graph(fut).awaited_by == ()

    world.run(main())


def test_edges_between_futures_of_both_makes(settle):
    async def main():
        loop = asyncio.get_running_loop()
        ours, stock = hasten.Future(loop=loop), asyncio.Future(loop=loop)
        tasks = {
            "ours awaits stock": hasten.Task(on_future(stock), loop=loop, name="ours awaits stock"),
            "stock awaits ours": asyncio.Task(on_future(ours), loop=loop, name="stock awaits ours"),
        }
        await settle()
        for fut, name in ((stock, "ours awaits stock"), (ours, "stock awaits ours")):
            assert [g.future for g in hasten.capture_call_graph(fut).awaited_by] == [tasks[name]]
            fut.set_result(None)
        await asyncio.gather(*tasks.values())
        for fut, waiter in ((ours, asyncio.Future(loop=loop)), (asyncio.Future(loop=loop), ours)):
            hasten.future_add_to_awaited_by(fut, waiter)
            assert [g.future for g in hasten.capture_call_graph(fut).awaited_by] == [waiter]
            hasten.future_discard_from_awaited_by(fut, waiter)
            assert hasten.capture_call_graph(fut).awaited_by == ()

    for factory in (hasten.new_event_loop, asyncio.SelectorEventLoop):
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(main())


def test_edge_that_is_never_taken_back_holds_nobody():
    loop = asyncio.SelectorEventLoop()
    try:
        fut, waiter = asyncio.Future(loop=loop), asyncio.Future(loop=loop)
        hasten.future_add_to_awaited_by(fut, waiter)
        hasten.future_add_to_awaited_by(waiter, fut)
        gone = [weakref.ref(fut), weakref.ref(waiter)]
        del fut, waiter
        gc.collect()
        assert [ref() for ref in gone] == [None, None]
    finally:
        loop.close()


def test_a_callback_that_is_some_method_of_a_task_is_no_edge(world):
    async def main():
        fut = asyncio.get_running_loop().create_future()
        other = spawn(asyncio.sleep(0))
        fut.add_done_callback(other.remove_done_callback)
        assert hasten.capture_call_graph(fut).awaited_by == ()
        fut.set_result(None)
        await other

    world.run(main())


class TestOnThroughGenerators:
    """Where a suspended stack goes on, whatever wraps what is awaited; innermost first."""

    @pytest.fixture
    def stack_of(self, loop):
        def stack_of(coro, expected):
            task = loop.create_task(coro)
            loop.call_soon(loop.stop)
            loop.run_forever()
            found = stack(hasten.capture_call_graph(task))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                loop.run_until_complete(task)
            assert found == expected

        return stack_of

    async def innermost(self):
        await asyncio.get_running_loop().create_future()

    async def numbers(self):
        await self.innermost()
        yield 1

    @types.coroutine
    def between(self):
        yield from self.innermost()

    def test_types_coroutine(self, stack_of):
        @types.coroutine
        def twice():
            return (yield from self.between())

        async def outer():
            await twice()

        stack_of(outer(), ["innermost", "between", "twice", "outer"])

    def test_async_for(self, stack_of):
        async def outer():
            async for _ in self.numbers():
                pass

        stack_of(outer(), ["innermost", "numbers", "outer"])

    @pytest.mark.parametrize("how", ["asend", "__anext__", "anext", "anext with a default", "comprehension"])
    def test_a_turn_of_a_generator(self, how, stack_of):
        async def outer():
            agen = self.numbers()
            if how == "asend":
                await agen.asend(None)
            elif how == "__anext__":
                await agen.__anext__()
            elif how == "anext":
                await anext(agen)
            elif how == "anext with a default":
                await anext(agen, None)
            else:
                return [each async for each in agen]

        frames = ["innermost", "numbers", "outer"]
        if how == "comprehension" and sys.version_info < (3, 12):
            frames.insert(2, "<listcomp>")
        stack_of(outer(), frames)

    @pytest.mark.parametrize("how", ["aclose", "athrow"])
    def test_the_end_of_a_generator(self, how, stack_of):
        async def held():
            try:
                yield 1
            finally:
                await self.between()

        async def outer():
            agen = held()
            await anext(agen)
            with contextlib.suppress(ValueError):
                await (agen.aclose() if how == "aclose" else agen.athrow(ValueError()))

        stack_of(outer(), ["innermost", "between", "held", "outer"])

    def test_objects_with_an_await_of_their_own(self, stack_of):
        case = self

        class Delegates:
            def __await__(self):
                return case.innermost().__await__()

        class Generates:
            def __await__(self):
                yield from Delegates().__await__()

        class Context:
            async def __aenter__(self):
                await Generates()

            async def __aexit__(self, *exc):
                pass

        async def outer():
            async with Context():
                pass

        stack_of(outer(), ["innermost", "__await__", "__aenter__", "outer"])

    def test_all_of_them_nested(self, stack_of):
        async def middle():
            async for each in self.numbers():
                yield each

        @types.coroutine
        def driver():
            yield from anext(middle()).__await__()

        class Iterator:
            def __aiter__(self):
                return self

            async def __anext__(self):
                return await driver()

        async def outer():
            async for _ in Iterator():
                pass

        stack_of(outer(), ["innermost", "numbers", "middle", "driver", "__anext__", "outer"])

    def test_in_wait_for(self, stack_of):
        async def outer():
            await hasten.wait_for(self.between_in_a_coroutine(), 1000)

        stack_of(outer(), ["innermost", "between", "between_in_a_coroutine", "outer"])

    async def between_in_a_coroutine(self):
        await self.between()

    def test_classes_that_lead_in_circles(self, loop):
        class Circle:
            cr_frame = "no frame"

            @property
            def cr_await(self):
                return self

            def __await__(self):
                return self

            def __iter__(self):
                return self

            def __next__(self):
                graphs.append(hasten.capture_call_graph(task))
                return None

        async def outer():
            await Circle()

        graphs = []
        task = loop.create_task(outer())
        for _ in range(2):
            loop.call_soon(loop.stop)
            loop.run_forever()
        assert stack(hasten.capture_call_graph(task)) == ["outer"]
        assert graphs
        task.cancel()
        with pytest.raises((asyncio.CancelledError, AttributeError, TypeError)):
            loop.run_until_complete(task)


def test_a_running_stack_ends_with_the_task_that_runs(loop):
    """Also where plain functions drive coroutines and generators by hand."""
    seen = []

    def numbers():
        seen.append(stack(hasten.capture_call_graph()))
        yield 1

    def collect():
        return list(numbers())

    async def inner():
        return collect()

    def drive():
        try:
            inner().send(None)
        except StopIteration:
            pass

    @types.coroutine
    def between():
        drive()
        return
        yield

    async def outer():
        await between()

    loop.run_until_complete(outer())
    assert seen == [["numbers", "collect", "inner", "drive", "between", "outer"]]
