"""A stand-in for an event loop: what no loop that calls a Protocol in Python can go below (see native/floor.c).

It serves with Protocols over TCP and unix sockets, one server in a process, and can do nothing else.
"""

from __future__ import annotations

import asyncio
import importlib.machinery
import importlib.util
import socket
from collections.abc import Callable
from typing import Any

from bench import native


class FloorLoop(asyncio.SelectorEventLoop):
    """asyncio's loop until there is a server; from then on the process does nothing but serve."""

    async def create_server(
        self, factory: Callable[[], Any], host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        if options.get("ssl") is not None:
            raise NotImplementedError("only TCP and unix sockets")
        return await self._serve(await super().create_server(factory, host, port, **options), factory)

    async def create_unix_server(self, factory: Callable[[], Any], path: str, **options: Any) -> Any:
        return await self._serve(await super().create_unix_server(factory, path, **options), factory)

    async def _serve(self, server: Any, factory: Callable[[], Any]) -> Any:
        self._served = server  # else it would be closed, since nothing of this loop knows it any more
        listener: socket.socket = server.sockets[0]
        self.remove_reader(listener.fileno())
        is_tcp = listener.family in (socket.AF_INET, socket.AF_INET6)
        self.call_later(0.05, _module().serve, listener.fileno(), factory, is_tcp)  # once the program has said "ready"
        return server


def new_event_loop() -> FloorLoop:
    return FloorLoop()


def _module() -> Any:
    path = native.extension("floor")
    loader = importlib.machinery.ExtensionFileLoader("floor", path)
    spec = importlib.util.spec_from_file_location("floor", path, loader=loader)
    assert spec is not None
    made = importlib.util.module_from_spec(spec)
    loader.exec_module(made)
    return made
