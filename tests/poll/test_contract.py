"""What every poller promises, seen through a loop: poll/contract.py says it in words.

add_reader() and add_writer() are level-triggered watches, transports edge-triggered ones.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten.poll import choice

from .conftest import (
    FEW,
    Attach,
    Loop,
    Pair,
    Recorder,
    empty,
    end,
    fill,
    ticks_of_a_nap,
    turn,
)

pytestmark = pytest.mark.timeout(60)


# ---- which poller ------------------------------------------------------------------------------


def test_poller_is_chosen_by_argument(loop: Loop, poller: str) -> None:
    assert f"poller={poller}>" in repr(loop)


@pytest.mark.parametrize("poller", choice.NAMES)
def test_poller_is_chosen_by_variable(poller: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASTEN_POLLER", poller)
    loop = hasten.new_event_loop()
    assert f"poller={poller}>" in repr(loop)
    loop.close()


@pytest.mark.parametrize("poller", choice.NAMES)
def test_argument_goes_before_variable(poller: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASTEN_POLLER", "nonsense")
    loop = hasten.new_event_loop(poller=poller)
    assert f"poller={poller}>" in repr(loop)
    loop.close()


@pytest.mark.parametrize("value", [None, ""])
def test_platform_has_a_default(value: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if value is None:
        monkeypatch.delenv("HASTEN_POLLER", raising=False)
    else:
        monkeypatch.setenv("HASTEN_POLLER", value)
    loop = hasten.new_event_loop()
    assert f"poller={choice.NAMES[0]}>" in repr(loop)
    loop.close()


@pytest.mark.parametrize("name", ["nonsense", "", "EPOLL", "epoll "])
def test_unknown_poller_is_refused(name: str) -> None:
    with pytest.raises(ValueError) as caught:
        hasten.new_event_loop(poller=name)
    assert f"poller={name!r}" in str(caught.value)
    assert all(known in str(caught.value) for known in choice.NAMES)


def test_unknown_poller_in_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASTEN_POLLER", "nonsense")
    with pytest.raises(ValueError) as caught:
        hasten.new_event_loop()
    assert "HASTEN_POLLER='nonsense'" in str(caught.value)
    assert all(known in str(caught.value) for known in choice.NAMES)


# ---- level-triggered watches -------------------------------------------------------------------


def test_reader_fires_as_long_as_data_is_left(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    calls: list[str] = []
    loop.add_reader(ours, calls.append, "read")
    turn(loop, 3)
    assert calls == []
    theirs.send(b"ab")
    turn(loop, 3)
    assert calls == ["read"] * 3
    assert ours.recv(1) == b"a"
    turn(loop)
    assert calls == ["read"] * 4
    assert ours.recv(1) == b"b"
    turn(loop, 3)
    assert calls == ["read"] * 4


def test_removed_reader_is_silent(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    calls: list[str] = []
    loop.add_reader(ours, calls.append, "read")
    theirs.send(b"a")
    turn(loop)
    assert loop.remove_reader(ours) is True
    turn(loop, 3)
    assert calls == ["read"]
    assert loop.remove_reader(ours) is False


def test_reader_of_data_that_waits_already_fires(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    theirs.send(b"a")
    calls: list[str] = []
    loop.add_reader(ours, calls.append, "read")
    turn(loop)
    assert calls == ["read"]


def test_reader_fires_at_the_end_of_the_stream(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    calls: list[bytes] = []
    loop.add_reader(ours, lambda: calls.append(ours.recv(10)))
    theirs.close()
    turn(loop, 2)
    assert calls == [b"", b""]


def test_writer_fires_as_long_as_there_is_room(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    fill(ours)
    calls: list[str] = []
    loop.add_writer(ours, calls.append, "write")
    turn(loop, 3)
    assert calls == []
    empty(theirs)
    turn(loop, 3)
    assert calls == ["write"] * 3
    assert loop.remove_writer(ours) is True
    turn(loop, 3)
    assert calls == ["write"] * 3
    assert loop.remove_writer(ours) is False


def test_reader_and_writer_of_one_fd_are_independent(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    calls: list[str] = []
    loop.add_reader(ours, calls.append, "read")
    loop.add_writer(ours, calls.append, "write")
    turn(loop, 2)
    assert calls == ["write"] * 2
    theirs.send(b"a")
    calls.clear()
    turn(loop)
    assert sorted(calls) == ["read", "write"]
    assert loop.remove_writer(ours) is True
    calls.clear()
    turn(loop, 2)
    assert calls == ["read"] * 2
    loop.add_writer(ours, calls.append, "write")
    assert loop.remove_reader(ours) is True
    calls.clear()
    turn(loop, 2)
    assert calls == ["write"] * 2
    assert loop.remove_writer(ours) is True
    calls.clear()
    turn(loop, 2)
    assert calls == []


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_new_callback_replaces_the_old_one(kind: str, loop: Any, pair: Pair) -> None:
    ours, theirs = pair()
    theirs.send(b"a")
    calls: list[str] = []
    add = getattr(loop, f"_add_{kind}")
    first = add(ours.fileno(), calls.append, "first")
    turn(loop)
    second = add(ours.fileno(), calls.append, "second")
    assert first.cancelled()
    assert not second.cancelled()
    turn(loop, 2)
    assert calls == ["first", "second", "second"]
    assert getattr(loop, f"remove_{kind}")(ours) is True
    assert second.cancelled()


def test_callback_may_remove_itself(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    theirs.send(b"a")
    calls: list[bool] = []
    loop.add_reader(ours, lambda: calls.append(loop.remove_reader(ours)))
    turn(loop, 3)
    assert calls == [True]


def test_reader_may_remove_the_writer_that_is_due(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    theirs.send(b"a")
    calls: list[str] = []

    def read() -> None:
        calls.append("read")
        loop.remove_writer(ours)

    loop.add_writer(ours, calls.append, "write")
    loop.add_reader(ours, read)
    turn(loop, 3)
    assert "write" not in calls[calls.index("read") :]
    assert calls.count("read") == 3


def test_failing_callback_is_reported_and_goes_on(loop: Loop, pair: Pair) -> None:
    ours, theirs = pair()
    theirs.send(b"a")
    reports: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda loop, context: reports.append(context))
    loop.add_reader(ours, lambda: 1 // 0)
    turn(loop, 2)
    assert [type(report["exception"]) for report in reports] == [ZeroDivisionError] * 2


def test_many_fds_fire_at_once(loop: Loop, pair: Pair) -> None:
    pairs = [pair() for _ in range(300)]
    calls: list[int] = []
    for number, (ours, theirs) in enumerate(pairs):
        loop.add_reader(ours, calls.append, number)
        theirs.send(b"a")
    turn(loop)
    assert sorted(calls) == list(range(300))


# ---- what changes inside of a batch ------------------------------------------------------------


def test_removed_in_the_same_batch_does_not_fire(loop: Loop, pair: Pair) -> None:
    a, b = pair(), pair()
    calls: list[str] = []

    def first(name: str, other: socket.socket) -> None:
        calls.append(name)
        assert loop.remove_reader(other) is True

    loop.add_reader(a[0], first, "a", b[0])
    loop.add_reader(b[0], first, "b", a[0])
    a[1].send(b"a")
    b[1].send(b"b")
    turn(loop)
    assert len(calls) == 1


def test_fd_taken_over_in_the_same_batch_does_not_fire_for_its_new_owner(loop: Loop, pair: Pair) -> None:
    a, b, quiet = pair(), pair(), pair()
    calls: list[str] = []

    def first(other: socket.socket) -> None:
        calls.append("first")
        loop.remove_reader(other)
        os.dup2(quiet[0].fileno(), other.fileno())  # closes it, and its number stands for the quiet socket
        loop.add_reader(other, calls.append, "new owner")

    loop.add_reader(a[0], first, b[0])
    loop.add_reader(b[0], first, a[0])
    a[1].send(b"a")
    b[1].send(b"b")
    turn(loop)
    assert calls == ["first"]


def test_transport_aborted_in_the_same_batch_gets_nothing(loop: Loop, pair: Pair, attach: Attach) -> None:
    async def main() -> None:
        (a, to_a), (b, to_b) = pair(), pair()
        left, right = await attach(a, Recorder()), await attach(b, Recorder())
        left.on_data = right.transport.abort
        right.on_data = left.transport.abort
        to_a.send(b"data")
        to_b.send(b"data")
        await left.until(lambda: bool(left.told))
        await right.until(lambda: bool(right.told))
        assert sorted([bytes(left.data), bytes(right.data)]) == [b"", b"data"]
        await end(left, right)

    loop.run_until_complete(main())


def test_transport_paused_in_the_same_batch_keeps_its_data(loop: Loop, pair: Pair, attach: Attach) -> None:
    async def main() -> None:
        (a, to_a), (b, to_b) = pair(), pair()
        left, right = await attach(a, Recorder()), await attach(b, Recorder())
        left.on_data = right.transport.pause_reading
        right.on_data = left.transport.pause_reading
        to_a.send(b"data")
        to_b.send(b"data")
        assert await ticks_of_a_nap(loop) < FEW
        assert sorted([bytes(left.data), bytes(right.data)]) == [b"", b"data"]
        late = right if left.data else left
        late.transport.resume_reading()
        await late.until_data(4)
        assert left.data == right.data == b"data"
        await end(left, right)

    loop.run_until_complete(main())


# ---- descriptors that are odd, closed, used anew, or somebody else's ----------------------------


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_negative_fd_is_refused(kind: str, loop: Loop) -> None:
    with pytest.raises(ValueError, match="-1"):
        getattr(loop, f"add_{kind}")(-1, print)
    with pytest.raises(ValueError, match="-1"):
        getattr(loop, f"remove_{kind}")(-1)


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_closed_fd_is_refused(kind: str, loop: Loop, pair: Pair) -> None:
    ours, _ = pair()
    number = ours.fileno()
    ours.close()
    with pytest.raises(OSError):
        getattr(loop, f"add_{kind}")(number, print)
    with pytest.raises(ValueError):
        getattr(loop, f"add_{kind}")(ours, print)
    assert getattr(loop, f"remove_{kind}")(number) is False


@pytest.mark.parametrize("kind", ["reader", "writer"])
def test_regular_file_is_refused_where_it_cannot_be_polled(kind: str, loop: Loop, tmp_path: Path) -> None:
    with open(tmp_path / "file", "w+b") as file:
        with pytest.raises(PermissionError):
            getattr(loop, f"add_{kind}")(file, print)
        assert getattr(loop, f"remove_{kind}")(file) is False
    turn(loop)


def test_number_of_a_removed_and_closed_fd_is_used_anew(loop: Loop, pair: Pair) -> None:
    old, _ = pair()
    new, to_new = pair()
    calls: list[str] = []
    number = old.fileno()
    loop.add_reader(number, calls.append, "old")
    turn(loop)
    loop.remove_reader(number)
    os.dup2(new.fileno(), number)
    loop.add_reader(number, calls.append, "new")
    turn(loop)
    to_new.send(b"a")
    turn(loop)
    assert calls == ["new"]


def test_fd_closed_behind_the_loops_back_is_silent_and_can_be_removed(loop: Loop, pair: Pair) -> None:
    old, to_old = pair()
    new, to_new = pair()
    calls: list[str] = []
    number = old.fileno()
    loop.add_reader(number, calls.append, "old")
    to_old.send(b"a")
    os.dup2(new.fileno(), number)
    to_new.send(b"a")
    turn(loop, 2)
    assert calls == []
    assert loop.remove_reader(number) is True
    loop.add_reader(number, calls.append, "new")
    turn(loop)
    assert calls == ["new"]


def test_number_of_an_fd_closed_behind_the_loops_back_gets_the_other_callback(loop: Loop, pair: Pair) -> None:
    old, _ = pair()
    new, _ = pair()
    calls: list[str] = []
    number = old.fileno()
    loop.add_reader(number, calls.append, "old")
    os.dup2(new.fileno(), number)
    loop.add_writer(number, calls.append, "new")
    turn(loop)
    assert calls == ["new"]


def test_fd_of_a_closed_transport_is_used_anew(loop: Loop, pair: Pair, attach: Attach) -> None:
    async def main() -> None:
        for _ in range(5):
            ours, theirs = pair()
            protocol = await attach(ours, Recorder())
            theirs.send(b"data")
            await protocol.until_data(4)
            await end(protocol)
            theirs.close()

    loop.run_until_complete(main())


def test_fd_of_a_transport_is_refused(loop: Loop, pair: Pair, attach: Attach) -> None:
    async def main() -> None:
        ours, theirs = pair()
        number = ours.fileno()
        protocol = await attach(ours, Recorder())
        name = repr(protocol.transport)
        for method in (loop.add_reader, loop.add_writer):
            with pytest.raises(RuntimeError) as caught:
                method(number, print)
            assert str(number) in str(caught.value)
            assert name in str(caught.value)
        for method in (loop.remove_reader, loop.remove_writer):
            with pytest.raises(RuntimeError, match="is used by transport"):
                method(number)
        theirs.send(b"data")
        await protocol.until_data(4)  # it was not disturbed
        await end(protocol)

    loop.run_until_complete(main())


def test_the_poller_counts_what_it_watches(loop: Loop, pair: Pair, attach: Attach) -> None:
    def check(n: int) -> None:
        assert loop._poller.watching == len(loop._poller.all_watches()) == n  # type: ignore[attr-defined]

    turn(loop)
    before = loop._poller.watching  # type: ignore[attr-defined]
    old, _ = pair()
    new, _ = pair()
    loop.add_reader(old.fileno(), print)
    loop.add_writer(old.fileno(), print)
    check(before + 1)
    loop.add_reader(new.fileno(), print)
    check(before + 2)
    loop.remove_reader(old.fileno())
    check(before + 2)
    loop.remove_writer(old.fileno())
    check(before + 1)
    loop.remove_reader(new.fileno())
    check(before)
    with pytest.raises(OSError, match="descriptor"):
        loop.add_reader(1 << 20, print)
    check(before)
