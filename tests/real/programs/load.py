"""load.py URL COUNT CONNECTIONS: that many GET requests with aiohttp; prints how many were answered with 200."""

import asyncio
import sys

import aiohttp


async def main(url, count, connections):
    async def worker(numbers):
        good = 0
        for _ in numbers:  # shared by the workers
            async with session.get(url) as response:
                await response.read()
                good += response.status == 200
        return good

    numbers = iter(range(count))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:
        good = await asyncio.gather(*(worker(numbers) for _ in range(connections)))
    print(sum(good))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
