"""A PostgreSQL server of its own, for as long as the tests run."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from suites.fetching import Unavailable

DEBIAN = Path("/usr/lib/postgresql")
NAME = "suites"
OPTIONS = ("fsync=off", "max_prepared_transactions=10", "listen_addresses=127.0.0.1", "max_connections=200")


def programs() -> Path:
    """The folder of PostgreSQL's programs: Debian keeps them apart, one folder for each version."""
    versions = sorted(DEBIAN.glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = versions[-1] if versions else shutil.which("initdb")
    if not found:
        raise Unavailable("there is no PostgreSQL server (Debian: postgresql)")
    return Path(found).parent


@contextmanager
def server() -> Iterator[str]:
    """The connection string of an empty database. The server listens on the loopback interface only."""
    folder = programs()
    # As root it refuses to run.
    user = next((name for name in ("postgres", "nobody") if _exists(name)), None) if os.geteuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="suites-") as scratch:
        data = Path(scratch, "data")
        if user:
            shutil.chown(scratch, user)

        def call(program: str, *arguments: str) -> None:
            done = subprocess.run(
                [folder / program, *arguments],
                user=user,
                group=pwd.getpwnam(user).pw_gid if user else None,
                extra_groups=[] if user else None,
                cwd=scratch,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                timeout=120,
            )
            if done.returncode:
                raise Unavailable(f"PostgreSQL's {program} failed: {done.stderr.strip()[-500:]}")

        call("initdb", "--pgdata", str(data), "--auth", "trust", "--username", "postgres", "--no-sync")
        port = _free_port()
        settings = " ".join(f"-c {option}" for option in (*OPTIONS, f"unix_socket_directories={scratch}"))
        log = str(Path(scratch, "log"))
        call("pg_ctl", "--pgdata", str(data), "--wait", "--log", log, "--options", f"{settings} -p {port}", "start")
        try:
            call("createdb", "--host", "127.0.0.1", "--port", str(port), "--username", "postgres", NAME)
            yield f"host=127.0.0.1 port={port} user=postgres dbname={NAME}"
        finally:
            call("pg_ctl", "--pgdata", str(data), "--wait", "--mode", "immediate", "stop")


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
