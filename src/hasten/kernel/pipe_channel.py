"""What pipe_channel.pyx does, in plain Python."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import stat
from typing import Any

from hasten.kernel import blocking
from hasten.kernel.channel import Channel

_MOST = 1 << 30  # bytes: some systems refuse more, and none takes more at once
_SURE = 256  # bytes that a terminal takes if it has room


def _at_most(fd: int, events: int, n: int) -> int:
    """Return how many bytes of `n` a file of others, too, is given, who may have made it blocking.

    Raises BlockingIOError if it would block.
    """
    if not os.get_blocking(fd):
        return n
    found = select.poll()
    found.register(fd, events)
    if not found.poll(0):
        raise BlockingIOError
    return min(n, _SURE)


class PipeChannel(Channel):
    """A pipe, or what else is read by read(2) and written by write(2), as a transport holds it."""

    def __init__(self) -> None:
        super().__init__()
        self.made: Any = None
        self.file: Any = None
        self.kind = 0
        self.links = 0
        self.shared = False  # others have the same open file, and may have made it blocking since
        self.private = False  # nobody else has it: it is made nonblocking, and stays so
        self.identity = (0, 0)
        self.mode: blocking.Mode | None = None
        self.second = -1

    def __del__(self) -> None:
        if self.second >= 0:
            os.close(self.second)

    def descriptor(self) -> int:
        """Return the number for a system call; -1 once the file is closed, by this channel or by others."""
        return self.fd if self.fd < 0 or is_ours(self.made, self.file, self.fd) else -1

    def _receive(self, buf: Any) -> tuple[int, bool]:
        fd = self.descriptor()
        if self.shared:
            _at_most(fd, select.POLLIN, _MOST)
        return os.readv(fd, [buf]), False

    def _transmit(self, data: Any) -> int:
        fd = self.descriptor()
        most = _at_most(fd, select.POLLOUT, _MOST) if self.shared else _MOST
        with memoryview(data) as view, view.cast("B") as whole, whole[:most] as part:
            return os.write(fd, part)

    def _transmit_many(self, pieces: list[Any]) -> int:
        fd = self.descriptor()
        return self._transmit(pieces[0]) if self.shared and os.get_blocking(fd) else os.writev(fd, pieces)

    def leave_blocking(self) -> int:
        """Make it nonblocking, until close(). Raises OSError."""
        if self.private:
            os.set_blocking(self.fd, False)
            blocking.private_files.add(self.identity)
            return 0
        self.mode = blocking.leave(self.fd, self.identity, id(self.made))
        return 0

    def leave_alone(self) -> int:
        """Be closed, and let the file be as it was."""
        mode, self.mode = self.mode, None
        self.fd = -1
        if self.private:
            blocking.private_files.discard(self.identity)
        if mode is not None:
            blocking.give_back(mode)
        return 0

    def is_alone(self) -> bool:
        """True unless another transport uses the same file object."""
        if self.private:
            return self.identity not in blocking.in_use
        return self.mode is None or (self.identity not in blocking.private_files and blocking.is_alone(self.mode))

    def another(self) -> int:
        """Return one more descriptor of the same open file. Raises OSError."""
        if self.second < 0:
            self.second = os.dup(self.descriptor())
        return self.second

    def peer_gone(self) -> bool:
        """True if nobody can read any more what is written, as far as the platform tells."""
        if not hasattr(select, "POLLRDHUP"):
            return True
        found = select.poll()
        found.register(self.descriptor(), select.POLLRDHUP)
        return bool(found.poll(0))

    def stands_for_standard(self) -> bool:
        """True if standard input, output or error is the same file."""
        for fd in range(3):
            try:
                found = os.fstat(fd)
            except OSError:
                continue
            if (found.st_dev, found.st_ino) == self.identity:
                return True
        return False

    def keeps_apart(self) -> bool:
        """True if what one write gives is read by itself: of datagrams, and of packets in a pipe."""
        if stat.S_ISSOCK(self.kind):
            with socket.socket(fileno=os.dup(self.fd)) as same:
                return same.type != socket.SOCK_STREAM
        return bool(fcntl.fcntl(self.fd, fcntl.F_GETFL) & getattr(os, "O_DIRECT", 0))

    def close(self) -> int:
        fd, second, mode = self.fd, self.second, self.mode
        self.fd = self.second = -1
        self.mode = None
        if second >= 0:
            os.close(second)
        if fd < 0:
            return 0
        if self.private:
            blocking.private_files.discard(self.identity)
        try:
            if mode is not None:
                # now, as close() may write what `made` has still buffered
                blocking.give_back(mode, ours=is_ours(self.made, self.file, fd), closing=True)
        finally:
            self.made.close()
        return 0

    def told(self, name: str) -> Any:
        return self.made if name == "pipe" else None


def is_ours(made: Any, file: Any, fd: int) -> bool:
    """True unless `made` was closed by others: the number may stand for another file by now."""
    try:
        return bool(made.fileno() == fd)
    except Exception:
        return False


def hold(pipe: Any) -> PipeChannel:
    """Take over an open file object. close() closes it. Raises what its fileno() raises, and OSError."""
    channel = PipeChannel()
    fd = pipe.fileno()
    pipe.close  # noqa: B018 - what is no file object fails here, and not when it is to be closed
    found = os.fstat(fd)
    channel.kind = found.st_mode
    channel.links = found.st_nlink
    channel.identity = (found.st_dev, found.st_ino)
    channel.made = pipe
    channel.fd = fd
    return channel
