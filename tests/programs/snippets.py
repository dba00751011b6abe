"""Runs what stands in the pages of docs/: programs, and commands with what they print.

A page that wants to be run has a line `<!-- needs: NAME … -->`: the modules that have to be importable (it may name
none; `NAME>=VERSION` asks for a version, `NAME=PACKAGE` tells whose a module is where that does not show). `<!-- after:
PAGE.md -->` names a page of its folder whose files it uses.
Its blocks are run from the top to the bottom, in one empty folder:

    ```python                   a program, run by itself; its exit status must be 0
    ```python wrong             a program that fails: its exit status must not be 0
    ```python file=app.py       a file to be written, in any language; what follows may use it
    ```text prints              what the program before it prints (of a wrong one: on stderr)
    ```console                  lines that begin with "$ " are commands; what follows a command is what it prints
    ```console other-loop       the same; here it is meant that a loop of another make than hasten's shows

In what is printed, `…` stands for any text, a line that is `…` alone for any lines, a number with a point in it for any
such number (`300 ms` and `0% of` too), an address (0x7f…) for any address, a space for several; the folder is left out.
A command that ends with ` &` is a server, which is waited for until it accepts connections at the port that it names
(else 8000), and stopped at the end; for the ports 8000 to 8009 free ones are taken. In later commands `$!` is its
process id, as in a shell. `$ curl -s URL` asks a server: once as it is written, and then, as several clients at once,
many times. `$ pip install` is not run, nor is a block with `skip=REASON` after its language, words joined by `-`.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FOLDERS = ("docs/tutorial", "docs/how-to")
PORT = re.compile(r"\b800\d\b")
PATIENCE = 60.0  # seconds for a program, or for a server to listen
CLIENTS = 8

_NEEDS = re.compile(r"^<!-- needs:(.*?)-->$", re.MULTILINE)
_AFTER = re.compile(r"^<!-- after:(.*?)-->$", re.MULTILINE)
_FENCE = re.compile(r"^( *)(`{3,})([^`\n]*)\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
_MAY_DIFFER = re.compile(r"( …$|…|(?<![\d.])\d+\.\d+(?![\d.])|0x[0-9a-f]+|\b\d+(?= ms\b|% of ))")


class Wrong(AssertionError):
    """A page promises what does not happen."""


@dataclass
class Block:
    language: str
    words: list[str]
    options: dict[str, str]
    text: str
    line: int


@dataclass
class Seen:
    """What a run of a page showed."""

    requests: int = 0
    programs: int = 0
    output: str = ""
    servers: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def on_hasten(self) -> bool:
        """True if a loop of hasten was printed or answered, and none of another make."""
        ours = re.search(r"<hasten\.([\w.]+\.)?\w*Loop ", self.output)
        return ours is not None and not re.search(r"<(uvloop\.Loop|_\w+EventLoop) ", self.output)


def pages() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).glob("*.md"))]


def needs(page: str) -> list[str] | None:
    """The modules that a page needs; None if it does not want to be run."""
    found = _NEEDS.search(page)
    return found[1].split() if found else None


def missing(wanted: list[str], python: str = sys.executable) -> str:
    """Which of the modules are not there for the interpreter, as a sentence; empty if all are."""
    code = (
        "import importlib.util, importlib.metadata, re, sys\n"
        "packages = importlib.metadata.packages_distributions()\n"
        "number = lambda text: [int(n) for n in re.findall(r'\\d+', text)[:3]]\n"
        "def there(name):\n"
        "    try: return importlib.util.find_spec(name) is not None\n"
        "    except ModuleNotFoundError: return False\n"
        "for each in sys.argv[1:]:\n"
        "    name, least = each.partition('=')[0].removesuffix('>'), each.partition('>=')[2]\n"
        "    if not there(name): print(name, 'is not installed'); break\n"
        "    version = importlib.metadata.version(packages[name][0]) if least else ''\n"
        "    if least and number(version) < number(least): print(name, version, 'is older than', least); break\n"
    )
    done = subprocess.run([python, "-c", code, *wanted], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def versions(wanted: list[str], python: str = sys.executable) -> str:
    """Names and versions of the distributions that have these modules."""
    code = (
        "import importlib.metadata, sys\n"
        "packages = importlib.metadata.packages_distributions()\n"
        "names = {}\n"
        "for each in sys.argv[1:]:\n"
        "    name, _, wheel = each.partition('=')\n"
        "    names[packages[name.removesuffix('>')][0] if name.endswith('>') or not wheel else wheel] = None\n"
        "print(', '.join(f'{name} {importlib.metadata.version(name)}' for name in names))\n"
    )
    done = subprocess.run([python, "-c", code, *wanted], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def blocks(page: str) -> list[Block]:
    found = []
    for match in _FENCE.finditer(page):
        indent, _, info, text = match.groups()
        words = info.split() or [""]
        pairs = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        text = re.sub(rf"^{indent}", "", text, flags=re.MULTILINE)
        plain = [word for word in words[1:] if "=" not in word]
        found.append(Block(words[0], plain, pairs, text, page.count("\n", 0, match.start()) + 1))
    return found


def agrees(expected: str, got: str) -> bool:
    """True if `got` is what is expected, but for what the module's docstring says may differ."""
    pattern = ""
    expected, got = (re.sub(" +", " ", text) for text in (expected, got))
    for line in expected.rstrip().split("\n"):
        if line.strip() == "…":
            pattern += r"(?:.*\n)*?"
        else:
            pieces = re.split(_MAY_DIFFER, line.rstrip())  # every other one may differ
            pattern += (
                "".join(_pattern(each) if n % 2 else re.escape(each) for n, each in enumerate(pieces)) + r"[ ]*\n"
            )
    return re.fullmatch(pattern, got.rstrip() + "\n") is not None


def _pattern(piece: str) -> str:
    if piece.endswith("…"):
        return "(?: .*)?" if piece.startswith(" ") else ".*?"  # at the end of a line: or nothing
    return r"\d+\.\d+" if "." in piece else "0x[0-9a-f]+" if piece.startswith("0x") else r"\d+"


class Run:
    """One page, in one folder, by one interpreter.

    Arguments:
        folder: an empty one.
        python: the interpreter; its environment's commands come first on the PATH.
        traffic: how many times more a server is asked for what the page asks for.
    """

    def __init__(self, folder: Path, python: str = sys.executable, traffic: int = 24) -> None:
        self.folder, self.python, self.traffic = folder, python, traffic
        self.seen = Seen()
        self.ports: dict[str, int] = {}
        self.last: subprocess.CompletedProcess[str] | None = None
        self.environ = {key: value for key, value in os.environ.items() if not key.startswith(("HASTEN_", "PYTEST_"))}
        self.environ["PATH"] = os.pathsep.join([str(Path(python).parent), os.environ.get("PATH", "")])
        self.environ["PYTHONUNBUFFERED"] = "1"
        self.environ["PYTHONWARNINGS"] = "ignore::DeprecationWarning"  # libraries' own

    def page(self, path: Path) -> Seen:
        text = path.read_text("utf-8")
        with self._servers_stopped():
            for other in _AFTER.findall(text):
                for block in blocks((path.parent / other.strip()).read_text("utf-8")):
                    if "file" in block.options:
                        self.block(block)
            for block in blocks(text):
                try:
                    self.block(block)
                except Wrong as error:
                    raise Wrong(f"line {block.line}: {error}\n{self._said()}") from None
        return self.seen

    def block(self, block: Block) -> None:
        text = PORT.sub(lambda match: str(self._port(match[0])), block.text)
        if "skip" in block.options:
            return
        if "file" in block.options:
            path = self.folder / block.options["file"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        elif block.language == "python":
            self._program(text, fails="wrong" in block.words)
        elif block.language == "text" and "prints" in block.words:
            assert self.last is not None
            self._compare(text, self.last.stderr if self.last.returncode else self.last.stdout)
        elif block.language == "console":
            before = self.seen.output
            self._console(text)
            if "other-loop" in block.words:
                self.seen.output = before

    def _port(self, name: str) -> int:
        return self.ports.setdefault(name, _free_port())

    def _program(self, text: str, fails: bool) -> None:
        (self.folder / "program.py").write_text(text, "utf-8")
        self.last = self._run([self.python, "program.py"])
        if (self.last.returncode != 0) != fails:
            raise Wrong(f"exit status {self.last.returncode}\n{self.last.stdout}{self.last.stderr}")

    def _console(self, text: str) -> None:
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            while command.endswith("\\"):
                more, _, expected = expected.partition("\n")
                command = command[:-1] + more
            if command.startswith("pip install"):
                continue
            if command.endswith(" &"):
                self._serve(command[:-2])
            elif command.startswith("curl "):
                self._ask(shlex.split(command)[-1], expected)
            else:
                if "$!" in command:  # the child of `timeout`
                    server = self.seen.servers[-1].pid
                    command = command.replace("$!", Path(f"/proc/{server}/task/{server}/children").read_text().strip())
                self.last = self._run(["sh", "-c", command])
                if expected.strip():
                    self._compare(expected, self.last.stdout + self.last.stderr)
                elif self.last.returncode:
                    raise Wrong(f"{command}: exit status {self.last.returncode}\n{self.last.stdout}{self.last.stderr}")

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        keywords: dict[str, Any] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        try:
            done = subprocess.run(command, cwd=self.folder, env=self.environ, timeout=PATIENCE, **keywords)
        except subprocess.TimeoutExpired as error:
            raise Wrong(f"{command} does not end: {error.stdout!r} {error.stderr!r}") from None
        self.seen.programs += 1
        self.seen.output += done.stdout
        return done

    def _serve(self, command: str) -> None:
        with (self.folder / f"server{len(self.seen.servers)}.log").open("w") as log:
            keywords: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "text": True}
            # a session of its own, so that all its processes can be ended
            prefix = "exec env" if "=" in command.split()[0] else "exec"
            arguments = ["timeout", "--foreground", "600", "sh", "-c", f"{prefix} {command}"]
            server = subprocess.Popen(arguments, cwd=self.folder, env=self.environ, start_new_session=True, **keywords)
        self.seen.servers.append(server)
        named = (port for port in self.ports.values() if str(port) in command)
        port = next(named, None) or self._port("8000")
        until = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                return
            except OSError:
                if server.poll() is not None:
                    raise Wrong(f"{command} ended with exit status {server.returncode}") from None
                if time.monotonic() > until:
                    raise Wrong(f"{command} does not listen at port {port}") from None
                time.sleep(0.05)

    def _ask(self, url: str, expected: str) -> None:
        answer = _get(url)
        self.seen.output += answer
        if expected.strip():
            self._compare(expected, answer)
        with ThreadPoolExecutor(CLIENTS) as clients:
            answers = list(clients.map(_get, [url] * self.traffic))
        self.seen.requests += 1 + len(answers)
        # the shape is the same; what differs from one to the next (times, ids) are the digits
        shapes = {re.sub(r"[0-9a-f]+", "0", each) for each in answers}
        if len(shapes) > 1:
            raise Wrong(f"{url} answers differently: {shapes}")

    def _compare(self, expected: str, got: str) -> None:
        got = got.replace(f"{self.folder}/", "")
        if not agrees(expected, got):
            raise Wrong(f"the page says\n{expected}\nbut it is\n{got}")

    def _said(self) -> str:
        logs = [path.read_text("utf-8", "replace") for path in sorted(self.folder.glob("server*.log"))]
        return "".join(log[-4000:] for log in logs)

    @contextmanager
    def _servers_stopped(self) -> Iterator[None]:
        try:
            yield
        finally:
            for server in self.seen.servers:
                _stop(server)
        if "Traceback (most recent call last)" in (said := self._said()):
            raise Wrong(f"a server failed:\n{said}")


def _stop(server: subprocess.Popen[str]) -> None:
    """End a server in good order (`timeout` hands the signal on to it alone), then what is left of its processes."""
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(server.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    server.wait()


def _get(url: str) -> str:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=PATIENCE) as answer:
        return str(answer.read().decode())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
