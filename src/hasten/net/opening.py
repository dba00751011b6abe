"""A transport and a protocol on a socket, as connecting, accepting elsewhere, and datagram endpoints end."""

from __future__ import annotations

import asyncio
import contextvars
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from hasten.net.contract import NetLoop

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


async def put_on(
    loop: NetLoop,
    sock: socket.socket,
    protocol_factory: Callable[[], _P],
    make: Callable[[_P, Any, contextvars.Context], Any],
    *,
    ours: bool,
) -> tuple[Any, _P]:
    """Put a protocol on `sock`, and the transport ``make(protocol, waiter, context)``; close the socket if that fails.

    One that a transport has already is left alone, unless it is `ours`: then it has the number of one that was closed
    behind that transport's back. One of ours is nonblocking already.
    """
    try:
        if not ours:
            sock.setblocking(False)  # OSError for one that is closed
        loop._ensure_fd_no_transport(sock)
    except BaseException:
        if ours:
            sock.close()
        raise
    try:
        # One context for all of the transport's callbacks, as asyncio has it since 3.15: what connection_made() sets,
        # data_received() sees.
        context = contextvars.copy_context()
        protocol = protocol_factory()
        waiter = loop.create_future()
        transport = make(protocol, waiter, context)
    except BaseException:
        sock.close()
        raise
    try:
        await waiter
    except BaseException:
        transport.close()
        waiter = None  # it holds the exception, whose traceback holds this frame
        raise
    return transport, protocol
