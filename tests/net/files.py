"""What the tests of sendfile share: a file, two sockets, what is connected."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DATA = bytes(range(256)) * 8192  # 2 MiB: more than sockets buffer


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
