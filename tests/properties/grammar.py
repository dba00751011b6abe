"""The programs: what tasks may do, by theme, as hypothesis strategies."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

S = st.SearchStrategy[Any]
DEPTH = 2  # of blocks in blocks

just, ints = st.just, st.integers
message = st.sampled_from([None, "stop"])
index = ints(0, 4)
end = st.sampled_from(["none", "zero", "negative", "soon", "never"])


def op(name: str, *arguments: S) -> S:
    return st.tuples(just(name), *arguments)


def choice(*strategies: S) -> S:
    return st.one_of(*strategies)


# What does not wait, and what waits, by theme. Most themes have what others have too: see THEMES.
DO: dict[str, list[S]] = {
    "base": [op("count"), op("look"), op("cancel", index, message), op("cancel_self")],
    "uncancel": [op("uncancel")],
    "lock": [op("release", ints(0, 1))],
    "event": [op("set", ints(0, 1)), op("clear", ints(0, 1))],
    "condition": [op("notify", ints(0, 1), ints(0, 2)), op("notify_all", ints(0, 1)), op("release", ints(0, 1))],
    "semaphore": [op("free", ints(0, 2))],
    "barrier": [],
    "queue": [op("put_nowait", ints(0, 3), index), op("get_nowait", ints(0, 3)), op("task_done", ints(0, 3))],
    "shutdown": [op("shutdown", ints(0, 3), st.booleans())],
    "future": [
        op("set_result", ints(0, 2)),
        op("set_exception", ints(0, 2)),
        op("cancel_future", ints(0, 2), message),
        op("ask", ints(0, 2)),
        op("renew", ints(0, 2)),
    ],
    "timeout": [op("expire", index, st.booleans())],
    "group": [],
    "group_cancel": [op("group_cancel", index)],
    "call": [op("cancel_call", index)],
}
WAIT: dict[str, list[S]] = {
    "base": [
        op("sleep", st.sampled_from(["zero", "zero", "negative"])),
        op("await_task", index),
        op("raise"),
        op("raise_cancelled"),
    ],
    "lock": [op("acquire", ints(0, 1))],
    "event": [op("wait_event", ints(0, 1))],
    "condition": [
        op("wait_condition", ints(0, 1)),
        op("wait_for_condition", ints(0, 1), ints(0, 2)),
        op("notify", ints(0, 1), ints(0, 2)),
        op("acquire", ints(0, 1)),
    ],
    "semaphore": [op("take", ints(0, 2))],
    "barrier": [op("barrier", ints(0, 1)), op("barrier", ints(0, 1)), op("reset", ints(0, 1)), op("abort", ints(0, 1))],
    "queue": [op("put", ints(0, 3), index), op("get", ints(0, 3)), op("join", ints(0, 3))],
    "future": [op("await_future", ints(0, 2))],
    "timer": [op("sleep", st.sampled_from(["zero", "soon", "never"]))],
}
CALLS = st.sampled_from(["soon", "threadsafe", "later", "at once", "late", "later still"])
MADE: dict[str, S] = {
    "lock": op("acquire", ints(0, 1)),
    "event": op("event", ints(0, 1)),
    "semaphore": op("semaphore", ints(0, 2)),
    "queue": choice(op("get", ints(0, 3)), op("put", ints(0, 3))),
    "future": op("future", ints(0, 2)),
    "timer": op("sleep", ints(0, 2)),
}


def programs(*themes: str) -> S:
    """Programs of the operations of these themes."""
    present = {"base", *themes}
    simple = choice(*(each for theme in DO if theme in present for each in DO[theme]))
    called = choice(simple, op("call", CALLS, simple)) if "call" in present else simple
    leaf = [op("do", called), *(each for theme in WAIT if theme in present for each in WAIT[theme])]
    if "future" in present:
        leaf.append(op("do", op("add_callback", ints(0, 2), simple)))
        leaf.append(op("do", op("add_callback_of_task", index, simple)))
    block = st.lists(choice(*leaf), max_size=4)
    for _ in range(DEPTH):
        block = st.lists(choice(*leaf, *_around(block, present)), max_size=5)
    return st.tuples(st.lists(block, min_size=1, max_size=4), st.lists(choice(called, op("spawn", block)), max_size=5))


def _around(block: S, present: set[str]) -> list[S]:
    """The operations that contain blocks."""
    found = [
        op("do", op("spawn", block)),
        op("try", block, block, st.booleans()),
        op("finally", block, block),
        op("await_later", block),
    ]
    for theme, name, count in (("lock", "hold", 1), ("semaphore", "inside", 2), ("barrier", "barrier_block", 1)):
        if theme in present:
            found.append(op(name, ints(0, count), block))
    if "eager" in present:
        found.append(op("do", op("spawn_eagerly", block)))
    if "generator" in present:
        found.append(op("generate", block, block, st.booleans() if "group" in present else just(False)))
    if "timeout" in present:
        found.append(op("timeout", end, block))
    if "group" in present:
        found.append(op("group", st.lists(block, max_size=3), block))
        found.append(op("do", op("group_spawn", index, block)))
    return found + _waiting(block, present)


def _waiting(block: S, present: set[str]) -> list[S]:
    """gather() and its kin, with what they are given."""
    spec = choice(
        op("body", block), op("later", block), op("spawned", block), op("task", index),
        *(made for theme, made in MADE.items() if theme in present),
    )  # fmt: skip
    specs = st.lists(spec, min_size=1, max_size=3)
    # of one kind: as_completed() takes them in the order of a set, which with tasks among them depends on addresses
    fresh = choice(*(st.lists(op(kind, block), min_size=1, max_size=3) for kind in ("later", "spawned")))
    when = st.sampled_from(["FIRST_COMPLETED", "FIRST_EXCEPTION", "ALL_COMPLETED"])
    found = []
    if "gather" in present:
        found.append(op("gather", specs, st.booleans()))
        found.append(op("gather_and_cancel", specs, st.booleans(), ints(0, 2)))
    if "wait" in present:
        found.append(op("wait", specs, when, end))
    if "shield" in present:
        found.append(op("shield", spec))
    if "wait_for" in present:
        found.append(op("wait_for", spec, end))
    if "as_completed" in present:
        found.append(op("as_completed", fresh, end))
    if "as_completed_async" in present:
        found.append(op("as_completed_async", fresh, end))
    return found
