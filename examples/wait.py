"""`asyncio.wait`: until the first is done, until one fails, until all are done, or for a while."""

import asyncio


async def work(name, seconds, fails=False):
    await asyncio.sleep(seconds)
    if fails:
        raise ValueError(f"{name} failed")
    return name


def start(*jobs):
    return [asyncio.create_task(work(*job), name=job[0]) for job in jobs]


def names(tasks):
    return " ".join(sorted(task.get_name() for task in tasks)) or "none"


async def show(what, tasks, **options):
    done, pending = await asyncio.wait(tasks, **options)
    print(f"{what}: done {names(done)}, pending {names(pending)}")
    for task in pending:
        task.cancel()
    return await asyncio.gather(*tasks, return_exceptions=True)


async def main():
    await show("first completed", start(("A", 0.2), ("B", 10)), return_when=asyncio.FIRST_COMPLETED)
    results = await show(
        "first exception",
        start(("A", 0.1), ("B", 0.4, True), ("C", 10)),
        return_when=asyncio.FIRST_EXCEPTION,
    )
    print("results:", *(repr(result) for result in results))
    await show("all completed", start(("A", 0.2), ("B", 0.1, True)), return_when=asyncio.ALL_COMPLETED)
    await show("timeout", start(("A", 0.1), ("B", 10)), timeout=0.5)


if __name__ == "__main__":
    asyncio.run(main())
