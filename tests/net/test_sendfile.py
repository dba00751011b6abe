"""Files to transports and sockets: what is sent, what happens meanwhile, where the file stands afterwards."""

from __future__ import annotations

import asyncio
import io
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten import compat

from ..worlds import until

DATA = bytes(range(256)) * 8192  # 2 MiB: more than sockets buffer
REFUSED = Path("/proc/self/environ")  # a file that the kernel reads and does not send


@pytest.fixture
def path(tmp_path: Path) -> Path:
    found = tmp_path / "file"
    found.write_bytes(DATA)
    return found


@pytest.fixture
def file(path: Path) -> Iterator[Any]:
    with path.open("rb") as opened:
        yield opened


@pytest.fixture(params=["unix", "tcp"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """(the sender's end, the peer's end): nonblocking."""
    if request.param == "unix":
        one, other = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)  # or the kernel would take it all
            one = socket.create_connection(listener.getsockname())
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            other, _ = listener.accept()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


class Client(asyncio.Protocol):
    def __init__(self) -> None:
        self.log: list[Any] = []
        self.lost = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.log.append(data)

    def pause_writing(self) -> None:
        self.log.append("pause")

    def resume_writing(self) -> None:
        self.log.append("resume")

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost.set_result(exc)


async def connect(sock: socket.socket, **options: Any) -> tuple[Any, Client]:
    own = sock.dup()
    sock.close()  # or the peer would see no end when the transport closes its own
    return await asyncio.get_running_loop().create_connection(Client, sock=own, **options)  # type: ignore[return-value]


async def close(transport: Any, protocol: Client) -> None:
    transport.close()
    await protocol.lost


async def read(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := await asyncio.get_running_loop().sock_recv(sock, 1 << 20)):
        data += more
    return data


async def begin(coro: Any) -> asyncio.Task[Any]:
    """A task that has filled the sockets' buffers and waits for room."""
    task = asyncio.get_running_loop().create_task(coro)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
    return task


class Hidden:
    """A file without a descriptor."""

    def __init__(self, file: Any) -> None:
        self.seek, self.readinto, self.tell = file.seek, file.readinto, file.tell


AS_IT_IS: dict[str, Callable[[Any], Any]] = {"kernel": lambda file: file, "fallback": Hidden}


@pytest.fixture(params=AS_IT_IS)
def either_file(request: pytest.FixtureRequest, file: Any) -> Any:
    """A file that the kernel can send, and one that has to be read."""
    return AS_IT_IS[request.param](file)


@pytest.mark.parametrize(
    ("offset", "count", "sent"),
    [
        (0, None, DATA),
        (1000, None, DATA[1000:]),
        (0, 1, DATA[:1]),
        (123, 1_500_000, DATA[123:1_500_123]),
        (len(DATA) - 5, 10, DATA[-5:]),
        (len(DATA) + 5, None, b""),
    ],
)
@pytest.mark.stdlib_since(3, 15)
def test_what_is_sent_and_where_the_file_stands(run, pair, either_file, offset, count, sent) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        either_file.seek(77)
        transport.write(b"before ")
        task = loop.create_task(loop.sendfile(transport, either_file, offset, count))
        assert await read(pair[1], 7 + len(sent)) == b"before " + sent
        assert await task == len(sent)
        assert either_file.tell() == offset + len(sent)
        transport.write(b"after")
        assert await read(pair[1], 5) == b"after"
        await close(transport, protocol)
        assert await read(pair[1], 1) == b""

    run(main())


@pytest.mark.stdlib_since(3, 15)
@pytest.mark.parametrize(("offset", "count"), [(0, None), (5, 1_500_000)])
def test_a_file_over_a_socket(run, pair, either_file, offset, count) -> None:
    sent = DATA[offset:][:count]

    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.sock_sendfile(pair[0], either_file, offset, count))
        assert await read(pair[1], len(sent)) == sent
        assert await task == len(sent)
        assert either_file.tell() == offset + len(sent)
        pair[0].close()
        assert await read(pair[1], 1) == b""

    run(main())


def test_an_empty_file(run, pair, tmp_path) -> None:
    (tmp_path / "empty").touch()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        with (tmp_path / "empty").open("rb") as empty:
            assert await loop.sendfile(transport, empty) == 0
            assert await loop.sendfile(transport, empty, 5, 5) == 0
        assert await loop.sendfile(transport, io.BytesIO()) == 0
        await close(transport, protocol)

    run(main())


def test_bytes_in_memory(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        file = io.BytesIO(b"0123456789")
        assert await loop.sock_sendfile(pair[0], file, 2, 5) == 5
        assert file.tell() == 7
        transport, protocol = await connect(pair[0])
        assert await loop.sendfile(transport, file, 1, 3) == 3
        assert file.tell() == 4
        assert await read(pair[1], 8) == b"23456123"
        await close(transport, protocol)

    run(main())


def test_without_a_fallback(run, pair) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(asyncio.SendfileNotAvailableError, match="not a regular file"):
            await loop.sock_sendfile(pair[0], io.BytesIO(b"x"), fallback=False)
        transport, protocol = await connect(pair[0])
        with pytest.raises(asyncio.SendfileNotAvailableError, match="not a regular file"):
            await loop.sendfile(transport, io.BytesIO(b"x"), fallback=False)
        transport.write(b"goes on")
        assert await read(pair[1], 7) == b"goes on"
        await close(transport, protocol)

    run(main())


@pytest.mark.ours("asyncio believes the size of the file, which is 0 there, and sends nothing")
@pytest.mark.skipif(not REFUSED.exists(), reason="needs Linux's /proc")
def test_where_the_kernel_cannot_the_file_is_read(run, pair) -> None:
    async def main(file: Any) -> None:
        loop = asyncio.get_running_loop()
        data = file.read()
        assert await loop.sock_sendfile(pair[0], file, 0, 5) == 5
        with pytest.raises(asyncio.SendfileNotAvailableError, match=r"os.sendfile call failed"):
            await loop.sock_sendfile(pair[0], file, fallback=False)
        transport, protocol = await connect(pair[0])
        assert await loop.sendfile(transport, file, 5, 5) == 5
        assert file.tell() == 10
        with pytest.raises(asyncio.SendfileNotAvailableError, match=r"os.sendfile call failed"):
            await loop.sendfile(transport, file, fallback=False)
        assert await read(pair[1], 10) == data[:10]
        await close(transport, protocol)

    with REFUSED.open("rb") as file:
        run(main(file))


def test_sendfile_is_no_call_of_the_os_module_s(pair, file, monkeypatch) -> None:
    """Tools that look for blocking calls put something there, and know asyncio's own calls by their modules."""
    loop = hasten.new_event_loop()
    if not compat.compiled():
        pytest.skip("plain Python has no other sendfile()")

    def fail(*args: Any) -> int:
        raise AssertionError("a blocking call")

    monkeypatch.setattr(os, "sendfile", fail)

    async def main() -> None:
        assert await loop.sock_sendfile(pair[0], file, 0, 5, fallback=False) == 5
        transport, protocol = await connect(pair[0])
        assert await loop.sendfile(transport, file, 5, 5, fallback=False) == 5
        assert await read(pair[1], 10) == DATA[:10]
        await close(transport, protocol)

    loop.run_until_complete(main())
    loop.close()


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((-1,), ValueError, "offset must be a non-negative integer"),
        (("0",), TypeError, "offset must be a non-negative integer"),
        ((0, 0), ValueError, "count must be a positive integer"),
        ((0, -1), ValueError, "count must be a positive integer"),
        ((0, 1.5), TypeError, "count must be a positive integer"),
        ((1 << 70,), OverflowError, "too"),
    ],
)
def test_wrong_arguments(run, pair, file, arguments, error, text) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(error, match=text):
            await loop.sock_sendfile(pair[0], file, *arguments)
        transport, protocol = await connect(pair[0])
        with pytest.raises(error, match=text):
            await loop.sendfile(transport, file, *arguments)
        transport.write(b"goes on")
        assert await read(pair[1], 7) == b"goes on"
        await close(transport, protocol)

    run(main())


def test_wrong_files_and_sockets(run, pair, path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with path.open() as text, pytest.raises(ValueError, match="file should be opened in binary mode"):
            await loop.sock_sendfile(pair[0], text)
        with path.open("rb") as closed:
            pass
        with pytest.raises(ValueError, match="closed file"):
            await loop.sock_sendfile(pair[0], closed)
        with (
            socket.socket(type=socket.SOCK_DGRAM) as udp,
            path.open("rb") as file,
            pytest.raises(ValueError, match="only SOCK_STREAM type sockets are supported"),
        ):
            udp.setblocking(False)
            await loop.sock_sendfile(udp, file)

    run(main())


def test_debug_mode_refuses_a_blocking_socket(either_loop, run, pair, file) -> None:
    either_loop.set_debug(True)

    async def main() -> None:
        pair[0].setblocking(True)
        with pytest.raises(ValueError, match="the socket must be non-blocking"):
            await asyncio.get_running_loop().sock_sendfile(pair[0], file)

    run(main())


def test_a_transport_that_takes_no_files(run, pair, file) -> None:
    class Datagrams(asyncio.DatagramTransport):
        def is_closing(self) -> bool:
            return False

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(RuntimeError, match="sendfile is not supported for transport"):
            await loop.sendfile(Datagrams(), file)  # type: ignore[arg-type]
        transport, protocol = await connect(pair[0])
        await close(transport, protocol)
        with pytest.raises(RuntimeError, match="Transport is closing"):
            await loop.sendfile(transport, file)
        assert file.tell() == 0

    run(main())


def test_writes_are_refused_meanwhile(run, pair, file) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        task = await begin(loop.sendfile(transport, file))
        with pytest.raises(RuntimeError, match="unable to write; sendfile is in progress"):
            transport.write(b"x")
        with pytest.raises(RuntimeError, match="sendfile is in progress"):
            transport.writelines([b"x"])
        assert not transport.is_reading()
        assert transport.get_protocol() is protocol
        assert await read(pair[1], len(DATA)) == DATA
        assert await task == len(DATA)
        assert transport.is_reading()
        await close(transport, protocol)

    run(main())


@pytest.mark.ours("in asyncio the second one may hang, or ends the first")
def test_a_second_file_meanwhile_is_refused(run, pair, file, path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        task = await begin(loop.sendfile(transport, file))
        with path.open("rb") as second, pytest.raises(RuntimeError, match="sendfile is in progress"):
            await loop.sendfile(transport, second)
        assert await read(pair[1], len(DATA)) == DATA
        await task
        await close(transport, protocol)

    run(main())


def test_what_arrives_meanwhile_waits(run, pair, either_file) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        task = await begin(loop.sendfile(transport, either_file))
        pair[1].send(b"question")
        for _ in range(5):
            await asyncio.sleep(0)
        assert protocol.log == []
        assert await read(pair[1], len(DATA)) == DATA
        await task
        while not protocol.log:
            await asyncio.sleep(0)
        assert protocol.log == [b"question"]
        await close(transport, protocol)

    run(main())


def test_a_paused_transport_stays_paused(run, pair, either_file) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        transport.pause_reading()
        assert await loop.sendfile(transport, either_file, 0, 10) == 10
        assert not transport.is_reading()
        await close(transport, protocol)

    run(main())


def test_the_protocol_hears_of_room_for_what_it_wrote_before(run, pair, either_file) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        before = bytes(3_000_000)
        transport.write(before)
        assert protocol.log == ["pause"]
        task = await begin(loop.sendfile(transport, either_file, 0, 1000))
        assert await read(pair[1], len(before) + 1000) == before + DATA[:1000]
        assert await task == 1000
        assert protocol.log == ["pause", "resume"]
        await close(transport, protocol)

    run(main())


@pytest.mark.ours("asyncio leaves the file where it stood, if the kernel sends it")
def test_cancelled_while_it_waits_for_room(run, pair, either_file) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        task = await begin(loop.sendfile(transport, either_file))
        got = await read(pair[1], 100_000)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert transport.is_reading()
        assert transport.get_protocol() is protocol
        transport.write(b"end")
        transport.close()
        got += await read(pair[1], len(DATA))
        await protocol.lost
        assert got.endswith(b"end")
        assert got[:-3] == DATA[: len(got) - 3]
        if type(either_file) is not Hidden:  # what was written is not known to be sent
            assert either_file.tell() == len(got) - 3

    run(main())


@pytest.mark.ours("asyncio's transport refuses writes from then on")
def test_cancelled_while_what_was_written_before_waits(run, pair, file) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        transport.write(DATA)
        task = await begin(loop.sendfile(transport, file))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        transport.write(b"end")
        transport.close()
        assert await read(pair[1], 2 * len(DATA)) == DATA + b"end"
        assert file.tell() == 0
        assert await protocol.lost is None

    run(main())


@pytest.mark.ours("in asyncio it waits for ever, if the kernel sends")
@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("buffered", [False, True])
def test_a_transport_that_is_closed_meanwhile(run, pair, either_file, how, buffered) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        if buffered:
            transport.write(DATA)
        task = await begin(loop.sendfile(transport, either_file))
        getattr(transport, how)()
        if how == "close":
            await read(pair[1], 10 * len(DATA))
        with pytest.raises(ConnectionError):
            await task
        assert await protocol.lost is None

    run(main())


def test_a_peer_that_goes_away(run, pair, either_file) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        task = await begin(loop.sendfile(transport, either_file))
        await read(pair[1], 100_000)
        pair[1].close()
        with pytest.raises(ConnectionError):
            await task
        assert 0 < either_file.tell() < len(DATA)
        await close(transport, protocol)

    run(main())


def test_a_peer_of_a_socket_that_goes_away(run, pair, either_file) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        task = await begin(loop.sock_sendfile(pair[0], either_file))
        await read(pair[1], 100_000)
        pair[1].close()
        with pytest.raises(ConnectionError):
            await task
        assert 0 < either_file.tell() < len(DATA)
        assert loop.remove_writer(pair[0]) is False

    run(main())


@pytest.mark.ours("asyncio ends our side at once, and the file with it")
def test_our_side_ends_behind_the_file(run, pair, file) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        task = await begin(loop.sendfile(transport, file))
        transport.write_eof()
        assert await read(pair[1], len(DATA) + 1) == DATA
        await task
        with pytest.raises(RuntimeError, match="after write_eof"):
            await loop.sendfile(transport, file)
        await close(transport, protocol)

    run(main())


@pytest.mark.parametrize("size", [100, len(DATA) * 2], ids=["shrinks", "grows"])
def test_a_file_that_changes_meanwhile(run, pair, path, either_file, size) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        task = await begin(loop.sendfile(transport, either_file))
        os.truncate(path, size)
        reading = loop.create_task(read(pair[1], 10 * len(DATA)))
        await task
        await close(transport, protocol)
        got = await reading
        if size > len(DATA):
            assert len(got) == size
            assert got[: len(DATA)] == DATA
        else:  # what is on its way may be the file's own pages, which are empty when it is cut short
            assert got[:size] == DATA[:size]
        assert await task == len(got) == either_file.tell()

    run(main())


def test_what_was_read_before_does_not_count(run, pair, file) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert file.read(10) == DATA[:10]
        assert await loop.sock_sendfile(pair[0], file, 20, 100) == 100
        assert await read(pair[1], 100) == DATA[20:120]
        if isinstance(loop, hasten.Loop):  # asyncio sets the descriptor's position and not that of the buffer above it
            assert file.tell() == 120
            assert file.read() == DATA[120:]

    run(main())


@pytest.mark.ours("asyncio sends from whichever file has the number by then")
def test_a_file_that_is_closed_meanwhile(run, pair, path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        with path.open("rb") as file:
            fd = file.fileno()
            task = await begin(loop.sendfile(transport, file))
        other = os.open("/dev/zero", os.O_RDONLY)
        try:
            assert other == fd
            got = await read(pair[1], 100)
            with pytest.raises(ValueError, match="closed file"):
                await task
            transport.close()
            got += await read(pair[1], len(DATA))
            assert got == DATA[: len(got)]
        finally:
            os.close(other)
        await protocol.lost

    run(main())


def test_a_file_that_is_closed_before_its_turn(run, pair, path, tmp_path) -> None:
    (tmp_path / "other").write_bytes(b"secret" * 1000)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        transport.write(DATA)
        with path.open("rb") as file:
            fd = file.fileno()
            task = await begin(loop.sendfile(transport, file))
        with (tmp_path / "other").open("rb") as other:
            assert other.fileno() == fd
            assert await read(pair[1], len(DATA)) == DATA
            with pytest.raises(ValueError, match="closed file"):
                await task
            transport.write(b"end")
            transport.close()
            assert await read(pair[1], 100) == b"end"
        await protocol.lost

    run(main())


@pytest.mark.ours("in asyncio the error of the closed file comes instead")
def test_cancelled_while_the_closed_file_is_read(run, pair, path) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        with path.open("rb") as file:
            task = await begin(loop.sendfile(transport, Hidden(file)))
            await until(lambda: transport.get_write_buffer_size() > 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        transport.abort()
        await protocol.lost

    run(main())


def test_cancelled_it_has_counted_what_was_written(run, pair, file) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await connect(pair[0])
        task = await begin(loop.sendfile(transport, Hidden(file)))
        await until(lambda: transport.get_write_buffer_size() > 0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stands_at = file.tell()
        transport.close()
        assert await read(pair[1], len(DATA)) == DATA[:stands_at]
        await protocol.lost

    run(main())


@pytest.mark.ours("asyncio sends nothing, or all and then raises")
@pytest.mark.parametrize("buffering", [0, -1])
@pytest.mark.parametrize("over", ["transport", "socket"])
def test_a_pipe_is_read_to_its_end(run, pair, buffering, over) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        reading, writing = os.pipe()
        os.write(writing, b"0123456789")
        os.close(writing)
        with os.fdopen(reading, "rb", buffering) as file:
            if over == "socket":
                assert await loop.sock_sendfile(pair[0], file, 0, 4) == 4
                assert await loop.sock_sendfile(pair[0], file) == 6
                with pytest.raises(OSError):
                    await loop.sock_sendfile(pair[0], file, 1)
            else:
                transport, protocol = await connect(pair[0])
                assert await loop.sendfile(transport, file, 0, 4) == 4
                assert await loop.sendfile(transport, file) == 6
                with pytest.raises(OSError):
                    await loop.sendfile(transport, file, 1)
                await close(transport, protocol)
        assert await read(pair[1], 10) == b"0123456789"

    run(main())


def test_where_there_is_no_position_there_is_no_offset(run, pair) -> None:
    async def main() -> None:
        memory = io.BytesIO(b"0123456789")
        with pytest.raises(AttributeError):
            await asyncio.get_running_loop().sock_sendfile(pair[0], Lying(readinto=memory.readinto), 3)
        assert await asyncio.get_running_loop().sock_sendfile(pair[0], Lying(readinto=memory.readinto)) == 10
        assert await read(pair[1], 10) == b"0123456789"

    run(main())


@pytest.mark.ours("asyncio sets the first protocol again")
def test_a_protocol_that_is_set_meanwhile_stays(run, pair, file) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        transport, first = await connect(pair[0])
        task = await begin(loop.sendfile(transport, Hidden(file)))
        await until(lambda: transport.get_write_buffer_size() > 0)
        assert transport.get_protocol() is not first
        second = Client()
        transport.set_protocol(second)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert transport.get_protocol() is second
        assert transport.is_reading()
        pair[1].send(b"for the second")
        await until(lambda: second.log)
        transport.abort()
        await second.lost
        assert first.log == []

    run(main())


class Lying:
    """A file whose methods do what no file's do."""

    def __init__(self, **lies: Any) -> None:
        for name, lie in lies.items():
            setattr(self, name, lie)


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*args: Any) -> Any:
        raise error

    return fail


@pytest.mark.ours("asyncio counts what was never read")
@pytest.mark.parametrize(
    ("file", "error"),
    [
        (Lying(readinto=lambda room: len(room) + 1), ValueError),
        (Lying(readinto=lambda room: -1), ValueError),
        (Lying(readinto=lambda room: "many"), TypeError),
        (Lying(readinto=raising(ZeroDivisionError())), ZeroDivisionError),
        (Lying(readinto=raising(OSError(5, "broken"))), OSError),
        (Lying(fileno=raising(ZeroDivisionError())), ZeroDivisionError),
        (Lying(fileno=lambda: "three"), (TypeError, AttributeError)),
        (Lying(fileno=lambda: -1), AttributeError),
        (Lying(fileno=lambda: 1 << 40), OverflowError),
        (Lying(seek=raising(ZeroDivisionError())), ZeroDivisionError),
        (Lying(), AttributeError),
        (None, AttributeError),
    ],
)
def test_files_that_lie(run, pair, file, error) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(error):
            await loop.sock_sendfile(pair[0], file)
        transport, protocol = await connect(pair[0])
        with pytest.raises(error):
            await loop.sendfile(transport, file)
        assert transport.get_protocol() is protocol
        assert transport.is_reading()
        transport.write(b"goes on")
        assert await read(pair[1], 7) == b"goes on"
        await close(transport, protocol)

    run(main())


def test_over_tls(run, pair, file, certificates) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        serving = loop.create_task(
            loop.connect_accepted_socket(lambda: asyncio.StreamReaderProtocol(reader), pair[1], ssl=certificates.server)
        )
        transport, protocol = await connect(pair[0], ssl=certificates.client, server_hostname="localhost")
        peer, _ = await serving
        with pytest.raises(RuntimeError, match="fallback is disabled"):
            await loop.sendfile(transport, file, fallback=False)
        transport.write(b"before")
        task = loop.create_task(loop.sendfile(transport, file))
        assert await reader.readexactly(6 + len(DATA)) == b"before" + DATA
        assert await task == len(DATA)
        assert file.tell() == len(DATA)
        transport.write(b"after")
        assert await reader.readexactly(5) == b"after"
        await close(transport, protocol)
        peer.close()
        assert await reader.read() == b""

    run(main())
