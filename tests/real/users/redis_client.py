"""redis-py: Redis by unix socket, TCP and TLS: pipelines, a pool, messages, cancelled waits, a server that goes."""

import asyncio
import os

import redis.asyncio as redis
from common import certificates, free_port, process, right_loop, scratch, until
from redis.exceptions import ConnectionError, ResponseError

BIG = os.urandom(4_000_000)


async def commands(client):
    print("ping", await client.ping())
    await client.set("one", 1)
    print("count", [await client.incr("one") for _ in range(3)], await client.get("one"))
    await client.set("big", BIG)
    print("big", await client.get("big") == BIG)
    async with client.pipeline(transaction=True) as pipe:
        for number in range(5_000):
            pipe.rpush("list", number)
        pipe.llen("list")
        print("pipeline", (await pipe.execute())[-1])
    print("list", sum(map(int, await client.lrange("list", 0, -1))))
    await client.hset("hash", mapping={f"field{number}": number for number in range(1_000)})
    print("scanned", len([key async for key, _ in client.hscan_iter("hash")]))
    print("script", await client.eval("return {KEYS[1], ARGV[1] * 2}", 1, "key", 21))
    try:
        await client.incr("hash")
    except ResponseError as error:
        print("wrong", str(error).split()[0])

    async def one(number):
        await client.set(f"key{number}", number)
        return int(await client.get(f"key{number}"))

    print("pool", sum(await asyncio.gather(*(one(number) for number in range(300)))))


async def waits(client):
    waiting = asyncio.create_task(client.blpop("queue", timeout=30))
    await asyncio.sleep(0.02)
    await client.rpush("queue", "first")
    print("popped", await waiting)
    print("in vain", await client.blpop("queue", timeout=0.1))
    waiting = asyncio.create_task(client.blpop("queue", timeout=30))
    await asyncio.sleep(0.05)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    print("cancelled", waiting.cancelled(), await client.ping())
    try:
        async with asyncio.timeout(0.1):
            await client.blpop("queue", timeout=30)
    except TimeoutError:
        print("timed out", await client.ping())


async def messages(client):
    async with client.pubsub() as listener:
        await listener.subscribe("news")
        await listener.psubscribe("other.*")
        got = []

        async def listen():
            async for message in listener.listen():
                if message["type"].endswith("message"):
                    got.append(message["data"])
                    if message["data"] == b"end":
                        return

        listening = asyncio.create_task(listen())
        await until(lambda: is_heard(client), "a subscription")
        for number in range(500):
            await client.publish("news" if number % 2 else "other.one", number)
        await client.publish("news", "end")
        await listening
        print("messages", got == [b"%d" % number for number in range(500)] + [b"end"])
    added = [await client.xadd("stream", {"n": number}) for number in range(100)]
    read = await client.xread({"stream": 0}, count=1_000)
    print("stream", [key for key, _ in read[0][1]] == added)


async def is_heard(client):
    return (await client.pubsub_numsub("news"))[0][1] == 1 and await client.pubsub_numpat() == 1


async def main():
    right_loop()
    with scratch() as folder:
        certificates(folder)
        tcp, tls = free_port(), free_port()
        # fmt: off
        command = [
            "redis-server", "--port", tcp, "--bind", "127.0.0.1", "--unixsocket", folder / "socket", "--dir", folder,
            "--save", "", "--appendonly", "no", "--logfile", folder / "log",
            "--tls-port", tls, "--tls-auth-clients", "no", "--tls-ca-cert-file", folder / "authority.pem",
            "--tls-cert-file", folder / "chain.pem", "--tls-key-file", folder / "key.pem",
        ]
        # fmt: on
        with process(command) as server:
            await until((folder / "socket").exists, "a socket")
            for title, address, options in (
                ("unix", f"unix://{folder / 'socket'}", {}),
                ("tcp", f"redis://127.0.0.1:{tcp}", {}),
                ("tls", f"rediss://localhost:{tls}", {"ssl_ca_certs": str(folder / "authority.pem")}),
            ):
                print(title)
                pool = redis.BlockingConnectionPool.from_url(address, max_connections=20, timeout=None, **options)
                async with redis.Redis.from_pool(pool) as client:
                    await client.flushall()
                    await commands(client)
                    await waits(client)
                    await messages(client)
            client = redis.from_url(f"redis://127.0.0.1:{tcp}", retry=None)
            number = await client.client_id()
            async with redis.from_url(f"unix://{folder / 'socket'}") as other:
                print("thrown out", await other.client_kill_filter(_id=number))
            try:
                await client.ping()
            except ConnectionError:
                print("noticed")
            print("and back", await client.ping())
            waiting = asyncio.create_task(client.blpop("queue", timeout=30))
            await asyncio.sleep(0.05)
            server.kill()
            try:
                await waiting
            except ConnectionError:
                print("the server went")
            try:
                await client.ping()
            except ConnectionError:
                print("nobody there")
            await client.aclose()


if __name__ == "__main__":
    asyncio.run(main())
