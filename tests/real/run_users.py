"""Runs programs that use a library for what it is made for, on asyncio's loop and on hasten's, and compares.

    python tests/real/run_users.py                                    all of them that can be had
    python tests/real/run_users.py redis_client --way install         one, in one way (and on asyncio's loop)
    python tests/real/run_users.py redis_client --verbose             with what it printed, and what is wrong
    python tests/real/run_users.py --record build/users/records       writes what came out on this interpreter, as JSON
    python tests/real/run_users.py --report build/users/records       writes docs/conformance.md from such records

The programs stand in tests/real/users. The libraries are fetched from the package index, each into an environment of
its own in build/users. PostgreSQL, Redis and nginx have to be installed (Debian: postgresql, redis-server, nginx); they
are started as children, on the loopback interface and on unix sockets, with their files in a folder for the time being.

There are three ways beside asyncio's loop: "loop" puts hasten's loop where a program chooses none, "install" calls
hasten.install() before anything is imported (both also in the processes that it starts), "run" is `hasten run`.

Exit status 1 when a program that comes to its end on asyncio's loop does not on hasten's, prints anything else, or
complains of more, without a known reason.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from suites import database, fetching, report, users  # noqa: E402 - found through the line above
from suites.users import USERS, WAYS, Outcome, User  # noqa: E402

CACHE = fetching.ROOT / "build" / "users"
BEGIN, END = "<!-- users:begin -->", "<!-- users:end -->"
VERSIONS = "import importlib.metadata, sys; print(*map(importlib.metadata.version, sys.argv[1:]))"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="*", help=f"some of {', '.join(USERS)}; default: all")
    parser.add_argument("--way", choices=WAYS[1:], action="append", help="default: all three")
    parser.add_argument("--verbose", action="store_true", help="print what the programs print")
    parser.add_argument("--record", type=Path, help="a folder to write what came out to")
    parser.add_argument(
        "--report", type=Path, help="write docs/conformance.md from the records in a folder; runs nothing"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.program) - set(USERS)
    if unknown:
        parser.error(f"no such program: {', '.join(sorted(unknown))}; there are {', '.join(USERS)}")
    return arguments


def _compare(user: User, ways: list[str], verbose: bool, stack: ExitStack) -> dict[str, Any]:
    """Runs a program on asyncio's loop and in each way, and returns its row of the table."""
    if user.missing:
        raise fetching.Unavailable(user.missing)
    variables = {"USERS_DATABASE": stack.enter_context(database.server())} if user.database else {}
    python = fetching.environment(user.name, list(user.requirements), CACHE)
    found = subprocess.run([python, "-c", VERSIONS, *user.libraries], capture_output=True, text=True, check=True)
    versions = [f"{name} {version}" for name, version in zip(user.libraries, found.stdout.split(), strict=True)]
    cells, notes = {}, []
    stock: Outcome | None = None
    for way in ("asyncio", *ways):
        outcome = users.run(user, way, python, variables)
        fault = outcome.fault(stock)
        stock = stock or outcome
        reason = user.known.get(way, "")
        if fault and way != "asyncio":
            notes.append(f"{way}: {reason or fault}")
        cells[way] = "passed" if not fault else "fails" if way == "asyncio" or not reason else "differs"
        print(f"{user.name} {way}: {fault or 'passed'}", flush=True)
        if verbose or fault:
            print("".join(f"    {line}\n" for line in (outcome.output + outcome.errors).splitlines()[-100:]), end="")
    used, does = user.does
    return {
        "program": user.name,
        "libraries": ", ".join(versions),
        "python": sys.version.split()[0],
        "used": used,
        "does": does,
        "ways": cells,
        "notes": notes,
    }


def _good(row: dict[str, Any]) -> bool:
    """What ends on asyncio's loop ends on hasten's; what cannot be run on asyncio's says nothing of hasten."""
    return row["ways"]["asyncio"] != "passed" or "fails" not in row["ways"].values()


def table(rows: list[dict[str, Any]]) -> str:
    """A row for each program and Python."""
    lines = [
        report.line(["libraries", "Python", "what is done", *WAYS, "note"]),
        report.line(["---"] * (4 + len(WAYS))),
    ]
    for row in sorted(rows, key=lambda each: (each["libraries"], each["program"], report.version(each["python"]))):
        does = f"{row['used']}: {row['does']}"
        note = "; ".join(row["notes"]).replace("|", "\\|")
        lines.append(
            report.line([row["libraries"], row["python"], does, *(row["ways"].get(w, "") for w in WAYS), note])
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    arguments = _arguments()
    if arguments.report:
        report.put(report.PAGE, BEGIN, END, table(report.records(arguments.report)))
        print(report.PAGE)
        return 0
    rows: list[dict[str, Any]] = []
    missing = []
    for name in arguments.program or USERS:
        try:
            with ExitStack() as stack:
                rows.append(_compare(USERS[name], arguments.way or list(WAYS[1:]), arguments.verbose, stack))
        except fetching.Unavailable as error:
            missing.append(f"{name} is not run: {error}")
            print(missing[-1], flush=True)
    if rows:
        print("\n" + table(rows))
    print("".join(line + "\n" for line in missing), end="")
    if arguments.record and rows:
        print(report.record(arguments.record, rows, "program"))
    # what was asked for by name has to be there
    return 1 if (missing and (arguments.program or not rows)) or not all(map(_good, rows)) else 0


if __name__ == "__main__":
    sys.exit(main())
