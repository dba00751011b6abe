"""An aiohttp server and an aiohttp client on one loop: what they do to each other, printed line by line."""

import asyncio
import hashlib
import io
import ssl

import aiohttp
import trustme
from aiohttp import web

BIG = bytes(range(256)) * 20_000  # 5 MB
end = asyncio.Event()  # of the handlers that give no answer before


async def hello(request):
    return web.json_response({"name": request.match_info["name"], "query": dict(request.query)})


async def digest(request):
    total = hashlib.sha256()
    async for chunk in request.content.iter_chunked(65_536):
        total.update(chunk)
    return web.Response(text=total.hexdigest())


async def big(request):
    return web.Response(body=BIG)


async def stream(request):
    response = web.StreamResponse()
    await response.prepare(request)
    for number in range(20):
        await response.write(f"{number}\n".encode())
        await asyncio.sleep(0)
    await response.write_eof()
    return response


async def drop(request):
    request.transport.abort()
    return web.Response()


async def never(request):
    await end.wait()
    return web.Response()


async def echo(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data[::-1])
    return socket


def application():
    app = web.Application(client_max_size=2 * len(BIG))
    app.add_routes(
        [
            web.get("/hello/{name}", hello),
            web.post("/digest", digest),
            web.get("/big", big),
            web.get("/stream", stream),
            web.get("/drop", drop),
            web.get("/never", never),
            web.get("/echo", echo),
        ]
    )
    return app


async def one_of_each(session, base):
    async with session.get(f"{base}/hello/World", params={"a": "1"}) as response:
        print("get", response.status, await response.json())
    async with session.post(f"{base}/digest", data=io.BytesIO(BIG)) as response:
        print("post", await response.text() == hashlib.sha256(BIG).hexdigest())
    async with session.get(f"{base}/big") as response:
        print("big", await response.read() == BIG)
    async with session.get(f"{base}/stream") as response:
        print("stream", [int(line) async for line in response.content] == list(range(20)))
    async with session.get(f"{base}/nowhere") as response:
        print("missing", response.status)
    async with session.ws_connect(f"{base}/echo") as socket:
        await socket.send_str("olleh")
        print("websocket", await socket.receive_str())
    try:
        await session.get(f"{base}/drop")
    except aiohttp.ServerDisconnectedError as error:
        print("dropped", type(error).__name__)
    try:
        await session.get(f"{base}/never", timeout=aiohttp.ClientTimeout(total=0.1))
    except TimeoutError:
        print("timed out")


async def many(session, base):
    async def one(number):
        async with session.get(f"{base}/hello/{number}") as response:
            return (await response.json())["name"]

    names = await asyncio.gather(*(one(number) for number in range(500)))
    print("many", names == [str(number) for number in range(500)])


async def main():
    kind = type(asyncio.get_running_loop())
    print("on", kind.__module__.partition(".")[0])
    authority = trustme.CA()
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_tls)
    trust = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())

    for scheme, tls in (("http", None), ("https", server_tls)):
        print(scheme)
        runner = web.AppRunner(application(), shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "localhost", 0, ssl_context=tls)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
            await one_of_each(session, f"{scheme}://localhost:{port}")
            await many(session, f"{scheme}://localhost:{port}")
        if tls is not None:
            async with aiohttp.ClientSession() as stranger:
                try:
                    await stranger.get(f"{scheme}://localhost:{port}/hello/x")
                except aiohttp.ClientConnectorCertificateError:
                    print("not trusted")
        await runner.cleanup()
    end.set()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.wait(others, timeout=30)
    print("left over:", sum(not each.done() for each in others))


if __name__ == "__main__":
    asyncio.run(main())
