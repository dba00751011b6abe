"""Three waits of one second: one after the other, then gathered."""

import asyncio


async def main():
    loop = asyncio.get_running_loop()

    start = loop.time()
    for _ in range(3):
        await asyncio.sleep(1)
    print(f"one after the other: about {loop.time() - start:.0f} s")

    start = loop.time()
    await asyncio.gather(*(asyncio.sleep(1) for _ in range(3)))
    print(f"gathered: about {loop.time() - start:.0f} s")


if __name__ == "__main__":
    asyncio.run(main())
