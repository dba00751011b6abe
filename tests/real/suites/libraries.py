"""Which suites are run, how, and which of their tests end otherwise on hasten, with the reason."""

from __future__ import annotations

from dataclasses import dataclass, field

WAYS = ("loop", "install")  # see programs/suite.py
# pytest's options of a library's own are left out: they start many processes and measure what of the code is run.
PYTEST = ("-o", "addopts=", "-q", "-p", "no:xdist", "-p", "no:randomly")


@dataclass(frozen=True)
class Known:
    """Tests that end otherwise, and rightly so: the beginning of their ids."""

    beginning: str
    reason: str
    ways: tuple[str, ...] = WAYS


@dataclass(frozen=True)
class Library:
    """A library, of which the tests of one version are run."""

    name: str
    version: str
    # Where its tests are: in the "installed" package, in its "sdist", or in its repository only, of which the user
    # gives a "checkout".
    tests_in: str
    runner: str  # a module to run, as with `python -m`
    arguments: tuple[str, ...] = ()  # options for the runner, in all runs
    everything: tuple[str, ...] = ()  # what it is given to run all tests
    requirements: tuple[str, ...] = ()
    # A folder of the source that would hide the installed package, with its compiled parts.
    hides: str = ""
    variables: dict[str, str] = field(default_factory=dict)
    database: bool = False
    known: tuple[Known, ...] = ()

    @property
    def label(self) -> str:
        return f"{self.name} {self.version}"


LIBRARIES = {
    library.name: library
    for library in (
        Library(
            name="tornado",
            version="6.6.1",
            tests_in="installed",
            runner="tornado.test",
            requirements=("tornado==6.6.1", "hypothesis"),
            variables={"ASYNC_TEST_TIMEOUT": "25"},
        ),
        Library(
            name="websockets",
            version="17.0.1",
            tests_in="checkout",
            runner="unittest",
            requirements=("websockets==17.0.1", "python-socks[asyncio]", "trio", "mitmproxy"),
            variables={"PYTHONASYNCIODEBUG": "1", "WEBSOCKETS_TESTS_TIMEOUT_FACTOR": "10"},
        ),
        Library(
            name="psycopg",
            version="3.3.4",
            tests_in="checkout",
            runner="pytest",
            arguments=(*PYTEST, "--timeout=60"),
            # Of those without "asyncio" in their names none has a loop.
            everything=("-k", "asyncio", "tests"),
            requirements=(
                *("psycopg==3.3.4", "psycopg-binary==3.3.4", "psycopg-pool==3.3.1"),
                *("anyio", "dnspython", "pproxy", "pytest", "pytest-timeout"),
            ),
            database=True,
        ),
        Library(
            name="aiohttp",
            version="3.14.5",
            tests_in="sdist",
            runner="pytest",
            arguments=(*PYTEST, "--timeout=60"),
            # But for those of speed, those that import one module after the other, each in a process of its own, and
            # those that are meant for `python -X dev`.
            everything=(
                *("-m", "not dev_mode and not autobahn and not internal"),  # as in its own settings
                *("--ignore-glob=tests/test_benchmarks_*", "--ignore=tests/autobahn"),
                *("--ignore=tests/test_circular_imports.py", "tests"),
            ),
            hides="aiohttp",
            requirements=(
                *("aiohttp==3.14.5", "aiodns", "blockbuster", "brotli", "freezegun", "proxy.py", "trustme", "zlib_ng"),
                *("isal; python_version < '3.14'", "gunicorn", "pkgconfig", "setuptools-git"),
                # its settings name a warning of coverage's, and pytest imports what they name
                *("coverage", "pytest", "pytest-codspeed", "pytest-mock", "pytest-timeout", "pytest-xdist"),
            ),
        ),
    )
}
