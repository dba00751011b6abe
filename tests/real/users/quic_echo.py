"""aioquic: an HTTP/3 echo server and its clients, over UDP on the loopback interface; streams, and who comes late."""

import asyncio
import ssl

from aioquic.asyncio import QuicConnectionProtocol, connect, serve
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated
from common import certificates, right_loop, scratch

BIG = bytes(range(256)) * 4_000


class Http(QuicConnectionProtocol):
    """What both sides have in common."""

    http = None

    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated) and event.alpn_protocol in H3_ALPN:
            self.http = H3Connection(self._quic)
        if self.http is not None:
            for each in self.http.handle_event(event):
                self.http_event(each)


class Echo(Http):
    def http_event(self, event):
        right_loop()
        if isinstance(event, HeadersReceived):
            path = dict(event.headers)[b":path"]
            self.http.send_headers(event.stream_id, [(b":status", b"200"), (b"x-path", path)], event.stream_ended)
        elif isinstance(event, DataReceived):
            self.http.send_data(event.stream_id, event.data, event.stream_ended)
        self.transmit()


class Caller(Http):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.answers = {}

    def http_event(self, event):
        headers, body, end = self.answers[event.stream_id]
        if isinstance(event, HeadersReceived):
            headers.update(event.headers)
        elif isinstance(event, DataReceived):
            body += event.data
        if event.stream_ended:
            end.set_result(None)

    async def ask(self, path, data=b""):
        stream = self._quic.get_next_available_stream_id()
        headers, body, end = self.answers[stream] = {}, bytearray(), self._loop.create_future()
        method = b"POST" if data else b"GET"
        asked = [(b":method", method), (b":scheme", b"https"), (b":authority", b"localhost"), (b":path", path)]
        self.http.send_headers(stream, asked, not data)
        if data:
            self.http.send_data(stream, data, True)
        self.transmit()
        await end
        assert headers[b"x-path"] == path
        return headers[b":status"], bytes(body)


async def stream_echo(reader, writer):
    writer.write((await reader.read()).upper())
    writer.write_eof()


def settings(folder, **options):
    made = QuicConfiguration(alpn_protocols=H3_ALPN, max_datagram_size=1350, **options)
    if options["is_client"]:
        made.load_verify_locations(str(folder / "authority.pem"))
    else:
        made.load_cert_chain(folder / "chain.pem", folder / "key.pem")
    return made


async def talk(caller):
    found = [await caller.ask(b"/one"), await caller.ask(b"/two", b"hello")]
    answers = await asyncio.gather(*(caller.ask(b"/%d" % n, b"x%d" % n) for n in range(100)))
    found.append([body for _, body in answers] == [b"x%d" % number for number in range(100)])
    await caller.ping()
    return found


async def requests(folder):
    """HTTP/3: one connection, ten at once, a large body, other keys, a certificate that is not trusted."""
    server = await serve("127.0.0.1", 0, configuration=settings(folder, is_client=False), create_protocol=Echo)
    port = server._transport.get_extra_info("sockname")[1]

    def calling():
        client = settings(folder, is_client=True, server_name="localhost")
        return connect("127.0.0.1", port, configuration=client, create_protocol=Caller)

    async def call():
        async with calling() as caller:
            return await talk(caller)

    print("one", await call())
    expected = [(b"200", b""), (b"200", b"hello"), True]
    print("ten at once", [each == expected for each in await asyncio.gather(*(call() for _ in range(10)))])
    async with calling() as caller:
        status, body = await caller.ask(b"/big", BIG)
        print("big", status, body == BIG)
        caller.change_connection_id()
        caller.request_key_update()
        print("other keys", await caller.ask(b"/", b"still"))
    try:
        strict = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, server_name="localhost")
        async with connect("127.0.0.1", port, configuration=strict):
            pass
    except ConnectionError:
        print("not trusted")
    server.close()


async def streams(folder):
    """A stream of QUIC, after the server has asked for another try; then a server that is gone."""

    def handle(reader, writer):
        asyncio.get_running_loop().create_task(stream_echo(reader, writer))

    plain = settings(folder, is_client=False)
    server = await serve("127.0.0.1", 0, configuration=plain, stream_handler=handle, retry=True)
    port = server._transport.get_extra_info("sockname")[1]
    client = settings(folder, is_client=True, server_name="localhost")
    async with connect("127.0.0.1", port, configuration=client) as connection:
        reader, writer = await connection.create_stream()
        writer.write(b"a stream, after a retry")
        writer.write_eof()
        print(await reader.read())
    server.close()
    quiet = QuicConfiguration(is_client=True, alpn_protocols=H3_ALPN, verify_mode=ssl.CERT_NONE, idle_timeout=0.3)
    try:
        async with connect("127.0.0.1", port, configuration=quiet):
            pass
    except ConnectionError:
        print("nobody there")


async def main():
    right_loop()
    with scratch() as folder:
        certificates(folder)
        await requests(folder)
        await streams(folder)


if __name__ == "__main__":
    asyncio.run(main())
