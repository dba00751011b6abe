"""anyio on its asyncio backend: a task group, a stream between tasks, a timeout, a worker thread."""

import asyncio

import anyio
import anyio.to_thread


async def produce(stream, count):
    async with stream:
        for number in range(count):
            await stream.send(number)
            await anyio.sleep(0.01)


async def consume(stream):
    total = 0
    async with stream:
        async for number in stream:
            total += number
    print("consumed numbers that sum to", total)


async def echo(connection):
    async with connection:
        async for data in connection:
            await connection.send(data)


async def main():
    kind = type(asyncio.get_running_loop())
    print("on", kind.__module__.partition(".")[0])
    sending, receiving = anyio.create_memory_object_stream[int](2)
    async with anyio.create_task_group() as group:
        group.start_soon(produce, sending, 10)
        group.start_soon(consume, receiving)

    with anyio.move_on_after(0.05) as scope:
        await anyio.sleep(10)
    print("moved on:", scope.cancelled_caught)

    print("from a thread:", await anyio.to_thread.run_sync(sum, [1, 2, 3]))

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, echo)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with await anyio.connect_tcp("127.0.0.1", port) as connection:
            await connection.send(b"ping")
            print("echoed:", (await connection.receive()).decode())
        group.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main)
