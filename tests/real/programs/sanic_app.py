"""What sanic serves in the tests: the name of the loop."""

from __future__ import annotations

import asyncio

from sanic import Request, Sanic, response

app = Sanic("hasten_test")


@app.get("/")
async def hello(request: Request) -> response.HTTPResponse:
    kind = type(asyncio.get_running_loop())
    return response.text(f"{kind.__module__}.{kind.__qualname__}")
