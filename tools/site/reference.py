"""The reference: a page for each topic, written from the signatures and docstrings of the package itself.

Docstrings are Markdown; "Arguments:" and "Raises:" become lists. Each public name has its place here: a name that
none of the topics has is an error.
"""

from __future__ import annotations

import asyncio
import enum
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import hasten
import hasten.testing
from hasten.aio import names
from hasten.cli import main as command

# Page → title, what it is about, names. `A name.` of hasten.testing carries its module.
TOPICS: dict[str, tuple[str, str, str]] = {
    "running": (
        "Running a program",
        "An event loop that lasts as long as the program, and ways to have other code use it.",
        "run Runner new_event_loop get_event_loop install uninstall",
    ),
    "tasks": (
        "Tasks, and waiting for them",
        "What runs concurrently, and how to wait for it.",
        "create_task Task sleep gather wait wait_for as_completed shield TaskGroup timeout timeout_at Timeout"
        " current_task all_tasks created_at to_thread run_coroutine_threadsafe",
    ),
    "locks": (
        "Locks, events, queues",
        "How tasks wait for each other, and hand things to each other. All of them belong to one event loop.",
        "Lock Event Condition Semaphore BoundedSemaphore Barrier Queue PriorityQueue LifoQueue QueueShutDown",
    ),
    "streams": (
        "Streams",
        "Connections as a reader and a writer.",
        "open_connection start_server open_unix_connection start_unix_server StreamReader StreamWriter"
        " StreamReaderProtocol",
    ),
    "subprocesses": (
        "Child processes",
        "Other programs, started and waited for without blocking the loop.",
        "create_subprocess_exec create_subprocess_shell",
    ),
    "loop": (
        "The event loop",
        "What frameworks and protocols are written with. Programs rarely need it: `run()` makes a loop and ends it.",
        "Loop EventLoop Handle TimerHandle",
    ),
    "futures": (
        "Futures and task factories",
        "What libraries are made of.",
        "Future ensure_future isfuture iscoroutine wrap_future eager_task_factory create_eager_task_factory"
        " future_add_to_awaited_by future_discard_from_awaited_by capture_call_graph format_call_graph"
        " print_call_graph FutureCallGraph FrameCallGraphEntry",
    ),
    "diagnosis": (
        "Diagnosis",
        "hasten's own additions; asyncio has none of them. Each has [a page that shows it](../diagnosis/index.md).",
        "watch inspect metrics all_metrics trace wait_graph WaitGraph tell_deadlocks tell_forgotten DeadlockError"
        " load_ipython_extension unload_ipython_extension",
    ),
    "testing": (
        "hasten.testing",
        "Names of the module `hasten.testing`: see [the pages that show them](../testing/index.md).",
        "testing.virtual_time testing.Deadlock testing.schedule testing.schedules testing.explore testing.find",
    ),
}
# The same object by a second name.
ALIASES = {"EventLoop": "Loop"}

# asyncio says nothing of these.
INHERITED = {
    ("StreamReader", "exception"): "The exception that ended the connection, or None.",
    ("StreamReader", "feed_data"): "Take bytes that were received: for protocols and tests.",
    ("StreamReader", "feed_eof"): "Take the end of what is received: for protocols and tests.",
    ("StreamReader", "set_exception"): "Have all reads raise this exception from now on.",
    ("StreamReader", "set_transport"): "Name the transport to be paused when too much is buffered.",
    ("StreamWriter", "can_write_eof"): "True if this side can be ended by write_eof().",
    (
        "StreamWriter",
        "close",
    ): "Close it, once what was written has been sent; await wait_closed() after it.",
    ("StreamWriter", "get_extra_info"): "What the transport knows: `peername`, `sockname`, `socket`, `ssl_object`…",
    ("StreamWriter", "is_closing"): "True if it is closed, or being closed.",
    ("StreamWriter", "transport"): "The transport below.",
    ("StreamWriter", "wait_closed"): "Wait until the connection is closed; raise what went wrong with it.",
    ("StreamWriter", "write"): "Send bytes, now or as soon as the other side takes them; await drain() after it.",
    ("StreamWriter", "write_eof"): "End this side, once what was written has been sent; the other may go on sending.",
    ("StreamWriter", "writelines"): "Send the pieces of an iterable, one after the other, as write() does.",
    ("FutureCallGraph", "awaited_by"): "The graphs of those who wait for it.",
    ("FutureCallGraph", "call_stack"): "Where its coroutine stands, innermost frame first.",
    ("FutureCallGraph", "future"): "The future or task.",
    ("FrameCallGraphEntry", "frame"): "The frame.",
    ("WaitGraph", "nodes"): "Tasks, futures, and what else is waited for.",
    ("WaitGraph", "edges"): "Who waits for whom, and how.",
    ("WaitGraph", "by_key"): "The nodes by their keys.",
}

_SECTION = re.compile(r"^(Arguments|Raises|Returns|Yields):\n((?:    .*\n?|\n)+)", re.MULTILINE)
_ENTRY = re.compile(r"^    ([\w.*, ]+?): ((?:.*\n?)(?:^      +.*\n?)*)", re.MULTILINE)
_FIELD = {"Arguments": "param", "Raises": "raises"}


class _Name(str):
    """A default whose repr is what the program would write."""

    def __repr__(self) -> str:
        return str(self)


def _signature(thing: Any, *, method: bool = False) -> str:
    try:
        found = inspect.signature(thing)
    except (TypeError, ValueError):
        return "()"
    parameters = []
    for number, each in enumerate(found.parameters.values()):
        if method and number == 0 and each.name in ("self", "cls"):
            continue
        default = each.default
        if isinstance(default, enum.Enum):
            default = _Name(f"{type(default).__name__}.{default.name}")
        elif default is not each.empty and re.search(r" at 0x|^<", repr(default)):
            default = _Name("...")
        parameters.append(each.replace(default=default))
    text = str(found.replace(parameters=parameters))
    text = re.sub(r"(: |-> )(['\"])(.*?)\2(?=[,)]| =|$)", r"\1\3", text)
    return re.sub(r"~?\b(typing|collections\.abc|asyncio\.events)\.", "", text)


def _documentation(text: str, signature: str = "") -> str:
    """A docstring as MyST: its sections become field lists, and so do what is said of the signature's parameters."""

    def section(match: re.Match[str]) -> str:
        title, body = match.groups()
        if title not in _FIELD:
            return f"**{title}:** {' '.join(body.split())}\n"
        fields = [
            f":{_FIELD[title]} {name.strip()}: {' '.join(what.split())}"
            for name, what in _ENTRY.findall(body if body.endswith("\n") else body + "\n")
        ]
        return "\n".join(fields) + "\n"

    text = _parameters(_SECTION.sub(section, text + "\n").strip(), signature)
    # `<` begins no HTML; what stands between backticks is as it is
    return re.sub(r"(`[^`]*`)|<", lambda match: match[1] or r"\<", text)


def _parameters(text: str, signature: str) -> str:
    """Paragraphs that go through the parameters ("`name`: …. `other`: …") become field lists too."""
    names = set(re.findall(r"\w+", signature))

    def paragraph(part: str) -> str:
        pieces = re.split(r"(?:^|(?<=[.;)] ))`(\w+)`: ", " ".join(part.split()))
        if pieces[0] or len(pieces) < 3 or not names.issuperset(pieces[1::2]):
            return part
        pairs = zip(pieces[1::2], pieces[2::2], strict=True)
        return "\n".join(f":param {name}: {what.strip()}" for name, what in pairs)

    return "\n\n".join(map(paragraph, re.split(r"\n{2,}", text)))


def _directive(kind: str, signature: str, body: list[str], depth: int) -> list[str]:
    colons = ":" * depth
    return [f"{colons}{{py:{kind}}} {signature}", "", *body, colons, ""]


def _is_public(cls: type, name: str) -> bool:
    if name.startswith("_"):
        return False
    # what asyncio's exceptions and object have is known
    return any(name in vars(each) for each in cls.__mro__ if each not in (object, BaseException, Exception))


def _members(cls: type) -> Iterator[tuple[str, str, str, str]]:
    """Yield kind, name, signature and documentation of each public method and attribute."""
    for name in sorted(filter(lambda name: _is_public(cls, name), dir(cls))):
        static = inspect.getattr_static(cls, name)
        text = INHERITED.get((cls.__name__, name)) or inspect.getdoc(getattr(cls, name)) or ""
        if isinstance(static, staticmethod | classmethod):
            kind = "staticmethod" if isinstance(static, staticmethod) else "classmethod"
            yield kind, name, _signature(getattr(cls, name)), text
        elif callable(static) and not isinstance(static, type):
            asynchronous = inspect.iscoroutinefunction(inspect.unwrap(static))
            yield ("async method" if asynchronous else "method"), name, _signature(static, method=True), text
        elif not isinstance(static, type):
            yield "attribute", name, "", text if inspect.isdatadescriptor(static) else ""


def _class(name: str, cls: Any) -> list[str]:
    body = [_documentation(inspect.getdoc(cls) or "", _signature(cls))]
    base = next((each for each in cls.__mro__[1:] if each.__module__.startswith("asyncio")), None)
    if base is not None and issubclass(cls, BaseException):
        body += ["", f"A subclass of `asyncio.{base.__name__}`."]
    body.append("")
    for kind, member, signature, text in _members(cls):
        kind, _, rest = kind.partition(" ")
        if rest:  # an async method
            body += [f":::{{py:{rest}}} {member}{signature}", ":async:", "", _documentation(text, signature), ":::", ""]
        else:
            body += _directive(kind, f"{member}{signature}", [_documentation(text, signature)], 3)
    kind = "exception" if issubclass(cls, BaseException) else "class"
    plain = issubclass(cls, BaseException) and cls.__init__ in (BaseException.__init__, Exception.__init__)
    return _directive(kind, name if plain else f"{name}{_signature(cls)}", body, 4)


def _entry(name: str) -> list[str]:
    module, _, last = name.rpartition(".")
    thing = getattr(hasten.testing if module else hasten, last)
    if name in ALIASES:
        return _directive("class", name, [f"{{py:class}}`{ALIASES[name]}`, by the name that asyncio 3.13 gave its."], 3)
    if isinstance(thing, type):
        return _class(last, thing)
    text = inspect.getdoc(thing)
    if not text:
        raise LookupError(f"{name} has no docstring")
    return _directive("function", f"{last}{_signature(thing)}", [_documentation(text, _signature(thing))], 3)


def _page(title: str, about: str, wanted: list[str]) -> str:
    module = "hasten.testing" if wanted[0].startswith("testing.") else "hasten"
    lines = [f"# {title}", "", about, "", f":::{{py:currentmodule}} {module}", ":::", ""]
    for name in wanted:
        lines += _entry(name)
    return "\n".join(lines)


def _interpreters() -> str:
    """The page of the names that are the interpreter's own objects."""
    url = "https://docs.python.org/3/library/asyncio.html"
    lines = [
        "# Names that are asyncio's own",
        "",
        f"These are the interpreter's own objects, so that `except` and `isinstance` hold for both packages: see"
        f" [its documentation]({url}).",
        "",
        "| name | what it is |",
        "| --- | --- |",
    ]
    for name in sorted(n for n, home in names.HOMES.items() if home == "asyncio" and not n.startswith("_")):
        thing = getattr(asyncio, name, None) or getattr(hasten, name)
        text = (
            (inspect.getdoc(thing) or "").split("\n\n")[0] if not isinstance(thing, str) else "a constant of `wait()`"
        )
        lines.append(f"| `{name}` | {' '.join(text.split()).replace('|', '/').replace('<', chr(92) + '<')} |")
    return "\n".join([*lines, ""])


def _commands() -> str:
    """The page of the command line: what each verb's --help prints."""
    lines = ["# The hasten command", "", "What `hasten --help` and each verb's `--help` print."]
    for verb in ("", *command.VERBS):
        words = [*([verb] if verb else []), "--help"]
        run = [sys.executable, "-W", "error", "-m", "hasten", *words]
        done = subprocess.run(run, capture_output=True, text=True, check=True)
        title = f"hasten {verb}" if verb else "The command"
        lines += ["", f"## {title}", "", "```console", f"$ hasten {' '.join(words)}", done.stdout.rstrip(), "```"]
    return "\n".join([*lines, ""])


def pages() -> dict[str, str]:
    """Return the pages: name in the site → Markdown.

    Raises:
        LookupError: a public name has no place, or no docstring.
    """
    wanted = {page: listed.split() for page, (_, _, listed) in TOPICS.items()}
    placed = {name for listed in wanted.values() for name in listed}
    own = {name for name, home in names.HOMES.items() if home != "asyncio"} | set(names.COMPANIONS)
    own |= {"install", "uninstall"} | {f"testing.{name}" for name in hasten.testing.__all__}
    if lost := sorted(own - placed):
        raise LookupError(f"tools/site/reference.py has no place for {', '.join(lost)}")
    made = {}
    index = ["# Reference", "", "Every public name, from its docstring.", "", "| page | names |", "| --- | --- |"]
    for page, (title, about, _) in TOPICS.items():
        made[f"reference/{page}.md"] = _page(title, about, wanted[page])
        index.append(f"| [{title}]({page}.md) | {', '.join(f'`{name}`' for name in wanted[page])} |")
    made["reference/asyncio.md"] = _interpreters()
    made["reference/command.md"] = _commands()
    index += [
        "| [Names that are asyncio's own](asyncio.md) | exceptions, abstract classes, protocols, transports |",
        "| [The hasten command](command.md) | `hasten run`, `ps`, `dump`, `top`, `trace`, `doctor` |",
        "",
    ]
    made["reference/index.md"] = "\n".join(index)
    return made
