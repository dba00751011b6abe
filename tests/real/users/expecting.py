"""pexpect: its asynchronous expect() of programs in terminals: shells, Python, one that says nothing."""

import asyncio
import sys

import pexpect
from common import right_loop
from pexpect import replwrap


async def shell(number):
    child = pexpect.spawn("/bin/sh", ["-c", 'read name; echo "Hello, $name!"; read other; exit 4'], timeout=30)
    child.sendline(f"number {number}")
    found = await child.expect(["nothing", rf"Hello, number {number}!"], async_=True)
    child.sendline("go")
    await child.expect(pexpect.EOF, async_=True)
    child.close()
    return found, child.exitstatus


async def main():
    right_loop()
    print("shell", await shell(0))
    print("thirty", await asyncio.gather(*(shell(number) for number in range(30))) == [(1, 4)] * 30)

    child = pexpect.spawn(sys.executable, ["-S", "-E", "-q", "-i"], encoding="utf-8", timeout=30, env={"TERM": "dumb"})
    await child.expect_exact(">>> ", async_=True)
    child.sendline("print('x' * 3000, 6 * 7)")
    await child.expect(r"x{3000} (\d+)\r\n", async_=True)
    print("python", child.match[1])
    await child.expect_exact(">>> ", async_=True)
    # what was read too much waits for the next call
    child.sendline("print('one two three')")
    for word in ("one", "two", "three"):
        await child.expect(rf"{word}\s", async_=True)
    print("piece by piece", child.after.strip())
    await child.expect_exact(">>> ", async_=True)
    child.sendeof()
    await child.expect(pexpect.EOF, async_=True)
    child.close()
    print("python ends", child.exitstatus)

    child = pexpect.spawn("/bin/cat", timeout=30)
    print("nothing comes", await child.expect([pexpect.TIMEOUT, pexpect.EOF], timeout=0.05, async_=True))
    try:
        await child.expect("never", timeout=0.05, async_=True)
    except pexpect.TIMEOUT:
        print("and raises")
    waiting = asyncio.create_task(child.expect("never", timeout=30, async_=True))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    print("cancelled", waiting.cancelled())
    child.sendline("again")
    await child.expect("again", async_=True)
    print("goes on", child.after)
    child.close(force=True)

    repl = replwrap.bash()
    print("bash", (await repl.run_command("echo $((6 * 7))", async_=True)).strip())
    print("many lines", (await repl.run_command("for i in 1 2 3; do echo $i; done", async_=True)).split())
    repl.child.close(force=True)


if __name__ == "__main__":
    asyncio.run(main())
