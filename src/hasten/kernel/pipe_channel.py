"""What pipe_channel.pyx does, in plain Python."""

from __future__ import annotations

import os
import select
from typing import Any

from hasten.kernel import blocking
from hasten.kernel.channel import Channel

_MOST = 1 << 30  # bytes: some systems refuse more, and none takes more at once


class PipeChannel(Channel):
    """A pipe, or what else is read by read(2) and written by write(2), as a transport holds it."""

    def __init__(self) -> None:
        super().__init__()
        self.made: Any = None
        self.file: Any = None
        self.kind = 0
        self.links = 0
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
        return os.readv(self.descriptor(), [buf]), False

    def _transmit(self, data: Any) -> int:
        with memoryview(data) as view, view.cast("B") as whole, whole[:_MOST] as part:
            return os.write(self.descriptor(), part)

    def _transmit_many(self, pieces: list[Any]) -> int:
        return os.writev(self.descriptor(), pieces)

    def leave_blocking(self) -> int:
        """Make it nonblocking, until close(). Raises OSError."""
        self.mode = blocking.leave(self.fd, self.identity)
        return 0

    def leave_alone(self) -> int:
        """Be closed, and let the file be as it was."""
        mode, self.mode = self.mode, None
        self.fd = -1
        if mode is not None:
            blocking.give_back(mode, True)
        return 0

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

    def close(self) -> int:
        fd, second, mode = self.fd, self.second, self.mode
        self.fd = self.second = -1
        self.mode = None
        if second >= 0:
            os.close(second)
        if fd < 0:
            return 0
        try:
            if mode is not None:
                blocking.give_back(
                    mode, is_ours(self.made, self.file, fd)
                )  # now, as close() may write what `made` has still buffered
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
    pipe.close  # noqa: B018 - what is no file object fails here, and not when it is to be closed
    fd = pipe.fileno()
    found = os.fstat(fd)
    channel.kind = found.st_mode
    channel.links = found.st_nlink
    channel.identity = (found.st_dev, found.st_ino)
    channel.made = pipe
    channel.fd = fd
    return channel
