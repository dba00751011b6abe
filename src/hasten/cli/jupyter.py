"""`hasten jupyter`: a kernel for notebooks whose loop is hasten's."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Sequence
from importlib import import_module

from hasten.cli.usage import UsageError, tell

HELP = """\
usage: hasten jupyter install [--user | --sys-prefix | --prefix FOLDER] [--name NAME] [--display-name TEXT]

Makes a kernel of this Python's for Jupyter's notebooks, whose loop is hasten's, and tells where it is. Needs ipykernel.
`jupyter kernelspec remove hasten` removes it.

  --sys-prefix           for this environment, where a jupyter of the same environment finds it: the default
  --user                 for all jupyters of this user
  --prefix FOLDER        below FOLDER
  --name NAME            what the kernel is called among kernels: hasten
  --display-name TEXT    what a notebook's menu says: Python (hasten)
"""
_VALUES = {"--name": "hasten", "--display-name": "Python (hasten)", "--prefix": ""}


def main(words: Sequence[str]) -> int:
    """Run the verb. What it needs and is not there is told on stderr, with status 1."""
    if not words or words[0] in ("-h", "--help"):
        print(HELP, end="")
        return 0
    if words[0] != "install":
        raise UsageError(f"jupyter has no {words[0]!r}: 'hasten jupyter install'")
    options = _options(words[1:])
    try:
        import_module("ipykernel")
        manager = import_module("jupyter_client.kernelspec").KernelSpecManager()
    except ImportError as error:
        tell(f"hasten: {error}: install it by '{sys.executable} -m pip install ipykernel'")
        return 1
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "kernel.json"), "w", encoding="utf-8") as file:
            json.dump(spec(options["--display-name"]), file, indent=1)
        where = manager.install_kernel_spec(
            folder, options["--name"], user="--user" in options, prefix=options["--prefix"] or None
        )
    print(f"the kernel {options['--display-name']!r} is in {where}")
    return 0


def spec(display_name: str) -> dict[str, object]:
    """Return the contents of kernel.json."""
    return {
        "argv": [sys.executable, "-m", "hasten", "run", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": display_name,
        "language": "python",
        # each cell that computes blocks the loop, and is meant to
        "env": {"HASTEN_WATCH": "0"},
        "metadata": {"debugger": True},
    }


def _options(words: Sequence[str]) -> dict[str, str]:
    found = dict(_VALUES)
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=")
        if option in ("--user", "--sys-prefix") and not equals:
            found[option] = ""
        elif option in _VALUES:
            found[option] = value if equals else next(rest, "")
            if not found[option]:
                raise UsageError(f"jupyter install {option} needs a value")
        else:
            raise UsageError(f"jupyter install has no option {word!r}; see 'hasten jupyter --help'")
    if ("--user" in found) + ("--sys-prefix" in found) + bool(found["--prefix"]) > 1:
        raise UsageError("jupyter install takes one of --user, --sys-prefix and --prefix")
    if "--user" not in found and not found["--prefix"]:
        found["--prefix"] = sys.prefix
    return found
