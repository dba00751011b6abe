"""`hasten trace`: a recording as one HTML file, or in the form that Perfetto opens."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from hasten.cli.usage import UsageError, tell
from hasten.diagnosis import trace_file, trace_page

HELP = """\
usage: hasten trace FILE [--output OUT]
       hasten trace FILE --perfetto [--output OUT]

FILE is a recording, as 'hasten run --trace FILE PROGRAM.py' or hasten.trace(FILE) writes it.

Without options it makes FILE.html: one file, which needs nothing else, with a lane for each task and for the loop,
who woke whom, and what took long. Open it in a browser: the wheel zooms, dragging moves, a click tells all of a step.

  --perfetto     make FILE.perfetto.json instead, which ui.perfetto.dev and chrome://tracing open
  --output OUT   the file to make; '-' is standard output
"""


def main(words: Sequence[str]) -> int:
    """Make the file that is asked for, print its name, and return the exit status."""
    if any(word in ("-h", "--help") for word in words):
        print(HELP, end="")
        return 0
    file, output, perfetto = _parse(words)
    try:
        found = trace_file.read(file)
        text = json.dumps(trace_file.perfetto(found)) if perfetto else trace_page.page(found, file.name)
        if output != "-":
            made = Path(output or f"{file}.perfetto.json" if perfetto else output or f"{file}.html")
            made.write_text(text, encoding="utf-8")
    except trace_file.TraceError as exc:
        tell(f"hasten: {exc}")
        return 1
    except OSError as exc:
        tell(f"hasten: {exc.filename or file}: {exc.strerror}")
        return 1
    if output == "-":
        _to_stdout(text + "\n")
        return 0
    print(f"wrote {made}".encode(errors="backslashreplace").decode())  # a name may be no text
    return 0


def _to_stdout(text: str) -> None:
    """Write a file's text as the file would have it, whatever the terminal's encoding is."""
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        sys.stdout.write(text)
    else:
        sys.stdout.flush()
        binary.write(text.encode())


def _parse(words: Sequence[str]) -> tuple[Path, str, bool]:
    files, output, perfetto = [], "", False
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--perfetto":
            perfetto = True
        elif word == "--output" or word.startswith("--output="):
            output = word.partition("=")[2] or (rest.pop(0) if word == "--output" and rest else "")
            if not output:
                raise UsageError("trace --output needs a file: 'hasten trace FILE --output OUT'")
        elif word.startswith("-"):
            raise UsageError(f"trace has no option {word!r}: see 'hasten trace --help'")
        else:
            files.append(word)
    if len(files) != 1:
        raise UsageError(f"trace shows one recording, not {len(files)}: 'hasten trace FILE'")
    return Path(files[0]), output, perfetto
