"""prompt_toolkit in a terminal: prompts with completion and keys, output beside them, a child, a whole screen."""

import asyncio
import signal
import sys

from common import Terminal, python, right_loop
from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.completion import WordCompleter
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout import FormattedTextControl, Layout, Window
from prompt_toolkit.output import DummyOutput
from prompt_toolkit.patch_stdout import patch_stdout
from prompt_toolkit.shortcuts import prompt


async def asking():
    """In the terminal: prompts, while a task prints above them."""
    right_loop()
    session = PromptSession(completer=WordCompleter(["apple", "banana", "cherry"]), complete_while_typing=False)

    async def print_above():
        number = 0
        while True:
            await asyncio.sleep(0.02)
            number += 1
            if number in (2, 4):
                print(f"above {number}")

    with patch_stdout():
        printing = asyncio.create_task(print_above())
        print("got", repr(await session.prompt_async("name> ")))
        print("got", repr(await session.prompt_async("fruit> ")))
        printing.cancel()
    keys = KeyBindings()

    @keys.add("c-t")
    async def _(event):
        await asyncio.sleep(0.01)
        await run_in_terminal(lambda: print("ran in the terminal"))
        process = await asyncio.create_subprocess_exec("sh", "-c", "echo from a child", stdout=asyncio.subprocess.PIPE)
        out, _ = await process.communicate()
        await run_in_terminal(lambda: print(out.decode().strip()))

    print("got", repr(await session.prompt_async("keys> ", key_bindings=keys)))
    try:
        await session.prompt_async("interrupt> ")
    except KeyboardInterrupt:
        print("interrupted")
    try:
        await session.prompt_async("end> ")
    except EOFError:
        print("no more")
    try:
        async with asyncio.timeout(0.1):
            await session.prompt_async("late> ")
    except TimeoutError:
        print("too late")


def screen():
    """In the terminal: an application that takes the whole screen, and runs a loop by itself."""
    keys = KeyBindings()
    count = 0

    @keys.add("up")
    def _(event):
        nonlocal count
        right_loop()
        count += 1

    @keys.add("q")
    def _(event):
        event.app.exit(result=count)

    window = Window(FormattedTextControl(lambda: f"pressed {count} times"))
    app = Application(Layout(window), key_bindings=keys, full_screen=True, refresh_interval=0.01)
    print("result", app.run())
    print("then", repr(prompt("again> ")))


async def without_terminal():
    right_loop()
    found = []
    for number in range(20):
        with create_pipe_input() as keys:
            session = PromptSession(input=keys, output=DummyOutput())
            keys.send_text(f"line {number}\x1b[D\x1b[Dx\n")
            found.append(await session.prompt_async("> "))
    print("from a pipe", found[3], len(found))


def main():
    terminal = Terminal(python(__file__, "asking"))
    terminal.expect("name>")
    terminal.expect("above 2")
    terminal.type("Wor")
    terminal.expect("above 4")
    terminal.type("ld\r")
    terminal.expect("got 'World'")
    terminal.expect("fruit>")
    terminal.type("ban\t")
    terminal.expect("ana")  # the rest of it
    terminal.type("\r")
    terminal.expect("got 'banana'")
    terminal.expect("keys>")
    terminal.type("\x14")
    terminal.expect("ran in the terminal")
    terminal.expect("from a child")
    terminal.type("abc\x01x\r")  # to the beginning of the line
    terminal.expect("got 'xabc'")
    terminal.expect("interrupt>")
    terminal.type("\x03")
    terminal.expect("interrupted")
    terminal.expect("end>")
    terminal.type("\x04")
    terminal.expect("no more")
    terminal.expect("late>")
    terminal.expect("too late")
    terminal.rest()
    print("prompts", terminal.close())

    terminal = Terminal(python(__file__, "screen"))
    terminal.expect("pressed 0 times")
    for number in range(1, 6):
        terminal.type("\x1b[A")
        terminal.expect(str(number))
    terminal.type("q")
    terminal.expect("result 5")
    terminal.expect("again>")
    terminal.type("yes\r")
    terminal.expect("then 'yes'")
    terminal.rest()
    print("a whole screen", terminal.close())

    terminal = Terminal(python(__file__, "asking"))
    terminal.expect("name>")
    terminal.process.send_signal(signal.SIGTERM)
    terminal.rest()
    print("terminated", terminal.close() == -signal.SIGTERM)
    asyncio.run(without_terminal())


if __name__ == "__main__":
    if sys.argv[1:] == ["asking"]:
        asyncio.run(asking())
    elif sys.argv[1:] == ["screen"]:
        screen()
    else:
        main()
