"""What buffers.pyx does, in plain Python."""

from __future__ import annotations

from typing import Any


def plain(data: Any) -> Any:
    """Return what can be read without running code of others.

    That is bytes, a bytearray or a memoryview itself, a view of anything else with a buffer, and a copy of what does
    not lie in one piece.
    """
    if type(data) is bytes or type(data) is bytearray:
        return data
    view = memoryview(data)
    return view if view.c_contiguous else view.tobytes()


def size(data: Any) -> int:
    """The number of bytes of what plain() returned."""
    with memoryview(data) as view:
        return view.nbytes


def exact(data: Any) -> bytes:
    """Return the bytes of anything with a buffer, copied unless they cannot change."""
    if type(data) is bytes:
        return data
    with memoryview(data) as view:
        return view.tobytes()
