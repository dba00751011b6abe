"""Queue, PriorityQueue, LifoQueue."""

from __future__ import annotations

import asyncio
import random

import pytest

import hasten

KINDS = ["Queue", "PriorityQueue", "LifoQueue"]


def spawn(coro):
    return asyncio.get_running_loop().create_task(coro)


async def outcomes(*tasks):
    return await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(
    ("kind", "expected"), [("Queue", [3, 1, 2]), ("PriorityQueue", [1, 2, 3]), ("LifoQueue", [2, 1, 3])]
)
def test_order(world, kind, expected):
    async def main():
        queue = getattr(world.ns, kind)()
        for item in (3, 1, 2):
            await queue.put(item)
        assert queue.qsize() == 3
        assert [await queue.get() for _ in range(3)] == expected
        assert queue.empty()

    world.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_empty_and_full(world, kind):
    async def main():
        queue = getattr(world.ns, kind)(2)
        assert queue.maxsize == 2
        with pytest.raises(asyncio.QueueEmpty):
            queue.get_nowait()
        queue.put_nowait(1)
        queue.put_nowait(2)
        assert queue.full()
        with pytest.raises(asyncio.QueueFull):
            queue.put_nowait(3)
        assert {queue.get_nowait(), queue.get_nowait()} == {1, 2}

    world.run(main())


@pytest.mark.parametrize("maxsize", [0, -1])
def test_unlimited(world, maxsize):
    queue = world.ns.Queue(maxsize)
    for item in range(100):
        queue.put_nowait(item)
    assert not queue.full()
    assert queue.qsize() == 100


def test_getters_in_the_order_of_asking(world, settle):
    async def main():
        queue = world.ns.Queue()
        tasks = [spawn(queue.get()) for _ in range(3)]
        await settle()
        for item in "abc":
            queue.put_nowait(item)
        assert await outcomes(*tasks) == ["a", "b", "c"]

    world.run(main())


def test_putters_in_the_order_of_asking(world, settle):
    async def main():
        queue = world.ns.Queue(1)
        tasks = [spawn(queue.put(item)) for item in "abc"]
        await settle()
        assert queue.qsize() == 1
        assert [await queue.get() for _ in range(3)] == ["a", "b", "c"]
        assert await outcomes(*tasks) == [None] * 3

    world.run(main())


def test_woken_getter_cancelled_wakes_the_next(world, settle):
    async def main():
        queue = world.ns.Queue()
        tasks = [spawn(queue.get()) for _ in range(2)]
        await settle()
        queue.put_nowait("item")
        tasks[0].cancel()
        assert await tasks[1] == "item"
        assert tasks[0].cancelled()

    world.run(main())


def test_woken_putter_cancelled_wakes_the_next(world, settle):
    async def main():
        queue = world.ns.Queue(1)
        queue.put_nowait(0)
        tasks = [spawn(queue.put(item)) for item in (1, 2)]
        await settle()
        assert queue.get_nowait() == 0
        tasks[0].cancel()
        await tasks[1]
        assert queue.get_nowait() == 2
        assert tasks[0].cancelled()

    world.run(main())


@pytest.mark.parametrize("exc", [None, ValueError("intruder")], ids=["close", "ValueError"])
def test_woken_getter_ended_otherwise_wakes_the_next(world, settle, hijacked, exc):
    async def main():
        queue = world.ns.Queue()

        async def ended():
            await hijacked(queue.get(), exc)

        tasks = [spawn(ended()), spawn(queue.get())]
        await settle()
        queue.put_nowait("item")
        await outcomes(tasks[0])
        assert await asyncio.wait_for(tasks[1], 5) == "item"

    world.run(main())


def test_cancelled_waiters_are_forgotten(world, settle):
    async def main():
        queue = world.ns.Queue(1)
        getters = [spawn(queue.get()) for _ in range(3)]
        await settle()
        assert "_getters[3]" in repr(queue)
        for task in getters:
            task.cancel()
        await outcomes(*getters)
        assert "_getters" not in repr(queue)
        queue.put_nowait(0)
        putters = [spawn(queue.put(1)) for _ in range(3)]
        await settle()
        assert "_putters[3]" in repr(queue)
        for task in putters:
            task.cancel()
        await outcomes(*putters)
        assert "_putters" not in repr(queue)

    world.run(main())


@pytest.mark.ours("in asyncio the slot of an item that cannot be put stays empty while others wait for it")
def test_item_that_does_not_fit_leaves_its_slot_to_the_next(world, settle):
    async def main():
        queue = world.ns.PriorityQueue(2)
        queue.put_nowait(1)
        queue.put_nowait(2)
        tasks = [spawn(queue.put(item)) for item in ("not a number", 3)]
        await settle()
        assert queue.get_nowait() == 1
        await asyncio.wait_for(tasks[1], 5)
        assert isinstance((await outcomes(tasks[0]))[0], TypeError)
        assert [queue.get_nowait(), queue.get_nowait()] == [2, 3]
        assert "tasks=3" in repr(queue)  # three have been put, not four

    world.run(main())


@pytest.mark.ours("asyncio's PriorityQueue.put() raises, and the item is in the queue nevertheless")
@pytest.mark.parametrize("size", range(1, 12))
def test_put_that_raises_has_put_nothing(world, size):
    class Shy(int):
        """Compares with what is larger only, as if by accident."""

        def __lt__(self, other):
            if int(other) < 5:
                raise TypeError("shy")
            return int(self) < int(other)

        __gt__ = __lt__

    queue = world.ns.PriorityQueue()
    items = random.Random(size).sample(range(30), size)
    for item in items:
        queue.put_nowait(item)
    before = list(queue._queue)
    intruder = Shy(-1)
    try:
        queue.put_nowait(intruder)
    except TypeError:
        assert queue._queue == before
    else:
        assert min(items) >= 5
        assert queue.get_nowait() is intruder
    assert [queue.get_nowait() for _ in range(size)] == sorted(items)


@pytest.mark.ours("in asyncio an item that one get() could not take stays there while others wait for it")
def test_get_that_raises_wakes_the_next(world, settle):
    class Picky(world.ns.Queue):
        tried = False

        def _get(self):
            if not self.tried:
                self.tried = True
                raise ValueError("not yet")
            return super()._get()

    async def main():
        queue = Picky()
        tasks = [spawn(queue.get()) for _ in range(2)]
        await settle()
        queue.put_nowait("item")
        results = await asyncio.wait_for(outcomes(*tasks), 5)
        assert isinstance(results[0], ValueError)
        assert results[1] == "item"

    world.run(main())


def test_join_and_task_done(world, settle):
    async def main():
        queue = world.ns.Queue()
        await queue.join()
        with pytest.raises(ValueError, match="too many times"):
            queue.task_done()
        queue.put_nowait(1)
        queue.put_nowait(2)
        joining = [spawn(queue.join()) for _ in range(2)]
        await settle()
        await queue.get()
        queue.task_done()
        await queue.get()
        await settle()
        assert not any(t.done() for t in joining)
        queue.task_done()
        await outcomes(*joining)

    world.run(main())


@pytest.mark.stdlib_since(3, 13)
def test_shutdown(world, settle):
    async def main():
        queue, shut_down = world.ns.Queue(1), world.ns.QueueShutDown
        queue.put_nowait("last")
        putter = spawn(queue.put("too late"))
        await settle()
        queue.shutdown()
        assert "shutdown" in repr(queue)
        with pytest.raises(shut_down):
            await putter
        for put in (queue.put_nowait, queue.put):
            with pytest.raises(shut_down):
                await put("no")
        assert await queue.get() == "last"
        with pytest.raises(shut_down):
            queue.get_nowait()
        with pytest.raises(shut_down):
            await queue.get()
        joining = spawn(queue.join())
        await settle()
        assert not joining.done()
        queue.task_done()
        await joining

    world.run(main())


@pytest.mark.stdlib_since(3, 13)
def test_shutdown_wakes_getters(world, settle):
    async def main():
        queue = world.ns.Queue()
        tasks = [spawn(queue.get()) for _ in range(3)]
        await settle()
        queue.shutdown()
        assert [type(e) for e in await outcomes(*tasks)] == [world.ns.QueueShutDown] * 3
        queue.shutdown()

    world.run(main())


@pytest.mark.stdlib_since(3, 13)
def test_shutdown_immediate_drops_what_is_there(world, settle):
    async def main():
        queue = world.ns.Queue()
        for item in range(3):
            queue.put_nowait(item)
        await queue.get()
        joining = spawn(queue.join())
        await settle()
        queue.shutdown(immediate=True)
        assert queue.qsize() == 0
        with pytest.raises(world.ns.QueueShutDown):
            queue.get_nowait()
        await settle()
        assert not joining.done()
        queue.task_done()
        await joining

    world.run(main())


def test_repr_and_str(world):
    async def main():
        queue = world.ns.Queue(5)
        assert str(queue) == "<Queue maxsize=5>"
        assert repr(queue) == f"<Queue at {id(queue):#x} maxsize=5>"
        queue.put_nowait("x")
        assert str(queue) == "<Queue maxsize=5 _queue=['x'] tasks=1>"

    world.run(main())


def test_subclass_says_the_order(world):
    class Middle(world.ns.Queue):
        def _init(self, maxsize):
            self._queue = []

        def _put(self, item):
            self._queue.insert(len(self._queue) // 2, item)

        def _get(self):
            return self._queue.pop(len(self._queue) // 2)

    queue = Middle()
    for item in range(5):
        queue.put_nowait(item)
    assert [queue.get_nowait() for _ in range(5)] == [4, 2, 3, 0, 1]
    assert queue.empty()


@pytest.mark.parametrize("kind", KINDS)
def test_is_subscriptable(world, kind):
    alias = getattr(world.ns, kind)[int]
    assert alias.__origin__ is getattr(world.ns, kind)
    assert alias.__args__ == (int,)


def test_exceptions_are_the_interpreters():
    assert hasten.QueueEmpty is asyncio.QueueEmpty
    assert hasten.QueueFull is asyncio.QueueFull
    assert hasten.QueueShutDown is getattr(asyncio, "QueueShutDown", hasten.QueueShutDown)


async def storm(ns, seed):
    """Producers and consumers, some cancelled: what was put and got, in order; nothing may get lost or stuck."""
    rng = random.Random(seed)
    queue = ns.Queue(2)
    put, got, log = [], [], []

    async def produce(i):
        for turn in range(5):
            await queue.put((i, turn))
            put.append((i, turn))
            log.append(("put", i, turn))

    async def consume(i):
        while True:
            item = await queue.get()
            got.append(item)
            log.append(("got", i, item))
            queue.task_done()
            if rng.random() < 0.3:
                await asyncio.sleep(0)

    consumers = [spawn(consume(i)) for i in range(4)]
    producers = [spawn(produce(i)) for i in range(6)]
    for _ in range(15):
        await asyncio.sleep(0)
        if rng.random() < 0.3:
            rng.choice(producers).cancel()
        if rng.random() < 0.3:
            rng.choice(consumers[:-1]).cancel()
        if rng.random() < 0.2 and not queue.empty():
            got.append(queue.get_nowait())
            queue.task_done()
    await outcomes(*producers)
    await queue.join()
    for task in consumers:
        task.cancel()
    await outcomes(*consumers)
    assert sorted(put) == sorted(got)
    return log


def test_storm_loses_nothing(world):
    for seed in range(40):
        world.run(asyncio.wait_for(storm(world.ns, seed), 30))


@pytest.mark.stdlib_since(3, 13)
def test_storm_goes_as_with_hasten_on_the_stock_loop(world):
    for seed in range(40, 60):
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            reference = runner.run(storm(hasten, seed))
        assert world.run(storm(world.ns, seed)) == reference, seed


@pytest.mark.ours("in asyncio get() fails for lack of a _queue, or, where _init() made one, waits for ever")
@pytest.mark.parametrize("init", [True, False])
def test_subclass_with_a_storage_of_its_own_and_a_size(world, init):
    class Own(world.ns.Queue):
        def __init__(self, maxsize=0):
            self.items = {}
            super().__init__(maxsize)

        if init:

            def _init(self, maxsize):
                pass

        def _put(self, item):
            self.items[item] = None

        def _get(self):
            return self.items.popitem()[0]

        def qsize(self):
            return len(self.items)

    async def main():
        queue = Own(2)
        assert queue.empty()
        await queue.put(1)
        assert not queue.empty()
        await queue.put(2)
        assert queue.full()
        with pytest.raises(asyncio.QueueFull):
            queue.put_nowait(3)
        assert [await asyncio.wait_for(queue.get(), 5) for _ in range(2)] == [2, 1]
        assert queue.empty()
        with pytest.raises(asyncio.QueueEmpty):
            queue.get_nowait()
        getting = spawn(queue.get())
        await asyncio.sleep(0)
        queue.put_nowait(4)
        assert await asyncio.wait_for(getting, 5) == 4

    world.run(main())


def test_subclass_whose_size_counts_more_than_what_is_there(world):
    class Counting(world.ns.Queue):
        at_work = 0

        def _get(self):
            self.at_work += 1
            return super()._get()

        def qsize(self):
            return super().qsize() + self.at_work

    queue = Counting(2)
    queue.put_nowait(1)
    assert queue.get_nowait() == 1
    assert queue.qsize() == 1
    assert queue.empty()
    with pytest.raises(asyncio.QueueEmpty):
        queue.get_nowait()
