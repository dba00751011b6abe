"""Asking another process that can be looked into: the other end of `inspecting`.

What the other side sends is not trusted more than its user: answers are limited, and who prints them has to see to
control characters.
"""

from __future__ import annotations

import json
import os
import socket
import time
from typing import Any

from hasten.diagnosis import meeting, processes


class Unreachable(Exception):
    """The process cannot be asked; the text says why in one line."""


class NoAnswer(Unreachable):
    """The process is there and can be asked, and does not answer in time."""


class Line:
    """A connection to the process `pid`, which may take `timeout` seconds for each answer."""

    def __init__(self, pid: int, timeout: float) -> None:
        self.pid = pid
        self._timeout = timeout
        self._received = bytearray()
        self._socket = _connect(pid, timeout)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def ask(self, what: str) -> dict[str, Any]:
        """Return the answer. Raises Unreachable."""
        due = time.monotonic() + self._timeout
        request = {"protocol": meeting.PROTOCOL, "ask": what}
        try:
            self._socket.settimeout(self._timeout)
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            while b"\n" not in self._received[-65536:]:
                if len(self._received) > meeting.ANSWER_LIMIT:
                    raise Unreachable(f"process {self.pid} sends more than can be an answer")
                self._socket.settimeout(max(due - time.monotonic(), 0.001))
                data = self._socket.recv(65536)
                if not data:
                    raise Unreachable(_gone(self.pid))
                self._received += data
        except TimeoutError:
            raise _no_answer(self.pid, self._timeout) from None
        except OSError:
            raise Unreachable(_gone(self.pid)) from None
        line, _, rest = self._received.partition(b"\n")
        self._received = rest
        return self._understood(bytes(line))

    def _understood(self, line: bytes) -> dict[str, Any]:
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise Unreachable(f"process {self.pid} sends what is no answer")
        if "error" in answer:
            raise Unreachable(f"process {self.pid} cannot tell: {answer['error']}")
        return answer


def ask(pid: int, what: str, timeout: float) -> dict[str, Any]:
    """Ask once. Raises Unreachable."""
    with Line(pid, timeout) as line:
        return line.ask(what)


def _connect(pid: int, timeout: float) -> socket.socket:
    uid = _check_process(pid)
    if not hasattr(socket, "AF_UNIX"):
        raise Unreachable("this platform has no unix sockets, by which processes are looked into")
    unsafe = None
    try:
        for path in meeting.places(pid, uid):
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.settimeout(timeout)
            try:
                meeting.connect(connection, path)
                _check_peer(connection, pid, uid)
                return connection
            except (FileNotFoundError, ConnectionRefusedError):
                connection.close()
            except BaseException:
                connection.close()
                raise
    except TimeoutError:
        raise _no_answer(pid, timeout) from None
    except OSError as error:
        unsafe = error
    _check_process(pid)  # it may have ended in the meantime
    if unsafe is not None:
        raise Unreachable(f"process {pid} cannot be asked: {unsafe}")
    raise Unreachable(_not_there(pid))


def _check_process(pid: int) -> int:
    """Return the user of a process that can be asked by this one."""
    own = os.geteuid() if hasattr(os, "geteuid") else 0
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        raise Unreachable(f"there is no process {pid}") from None
    except PermissionError:
        pass
    if processes.state(pid) in ("Z", "X"):
        raise Unreachable(f"process {pid} has ended, and its parent has not noticed")
    uid = processes.owner(pid)
    if uid is None:
        uid = own
    if own not in (uid, 0):
        raise Unreachable(f"process {pid} belongs to {_user(uid)}: only that user can look into it (sudo -u …)")
    return uid


def _user(uid: int) -> str:
    try:
        import pwd

        return f"user {pwd.getpwuid(uid).pw_name}"
    except (ImportError, KeyError):
        return f"user {uid}"


def _check_peer(connection: socket.socket, pid: int, uid: int) -> None:
    who = meeting.peer(connection)
    if who is None:
        return
    if who[1] != uid:
        raise Unreachable(f"the socket of process {pid} is answered by {_user(who[1])}: not used")
    if who[0] not in (pid, 0):  # 0: in another namespace, whose numbers are not ours
        raise Unreachable(f"the socket of process {pid} is answered by process {who[0]}: not used")


def _gone(pid: int) -> str:
    try:
        os.kill(pid, 0)
        ended = processes.state(pid) in ("Z", "X")
    except OSError:
        ended = True
    return f"process {pid} has ended" if ended else f"process {pid} has hung up"


def _no_answer(pid: int, timeout: float) -> Unreachable:
    letter = processes.state(pid)
    if letter in ("T", "t"):
        return NoAnswer(f"process {pid} does not answer: it {processes.STATES[letter]}")
    why = "something holds the interpreter's lock" if letter else "it may have ended"
    return NoAnswer(f"process {pid} does not answer within {timeout:g} s: {why}")


def _not_there(pid: int) -> str:
    on = "start it by `hasten run --inspect` or with HASTEN_INSPECT=1, or call hasten.inspect() in it"
    text = f"process {pid} cannot be looked into: {on}"
    maps = processes.read(f"/proc/{pid}/maps")
    if "HASTEN_INSPECT=1" in processes.read(f"/proc/{pid}/environ").split("\0"):
        return f"process {pid} cannot be looked into: HASTEN_INSPECT is set, but no loop of hasten's has run in it yet"
    if maps and "python" not in maps:
        return f"process {pid} is no Python program"
    if maps and "/hasten/" not in maps:
        return f"{text} (no compiled module of hasten is loaded in it)"
    return text
