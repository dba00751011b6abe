"""A task runs in the background while the coroutine that made it goes on."""

import asyncio


async def work():
    await asyncio.sleep(1)
    print("Task done")
    return 42


async def main():
    task = asyncio.create_task(work(), name="work")
    print("Waiting for task...")
    print(f"{task.get_name()} returned {await task}")


if __name__ == "__main__":
    asyncio.run(main())
