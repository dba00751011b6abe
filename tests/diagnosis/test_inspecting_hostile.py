"""Looking into a process that does not treat the inspector well, and peers that do not."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

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
