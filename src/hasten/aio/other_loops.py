"""One line on stderr when a loop that is not hasten's begins to run in a process of `hasten run`, and what to do.

asyncio's own loops, and others, tell asyncio that they run by `_set_running_loop()`, which is looked at until the first
of them has been told of. HASTEN_QUIET=1 says nothing.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import os
import sys
from types import FrameType
from typing import Any

from hasten.aio import uvloop_name
from hasten.core import report
from hasten.core.scheduler import Scheduler

VARIABLE = "HASTEN_QUIET"
_NAME = "_set_running_loop"
# What to write, by the package that is on the stack; the first of these that is.
ADVICE = {
    "gunicorn": "give gunicorn --worker-class hasten.gunicorn.UvicornWorker, or hasten.gunicorn.AiohttpWorker",
    "uvicorn": "leave out uvicorn's loop option, or give it --loop hasten:new_event_loop",
    "hypercorn": "give hypercorn --worker-class asyncio, or leave that option out",
    "granian": "give granian --loop asyncio, or --loop uvloop, for which hasten stands in",
    "sanic": "leave out sanic's loop= and configure_event_loop",
    "ipykernel": "install hasten's kernel by `hasten jupyter install`",
    "IPython": "say %load_ext hasten first",
    "anyio": 'give anyio backend_options={"loop_factory": hasten.new_event_loop}, or no loop factory',
    "aiohttp": "give run_app() no loop, or loop=hasten.new_event_loop()",
    "pytest_asyncio": "leave out the fixture that names the loop or its policy",
}
_OTHERWISE = "leave out the loop, loop factory or policy that the program names, or name hasten.new_event_loop"


def tell() -> None:
    """Tell of the first loop in this process that is not hasten's, from now on; not if the environment says so."""
    if os.environ.get(VARIABLE, "0") not in ("", "0"):
        return
    stock = getattr(asyncio.events, _NAME)
    told = False  # some keep the function that they have found here

    def _set_running_loop(loop: Any) -> None:
        nonlocal told
        if not told and loop is not None and not isinstance(loop, Scheduler) and not _asked_for(loop):
            told = True
            for module in (asyncio, asyncio.events):
                if getattr(module, _NAME) is _set_running_loop:
                    setattr(module, _NAME, stock)
            report.say(of(loop, sys._getframe(1)))
        stock(loop)

    for module in (asyncio, asyncio.events):
        if getattr(module, _NAME) is stock:
            setattr(module, _NAME, _set_running_loop)


def _asked_for(loop: object) -> bool:
    """True for a loop of uvloop's where that is to be left alone."""
    return uvloop_name.kept() and type(loop).__module__.partition(".")[0] == uvloop_name.NAME


def of(loop: object, frame: FrameType | None) -> str:
    """Return the line: which loop runs, and what to write instead, by who is on the stack."""
    callers = set()
    while frame is not None:
        callers.add(str(frame.f_globals.get("__name__", "")).partition(".")[0])
        frame = frame.f_back
    kind = type(loop)
    remedy = next((text for package, text in ADVICE.items() if package in callers), _OTHERWISE)
    return (
        f"hasten: this runs on another loop, {kind.__module__}.{kind.__qualname__}: {remedy} "
        f"({VARIABLE}=1 says nothing of it)"
    )
