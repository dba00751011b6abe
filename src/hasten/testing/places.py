"""Lines of a program: where a task stands, where something was made. Without hasten's own frames and asyncio's."""

from __future__ import annotations

import asyncio
import contextlib
import linecache
import os
import sys
from types import FrameType
from typing import Any

from hasten.diagnosis import standing
from hasten.diagnosis.showing import plain, short

_LIBRARY = tuple(
    os.path.dirname(os.path.abspath(path)) + os.sep
    for path in (os.path.dirname(__file__), asyncio.__file__, contextlib.__file__)
)
Place = tuple[str, int, str]


def is_users(path: str) -> bool:
    """True if a file is neither hasten's nor the standard library's nor an installed package's."""
    if path.startswith(_LIBRARY) or path.startswith("<"):
        return False
    return "site-packages" not in path and "dist-packages" not in path


def caller(depth: int = 1) -> Place | None:
    """Return the line of the program that the caller was called from; None if there is none."""
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None:
        if is_users(frame.f_code.co_filename):
            return frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_qualname
        frame = frame.f_back
    return None


def where(task: Any) -> Place | None:
    """Return where a task stands: the innermost line of the program's in its chain of awaits, else the innermost."""
    found: Place | None = None
    users = False
    for place in standing.stands_at(task):
        here = is_users(place[0])
        if here or not users:
            found, users = place, users or here
    return found


def told(place: Place | None) -> str:
    """Return a place as text, with the line's source where there is one."""
    if place is None:
        return "an unknown place"
    path, line, function = place
    source = linecache.getline(path, line).strip()
    text = f"{shown(path)}:{line} in {function}"
    return plain(f"{text}: {short(source)}" if source else text)


def shown(path: str) -> str:
    """Return a path as short as it can be understood: relative to the working directory where it is below that."""
    try:
        below = os.path.relpath(path)
    except (OSError, ValueError):  # no such directory any more; another drive
        return path
    return path if below.startswith(os.pardir) else below
