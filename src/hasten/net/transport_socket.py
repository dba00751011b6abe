"""The socket of a transport, as get_extra_info("socket") gives it."""

from __future__ import annotations

import socket
import weakref
from asyncio.trsock import TransportSocket
from typing import Any


class DepartingSocket(TransportSocket):
    """asyncio's TransportSocket, whose users come behind what they have written to the transport before."""

    __slots__ = ("_transport",)

    def __init__(self, sock: socket.socket, transport: Any) -> None:
        super().__init__(sock)
        self._transport = weakref.ref(transport)  # which refers to this

    def _depart(self) -> None:
        transport = self._transport()
        if transport is not None:
            transport.get_write_buffer_size()  # has what was put off sent

    def fileno(self) -> int:
        """Return the descriptor, for who writes to it."""
        self._depart()
        return super().fileno()

    def dup(self) -> socket.socket:
        """Return another socket for the same connection."""
        self._depart()
        return super().dup()

    def setsockopt(self, *args: Any, **kwargs: Any) -> None:
        """Set an option, for what is written from now on."""
        self._depart()
        super().setsockopt(*args, **kwargs)

    def shutdown(self, how: int) -> None:
        """Shut one side of the connection, or both."""
        self._depart()
        super().shutdown(how)
