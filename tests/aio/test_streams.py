"""Streams: what hasten adds to those of older Pythons."""

from __future__ import annotations

import asyncio
import importlib.util
from typing import Any

import pytest

import hasten


def reader_with(world, data, eof=True, limit=2**16):
    reader = world.ns.StreamReader(limit=limit)
    reader.feed_data(data)
    if eof:
        reader.feed_eof()
    return reader


@pytest.mark.stdlib_since(3, 13)
@pytest.mark.parametrize(
    ("data", "separators", "expected"),
    [
        (b"one;two,", (b";", b","), [b"one;", b"two,"]),
        (b"a\r\nb\n", (b"\n", b"\r\n"), [b"a\r\n", b"b\n"]),
        (b"xABCy", (b"ABC", b"AB"), [b"xAB"]),
        (b"..ENDING", (b"ENDING", b"END"), [b"..END"]),
    ],
)
def test_readuntil_a_tuple(world, data, separators, expected):
    async def main():
        reader = reader_with(world, data)
        assert [await reader.readuntil(separators) for _ in expected] == expected

    world.run(main())


@pytest.mark.stdlib_since(3, 13)
def test_readuntil_a_tuple_in_pieces(world, settle):
    async def main():
        reader = world.ns.StreamReader()
        task = asyncio.get_running_loop().create_task(reader.readuntil((b"--end", b"stop")))
        for piece in (b"data-", b"-e"):
            reader.feed_data(piece)
            await settle()
            assert not task.done()
        reader.feed_data(b"nd")
        reader.feed_data(b"rest")
        assert await task == b"data--end"
        reader.feed_eof()
        assert await reader.read() == b"rest"

    world.run(main())


@pytest.mark.stdlib_since(3, 13)
def test_readuntil_a_tuple_errors(world):
    async def main():
        with pytest.raises(asyncio.IncompleteReadError) as incomplete:
            await reader_with(world, b"no end").readuntil((b";", b","))
        assert incomplete.value.partial == b"no end"
        with pytest.raises(ValueError, match="at least one element"):
            await reader_with(world, b"x").readuntil(())
        with pytest.raises(ValueError, match="at least one-byte"):
            await reader_with(world, b"x").readuntil((b"", b"x"))
        with pytest.raises(asyncio.LimitOverrunError) as overrun:
            await reader_with(world, b"0123456789;", limit=4).readuntil((b";", b","))
        assert overrun.value.consumed == 10
        with pytest.raises(asyncio.LimitOverrunError):
            await reader_with(world, b"0123456789", eof=False, limit=4).readuntil((b";", b","))
        failed = reader_with(world, b"x;")
        failed.set_exception(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            await failed.readuntil((b";",))

    world.run(main())


def test_readuntil_one_separator(world):
    async def main():
        reader = reader_with(world, b"one\ntwo;")
        assert await reader.readuntil() == b"one\n"
        assert await reader.readuntil(b";") == b"two;"

    world.run(main())


def test_there_and_back(world):
    async def main():
        async def upper(reader, writer):
            assert isinstance(reader, asyncio.StreamReader)
            assert isinstance(writer, asyncio.StreamWriter)
            while line := await reader.readline():
                writer.write(line.upper())
            writer.close()
            await writer.wait_closed()

        server = await world.ns.start_server(upper, "127.0.0.1", 0)
        async with server:
            reader, writer = await world.ns.open_connection(*server.sockets[0].getsockname())
            writer.write(b"hello\nthere\n")
            writer.write_eof()
            assert await reader.read() == b"HELLO\nTHERE\n"
            writer.close()
            await writer.wait_closed()

    world.run(main())


def test_there_and_back_on_a_unix_socket(world, tmp_path):
    async def main():
        async def echo(reader, writer):
            writer.write(await reader.read())
            writer.close()

        path = str(tmp_path / "s")
        server = await world.ns.start_unix_server(echo, path, limit=10)
        async with server:
            reader, writer = await world.ns.open_unix_connection(path)
            writer.write(b"hello")
            writer.write_eof()
            assert await reader.read() == b"hello"
            writer.close()
            await writer.wait_closed()

    world.run(main())


@pytest.mark.stdlib_since(3, 14)
@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_handler_that_fails_is_reported_and_its_connection_closed(world, kind):
    async def main():
        reports = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))

        def function(reader, writer):
            raise ZeroDivisionError

        async def coroutine(reader, writer):
            raise ZeroDivisionError

        server = await world.ns.start_server(function if kind == "function" else coroutine, "127.0.0.1", 0)
        async with server:
            reader, writer = await world.ns.open_connection(*server.sockets[0].getsockname())
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        (report,) = reports
        assert report["message"] == "Unhandled exception in client_connected_cb"
        assert isinstance(report["exception"], ZeroDivisionError)

    world.run(main())


@pytest.mark.stdlib_since(3, 13)
def test_handler_that_is_cancelled_closes_its_connection(world):
    async def main():
        reports = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.append(context))

        async def handler(reader, writer):
            asyncio.current_task().cancel()
            await asyncio.sleep(0)

        server = await world.ns.start_server(handler, "127.0.0.1", 0)
        async with server:
            reader, writer = await world.ns.open_connection(*server.sockets[0].getsockname())
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        assert reports == []

    world.run(main())


class ForeignTransport:
    """A transport as another loop may have it: with the methods, but no instance of asyncio's classes."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str, default: object = None) -> object:
        return default


@pytest.mark.parametrize("kind", ["function", "coroutine function"])
def test_a_handler_is_called_for_transports_of_any_kind(kind: str) -> None:
    async def main() -> None:
        called = asyncio.Event()

        def plain(reader: Any, writer: Any) -> None:
            writer.write(b"hello")
            called.set()

        async def native(reader: Any, writer: Any) -> None:
            plain(reader, writer)

        loop = asyncio.get_running_loop()
        handler = plain if kind == "function" else native
        protocol = hasten.StreamReaderProtocol(hasten.StreamReader(loop=loop), handler, loop=loop)
        transport: Any = ForeignTransport()
        protocol.connection_made(transport)
        await asyncio.wait_for(called.wait(), 30)
        assert transport.written == b"hello"
        protocol.connection_lost(None)

    hasten.run(main())


@pytest.mark.leaks("uvloop keeps a pipe for forks")
@pytest.mark.skipif(importlib.util.find_spec("uvloop") is None, reason="uvloop is not installed")
def test_a_server_on_uvloop_calls_its_handler() -> None:
    import uvloop

    async def main() -> None:
        async def handler(reader: Any, writer: Any) -> None:
            writer.write(await reader.readline())
            writer.close()

        server = await hasten.start_server(handler, "127.0.0.1", 0)
        reader, writer = await hasten.open_connection(*server.sockets[0].getsockname())
        writer.write(b"hello\n")
        assert await asyncio.wait_for(reader.read(), 30) == b"hello\n"
        writer.close()
        server.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("limit", [1, 5, 2**16])
def test_read_to_the_end(world, settle, limit):
    """More than the limit too, since all that has come is taken out of the buffer."""

    async def main():
        reader = world.ns.StreamReader(limit=limit)
        task = asyncio.get_running_loop().create_task(reader.read())
        for piece in (b"one", b"two", b"three" * 100):
            await settle()
            reader.feed_data(piece)
        await settle()
        assert not task.done()
        with pytest.raises(RuntimeError, match="read.. called while another coroutine is already waiting"):
            await reader.read(1)
        assert await reader.read(0) == b""
        reader.feed_eof()
        assert await task == b"onetwo" + b"three" * 100
        assert await reader.read() == await reader.read(5) == b""

    world.run(main())


def test_read_at_most(world, settle):
    async def main():
        reader = world.ns.StreamReader()
        task = asyncio.get_running_loop().create_task(reader.read(3))
        await settle()
        reader.feed_data(b"hello")
        assert await task == b"hel"
        assert await reader.read(n=100) == b"lo"
        reader.feed_eof()
        assert await reader.read(100) == b""

    world.run(main())


@pytest.mark.parametrize("n", [None, "5"])
def test_read_of_what_is_no_number_does_not_wait(world, settle, n):
    async def main():
        task = asyncio.get_running_loop().create_task(world.ns.StreamReader().read(n))
        await settle()
        assert task.done()
        with pytest.raises(TypeError):
            await task

    world.run(main())


@pytest.mark.parametrize("n", [-1, 10])
def test_read_until_an_error(world, settle, n):
    """What came before it is lost, as in asyncio, where all was asked for."""

    async def main():
        reader = world.ns.StreamReader()
        task = asyncio.get_running_loop().create_task(reader.read(n))
        await settle()
        if n < 0:
            reader.feed_data(b"some")
            await settle()
        reader.set_exception(ZeroDivisionError("broken"))
        with pytest.raises(ZeroDivisionError, match="broken"):
            await task
        with pytest.raises(ZeroDivisionError):
            await reader.read(0)

    world.run(main())


def test_read_resumes_a_paused_transport(world, settle):
    log = []

    class Transport(asyncio.ReadTransport):
        def pause_reading(self):
            log.append("paused")

        def resume_reading(self):
            log.append("resumed")

    async def main():
        reader = world.ns.StreamReader(limit=2)
        reader.set_transport(Transport())
        reader.feed_data(b"x" * 10)
        assert log == ["paused"]
        task = asyncio.get_running_loop().create_task(reader.read())
        await settle()
        assert log == ["paused", "resumed"]
        reader.feed_eof()
        assert await task == b"x" * 10

    world.run(main())
