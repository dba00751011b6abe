"""What is written, as the buffer protocol shows it, looked at once; and whose turn it is where much is read."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from array import array
from typing import Any

import pytest

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair(pair: Pair) -> Pair:
    """(the transport's end, the peer's end): both nonblocking."""
    pair[1].setblocking(False)
    return pair


class Peer(asyncio.Protocol):
    def __init__(self) -> None:
        self.lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set_result(exc)


def run(loop: asyncio.AbstractEventLoop, coro: Any) -> Any:
    return loop.run_until_complete(asyncio.wait_for(coro, 30))


async def connect(sock: socket.socket) -> tuple[Any, Peer]:
    return await asyncio.get_running_loop().create_connection(Peer, sock=sock)


async def drain(sock: socket.socket, n: int) -> bytes:
    """n bytes from the peer's end."""
    got = bytearray()
    while len(got) < n:
        data = await asyncio.get_running_loop().sock_recv(sock, 1 << 20)
        if not data:
            break
        got += data
    return bytes(got)


# ---- data that lie -----------------------------------------------------------------------------


class LyingLength(bytes):
    def __len__(self) -> int:
        return 1000


class LyingBytes(bytes):
    def __bytes__(self) -> bytes:
        return LyingLength(b"something else")

    def __len__(self) -> int:
        return 0

    def __getitem__(self, item: Any) -> Any:
        return b"nothing of it"

    def __bool__(self) -> bool:
        return False

    def __iter__(self) -> Any:
        raise RuntimeError("not to be iterated")


class LyingArray(bytearray):
    def __len__(self) -> int:
        return 3

    def __bytes__(self) -> bytes:
        return b"something else"

    def __getitem__(self, item: Any) -> Any:
        return b"nothing of it"


def odd_data() -> list[tuple[Any, bytes]]:
    return [
        (LyingLength(b"length"), b"length"),
        (LyingBytes(b"bytes"), b"bytes"),
        (LyingArray(b"array"), b"array"),
        (memoryview(LyingBytes(b"view")), b"view"),
        (memoryview(array("I", [1, 2, 3])), array("I", [1, 2, 3]).tobytes()),
        (memoryview(b"a.b.c.d.")[::2], b"abcd"),
        (memoryview(bytes(range(12))).cast("B", (3, 4)), bytes(range(12))),
        (bytearray(b"plain"), b"plain"),
    ]


@pytest.mark.parametrize("full", [False, True], ids=["idle", "waiting"])
def test_data_is_what_the_buffer_holds(loop: Any, pair: Pair, full: bool) -> None:
    async def main() -> None:
        transport, _ = await connect(pair[0])
        before = b"y" * 1_000_000 if full else b""
        transport.write(before)
        assert bool(transport.get_write_buffer_size()) is full
        waiting = transport.get_write_buffer_size()
        expected = before
        for data, truth in odd_data():
            transport.write(data)
            expected += truth
        transport.writelines(data for data, _ in odd_data())
        expected += b"".join(truth for _, truth in odd_data())
        if full:
            assert transport.get_write_buffer_size() == waiting + len(expected) - len(before)
        assert await drain(pair[1], len(expected)) == expected
        while transport.get_write_buffer_size():
            await asyncio.sleep(0)
        transport.abort()

    run(loop, main())


def test_sendall_looks_at_the_data_once(loop: Any, pair: Pair) -> None:
    async def main() -> None:
        expected = b""
        for data, truth in odd_data():
            if isinstance(data, memoryview) and not data.c_contiguous:
                with pytest.raises(BufferError):
                    await loop.sock_sendall(pair[0], data)
                continue
            await loop.sock_sendall(pair[0], data)
            expected += truth
        assert await drain(pair[1], len(expected)) == expected

    run(loop, main())


def test_mutable_data_may_change_afterwards(loop: Any, pair: Pair) -> None:
    async def main() -> None:
        transport, _ = await connect(pair[0])
        data = bytearray(b"x" * 1_000_000)
        transport.write(data)
        transport.write(memoryview(data)[:10])
        data[:] = b"z" * len(data)
        data.clear()  # nobody holds a view of it
        assert await drain(pair[1], 1_000_010) == b"x" * 1_000_010
        transport.abort()

    run(loop, main())


@pytest.mark.parametrize("bad", ["text", None, 3, object()])
def test_what_has_no_buffer_is_refused(loop: Any, pair: Pair, bad: Any) -> None:
    async def main() -> None:
        transport, _ = await connect(pair[0])
        with pytest.raises(TypeError):
            transport.write(bad)
        with pytest.raises(TypeError):
            transport.writelines([b"", bad])
        gone = memoryview(b"released")
        gone.release()
        with pytest.raises(ValueError, match="released"):
            transport.write(gone)
        transport.write(b"good")
        assert await drain(pair[1], 4) == b"good"
        transport.abort()

    run(loop, main())


needs_python_buffers = pytest.mark.skipif(sys.version_info < (3, 12), reason="__buffer__ came with Python 3.12")


@needs_python_buffers
def test_a_buffer_that_writes_itself_comes_behind_what_it_wrote(loop: Any, pair: Pair) -> None:
    class Writes(bytearray):
        def __buffer__(self, flags: int) -> memoryview:
            transport.write(b"1" * 1_000_000)  # more than the socket takes
            return memoryview(b"2")

    transport: Any = None

    async def main() -> None:
        nonlocal transport
        transport, _ = await connect(pair[0])
        transport.write(Writes())
        assert await drain(pair[1], 1_000_001) == b"1" * 1_000_000 + b"2"
        transport.abort()

    run(loop, main())


@needs_python_buffers
@pytest.mark.parametrize("what", ["close", "abort", "write_eof"])
def test_a_buffer_that_ends_the_connection(loop: Any, pair: Pair, what: str) -> None:
    class Ends(bytearray):
        def __buffer__(self, flags: int) -> memoryview:
            getattr(transport, what)()
            return memoryview(b"late")

    transport: Any = None

    async def main() -> None:
        nonlocal transport
        transport, peer = await connect(pair[0])
        if what == "write_eof":
            with pytest.raises(RuntimeError, match="write_eof"):
                transport.write(Ends())
            transport.close()
        else:
            transport.write(Ends())
        assert await peer.lost is None
        assert await drain(pair[1], 1) == b""

    run(loop, main())


@needs_python_buffers
def test_a_buffer_that_fails(loop: Any, pair: Pair) -> None:
    class Fails(bytearray):
        def __buffer__(self, flags: int) -> memoryview:
            raise ZeroDivisionError

    async def main() -> None:
        transport, _ = await connect(pair[0])
        with pytest.raises(ZeroDivisionError):
            transport.write(Fails())
        with pytest.raises(ZeroDivisionError):
            transport.writelines([b"not sent", Fails()])
        transport.write(b"good")
        assert await drain(pair[1], 4) == b"good"
        transport.abort()

    run(loop, main())


# ---- other threads -----------------------------------------------------------------------------


def test_other_threads_have_their_turn_where_all_callbacks_are_c_functions(loop: Any) -> None:
    """Between two large reads of one tick, though no Python code runs there."""
    log: list[Any] = []
    over = threading.Event()

    class Collects(asyncio.Protocol):
        data_received = staticmethod(log.append)

    def other() -> None:
        while not over.is_set():
            if log and log[-1] is not None:  # one mark for each read
                log.append(None)

    async def connect_all() -> None:
        for one, _ in pairs:
            await loop.create_connection(Collects, sock=one)

    def shared_in_one_batch() -> bool:
        for _, peer in pairs:
            peer.setblocking(False)
            peer.send(b"x" * 150_000)
        log.clear()
        loop._run_once()  # one poll, then one batch of reads
        batch = log.copy()
        reads = [i for i, item in enumerate(batch) if item is not None]
        for _ in range(20):
            loop.call_soon(bool)
            loop._run_once()  # what was left over
        return bool(reads) and None in batch[reads[0] : reads[-1]]

    pairs = [socket.socketpair() for _ in range(40)]
    for one, peer in pairs:
        for sock in (one, peer):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
    before = sys.getswitchinterval()
    thread = threading.Thread(target=other)
    thread.start()
    sys.setswitchinterval(1e-6)
    try:
        run(loop, connect_all())
        assert any(shared_in_one_batch() for _ in range(500))
    finally:
        over.set()
        thread.join()
        sys.setswitchinterval(before)
        for _, peer in pairs:
            peer.close()
        run(loop, asyncio.sleep(0))
        run(loop, asyncio.sleep(0))
        run(loop, asyncio.sleep(0))
        for one, _ in pairs:
            one.close()
