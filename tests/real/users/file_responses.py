"""aiohttp: files sent whole and in parts, over TCP, a unix socket and TLS, to clients that may leave."""

import asyncio
import hashlib
import os

import aiohttp
from aiohttp import web
from common import certificates, right_loop, scratch, until

SIZES = {"empty": 0, "small": 1_000, "big": 5_000_000, "odd": 262_145}


def content(name):
    return (hashlib.sha256(name.encode()).digest() * (SIZES[name] // 32 + 1))[: SIZES[name]]


class File(web.FileResponse):
    """Counts those that are being sent."""

    under_way = 0

    async def prepare(self, request):
        File.under_way += 1
        try:
            return await super().prepare(request)
        finally:
            File.under_way -= 1


class Site:
    def __init__(self, folder):
        self.folder = folder

    async def file(self, request):
        right_loop()
        return File(self.folder / request.match_info["name"])


async def look(session, base):
    for name in SIZES:
        async with session.get(f"{base}/file/{name}") as response:
            body = await response.read()
            same = body == content(name)
            print(name, response.status, response.content_length, same, response.headers["Accept-Ranges"])
    for ranges in ("bytes=0-9", "bytes=4000000-", "bytes=-7", "bytes=100-4999999", "bytes=5000000-"):
        async with session.get(f"{base}/file/big", headers={"Range": ranges}) as response:
            body = await response.read()
            print(ranges, response.status, response.headers.get("Content-Range"), len(body), body in content("big"))
    async with session.head(f"{base}/file/big") as response:
        print("head", response.status, response.headers["Content-Length"], len(await response.read()))
        modified, tag = response.headers["Last-Modified"], response.headers["Etag"]
    for headers in ({"If-Modified-Since": modified}, {"If-None-Match": tag}, {"If-Match": '"other"'}):
        async with session.get(f"{base}/file/big", headers=headers) as response:
            print(*headers, response.status, len(await response.read()))
    async with session.get(f"{base}/file/missing") as response:
        print("missing", response.status)
    async with session.get(f"{base}/static/odd") as response:
        print("static", response.status, await response.read() == content("odd"))

    async def one(number):
        name = list(SIZES)[number % len(SIZES)]
        async with session.get(f"{base}/file/{name}") as response:
            return await response.read() == content(name)

    print("sixty", sum(await asyncio.gather(*(one(number) for number in range(60)))))


async def leave(session, base):
    """A client that goes in the middle: the server is done with it, and answers others."""
    for _ in range(5):
        response = await session.get(f"{base}/file/huge")
        await response.content.readexactly(100_000)
        response.close()
    await until(lambda: File.under_way == 0, "an end of what nobody reads")
    async with session.get(f"{base}/file/small") as response:
        print("left, and", response.status)


async def slow(session, base):
    """A reader that pauses: what does not fit into the socket is sent when there is room."""
    total = hashlib.sha256()
    async with session.get(f"{base}/file/big") as response:
        async for chunk in response.content.iter_chunked(250_000):
            total.update(chunk)
            await asyncio.sleep(0.005)
    print("slowly", total.hexdigest() == hashlib.sha256(content("big")).hexdigest())


async def main():
    right_loop()
    with scratch() as folder:
        files = folder / "files"
        files.mkdir()
        for name in SIZES:
            (files / name).write_bytes(content(name))
            os.utime(files / name, (1_700_000_000, 1_700_000_000))
        with (files / "huge").open("wb") as huge:
            huge.truncate(200_000_000)
        server_tls, client_tls = certificates(folder)
        app = web.Application()
        app.router.add_get("/file/{name}", Site(files).file)
        app.router.add_static("/static", files)
        runner = web.AppRunner(app)
        await runner.setup()
        plain, tls = web.TCPSite(runner, "127.0.0.1", 0), web.TCPSite(runner, "localhost", 0, ssl_context=server_tls)
        for each in (plain, tls, web.UnixSite(runner, str(folder / "socket"))):
            await each.start()
        ports = [each._server.sockets[0].getsockname()[1] for each in (plain, tls)]
        for title, base, connector in (
            ("tcp", f"http://127.0.0.1:{ports[0]}", aiohttp.TCPConnector()),
            ("unix", "http://localhost", aiohttp.UnixConnector(str(folder / "socket"))),
            ("tls", f"https://localhost:{ports[1]}", aiohttp.TCPConnector(ssl=client_tls)),
        ):
            print(title)
            async with aiohttp.ClientSession(connector=connector) as session:
                await look(session, base)
                await slow(session, base)
                await leave(session, base)
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(main())
