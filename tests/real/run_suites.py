"""Runs the own tests of tornado, websockets, psycopg and aiohttp on asyncio's loop and on hasten's, and compares.

    python tests/real/run_suites.py                                   all of them that can be had
    python tests/real/run_suites.py aiohttp --way loop --list         one, with the names of tests that end otherwise
    python tests/real/run_suites.py websockets --checkout websockets=FOLDER
    python tests/real/run_suites.py tornado --only tornado.test.gen_test        one part of it, as its runner names it
    python tests/real/run_suites.py --record build/suites/records     writes the counts of this interpreter, as JSON
    python tests/real/run_suites.py --report build/suites/records     writes docs/conformance.md from such records

What is needed is fetched from the package index into build/suites. The distributions of websockets and psycopg come
without the tests: these need a checkout of the library's repository (its tag of the right version is taken, from the
repository's Git data), and psycopg needs PostgreSQL's programs.

There are two ways: "loop" puts hasten's loop where programs choose none, "install" calls hasten.install() before
anything is imported. A test that passes on asyncio's loop and not on hasten's is run again, without the others, three
times on each: if it then passes as often as on asyncio's loop, it failed "only among others", which is no error.

Exit status 1 when a test ends otherwise without a known reason, or when a run did not come to its end.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from suites import comparing, database, fetching, report  # noqa: E402 - found through the line above
from suites.libraries import LIBRARIES, WAYS, Library  # noqa: E402
from suites.running import Suite  # noqa: E402


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", nargs="*", help=f"some of {', '.join(LIBRARIES)}; default: all")
    parser.add_argument("--way", choices=WAYS, action="append", help="default: both")
    parser.add_argument(
        "--checkout", action="append", default=[], metavar="LIBRARY=FOLDER", help="its repository, or files of it"
    )
    parser.add_argument("--only", action="append", default=[], help="a test, class, module or file; default: all")
    parser.add_argument("--list", action="store_true", help="list the tests that end otherwise")
    parser.add_argument("--verbose", action="store_true", help="like --list, with the tracebacks")
    parser.add_argument("--record", type=Path, help="a folder to write the counts to")
    parser.add_argument(
        "--report", type=Path, help="write docs/conformance.md from the records in a folder; runs nothing"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.library) - set(LIBRARIES)
    if unknown:
        parser.error(f"no such library: {', '.join(sorted(unknown))}; there are {', '.join(LIBRARIES)}")
    pairs = [text.partition("=") for text in arguments.checkout]
    wrong = [name + mark + folder for name, mark, folder in pairs if name not in LIBRARIES or not folder]
    if wrong:
        parser.error(f"--checkout takes LIBRARY=FOLDER, not {', '.join(wrong)}")
    arguments.checkouts = {name: Path(folder) for name, _, folder in pairs}
    return arguments


def _source(library: Library, checkouts: dict[str, Path]) -> Path:
    """The folder to run a library's tests in."""
    name, version, cache = library.name, library.version, fetching.CACHE / "sources"
    if name in checkouts:
        return fetching.checkout(name, version, checkouts[name], cache)
    if library.tests_in == "checkout":
        raise fetching.Unavailable(f"what the package index has comes without tests: give --checkout {name}=FOLDER")
    if library.tests_in == "installed":
        cache.mkdir(parents=True, exist_ok=True)
        return cache
    return fetching.sdist(name, version, cache, without=library.hides)


def _compare(library: Library, arguments: argparse.Namespace, stack: ExitStack) -> list[dict[str, Any]]:
    """Runs one library's tests, on asyncio's loop and then in each way; prints what ended otherwise."""
    source = _source(library, arguments.checkouts)
    variables = dict(library.variables)
    if library.database:
        variables["PSYCOPG_TEST_DSN"] = stack.enter_context(database.server())
    python = fetching.environment(library.name, list(library.requirements), fetching.CACHE)
    suite = Suite(library, source, python, variables)
    only = tuple(arguments.only)
    print(f"{library.label}: on asyncio's loop…", flush=True)
    stock = suite.run("asyncio", only)
    rows = []
    for way in arguments.way or WAYS:
        print(f"{library.label}: {way}…", flush=True)
        found = comparing.compare(way, stock, suite.run(way, only), library.known, suite.run)
        rows.append({**report.summary(library.label, found), "good": found.good})
        print(report.table(rows[-1:]), end="", flush=True)
        if arguments.list or arguments.verbose or not found.good:
            print(report.details(found, arguments.verbose), end="", flush=True)
    return rows


def main() -> int:
    arguments = _arguments()
    if arguments.report:
        print(report.write_page(arguments.report))
        return 0
    rows: list[dict[str, Any]] = []
    missing = []
    for name in arguments.library or LIBRARIES:
        try:
            with ExitStack() as stack:
                rows += _compare(LIBRARIES[name], arguments, stack)
        except fetching.Unavailable as error:
            missing.append(f"{name} is not run: {error}")
            print(missing[-1], flush=True)
    if rows:
        print("\n" + report.table(rows))
    print("".join(line + "\n" for line in missing), end="")
    if arguments.record and rows:
        print(report.record(arguments.record, rows))
    # what was asked for by name has to be there
    return 1 if (missing and (arguments.library or not rows)) or not all(row["good"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
