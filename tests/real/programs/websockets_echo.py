"""websockets: an echo server and its clients on one loop, plain and over TLS."""

import asyncio
import ssl

import trustme
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def echo(connection):
    async for message in connection:
        if message == "leave":
            await connection.close(code=4000, reason="as you wish")
            return
        await connection.send(message)


async def talk(uri, tls):
    async with connect(uri, ssl=tls, max_size=None) as connection:
        await connection.send("hello")
        print("text", await connection.recv())
        await connection.send(b"\x00" * 3_000_000)
        print("binary", len(await connection.recv()))
        pong = await connection.ping()
        print("pong", await pong >= 0)
        await connection.send("leave")
        try:
            await connection.recv()
        except ConnectionClosed as error:
            print("closed", error.rcvd.code, error.rcvd.reason)

    async def one(number):
        async with connect(uri, ssl=tls) as connection:
            for turn in range(10):
                await connection.send(f"{number}.{turn}")
                assert await connection.recv() == f"{number}.{turn}"
            return number

    print("clients", len(await asyncio.gather(*(one(number) for number in range(50)))))


async def main():
    kind = type(asyncio.get_running_loop())
    print("on", kind.__module__.partition(".")[0])
    authority = trustme.CA()
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server_tls)
    trust = ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())
    for scheme, ours, theirs in (("ws", None, None), ("wss", server_tls, trust)):
        print(scheme)
        async with serve(echo, "localhost", 0, ssl=ours, max_size=None) as server:
            port = server.sockets[0].getsockname()[1]
            await talk(f"{scheme}://localhost:{port}", theirs)


if __name__ == "__main__":
    asyncio.run(main())
