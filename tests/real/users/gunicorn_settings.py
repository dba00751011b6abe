"""gunicorn's settings: uvicorn's worker makes its loop as asyncio.run() does."""


def post_fork(server, worker):
    if "uvicorn" in type(worker).__module__:
        worker.config.loop = "none"
