"""What buffers.pyx does, in plain Python."""

from __future__ import annotations

from typing import Any


def plain(data: Any) -> Any:
    """What can be looked at without running anything: bytes, a bytearray or a memoryview themselves, a view of what
    else has a buffer, a copy of what does not lie in one piece."""
    if type(data) is bytes or type(data) is bytearray:
        return data
    view = memoryview(data)
    return view if view.c_contiguous else view.tobytes()


def size(data: Any) -> int:
    """The number of bytes of something plain()."""
    with memoryview(data) as view:
        return view.nbytes


def exact(data: Any) -> bytes:
    """The bytes of anything with a buffer, copied unless they cannot change."""
    if type(data) is bytes:
        return data
    with memoryview(data) as view:
        return view.tobytes()
