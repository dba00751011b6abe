"""What the transports have in common: whose they are, in which context their protocol runs, and how they end."""

from __future__ import annotations

import asyncio
import logging
import socket
import warnings
from asyncio.trsock import TransportSocket
from contextvars import Context
from typing import Any

import cython

from hasten.core.scheduler import Scheduler
from hasten.kernel import step
from hasten.poll.contract import Watch

logger = logging.getLogger("asyncio")

_Transport = asyncio.BaseTransport


@cython.cclass
class Endpoint(Watch):
    """The base of the transports: a socket, its protocol, and the connection's end.

    A subclass says in react() what to do when the socket is ready, in status() how it shows itself, in discard() and
    release() what it drops at the end.
    """

    _loop: Any
    scheduler: Scheduler
    _sock: Any
    _protocol: Any
    _server: Any
    _extra: dict[str, Any]
    context: Context
    _conn_lost: int
    started: bool
    closing: bool
    if not cython.compiled:
        _loop = _sock = _protocol = _server = None
        scheduler = None  # type: ignore[assignment]
        _conn_lost = 0
        started = closing = False

    def __init__(self, loop: Any, sock: socket.socket, extra: dict[str, Any] | None, context: Context | None) -> None:
        if self._sock is not None:
            raise RuntimeError("a transport cannot be initialized twice")
        if not isinstance(loop, Scheduler):
            raise TypeError(f"a hasten event loop is needed, not {loop!r}")
        self.fd = sock.fileno()
        self._loop = self.scheduler = loop
        self._sock = sock
        self._extra = {} if extra is None else dict(extra)
        self.context = step.copy_context() if context is None else context
        if "peername" not in self._extra:
            try:
                self._extra["peername"] = sock.getpeername()
            except OSError:
                self._extra["peername"] = None

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return _Transport

    def __repr__(self) -> str:
        info = [type(self).__name__]
        if self._sock is None:
            info.append("closed")
        elif self.closing:
            info.append("closing")
        info.append(f"fd={self.fd}")
        if self._loop is not None and not self._loop.is_closed():
            info.extend(self.status())
        return f"<{' '.join(info)}>"

    def status(self) -> list[str]:
        """For repr: what it is doing."""
        return []

    def __del__(self) -> None:
        if self._sock is not None:
            warnings.warn(f"unclosed transport {self!r}", ResourceWarning, source=self, stacklevel=2)
            self._sock.close()
            if self._server is not None:
                self._server._detach(self)

    # ---- what fired -----------------------------------------------------------------------

    def dispatch(self) -> int:
        self.queued = False
        if not self.fired:
            return 0
        if not cython.compiled:
            return self.context.run(self.react)
        step.context_enter(self.context)
        try:
            self.react()
        finally:
            step.context_exit(self.context)
        return 0

    def react(self) -> int:
        """For subclasses: the socket is ready for `fired`. Runs in the protocol's context."""
        self.fired = 0
        return 0

    def again(self, events: int) -> int:
        """Fires in the next tick, though the poller will not say so."""
        self.scheduler._fire(self, events)
        return 0

    # ---- ending ---------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """True once it is closed or being closed."""
        return bool(self.closing)

    def abort(self) -> None:
        """Closes at once; what is buffered is lost."""
        self._force_close(None)

    def _force_close(self, exc: BaseException | None) -> None:
        if self._conn_lost:
            return
        self.discard()
        self.closing = True
        self.finish(exc)

    def discard(self) -> int:
        """For subclasses: what waits to be sent is lost."""
        return 0

    def finish(self, exc: BaseException | None) -> int:
        """Nothing is left to do but to tell the protocol."""
        self._conn_lost += 1
        self.unwatch()
        self._loop.call_soon(self._call_connection_lost, exc, context=self.context)
        return 0

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        try:
            if self.started:
                self._protocol.connection_lost(exc)
        finally:
            self.get_extra_info("sockname")  # is asked for after the end too, by who writes logs
            self._sock.close()
            self._sock = self._protocol = self._loop = None
            self.release()
            server = self._server
            if server is not None:
                self._server = None
                server._detach(self)

    def release(self) -> int:
        """For subclasses: what was bound of the protocol is let go."""
        return 0

    def unwatch(self) -> int:
        if self.events:
            self.scheduler._poller.unregister(self)
        return 0

    def fatal(self, exc: BaseException, message: str) -> int:
        """An error that ends the connection. The network's own are not worth a report."""
        if isinstance(exc, OSError):
            if self._loop is not None and self._loop.get_debug():
                logger.debug("%r: %s", self, message, exc_info=True)
        else:
            self._tell(message, exc)
        self._force_close(exc)
        return 0

    def _tell(self, message: str, exc: BaseException) -> None:
        self._loop.call_exception_handler(
            {"message": message, "exception": exc, "transport": self, "protocol": self._protocol}
        )

    # ---- who is who -----------------------------------------------------------------------

    def get_protocol(self) -> Any:
        """The protocol."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """ "socket", "sockname", "peername", or what the connection's maker added."""
        value = self._extra.get(name)
        if value is not None:
            return value
        if name == "socket":
            if self._sock is None:
                return default
            self._extra[name] = value = TransportSocket(self._sock)
            return value
        if name == "sockname" and self._sock is not None:
            try:
                value = self._sock.getsockname()
            except OSError:
                return default
            self._extra[name] = value
            return value
        return default
