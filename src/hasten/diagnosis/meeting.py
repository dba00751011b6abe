"""Where a process that can be looked into and those who look meet: a unix socket that only the same user can open.

The socket is called `PID.sock` and lies in a folder of the user's own with mode 0700: `$XDG_RUNTIME_DIR/hasten`, or
`/tmp/hasten-UID` where there is no such place. /tmp is everybody's, so a folder that is found there is used only if it
is a folder (no link), ours, and closed to others. On Linux both sides ask the kernel who the other is, besides.

What is sent are lines of JSON, an answer for each request: `REQUEST_LIMIT` and `ANSWER_LIMIT` bytes at most.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
import stat
import struct
import sys
from collections.abc import Iterator

REQUEST_LIMIT = 4096
ANSWER_LIMIT = 1 << 26
LONGEST = 108  # bytes of a socket's path, with the zero at its end (Linux; elsewhere a little less)
PROTOCOL = 1
PERIOD = 0.02  # seconds between two looks at a process that is watched


def folders(uid: int, runtime: str | None) -> list[str]:
    """Return the folders in which a user's sockets may lie. `runtime`: XDG_RUNTIME_DIR; a service has none."""
    found = [f"{runtime}/hasten"] if runtime and runtime.startswith("/") else []
    if sys.platform == "linux" and f"/run/user/{uid}/hasten" not in found and os.path.isdir(f"/run/user/{uid}"):
        found.append(f"/run/user/{uid}/hasten")
    return [*found, f"/tmp/hasten-{uid}"]


def check(folder: str, uid: int) -> None:
    """Raise PermissionError if others could have made this folder, or could put something into it."""
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode):
        raise PermissionError(errno.EPERM, "it should be a folder, and is none: remove it", folder)
    if found.st_uid != uid:
        raise PermissionError(errno.EPERM, f"it belongs to user {found.st_uid}, not to {uid}: remove it", folder)
    if found.st_mode & 0o077:
        mode = stat.S_IMODE(found.st_mode)
        raise PermissionError(errno.EPERM, f"others may enter it (mode {mode:04o}): chmod 700 it", folder)


def listen() -> tuple[socket.socket, str]:
    """Return a listening socket of this process, and its path. Raises OSError, with the folder and what is wrong."""
    if not hasattr(socket, "AF_UNIX"):
        raise OSError(errno.EAFNOSUPPORT, "this platform has no unix sockets")
    failed: OSError | None = None
    for folder in folders(os.geteuid(), os.environ.get("XDG_RUNTIME_DIR")):
        try:
            try:
                os.mkdir(folder, 0o700)
            except FileExistsError:
                pass
            check(folder, os.geteuid())
            clean(folder)
            return _listen_in(folder)
        except OSError as error:
            failed = error
    assert failed is not None
    raise failed


def _listen_in(folder: str) -> tuple[socket.socket, str]:
    path = f"{folder}/{os.getpid()}.sock"
    made = f"{folder}/new-{secrets.token_hex(4)}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(made)
        try:
            os.chmod(made, 0o600)
            listener.listen(128)  # who finds it full is told nothing but "try again"
            listener.setblocking(False)
            os.rename(made, path)  # it appears when it can be connected to: what refuses is left over from the dead
        except BaseException:
            os.unlink(made)
            raise
    except BaseException:
        listener.close()
        raise
    return listener, path


def clean(folder: str) -> None:
    """Remove the sockets of processes that are no more: those that refuse a connection."""
    for name in os.listdir(folder):
        path = f"{folder}/{name}"
        if not name.endswith(".sock"):
            continue
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as attempt:
            attempt.setblocking(False)
            try:
                attempt.connect(path)
            except ConnectionRefusedError:
                try:
                    os.unlink(path)
                except OSError:
                    pass
            except OSError:
                pass  # busy, or gone already


def connect(connection: socket.socket, path: str) -> None:
    """Connect to a socket, also where its path is longer than the system takes: by its folder, then."""
    folder, name = os.path.split(path)
    if sys.platform != "linux" or len(os.fsencode(path)) < LONGEST:
        connection.connect(path)
        return
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        connection.connect(f"/proc/self/fd/{fd}/{name}")
    finally:
        os.close(fd)


def peer(connection: socket.socket) -> tuple[int, int] | None:
    """Return the process and the user at the other end, as the kernel knows them; None where it does not tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None or sys.platform != "linux":
        return None
    pid, uid, _ = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, option, 12))
    return pid, uid


def may_ask(uid: int) -> bool:
    """True for the user that this process runs as, and for root, who can look into every process anyway."""
    return uid in (os.geteuid(), 0)


def places(pid: int, uid: int) -> Iterator[str]:
    """Yield the paths at which the socket of a process may lie, of those that are safe to use.

    On Linux that is where the process itself would put it, by its own environment and, for one in a container or with a
    /tmp of its own, in its own file system and by its own number.
    """
    runtime, number = _as_it_knows_itself(pid)
    known = folders(uid, runtime or os.environ.get("XDG_RUNTIME_DIR"))
    found = [(folder, pid) for folder in known]
    if sys.platform == "linux" and pid != os.getpid():
        found += [(f"/proc/{pid}/root{folder}", number) for folder in known]
    for folder, name in found:
        try:
            check(folder, uid)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:
            if error.errno == errno.EACCES:  # its file system is not for us to see
                continue
            raise
        yield f"{folder}/{name}.sock"


def _as_it_knows_itself(pid: int) -> tuple[str | None, int]:
    """Return the XDG_RUNTIME_DIR of a process, if it is known, and its number in its own namespace."""
    number, runtime = pid, None
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("NSpid:"):
                    number = int(line.split()[-1])
        with open(f"/proc/{pid}/environ", encoding="utf-8", errors="surrogateescape") as file:
            for variable in file.read().split("\0"):
                if variable.startswith("XDG_RUNTIME_DIR="):
                    runtime = variable.partition("=")[2]
    except OSError:
        pass
    return runtime, number
