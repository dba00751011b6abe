from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest


class Echo(asyncio.Protocol):
    """Sends back what it gets."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


async def talk(path: Any, data: bytes = b"hello") -> bytes:
    """What the server at *path* answers to *data*."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as client:
        client.setblocking(False)
        await loop.sock_connect(client, path)
        await loop.sock_sendall(client, data)
        return await loop.sock_recv(client, 1000)


async def finish(server: asyncio.Server) -> None:
    server.close()
    await asyncio.wait_for(server.wait_closed(), 30)


def address(server: asyncio.Server) -> Any:
    return server.sockets[0].getsockname()


def there(path: str) -> bool:
    return os.path.exists(path)


def write(path: str, text: str) -> None:
    Path(path).write_text(text)


def read(path: str) -> str:
    return Path(path).read_text()


def test_unix_server(run, unix_path) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_unix_server(Echo, unix_path)
        assert address(server) == unix_path
        assert await talk(unix_path) == b"hello"
        await finish(server)

    run(main())


@pytest.mark.parametrize("kind", [Path, os.fsencode])
def test_unix_paths_of_all_kinds(run, unix_path, kind) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(Echo, kind(unix_path))
        reader, writer = await asyncio.open_unix_connection(kind(unix_path))
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        writer.close()
        await writer.wait_closed()
        await finish(server)

    run(main())


def test_abstract_unix_names(run, unix_path) -> None:
    async def main() -> None:
        name = "\0" + unix_path
        server = await asyncio.get_running_loop().create_unix_server(Echo, name)
        assert await talk(name) == b"hello"
        await finish(server)

    run(main())


@pytest.mark.ours("asyncio fails with IndexError: string index out of range")
def test_the_empty_unix_path_takes_any_name(run) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_unix_server(Echo, "")
        assert await talk(address(server)) == b"hello"
        await finish(server)

    run(main())


def test_a_stale_unix_socket_is_replaced(run, unix_path) -> None:
    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(unix_path)
        assert there(unix_path)
        server = await asyncio.get_running_loop().create_unix_server(Echo, unix_path)
        assert await talk(unix_path) == b"hello"
        await finish(server)

    run(main())


def test_a_file_in_the_way_is_not_removed(run, unix_path) -> None:
    async def main() -> None:
        write(unix_path, "precious")
        with pytest.raises(OSError, match=r"Address '.*' is already in use") as caught:
            await asyncio.get_running_loop().create_unix_server(Echo, unix_path)
        assert caught.value.errno == errno.EADDRINUSE
        assert read(unix_path) == "precious"

    run(main())


def test_a_unix_path_in_a_missing_folder(run, unix_path) -> None:
    async def main() -> None:
        with pytest.raises(FileNotFoundError):
            await asyncio.get_running_loop().create_unix_server(Echo, unix_path + "/deeper")

    run(main())


@pytest.mark.stdlib_since(3, 13)
@pytest.mark.parametrize("bound_elsewhere", [False, True])
def test_closing_removes_the_unix_socket(run, unix_path, bound_elsewhere) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        if bound_elsewhere:
            sock = socket.socket(socket.AF_UNIX)
            sock.bind(unix_path)
            server = await loop.create_unix_server(Echo, sock=sock)
        else:
            server = await loop.create_unix_server(Echo, unix_path)
        server.close()
        assert not there(unix_path)
        await server.wait_closed()

    run(main())


@pytest.mark.stdlib_since(3, 13)
def test_a_unix_socket_may_stay(run, unix_path) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_unix_server(Echo, unix_path, cleanup_socket=False)
        await finish(server)
        assert there(unix_path)

    run(main())


def test_a_unix_socket_that_is_gone_already(run, unix_path, caplog) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_unix_server(Echo, unix_path)
        os.unlink(unix_path)
        await finish(server)

    run(main())
    assert caplog.text == ""


def test_a_unix_socket_of_somebody_else_stays(run, unix_path) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_unix_server(Echo, unix_path)
        # renamed over, not removed first: a new file could get the old one's inode
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(unix_path + "2")
            os.rename(unix_path + "2", unix_path)
            await finish(server)
            assert there(unix_path)

    run(main())


@pytest.mark.stdlib_since(3, 13)
def test_under_a_detector_of_blocking_calls(run, unix_path, monkeypatch) -> None:
    """blockbuster replaces functions of `os`, and lets asyncio's create_unix_server and _stop_serving call them."""

    def guarded(function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            frame: Any = sys._getframe()
            while frame is not None and not frame.f_code.co_filename.endswith("asyncio/unix_events.py"):
                frame = frame.f_back
            assert frame is not None, f"a blocking call of os.{function.__name__}"
            return function(*args, **kwargs)

        return call

    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(unix_path)
        with monkeypatch.context() as patched:
            for name in ("stat", "unlink", "remove", "lstat", "access"):
                patched.setattr(os, name, guarded(getattr(os, name)))
            server = await asyncio.get_running_loop().create_unix_server(Echo, unix_path)
            assert await talk(unix_path) == b"hello"
            await finish(server)
        assert not there(unix_path)

    run(main())
