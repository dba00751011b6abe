"""The reading half of a transport: whether it reads, and where what is read goes.

A class can have one base with fields of C's, so the halves stand one above the other: an Endpoint reads (Receiver), and
then it may write (FlowControl, Sender). The end of a pipe that is written has a reading half, too, as asyncio's has,
whose methods are not implemented.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import cython

from hasten.net import sink as sinks
from hasten.net.endpoint import Endpoint
from hasten.net.sink import Sink

logger = logging.getLogger("asyncio")


@cython.cclass
class Receiver(Endpoint):
    """The base of transports that read. What fires while one is paused is looked at when it goes on."""

    sink: Sink

    def __cinit__(self) -> None:
        self.sink = sinks.NOWHERE

    def release(self) -> int:
        self.sink = sinks.NOWHERE
        return 0

    def bind_protocol(self, protocol: Any) -> int:
        """Give what is read to a protocol. Raises what its attributes raise, and then nothing has changed."""
        sink = sinks.sink_of(protocol)  # before anything is changed: what a protocol's attributes run may raise
        former = (self._protocol, self.sink)  # dropped last: that may run anything
        self._protocol = protocol
        self.sink = sink
        del former
        return 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand the connection over to another protocol."""
        self.bind_protocol(protocol)

    def is_reading(self) -> bool:
        """True while data is delivered to the protocol."""
        return not self.closing and not self.paused

    @property
    def _paused(self) -> bool:
        return bool(self.paused)

    def pause_reading(self) -> None:
        """Deliver no data until resume_reading()."""
        if self.closing or self.paused:
            return
        self.paused = True
        if self.scheduler is not None and self.scheduler.debug:
            logger.debug("%r pauses reading", self)

    def resume_reading(self) -> None:
        """Deliver data again."""
        if self.closing or not self.paused:
            return
        self.paused = False
        self.go_on()
        if self.scheduler is not None and self.scheduler.debug:
            logger.debug("%r resumes reading", self)

    def go_on(self) -> int:
        """Read again, after a pause: first what has come meanwhile."""
        if self.readable:
            events, self.readable = self.readable, 0
            self.look_again(events)
        return 0
