"""capture_call_graph, format_call_graph, print_call_graph, and the edges between futures and who waits for them."""

from __future__ import annotations

import asyncio
import gc
import io
import re
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
