"""httpx on asyncio, against a server of asyncio's streams: reuse, timeouts, refusal, streaming, cancellation."""

import asyncio

import httpx


async def answer(reader, writer, end):
    """A few routes of HTTP/1.1, enough for the client below; one of them answers only after `end`."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            path = head.split()[1].decode()
            if path == "/never":
                await end.wait()
            body = b"x" * 1_000_000 if path == "/big" else path.encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            writer.write(body)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    kind = type(asyncio.get_running_loop())
    print("on", kind.__module__.partition(".")[0])
    connections = 0
    end = asyncio.Event()

    async def count(reader, writer):
        nonlocal connections
        connections += 1
        await answer(reader, writer, end)

    server = await asyncio.start_server(count, "127.0.0.1", 0)
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with httpx.AsyncClient(timeout=30) as client:
        for _ in range(3):
            print("get", (await client.get(base + "/one")).text)
        print("connections", connections)
        async with client.stream("GET", base + "/big") as response:
            print("streamed", sum([len(chunk) async for chunk in response.aiter_bytes()]))
        texts = await asyncio.gather(*(client.get(f"{base}/{number}") for number in range(100)))
        print("gathered", [each.text for each in texts] == [f"/{number}" for number in range(100)])
        try:
            await client.get(base + "/never", timeout=0.1)
        except httpx.ReadTimeout:
            print("timed out")
        task = asyncio.create_task(client.get(base + "/never"))
        await asyncio.sleep(0.05)
        task.cancel()
        print("cancelled", (await asyncio.gather(task, return_exceptions=True))[0].__class__.__name__)
    end.set()
    server.close()
    async with httpx.AsyncClient() as client:
        try:
            await client.get(base)
        except httpx.ConnectError:
            print("refused")
    handlers = asyncio.all_tasks() - {asyncio.current_task()}
    if handlers:
        await asyncio.wait(handlers)


if __name__ == "__main__":
    asyncio.run(main())
