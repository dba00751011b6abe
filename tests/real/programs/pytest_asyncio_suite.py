"""Tests of a project that uses pytest-asyncio; one of them has to fail."""

import asyncio

import pytest
import pytest_asyncio


@pytest_asyncio.fixture
async def server():
    """The port of an echo server that lives as long as the test."""

    async def echo(reader, writer):
        while data := await reader.read(1024):
            writer.write(data)
            await writer.drain()
        writer.close()

    serving = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with serving:
        yield serving.sockets[0].getsockname()[1]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def shared_loop():
    return asyncio.get_running_loop()


@pytest.mark.asyncio
async def test_the_loop_is_hastens():
    assert type(asyncio.get_running_loop()).__module__.partition(".")[0] == "hasten"


@pytest.mark.asyncio
async def test_async_fixture(server):
    reader, writer = await asyncio.open_connection("127.0.0.1", server)
    writer.write(b"ping")
    assert await reader.readexactly(4) == b"ping"
    writer.close()
    await writer.wait_closed()


@pytest.mark.asyncio
@pytest.mark.parametrize("number", range(3))
async def test_parametrized(number):
    assert await asyncio.sleep(0, number) == number


@pytest.mark.asyncio(loop_scope="module")
async def test_shared_loop(shared_loop):
    assert asyncio.get_running_loop() is shared_loop


@pytest.mark.asyncio
async def test_task_group_and_timeout():
    done = []

    async def work(number):
        await asyncio.sleep(0.01 * number)
        done.append(number)

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for number in (3, 1, 2):
            group.create_task(work(number))
    assert done == [1, 2, 3]


@pytest.mark.asyncio
async def test_that_fails():
    assert await asyncio.sleep(0, 1) == 2
