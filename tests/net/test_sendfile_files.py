"""Files that change, are closed, are no files, or lie, while sendfile sends them."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hasten
from hasten import compat

from ..worlds import until
from .files import DATA, Hidden, begin, close, connect, either_file, file, pair, path, read

__all__ = ["either_file", "file", "pair", "path"]  # fixtures

REFUSED = Path("/proc/self/environ")  # a file that the kernel reads and does not send


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


@pytest.mark.ours("from 3.14 on asyncio takes no notice of the offset")
def test_where_there_is_no_position_there_is_no_offset(run, pair) -> None:
    async def main() -> None:
        memory = io.BytesIO(b"0123456789")
        with pytest.raises(AttributeError):
            await asyncio.get_running_loop().sock_sendfile(pair[0], Lying(readinto=memory.readinto), 3)
        assert await asyncio.get_running_loop().sock_sendfile(pair[0], Lying(readinto=memory.readinto)) == 10
        assert await read(pair[1], 10) == b"0123456789"

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
