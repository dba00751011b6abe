"""Programs that use a library: which there are, and what each of them does on one kind of loop."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path

from suites.fetching import ROOT
from suites.running import end

PROGRAMS = Path(__file__).parents[1] / "users"
# Each also stands in programs' own common.py and in users/site.
WAYS = ("asyncio", "loop", "install", "run")
LIMIT = 240  # seconds for one program
# What on stderr tells of something wrong. It may say more on asyncio's loop than on hasten's, but not the other way.
COMPLAINT = re.compile(r"Warning: |Error\b|Exception|never retrieved|was never awaited|was destroyed|Traceback|Fatal")
# The place before a warning, how a loop calls its transports, and what differs each time.
VARIES = re.compile(r"^.*?(?=\w+Warning: )|(?<=<)\w*Transport\b[^>]*|0x[0-9a-f]+|\b[0-9a-f]{8,}\b|\d+|/tmp/\S+")


@dataclass(frozen=True)
class User:
    """A program in the folder "users"."""

    name: str
    requirements: tuple[str, ...]
    # Those whose versions the table tells.
    libraries: tuple[str, ...]
    # What has to be found beside it.
    programs: tuple[str, ...] = ()
    database: bool = False
    # It speaks to whoever listens: only in a network of its own, which has nothing but a loopback interface.
    alone: bool = False
    # Ways that end otherwise, and rightly so, with the reason.
    known: dict[str, str] = field(default_factory=dict)
    folder: Path = PROGRAMS

    @property
    def file(self) -> Path:
        return self.folder / f"{self.name}.py"

    @property
    def does(self) -> tuple[str, str]:
        """What it uses, and what it does with that: its first line says both."""
        text = ast.get_docstring(ast.parse(self.file.read_text())) or ""
        used, _, does = text.partition("\n")[0].partition(": ")
        return used, does.rstrip(".")

    @property
    def missing(self) -> str:
        """Why it cannot be run on this machine; nothing if it can."""
        absent = [name for name in self.programs if shutil.which(name, path=PATH) is None]
        if absent:
            return f"there is no {' and no '.join(absent)}"
        if self.alone and subprocess.run([*ALONE, "true"], env={"PATH": PATH}, capture_output=True).returncode:
            return "there is no way to a network of its own (unshare and ip, and the right to use them)"
        return ""


# Debian has servers in folders that only root's PATH names.
PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
ALONE = ["unshare", "--map-root-user", "--net", "sh", "-c", 'ip link set lo up && exec "$0" "$@"']


@dataclass(frozen=True)
class Outcome:
    """What became of a program in one way."""

    way: str
    status: int | None  # nothing when it did not come to its end in time
    output: str
    errors: str

    @property
    def complaints(self) -> set[str]:
        """What it said on stderr that is no good, without what differs each time."""
        lines = [line for line in self.errors.splitlines() if COMPLAINT.search(line)]
        return {VARIES.sub("#", line).strip() for line in lines}

    def fault(self, stock: Outcome | None = None) -> str:
        """What is wrong with it, by itself and beside asyncio's; nothing if it is as it should be."""
        if self.status is None:
            return f"no end after {LIMIT} seconds"
        if self.status:
            told = [line for line in self.errors.splitlines() if line[:1].strip() and "ResourceWarning" not in line]
            return f"exit status {self.status}: {told[-1] if told else 'nothing said'}"
        if stock is None or stock.status != 0:
            return ""
        if self.output != stock.output:
            lines = zip_longest(self.output.splitlines(), stock.output.splitlines(), fillvalue="(the end)")
            ours, theirs = next(((ours, theirs) for ours, theirs in lines if ours != theirs), ("", ""))
            return f"printed {ours!r}, on asyncio {theirs!r}"
        more = self.complaints - stock.complaints
        return f"complained: {sorted(more)[0]}" if more else ""


def run(user: User, way: str, python: str | Path, variables: dict[str, str] | None = None) -> Outcome:
    """Runs a program in one way."""
    launcher = ["-m", "hasten", "run"] if way == "run" else []
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    own = {
        "PATH": PATH,
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(PROGRAMS), str(PROGRAMS / "site")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONFAULTHANDLER": "1",
        "PYTHONWARNINGS": "always::ResourceWarning",
        "USERS_WAY": way,
    }
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [*(ALONE if user.alone else []), python, *launcher, user.file],
            env={**inherited, **own, **(variables or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        status: int | None = None
        try:
            status = process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)  # faulthandler then says where it hangs
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
        finally:
            end(process)
        texts = []
        for file in (output, errors):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
        return Outcome(way, status, *texts)


AIOHTTP = "aiohttp==3.14.5"
USERS = {
    user.name: user
    for user in (
        User("playwright_driver", ("playwright==1.65.2",), ("playwright",)),
        User("anyio_processes", ("anyio==4.16.0",), ("anyio",)),
        User("dask_cluster", ("dask==2026.8.0", "distributed==2026.8.0"), ("distributed",)),
        User("quic_echo", ("aioquic==1.7.2", "trustme"), ("aioquic",)),
        User("mdns", ("zeroconf==0.154.0",), ("zeroconf",), alone=True),
        User("resolver", ("dnspython==2.9.2", "trustme"), ("dnspython",)),
        User("console", ("aioconsole==0.8.2",), ("aioconsole",)),
        User("expecting", ("pexpect==4.9.0",), ("pexpect",)),
        User("prompting", ("prompt_toolkit==3.0.53",), ("prompt_toolkit",)),
        User("file_responses", (AIOHTTP, "trustme"), ("aiohttp",)),
        User(
            "gunicorn_workers", ("gunicorn==27.0.1", AIOHTTP, "uvicorn==0.54.0", "websockets"), ("gunicorn", "uvicorn")
        ),
        User("hypercorn_workers", ("hypercorn==0.18.0", AIOHTTP, "httpx[http2]", "trustme"), ("hypercorn", "httpx")),
        User("postgres_asyncpg", ("asyncpg==0.32.0",), ("asyncpg",), database=True),
        User("postgres_psycopg", ("psycopg[binary,pool]==3.3.9",), ("psycopg",), database=True),
        User("redis_client", ("redis==8.1.0", "trustme"), ("redis",), programs=("redis-server",)),
        User("nginx_peers", (AIOHTTP, "trustme"), ("aiohttp",), programs=("nginx",)),
    )
}
