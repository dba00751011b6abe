"""A library of two parts: one says asyncio and is not changed, its user says what the corpus' name is."""

import asyncio
from collections.abc import Awaitable, Callable

import anyio
import anyio.from_thread
from aiohttp import ClientSession, web
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

sessions: web.AppKey["asyncio.Task[None]"] = web.AppKey("sessions")


async def tick(loop: asyncio.AbstractEventLoop) -> None:
    while not loop.is_closed():
        await asyncio.sleep(1)


async def start(app: web.Application) -> None:
    app[sessions] = asyncio.create_task(tick(asyncio.get_running_loop()))


async def stop(app: web.Application) -> None:
    app[sessions].cancel()


@web.middleware
async def limit(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    task: asyncio.Task[None] | None = request.task
    print(task)
    async with asyncio.timeout(5):
        return await handler(request)


async def hello(request: web.Request) -> web.Response:
    socket = web.WebSocketResponse()
    await asyncio.wait_for(socket.prepare(request), 1)
    transport: asyncio.Transport | None = request.transport
    print(transport)
    return web.Response(text="hello")


def application() -> web.Application:
    app = web.Application(middlewares=[limit])
    app.on_startup.append(start)
    app.on_cleanup.append(stop)
    app.router.add_get("/", hello)
    return app


async def fetch(url: str) -> str:
    loop = asyncio.new_event_loop()
    async with ClientSession(loop=loop) as session, session.get(url) as response:
        return await response.text()


async def homepage(request: Request) -> Response:
    text = await asyncio.to_thread(str, request.url)
    return PlainTextResponse(text)


starlette = Starlette(routes=[Route("/", homepage)])


async def with_anyio() -> None:
    event = anyio.Event()
    lock = asyncio.Lock()
    async with anyio.create_task_group() as group:
        group.start_soon(asyncio.sleep, 1)
        group.start_soon(fetch, "http://127.0.0.1")
        async with lock:
            event.set()
    with anyio.move_on_after(1):
        await anyio.to_thread.run_sync(print, 1)


anyio.run(with_anyio, backend="asyncio")
web.run_app(application(), loop=asyncio.new_event_loop())
