"""`hasten.inspect()`: a thread that answers `hasten ps`, `hasten dump` and `hasten top` from another process.

It sleeps in poll(2) until somebody connects, and takes the interpreter's lock only to answer. What it may do meanwhile
says `census`; whom it answers, `meeting`. A peer that sends rubbish, nothing, or too much is told so or left, and
nobody else waits for it.

Forked children have neither the thread nor the socket. They get their own when a loop begins to run in them.
"""

from __future__ import annotations

import atexit
import errno
import json
import logging
import os
import select
import signal
import socket
import sys
import threading
import time
import weakref
from asyncio import _get_running_loop
from functools import partial
from typing import Any

from hasten.core import attending, describe, report
from hasten.diagnosis import census, meeting, sampling
from hasten.diagnosis.sampling import Sampler

MOST_PEERS = 8
PATIENCE = 10.0  # seconds that a peer may take for a request, for taking its answer, or between two requests
_FATAL = ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT")

_inspector: Inspector | None = None
_loops: dict[int, weakref.ref[Any]] = {}  # by id: a hash may be the program's own
_failed: str | None = None
_starting = threading.Lock()


def inspect() -> Inspector:
    """Let this process be looked into by `hasten ps`, `dump` and `top` of the same user, from now on.

    Returns what can be closed (also by `with`) to end that. A second call gives the same. Raises OSError where no safe
    place for the socket can be had.
    """
    inspector = _start()
    if begin not in attending.on_run:
        attending.on_run.append(begin)
    running = _get_running_loop()
    if running is not None:
        _note(running)
    return inspector


def begin(loop: Any) -> None:
    """Note a loop that begins to run, and see to it that there is an inspector in this process."""
    global _failed
    _note(loop)
    if _inspector is not None or _failed is not None:
        return
    try:
        _start()
    except (OSError, RuntimeError) as error:
        _failed = str(error)
        report.note(logging.WARNING, f"hasten: this process cannot be looked into: {error}")


def how() -> str:
    """Say in one line whether this process can be looked into."""
    if _inspector is not None:
        return f"on: `hasten ps {os.getpid()}` by {_inspector.path}"
    if _failed is not None:
        return f"not possible: {_failed}"
    if begin in attending.on_run or os.environ.get("HASTEN_INSPECT") == "1":
        return "on as soon as a loop runs"
    return "off (HASTEN_INSPECT=1, `hasten run --inspect` or hasten.inspect() switch it on)"


def _note(loop: Any) -> None:
    try:
        key = id(loop)
        _loops[key] = weakref.ref(loop, partial(_loops.pop, key))  # type: ignore[arg-type]
    except TypeError:
        pass


def loops() -> list[Any]:
    """Return the loops that have begun to run and are not closed."""
    found = [reference() for reference in list(_loops.values())]
    return [loop for loop in found if loop is not None and not getattr(loop, "_closed", False)]


def _start() -> Inspector:
    global _inspector
    with _starting:  # loops may begin in several threads at once
        if _inspector is None:
            _inspector = Inspector()
            atexit.register(_inspector.close)
        return _inspector


def _forget() -> None:
    """In a forked child: leave the parent's socket to the parent."""
    global _inspector, _failed, _starting
    _failed = None
    _starting = threading.Lock()  # the other may be held by a thread that is not there
    inspector, _inspector = _inspector, None
    if inspector is not None:
        inspector.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


class Inspector:
    """The thread and its socket, at `path`."""

    def __init__(self) -> None:
        self._peers: dict[int, _Peer] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="hasten-inspect", daemon=True)
        self._ear, self._bell = socket.socketpair()  # rings when the thread is to end
        try:
            self._ear.setblocking(False)
            self._bell.setblocking(False)
            self._listener, self.path = meeting.listen()
        except BaseException:
            self._ear.close()
            self._bell.close()
            raise
        self._made = [_identity(each) for each in (self._listener, self._ear, self._bell)]
        try:
            self._thread.start()
        except BaseException:
            self._unlink()
            self._close_all()
            raise

    def __enter__(self) -> Inspector:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the socket and end the thread. Closing again does nothing."""
        global _inspector
        if self._closed:
            return
        self._closed = True
        if _inspector is self:
            _inspector = None
            if begin in attending.on_run:
                attending.on_run.remove(begin)
        atexit.unregister(self.close)
        self._unlink()
        if not self._has_its_files():
            return
        try:
            self._bell.send(b"!")
        except OSError:
            pass
        if threading.current_thread() is not self._thread:
            self._thread.join(1.0)  # at exit, other threads may hold it up

    def abandon(self) -> None:
        """Close what a forked child has inherited. The thread is not there, and the path is the parent's."""
        self._closed = True
        self._close_all()

    def _unlink(self) -> None:
        try:
            os.unlink(self.path)
        except OSError:
            pass

    def _close_all(self) -> None:
        for peer in list(self._peers.values()):
            peer.close()
        self._peers.clear()
        for each, made in zip((self._listener, self._ear, self._bell), self._made, strict=True):
            _close(each, made)

    def _has_its_files(self) -> bool:
        """False if the program has closed one, as who closes all files does; its number may be another file's now."""
        return [_identity(each) for each in (self._listener, self._ear, self._bell)] == self._made

    # ---- the thread -----------------------------------------------------------------------

    def _serve(self) -> None:
        # the kernel gives a process's signals to any thread that takes them; the loop's sleep must end by them
        if hasattr(signal, "pthread_sigmask"):
            kept = {getattr(signal, name) for name in _FATAL if hasattr(signal, name)}
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - kept)
        try:
            while not self._closed:
                try:
                    self._turn()
                except MemoryError:
                    time.sleep(0.1)
        except Exception as error:
            report.note(logging.WARNING, f"hasten: the inspector has ended: {describe.safe(error)}")
            self.close()
        finally:
            self._close_all()

    def _turn(self) -> None:
        poll = select.poll()
        poll.register(self._ear, select.POLLIN)
        poll.register(self._listener, select.POLLIN)
        for fd, peer in self._peers.items():
            poll.register(fd, peer.wants())
        due = min((peer.deadline for peer in self._peers.values()), default=None)
        patience = None if due is None else max(due - time.monotonic(), 0.0)
        samplers = [peer.sampler for peer in self._peers.values() if peer.sampler is not None]
        on = False
        if samplers:
            on, patience = sampling.pause(), 0.0
        ready = poll.poll(None if patience is None else patience * 1000 + 1)
        if self._closed:
            return
        if not self._has_its_files():
            raise OSError(errno.EBADF, "the program has closed its files")
        for sampler in samplers:
            try:
                sampler.sample(loops(), on)
            except Exception:  # the program's own trouble (no memory): it is looked at again in a moment
                pass
        for fd, _ in ready:
            if fd == self._listener.fileno():
                self._accept()
            elif fd in self._peers:
                self._peers[fd].go_on()
        now = time.monotonic()
        for fd, peer in list(self._peers.items()):
            if peer.ended or now > peer.deadline:
                del self._peers[fd]
                peer.close()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # it went away, or no file can be opened: poll() would say so again at once
            time.sleep(0.1)
            return
        connection.setblocking(False)
        try:
            who = meeting.peer(connection)
        except OSError:
            who = -1, -1
        if (who is not None and not meeting.may_ask(who[1])) or len(self._peers) >= MOST_PEERS:
            connection.close()
            return
        self._peers[connection.fileno()] = _Peer(connection)


class _Peer:
    """One connection: what came of a request, what is left of an answer."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._made = _identity(connection)
        self._received = b""
        self._left: memoryview = memoryview(b"")
        self.deadline = time.monotonic() + PATIENCE
        self.ended = False
        self.sampler: Sampler | None = None

    def wants(self) -> int:
        return select.POLLOUT if self._left else select.POLLIN

    def close(self) -> None:
        _close(self._connection, self._made)
        if self.sampler is not None:
            self.sampler.close()

    def go_on(self) -> None:
        """Do what can be done without waiting."""
        try:
            if self._left:
                self._left = self._left[self._connection.send(self._left) :]
                if self._left:
                    return
            else:
                self._receive()
            while not self._left and not self.ended and b"\n" in self._received:
                line, _, self._received = self._received.partition(b"\n")
                self._send(line)
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True

    def _receive(self) -> None:
        data = self._connection.recv(meeting.REQUEST_LIMIT)
        self._received += data
        if not data or (len(self._received) > meeting.REQUEST_LIMIT and b"\n" not in self._received):
            self.ended = True

    def _send(self, line: bytes) -> None:
        reply = _written(self._answer(line)).encode() + b"\n"
        self._left = memoryview(reply)
        self.deadline = time.monotonic() + PATIENCE
        self._left = self._left[self._connection.send(self._left) :]

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            if not isinstance(request, dict) or request.get("protocol") != meeting.PROTOCOL:
                return {"error": f"not understood: it is not protocol {meeting.PROTOCOL}, that of hasten {_version()}"}
            what = request.get("ask")
            if what == "ps":
                told = census.census(loops())
                ages = {} if self.sampler is None else self.sampler.ages()
                for task in told["tasks"]:
                    task["stands_for"] = ages.get(task["id"])
                return {"process": _process(), **told}
            if what == "dump":
                threads = census.threads(without=threading.get_ident())
                return {"process": _process(), "threads": threads, **census.census(loops())}
            if what == "top":
                if self.sampler is None:
                    self.sampler = Sampler()
                return {"process": _process(), **self.sampler.report(loops())}
            return {"error": f"not understood: {str(what)[:50]!r}"}
        except Exception as error:  # the program's own trouble (no memory), or a request that is no JSON
            return {"error": f"{type(error).__name__}: {error}"[:200]}


def _written(answer: dict[str, Any]) -> str:
    """Return it as JSON in one line. Piece by piece: one call for ten thousand tasks would keep the interpreter's lock
    for 50 ms, and the program would wait."""
    told = []
    for key, value in answer.items():
        if isinstance(value, list):
            text = "[" + ",".join([json.dumps(each, separators=(",", ":")) for each in value]) + "]"
        else:
            text = json.dumps(value, separators=(",", ":"))
        told.append(f"{json.dumps(key)}:{text}")
    return "{" + ",".join(told) + "}"


def _close(connection: socket.socket, made: tuple[int, int] | None) -> None:
    """Close a socket, unless the program has closed its number, which may be another file's now."""
    if _identity(connection) == made:
        connection.close()
    else:
        connection.detach()


def _identity(connection: socket.socket) -> tuple[int, int] | None:
    """Return which file a socket's number stands for, or None if it stands for none."""
    try:
        found = os.fstat(connection.fileno())
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _version() -> str:
    return str(getattr(sys.modules.get("hasten"), "__version__", "?"))


def _process() -> dict[str, Any]:
    python = ".".join(map(str, sys.version_info[:3]))
    return {"pid": os.getpid(), "hasten": _version(), "python": python, "now": time.time()}
