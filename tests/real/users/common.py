"""What the programs have in common: which loop they run on, how they start other processes, and talk to a terminal.

A program prints what it found, which has to be the same on every loop: no times, no numbers of processes or ports.
"""

import asyncio
import contextlib
import os
import pty
import select
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# "asyncio"; "loop": hasten's loop where none is chosen; "install": after hasten.install(); "run": under `hasten run`.
WAY = os.environ.get("USERS_WAY", "asyncio")
PATIENCE = 60  # seconds to wait for a process that starts or ends; nothing takes so long


def right_loop(loop=None, *, spawned=False):
    """Asserts that `loop`, or the one that runs here, is of this way. `spawned`: in a process of another Python's."""
    # `hasten run` reaches the children that multiprocessing starts, and not those that are started by a command line
    plain = spawned and WAY == "run" and "multiprocessing.spawn" not in sys.modules
    wanted = "asyncio" if WAY == "asyncio" or plain else "hasten"
    found = loop_name(loop)
    assert found == wanted, f"on {found}, not on {wanted}"
    if wanted == "hasten" and WAY != "loop":
        assert asyncio.sleep.__module__.startswith("hasten."), "asyncio's functions are not hasten's"


def loop_name(loop=None):
    return type(loop or asyncio.get_running_loop()).__module__.partition(".")[0]


def python(*arguments):
    """The command of a Python process of this way: its arguments begin with a program's file, or `-m` and a module."""
    return [sys.executable, *(["-m", "hasten", "run"] if WAY == "run" else []), *map(str, arguments)]


async def until(condition, what):
    """Waits until `condition()`, or what it awaits, is true."""
    end = time.monotonic() + PATIENCE
    while True:
        found = condition()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < end, f"in vain: {what}"
        await asyncio.sleep(0.02)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def scratch():
    """A folder for what a program writes, with a short name: unix sockets stand there."""
    with tempfile.TemporaryDirectory(prefix="users-") as folder:
        yield Path(folder)


@contextlib.contextmanager
def process(command, **options):
    """A process that is killed in the end if it has not ended by then."""
    started = subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, **options)
    try:
        yield started
    finally:
        started.kill()
        started.wait()
        for file in (started.stdout, started.stderr):
            if file is not None:
                file.close()


def certificates(folder):
    """A server's TLS context and a client's that trusts it; the server's chain and key are files in `folder`."""
    import trustme

    authority = trustme.CA()
    ours = authority.issue_cert("localhost", "127.0.0.1")
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    ours.configure_cert(server)
    authority.configure_trust(client)
    (folder / "chain.pem").write_bytes(b"".join(blob.bytes() for blob in ours.cert_chain_pems))
    (folder / "key.pem").write_bytes(ours.private_key_pem.bytes())
    (folder / "authority.pem").write_bytes(authority.cert_pem.bytes())
    return server, client


class Terminal:
    """A process that runs in a terminal of its own, and what a person does there: types, and reads the screen."""

    def __init__(self, command):
        ours, theirs = pty.openpty()
        self.descriptor = ours
        self.text = ""
        self.process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=take_terminal,
            env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "COLUMNS": "100", "LINES": "30"},
        )
        os.close(theirs)

    def type(self, text):
        os.write(self.descriptor, text.encode())

    def expect(self, text):
        """Reads until `text` has come, and forgets what came up to its end."""
        end = time.monotonic() + PATIENCE
        while text not in self.text:
            assert self._read(end), f"the process ended before {text!r}, got {self.text!r}"
        before, _, self.text = self.text.partition(text)
        return before

    def _read(self, end):
        ready, _, _ = select.select([self.descriptor], [], [], max(0, end - time.monotonic()))
        assert ready, f"nothing more comes, got {self.text!r}"
        try:
            got = os.read(self.descriptor, 65_536)
        except OSError:  # so a terminal tells its end
            return False
        self.text += got.decode(errors="replace")
        return bool(got)

    def rest(self):
        """What comes until the process ends."""
        end = time.monotonic() + PATIENCE
        while self._read(end):
            pass
        return self.text

    def close(self):
        """Waits for the end of the process, and returns its status."""
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self.descriptor)


def take_terminal():
    """Makes standard input the terminal that controls this process: ^C in it sends a signal, which counts."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell that starts something in the background has it ignored
