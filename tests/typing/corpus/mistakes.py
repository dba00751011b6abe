"""Mistakes: a checker finds as many under either name."""

import asyncio


async def number() -> int:
    return 1


async def main() -> None:
    text: str = await asyncio.create_task(number())
    asyncio.creat_task(number())
    asyncio.Lok()
    await asyncio.gather(number(), 5)
    asyncio.run(5)
    asyncio.run(main)
    queue: asyncio.Queue[int] = asyncio.Queue()
    await queue.put("a")
    queue.put_nowayt(1)
    async with asyncio.timeout("a"):  # noqa: ASYNC100
        pass
    task: asyncio.Task[str] = asyncio.create_task(number())
    task.cancle()
    asyncio.get_running_loop().call_latter(1, print)
    asyncio.get_running_loop().create_future().set_reslt(1)
    await asyncio.wait_for(number(), "1")
    await asyncio.sleep("1")
    print(text + 1)
    asyncio.tasks.nonsense()
