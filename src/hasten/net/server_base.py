"""What of a server each of its connections needs, in compiled code: what it is made of, and where it is noted."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextvars import Context
from typing import Any

import cython

from hasten.kernel import step


@cython.cclass
class ServerBase:
    """The base of Server (see servers.py), which sets these and says in _wake_waiters_if_done() what it waits for."""

    _sockets: list[socket.socket] | None
    _protocol_factory: Callable[[], Any]
    _context: Context
    _clients: set[Any]

    def _attach(self, transport: Any) -> int:
        """Note a connection until its end."""
        clients = self._clients  # a local holds it: what is compared in it is anybody's, and may replace it
        clients.add(transport)
        return 0

    def _detach(self, transport: Any) -> int:
        """Note that a connection is over; once more does no harm."""
        clients = self._clients
        clients.discard(transport)
        if self._sockets is None:
            self._wake_waiters_if_done()
        return 0

    def _wake_waiters_if_done(self) -> None:
        """The last connection may be gone from a closed server."""

    def make_protocol(self, context: Context) -> Any:
        """Call the protocol factory in `context`."""
        factory = self._protocol_factory
        if not cython.compiled:
            return context.run(factory)
        step.context_enter(context)
        try:
            return factory()
        finally:
            step.context_exit(context)
