"""Files to sockets: by the kernel where it can, else read in threads and written.

The kernel is asked for a part at a time, and where there is no room, it is waited for: transports tell of it (see
net/sender), plain sockets are waited for as in `net/sock_calls`. Before each part the file is asked for its descriptor
anew: it may have been closed, and the number may be another file's by then. No function is made here while it runs:
CPython 3.13.0 crashes if there is no memory for one.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import os
import socket
from asyncio import constants
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from hasten.core import again, outcomes
from hasten.kernel import socket_calls
from hasten.net import sock_calls, sockets
from hasten.net.stream import SocketTransport
from hasten.primitives.sleeping import sleep

if TYPE_CHECKING:
    from hasten.net.contract import NetLoop

# Bytes that the kernel is asked to send in one go: then others have their turn.
PART = 1 << 20

# Bytes that are read in one go, for a transport. More of them in memory would not be faster.
BLOCK = 65536

_MODE = constants._SendfileMode  # type: ignore[attr-defined]
_Unavailable = asyncio.SendfileNotAvailableError


async def sendfile(
    loop: Any, transport: Any, file: Any, offset: int = 0, count: int | None = None, *, fallback: bool = True
) -> int:
    """Send a file, opened in binary mode, behind what was written to `transport`; return the number of bytes.

    Writes are refused meanwhile, and nothing is read. Afterwards, also after an error, the file stands behind what was
    sent.

    Arguments:
        offset: the first byte to send.
        count: how many at most; None: up to the end.
        fallback: read the file and write it, where the kernel cannot send it.

    Raises:
        RuntimeError: `transport` is closing, or takes no files.
        SendfileNotAvailableError, a RuntimeError: the kernel cannot, and there is no `fallback`.
        ConnectionError: the connection was lost meanwhile.
        ValueError, TypeError: wrong arguments.
    """
    if transport.is_closing():
        raise RuntimeError("Transport is closing")
    mode = getattr(transport, "_sendfile_compatible", _MODE.UNSUPPORTED)
    if mode is _MODE.UNSUPPORTED:
        raise RuntimeError(f"sendfile is not supported for transport {transport!r}: it takes no stream of bytes")
    if mode is _MODE.TRY_NATIVE:
        try:
            sent: int = await loop._sendfile_native(transport, file, offset, count)
            return sent
        except _Unavailable:
            if not fallback:
                raise
    if not fallback:
        raise RuntimeError(f"fallback is disabled and native sendfile is not supported for transport {transport!r}")
    return await _by_writing(loop, transport, file, offset, count)


async def native(loop: Any, transport: Any, file: Any, offset: int, count: int | None) -> int:
    """Do as sendfile(), by the kernel. Raises SendfileNotAvailableError where it cannot."""
    check_arguments(file, offset, count)
    if not issubclass(type(transport), SocketTransport):  # isinstance() goes by what an object says it is
        raise _Unavailable(f"native sendfile is not supported for transport {transport!r}")
    fd = descriptor(file)
    reading = transport.is_reading()
    buffered: list[bool] = []
    try:
        again.once(buffered, transport._begin_file)
        transport.pause_reading()
        if buffered[0]:
            await _room_of(transport)
        return await _by_kernel(transport._send_file, partial(_room_of, transport), file, fd, offset, count)
    finally:
        # an interruption may come after each call, and a file that does not end would refuse all writes
        if buffered:
            try:
                transport._end_file()
            finally:
                if reading and not loop.is_closed():
                    transport.resume_reading()


async def _room_of(transport: Any) -> None:
    """Wait until nothing is buffered and more may be sent. Raises ConnectionError if the connection is lost."""
    cause = await transport._room()
    if cause is not None:
        try:
            if isinstance(cause, ConnectionError):
                raise cause
            raise ConnectionError("the connection was lost while a file was being sent") from cause
        finally:
            del cause  # its traceback holds this frame


async def sock_sendfile(
    loop: Any,
    sock: socket.socket,
    file: Any,
    offset: int = 0,
    count: int | None = None,
    *,
    fallback: bool | None = True,
) -> int:
    """Send a file, opened in binary mode, over the connected stream socket `sock`; return the number of bytes.

    Arguments and errors: see sendfile(). OSError also for what the socket or the file is not able to.
    """
    sockets.check_socket(loop, sock)
    check_arguments(file, offset, count)
    if sock.type != socket.SOCK_STREAM:
        raise ValueError("only SOCK_STREAM type sockets are supported")
    try:
        sent: int = await loop._sock_sendfile_native(sock, file, offset, count)
        return sent
    except _Unavailable:
        if not fallback:
            raise
    block = constants.SENDFILE_FALLBACK_READBUFFER_SIZE
    return await _by_reading(loop, file, offset, count, block, partial(loop.sock_sendall, sock))


async def sock_native(loop: NetLoop, sock: socket.socket, file: Any, offset: int, count: int | None) -> int:
    """Do as sock_sendfile(), by the kernel. Raises SendfileNotAvailableError where it cannot."""

    fd = descriptor(file)
    send = partial(_send_to, loop, sock)
    return await _by_kernel(send, partial(sock_calls.writable, loop, sock), file, fd, offset, count)


def _send_to(loop: NetLoop, sock: socket.socket, fd: int, start: int, size: int) -> int:
    loop._stir()
    sent: int = socket_calls.send_file(sock.fileno(), fd, start, size)
    return sent


# ---- what the arguments are -----------------------------------------------------------------------


def check_arguments(file: Any, offset: Any, count: Any) -> None:
    """Raise ValueError or TypeError for a file in text mode, a negative offset, a count that is not positive."""
    if "b" not in getattr(file, "mode", "b"):
        raise ValueError("file should be opened in binary mode")
    if count is not None:
        if not isinstance(count, int):
            raise TypeError(f"count must be a positive integer (got {count!r})")
        if count <= 0:
            raise ValueError(f"count must be a positive integer (got {count!r})")
    if not isinstance(offset, int):
        raise TypeError(f"offset must be a non-negative integer (got {offset!r})")
    if offset < 0:
        raise ValueError(f"offset must be a non-negative integer (got {offset!r})")


def descriptor(file: Any) -> int:
    """Return the descriptor of an open file. Raises SendfileNotAvailableError for what has none."""
    if not hasattr(os, "sendfile"):
        raise _Unavailable("os.sendfile() is not available")
    try:
        fd: int = file.fileno()
    except (AttributeError, io.UnsupportedOperation):
        raise _Unavailable("not a regular file: it has no file descriptor") from None
    try:
        os.fstat(fd)
    except OSError as exc:
        raise _Unavailable(f"not a regular file: {exc}") from exc
    return fd


# ---- by the kernel --------------------------------------------------------------------------------


async def _by_kernel(
    send: Callable[[int, int, int], int],
    room: Callable[[], Awaitable[None]],
    file: Any,
    fd: int,
    offset: int,
    count: int | None,
) -> int:
    """Have the kernel send, part by part, and wait for `room` in between; leave the file behind what was sent."""
    sent = 0
    try:
        while count is None or sent < count:
            if file.fileno() != fd:
                raise ValueError("the file was opened anew while it was being sent")
            size = PART if count is None else min(PART, count - sent)
            try:
                n = send(fd, offset + sent, size)
            except (BlockingIOError, InterruptedError):
                n = -1
            except ConnectionError:
                raise
            except OSError as exc:
                if sent == 0:
                    raise _Unavailable(f"os.sendfile call failed: {exc}") from exc
                if exc.errno == errno.ENOTCONN:  # as some systems say it
                    raise ConnectionError(errno.ENOTCONN, "socket is not connected") from exc
                raise
            if n == 0:
                break
            if n > 0:
                sent += n
                if sent != count:
                    await sleep(0)
            else:
                await room()
        return sent
    finally:
        _leave_at(file, fd, offset + sent)


def _leave_at(file: Any, fd: int, position: int) -> None:
    """Set the position of the file. One that was closed meanwhile has none; what is no file either."""
    try:
        if file.fileno() != fd:
            return
    except Exception:
        return
    try:
        file.seek(position)  # not past a buffer that it may have
    except Exception:
        with contextlib.suppress(OSError, OverflowError):
            os.lseek(fd, position, os.SEEK_SET)


# ---- read and written -----------------------------------------------------------------------------


async def _by_reading(
    loop: Any, file: Any, offset: int, count: int | None, block: int, write: Callable[[bytes], Awaitable[None]]
) -> int:
    """Read blocks in a thread and write each; leave the file behind what was written."""
    seekable = _begin_at(file, offset)
    room = memoryview(bytearray(block if count is None else min(count, block)))
    sent = 0
    try:
        while count is None or sent < count:
            part = room if count is None else room[: min(len(room), count - sent)]
            n = await loop.run_in_executor(None, file.readinto, part)
            if not n:
                break
            if not 0 < n <= len(part):
                raise ValueError(f"readinto() of {file!r} gave {n}: a number of bytes up to {len(part)} was expected")
            await write(bytes(part[:n]))  # a copy: it may be kept, and the room is read into again
            sent += n
    except BaseException:
        if sent > 0 and seekable:
            with contextlib.suppress(Exception):  # it was closed meanwhile, say: the first error counts
                file.seek(offset + sent)
        raise
    if sent > 0 and seekable:
        file.seek(offset + sent)
    return sent


def _begin_at(file: Any, offset: int) -> bool:
    """Set the position of the file to `offset`. False: it has none (a pipe), and is read from where it stands."""
    if offset == 0:
        seekable = getattr(file, "seekable", None)
        if not hasattr(file, "seek") or not (seekable is None or seekable()):
            return False
    file.seek(offset)
    return True


async def _by_writing(loop: Any, transport: Any, file: Any, offset: int, count: int | None) -> int:
    """Read the file and write it to the transport, whose protocol stands aside meanwhile."""
    check_arguments(file, offset, count)
    stand_in = StandIn(transport)
    try:
        return await _by_reading(loop, file, offset, count, BLOCK, stand_in.write)
    finally:
        stand_in.leave()


class StandIn(asyncio.Protocol):
    """The protocol of a transport while a file is read and written to it: it hears of room, and of the end."""

    def __init__(self, transport: Any) -> None:
        paused = getattr(transport, "_protocol_paused", None)
        if not isinstance(paused, bool):
            raise TypeError(
                f"transport {transport!r} does not tell whether its protocol is paused: no file can be sent"
            )
        self._transport = transport
        self._protocol = transport.get_protocol()
        self._was_reading = transport.is_reading()
        self._was_paused = self._paused = paused
        self._lost = False
        self._cause: BaseException | None = None
        self._room: asyncio.Future[None] | None = None
        transport.pause_reading()
        try:
            transport.set_protocol(self)
        except BaseException:
            self._go_on_reading()
            raise

    async def write(self, data: bytes) -> None:
        """Write when there is room: what was written then counts. Raises ConnectionError if the connection is lost."""
        while self._paused and not self._lost:
            self._room = asyncio.get_running_loop().create_future()
            await self._room
        if self._lost:
            if isinstance(self._cause, ConnectionError):
                raise self._cause
            raise ConnectionError("Connection is closed by peer") from self._cause
        if self._transport.is_closing():
            raise ConnectionError("Connection closed by peer")
        self._transport.write(data)

    def leave(self) -> None:
        """Give the transport back to its protocol, unless somebody has set another one meanwhile."""
        if self._lost:
            return
        replaced = self._transport.get_protocol() is not self
        if not replaced:
            self._transport.set_protocol(self._protocol)
        self._go_on_reading()
        if replaced:
            return
        if self._was_paused and not self._paused:
            self._protocol.resume_writing()
        elif self._paused and not self._was_paused:
            self._protocol.pause_writing()

    def _go_on_reading(self) -> None:
        if self._was_reading:
            self._transport.resume_reading()

    def _tell(self) -> None:
        if self._room is not None:
            outcomes.set_unless_done(self._room)

    def connection_made(self, transport: Any) -> None:
        """Raise RuntimeError: that was long ago."""
        raise RuntimeError("Invalid state: connection should have been established already.")

    def connection_lost(self, exc: BaseException | None) -> None:
        """End who sends the file, and hand on."""
        self._lost, self._cause = True, exc
        self._tell()
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Have who sends the file wait."""
        self._paused = True

    def resume_writing(self) -> None:
        """Wake who sends the file."""
        self._paused = False
        self._tell()

    def data_received(self, data: bytes) -> None:
        """Raise RuntimeError: nothing is to be read."""
        raise RuntimeError("Invalid state: reading should be paused")

    def eof_received(self) -> None:
        """Raise RuntimeError: nothing is to be read."""
        raise RuntimeError("Invalid state: reading should be paused")
