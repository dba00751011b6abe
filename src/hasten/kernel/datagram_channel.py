"""What datagram_channel.pyx does, in plain Python: by the socket's own methods, one datagram after the other."""

from __future__ import annotations

from collections import deque
from typing import Any

from hasten.kernel import buffers, socket_channel
from hasten.kernel.socket_channel import SocketChannel
from hasten.kernel.workshop import CHUNK

_METHODS = ("recvfrom", "send", "sendto")
_AGAIN = (BlockingIOError, InterruptedError)


class DatagramChannel(SocketChannel):
    """A socket of datagrams as a transport holds it."""

    failure: BaseException | None = None

    def collect(self, arrived: deque[tuple[bytes, Any]]) -> int:
        """Receive what is there, some of it: (data, address) of each is put at the end of the deque `arrived`.

        Returns how many, -1 if it would block. `full` tells whether there may be more. Raises OSError.
        """
        self.full = False
        try:
            data, address = self.made.recvfrom(CHUNK)
        except _AGAIN:
            return -1
        if self.fd < 0:  # closed meanwhile: there is nothing to report
            return -1
        self.workshop.received += len(data)
        arrived.append((buffers.exact(data), address))
        self.full = True
        return 1

    def packed(self, address: Any) -> bytes | None:
        """Return the kernel's form of an address; None if only the socket's own method can tell what it is."""
        return None

    def post(self, letters: deque[Any]) -> int:
        """Send the first of a deque's datagrams; return how many, -1 if it would block.

        -2: it met an error, which raise_failure() raises once it was taken off.
        """
        try:
            return 1 if self.post_by_method(letters[0], None) else -1
        except BaseException as exc:
            self.failure = exc
            return -2

    def raise_failure(self) -> int:
        """Raise what post() met."""
        failure, self.failure = self.failure, None
        assert failure is not None
        raise failure

    def post_by_method(self, data: bytes, address: Any) -> bool:
        """Send one datagram by the socket's own method, which may look a name up; return False if it would block."""
        try:
            if self.peer is not None:
                self.made.send(data)
            else:
                self.made.sendto(data, address)
        except _AGAIN:
            return False
        self.workshop.sent += len(data)
        return True


class ForeignDatagramChannel(DatagramChannel):
    """What has methods of its own: these are called anyway."""


def hold(sock: Any) -> DatagramChannel:
    """Take over a nonblocking socket of datagrams, or what has its methods. Its owner closes it, or close()."""
    foreign = not socket_channel.is_true_socket(sock) or socket_channel.has_own_methods(sock, _METHODS)
    channel = ForeignDatagramChannel() if foreign else DatagramChannel()
    channel.unseen = foreign
    socket_channel.take_over(channel, sock)
    return channel
