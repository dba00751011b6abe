"""A UDP server that sends back what it gets, and a client that asks again when no answer comes."""

import asyncio


class Echo(asyncio.DatagramProtocol):
    """The server: one endpoint for all clients."""

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, address):
        if data != b"nobody answers this":
            self.transport.sendto(data, address)


class Client(asyncio.DatagramProtocol):
    """Puts what arrives into a queue."""

    def __init__(self):
        self.answers = asyncio.Queue()

    def datagram_received(self, data, address):
        self.answers.put_nowait(data)

    def error_received(self, error):
        self.answers.put_nowait(error)  # as ConnectionRefusedError, if there is no such server


async def ask(transport, client, question, tries=3):
    """Return the answer, or None: a datagram may be lost on its way, and nobody tells."""
    for _ in range(tries):
        transport.sendto(question)
        try:
            async with asyncio.timeout(0.2):
                return await client.answers.get()
        except TimeoutError:
            print("no answer yet")
    return None


async def main():
    loop = asyncio.get_running_loop()
    server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    address = server.get_extra_info("sockname")
    transport, client = await loop.create_datagram_endpoint(Client, remote_addr=address)

    for question in b"one", b"two", b"three":
        print(question.decode(), "->", (await ask(transport, client, question)).decode())
    print("nobody ->", await ask(transport, client, b"nobody answers this", tries=2))

    server.close()
    await asyncio.sleep(0)  # now the port is closed
    print("closed ->", type(await ask(transport, client, b"four")).__name__)
    transport.close()


asyncio.run(main())
