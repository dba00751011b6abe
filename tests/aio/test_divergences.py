"""What docs/divergences.md says, where no test of its topic does; and that each of its rows names its tests."""

from __future__ import annotations

import asyncio
import re
import socket
import sys
from pathlib import Path

import pytest

import hasten

ROOT = Path(__file__).parents[2]

# ---- the table -------------------------------------------------------------------------------------------------------


def rows():
    """[(what the row says, its last cell)]"""
    found = []
    for line in (ROOT / "docs" / "divergences.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if line.startswith("|") and not set(cells[0]) <= {"-", " "} and cells[-1] != "tested by":
            found.append((cells[0], cells[-1]))
    return found


ROWS = rows()
FILES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in ROOT.glob("tests/**/*.py")}
EXCLUSIONS = (ROOT / "tests" / "cpython" / "exclusions.toml").read_text(encoding="utf-8")


def test_the_table_is_found():
    assert len(ROWS) > 60


@pytest.mark.parametrize("row", ROWS, ids=[what[:40] for what, _ in ROWS])
def test_each_row_names_a_test_that_exists(row):
    """A test of hasten's own: exclusions, if there are any, stand after it."""
    what, tested = row
    own, _, excluded = tested.partition("exclusion")
    names = re.findall(r"`([^`]+)`", own)
    assert names, f"no test is named for: {what}"
    for name in names:
        path, _, function = name.rpartition("::")
        if function.endswith(".py"):
            assert any(file.endswith("/" + function.rpartition("/")[2]) for file in FILES), name
        elif function.startswith("test_"):
            texts = [FILES[path]] if path else FILES.values()
            assert any(f"def {function}(" in text for text in texts), name
    for name in re.findall(r"`(test_[^`]+)`", excluded):
        assert re.search(rf"\b{name}\b", EXCLUSIONS), name


# ---- classes ---------------------------------------------------------------------------------------------------------


def test_asyncios_methods_refuse_what_only_passes_isinstance(loop):
    """They go by what issubclass() goes by, before they read the fields of an object: ours has others there."""
    future = hasten.Future(loop=loop)
    handle = loop.call_soon(print)
    assert isinstance(future, asyncio.Future)
    assert isinstance(handle, asyncio.Handle)
    for ours, stock in ((type(future), asyncio.Future), (hasten.Task, asyncio.Task), (type(handle), asyncio.Handle)):
        assert not issubclass(ours, stock)
        assert issubclass(stock, ours)
    with pytest.raises(TypeError):
        asyncio.Future.cancel(future)
    with pytest.raises(TypeError):
        asyncio.Handle._callback.__get__(handle)
    handle.cancel()


# ---- the loop --------------------------------------------------------------------------------------------------------


def test_the_loop_and_its_servers_are_abstract_ones_of_asyncios(loop):
    async def main():
        server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
        assert isinstance(server, asyncio.AbstractServer)
        assert not isinstance(server, asyncio.Server)
        server.close()

    assert isinstance(loop, asyncio.AbstractEventLoop)
    assert not isinstance(loop, asyncio.BaseEventLoop)
    assert not hasattr(loop, "_selector")
    loop.run_until_complete(main())


def test_task_steps_do_not_pass_through_the_loops_methods():
    called = []

    class Told(hasten.Loop):
        def call_soon(self, callback, *args, context=None):
            called.append(callback)
            return super().call_soon(callback, *args, context=context)

        def call_later(self, delay, callback, *args, context=None):
            called.append(callback)
            return super().call_later(delay, callback, *args, context=context)

    async def steps():
        called.clear()
        await hasten.sleep(0)
        await hasten.sleep(0.001)
        assert not called
        task = asyncio.create_task(hasten.sleep(0))
        await task
        assert not called
        await asyncio.Task(asyncio.sleep(0))  # a stock one does
        assert called

    loop = Told()
    loop.run_until_complete(steps())
    loop.close()


def test_a_busy_loop_polls_less_than_it_ticks(loop):
    async def main():
        ticks, polls = loop._ticks, loop._polls
        for _ in range(20_000):
            await hasten.sleep(0)
        assert loop._ticks - ticks >= 20_000
        assert loop._polls - polls < (loop._ticks - ticks) / 2

    loop.run_until_complete(main())


# ---- tasks and groups ------------------------------------------------------------------------------------------------


def test_a_future_by_protocol_alone_in_the_call_graph(loop):
    class Alone:
        _asyncio_future_blocking = False
        _asyncio_awaited_by = None

        def get_loop(self):
            return loop

    graph = hasten.capture_call_graph(Alone())
    assert isinstance(graph.future, Alone)
    assert not graph.call_stack
    assert not graph.awaited_by


def test_the_tasks_of_a_group_are_a_copy():
    async def main():
        async with hasten.TaskGroup() as group:
            task = group.create_task(hasten.sleep(0))
            assert group._tasks == {task}
            group._tasks.clear()
            assert group._tasks == {task}

    hasten.run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="this Python has no asyncio.eager_task_factory")
def test_asyncios_eager_task_factory_makes_tasks_of_hastens(loop):
    async def child():
        return 7

    async def main():
        loop.set_task_factory(asyncio.eager_task_factory)
        task = loop.create_task(child())
        assert type(task) is hasten.Task
        assert task.done()
        assert task.result() == 7

    loop.run_until_complete(main())


@pytest.mark.parametrize("wrong", [5, None])
def test_wrap_future_of_what_is_none(wrong):
    with pytest.raises(TypeError, match=r"concurrent\.futures\.Future is expected"):
        hasten.wrap_future(wrong)


def test_a_generator_is_no_coroutine():
    assert not hasten.iscoroutine(each for each in ())


# ---- native coroutines -----------------------------------------------------------------------------------------------


def test_entering_and_leaving_works_when_it_is_called():
    async def main():
        lock = hasten.Lock()
        entering = lock.__aenter__()
        assert lock.locked()
        await entering
        leaving = lock.__aexit__(None, None, None)
        assert not lock.locked()
        await leaving
        async with hasten.timeout(1000) as limit:
            pass
        other = hasten.timeout(1000)
        await other.__aenter__()
        leaving = other.__aexit__(None, None, None)
        assert repr(other) == repr(limit) == "<Timeout [finished]>"
        await leaving

    hasten.run(main())


def test_what_passes_through_has_its_context_from_the_callers_frame():
    """One link of the chain, however many native coroutines it came through."""

    async def main():
        handled, event = ValueError("handled"), hasten.Event()
        with pytest.raises(TimeoutError) as caught:
            try:
                raise handled
            except ValueError:
                await hasten.wait_for(event.wait(), 0.001)
        chain, exc = [], caught.value
        while exc is not None:
            chain.append(exc)
            exc = exc.__context__
        assert chain.count(handled) == 1
        assert chain[-1] is handled

    hasten.run(main())


# ---- connections -----------------------------------------------------------------------------------------------------


def test_a_protocols_methods_are_looked_up_when_it_is_set(loop):
    got = []

    class Receiver(asyncio.Protocol):
        def data_received(self, data):
            got.append(("class", data))

    async def main():
        ours, peer = socket.socketpair()
        peer.setblocking(False)
        transport, protocol = await loop.create_connection(Receiver, sock=ours)
        protocol.data_received = lambda data: got.append(("instance", data))
        await loop.sock_sendall(peer, b"1")
        while len(got) < 1:
            await hasten.sleep(0)
        transport.set_protocol(protocol)
        await loop.sock_sendall(peer, b"2")
        while len(got) < 2:
            await hasten.sleep(0)
        transport.close()
        peer.close()
        await hasten.sleep(0)

    loop.run_until_complete(asyncio.wait_for(main(), 30))
    assert got == [("class", b"1"), ("instance", b"2")]
