"""A loop that is part of garbage is called while the collector takes it apart: a buffer that was lent is given back
then, whose method has kept the loop. Prints each method's name before it is called, and "end"."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import warnings
from typing import Any

import hasten
from hasten.poll import choice

EITHER = socket.socketpair()
CALLS: dict[str, tuple[Any, ...]] = {
    "time": (),
    "is_running": (),
    "is_closed": (),
    "get_task_factory": (),
    "stop": (),
    "close": (),
    "call_soon": (print,),
    "call_soon_threadsafe": (print,),
    "call_later": (1, print),
    "call_at": (1.0, print),
    "create_future": (),
    "remove_reader": (EITHER[0],),
    "remove_writer": (EITHER[0],),
    "add_reader": (EITHER[0], print),
    "run_forever": (),
    "_run_once": (),
    "_stir": (),
    "_shut": (),
    "__repr__": (),
}


class Lent:
    """Memory whose loop is called when it is given back."""

    loop: Any
    held: Any

    def __init__(self, method: str) -> None:
        self.method = method

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(bytearray(4))

    def __release_buffer__(self, view: memoryview) -> None:
        print(self.method, flush=True)
        with contextlib.suppress(Exception):
            answer = getattr(self.loop, self.method)(*CALLS[self.method])
            if self.method == "is_running" and answer is not False:
                print("it says that it runs")


class Holder:
    view: memoryview


def tear(method: str, poller: str, closed: bool) -> None:
    loop: Any = hasten.new_event_loop(poller)
    loop.run_until_complete(asyncio.sleep(0))
    if closed:
        loop.close()
    holder, lent = Holder(), Lent(method)
    lent.loop, lent.held = loop, holder
    holder.view = memoryview(lent)  # type: ignore[arg-type]
    loop.mine = holder
    del loop, holder, lent
    gc.collect()


warnings.simplefilter("ignore")  # that nobody has closed them
for name in CALLS:
    for kind in choice.NAMES:
        tear(name, kind, closed=True)
        tear(name, kind, closed=False)
print("end")
