"""What the transports have in common: whose they are, in which context their protocol runs, and how they end."""

from __future__ import annotations

import asyncio
import logging
import socket
import warnings
from contextvars import Context
from typing import Any

import cython

from hasten.core import outcomes, report
from hasten.core.scheduler import Scheduler
from hasten.kernel import functions, step
from hasten.kernel.channel import Channel
from hasten.net.server_base import ServerBase
from hasten.net.transport_socket import DepartingSocket
from hasten.poll import events as ev
from hasten.poll.contract import Watch

logger = logging.getLogger("asyncio")

_Transport = asyncio.BaseTransport
_get_extra_info = asyncio.Transport.get_extra_info
_NOTHING = Channel()
_NOTHING.at_once = True  # what is written to it is not put off


@cython.cclass
class Endpoint(Watch):
    """The base of the transports: a channel, its protocol, and the connection's beginning and end.

    Beginning and end are callbacks: the transport itself stands in the ready queue for them. A subclass says in enter()
    what it asks the poller for, in react() what to do when the socket is ready, in status() how it shows itself, in
    discard() and release() what it drops at the end.
    """

    _loop: Any
    scheduler: Scheduler
    channel: Channel
    _protocol: Any
    _server: ServerBase | None
    waiter: Any
    extra: dict[str, Any] | None
    context: Context
    lost_by: BaseException | None
    _conn_lost: int
    to_begin: bool
    to_end: bool
    started: bool
    closing: bool
    inside: bool
    paused: bool
    readable: int
    at_end: bool
    retrying: bool
    leaving: bool
    eof: bool
    internet: bool
    filing: bool
    counted: bool
    if not cython.compiled:

        def stir(self) -> int:
            if self.scheduler is not None:
                self.scheduler._poller.stirred = True
                self.scheduler.departures.written = True
            return 0

    def __cinit__(self) -> None:
        self.channel = _NOTHING
        step.drop_dict(self)

    def setup(self, loop: Any, channel: Channel, extra: dict[str, Any] | None, context: Context | None) -> int:
        if self.channel is not _NOTHING:
            raise RuntimeError("a transport cannot be initialized twice")
        if not isinstance(loop, Scheduler):
            raise TypeError(f"a hasten event loop is needed, not {loop!r}")
        if channel is None or channel.fd < 0:
            raise ValueError("a transport needs an open socket")
        self.fd = channel.fd
        self._loop = self.scheduler = loop
        self.channel = channel
        channel.workshop = self.scheduler.workshop
        self.extra = None if extra is None else dict(extra)
        self.context = step.copy_context() if context is None else context
        self.counted = True
        self.scheduler.transports += 1
        self.scheduler.transports_made += 1
        return 0

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return _Transport

    def __repr__(self) -> str:
        info = [type(self).__name__]
        if self.channel.fd < 0:
            info.append("closed")
        elif self.closing:
            info.append("closing")
        info.append(f"fd={self.fd}")
        if self._loop is not None and not self._loop.is_closed():
            info.extend(self.status())
        return f"<{' '.join(info)}>"

    def status(self) -> list[str]:
        """The words that repr() shows: what it is doing."""
        return []

    def __del__(self) -> None:
        channel = self.channel
        if channel is None or channel.fd < 0:  # None: it is called while the collector takes the transport apart
            return
        try:
            warnings.warn(f"unclosed transport {self!r}", ResourceWarning, source=self, stacklevel=2)
        finally:
            self.closing = True  # code that reaches it while the collector takes it apart cannot write
            self._conn_lost += 1
            self.let_go(channel)

    # ---- what fired -----------------------------------------------------------------------

    def dispatch(self) -> int:
        """Run one turn in the protocol's context. What a protocol raises is caught here, and nowhere else."""
        fired = self.fired
        self.queued = False
        if not fired or self._loop is None:  # None: it is over, or the collector takes it apart
            return 0
        try:
            if self.inside or not cython.compiled:
                self.turn_elsewhere()
            else:
                step.context_enter(self.context)
                self.inside = True
                try:
                    self.turn()
                finally:
                    self.inside = False
                    step.context_exit(self.context)
        except (SystemExit, KeyboardInterrupt):
            self.interrupted(fired)
            raise
        except BaseException as exc:
            self.fatal(exc, "Fatal error on transport")
        return 0

    def interrupted(self, fired: int) -> int:
        """Keep what was not looked at for who runs the loop again."""
        return self.again(fired)

    def turn_elsewhere(self) -> int:
        """Run a turn without entering the context here."""
        inside, self.inside = self.inside, True
        try:
            # the protocol may run the loop itself, by _run_once(), and a context cannot be entered twice
            (self.context.copy() if inside else self.context).run(self.turn_again)
        finally:
            self.inside = inside
        return 0

    def turn_again(self) -> None:
        """Call turn(): Python can call this one."""
        self.turn()

    def turn(self) -> int:
        if not (self.to_begin or self.to_end):
            return self.react()
        self.fired = 0
        if self.to_begin:
            self.to_begin = False
            return self.begin()
        self.to_end = False
        return self.end()

    def begin(self) -> int:
        """Run the first callback: connection_made(), then start()."""
        try:
            self.introduce()
            self.start()
        except (SystemExit, KeyboardInterrupt):
            self.to_begin = True  # the rest, for who runs the loop again
            raise
        finally:
            self.end_soon()
        return 0

    def introduce(self) -> int:
        if not self.started:
            self.started = True
            try:
                self._protocol.connection_made(self)
            except BaseException as exc:
                self.tell("Exception in callback protocol.connection_made()", exc, self._protocol)
        return 0

    def start(self) -> int:
        """Have the poller report, then wake who waits for the connection."""
        error = None
        try:
            self.enter()
        except BaseException as exc:
            self.let_pass(exc)
            error = exc
        return self.begun(error)

    def enter(self) -> int:
        """Register with the poller, unless it is over already. For subclasses."""
        return 0

    def begun(self, error: BaseException | None) -> int:
        """Tell who waits for the beginning that it is over, or why it failed; that ends the connection."""
        waiter, self.waiter = self.waiter, None
        waited_for = waiter is not None and not waiter.done()
        if error is None:
            if waited_for:
                outcomes.set_unless_done(waiter)
        elif waited_for:
            self._force_close(error)
            outcomes.fail_unless_done(waiter, error)
        else:
            self.fatal(error, "Fatal error on transport")
        return 0

    def begin_soon(self) -> int:
        """Have begin() called in the next batch."""
        self.to_begin = True
        try:
            return self.scheduler._fire(self, ev.READ)
        except BaseException:  # no memory. Only its server knows of it, and would wait for its end
            self.let_go(self.channel)
            raise

    def react(self) -> int:
        """Do what `fired` says the socket is ready for, in the protocol's context. For subclasses."""
        self.fired = 0
        return 0

    def again(self, events: int) -> int:
        """Fire in the next tick, though the poller will not say so."""
        self.scheduler._fire(self, events)
        return 0

    def look_again(self, events: int) -> int:
        """Call again(); without memory for it, have the poller report once more what is there."""
        poller = self.scheduler._poller
        try:
            return self.again(events)
        except MemoryError:
            return poller.modify(self, self.events)

    # ---- ending ---------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """True once the transport is closed or being closed."""
        return bool(self.closing)

    def abort(self) -> None:
        """Close at once and drop what is buffered."""
        self._force_close(None)

    def _force_close(self, exc: BaseException | None) -> None:
        if not self._conn_lost:
            self.depart()
        if self._conn_lost:
            self.end_soon()
            return
        self.discard()
        self.closing = True
        self.finish(exc)

    def depart(self) -> int:
        """Send what was put off until the end of the batch, as far as the channel takes it. For subclasses."""
        return 0

    def leave_to_parent(self) -> bool:
        """Drop what was put off before a fork by C code, of which Python is not told: the parent sends it."""
        if self.scheduler is None:  # the collector takes it apart
            return False
        departures = self.scheduler.departures
        if not departures.is_inherited():
            return False
        departures.abandon()
        return True

    def discard(self) -> int:
        """Drop what waits to be sent. For subclasses."""
        return 0

    def finish(self, exc: BaseException | None) -> int:
        """Schedule connection_lost(): nothing else is left to do."""
        if self._loop is None:
            raise RuntimeError("the transport was not initialized: it is made by the loop's methods")
        self._conn_lost += 1
        self.unwatch()
        if self.queued:  # its place in the ready queue is before callbacks scheduled since
            try:
                context = self.context.copy() if self.inside else self.context  # nobody can enter one twice
                self._loop.call_soon(self._call_connection_lost, exc, context=context)
                return 0
            except MemoryError:
                pass  # the end comes nevertheless: early rather than never
        self.to_end = True
        self.lost_by = exc
        return self.again(ev.READ)

    def end_soon(self) -> int:
        """Have end() called if that is due: the first attempt may have failed for lack of memory."""
        if self.to_end:
            self.again(ev.READ)
        return 0

    def end(self) -> int:
        """Run the last callback: connection_lost()."""
        exc, self.lost_by = self.lost_by, None
        protocol = self._protocol
        try:
            self._call_connection_lost(exc)
        except BaseException as error:
            self.tell("Exception in callback protocol.connection_lost()", error, protocol)
        return 0

    def _call_connection_lost(self, exc: BaseException | None) -> None:
        if self._loop is None:
            return
        channel = self.channel
        try:
            if self.started:
                self._protocol.connection_lost(exc)
        finally:
            try:
                channel.note_end()  # is asked for after the end too, by who writes logs
            finally:
                self._protocol = self._loop = None
                self.release()
                self.let_go(channel)

    def let_go(self, channel: Channel) -> int:
        """Close the socket and tell the server."""
        server, self._server = self._server, None
        if self.counted and self.scheduler is not None:
            self.counted = False
            self.scheduler.transports -= 1
        try:
            channel.close()
        finally:
            try:
                if server is not None:
                    self.take_off(server)
            finally:
                self.stir()  # a peer on this loop sees the end
        return 0

    def take_off(self, server: ServerBase) -> int:
        """Tell the server that the connection is over, and once more if a Ctrl-C comes: it waits for its last one."""
        try:
            server._detach(self)
        except BaseException as exc:
            if step.ends_loop(exc):
                server._detach(self)
            raise
        return 0

    def release(self) -> int:
        """Drop the references to the protocol's methods. For subclasses."""
        return 0

    def unwatch(self) -> int:
        if self.events:
            poller = self.scheduler._poller
            try:
                poller.unregister(self)
            except BaseException as exc:  # the end comes nevertheless
                self.tell("The poller failed to let a transport go", exc, self._protocol)
        return 0

    def fatal(self, exc: BaseException, message: str) -> int:
        """End the connection because of an error. A usual one is not reported; what ends the loop is raised."""
        self.let_pass(exc)
        try:
            if not self.is_usual(exc):
                self.tell(message, exc, self._protocol)
            elif self._loop is not None and self.scheduler.debug:
                logger.debug("%r: %s", self, message, exc_info=True)
        finally:
            self._force_close(exc)
        return 0

    def is_usual(self, exc: BaseException) -> bool:
        """True for an error that connections end with: connection_lost() tells of it, and nobody else."""
        return step.is_instance(exc, OSError)

    def tell(self, message: str, exc: BaseException, protocol: Any) -> int:
        """Report an error to the loop's exception handler, whose own errors are logged; raise what ends the loop."""
        self.let_pass(exc)
        # the scheduler stays, when _loop is gone
        report.tell(self.scheduler, {"message": message, "exception": exc, "transport": self, "protocol": protocol})
        return 0

    def let_pass(self, exc: BaseException) -> int:
        if step.ends_loop(exc):
            raise exc
        return 0

    # ---- who is who -----------------------------------------------------------------------

    def get_protocol(self) -> Any:
        """The protocol that the transport calls; None once the connection is lost."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known under `name`: "socket", "sockname", "peername", "pipe", or what was added to it."""
        replaced: Any = asyncio.Transport.get_extra_info
        if (
            replaced is not _get_extra_info
        ):  # by a test, which means the transports that it gets, wherever they are made
            call = replaced.__get__(self) if hasattr(replaced, "__get__") else replaced
            return call(name) if default is None else call(name, default)
        value = self.told(name)
        return default if value is None else value

    def told(self, name: str) -> Any:
        """The value for get_extra_info(), or None."""
        if name == "socket" or name == "pipe":
            self.depart()  # the caller may write to it itself
        value = None if self.extra is None else self.extra.get(name)
        channel = self.channel
        if value is not None or channel is None:  # None: the collector has taken it away
            return value
        value = channel.told(name)
        if value is not None and name == "socket":
            value = DepartingSocket(value, self)
            if self.extra is None:
                self.extra = {}
            self.extra[name] = value
        return value

    @property
    def _extra(self) -> dict[str, Any]:
        """The dict that asyncio's own get_extra_info() reads; a replacement of that method may call it."""
        if self.extra is None:
            self.extra = {}
        for name in ("socket", "sockname", "peername", "pipe"):
            value = self.told(name)
            if value is not None:
                self.extra[name] = value
        return self.extra

    @property
    def _sock(self) -> socket.socket | None:
        """The socket object; None once closed."""
        channel = self.channel
        self.depart()
        return None if channel.fd < 0 else channel.told("socket")


functions.clear_dict_last(Endpoint)
