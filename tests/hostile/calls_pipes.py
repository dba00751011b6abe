"""More of calls.py: the transports of pipes and of a terminal. As calls_net.py has it, each is closed by AFTER."""

from __future__ import annotations

import contextlib
import os
import pty
import tty
from collections.abc import Callable
from typing import Any

from .calls import Call, outside
from .calls_net import AFTER, Buffered, Kept, tick
from .ticks import Stuck, run_some_ticks


class Kind:
    """How the two ends of a pipe are made."""

    def __init__(self, name: str, make: Callable[[], tuple[int, int]]) -> None:
        self.name = name
        self.make = make


def _terminal() -> tuple[int, int]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    return master, slave


PIPE = Kind("pipe", os.pipe)
TERMINAL = Kind("terminal", _terminal)


def drain(fd: int) -> None:
    """Reads all that is there."""
    with contextlib.suppress(OSError):  # EAGAIN; EIO of a terminal
        while os.read(fd, 1 << 18):
            pass


class End:
    """A transport of one end, and the file descriptor of the other. At the end it is lost, once."""

    def __init__(self, loop: Any, kind: Kind, reads: bool, protocol: Callable[[], Kept]) -> None:
        self.loop = loop
        self.reads = reads
        near, far = kind.make() if reads else kind.make()[::-1]
        self.far = far
        os.set_blocking(far, False)
        self.file = os.fdopen(near, "rb" if reads else "wb", 0)
        connect = loop.connect_read_pipe if reads else loop.connect_write_pipe
        self.transport, self.protocol = loop.run_until_complete(connect(protocol, self.file))
        AFTER.append(self.end)

    def close(self) -> None:
        far, self.far = self.far, -1
        if far >= 0:
            os.close(far)

    def end(self) -> None:
        if not self.reads:
            for _ in range(1000):
                if self.far < 0 or self.transport.get_write_buffer_size() == 0:
                    break
                drain(self.far)
                tick(self.loop)
            else:
                raise Stuck("what is buffered is not written")
        self.transport.abort()
        self.close()
        tick(self.loop)
        if self.protocol.lost != 1 or not self.file.closed:
            raise Stuck(f"connection_lost() was called {self.protocol.lost} times")


def _of(
    name: str,
    deed: Callable[[Any, End], object],
    *,
    reads: bool,
    kinds: tuple[Kind, ...] = (PIPE, TERMINAL),
    protocol: Callable[[], Kept] = Kept,
    ready: Callable[[End], object] = id,
) -> None:
    """A deed with a transport while the loop does not run, then some ticks."""
    for kind in kinds:

        def scene(ns: Any, loop: Any, kind: Kind = kind) -> Call:
            made = End(loop, kind, reads, protocol)
            ready(made)

            def call() -> None:
                deed(made.transport, made)
                tick(loop)

            return call

        scene.__name__ = f"net_{kind.name}_{name}"
        outside(scene)


def _send(end: End) -> None:
    if end.far >= 0:
        os.write(end.far, b"x" * 1000)


def _full(end: End) -> None:
    end.transport.write(b"x" * 1_000_000)
    assert end.transport.get_write_buffer_size()
    tick(end.loop)


def _paused(end: End) -> None:
    end.transport.pause_reading()
    _send(end)
    tick(end.loop)


_of("data", lambda t, end: _send(end), reads=True)
_of("data_buffered", lambda t, end: _send(end), reads=True, protocol=Buffered)
_of("end", lambda t, end: end.close(), reads=True)
_of("stop", lambda t, end: t.close(), reads=True)
_of("pause", lambda t, end: (t.pause_reading(), t.is_reading(), _send(end)), reads=True)
_of("resume", lambda t, end: t.resume_reading(), reads=True, ready=_paused)
_of("set_protocol", lambda t, end: t.set_protocol(t.get_protocol()), reads=True)
_of("write", lambda t, end: t.write(b"x" * 100), reads=False)
_of("writelines", lambda t, end: t.writelines([b"a", bytearray(b"b"), memoryview(b"c")]), reads=False)
_of("write_much", lambda t, end: (t.write(b"x" * 1_000_000), drain(end.far)), reads=False)
_of("write_behind", lambda t, end: t.write(b"x" * 100), reads=False, ready=_full)
_of("written", lambda t, end: drain(end.far), reads=False, ready=_full)
_of("close", lambda t, end: (t.close(), drain(end.far)), reads=False, ready=_full)
_of("abort", lambda t, end: t.abort(), reads=False, ready=_full)
_of("gone", lambda t, end: (end.close(), t.write(b"x")), reads=False)
_of("gone_when_full", lambda t, end: end.close(), reads=False, ready=_full)
_of("shows", lambda t, end: (repr(t), t.get_extra_info("pipe")), reads=False)


def _connects(name: str, kind: Kind, reads: bool) -> None:
    def scene(ns: Any, loop: Any) -> Call:
        near, far = kind.make() if reads else kind.make()[::-1]
        file = os.fdopen(near, "rb" if reads else "wb", 0)
        protocol = Kept()
        connect = loop.connect_read_pipe if reads else loop.connect_write_pipe

        def factory() -> Kept:
            return protocol

        def close() -> None:
            if protocol.transport is not None:
                protocol.transport.abort()
            tick(loop)
            file.close()
            os.close(far)
            if protocol.made != protocol.lost:
                raise Stuck(f"connection_made() {protocol.made} times, connection_lost() {protocol.lost} times")

        AFTER.append(close)

        def call() -> None:
            coro = connect(factory, file)
            try:
                run_some_ticks(loop, coro)
            finally:
                coro.close()

        return call

    scene.__name__ = f"net_{kind.name}_{name}"
    outside(scene)


for _kind in (PIPE, TERMINAL):
    _connects("connects_reading", _kind, True)
    _connects("connects_writing", _kind, False)
