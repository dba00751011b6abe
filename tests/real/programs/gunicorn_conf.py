"""gunicorn's settings in the tests: all loops are hasten's, uvicorn's worker is told so by its own option."""

from __future__ import annotations

import hasten

hasten.install()  # in the master, before it forks the workers


def post_fork(server: object, worker: object) -> None:
    config = getattr(worker, "config", None)
    if config is not None:
        config.loop = "hasten:new_event_loop"
