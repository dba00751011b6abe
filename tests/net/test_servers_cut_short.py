"""Servers whose closing is interrupted, or whose pause finds no memory. asyncio's own lose their sockets then."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
from typing import Any

import pytest

import hasten
from hasten.net import listening

from .test_servers import LOCAL, Echo, address, exhausted, finish, talk


class Interrupted(hasten.EventLoop):
    """Ctrl-C comes once while a descriptor is let go of."""

    interrupts = 0

    def _remove_reader(self, fd: int) -> bool:
        if self.interrupts:
            self.interrupts -= 1
            raise KeyboardInterrupt
        return super()._remove_reader(fd)


def test_closing_can_be_interrupted_and_goes_on() -> None:
    loop = Interrupted()
    try:
        server = loop.run_until_complete(loop.create_server(Echo, LOCAL, 0))
        (listening,) = server._sockets
        loop.interrupts = 1
        with pytest.raises(KeyboardInterrupt):
            server.close()
        assert not server.is_serving()
        loop.run_until_complete(finish(server))
        assert listening.fileno() == -1
        assert server.sockets == ()
    finally:
        loop.close()


def test_closing_that_is_interrupted_after_the_last_socket_goes_on() -> None:
    loop = hasten.new_event_loop()

    class Interrupting(hasten.Future):
        interrupts = 1

        def cancel(self, msg: Any = None) -> bool:
            if self.interrupts:
                self.interrupts = 0
                raise KeyboardInterrupt
            return super().cancel(msg)

    async def main() -> None:
        server = await loop.create_server(Echo, LOCAL, 0)
        serving = hasten.create_task(server.serve_forever())
        waiting = hasten.create_task(server.wait_closed())
        loop.create_future = lambda: Interrupting(loop=loop)  # type: ignore[method-assign]
        await hasten.sleep(0)
        del loop.create_future  # type: ignore[attr-defined]
        with pytest.raises(KeyboardInterrupt):
            server.close()
        server.close()
        done, _ = await asyncio.wait([serving, waiting], timeout=10)
        assert done == {serving, waiting}
        assert serving.cancelled()
        assert waiting.result() is None

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


class Failing(hasten.EventLoop):
    """The system fails to let go of a descriptor, when it is told to: the first of them."""

    failing = False

    def _remove_reader(self, fd: int) -> bool:
        found = super()._remove_reader(fd)
        if self.failing:
            self.failing = False
            raise OSError(errno.ENOMEM, "injected")
        return found


@pytest.mark.parametrize("what", ["poller", "socket"])
def test_closing_goes_on_behind_an_error_of_the_system(what: str) -> None:
    """It is raised, and the other sockets are closed, and who waits for the end hears of it."""
    loop = Failing()
    try:
        server = loop.run_until_complete(loop.create_server(Echo, [LOCAL, "127.0.0.2"], 0))
        first, second = server._sockets
        if what == "poller":
            loop.failing = True
        else:
            os.close(first.fileno())
        with pytest.raises(OSError) as info:
            server.close()
        assert info.value.errno == (errno.ENOMEM if what == "poller" else errno.EBADF)
        assert first.fileno() == second.fileno() == -1
        loop.run_until_complete(asyncio.wait_for(server.wait_closed(), 10))
        server.close()  # nothing is left to do
    finally:
        loop.close()


class Short(hasten.EventLoop):
    """Has no memory for a timer or a reader, once each, when it is told to."""

    no_timer = no_reader = False

    def call_later(self, *args: Any, **more: Any) -> Any:
        if self.no_timer:
            self.no_timer = False
            raise MemoryError
        return super().call_later(*args, **more)

    def _add_reader(self, *args: Any) -> Any:
        if self.no_reader:
            self.no_reader = False
            raise MemoryError
        return super()._add_reader(*args)


def test_a_pause_ends_even_without_memory(monkeypatch) -> None:
    monkeypatch.setattr(listening, "_ACCEPT_RETRY_DELAY", 0.01)
    loop = Short()
    told: list[type[BaseException]] = []

    def tell(loop: Any, context: dict[str, Any]) -> None:
        told.append(type(context["exception"]))
        if told == [OSError]:
            loop.no_timer = True
        elif told == [OSError, MemoryError, OSError]:
            loop.no_reader = True

    loop.set_exception_handler(tell)

    async def main() -> None:
        server = await loop.create_server(Echo, sock=exhausted(errno.EMFILE, errno.EMFILE))
        assert await talk(address(server)) == b"hello"
        await finish(server)

    try:
        loop.run_until_complete(asyncio.wait_for(main(), 30))
        assert told == [OSError, MemoryError, OSError, MemoryError]
    finally:
        loop.close()


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_no_address_is_left_out_for_lack_of_descriptors(monkeypatch, error) -> None:
    real = socket.socket
    made: list[socket.socket] = []

    def make(*args: Any) -> socket.socket:
        if made:
            raise OSError(error, os.strerror(error))
        made.append(real(*args))
        return made[0]

    loop = hasten.new_event_loop()
    try:
        monkeypatch.setattr(socket, "socket", make)
        with pytest.raises(OSError, match=re.escape(os.strerror(error))):
            loop.run_until_complete(loop.create_server(Echo, [LOCAL, "127.0.0.2"], 0))
        assert made[0].fileno() == -1
    finally:
        loop.close()
