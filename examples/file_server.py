"""A server that sends files, the kernel copying them to the socket, and clients that fetch some from it.

A client sends a path and a newline; the answer is the size in bytes and a newline, then the file.
"""

import asyncio
import tempfile
from pathlib import Path


class FileServer:
    def __init__(self, folder):
        self.folder = folder.resolve()

    async def answer(self, reader, writer):
        """Answer the requests of one client until it closes its side."""
        try:
            while line := await reader.readline():
                path = (self.folder / line.decode().strip()).resolve()
                if not path.is_relative_to(self.folder) or not path.is_file():
                    writer.write(b"-1\n")
                    continue
                with path.open("rb") as file:
                    writer.write(f"{path.stat().st_size}\n".encode())
                    # behind what was written; a client that reads slowly makes this wait, and nothing else
                    await asyncio.get_running_loop().sendfile(writer.transport, file)
        except ConnectionError:
            pass  # the client went away
        finally:
            writer.close()


async def fetch(address, path):
    """Return the content of a file, None if there is no such file."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(f"{path}\n".encode())
        size = int(await reader.readline())
        return None if size < 0 else await reader.readexactly(size)
    finally:
        writer.close()
        await writer.wait_closed()


async def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "small").write_bytes(b"a few bytes")
        (folder / "large").write_bytes(bytes(range(256)) * 40_000)

        server = await asyncio.start_server(FileServer(folder).answer, "127.0.0.1")
        async with server:
            address = server.sockets[0].getsockname()
            paths = ["small", "large", "none", "../outside"]
            contents = await asyncio.gather(*(fetch(address, path) for path in paths))
            for path, content in zip(paths, contents, strict=True):
                if content is None:
                    print(f"{path}: no such file")
                else:
                    same = content == (folder / path).read_bytes()
                    print(f"{path}: {len(content)} bytes, {'as it was' if same else 'not what it was'}")


if __name__ == "__main__":
    asyncio.run(main())
