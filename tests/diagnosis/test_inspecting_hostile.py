"""Looking into a process that does not treat the inspector well, and peers that do not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hasten.diagnosis import meeting

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="there are no unix sockets")


def child(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_program_that_closes_all_files_and_opens_its_own() -> None:
    """What it opens under the numbers of the inspector's is not read, written or closed, and no thread spins."""
    code = """
import logging, os, socket, threading, time
logging.disable(logging.CRITICAL)
import hasten
inspector = hasten.inspect()
before = [int(fd) for fd in os.listdir("/proc/self/fd")]
peer = socket.socket(socket.AF_UNIX)
peer.connect(inspector.path)
peer.sendall(b'{"protocol": 1, "ask": "top"}\\n')  # from now on it looks many times a second
peer.recv(1 << 20)
here = peer.fileno()
numbers = [int(fd) for fd in os.listdir("/proc/self/fd") if int(fd) > 2 and os.path.exists(f"/proc/self/fd/{fd}")]
for fd in numbers:
    os.close(fd)
theirs = []
while len(theirs) < len(numbers):
    theirs += os.pipe()
for fd in theirs[1::2]:
    os.write(fd, b"mine")
thread = next((each for each in threading.enumerate() if each.name == "hasten-inspect"), None)
if thread is not None:
    thread.join(30)
    assert not thread.is_alive()
for r, w in zip(theirs[::2], theirs[1::2]):
    assert os.read(r, 100) == b"mine"
    os.fstat(w)
peer.detach()
inspector.close()
for fd in theirs:
    os.fstat(fd)
assert not os.path.exists(inspector.path)
with hasten.inspect() as again:  # another one can be had
    assert os.path.exists(again.path)
print("good")
"""
    done = child(code)
    assert done.stdout == "good\n", done.stderr


def test_twenty_peers_that_say_nothing_and_one_that_sends_without_end() -> None:
    code = """
import json, os, socket, threading
import hasten
def connect():
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(30)
    peer.connect(inspector.path)
    return peer
def ask(peer, data):
    peer.sendall(data)
    with peer.makefile("rb") as answers:
        return json.loads(answers.readline())
inspector = hasten.inspect()
silent = [connect() for _ in range(20)]
refused = sum(peer.recv(1) == b"" for peer in silent[8:])
for peer in silent:
    peer.close()
endless, sent = connect(), 0
try:
    while sent < 1 << 30:
        sent += endless.send(b"x" * 65536)
except OSError:
    pass
for rubbish in (b"\\xff\\x00\\n", b"[" * 4000 + b"\\n", b"null\\n", b"{}\\n", b'{"protocol": 1, "ask": ["ps"]}\\n'):
    peer = connect()
    assert "error" in ask(peer, rubbish), rubbish
    assert "tasks" in ask(peer, b'{"protocol": 1, "ask": "ps"}\\n')
    peer.close()
print(refused, sent < 1 << 20)
"""
    done = child(code)
    assert done.stdout == "12 True\n", done.stderr
    assert done.stderr == ""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_another_user_is_not_answered_even_if_the_folder_lets_it_in() -> None:
    code = """
import os, socket
import hasten
inspector = hasten.inspect()
folder = os.path.dirname(inspector.path)
child = os.fork()
if child == 0:
    os.setgid(65534)
    os.setuid(65534)
    peer = socket.socket(socket.AF_UNIX)
    try:
        peer.connect(inspector.path)
        print("let in")
    except PermissionError:
        print("kept out", flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
    done = child(code)
    assert done.stdout == "kept out\n", done.stderr


FARAWAY = """
import os, sys
import hasten
import hasten.diagnosis.asking as asking
async def main():
    with hasten.inspect() as inspector:
        return inspector.path, await hasten.to_thread(asking.ask, os.getpid(), "ps", 60.0)
path, answer = hasten.run(main())
print(os.path.dirname(path), len(answer["tasks"]))
"""


@pytest.mark.parametrize("length", [60, 86, 87, 88, 89, 90, 95, 200, 3000])
def test_a_folder_whose_name_is_too_long_for_a_socket_s_path(length: int, tmp_path: Path) -> None:
    """It is not taken, where it is too long, and who asks is not kept from looking in the next one."""
    folder = str(tmp_path)
    while len(folder) < length:
        folder += "/" + "x" * min(length - len(folder) - 1, 200)
    if length < 3000:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    environment = {**os.environ, "XDG_RUNTIME_DIR": folder}
    done = subprocess.run([sys.executable, "-c", FARAWAY], capture_output=True, text=True, timeout=100, env=environment)
    found, tasks = done.stdout.split()
    assert tasks == "1"
    assert found == f"{folder}/hasten" or len(folder) > 80, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere such a path cannot be reached")
def test_a_socket_that_lies_deeper_than_a_path_may_be_long(tmp_path: Path) -> None:
    """As that of a process in a container, seen through /proc/PID/root."""
    folder = tmp_path / ("x" * 150)
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as peer:
        listener.bind(f"/proc/self/fd/{here}/1.sock")
        listener.listen()
        before = len(os.listdir("/proc/self/fd"))
        meeting.connect(peer, f"{folder}/1.sock")
        assert len(os.listdir("/proc/self/fd")) == before
        with pytest.raises(FileNotFoundError):
            meeting.connect(peer, f"{folder}/2.sock")
    os.close(here)
