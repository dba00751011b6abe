"""What the ``sock_*`` methods send from and receive into."""

from __future__ import annotations

import array
import asyncio
import ctypes
import sys
from collections.abc import Callable
from typing import Any

import pytest

from .plain_sockets import begin, pair

__all__ = ["pair"]  # a fixture

BUFFERS: dict[str, Callable[[], Any]] = {
    "bytes": lambda: b"hello",
    "a subclass": lambda: type("Bytes", (bytes,), {})(b"hello"),
    "bytearray": lambda: bytearray(b"hello"),
    "items of one byte": lambda: array.array("b", b"hello"),
    "of two dimensions": lambda: memoryview(b"hello, world").cast("B", (3, 4)),
    "of no dimension": lambda: memoryview(b"four").cast("i", ()),
    "of ctypes": lambda: (ctypes.c_char * 5)(*b"hello"),
    "a structure": lambda: Structure(1, 2),
    "nothing": lambda: array.array("i"),
    "nothing of no item": lambda: (ctypes.c_int * 3 * 0)(),
}


class Structure(ctypes.Structure):
    _fields_ = [("one", ctypes.c_int), ("two", ctypes.c_byte)]


@pytest.mark.ours("asyncio counts the items of the buffer")
@pytest.mark.parametrize("kind", BUFFERS)
def test_what_can_be_sent(run, pair, kind) -> None:
    async def main() -> None:
        data = BUFFERS[kind]()
        assert await asyncio.get_running_loop().sock_sendall(pair[0], data) is None
        await asyncio.get_running_loop().sock_sendall(pair[0], b".")
        assert await asyncio.get_running_loop().sock_recv(pair[1], 100) == bytes(memoryview(data)) + b"."

    run(main())


@pytest.mark.parametrize("data", [memoryview(b"abcdef")[::2], memoryview(array.array("i", range(6)))[::2]])
def test_what_does_not_lie_in_one_piece_is_refused(run, pair, data) -> None:
    async def main() -> None:
        with pytest.raises(BufferError, match="not C-contiguous"):
            await asyncio.get_running_loop().sock_sendall(pair[0], data)

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__() is new in 3.12")
@pytest.mark.parametrize("error", [ZeroDivisionError, BlockingIOError, InterruptedError])
def test_a_buffer_that_raises(run, pair, error) -> None:
    class Buffer:
        def __buffer__(self, flags: int) -> memoryview:
            raise error

        def __len__(self) -> int:
            return 5

    async def main() -> None:
        with pytest.raises(error):
            await asyncio.get_running_loop().sock_sendall(pair[0], Buffer())

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__() is new in 3.12")
def test_a_buffer_that_closes_the_socket(run, pair) -> None:
    class Buffer:
        def __buffer__(self, flags: int) -> memoryview:
            pair[0].close()
            return memoryview(b"data")

        def __len__(self) -> int:
            return 4

    async def main() -> None:
        with pytest.raises(OSError):
            await asyncio.get_running_loop().sock_sendall(pair[0], Buffer())

    run(main())


def test_no_room_is_not_waited_for(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for room in (bytearray(), memoryview(bytearray())):
            assert await loop.sock_recv_into(pair[0], room) == 0
        assert await loop.sock_recv(pair[0], 0) == b""

    run(main())


def test_room_that_is_taken_away_meanwhile(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        view, room = memoryview(bytearray(10)), bytearray(10)
        task = await begin(loop.sock_recv_into(pair[0], view))
        view.release()
        pair[1].send(b"abc")
        with pytest.raises((TypeError, ValueError)):
            await task
        assert await loop.sock_recv(pair[0], 10) == b"abc"
        task = await begin(loop.sock_recv_into(pair[0], room))
        room.clear()
        pair[1].send(b"abc")
        assert await task == 0
        assert await loop.sock_recv(pair[0], 10) == b"abc"

    run(main())
