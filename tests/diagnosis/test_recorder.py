"""The ring of one loop's events: names of strange classes, a ring that is made anew, and what lacks memory."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import hasten
from hasten import compat
from hasten.core import observing
from hasten.diagnosis.recorder import Recorder


class Text(str):
    """A text that can hold anything, and is noticed when it goes."""


class Named:
    """Becomes a text of that class."""

    def __str__(self) -> str:
        return Text("named")


@pytest.fixture
def loop() -> Iterator[Any]:
    made = hasten.new_event_loop()
    yield made
    made.close()


def recorded(loop: Any, main: Any, size: int = 256) -> list[tuple[int, str, int, int, Any]]:
    made = Recorder(size, "main")
    observing.attach(made, loop)
    loop.run_until_complete(main)
    observing.detach(made, loop)
    return made.events()


def test_names_are_plain_texts_and_keep_nothing(loop: Any) -> None:
    gone: list[Any] = []

    async def child() -> None:
        await hasten.sleep(0)

    def callback() -> None:
        pass

    async def main() -> None:
        coro, call = child(), callback
        coro.__qualname__, call.__qualname__ = Text("a coroutine"), Text("a callback")
        task = loop.create_task(coro, name=Named())
        assert type(task.get_name()) is Text
        gone.extend([weakref.ref(coro.__qualname__), weakref.ref(call.__qualname__), weakref.ref(task.get_name())])
        loop.call_soon(call)
        await task
        call.__qualname__ = "another"

    labels = [label for *_, label in recorded(loop, main()) if label is not None]
    gc.collect()
    assert "a callback" in labels
    assert ("named", "a coroutine") in [label[:2] for label in labels if isinstance(label, tuple)]
    for label in labels:
        for text in label[:2] if isinstance(label, tuple) else (label,):
            assert text is None or type(text) is str
    assert [each() for each in gone] == [None, None, None]


def test_a_class_is_shown_by_its_name_and_not_asked(loop: Any) -> None:
    class Meta(type):
        @property
        def __name__(cls) -> str:  # type: ignore[override]
            raise RuntimeError("nobody asks")

    class Callback(metaclass=Meta):
        def __call__(self) -> None:
            pass

    async def main() -> None:
        loop.call_soon(Callback())
        await hasten.sleep(0)

    events = recorded(loop, main())
    assert "Callback" in [label for *_, label in events]
    assert events[-1][1] == "loop ends"


def test_the_end_of_a_task_that_is_collected_is_a_callback_of_no_task(loop: Any) -> None:
    async def main() -> None:
        await hasten.gather(*[hasten.create_task(hasten.sleep(0)) for _ in range(3)])

    events = recorded(loop, main())
    begun = [label for _, kind, _, _, label in events if kind == "callback begins"]
    assert begun.count("a task's end") == 3
    ended = [(task, other) for _, kind, task, other, _ in events if kind == "callback ends"]
    assert ended == [(0, 0)] * len(begun)


def test_a_ring_that_cannot_be_made_leaves_the_one_that_is_there(loop: Any) -> None:
    made = Recorder(4, "main")
    observing.attach(made, loop)
    for size in (1 << 60, 0, -1, 3):
        with pytest.raises((MemoryError, ValueError)):
            made.__init__(size, "main")  # type: ignore[misc]
        assert made.mask == 3
    loop.run_until_complete(hasten.sleep(0))
    assert len(made.events()) == 4


def test_a_ring_that_is_made_anew_is_empty(loop: Any) -> None:
    made = Recorder(4, "main")
    observing.attach(made, loop)
    loop.run_until_complete(hasten.sleep(0))
    for size in (64, 2, 1024):
        made.__init__(size, "main")  # type: ignore[misc]
        assert made.events() == []
        loop.run_until_complete(hasten.sleep(0))
        assert 0 < len(made.events()) <= size


@pytest.mark.skipif(not compat.compiled(), reason="a plain one has no fields yet, and is removed as one that raises")
def test_one_that_was_not_initialized_records_nothing(loop: Any) -> None:
    made = Recorder.__new__(Recorder)
    made.detailed = True
    observing.attach(made, loop)
    loop.run_until_complete(hasten.sleep(0))
    observing.detach(made, loop)
    assert {kind for _, kind, _, _, _ in made.events()} == {"loop begins"}
