"""Where received bytes go: to a Protocol, or a BufferedProtocol. What else takes a transport's bytes derives from Sink.

A transport calls room(), reads at once, and then calls arrived() or, if the peer has ended its side, ended(). None of
them is a call of Python's if what is behind the sink is compiled.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import cython

from hasten.kernel.workshop import Workshop

_BufferedProtocol = asyncio.BufferedProtocol

if not cython.compiled:
    ROOM, READ, ARRIVED, ENDED = range(4)


@cython.cclass
class Sink:
    """The taker of what a transport reads. What its methods raise ends the connection."""

    def room(self, workshop: Workshop) -> int:
        """Make room in the loop's workshop.

        The call of make_room() or borrow_room() comes last: no other code may run between it and the read.
        """
        raise NotImplementedError

    def arrived(self, workshop: Workshop, n: int) -> int:
        """Take `n` bytes, at least one. What lies in make_room()'s room is taken first, by take_bytes()."""
        raise NotImplementedError

    def ended(self) -> bool:
        """Learn that the peer ended its side; return True to keep our side open."""
        raise NotImplementedError

    def blame(self, doing: int) -> str:
        """Return the message for the loop's exception handler. `doing` is what failed: ROOM, READ, ARRIVED or ENDED."""
        return "Fatal read error on socket transport"


NOWHERE = Sink()


@cython.cclass
class AnyProtocolSink(Sink):
    """What the sinks of both kinds of protocol have in common: the end of the bytes."""

    protocol: Any

    def ended(self) -> bool:
        return bool(self.protocol.eof_received())

    def failed(self, method: str) -> str:
        """Return the message for an error that a method of the protocol has raised."""
        return f"Fatal error: protocol.{method}() call failed."


@cython.cclass
class ProtocolSink(AnyProtocolSink):
    """A sink that gives bytes to data_received()."""

    data_received: Any
    latest: int

    def bind(self, protocol: Any) -> int:
        self.protocol = protocol
        # a protocol without it may still write, as in asyncio: the error comes with the first data
        method = getattr(protocol, "data_received", None)
        self.data_received = partial(_ask_again, protocol) if method is None else method
        return 0

    def room(self, workshop: Workshop) -> int:
        return workshop.make_room(self.latest)

    def arrived(self, workshop: Workshop, n: int) -> int:
        data = workshop.take_bytes(n)
        lent = workshop.lent
        self.latest = n
        self.data_received(data)
        return workshop.give_back(data, lent) if lent else 0

    def blame(self, doing: int) -> str:
        if doing == ARRIVED:
            return self.failed("data_received")
        return self.failed("eof_received") if doing == ENDED else Sink.blame(self, doing)


@cython.cclass
class BufferedSink(AnyProtocolSink):
    """A sink that has bytes received into what get_buffer() gives."""

    get_buffer: Any
    buffer_updated: Any

    def __init__(self, protocol: Any) -> None:
        self.protocol = protocol
        self.get_buffer = protocol.get_buffer
        self.buffer_updated = protocol.buffer_updated

    def room(self, workshop: Workshop) -> int:
        if not workshop.borrow_room(self.get_buffer(-1)):
            raise RuntimeError("get_buffer() returned an empty buffer")
        return 0

    def arrived(self, workshop: Workshop, n: int) -> int:
        self.buffer_updated(n)
        return 0

    def blame(self, doing: int) -> str:
        if doing == ROOM:
            return self.failed("get_buffer")
        if doing == ARRIVED:
            return self.failed("buffer_updated")
        return self.failed("eof_received") if doing == ENDED else Sink.blame(self, doing)


def _ask_again(protocol: Any, data: bytes) -> None:
    """Call the method of a protocol that had none when it was set: the error names what is missing."""
    protocol.data_received(data)


def sink_of(protocol: Any) -> Sink:
    """Return a sink for a protocol. Raises what the protocol's attributes raise."""
    if isinstance(protocol, _BufferedProtocol):
        return BufferedSink(protocol)
    sink = cython.cast(ProtocolSink, ProtocolSink.__new__(ProtocolSink))
    sink.bind(protocol)
    return sink
