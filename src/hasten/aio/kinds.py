"""isfuture(), iscoroutine(): what something is to asyncio, told quickly of hasten's own."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from hasten.core.future import Future
from hasten.kernel import step

_isfuture = asyncio.isfuture  # as it is now: install() puts ours there


def isfuture(obj: Any) -> bool:
    """Is it a future or a task, of any make?"""
    return isinstance(obj, Future) or _isfuture(obj)


def iscoroutine(obj: Any) -> bool:
    """Is it a coroutine, of Python's or a native one of hasten's or of others? Generators are none."""
    return step.is_native_coroutine(obj) or isinstance(obj, Coroutine)
