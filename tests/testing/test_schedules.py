"""schedules(), explore(), find(): which orders there are, that a seed is one of them, and which races they find."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from typing import Any

import pytest

import hasten
from hasten.testing import Deadlock, explore, find, orders, schedule, schedules, virtual_time

from .races import RACES, Race

by_name = pytest.mark.parametrize("race", RACES, ids=[race.name for race in RACES])


@by_name
def test_a_race_is_found(race: Race) -> None:
    hasten.run(race.wrong())  # it does well, most of the time
    hasten.run(race.wrong(), loop_factory=virtual_time())
    hasten.run(race.wrong(), loop_factory=schedule(0))
    found = find(race.wrong)
    assert found is not None
    seed, error = found
    again = find(race.wrong, [seed])
    assert again is not None
    assert (type(again[1]), str(again[1]).split("\n")[0]) == (type(error), str(error).split("\n")[0])


@by_name
def test_who_has_no_race_is_not_accused(race: Race) -> None:
    hasten.run(race.right())
    assert explore(race.right, range(100)) == 100


def test_there_are_twenty_kinds() -> None:
    assert len({race.name for race in RACES}) == len(RACES) == 20


# ---- which orders are legal ---------------------------------------------------------------------


class Queue:
    """Stands for the ready queue."""

    def __init__(self) -> None:
        self.entries: list[Any] = []

    def items(self) -> list[Any]:
        return list(self.entries)

    def refill(self, entries: list[Any]) -> None:
        self.entries = list(entries)


class Entry:
    def __init__(self, number: int) -> None:
        self.number = number


@pytest.mark.parametrize("seed", range(60))
def test_nothing_is_lost_and_callbacks_keep_their_place(seed: int) -> None:
    chance, order, queue = random.Random(seed), orders.Order(seed), Queue()
    pushed: list[Any] = []
    ran: list[Any] = []
    while len(pushed) < 300 or queue.entries or order.held:
        if len(pushed) < 300:
            for _ in range(chance.randint(0, 6)):
                entry = Entry(len(pushed)), chance.choice([0, 1, 1, 1, 2, 3])
                pushed.append(entry)
                queue.entries.append(entry)
        order(queue)
        ran += queue.entries
        queue.entries = []
    assert sorted(entry.number for entry, _ in ran) == list(range(len(pushed)))
    callbacks = [entry.number for entry, tag in ran if tag != orders.TASK]
    assert callbacks == sorted(callbacks)
    at = {entry.number: place for place, (entry, _) in enumerate(ran)}
    for entry, tag in pushed:
        if tag != orders.TASK:
            after = [other for other, kind in pushed if kind == orders.TASK and other.number > entry.number]
            assert all(at[other.number] > at[entry.number] for other in after), "a task went before a callback"
    if seed == 0:
        assert ran == pushed


def trace(seed: int) -> list[str]:
    steps: list[str] = []

    async def walk(name: str) -> None:
        for n in range(4):
            steps.append(f"{name}{n}")
            await hasten.sleep(n % 2)

    async def main() -> None:
        await hasten.gather(*(walk(name) for name in "abcd"))

    hasten.run(main(), loop_factory=schedule(seed))
    return steps


def test_a_seed_is_one_order_and_another_is_another() -> None:
    traces = [trace(seed) for seed in range(40)]
    assert traces == [trace(seed) for seed in range(40)]
    assert len({tuple(steps) for steps in traces}) > 30
    assert traces[0][:5] == ["a0", "b0", "c0", "d0", "a1"]
    assert all(sorted(steps) == sorted(traces[0]) for steps in traces)


def test_callbacks_run_in_the_order_in_which_they_were_scheduled() -> None:
    async def main() -> None:
        loop, seen = asyncio.get_running_loop(), []

        async def walk() -> None:
            loop.call_soon(seen.append, len(seen))
            await hasten.sleep(0)

        future = loop.create_future()
        for n in range(5):
            future.add_done_callback(lambda _, n=n: seen.append(n))  # type: ignore[misc]
        loop.call_soon(future.set_result, None)
        await future
        assert seen == [0, 1, 2, 3, 4]  # those of the future were there before this task was
        await hasten.gather(*(walk() for _ in range(5)))

    explore(main, range(60))


# ---- how a failure is told ----------------------------------------------------------------------


async def late() -> None:
    seen: list[str] = []

    async def say(word: str) -> None:
        seen.append(word)

    await hasten.gather(say("a"), say("b"))
    assert seen == ["a", "b"]


def test_the_seed_is_told_and_runs_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find(late)
    assert found is not None
    seed, error = found
    assert error.__notes__ == [
        f"hasten: this came with seed {seed}. To run this schedule alone, set HASTEN_SEED={seed}"
    ]
    with pytest.raises(AssertionError) as caught:
        explore(late)
    assert caught.value.__notes__ == error.__notes__
    monkeypatch.setenv("HASTEN_SEED", str(seed))
    with pytest.raises(AssertionError):
        explore(late, range(0))
    monkeypatch.setenv("HASTEN_SEED", "0")
    assert explore(late) == 1
    monkeypatch.setenv("HASTEN_SEED", "x")
    with pytest.raises(ValueError, match="HASTEN_SEED='x' is not a seed"):
        explore(late)


def test_what_nobody_awaited_is_told() -> None:
    async def fail() -> None:
        raise ValueError("unheard")

    async def main() -> None:
        hasten.create_task(fail())
        await hasten.sleep(1)

    with pytest.raises(ValueError, match="unheard") as caught:
        explore(main, range(3))
    assert "Task exception was never retrieved" in caught.value.__notes__

    async def by_a_callback() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await hasten.sleep(1)

    with pytest.raises(ZeroDivisionError):
        explore(by_a_callback, range(3))


def test_no_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def spin() -> None:
        while True:
            await hasten.sleep(0)

    monkeypatch.setattr(orders, "BATCHES", 1000)
    with pytest.raises(Deadlock, match="no end after 1000 batches"):
        explore(spin)

    async def tick() -> None:
        while True:
            await hasten.sleep(100)

    monkeypatch.setattr(orders, "BATCHES", 1_000_000)
    with pytest.raises(Deadlock, match="limit"):
        explore(tick, [0])


def test_chance_is_the_seed_s_and_given_back() -> None:
    drawn: list[float] = []

    async def main() -> None:
        drawn.append(random.random())

    before = random.getstate()
    explore(main, [1, 2, 1])
    assert random.getstate() == before
    assert drawn[0] == drawn[2] != drawn[1]


# ---- the decorator --------------------------------------------------------------------------------

calls: list[int] = []


@schedules(count=7)
async def test_as_a_decorator(tmp_path: Any) -> None:
    assert tmp_path.is_dir()
    calls.append(1)
    await hasten.sleep(1000)


def test_the_decorator_ran_it_so_often() -> None:
    if calls:  # pytest-xdist may have sent it elsewhere
        assert sum(calls) == 7


@schedules
def test_of_a_plain_function() -> None:
    async def main() -> float:
        await asyncio.sleep(10)
        return asyncio.get_running_loop().time()

    assert asyncio.run(main()) == 10


def test_the_decorator_s_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    async def main() -> None:
        seen.append(1)

    schedules(seed=3)(main)()
    assert len(seen) == 1
    schedules(main)()
    assert len(seen) == 101
    monkeypatch.setenv("HASTEN_SEED", "5")
    schedules(main)()
    assert len(seen) == 102
    with pytest.raises(TypeError, match="use count="):
        schedules(100)
    failing = schedules(late)
    monkeypatch.delenv("HASTEN_SEED")
    with pytest.raises(AssertionError) as caught:
        failing()
    assert "HASTEN_SEED=" in caught.value.__notes__[0]


def test_threads_and_connections_go_on() -> None:
    async def echo(reader: Any, writer: Any) -> None:
        writer.write(await reader.readline())
        await writer.drain()
        writer.close()

    async def main() -> None:
        assert await hasten.to_thread(int, "7") == 7
        server = await hasten.start_server(echo, "127.0.0.1", 0)
        async with server:
            reader, writer = await hasten.open_connection(*server.sockets[0].getsockname())
            writer.write(b"line\n")
            async with hasten.timeout(60):
                assert await reader.readline() == b"line\n"
            writer.close()
            await writer.wait_closed()

    assert explore(main, range(30)) == 30


def test_the_usual_loop_has_nothing_of_it() -> None:
    """Nobody who does not ask for it imports it."""
    code = "import sys, hasten; hasten.run(hasten.sleep(0)); print([m for m in sys.modules if 'hasten.testing' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class HostileError(Exception):
    def add_note(self, note: str) -> None:
        raise ZeroDivisionError


class StubbornError(Exception):
    __notes__ = "no list"  # type: ignore[assignment]


@pytest.mark.parametrize("kind", [HostileError, StubbornError])
@pytest.mark.parametrize("by_a_task", [False, True])
def test_an_exception_that_takes_no_notes_is_raised_itself(kind: type[Exception], by_a_task: bool) -> None:
    async def fails() -> None:
        raise kind

    async def main() -> None:
        if by_a_task:
            hasten.create_task(fails())
            await hasten.sleep(1)
        else:
            await fails()

    with pytest.raises(kind) as caught:
        explore(main, range(3))
    if kind is HostileError:
        assert "this came with seed 0" in caught.value.__notes__[-1]
