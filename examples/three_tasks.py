"""Three tasks at the same time: together they take as long as the longest of them."""

import asyncio


async def task(name, seconds):
    print(f"Task {name} started")
    await asyncio.sleep(seconds)
    print(f"Task {name} finished")
    return name


async def main():
    loop = asyncio.get_running_loop()
    start = loop.time()
    names = await asyncio.gather(task("A", 2), task("B", 1), task("C", 3))
    print(f"{', '.join(names)} after about {loop.time() - start:.0f} s")


if __name__ == "__main__":
    asyncio.run(main())
