"""What a scenario runs in: it notes the bytes that were moved, and whom errors were told."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import random
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

LIMIT = 6.0  # seconds: a server that has no descriptor left tries again after one


class Stuck(Exception):
    """What had to happen did not."""


class Scene:
    """One run of a scenario, on hasten's loop or asyncio's."""

    def __init__(self, ns: Any, folder: Path) -> None:
        self.ns = ns
        self.folder = folder
        self.told: list[dict[str, Any]] = []  # errors that reached somebody
        self.wrong: list[str] = []
        self.broken = False  # something has failed that the scenario cannot do without
        self.peers: list[Any] = []
        self.flows: list[tuple[str, Any, Any]] = []
        self.loop: Any = None
        self.exits: contextlib.AsyncExitStack = contextlib.AsyncExitStack()
        self._event: Any = None

    # ---- what scenarios use -----------------------------------------------------------------

    def data(self, n: int) -> bytes:
        """Bytes that show where they come from."""
        return random.Random(n).randbytes(n)

    def flow(self, name: str, sent: Any, got: Any) -> None:
        """What is in `got` at the end has to be what is in `sent`, or its beginning and an error. Bytes, or lists."""
        self.flows.append((name, sent, got))

    def tell(self, where: str, exc: BaseException | None, message: str = "", breaks: bool = False) -> None:
        """Note that an error reached somebody."""
        self.told.append({"where": where, "error": shown(exc) if exc is not None else message, "errnos": errnos(exc)})
        self.told[-1]["clear"] = exc is None or clear(exc)
        if exc is not None and not clear(exc):
            self.told[-1]["traceback"] = "".join(traceback.format_exception(exc))
        self.broken = self.broken or breaks
        self.changed()

    def changed(self) -> None:
        if self._event is not None:
            self._event.set()

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until something is so, or a failure of something else makes it vain."""
        self._event = self.ns.Event()
        try:
            while not (condition() or self.broken):
                await self._event.wait()
                self._event.clear()
        finally:
            self._event = None

    def later(self, end: Callable[..., Any], *args: Any) -> None:
        """Have something called when the scenario is over, however it ends: the last first."""

        async def call() -> None:
            try:
                result = end(*args)
                if isinstance(result, Coroutine) or hasattr(result, "__await__"):
                    await self.ns.wait_for(result, LIMIT)
            except TimeoutError:
                self.wrong.append(f"stuck: the end of {end!r} never came")
            except Exception as exc:
                self.tell("end", exc)

        self.exits.push_async_callback(call)

    def closing(self, thing: Any) -> Any:
        """Have something closed when the scenario is over."""
        self.later(thing.close)
        return thing

    async def serving(self, server: Any) -> Any:
        """Have a server closed when the scenario is over, and its connections, and that waited for."""
        self.later(server.wait_closed)
        self.later(server.close)
        return server

    # ---- running it -------------------------------------------------------------------------

    def run(self, scenario: Callable[[Scene], Coroutine[Any, Any, None]], loop_factory: Callable[[], Any]) -> None:
        """Run a scenario, from the making of the loop to its end."""
        with self._listening():
            try:
                with self.ns.Runner(loop_factory=loop_factory) as runner:
                    self.loop = runner.get_loop()
                    self.loop.set_exception_handler(self._handler)
                    runner.run(self._main(scenario))
            except Stuck:
                raise
            except BaseException as exc:
                self.tell("run", exc)
            self.loop = None
            gc.collect()

    async def _main(self, scenario: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
        try:
            async with self.exits:
                try:
                    async with self.ns.timeout(LIMIT):
                        await scenario(self)
                except TimeoutError as exc:
                    if errnos(exc):  # one of the system's
                        self.tell("await", exc, breaks=True)
                    else:
                        self.wrong.append("stuck: " + where_it_waits(exc))
                except Exception as exc:
                    self.tell("await", exc, breaks=True)
                await self._all_lost()
            await self._all_lost()
        finally:
            others = self.ns.all_tasks(self.loop) - {self.ns.current_task()}
            if others:  # of those that were not waited for: their time has come, too
                _, left = await self.ns.wait(others, timeout=LIMIT / 4)
                self.wrong += [f"a task is left: {task!r}" for task in left]

    async def _all_lost(self) -> None:
        """Each connection that began has its end."""
        for peer in self.peers:
            if not peer.lost:
                peer.transport.close()
        self.broken = False
        try:
            async with self.ns.timeout(LIMIT / 2):
                await self.until(lambda: all(peer.lost for peer in self.peers))
        except TimeoutError:
            for peer in self.peers:
                if not peer.lost:
                    self.wrong.append(f"stuck: {peer.name} never heard of the end of its connection")
                    peer.transport.abort()

    def judge(self) -> None:
        """Compare what was sent with what came."""
        for name, sent, got in self.flows:
            sent, got = (each() if callable(each) else each for each in (sent, got))
            if isinstance(sent, (bytes, bytearray)):
                sent, got = bytes(sent), bytes(got)
            if got == sent:
                continue
            if isinstance(sent, list):  # datagrams may be lost one by one
                rest = iter(sent)
                in_order = all(any(each == other for other in rest) for each in got)
            else:
                in_order = sent[: len(got)] == got
            if not in_order:
                self.wrong.append(f"{name}: other bytes came than were sent")
            elif not self.told:
                self.wrong.append(f"{name}: {len(got)} of {len(sent)} came, and nobody was told why")

    # ---- who may be told --------------------------------------------------------------------

    def _handler(self, loop: Any, context: dict[str, Any]) -> None:
        self.tell("exception handler", context.get("exception"), context["message"])

    @contextlib.contextmanager
    def _listening(self) -> Any:
        """Hear what is told to nobody in particular: logged, of threads, of destructors, of things left open."""
        logger = logging.getLogger("asyncio")
        handler = _Log(self)
        hooks = sys.unraisablehook, threading.excepthook
        sys.unraisablehook = lambda args: self.tell("unraisable", args.exc_value)
        threading.excepthook = lambda args: self.tell("thread", args.exc_value)
        logger.addHandler(handler)
        logger.propagate = False
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter("always", ResourceWarning)
                warnings.showwarning = lambda message, *args, **kwargs: self.wrong.append(f"left open: {message}")
                yield
        finally:
            logger.removeHandler(handler)
            sys.unraisablehook, threading.excepthook = hooks


class _Log(logging.Handler):
    def __init__(self, scene: Scene) -> None:
        super().__init__(logging.WARNING)
        self.scene = scene

    def emit(self, record: logging.LogRecord) -> None:
        self.scene.tell("log", record.exc_info[1] if record.exc_info else None, record.getMessage())


# ---- errors -----------------------------------------------------------------------------------------


def shown(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}"


def chain(exc: BaseException | None) -> list[BaseException]:
    """An exception with its causes and contexts, and those of a group."""
    found: list[BaseException] = []
    todo = [exc]
    while todo:
        each = todo.pop()
        if each is None or each in found:
            continue
        found.append(each)
        todo += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            todo += each.exceptions
    return found


def errnos(exc: BaseException | None) -> list[int]:
    return [each.errno for each in chain(exc) if isinstance(each, OSError) and isinstance(each.errno, int)]


def clear(exc: BaseException) -> bool:
    """True for an error that its reader understands: one of the system's, or what stands on one."""
    if isinstance(exc, BaseExceptionGroup):
        return all(clear(each) for each in exc.exceptions)
    if isinstance(exc, (OSError, asyncio.IncompleteReadError, asyncio.SendfileNotAvailableError, MemoryError)):
        return True
    # of a thread, and of what the interpreter says itself
    return isinstance(exc, RuntimeError) and ("can't start new thread" in str(exc) or bool(errnos(exc)))


def where_it_waits(exc: BaseException) -> str:
    places = [
        f"{frame.name}:{frame.lineno}" for each in chain(exc) for frame in traceback.extract_tb(each.__traceback__)
    ]
    return " < ".join(reversed(places))


# ---- peers ------------------------------------------------------------------------------------------


class Peer(asyncio.Protocol):
    """One side of a connection. What it gets stands in `got`; an `echo` sends it back."""

    def __init__(self, scene: Scene, name: str, echo: bool = False) -> None:
        self.scene, self.name, self.echo = scene, name, echo
        self.got = bytearray()
        self.transport: Any = None
        self.lost = self.ended = self.paused = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.scene.peers.append(self)
        self.scene.changed()

    def data_received(self, data: bytes) -> None:
        self.got += data
        if self.echo:
            self.transport.write(data)
        self.scene.changed()

    def eof_received(self) -> bool | None:
        self.ended = True
        self.scene.changed()
        return None

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        self.scene.changed()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self.lost:
            self.scene.wrong.append(f"{self.name} heard of the end of its connection twice")
        self.lost = True
        if exc is not None:
            self.scene.tell(f"{self.name}: connection_lost()", exc, breaks=True)
        self.scene.changed()


class Sips(asyncio.BufferedProtocol):
    """A peer whose buffer takes few bytes at a time: each read is short."""

    def __init__(self, scene: Scene, name: str, room: int = 7) -> None:
        self.inner = Peer(scene, name)
        self.room = bytearray(room)
        self.connection_made, self.connection_lost = self.inner.connection_made, self.inner.connection_lost
        self.eof_received = self.inner.eof_received

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.room

    def buffer_updated(self, n: int) -> None:
        self.inner.data_received(bytes(self.room[:n]))


class Letters(asyncio.DatagramProtocol):
    """An endpoint of datagrams; an `echo` sends each back."""

    def __init__(self, scene: Scene, name: str, echo: bool = False) -> None:
        self.scene, self.name, self.echo = scene, name, echo
        self.got: list[bytes] = []
        self.errors = 0
        self.transport: Any = None
        self.lost = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.scene.peers.append(self)

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.got.append(data)
        if self.echo:
            self.transport.sendto(data, address)
        self.scene.changed()

    def error_received(self, exc: BaseException) -> None:
        self.errors += 1
        self.scene.tell(f"{self.name}: error_received()", exc)

    def connection_lost(self, exc: BaseException | None) -> None:
        self.lost = True
        if exc is not None:
            self.scene.tell(f"{self.name}: connection_lost()", exc, breaks=True)
        self.scene.changed()


def small(sock: Any, n: int = 4096) -> None:
    """Make a socket's buffer small: what is written then falls short. (With little room to receive, TCP is slow.)"""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, n)


def open_files() -> dict[int, str]:
    """The open descriptors of this process and what they are."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # that of the list itself
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found
