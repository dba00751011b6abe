"""hypercorn, three workers: HTTP/1.1, HTTP/2, WebSockets, TLS, a reload, an orderly end."""

import asyncio
import os
import signal
import ssl
import subprocess
from pathlib import Path

import aiohttp
import httpx
from common import WAY, certificates, free_port, process, python, right_loop, scratch, until

HERE = Path(__file__).parent
BIG = os.urandom(2_000_000)


async def workers(client, base):
    """The processes that answer: their Pythons were started by hypercorn."""
    found = set()
    for _ in range(40):
        response = await client.get(f"{base}/where", headers={"Connection": "close"})
        loop, number = response.text.split()
        assert loop == ("asyncio" if WAY == "asyncio" else "hasten"), loop
        found.add(int(number))
    return found


async def use(base, trust=None):
    """`trust`: the file of who issued the server's certificate, if it has one."""

    def tls():  # a context for each, since they say there which protocols they speak
        return ssl.create_default_context(cafile=trust) if trust else True

    for http2 in (False, True) if trust else (False,):
        async with httpx.AsyncClient(http2=http2, verify=tls(), timeout=60) as client:
            response = await client.post(f"{base}/echo", content=b"hello")
            print(response.http_version, response.status_code, response.text)
            print("big", (await client.post(f"{base}/echo", content=BIG)).content == BIG)

            async def one(number, client=client):
                return (await client.post(f"{base}/echo", content=b"%d" % number)).text

            found = await asyncio.gather(*(one(number) for number in range(100)))
            print("hundred at once", found == [str(number) for number in range(100)])
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{base}/ws", ssl=tls()) as socket:
        found = []
        for word in ("one", "two"):
            await socket.send_str(word)
            found.append((await socket.receive()).data)
        print("websocket", found)


async def main():
    right_loop()
    with scratch() as folder:
        certificates(folder)
        plain, secure = free_port(), free_port()
        # fmt: off
        command = python(
            "-m", "hypercorn", "--workers", 3, "--insecure-bind", f"127.0.0.1:{plain}", "--bind", f"127.0.0.1:{secure}",
            "--certfile", folder / "chain.pem", "--keyfile", folder / "key.pem", "--graceful-timeout", 20,
            "--log-level", "warning", "server_app:asgi",
        )
        # fmt: on
        with process(command, cwd=HERE, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
            async with httpx.AsyncClient(timeout=60) as client:
                base = f"http://127.0.0.1:{plain}"

                first, second = set(), set()

                async def there(found, without=frozenset()):
                    """All three have answered; which one takes a connection, chance decides."""
                    try:
                        now = await workers(client, base)
                    except httpx.TransportError:
                        return False
                    found.update(now)
                    if now & without:
                        found.clear()
                    return len(found) == 3

                await until(lambda: there(first), "three workers")
                print("workers", len(first), server.pid not in first)
                await use(base)
                await use(f"https://localhost:{secure}", folder / "authority.pem")
                server.send_signal(signal.SIGHUP)
                await until(lambda: there(second, without=first), "three other workers")
                print("reloaded")
                server.send_signal(signal.SIGTERM)
            out, errors = await asyncio.to_thread(server.communicate)
            told = [line for line in (out + errors).splitlines() if "Error" in line or "Traceback" in line]
            print("ended", server.returncode, told)


if __name__ == "__main__":
    asyncio.run(main())
