"""dask: a cluster of worker processes, used by the sync and by the async client; work, errors, a worker that dies."""

import asyncio
import operator
import os
import signal
import time

import dask
from common import right_loop, until
from dask.distributed import Client, LocalCluster, as_completed, get_worker, wait

OPTIONS = {"n_workers": 2, "threads_per_worker": 2, "processes": True, "dashboard_address": None, "silence_logs": 50}


def square(number):
    return number * number


def fail(number):
    raise LookupError(f"no {number}")


async def here(spawned):
    """Runs on the loop of a worker, or of the scheduler."""
    right_loop(spawned=spawned)
    await asyncio.sleep(0)
    return os.getpid()


async def on_worker(number):
    """A task that is a coroutine runs on the worker's loop."""
    right_loop(spawned=True)
    await asyncio.sleep(0.001)
    return number + 1


def sync():
    with LocalCluster(**OPTIONS) as cluster, Client(cluster) as client:
        processes = set(client.run(here, True).values())
        print("workers", len(processes), os.getpid() not in processes)
        print("the scheduler", client.run_on_scheduler(here, False) == os.getpid())
        print("map", sum(client.gather(client.map(square, range(500)))))
        print("coroutines", sum(client.gather(client.map(on_worker, range(200)))))
        total = client.submit(sum, client.map(square, range(100)))
        print("dependent", total.result())
        big = client.scatter(b"x" * 5_000_000, broadcast=True)
        print("scattered", client.gather([client.submit(len, big, pure=False) for _ in range(10)]))
        print("big result", len(client.submit(operator.mul, b"y", 8_000_000).result()))
        delayed = dask.delayed(sum)([dask.delayed(square)(number) for number in range(50)])
        print("delayed", client.compute(delayed).result())
        done = [future.result() for future in as_completed(client.map(square, range(30)))]
        print("as completed", sorted(done) == [square(number) for number in range(30)])
        try:
            client.submit(fail, 7).result()
        except LookupError as error:
            print("raised", error)
        slow = client.submit(time.sleep, 100)
        slow.cancel()
        print("cancelled", slow.cancelled())

        victim = next(iter(processes))
        os.kill(victim, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while True:
            now = set(client.run(here, True, on_error="ignore").values())
            if len(now) == 2 and victim not in now:
                break
            assert time.monotonic() < deadline, "no new worker"
            time.sleep(0.05)
        print("a new worker", sum(client.gather(client.map(square, range(500, 600)))))


async def asynchronous():
    right_loop()
    async with (
        LocalCluster(asynchronous=True, **OPTIONS) as cluster,
        Client(cluster, asynchronous=True) as client,
    ):
        print("workers", len(await client.run(here, True)))
        print("map", sum(await client.gather(client.map(square, range(500)))))

        async def one(number):
            return await client.submit(square, number)

        print("gathered", sum(await asyncio.gather(*(one(number) for number in range(100)))))
        total = 0
        async for future in as_completed(client.map(square, range(50))):
            total += await future
        print("as completed", total)
        futures = client.map(fail, range(3))
        await wait(futures)
        print("failed", [str(await future.exception()) for future in futures])
        actor = await client.submit(Counter, actor=True)
        for _ in range(20):
            await actor.more()
        print("an actor counts", await actor.count)
        cluster.scale(3)
        await client.wait_for_workers(3)
        print("scaled", len(await client.run(here, True)))
        cluster.scale(1)
        await until(lambda: len(cluster.scheduler.workers) == 1, "one worker left")
        print("and back", await client.submit(square, 12))


class Counter:
    count = 0

    def more(self):
        assert get_worker() is not None
        self.count += 1
        return self.count


if __name__ == "__main__":
    sync()
    asyncio.run(asynchronous())
