"""gunicorn, three workers (its own kind for ASGI, uvicorn's, aiohttp's): load, reload, a worker that dies."""

import asyncio
import os
import signal
import subprocess
import warnings
from pathlib import Path

import aiohttp
from common import WAY, process, python, right_loop, scratch, until

HERE = Path(__file__).parent
WORKERS = {
    "asgi": ("asgi", "server_app:asgi"),
    "uvicorn": ("uvicorn.workers.UvicornWorker", "server_app:asgi"),
    "aiohttp": ("aiohttp.GunicornWebWorker", "server_app:aiohttp_app"),
}
BIG = os.urandom(3_000_000)


async def workers(session):
    """The processes that answer, each of which has to be on the right loop."""
    found = set()
    for _ in range(40):
        async with session.get("http://server/where", headers={"Connection": "close"}) as response:
            loop, number = (await response.text()).split()
        assert loop == ("asyncio" if WAY == "asyncio" else "hasten"), loop
        found.add(int(number))
    return found


async def load(session, end):
    """Requests one after the other until the end; one that a worker did not hear any more is sent again."""
    count = again = 0
    while not end.is_set():
        try:
            async with session.post("http://server/echo", data=b"%d" % count) as response:
                assert response.status == 200, response.status
                assert await response.read() == b"%d" % count
        except aiohttp.ClientConnectionError:
            again += 1
            assert again < 10
        else:
            count += 1
    return count


async def use(kind, folder):
    worker, app = WORKERS[kind]
    path = folder / kind
    # fmt: off
    command = python(
        "-m", "gunicorn", "--chdir", HERE, "--config", HERE / "gunicorn_settings.py", "--worker-class", worker,
        "--workers", 3, "--bind", f"unix:{path}", "--graceful-timeout", 20, "--log-level", "warning", app,
    )
    # fmt: on
    # its control socket, where it has one, stands there; the loop of that runs in a thread of the process that forks
    surroundings = {**os.environ, "XDG_RUNTIME_DIR": str(folder)}
    with process(command, env=surroundings, stderr=subprocess.PIPE, text=True) as server:
        await until(path.exists, "a socket")
        connector = aiohttp.UnixConnector(str(path), limit=20, force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:

            async def three(without=frozenset()):
                """The three that answer; which one takes a connection, chance decides."""
                now = set()

                async def all_there():
                    found = await workers(session)
                    now.update(found)
                    if found & without:
                        now.clear()
                    return len(now) == 3

                await until(all_there, "three workers")
                return now

            first = await three()
            print(kind, "workers", len(first), server.pid not in first)
            async with session.post("http://server/echo", data=BIG) as response:
                print("big", await response.read() == BIG)
            async with session.ws_connect("http://server/ws") as socket:
                found = []
                for word in ("one", "two"):
                    await socket.send_str(word)
                    found.append((await socket.receive()).data)
                print("websocket", found)

            end = asyncio.Event()
            loads = [asyncio.create_task(load(session, end)) for _ in range(5)]
            server.send_signal(signal.SIGHUP)
            second = await three(without=first)
            end.set()
            print("reloaded under load", len(second), all(count > 0 for count in await asyncio.gather(*loads)))
            victim = second.pop()
            os.kill(victim, signal.SIGKILL)
            third = await three(without={victim})
            print("another for the one that died", len(third & second))
            slow = [asyncio.create_task(session.post("http://server/slow", data=b"slow")) for _ in range(6)]
            await asyncio.sleep(0.1)
            server.send_signal(signal.SIGTERM)
            print("the last ones", [(await response.read()).decode() for response in await asyncio.gather(*slow)])
        errors = await asyncio.to_thread(server.stderr.read)
        print("ended", server.wait(60), [line for line in errors.splitlines() if "Error" in line or "Trace" in line])


async def main():
    right_loop()
    with scratch() as folder:
        for kind in WORKERS:
            await use(kind, folder)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(main())
