"""The two ends of a deque, in plain Python; deques.pxd has them in C."""

from __future__ import annotations

from collections import deque
from typing import Any, TypeVar

_T = TypeVar("_T")

size = len


def new() -> deque[Any]:
    """Return an empty deque."""
    return deque()


def pair(first: _T, second: _T) -> list[_T]:
    """Return a list of two."""
    return [first, second]


def push(dq: deque[_T], item: _T) -> None:
    """Append an item at the right."""
    dq.append(item)


def shift(dq: deque[_T]) -> _T:
    """Remove and return the leftmost item."""
    return dq.popleft()
