"""Lock, Event, Condition, Semaphore, BoundedSemaphore, Barrier."""

from __future__ import annotations

import asyncio
import random
import re

import pytest

import hasten


def spawn(coro, **kwargs):
    return asyncio.get_running_loop().create_task(coro, **kwargs)


async def outcomes(*tasks):
    return await asyncio.gather(*tasks, return_exceptions=True)


# ---- Lock ------------------------------------------------------------------------------------------------------------


def test_lock_goes_round_in_the_order_of_asking(world, settle):
    async def main():
        lock, order = world.ns.Lock(), []

        async def use(name):
            async with lock as got:
                assert got is None
                order.append(name)
                await asyncio.sleep(0)

        await asyncio.gather(*(use(i) for i in range(5)))
        assert order == [0, 1, 2, 3, 4]
        assert not lock.locked()

    world.run(main())


def test_lock_acquire_returns_true_free_or_not(world, settle):
    async def main():
        lock = world.ns.Lock()
        assert await lock.acquire() is True
        waiter = spawn(lock.acquire())
        await settle()
        assert not waiter.done()
        lock.release()
        assert await waiter is True
        lock.release()

    world.run(main())


def test_lock_released_unheld(world):
    async def main():
        lock = world.ns.Lock()
        with pytest.raises(RuntimeError, match=r"^Lock is not acquired\.$"):
            lock.release()
        await lock.acquire()
        lock.release()
        with pytest.raises(RuntimeError):
            lock.release()

    world.run(main())


def test_lock_in_transit_is_not_overtaken(world, settle):
    async def main():
        lock, order = world.ns.Lock(), []
        await lock.acquire()

        async def use(name):
            async with lock:
                order.append(name)

        first = spawn(use("first"))
        await settle()
        lock.release()
        assert not lock.locked()
        await use("second")  # the lock is free, but on its way to the first
        await first
        assert order == ["first", "second"]

    world.run(main())


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_lock_cancelled_waiter_leaves_the_line(world, settle, victim):
    async def main():
        lock, order = world.ns.Lock(), []
        await lock.acquire()

        async def use(name):
            async with lock:
                order.append(name)

        tasks = [spawn(use(i)) for i in range(3)]
        await settle()
        tasks[victim].cancel()
        lock.release()
        await outcomes(*tasks)
        assert order == [i for i in range(3) if i != victim]
        assert [t.cancelled() for t in tasks] == [i == victim for i in range(3)]

    world.run(main())


def test_lock_woken_and_cancelled_passes_it_on(world, settle):
    async def main():
        lock = world.ns.Lock()
        await lock.acquire()
        tasks = [spawn(lock.acquire()) for _ in range(3)]
        await settle()
        lock.release()
        tasks[0].cancel()
        assert await tasks[1] is True
        assert tasks[0].cancelled()
        lock.release()
        assert await tasks[2] is True

    world.run(main())


@pytest.mark.ours("asyncio passes the lock on after CancelledError only, so that another exception stops everybody")
@pytest.mark.parametrize("exc", [None, ValueError("intruder"), GeneratorExit()], ids=["close", "ValueError", "exit"])
def test_lock_woken_and_ended_otherwise_passes_it_on(world, settle, hijacked, exc):
    async def main():
        lock = world.ns.Lock()
        await lock.acquire()

        async def ended():
            await hijacked(lock.acquire(), exc)

        tasks = [spawn(ended()), spawn(lock.acquire())]
        await settle()
        lock.release()
        await outcomes(tasks[0])
        assert await asyncio.wait_for(tasks[1], 5) is True

    world.run(main())


def test_lock_all_waiters_cancelled_is_taken_at_once(world, settle):
    async def main():
        lock = world.ns.Lock()
        await lock.acquire()
        tasks = [spawn(lock.acquire()) for _ in range(2)]
        await settle()
        for task in tasks:
            task.cancel()
        lock.release()
        acquiring = lock.acquire()
        with pytest.raises(StopIteration):
            acquiring.send(None)
        assert lock.locked()
        await outcomes(*tasks)

    world.run(main())


def test_lock_repr(world, settle):
    async def main():
        lock = world.ns.Lock()
        assert re.search(r"Lock object at 0x[0-9a-f]+ \[unlocked\]>$", repr(lock))
        await lock.acquire()
        assert repr(lock).endswith(" [locked]>")
        task = spawn(lock.acquire())
        await settle()
        assert repr(lock).endswith(" [locked, waiters:1]>")
        task.cancel()
        await outcomes(task)
        assert repr(lock).endswith(" [locked]>")

    world.run(main())


KINDS = ["Lock", "Event", "Condition", "Semaphore", "Barrier"]


@pytest.mark.parametrize("kind", ["Lock", "Event", "Semaphore"])
def test_bound_to_the_first_loop_that_it_waited_on(world, settle, kind):
    made = getattr(world.ns, kind)() if kind != "Semaphore" else world.ns.Semaphore(0)

    async def wait():
        if kind == "Lock" and not made.locked():
            await made.acquire()
        task = spawn(made.wait() if kind == "Event" else made.acquire())
        await settle()
        task.cancel()
        return (await outcomes(task))[0]

    assert isinstance(world.run(wait()), asyncio.CancelledError)
    error = world.run(wait())
    assert isinstance(error, RuntimeError)
    assert str(error) == f"{made!r} is bound to a different event loop"


@pytest.mark.parametrize("kind", KINDS)
def test_no_loop_argument(world, kind):
    with pytest.raises(TypeError):
        getattr(world.ns, kind)(loop=None)


# ---- Event -----------------------------------------------------------------------------------------------------------


def test_event_wakes_all_in_order(world, settle):
    async def main():
        event, order = world.ns.Event(), []

        async def wait(i):
            order.append((i, await event.wait()))

        tasks = [spawn(wait(i)) for i in range(3)]
        await settle()
        assert not event.is_set()
        assert order == []
        event.set()
        event.clear()  # too late for those who wait already
        await outcomes(*tasks)
        assert order == [(0, True), (1, True), (2, True)]
        assert not event.is_set()
        event.set()
        event.set()
        assert await event.wait() is True

    world.run(main())


def test_event_cancelled_waiter(world, settle):
    async def main():
        event = world.ns.Event()
        tasks = [spawn(event.wait()) for _ in range(2)]
        await settle()
        tasks[0].cancel()
        await settle()
        assert repr(event).endswith("[unset, waiters:1]>")
        event.set()
        assert (await outcomes(*tasks))[1] is True
        assert repr(event).endswith("[set]>")

    world.run(main())


# ---- Condition -------------------------------------------------------------------------------------------------------


def test_condition_notifies_in_order_and_so_many(world, settle):
    async def main():
        cond, order = world.ns.Condition(), []

        async def wait(i):
            async with cond:
                assert await cond.wait() is True
                assert cond.locked()
                order.append(i)

        tasks = [spawn(wait(i)) for i in range(6)]
        await settle()
        for n, expected in [(1, [0]), (2, [0, 1, 2]), (0, [0, 1, 2])]:
            async with cond:
                cond.notify(n)
            await settle()
            assert order == expected
        async with cond:
            cond.notify_all()
        await outcomes(*tasks)
        assert order == [0, 1, 2, 3, 4, 5]

    world.run(main())


def test_condition_needs_its_lock(world):
    async def main():
        cond = world.ns.Condition()
        with pytest.raises(RuntimeError, match="cannot wait on un-acquired lock"):
            await cond.wait()
        with pytest.raises(RuntimeError, match="cannot notify on un-acquired lock"):
            cond.notify()
        with pytest.raises(RuntimeError):
            cond.notify_all()
        with pytest.raises(RuntimeError):
            cond.release()

    world.run(main())


def test_condition_shares_a_lock(world):
    async def main():
        lock = world.ns.Lock()
        one, two = world.ns.Condition(lock), world.ns.Condition(lock)
        async with one:
            assert lock.locked()
            assert two.locked()
        assert not two.locked()

    world.run(main())


def test_condition_wait_for_gives_the_predicates_value(world, settle):
    async def main():
        cond, value = world.ns.Condition(), []

        async def wait():
            async with cond:
                return await cond.wait_for(lambda: list(value))

        task = spawn(wait())
        await settle()
        for item in (1, 2):
            async with cond:
                if item == 2:
                    value.append(item)
                cond.notify_all()
            await settle()
            assert task.done() is (item == 2)
        assert await task == [2]

    world.run(main())


@pytest.mark.stdlib_since(3, 13)
def test_condition_notification_is_not_lost_with_a_cancelled_task(world, settle):
    async def main():
        cond, woken = world.ns.Condition(), []

        async def wait(i):
            async with cond:
                await cond.wait()
                woken.append(i)

        tasks = [spawn(wait(i)) for i in range(3)]
        await settle()
        async with cond:
            cond.notify(1)
            tasks[0].cancel()
        await settle()
        assert woken == [1]
        tasks[2].cancel()
        await outcomes(*tasks)

    world.run(main())


@pytest.mark.stdlib_since(3, 13)
def test_condition_cancelled_while_it_takes_the_lock_again(world, settle):
    async def main():
        cond = world.ns.Condition()

        async def wait():
            async with cond:
                try:
                    await cond.wait()
                finally:
                    assert cond.locked()

        task = spawn(wait())
        await settle()
        await cond.acquire()
        cond.notify()
        await settle()  # it waits for the lock now
        task.cancel("first")
        await settle()
        task.cancel("second")
        await settle()
        assert not task.done()
        cond.release()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        assert caught.value.args == ("second",)
        assert not cond.locked()

    world.run(main())


def test_condition_repr(world, settle):
    async def main():
        cond = world.ns.Condition()
        assert repr(cond).endswith("[unlocked]>")

        async def wait():
            async with cond:
                await cond.wait()

        task = spawn(wait())
        await settle()
        async with cond:
            assert repr(cond).endswith("[locked, waiters:1]>")
            cond.notify()
        await task

    world.run(main())


# ---- Semaphore -------------------------------------------------------------------------------------------------------


def test_semaphore_lets_so_many_in(world):
    async def main():
        sem, inside, most = world.ns.Semaphore(3), 0, 0

        async def use():
            nonlocal inside, most
            async with sem as got:
                assert got is None
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(use() for _ in range(10)))
        assert most == 3
        assert repr(sem).endswith("[unlocked, value:3]>")

    world.run(main())


@pytest.mark.parametrize("kind", ["Semaphore", "BoundedSemaphore"])
def test_semaphore_negative(world, kind):
    with pytest.raises(ValueError, match="must be >= 0"):
        getattr(world.ns, kind)(-1)


def test_bounded_semaphore_over_released(world):
    async def main():
        sem = world.ns.BoundedSemaphore(1)
        with pytest.raises(ValueError, match="BoundedSemaphore released too many times"):
            sem.release()
        await sem.acquire()
        sem.release()
        plain = world.ns.Semaphore(0)
        plain.release()
        assert not plain.locked()

    world.run(main())


@pytest.mark.stdlib_since(3, 12)
def test_semaphore_newcomers_wait_behind_those_in_line(world, settle):
    async def main():
        sem, order = world.ns.Semaphore(0), []

        async def use(name):
            await sem.acquire()
            order.append(name)

        tasks = [spawn(use("old"))]
        await settle()
        sem.release()
        sem.release()
        assert sem.locked()  # a place is free, but somebody is about to take one
        tasks.append(spawn(use("new")))
        await outcomes(*tasks)
        assert order == ["old", "new"]
        assert sem.locked()

    world.run(main())


@pytest.mark.stdlib_since(3, 12)
def test_semaphore_woken_and_cancelled_gives_its_place_back(world, settle):
    async def main():
        sem = world.ns.Semaphore(0)
        tasks = [spawn(sem.acquire()) for _ in range(3)]
        await settle()
        sem.release()
        tasks[0].cancel()
        tasks[1].cancel()
        assert await tasks[2] is True
        assert repr(sem).endswith("[locked]>")
        sem.release()
        assert repr(sem).endswith("[unlocked, value:1]>")

    world.run(main())


@pytest.mark.ours("asyncio gives the place back after CancelledError only, so that another exception loses it")
@pytest.mark.parametrize("exc", [None, ValueError("intruder")], ids=["close", "ValueError"])
def test_semaphore_woken_and_ended_otherwise_gives_its_place_back(world, settle, hijacked, exc):
    async def main():
        sem = world.ns.Semaphore(0)

        async def ended():
            await hijacked(sem.acquire(), exc)

        tasks = [spawn(ended()), spawn(sem.acquire())]
        await settle()
        sem.release()
        await outcomes(tasks[0])
        assert await asyncio.wait_for(tasks[1], 5) is True

    world.run(main())


# ---- Barrier ---------------------------------------------------------------------------------------------------------


def test_barrier_fills_and_drains_again_and_again(world, settle):
    async def main():
        barrier, passed = world.ns.Barrier(3), []

        async def party():
            for turn in range(3):
                passed.append((turn, await barrier.wait()))

        tasks = [spawn(party()) for _ in range(2)]
        await settle()
        assert (barrier.n_waiting, barrier.parties, passed) == (2, 3, [])
        assert repr(barrier).endswith("[filling, waiters:2/3]>")
        tasks.append(spawn(party()))
        await outcomes(*tasks)
        assert sorted(passed) == [(turn, i) for turn in range(3) for i in range(3)]
        assert barrier.n_waiting == 0

    world.run(main())


def test_barrier_as_a_block_gives_the_number(world):
    async def main():
        async with world.ns.Barrier(1) as number:
            assert number == 0

    world.run(main())


@pytest.mark.parametrize("parties", [0, -1])
def test_barrier_without_parties(world, parties):
    with pytest.raises(ValueError, match="parties must be >"):
        world.ns.Barrier(parties)


def test_barrier_abort_and_reset(world, settle):
    async def main():
        barrier = world.ns.Barrier(2)
        task = spawn(barrier.wait())
        await settle()
        await barrier.abort()
        assert barrier.broken
        assert repr(barrier).endswith("[broken]>")
        for broken in (task, barrier.wait()):
            with pytest.raises(asyncio.BrokenBarrierError):
                await broken
        await barrier.reset()
        assert not barrier.broken
        task = spawn(barrier.wait())
        await settle()
        assert await barrier.wait() == 1
        assert await task == 0

    world.run(main())


def test_barrier_reset_while_it_fills(world, settle):
    async def main():
        barrier = world.ns.Barrier(3)
        tasks = [spawn(barrier.wait()) for _ in range(2)]
        await settle()
        await barrier.reset()
        late = [spawn(barrier.wait()) for _ in range(3)]
        assert [type(e) for e in await outcomes(*tasks)] == [asyncio.BrokenBarrierError] * 2
        assert sorted(await outcomes(*late)) == [0, 1, 2]

    world.run(main())


def test_barrier_cancelled_party_does_not_count(world, settle):
    async def main():
        barrier = world.ns.Barrier(2)
        task = spawn(barrier.wait())
        await settle()
        task.cancel()
        await settle()
        assert barrier.n_waiting == 0
        tasks = [spawn(barrier.wait()) for _ in range(2)]
        assert sorted(await outcomes(*tasks)) == [0, 1]

    world.run(main())


# ---- storms ----------------------------------------------------------------------------------------------------------


async def storm(ns, kind, seed):
    """Tasks that use one object and are cancelled at random; what happened, in order. Everybody must end."""
    rng = random.Random(seed)
    log = []
    lock, sem, cond, event = ns.Lock(), ns.Semaphore(2), ns.Condition(), ns.Event()

    async def use(i):
        try:
            for turn in range(4):
                if kind == "Event":
                    await event.wait()
                elif kind == "Condition":
                    async with cond:
                        await cond.wait()
                        log.append((i, turn, "in"))
                else:
                    async with lock if kind == "Lock" else sem:
                        log.append((i, turn, "in"))
                        if rng.random() < 0.5:
                            await asyncio.sleep(0)
                log.append((i, turn))
        except asyncio.CancelledError:
            log.append((i, "cancelled"))
            raise

    async def stir():
        for _ in range(60):
            if kind == "Event":
                event.set()
                if rng.random() < 0.7:
                    event.clear()
            elif kind == "Condition" and not cond.locked():
                async with cond:
                    cond.notify(rng.randrange(3))
            await asyncio.sleep(0)
            if rng.random() < 0.15:
                rng.choice(tasks).cancel()

    tasks = [spawn(use(i)) for i in range(8)]
    await stir()
    while not all(t.done() for t in tasks):
        event.set()
        if not cond.locked():
            async with cond:
                cond.notify_all()
        await asyncio.sleep(0)
    log.append([repr(each).partition(" [")[2] for each in (lock, sem, cond)])
    return log


@pytest.mark.parametrize("kind", ["Lock", "Semaphore", "Condition", "Event"])
def test_storm_ends_with_everything_free(world, kind):
    for seed in range(30):
        log = world.run(asyncio.wait_for(storm(world.ns, kind, seed), 30))
        assert log[-1] == ["unlocked]>", "unlocked, value:2]>", "unlocked]>"], seed


@pytest.mark.stdlib_since(3, 13)
@pytest.mark.parametrize("kind", ["Lock", "Semaphore", "Condition", "Event"])
def test_storm_goes_as_with_hasten_on_the_stock_loop(world, kind):
    """The order of events is that of the newest asyncio."""
    for seed in range(30, 50):
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            reference = runner.run(storm(hasten, kind, seed))
        assert world.run(storm(world.ns, kind, seed)) == reference, seed
