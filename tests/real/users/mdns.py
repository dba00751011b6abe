"""zeroconf: services that one instance announces and another one finds, on the loopback interface only."""

import asyncio
import socket

from common import right_loop, until
from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

KIND = "_users._tcp.local."


def service(number, **properties):
    return AsyncServiceInfo(
        KIND,
        f"service{number}.{KIND}",
        addresses=[socket.inet_aton("127.0.0.1")],
        port=10_000 + number,
        properties=properties or {"number": str(number)},
        server=f"host{number}.local.",
    )


async def main():
    right_loop()
    seen = {}

    def changed(zeroconf, service_type, name, state_change):
        right_loop()
        seen.setdefault(name, []).append(state_change)

    async with AsyncZeroconf(interfaces=["127.0.0.1"]) as ours, AsyncZeroconf(interfaces=["127.0.0.1"]) as theirs:
        services = [service(number) for number in range(10)]
        browser = AsyncServiceBrowser(theirs.zeroconf, KIND, handlers=[changed])
        await asyncio.gather(*[await ours.async_register_service(each) for each in services])
        await until(lambda: len(seen) == len(services), "ten services")
        print("found", sorted(seen) == sorted(each.name for each in services))

        async def look(number):
            info = AsyncServiceInfo(KIND, f"service{number}.{KIND}")
            assert await info.async_request(theirs.zeroconf, 10_000)
            return info.port, info.parsed_addresses(), info.properties

        print("asked", (await asyncio.gather(*(look(number) for number in range(10))))[3])
        nobody = AsyncServiceInfo(KIND, f"nobody.{KIND}")
        print("nobody", await nobody.async_request(theirs.zeroconf, 500))

        await (await ours.async_update_service(service(4, changed="yes")))
        await until(lambda: ServiceStateChange.Updated in seen[f"service4.{KIND}"], "an update")
        print("updated", (await look(4))[2])
        await (await ours.async_unregister_service(services[7]))
        await until(lambda: ServiceStateChange.Removed in seen[f"service7.{KIND}"], "a removal")
        print("removed")
        await browser.async_cancel()
    # the same from a thread: the instance has a loop of its own there
    await asyncio.to_thread(in_thread)


def in_thread():
    with Zeroconf(interfaces=["127.0.0.1"]) as zeroconf:
        zeroconf.register_service(service(20))
        info = zeroconf.get_service_info(KIND, f"service20.{KIND}", timeout=10_000)
        right_loop(zeroconf.loop)
        print("in a thread", info.port)


if __name__ == "__main__":
    asyncio.run(main())
