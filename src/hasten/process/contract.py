"""What this layer needs of the loop it is given: one page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from hasten.net.contract import NetLoop

if TYPE_CHECKING:
    from hasten.process.watching import Children


class ProcessLoop(NetLoop, Protocol):
    """The part of the loop that ``hasten.process`` uses, beside what ``hasten.net`` does."""

    _children: Children | None  # made with the first child

    def is_closed(self) -> bool: ...
    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any) -> Any: ...
    def _connects_pipes_plainly(self) -> bool: ...
    async def connect_read_pipe(self, protocol_factory: Callable[[], Any], pipe: Any) -> Any: ...
    async def connect_write_pipe(self, protocol_factory: Callable[[], Any], pipe: Any) -> Any: ...
