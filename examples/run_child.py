"""A child process with a time limit: its output while it runs, and its end, by itself or by ours."""

import asyncio
import sys

COUNTING = """
import sys, time
for number in range(1, int(sys.argv[1]) + 1):
    print(number, flush=True)
    time.sleep(0.1)
"""


async def show(stream):
    async for line in stream:
        print("child:", line.decode().rstrip())


async def run(limit, *command):
    """Run a command, and end it when `limit` seconds are over; return its return code."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(limit):
            await show(process.stdout)
    except TimeoutError:
        print("time is over")
        process.terminate()
        await show(process.stdout)  # what it still had to say
    return await process.wait()


async def main():
    print("ended by itself:", await run(60, sys.executable, "-c", COUNTING, "3"))
    print("ended by us:", await run(1, "sh", "-c", "echo waiting; exec sleep 1000"))

    shell = await asyncio.create_subprocess_shell("sort; exit 3", stdin=-1, stdout=-1)
    out, _ = await shell.communicate(b"b\na\n")
    print("sorted:", *out.decode().split(), "- the shell ended with", shell.returncode)


if __name__ == "__main__":
    asyncio.run(main())
