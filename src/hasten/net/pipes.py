"""The transports of pipes: of the end that is read, and of the end that is written. Terminals and sockets count, too.

A pipe is read once each time the poller says that there is something, and never on suspicion: another process that has
the same file open, as a terminal's are, may have made it blocking again, and a read would stop the loop. So the poller
is asked for what *is* there (LEVEL), and a paused transport takes its pipe out when something comes.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import stat
from typing import Any

import cython

from hasten.kernel import functions, step
from hasten.kernel.channel import Channel
from hasten.kernel.pipe_channel import PipeChannel
from hasten.net import sink as sinks
from hasten.net.endpoint import Endpoint
from hasten.net.receiver import Receiver
from hasten.net.sender import TELL_AFTER, Sender
from hasten.net.sink import Sink
from hasten.poll import events as ev

logger = logging.getLogger("asyncio")

FATAL_READ = "Fatal read error on pipe transport"
FATAL_WRITE = "Fatal write error on pipe transport"
_ReadTransport = asyncio.ReadTransport
_Transport = asyncio.Transport


def listen(transport: Endpoint, events: int) -> bool:
    """Register with the poller. Raises OSError.

    It may know the descriptor already: of a terminal that one transport reads and another one writes, for instance.
    Then it gets one more descriptor of the same file.

    Returns False for a device that cannot be polled, since it never blocks: then the transport fires in the next tick.
    """
    poller = transport.scheduler._poller
    channel = cython.cast(PipeChannel, transport.channel)
    if poller.watch_of(transport.fd) is not None:
        transport.fd = channel.another()
    try:
        poller.register(transport, events)
        return True
    except PermissionError:
        if not stat.S_ISCHR(channel.kind):
            raise
    transport.again(events & (ev.READ | ev.WRITE))
    return False


def part(transport: Endpoint, channel: PipeChannel) -> int:
    """End other transports of the file object that is about to be closed.

    To close a file does not take it out of the poller where others have it open, and afterwards nobody can.
    """
    if channel.fd < 0 or transport.scheduler is None or channel.is_alone():
        return 0
    poller = transport.scheduler._poller
    for item in poller.all_watches():
        if item is transport or not isinstance(item, (ReadPipeTransport, WritePipeTransport)):
            continue
        other = cython.cast(Endpoint, item)
        if other.channel is None:  # the collector takes it apart
            continue
        if cython.cast(PipeChannel, other.channel).made is channel.made:
            other._force_close(OSError(errno.EBADF, "another transport of the same file object has closed it"))
    return 0


def shown(transport: Endpoint) -> str:
    """Return the repr of a transport."""
    text = Endpoint.__repr__(transport)
    loop = transport._loop
    open_still = transport.channel.fd >= 0 and (loop is None or loop.is_closed())  # and nobody will close it
    return f"{text[:-1]} open>" if open_still else text


@cython.cclass
class ReadPipeTransport(Receiver):
    """asyncio.ReadTransport for a pipe, a FIFO, a terminal, a socket. Made by open_reading()."""

    unpolled: bool

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # isinstance(transport, asyncio.ReadTransport) holds without its layout
        return _ReadTransport

    def __repr__(self) -> str:
        return shown(self)

    def status(self) -> list[str]:
        return ["polling" if self.events else "idle"]

    def enter(self) -> int:
        return 0 if self.events or self.paused or self.closing else self.watch_pipe()

    def watch_pipe(self) -> int:
        """Have the poller report what there is to read."""
        self.unpolled = not listen(self, ev.READ | ev.LEVEL)
        return 0

    # ---- reading --------------------------------------------------------------------------

    def react(self) -> int:
        channel = self.channel
        channel.let_others_run()
        self.fired = 0
        if self.closing or self._conn_lost:
            return 0
        return self.unwatch() if self.paused else self.read()

    def interrupted(self, fired: int) -> int:
        # The poller tells once more of what is there. To read on suspicion could block: what interrupts may come after
        # a read.
        return self.again(fired) if not self.events or self.to_begin or self.to_end else 0

    def read(self) -> int:
        """Read once."""
        channel = self.channel
        sink = self.sink
        workshop = channel.workshop
        doing = sinks.ROOM
        try:
            sink.room(workshop)
            doing = sinks.READ
            n = channel.fill()
            if n > 0:
                doing = sinks.ARRIVED
                sink.arrived(workshop, n)
        except BaseException as exc:
            return self.failed(exc, sink, doing)
        if n == 0:
            return self.ended()
        return self.look_again(ev.READ) if self.unpolled else 0

    def failed(self, exc: BaseException, sink: Sink, doing: int) -> int:
        """End the connection because of an error; what the protocol does with data it has does not end it."""
        if doing == sinks.ARRIVED:
            if self.unpolled:
                self.look_again(ev.READ)
            return self.tell(
                "Exception in callback of a read pipe's protocol, which was given data", exc, self._protocol
            )
        return self.fatal(exc, FATAL_READ if doing == sinks.READ else sink.blame(doing))

    def is_usual(self, exc: BaseException) -> bool:
        # the end of a pty's other side
        return step.is_instance(exc, OSError) and exc.errno == errno.EIO  # type: ignore[attr-defined]

    def ended(self) -> int:
        """Nobody writes any more: tell the protocol, and close."""
        sink = self.sink  # get_buffer() may have set another protocol
        if self.closing or self._conn_lost:  # or closed it
            return 0
        self.closing = True
        if self.scheduler.debug:
            logger.info("%r was closed by peer", self)
        self.finish(None)
        try:
            sink.ended()  # there is no other side to keep open
        except BaseException as exc:
            self.tell("Exception in callback protocol.eof_received()", exc, self._protocol)
        return 0

    def go_on(self) -> int:
        if self.events or self._loop is None:
            return 0
        try:
            self.watch_pipe()
        except BaseException as exc:
            self.fatal(exc, FATAL_READ)
        return 0

    def let_go(self, channel: Channel) -> int:
        try:
            part(self, cython.cast(PipeChannel, channel))
        finally:
            Endpoint.let_go(self, channel)
        return 0

    def close(self) -> None:
        """Stop reading, and close the pipe."""
        if self.closing:
            self.end_soon()
            return
        self.closing = True
        self.finish(None)


@cython.cclass
class WritePipeTransport(Sender):
    """asyncio.WriteTransport for a pipe, a FIFO, a terminal, a socket. Made by open_writing().

    The end of what is written and the end of the pipe are one and the same.
    """

    sees_reader: bool
    ignored: int

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # a Transport as asyncio's own is, though it cannot read
        return _Transport

    def __repr__(self) -> str:
        return shown(self)

    def status(self) -> list[str]:
        return ["polling" if self.events & ev.WRITE else "idle", f"bufsize={self.waiting() + self.late_size}"]

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Tell another protocol when to pause and when the pipe is lost."""
        self._protocol = protocol

    def is_reading(self) -> bool:
        """Raise NotImplementedError: there is nothing to read."""
        raise NotImplementedError

    def pause_reading(self) -> None:
        """Raise NotImplementedError, by which a StreamReader knows that it cannot pause."""
        raise NotImplementedError

    def resume_reading(self) -> None:
        """Raise NotImplementedError."""
        raise NotImplementedError

    def enter(self) -> int:
        poller = self.scheduler._poller
        if self.waiting():
            return self.want_write()
        if self.events:  # since connection_made(). What the poller has told before the beginning was over is forgotten
            return poller.modify(self, self.events)
        if self.sees_reader and not self.closing:
            listen(self, ev.READ)
        return 0

    def react(self) -> int:
        channel = cython.cast(PipeChannel, self.channel)
        channel.let_others_run()
        fired = self.fired
        self.fired = 0
        if self._conn_lost:
            return 0
        # a socket may have something to read, and a FIFO that is open for both, too; nobody here wants that
        if self.sees_reader and (fired & ev.HANGUP or (fired & ev.READ and channel.peer_gone())):
            return self.reader_gone()
        if fired & ev.WRITE and self.waiting():
            self.write_ready()
        return 0

    def reader_gone(self) -> int:
        """Nobody can read any more what is written."""
        if self.scheduler.debug:
            logger.info("%r was closed by peer", self)
        self._force_close(BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) if self.waiting() else None)
        return 0

    # ---- writing --------------------------------------------------------------------------

    def cannot_write(self, n: int, method: str) -> int:
        if n == 0:
            return 0
        if self.ignored >= TELL_AFTER:
            logger.warning("pipe closed by peer or os.write(pipe, data) raised exception.")
        self.ignored += 1
        return 0

    def write_failed(self, exc: BaseException) -> int:
        self.ignored += 1
        return self.fatal(exc, FATAL_WRITE)

    def want_write(self) -> int:
        poller = self.scheduler._poller
        try:
            if not self.events:
                listen(self, (ev.READ | ev.WRITE) if self.sees_reader else ev.WRITE)
            else:  # also where it is asked already: what would have blocked may have room, and that was told
                poller.modify(self, self.events | ev.WRITE)
        except BaseException as exc:
            self.write_failed(exc)
        return 0

    def want_no_write(self) -> int:
        poller = self.scheduler._poller
        return poller.modify(self, ev.READ) if self.sees_reader else poller.unregister(self)

    def let_go(self, channel: Channel) -> int:
        try:
            part(self, cython.cast(PipeChannel, channel))
        finally:
            Endpoint.let_go(self, channel)
        return 0

    def write_eof(self) -> None:
        """Close the pipe once what is buffered is written."""
        self.close()

    def close(self) -> None:
        """Close the pipe once what is buffered is written. What is written from now on is dropped."""
        self.depart()
        if self.closing:
            self.end_soon()
            return
        self.closing = self.eof = True
        if not self.waiting():
            self.finish(None)


functions.own_methods(ReadPipeTransport)
functions.own_methods(WritePipeTransport)


def open_reading(loop: Any, channel: PipeChannel, protocol: asyncio.BaseProtocol, waiter: Any) -> ReadPipeTransport:
    """Make the transport that reads a pipe.

    connection_made() is scheduled, then reading starts, then `waiter` gets its result. The protocol's methods run in a
    copy of the current context.
    """
    protocol.connection_made  # noqa: B018 - what is no protocol fails here
    transport = ReadPipeTransport.__new__(ReadPipeTransport)
    if channel is None:  # C would follow it
        raise ValueError("a transport needs an open pipe")
    try:
        channel.leave_blocking()
        transport.bind_protocol(protocol)
        transport.setup(loop, channel, None, None)
    except BaseException:
        channel.leave_alone()
        raise
    transport.waiter = waiter
    transport.begin_soon()
    return transport


def open_writing(
    loop: Any,
    channel: PipeChannel,
    protocol: asyncio.BaseProtocol,
    waiter: Any,
    sees_reader: bool,
    at_once: bool,
) -> WritePipeTransport:
    """Do as open_reading(), for a pipe that is written.

    Arguments:
        sees_reader: the poller tells when its reader has gone.
        at_once: writes are not put off until the loop's batch ends, since others write to the same file.
    """
    protocol.connection_made  # noqa: B018
    transport = WritePipeTransport.__new__(WritePipeTransport)
    if channel is None:
        raise ValueError("a transport needs an open pipe")
    try:
        channel.leave_blocking()
        transport.setup(loop, channel, None, None)
    except BaseException:
        channel.leave_alone()
        raise
    transport._protocol = protocol
    transport.sees_reader = sees_reader
    channel.at_once = at_once
    transport.waiter = waiter
    transport.begin_soon()
    return transport
