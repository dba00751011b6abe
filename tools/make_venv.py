"""Creates a virtual environment that has pip, also where the interpreter brings neither ensurepip nor pip.

    python tools/make_venv.py DIR

Debian's python3 comes without ensurepip (it is in python3-venv), and hasten wants nothing but python3, its headers, gcc
and make. So: ensurepip when it is there, else the interpreter's own pip, else pip's wheel from the package index, which
runs without being installed. The index is PIP_INDEX_URL or pypi.org.
"""

from __future__ import annotations

import html.parser
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request
import venv
from importlib.util import find_spec
from pathlib import Path


class _Links(html.parser.HTMLParser):
    """The targets of a simple index page's links that are not yanked."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        fields = dict(attrs)
        if tag == "a" and "data-yanked" not in fields and fields.get("href"):
            self.found.append(str(fields["href"]))


def newest_wheel(links: list[str]) -> str:
    """The link to the highest final release among wheels of pip. ValueError when there is none."""
    releases = {}
    for link in links:
        name = urllib.parse.urlsplit(link).path.rsplit("/", 1)[-1]
        match = re.fullmatch(r"pip-(\d+(?:\.\d+)*)-py3-none-any\.whl", name)
        if match:
            releases[tuple(int(part) for part in match[1].split("."))] = link
    if not releases:
        raise ValueError("the package index lists no wheel of pip; set PIP_INDEX_URL to an index that does")
    return releases[max(releases)]


def pip_from_index(python: Path) -> None:
    """Installs pip into the environment of `python` by running pip's own wheel."""
    page = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
    with urllib.request.urlopen(page, timeout=60) as response:
        parser = _Links()
        parser.feed(response.read().decode())
    url = urllib.parse.urljoin(page, newest_wheel(parser.found))
    with tempfile.TemporaryDirectory() as folder:
        wheel = Path(folder, urllib.parse.urlsplit(url).path.rsplit("/", 1)[-1])
        with urllib.request.urlopen(url, timeout=60) as response:
            wheel.write_bytes(response.read())
        subprocess.run([python, wheel / "pip", "install", "--quiet", wheel], check=True)


def main(target: Path) -> None:
    if find_spec("ensurepip"):
        venv.create(target, with_pip=True, symlinks=os.name != "nt")
        return
    venv.create(target, with_pip=False, symlinks=os.name != "nt")
    python = target / "bin" / "python"
    if find_spec("pip"):
        command = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "pip"]
        if subprocess.run(command, check=False).returncode == 0:
            return
    pip_from_index(python)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/make_venv.py DIR")
    main(Path(sys.argv[1]))
