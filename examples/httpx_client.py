"""httpx on asyncio: several requests over one client, at once, over http and https."""

import asyncio
import ssl
import sys

import httpx


async def fetch(client, url):
    response = await client.get(url)
    print(f"{url} → {response.status_code}", flush=True)
    return response.status_code


async def main(urls, trust):
    async with httpx.AsyncClient(verify=trust, timeout=30) as client:
        statuses = await asyncio.gather(*(fetch(client, url) for url in urls))
    print(f"Fetched {len(statuses)} pages")


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(main(sys.argv[1:], ssl.create_default_context()))
    else:
        from pages import Pages

        with Pages(count=10) as pages:
            asyncio.run(main(pages.urls, pages.trust))
