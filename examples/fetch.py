"""Fetch many pages: first one after the other, then all at once, and compare.

    hasten run examples/fetch.py                       pages of a small server on this machine, over http and https
    hasten run examples/fetch.py https://… https://…   pages of yours

An ordinary asyncio and aiohttp program: `python examples/fetch.py` runs it on the standard library's loop.
"""

import asyncio
import sys

import aiohttp


async def fetch(session, url):
    """Fetch one page and print how it went; return whether an answer came."""
    try:
        async with session.get(url) as response:
            await response.read()
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        print(f"{url} → {type(error).__name__}: {error}", flush=True)
        return False
    print(f"{url} → {response.status}", flush=True)
    return True


async def one_after_the_other(session, urls):
    return [await fetch(session, url) for url in urls]


async def concurrently(session, urls):
    return await asyncio.gather(*(fetch(session, url) for url in urls))


async def measure(how, urls, trust):
    """Fetch all pages in one way, with fresh connections; return how many came, and the seconds it took."""
    loop = asyncio.get_running_loop()
    connector = aiohttp.TCPConnector(ssl=trust)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=30)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        start = loop.time()
        answers = await how(session, urls)
        took = loop.time() - start
    print(f"Fetched {sum(answers)} pages\n")
    return sum(answers), took


async def main(urls, trust=True):
    print("One after the other:")
    first, slow = await measure(one_after_the_other, urls, trust)
    print("Concurrently:")
    second, fast = await measure(concurrently, urls, trust)
    kind = type(asyncio.get_running_loop())
    print(f"one after the other {slow:.2f} s | concurrently {fast:.2f} s | {slow / fast:.1f} times as fast")
    print(f"(on {kind.__module__}.{kind.__qualname__})")
    return first == second == len(urls)


if __name__ == "__main__":
    if sys.argv[1:]:
        complete = asyncio.run(main(sys.argv[1:]))
    else:
        from pages import Pages

        with Pages() as pages:
            complete = asyncio.run(main(pages.urls, pages.trust))
    sys.exit(0 if complete else 1)
