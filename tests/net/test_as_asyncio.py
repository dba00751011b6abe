"""Details that a comparison of whole programs on both loops has found: errors, logs, and what they leave behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import signal
import socket
import sys
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hasten

Loop = asyncio.AbstractEventLoop
Pair = tuple[socket.socket, socket.socket]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="asyncio's Proactor loop has other transports")


@pytest.mark.stdlib_since(3, 12)
def test_writelines_after_write_eof_names_itself(either_loop: Loop, run: Callable[..., Any], pair: Pair) -> None:
    async def main() -> None:
        transport, _ = await either_loop.create_connection(asyncio.Protocol, sock=pair[0])
        transport.write_eof()
        for pieces in ([b"x"], [b""], []):
            with pytest.raises(RuntimeError, match=r"Cannot call writelines\(\) after write_eof\(\)"):
                transport.writelines(pieces)
        transport.close()
        await asyncio.sleep(0)

    run(main())


def test_a_protocol_without_data_received_is_named(either_loop: Loop, run: Callable[..., Any], pair: Pair) -> None:
    """It may write; the error comes with the first data."""

    class Mute(asyncio.BaseProtocol):
        lost: asyncio.Future[Any]

        def connection_lost(self, exc: Exception | None) -> None:
            self.lost.set_result(exc)

    async def main() -> None:
        told: list[dict[str, Any]] = []
        either_loop.set_exception_handler(lambda loop, context: told.append(context))
        transport, protocol = await either_loop.create_connection(Mute, sock=pair[0])
        protocol.lost = either_loop.create_future()
        transport.write(b"out")
        pair[1].send(b"in")
        assert isinstance(await protocol.lost, AttributeError)
        assert str(told[0]["exception"]) == "'Mute' object has no attribute 'data_received'"
        assert told[0]["message"] == "Fatal error: protocol.data_received() call failed."

    run(main())


def test_debug_mode_logs_the_peers_end(
    either_loop: Loop, run: Callable[..., Any], pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        either_loop.set_debug(True)
        ended = asyncio.Event()

        class Ends(asyncio.Protocol):
            def eof_received(self) -> None:
                ended.set()

        await either_loop.create_connection(Ends, sock=pair[0])
        pair[1].shutdown(socket.SHUT_WR)
        await ended.wait()
        await asyncio.sleep(0)

    caplog.set_level(logging.DEBUG, "asyncio")
    run(main())
    assert [record for record in caplog.records if record.getMessage().endswith("received EOF")]


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("make", [hasten.new_event_loop, asyncio.SelectorEventLoop], ids=["hasten", "asyncio"])
def test_the_beginning_and_the_end_of_a_loop_are_logged(
    make: Callable[[], Any], debug: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "asyncio")
    loop = make()
    loop.set_debug(debug)
    loop.close()
    loop.close()
    (begun, *ended) = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert begun[0] == logging.DEBUG
    assert re.fullmatch(r"Using selector: \w*(Selector|Poller)", begun[1])
    assert ended == ([(logging.DEBUG, f"Close {loop!r}")] if debug else [])


def test_debug_mode_logs_a_bound_endpoint_as_information(
    either_loop: Loop, run: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        either_loop.set_debug(True)
        bound, _ = await either_loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
        address = bound.get_extra_info("sockname")
        other, _ = await either_loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=address)
        bound.close()
        other.close()
        await asyncio.sleep(0)

    caplog.set_level(logging.DEBUG, "asyncio")
    run(main())
    levels = [record.levelno for record in caplog.records if record.getMessage().startswith("Datagram endpoint")]
    assert levels == [logging.INFO, logging.DEBUG]


def test_an_error_about_a_coroutine_function_keeps_no_frame(either_loop: Loop, run: Callable[..., Any]) -> None:
    """Else what the caller has, a StreamWriter for instance, would live until the garbage collector comes."""

    class Thing:
        pass

    async def handler() -> None:
        pass

    def wrong(call: Callable[..., Any], *args: Any) -> weakref.ref[Thing]:
        thing = Thing()
        with pytest.raises(TypeError):
            call(*args)
        return weakref.ref(thing)

    async def main() -> None:
        gc.disable()
        try:
            assert wrong(either_loop.add_signal_handler, signal.SIGUSR1, handler)() is None
            either_loop.set_debug(True)
            assert wrong(either_loop.run_in_executor, None, handler)() is None
        finally:
            gc.enable()

    run(main())


@pytest.mark.ours("asyncio gives the handle of the callback, and neither transport nor protocol")
@pytest.mark.parametrize("method", ["connection_made", "connection_lost"])
def test_an_error_at_the_beginning_or_end_is_told_with_its_transport(
    either_loop: Loop, run: Callable[..., Any], pair: Pair, method: str
) -> None:
    def fail(*args: Any) -> None:
        raise ZeroDivisionError

    async def main() -> None:
        told: list[dict[str, Any]] = []
        either_loop.set_exception_handler(lambda loop, context: told.append(context))
        mine = type("Mine", (asyncio.Protocol,), {method: fail})
        transport, protocol = await either_loop.create_connection(mine, sock=pair[0])
        transport.close()
        await asyncio.sleep(0)
        (context,) = told
        assert context["message"] == f"Exception in callback protocol.{method}()"
        assert context["transport"] is transport
        assert context["protocol"] is protocol

    run(main())


@pytest.mark.ours("asyncio leaves the file where it stood, if the kernel was to send")
def test_a_file_of_which_nothing_was_sent_stands_at_the_offset(
    either_loop: Loop, run: Callable[..., Any], pair: Pair, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    async def main() -> None:
        with path.open("rb") as file:
            file.seek(3)
            assert await either_loop.sock_sendfile(pair[0], file, 10) == 0
            assert file.tell() == 10

    run(main())
