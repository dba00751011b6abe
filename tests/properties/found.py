"""Programs that found something."""

from __future__ import annotations

from typing import Any

# Each of these went otherwise once.
FOUND: dict[str, Any] = {
    "awaited in a handler, a failed task's exception gets a context": (
        [[("raise",)], []],
        [
            ("spawn", [("try", [("raise",)], [("sleep", "zero"), ("sleep", "zero"), ("await_task", 0)], False)]),
            ("spawn", [("raise",)]),
        ],
    ),
    "thrown into an awaitable below a handler, an exception gets none": (
        [[("try", [("raise",)], [("do", ("cancel_self",)), ("try", [("sleep", "zero")], [], False)], False)]],
        [],
    ),
    "only the first to ask a cancelled task is told the message": (
        [[("await_task", 1)], [("do", ("cancel_self",)), ("await_task", 0)], []],
        [],
    ),
    "a cancelled gather speaks in the words of the last in the list": (
        [[("gather", [("future", 0), ("body", [])], True)]],
        [],
    ),
    "a cancelled gather leaves a failed child its exception": (
        [[("gather_and_cancel", [("body", [("sleep", "zero")]), ("body", [("raise",)])], True, 1)]],
        [],
    ),
}

# What older versions of asyncio do otherwise, by theme (see themes.py).
OLDER: dict[str, Any] = {
    "uncancel": ([[("do", ("cancel_self",)), ("do", ("uncancel",))]], []),
    "conditions": ([[("wait_condition", 1)], [("acquire", 0)]], []),
    "shutdown": ([[("do", ("shutdown", 0, False))]], []),
    "gather": (
        [[("do", ("spawn", [("raise",)])), ("sleep", "zero"), ("gather", [("body", []), ("task", 0)], False)]],
        [],
    ),
    "wait_for": ([[("wait_for", ("body", [("try", [("sleep", "never")], [("raise",)], False)]), "soon")]], []),
    "timeouts": ([[("timeout", "zero", [("try", [("sleep", "never")], [("raise",)], False)])]], []),
    "as_completed": ([[("as_completed_async", [("later", [])], "none")]], []),
    "groups": ([[("do", ("cancel_self",)), ("group", [[("raise",)]], [])]], []),
    "groups in generators": ([[("generate", [], [], True)]], []),
    "groups cancelled": ([[("group", [], [])]], [("count",), ("group_cancel", 0)]),
    "eager tasks": ([[("do", ("spawn_eagerly", []))]], []),
}
