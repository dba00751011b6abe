"""A transport has attributes of its own like an object of Python's, and pays for them only when they are set."""

import asyncio
import gc
import socket
from typing import Any
from unittest import mock

import pytest

import hasten
from hasten.net.stream import SocketTransport

KINDS = ("stream", "datagrams", "read pipe", "write pipe")


def dicts_of(transport: Any) -> list[object]:
    return [found for found in gc.get_referents(transport) if type(found) is dict]


class WithAttributes(asyncio.Protocol):
    dropped: Any = None
    transport: Any = None


async def made(kind: str, ends: list[Any]) -> Any:
    loop = asyncio.get_running_loop()
    if kind == "datagrams":
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, ("127.0.0.1", 0))
        return transport
    ours, peer = socket.socketpair()
    ends.append(peer)
    if kind == "stream":
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
    elif kind == "read pipe":
        transport, _ = await loop.connect_read_pipe(asyncio.Protocol, ours)
    else:
        transport, _ = await loop.connect_write_pipe(asyncio.BaseProtocol, ours)
    return transport


@pytest.mark.parametrize("kind", KINDS)
def test_attributes_can_be_set_read_and_deleted(kind: str) -> None:
    async def main() -> None:
        ends: list[Any] = []
        transport = await made(kind, ends)
        assert not hasattr(transport, "note")
        transport.note = "mine"
        assert transport.note == "mine"
        assert vars(transport) == {"note": "mine"}
        del transport.note
        assert vars(transport) == {}
        with mock.patch.object(transport, "is_closing", return_value="patched"):
            assert transport.is_closing() == "patched"
        assert transport.is_closing() is False
        transport.close()
        for end in ends:
            end.close()
        await asyncio.sleep(0)

    hasten.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_without_any_there_is_no_dict(kind: str) -> None:
    async def main() -> None:
        ends: list[Any] = []
        transport = await made(kind, ends)
        before = len(dicts_of(transport))  # what get_extra_info() tells may be one
        transport.note = "mine"
        assert len(dicts_of(transport)) == before + 1
        transport.close()
        for end in ends:
            end.close()
        await asyncio.sleep(0)

    if getattr(SocketTransport, "__dictoffset__", 0) <= 0:
        pytest.skip("uncompiled, Python keeps the dict itself")
    hasten.run(main())


def test_the_collector_takes_a_transport_with_and_without_attributes() -> None:
    class Dropped:
        """Uses the transport while the collector takes it apart."""

        def __init__(self, transport: Any, seen: list[object]) -> None:
            self.transport = transport
            self.seen = seen

        def __del__(self) -> None:
            self.transport.late_note = 1
            self.seen.append((self.transport.is_closing(), hasattr(self.transport, "nothing")))

    async def main() -> list[object]:
        seen: list[object] = []
        for with_attributes in (True, False):
            ends: list[Any] = []
            transport = await made("stream", ends)
            protocol = WithAttributes()
            transport.set_protocol(protocol)
            if with_attributes:
                transport.note = protocol
            transport.close()
            await asyncio.sleep(0)  # connection_lost()
            await asyncio.sleep(0)
            protocol.dropped = Dropped(transport, seen)
            protocol.transport = transport
            del transport, protocol
            gc.collect()
            ends[0].close()
        return seen

    gc.collect()
    assert hasten.run(main()) == [(True, False), (True, False)]
