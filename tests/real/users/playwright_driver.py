"""Playwright: its driver, a Node process by pipes, makes requests and drives a browser; async and sync (greenlets)."""

import asyncio
import hashlib
import shutil
import sys
import threading

from common import right_loop
from playwright.async_api import Error, TimeoutError, async_playwright
from playwright.sync_api import sync_playwright

BIG = bytes(range(256)) * 8_000  # it comes through the pipe as base64
BROWSER = shutil.which("chromium") or shutil.which("chromium-headless-shell")
PAGE = b"<title>A page</title><h1>Hello</h1><button onclick='count(++n)'>more</button><script>let n = 0</script>"


async def answer(reader, writer):
    """A small HTTP server: what it is sent comes back, or what the path says."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            first, *lines = head.decode("latin-1").split("\r\n")
            path = first.split(" ")[1]
            headers = dict(line.lower().split(": ", 1) for line in lines if line)
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            if path == "/never":
                await asyncio.sleep(1_000)
            kind = "text/html" if path == "/page" else "application/octet-stream"
            body = {"/big": BIG, "/page": PAGE}.get(path, body or path.encode())
            status = "404 Not Found" if path == "/missing" else "200 OK"
            writer.write(f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            writer.write(body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


class Server:
    """The server in a thread and on a loop of its own, so that the sync interface may be used beside it."""

    def __enter__(self):
        self.ready = threading.Event()
        self.thread = threading.Thread(target=asyncio.run, args=(self.serve(),))
        self.thread.start()
        self.ready.wait()
        return self.base

    def __exit__(self, *error):
        self.loop.call_soon_threadsafe(self.end.set)
        self.thread.join()

    async def serve(self):
        right_loop()
        self.loop, self.end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        self.base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self.ready.set()
        await self.end.wait()
        server.close()


async def requests(base):
    async with async_playwright() as playwright:
        context = await playwright.request.new_context(base_url=base)
        response = await context.get("/one")
        print("get", response.status, await response.text())
        print("missing", (await context.get("/missing")).status)
        response = await context.post("/echo", data={"a": [1, 2, 3]})
        print("post", await response.json())
        body = await (await context.get("/big")).body()
        print("big", len(body), body == BIG)
        body = await (await context.post("/echo", data=BIG)).body()
        print("big there and back", hashlib.sha256(body).hexdigest() == hashlib.sha256(BIG).hexdigest())

        async def one(number):
            return await (await context.get(f"/{number}")).text()

        found = await asyncio.gather(*(one(number) for number in range(100)))
        print("hundred at once", found == [f"/{number}" for number in range(100)])
        try:
            await context.get("/never", timeout=100)
        except TimeoutError:
            print("timed out")
        waiting = asyncio.create_task(context.get("/never"))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        print("cancelled", waiting.cancelled())
        try:
            await context.get("http://127.0.0.1:1/")
        except Error as error:
            print("refused", "ECONNREFUSED" in str(error))
        await context.dispose()


async def browser(base):
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = await chromium.new_page()
        counted = []
        await page.expose_function("count", lambda number: counted.append(number))
        await page.goto(f"{base}/page")
        print("page", await page.title(), await page.inner_text("h1"))
        for _ in range(10):
            await page.click("button")
        print("clicked", counted, await page.evaluate("n"))
        print("big", len(await page.evaluate("'x'.repeat(1000000)")))
        print("picture", (await page.screenshot())[:4])
        await chromium.close()


def synchronous(base):
    with sync_playwright() as playwright:
        right_loop()  # which stands still meanwhile
        context = playwright.request.new_context(base_url=base)
        found = [context.get(f"/{number}").text() for number in range(50)]
        print("sync", found == [f"/{number}" for number in range(50)])
        print("sync big", context.get("/big").body() == BIG)
        context.dispose()
        if BROWSER:
            chromium = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
            page = chromium.new_page()
            counted = []
            # what the browser calls makes calls itself
            page.expose_function("count", lambda number: counted.append((number, page.title())))
            page.goto(f"{base}/page")
            page.click("button")
            page.click("button")
            print("sync page", page.inner_text("h1"), counted)
            chromium.close()


async def main(base):
    right_loop()
    await requests(base)
    if BROWSER:
        await browser(base)
    else:
        print("no browser found: requests only", file=sys.stderr)


if __name__ == "__main__":
    with Server() as base:
        asyncio.run(main(base))
        synchronous(base)
        asyncio.run(requests(base))
