"""What channel.pyx does, in plain Python."""

from __future__ import annotations

import errno
import itertools
import os
from collections.abc import Sequence
from typing import Any

from hasten.kernel.workshop import CHUNK, Workshop

_MANY = 64  # pieces in one system call
_AGAIN = (BlockingIOError, InterruptedError)
_OF_NO_LOOP = Workshop()  # until a channel is given to a loop


def _bad_descriptor() -> OSError:
    return OSError(errno.EBADF, os.strerror(errno.EBADF))


class Channel:
    """What is read and written without blocking, by one file descriptor."""

    def __init__(self) -> None:
        self.fd = -1  # -1: closed, or nothing yet
        self.owned = False  # the descriptor is ours to close
        self.unseen = False  # it has methods of its own, which may hold back what the poller does not tell of again
        self.at_once = False  # what is written is not put off
        self.full = False  # the latest fill() gave as much as there was room for: there may be more
        self.workshop = _OF_NO_LOOP  # of the loop that the channel belongs to

    def fileno(self) -> int:
        """The file descriptor; -1 once closed."""
        return self.fd

    # ---- the system calls -----------------------------------------------------------------

    def _receive(self, buf: Any) -> tuple[int, bool]:
        """Receive into `buf`; return the number of bytes, and whether there is more although `buf` is not full."""
        raise _bad_descriptor()

    def _transmit(self, data: Any) -> int:
        raise _bad_descriptor()

    def _transmit_many(self, pieces: list[Any]) -> int:
        raise _bad_descriptor()

    # ---- reading --------------------------------------------------------------------------

    def read_by_level(self, level: bool) -> bool:
        """Say whether the poller reports as long as there is something to read. False: that makes no difference."""
        return False

    def fill(self) -> int:
        """Read once into the room that was made in the loop's workshop. Raises OSError.

        Returns the number of bytes, 0 at the end, -1 if it would block.
        """
        workshop = self.workshop
        borrowed = workshop.borrowed
        workshop.leave_room()
        room = bytearray(CHUNK) if borrowed is None else borrowed
        with memoryview(room) as view:
            size = view.nbytes
            try:
                n, cut = self._receive(view)
            except _AGAIN:
                return -1
            if borrowed is None:
                workshop.bring(bytes(view[:n]))
        workshop.received += n
        self.full = cut or n == size
        return n

    def let_others_run(self) -> int:
        """Call Workshop.let_others_run(), where nothing depends on what was read before."""
        return self.workshop.let_others_run()

    # ---- writing --------------------------------------------------------------------------

    def send(self, data: Any) -> bytes | None:
        """Send what buffers.plain() returned; return what was not sent, or None. Raises OSError."""
        with memoryview(data) as view, view.cast("B") as whole:
            try:
                n = self._transmit(data)
            except _AGAIN:
                n = 0
            self.workshop.was_sent(n)
            if n == whole.nbytes:
                return None
            return data if n == 0 and type(data) is bytes else whole[n:].tobytes()

    def send_whole(self, data: bytes) -> bool:
        """Send all of `data`; False: call outcome() at once. Here that is what sends."""
        return False

    def outcome(self, data: bytes) -> int:
        """Return how many bytes were sent, -1 if it would block. Raises OSError."""
        return self.send_from(data, 0)

    def send_from(self, data: bytes, offset: int) -> int:
        """Send what lies behind `offset`; return the number of bytes sent, -1 if it would block. Raises OSError."""
        try:
            n = self._transmit(memoryview(data)[offset:])
        except _AGAIN:
            return -1
        self.workshop.was_sent(n)
        return n

    def send_many(self, items: Sequence[bytes], offset: int) -> int:
        """Do as send_from(), for the first pieces (bytes) of a deque or list, in one system call."""
        pieces: list[Any] = list(itertools.islice(items, _MANY))
        pieces[0] = memoryview(pieces[0])[offset:]
        try:
            n = self._transmit_many(pieces)
        except _AGAIN:
            return -1
        self.workshop.was_sent(n)
        return n

    def send_file(self, fd: int, offset: int, count: int) -> int:
        """Have the kernel send of the file `fd`; return the number of bytes, 0 at the file's end. Raises OSError."""
        raise _bad_descriptor()

    # ---- the end --------------------------------------------------------------------------

    def shut_writing(self) -> int:
        """Show the peer the end of what we sent. Raises OSError."""
        raise _bad_descriptor()

    def close(self) -> int:
        """Close the descriptor. It is closed even where this raises OSError."""
        fd, self.fd = self.fd, -1
        if self.owned:
            self.owned = False
            os.close(fd)
        return 0

    # ---- what it is -----------------------------------------------------------------------

    def internet(self) -> bool:
        """True for TCP, where the kernel reports room only after a write that fell short."""
        return False

    def told(self, name: str) -> Any:
        """The value for get_extra_info(), or None."""
        return None

    def note_end(self) -> int:
        """Keep what told() must still know after close()."""
        return 0
