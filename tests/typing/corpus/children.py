"""Subprocesses: pipes, lines, timeouts, a protocol."""

from __future__ import annotations

import asyncio
import sys
from asyncio import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass


@dataclass
class Result:
    code: int
    out: bytes
    err: bytes


async def run(argv: Sequence[str], data: bytes | None = None, limit: float = 10) -> Result:
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=None
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(data), limit)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Result(process.returncode, out, err)


async def lines(process: asyncio.subprocess.Process) -> AsyncIterator[str]:
    assert process.stdout is not None
    async for line in process.stdout:
        yield line.decode().rstrip()


async def shell(command: str) -> int:
    process: asyncio.subprocess.Process = await asyncio.create_subprocess_shell(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, cwd="/", start_new_session=True
    )
    return await process.wait()


async def dialogue() -> list[str]:
    code = "import sys\nfor line in sys.stdin: print(line.strip().upper(), flush=True)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=1024
    )
    stdin: asyncio.StreamWriter | None = process.stdin
    stdout: asyncio.StreamReader | None = process.stdout
    assert stdin is not None
    assert stdout is not None
    said: list[str] = []
    for word in ("one", "two"):
        stdin.write(word.encode() + b"\n")
        await stdin.drain()
        said.append((await stdout.readline()).decode().strip())
    stdin.close()
    await stdin.wait_closed()
    said += [line async for line in lines(process)]
    if await process.wait():
        raise RuntimeError(process.pid)
    return said


class Collect(asyncio.SubprocessProtocol):
    transport: asyncio.SubprocessTransport

    def __init__(self, done: asyncio.Future[bytes]) -> None:
        self.done = done
        self.data = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.SubprocessTransport)
        self.transport = transport

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        self.data += data

    def process_exited(self) -> None:
        if self.transport.get_returncode() == 0 and not self.done.done():
            self.done.set_result(bytes(self.data))


async def by_protocol() -> bytes:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[bytes] = loop.create_future()
    transport, protocol = await loop.subprocess_exec(
        lambda: Collect(done), sys.executable, "-c", "print(1)", stdin=None
    )
    try:
        return await protocol.done
    finally:
        transport.close()


async def main() -> None:
    print(await run([sys.executable, "-c", "print(input())"], b"hello\n"))
    print(await shell("exit 3"), await dialogue(), await by_protocol())


if __name__ == "__main__":
    asyncio.run(main())
