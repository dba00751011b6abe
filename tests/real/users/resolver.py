"""dnspython: its asynchronous resolver and a small name server, by UDP, by TCP where an answer is too long, by TLS."""

import asyncio
import struct
import time

import dns.asyncquery
import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.resolver
import dns.rrset
from common import certificates, free_port, right_loop, scratch

LONG = [f'"{number:03} {"x" * 100}"' for number in range(40)]


def answer(data, by_tcp):
    """The answer to a query; nothing for a name that begins with "silent"."""
    query = dns.message.from_wire(data)
    question = query.question[0]
    name = question.name.to_text()
    reply = dns.message.make_response(query)
    if name.startswith("silent"):
        return None
    if name.startswith("missing"):
        reply.set_rcode(dns.rcode.NXDOMAIN)
    elif name.startswith("long"):
        if by_tcp:
            reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", "TXT", *LONG))
        else:
            reply.flags |= dns.flags.TC
    elif name.startswith("host"):
        number = int(name.removeprefix("host").partition(".")[0])
        reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", f"10.0.{number // 256}.{number % 256}"))
    elif name.endswith("in-addr.arpa."):
        reply.answer.append(dns.rrset.from_text(question.name, 60, "IN", "PTR", "host1.example."))
    return reply.to_wire(max_size=65_535)


class NameServer(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        right_loop()
        if (reply := answer(data, by_tcp=False)) is not None:
            self.transport.sendto(reply, address)


async def by_stream(reader, writer):
    try:
        while True:
            (size,) = struct.unpack("!H", await reader.readexactly(2))
            reply = answer(await reader.readexactly(size), by_tcp=True)
            if reply is not None:
                writer.write(struct.pack("!H", len(reply)) + reply)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def ask(resolver):
    found = await resolver.resolve("host7.example", "A")
    print("A", [each.to_text() for each in found])

    async def one(number):
        return (await resolver.resolve(f"host{number}.example", "A"))[0].to_text()

    found = await asyncio.gather(*(one(number) for number in range(500)))
    print("many at once", found == [f"10.0.{number // 256}.{number % 256}" for number in range(500)])
    found = await resolver.resolve("long.example", "TXT")
    print("by TCP", len(found), sorted(each.to_text() for each in found) == LONG)
    print("by its address", [each.to_text() for each in await resolver.resolve_address("10.0.0.1")])
    for name in ("missing.example", "nothing.example"):
        try:
            await resolver.resolve(name, "A")
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer) as error:
            print(name, type(error).__name__)
    begin = time.monotonic()
    try:
        await resolver.resolve("silent.example", "A", lifetime=0.3)
    except dns.resolver.LifetimeTimeout:
        print("no answer", time.monotonic() - begin >= 0.29)
    waiting = asyncio.create_task(resolver.resolve("silent.example", "A"))
    await asyncio.sleep(0.02)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    print("cancelled", waiting.cancelled())


async def main():
    right_loop()
    loop = asyncio.get_running_loop()
    port = free_port()
    with scratch() as folder:
        server_tls, client_tls = certificates(folder)
        transport, _ = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", port))
        tcp = await asyncio.start_server(by_stream, "127.0.0.1", port)
        tls = await asyncio.start_server(by_stream, "127.0.0.1", 0, ssl=server_tls)
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers, resolver.port = ["127.0.0.1"], port
        resolver.cache = None
        await ask(resolver)

        query = dns.message.make_query("host300.example", "A")
        tls_port = tls.sockets[0].getsockname()[1]
        reply = await dns.asyncquery.tls(
            query, "127.0.0.1", port=tls_port, ssl_context=client_tls, server_hostname="localhost", timeout=20
        )
        print("by TLS", reply.answer[0][0].to_text())
        reply = await dns.asyncquery.tcp(query, "127.0.0.1", port=port, timeout=20)
        print("by TCP alone", reply.answer[0][0].to_text())
        transport.close()
        tcp.close()
        tls.close()
        try:
            await dns.asyncquery.tcp(query, "127.0.0.1", port=port, timeout=20)
        except ConnectionRefusedError:
            print("nobody there")


if __name__ == "__main__":
    asyncio.run(main())
