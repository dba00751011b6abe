"""nginx between aiohttp's client and server, by TCP, unix socket and TLS: files, proxying, WebSockets, a reload."""

import asyncio
import hashlib
import os
import signal

import aiohttp
from aiohttp import web
from common import certificates, free_port, process, right_loop, scratch, until

BIG = os.urandom(3_000_000)
SETTINGS = """
{user}
daemon off;
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 500; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 50m;
    gzip on;
    gzip_types text/plain;
    types {{ text/plain txt; }}
    default_type application/octet-stream;
    upstream tcp {{ server 127.0.0.1:{upstream}; keepalive 8; }}
    upstream unix {{ server unix:{folder}/upstream; keepalive 8; }}
    upstream tls {{ server 127.0.0.1:{upstream_tls}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{port_tls} ssl http2;
        listen unix:{folder}/nginx;
        ssl_certificate {folder}/chain.pem;
        ssl_certificate_key {folder}/key.pem;
        proxy_http_version 1.1;
        proxy_set_header Connection $connection_header;
        proxy_set_header Upgrade $http_upgrade;
        location /files/ {{ root {folder}; sendfile on; }}
        location /tcp/ {{ proxy_pass http://tcp/; }}
        location /unix/ {{
            proxy_pass http://unix/;
            proxy_buffering off;
            proxy_request_buffering off;
        }}
        location /tls/ {{
            proxy_pass https://tls/;
            proxy_ssl_name localhost;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {folder}/authority.pem;
        }}
        location /nobody/ {{ proxy_pass http://127.0.0.1:1/; }}
    }}
    map $http_upgrade $connection_header {{ default upgrade; '' ''; }}
}}
"""


class Application:
    """The server behind nginx."""

    def __init__(self):
        self.connections = set()
        self.left = 0

    async def echo(self, request):
        right_loop()
        self.connections.add(request.transport)
        return web.Response(body=await request.read())

    async def stream(self, request):
        response = web.StreamResponse()
        await response.prepare(request)
        for number in range(200):
            await response.write(b"%d\n" % number * 200)
        await response.write_eof()
        return response

    async def endless(self, request):
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 50_000)
                await asyncio.sleep(0)
        except ConnectionError:
            self.left += 1
            return response

    async def socket(self, request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_bytes(message.data[::-1])
        return socket

    def made(self):
        app = web.Application(client_max_size=50_000_000)
        app.router.add_get("/stream", self.stream)
        app.router.add_get("/endless", self.endless)
        app.router.add_get("/socket", self.socket)
        app.router.add_post("/echo", self.echo)
        return app


async def files(session, base):
    async with session.get(f"{base}/files/big") as response:
        print("file", response.status, await response.read() == BIG)
    async with session.get(f"{base}/files/big", headers={"Range": "bytes=100-199"}) as response:
        print("part", response.status, await response.read() == BIG[100:200])
    async with session.get(f"{base}/files/words.txt", headers={"Accept-Encoding": "gzip"}) as response:
        print("packed", response.headers["Content-Encoding"], len(await response.text()))
    async with session.get(f"{base}/nobody/") as response:
        print("nobody there", response.status)


async def proxied(session, base, application):
    async with session.post(f"{base}/echo", data=b"hello") as response:
        print("echo", response.status, await response.text())
    async with session.post(f"{base}/echo", data=BIG) as response:
        print("big", await response.read() == BIG)

    async def pieces():
        for begin in range(0, len(BIG), 70_000):
            yield BIG[begin : begin + 70_000]

    async with session.post(f"{base}/echo", data=pieces()) as response:
        print("in pieces", await response.read() == BIG)
    async with session.get(f"{base}/stream") as response:
        print("stream", hashlib.sha256(await response.read()).hexdigest()[:16])
    async with session.ws_connect(f"{base}/socket") as socket:
        for size in (0, 10, 100_000, 1_000_000):
            await socket.send_bytes(BIG[:size])
            assert (await socket.receive()).data == BIG[:size][::-1]
        print("websocket", await socket.close())

    async def one(number):
        async with session.post(f"{base}/echo", data=b"%d" % number) as response:
            return await response.text()

    found = await asyncio.gather(*(one(number) for number in range(300)))
    print("three hundred", found == [str(number) for number in range(300)])
    application.connections.clear()
    for number in range(20):
        await one(number)
    print("few connections", len(application.connections) < 5)
    gone = application.left
    for _ in range(3):
        response = await session.get(f"{base}/endless")
        await response.content.readexactly(200_000)
        response.close()
    await until(lambda: application.left == gone + 3, "the ends of what nobody reads")
    print("left")


async def reloads(session, base, server, log):
    """What nginx did not hear any more, since it closed a connection that was waiting, is sent again.

    Where several reloads follow each other at once, one of its workers may end in the middle of an answer (seen on
    asyncio's loop, too): it says so in its log.
    """
    end = asyncio.Event()

    async def load():
        count = again = 0
        while not end.is_set():
            try:
                async with session.get(f"{base}/tcp/stream") as response:
                    assert response.status == 200
                    await response.read()
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError) as exc:
                if isinstance(exc, aiohttp.ClientPayloadError) and "left in connection" not in log.read_text():
                    raise AssertionError(f"an answer was cut, and nginx says: {log.read_text()}") from exc
                again += 1
                assert again < 10
            else:
                count += 1
        return count

    loads = [asyncio.create_task(load()) for _ in range(5)]
    for _ in range(3):
        await asyncio.sleep(0.2)
        server.send_signal(signal.SIGHUP)
    await asyncio.sleep(0.5)
    end.set()
    print("reloaded under load", all(count > 3 for count in await asyncio.gather(*loads)))


async def main():
    right_loop()
    with scratch() as folder:
        folder.chmod(0o755)
        server_tls, client_tls = certificates(folder)
        (folder / "files").mkdir()
        (folder / "files/big").write_bytes(BIG)
        (folder / "files/words.txt").write_text("word " * 100_000)
        application = Application()
        runner = web.AppRunner(application.made())
        await runner.setup()
        tcp, tls = web.TCPSite(runner, "127.0.0.1", 0), web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_tls)
        for site in (tcp, tls, web.UnixSite(runner, str(folder / "upstream"))):
            await site.start()
        upstream, upstream_tls = (site._server.sockets[0].getsockname()[1] for site in (tcp, tls))
        port, port_tls = free_port(), free_port()
        user = "user root;" if os.geteuid() == 0 else ""  # the workers have to reach the folder
        settings = folder / "nginx.conf"
        settings.write_text(SETTINGS.format(**{name: value for name, value in locals().items() if name != "settings"}))
        with process(["nginx", "-c", settings, "-p", folder, "-e", folder / "error.log"]) as server:
            await until((folder / "nginx").exists, "a socket")
            for title, base, connector in (
                ("tcp", f"http://127.0.0.1:{port}", aiohttp.TCPConnector()),
                ("unix", "http://localhost", aiohttp.UnixConnector(str(folder / "nginx"))),
                ("tls", f"https://localhost:{port_tls}", aiohttp.TCPConnector(ssl=client_tls)),
            ):
                async with aiohttp.ClientSession(connector=connector) as session:
                    print("client by", title)
                    await files(session, base)
                    for behind in ("tcp", "unix", "tls"):
                        print("server by", behind)
                        await proxied(session, f"{base}/{behind}", application)
            async with aiohttp.ClientSession() as session:
                await reloads(session, f"http://127.0.0.1:{port}", server, folder / "error.log")
            server.send_signal(signal.SIGQUIT)
            print("ended", await asyncio.to_thread(server.wait, 60))
        await runner.cleanup()
        told = [line for line in (folder / "error.log").read_text().splitlines() if "[error]" in line]
        known = ("Connection refused", "prematurely closed")
        print("errors", [line for line in told if not any(text in line for text in known)])


if __name__ == "__main__":
    asyncio.run(main())
