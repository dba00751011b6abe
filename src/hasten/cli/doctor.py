"""`hasten doctor`: one screen about how hasten works on this machine."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Sequence

from hasten.cli.usage import UsageError, tell
from hasten.diagnosis.doctor import Examination, examine

HELP = """\
usage: hasten doctor [--json]

Shows the version, whether hasten is compiled, poller, TLS engine, and the limits of this machine; then what should be
otherwise, and what to do about it. Everything is looked at as it is for this very command: start it in the way, with
the user, the environment and the limits, in which your program is started.

  --json    the same as one JSON object: {"facts": [{"topic", "name", "value", "text"}, …],
            "findings": [{"about", "problem", "remedy"}, …]}

The exit status is 0, also if there is something to mend, and 1 if the facts cannot be had at all.
"""

NAME_WIDTH = 15


def main(words: Sequence[str]) -> int:
    """Print what examine() finds, and return the exit status."""
    if any(word in ("-h", "--help") for word in words):
        print(HELP, end="")
        return 0
    unknown = [word for word in words if word != "--json"]
    if unknown:
        raise UsageError(f"doctor has no argument {unknown[0]!r}: 'hasten doctor' or 'hasten doctor --json'")
    try:
        examination = examine()
    except Exception as error:
        tell(f"hasten: the facts cannot be had: {type(error).__name__}: {error}")
        return 1
    if words:
        print(json.dumps(examination.as_dict(), indent=2))
    else:
        print(as_text(examination, shutil.get_terminal_size((100, 24)).columns))
    return 0


def as_text(examination: Examination, width: int) -> str:
    """Return what is shown on a screen of `width` columns."""
    width = max(min(width, 120), 40)
    lines: list[str] = []
    topic = None
    for fact in examination.facts:
        if fact.topic != topic:
            topic = fact.topic
            lines += [topic]
        lines += _wrapped(f"  {fact.name:<{NAME_WIDTH}} ", fact.text, width)
    if not examination.findings:
        lines += ["", "Nothing to mend was found."]
    else:
        lines += ["", "to mend"]
    for number, finding in enumerate(examination.findings, 1):
        lines += _wrapped(f"{number:>3}. ", finding.problem, width)
        lines += _wrapped("     → ", finding.remedy, width)
    return "\n".join(lines)


def _wrapped(label: str, text: str, width: int) -> list[str]:
    indent = " " * len(label)
    found = textwrap.wrap(
        text, width, initial_indent=label, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return found or [label.rstrip()]
