"""aioconsole: questions, prints and an interactive console, in a terminal and by pipes, beside tasks that go on."""

import asyncio
import signal
import subprocess
import sys
import threading

from common import Terminal, python, right_loop


async def questions():
    """What runs in the terminal, or between pipes: it asks while a task counts."""
    from aioconsole import ainput, aprint

    right_loop()
    turns = 0

    async def count():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    counting = asyncio.create_task(count())
    name = await ainput("What is your name? ")
    await aprint(f"Hello, {name}!")
    before = turns
    number = int(await ainput("A number? "))
    while turns == before:
        await asyncio.sleep(0)
    await aprint(f"{number} squared is {number * number}, counted meanwhile")
    await aprint("x" * 300_000)
    await aprint("to the other one", use_stderr=True)
    try:
        while True:
            await aprint("more:", await ainput(""))
    except EOFError:
        await aprint("the end")
    counting.cancel()


async def interact():
    """A console whose code runs on the loop."""
    from aioconsole import interact

    right_loop()
    await interact(banner="a console", locals={"asyncio": asyncio, "right_loop": right_loop}, stop=False)
    print("left it")


def in_terminal():
    terminal = Terminal(python(__file__, "questions"))
    terminal.expect("your name? ")
    terminal.type("World\n")
    terminal.expect("Hello, World!")
    terminal.expect("A number? ")
    terminal.type("12\n")
    print("in a terminal", terminal.expect("\r\n").strip() == "12", terminal.expect("\r\n"))
    terminal.expect("to the other one")
    for word in ("one", "two"):
        terminal.type(word + "\n")
        terminal.expect(f"more: {word}")
    terminal.type("\x04")
    terminal.expect("the end")
    print("ended", terminal.close())

    terminal = Terminal(python(__file__, "questions"))
    terminal.expect("your name? ")
    terminal.type("\x03")
    rest = terminal.rest()
    print("interrupted", "KeyboardInterrupt" in rest, terminal.close() == -signal.SIGINT)


def by_pipes():
    lines = "Pipe\n7\n" + "".join(f"{number}\n" for number in range(2_000))
    done = subprocess.run(python(__file__, "questions"), input=lines, capture_output=True, text=True, timeout=60)
    out = done.stdout.replace("What is your name? ", "").replace("A number? ", "").splitlines()
    print("by pipes", done.returncode, out[0], "|", out[1], "|", len(out[2]))
    print("each line", out[3:-1] == [f"more: {number}" for number in range(2_000)], out[-1])
    print("stderr", done.stderr.splitlines()[:1])
    # a reader that is slow: what was printed waits for room
    process = subprocess.Popen(
        python(__file__, "questions"), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    writing = threading.Thread(target=process.stdin.write, args=(lines.encode(),))
    writing.start()
    total = 0
    while got := process.stdout.read1(10_000):
        total += len(got)
        if total < 100_000:
            threading.Event().wait(0.01)
        if total > 310_000 and not process.stdin.closed:
            writing.join()
            process.stdin.close()
    print("a slow reader", process.wait(60), total > 310_000)
    process.stdout.close()


def interactively():
    terminal = Terminal(python(__file__, "interact"))
    terminal.expect("a console")
    terminal.expect(">>> ")
    for code, *wanted in (
        ("1 + 1", "\r\n2\r\n"),
        ("await asyncio.sleep(0.01, 'slept')", "\r\n'slept'\r\n"),
        ("right_loop()",),
        ("task = asyncio.create_task(asyncio.sleep(0.01, 'a task'))",),
        ("await task", "\r\n'a task'\r\n"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("async with asyncio.timeout(0.01): await asyncio.Event().wait()\n", "\r\nTimeoutError"),
    ):
        terminal.type(code + "\n")
        for text in wanted:
            terminal.expect(text)
        terminal.expect(">>> ")
        print(code.strip(), "as wanted")
    terminal.type("await asyncio.sleep(100)\n")
    terminal.expect("100)\r\n")
    terminal.type("\x03")
    terminal.expect(">>> ")
    terminal.type("\x04")
    print("a console", "left it" in terminal.rest(), terminal.close())


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run({"questions": questions, "interact": interact}[sys.argv[1]]())
    else:
        in_terminal()
        by_pipes()
        interactively()
