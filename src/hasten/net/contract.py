"""What the network functions need of the loop they are given: one page.

``net`` stands below ``loop`` and cannot import it. Its functions take the loop as their first argument and rely on
the methods below; ``hasten.loop.Loop`` has them all. Anything that asyncio's own loop offers publicly is called by
its public name, so that a loop whose ``getaddrinfo`` or ``sock_connect`` was replaced is respected.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

# (family, type, protocol, canonical name, address), as socket.getaddrinfo gives them
AddrInfo: TypeAlias = "tuple[int, int, int, str, Any]"


class Waits(Protocol):
    """Who waits inside a ``sock_*`` method, by file descriptor."""

    readers: dict[int, tuple[socket.socket, Any]]
    writers: dict[int, tuple[socket.socket, Any]]


class NetLoop(Protocol):
    """The part of the loop that ``hasten.net`` uses."""

    slow_callback_duration: float

    @property
    def _sock_waits(self) -> Waits: ...

    def time(self) -> float: ...
    def get_debug(self) -> bool: ...
    def create_future(self) -> Any: ...
    def create_task(self, coro: Coroutine[Any, Any, Any]) -> Any: ...
    def call_soon(self, callback: Callable[..., Any], *args: Any) -> Any: ...
    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Any: ...
    def _stir(self) -> None: ...  # something was sent
    def call_exception_handler(self, context: dict[str, Any]) -> None: ...

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Sequence[AddrInfo]: ...
    async def sock_connect(self, sock: socket.socket, address: Any) -> None: ...

    # Level-triggered, at most one of each per descriptor: a second registration replaces the first and cancels its
    # handle. Removing says whether there was something to remove, and does nothing on a closed loop.
    def _add_reader(self, fd: int, callback: Callable[..., Any], *args: Any) -> Any: ...
    def _remove_reader(self, fd: int) -> bool: ...
    def _add_writer(self, fd: int, callback: Callable[..., Any], *args: Any) -> Any: ...
    def _remove_writer(self, fd: int) -> bool: ...
    def _ensure_fd_no_transport(self, fd: Any) -> None: ...
