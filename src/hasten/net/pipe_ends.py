"""`connect_read_pipe` and `connect_write_pipe`: what can be a pipe, and how it is handed to a transport."""

from __future__ import annotations

import asyncio
import logging
import stat
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from hasten.kernel import pipe_channel
from hasten.net import pipes

if TYPE_CHECKING:
    from hasten.kernel.pipe_channel import PipeChannel
    from hasten.net.contract import NetLoop

logger = logging.getLogger("asyncio")

_P = TypeVar("_P", bound=asyncio.BaseProtocol)
# Where the end of a FIFO that is written counts as readable while something lies in it, and where nobody tells that its
# reader has gone. Pipes without a name are not concerned.
_BLIND = ("darwin", "ios", "tvos", "watchos", "sunos5")


async def connect_read_pipe(
    loop: NetLoop, protocol_factory: Callable[[], _P], pipe: Any
) -> tuple[asyncio.ReadTransport, _P]:
    """Read from a pipe, a FIFO, a terminal, a socket; return ``(transport, protocol)``.

    Arguments:
        pipe: an open file object. The transport closes it, and it is nonblocking until then.

    Raises:
        ValueError: it is a regular file, a folder, or closed.
        OSError: it cannot be polled.
    """
    protocol = protocol_factory()
    waiter = loop.create_future()
    channel = _held(pipe, "Pipe transport is for pipes/sockets only.")
    transport = pipes.open_reading(loop, channel, protocol, waiter)
    try:
        await waiter
        if loop.get_debug():
            logger.debug("Read pipe %r connected: (%r, %r)", channel.fd, transport, protocol)
    except BaseException:
        transport.close()
        raise
    return transport, protocol  # type: ignore[return-value]


async def connect_write_pipe(
    loop: NetLoop, protocol_factory: Callable[[], _P], pipe: Any
) -> tuple[asyncio.WriteTransport, _P]:
    """Write to a pipe, a FIFO, a terminal, a socket; return ``(transport, protocol)``.

    Arguments and errors are those of connect_read_pipe().
    """
    protocol = protocol_factory()
    waiter = loop.create_future()
    channel = _held(pipe, "Pipe transport is only for pipes, sockets and character devices.")
    at_once = channel.shared or channel.keeps_apart()  # what is put off may be put together
    transport = pipes.open_writing(loop, channel, protocol, waiter, _sees_reader(channel), at_once)
    try:
        await waiter
        if loop.get_debug():
            logger.debug("Write pipe %r connected: (%r, %r)", channel.fd, transport, protocol)
    except BaseException:
        transport.close()
        raise
    return transport, protocol  # type: ignore[return-value]


def _held(pipe: Any, refusal: str) -> PipeChannel:
    try:
        channel = pipe_channel.hold(pipe)
    except AttributeError as exc:
        raise AttributeError(f"{exc}: a pipe is an open file object, as open() and os.fdopen() give it") from None
    mode = channel.kind
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or stat.S_ISCHR(mode)):
        raise ValueError(
            f"{refusal} This is {_kind(mode)}, which is never waited for: read and write it in a thread, by to_thread()"
        )
    # who reads or writes a terminal, or standard input and output, is rarely alone
    channel.shared = stat.S_ISCHR(mode) or channel.stands_for_standard()
    return channel


def _kind(mode: int) -> str:
    if stat.S_ISREG(mode):
        return "a regular file"
    if stat.S_ISDIR(mode):
        return "a folder"
    return "a block device" if stat.S_ISBLK(mode) else "something else"


def _sees_reader(channel: PipeChannel) -> bool:
    """True where the poller tells that nobody can read any more what is written."""
    if stat.S_ISFIFO(channel.kind):
        named = channel.links > 0
        return not sys.platform.startswith("aix") and not (named and sys.platform in _BLIND)
    return stat.S_ISSOCK(channel.kind)
