"""What gunicorn and hypercorn serve: two applications; each tells its loop and its process."""

import asyncio
import os

from common import loop_name


def where():
    return f"{loop_name()} {os.getpid()}".encode()


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})
        return
    body = bytearray()
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if scope["path"] == "/slow":
        await asyncio.sleep(0.3)
    if scope["path"] == "/where":
        body = where()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    for begin in range(0, len(body), 100_000):
        await send({"type": "http.response.body", "body": bytes(body[begin : begin + 100_000]), "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def aiohttp_app():
    from aiohttp import web

    async def answer(request):
        if request.path == "/where":
            return web.Response(body=where())
        if request.path == "/slow":
            await asyncio.sleep(0.3)
        return web.Response(body=await request.read())

    async def upper(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data.upper())
        return socket

    app = web.Application(client_max_size=20_000_000)
    app.router.add_get("/ws", upper)
    app.router.add_route("*", "/{path}", answer)
    return app
