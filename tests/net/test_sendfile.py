"""Files to transports and sockets: what is sent, what happens meanwhile, where the file stands afterwards."""

from __future__ import annotations

import asyncio
import io
import socket

import pytest

from ..worlds import until
from .files import DATA, Client, Hidden, begin, close, connect, either_file, file, pair, path, read

__all__ = ["either_file", "file", "pair", "path"]  # fixtures


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


@pytest.mark.ours("asyncio leaves the thread that reads alone: who is faster decides where the file stands")
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
