"""gunicorn's settings: its own worker and uvicorn's make their loop as asyncio.run() does, and take no uvloop."""

asgi_loop = "asyncio"


def post_fork(server, worker):
    if "uvicorn" in type(worker).__module__:
        worker.config.loop = "none"
