"""What `hasten doctor` shows: how hasten works in this process and on this machine, and what stands in its way.

`examine()` collects facts, by asking the very functions that a loop asks when it is made, and judges them. The judging
(`findings()`) looks at nothing but the facts.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
import platform
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hasten import compat
from hasten.aio import other_loops, uvloop_name
from hasten.aio.install import chosen_policy
from hasten.core import departures, report
from hasten.diagnosis import machine
from hasten.diagnosis.machine import Fact, Files
from hasten.net import dns
from hasten.poll import choice

_SWITCH = ("0", "1")
# The variables that hasten looks at, and the values that each can have; None: any.
VARIABLES: dict[str, tuple[str, ...] | None] = {
    choice.VARIABLE: choice.NAMES,
    departures.VARIABLE: _SWITCH,
    "HASTEN_INSPECT": _SWITCH,
    "HASTEN_WATCH": None,
    "HASTEN_ORIGINS": None,
    "HASTEN_SEED": None,
    uvloop_name.VARIABLE: (uvloop_name.KEEP,),
    other_loops.VARIABLE: _SWITCH,
    "HASTEN_NO_EXTENSIONS": None,  # these two: when it is built
    "HASTEN_SANITIZE": None,
    "HASTEN_POOLS": None,
}
# Companions that have a line to add: how() of the module says in one line how it works here.
COMPANIONS = {"watch": "hasten.diagnosis.watch", "inspect": "hasten.diagnosis.inspecting"}
ENOUGH_FILES = 65536
ENOUGH_BACKLOG = 4096
FEW_PORTS = 20000
FEW_THREADS = 256
FEW_WATCHES = 65536


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that should be otherwise: what it is and what it does, and what to do about it."""

    about: str  # the name of the fact
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Examination:
    """The facts, and what is to be said of them."""

    facts: tuple[Fact, ...]
    findings: tuple[Finding, ...]

    def __getitem__(self, name: str) -> Any:
        """The value of the fact of this name. Raises KeyError if it could not be had here."""
        for fact in self.facts:
            if fact.name == name:
                return fact.value
        raise KeyError(name)

    def as_dict(self) -> dict[str, Any]:
        """Return all of it as dicts and lists that can be written as JSON."""
        return {"facts": [asdict(fact) for fact in self.facts], "findings": [asdict(each) for each in self.findings]}


def examine(*, files: Files | None = None, environment: Mapping[str, str] | None = None) -> Examination:
    """Return what there is to say of this process and its machine. A loop is not needed, and none is made.

    `files` and `environment` stand for the kernel's files and for os.environ in tests.
    """
    variables = os.environ if environment is None else environment
    found: list[Fact] = []
    for source in (*_sources(variables), *machine.sources(files or Files())):
        try:
            found += source()
        except Exception as error:  # a platform that answers as nobody foresaw: the other facts are wanted all the more
            text = f"{type(error).__name__}: {error}"
            found.append(Fact("not found out", getattr(source, "__name__", "?"), text, text))
    return Examination(tuple(found), tuple(findings({fact.name: fact.value for fact in found})))


# ---- the facts ----------------------------------------------------------------------------


def _sources(variables: Mapping[str, str]) -> list[Callable[[], Iterable[Fact]]]:
    """Return what finds the facts about hasten in this process."""
    return [
        _version,
        _python,
        _compiled,
        lambda: _poller(variables),
        _batch_writes,
        _tls,
        _threads,
        _policy,
        _debug,
        lambda: _environment(variables),
        _companions,
    ]


def _version() -> Iterator[Fact]:
    version = getattr(sys.modules.get("hasten"), "__version__", "unknown")
    yield Fact("hasten", "version", version, version)


def _threads() -> Iterator[Fact]:
    workers = dns.most_threads()
    yield Fact("hasten", "DNS threads", workers, f"at most {workers} for each loop, made at the first lookup")


def _policy() -> Iterator[Fact]:
    policy = chosen_policy()
    name = None if policy is None else f"{type(policy).__module__}.{type(policy).__qualname__}"
    yield Fact("hasten", "loop policy", name, name or "asyncio's own")


def _debug() -> Iterator[Fact]:
    debug = report.debug_by_default()
    yield Fact("hasten", "debug mode", debug, "on: PYTHONASYNCIODEBUG or -X dev is set" if debug else "off")


def _environment(variables: Mapping[str, str]) -> Iterator[Fact]:
    own = {name: value for name, value in sorted(variables.items()) if name.startswith("HASTEN")}
    yield Fact("hasten", "environment", own, " ".join(f"{n}={v}" for n, v in own.items()) or "no HASTEN_… variable")


def _companions() -> Iterator[Fact]:
    for name, home in COMPANIONS.items():
        text = _of_companion(home)
        if text is not None:
            yield Fact("hasten", name, text, text)


def _python() -> Iterator[Fact]:
    free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    text = f"{platform.python_implementation()} {platform.python_version()}, {sys.executable}"
    if free:
        gil = getattr(sys, "_is_gil_enabled", lambda: True)()
        text += ", a free-threaded build" + (" with the lock switched on" if gil else "")
    value = {"implementation": sys.implementation.name, "version": platform.python_version(), "free-threaded": free}
    yield Fact("hasten", "Python", value, text)


def _compiled() -> Iterator[Fact]:
    if compat.compiled():
        yield Fact("hasten", "compiled", True, "yes")
        return
    yield Fact("hasten", "compiled", False, f"no: {_why_not_compiled(Path(compat.__file__).parent)}")


def _why_not_compiled(package: Path) -> str:
    """Say why the extension modules are not there, by those that are."""
    if sys.implementation.name != "cpython":
        return f"{sys.implementation.name} is not CPython"
    if sys.platform == "win32":
        return "nothing is compiled on Windows"
    built = sorted({path.name.split(".")[1] for path in package.glob("kernel/*.so") if path.name.count(".") > 1})
    if built:
        own = str(sysconfig.get_config_var("EXT_SUFFIX")).split(".")[1]
        return f"what is compiled is for another Python: {', '.join(built)}, and this one is {own}"
    return "it was installed with HASTEN_NO_EXTENSIONS, or is a checkout without `make dev`"


def _poller(variables: Mapping[str, str]) -> Iterator[Fact]:
    asked = variables.get(choice.VARIABLE) or None
    try:
        poller = choice.make(asked or choice.NAMES[0])
    except (ValueError, OSError) as error:
        text = str(error).replace("poller=", f"{choice.VARIABLE}=", 1)
        yield Fact("hasten", "poller", {"name": None, "asked for": asked, "error": text}, text)
        return
    name = poller.name
    poller.close()
    source = f"by {choice.VARIABLE}" if asked else "the best that this platform has"
    others = [each for each in choice.NAMES if each != name]
    text = f"{name} ({source}" + (f"; {choice.VARIABLE} can choose: {', '.join(others)})" if others else ")")
    yield Fact("hasten", "poller", {"name": name, "asked for": asked, "error": None}, text)


def _batch_writes() -> Iterator[Fact]:
    try:
        on = departures.wanted(None)
    except ValueError as error:
        yield Fact("hasten", "batch writes", None, str(error))
        return
    text = "on: small writes leave together when a batch ends" if on else "off: each write is sent at once"
    yield Fact("hasten", "batch writes", on, text)


def _tls() -> Iterator[Fact]:
    try:
        import ssl
    except ImportError as error:
        yield Fact("hasten", "TLS", None, f"none: this Python has no ssl module ({error})")
        return
    yield Fact("hasten", "TLS", ssl.OPENSSL_VERSION, f"asyncio.sslproto with {ssl.OPENSSL_VERSION}")


def _of_companion(home: str) -> str | None:
    """Return what a companion says of itself, or None if there is no such companion, or nothing to say."""
    try:
        if importlib.util.find_spec(home) is None:
            return None
        how = getattr(importlib.import_module(home), "how", None)
        return None if how is None else str(how())
    except Exception as error:
        return f"cannot tell: {type(error).__name__}: {error}"


# ---- what is to be said of them -----------------------------------------------------------


def findings(facts: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield what should be otherwise. `facts`: values by the names of the facts; those that are missing say nothing."""
    for judge in (_judge_hasten, _judge_variables, _judge_files, _judge_network, _judge_machine):
        yield from judge(facts)


def _judge_hasten(facts: Mapping[str, Any]) -> Iterable[Finding]:
    if facts.get("compiled") is False:
        yield Finding(
            "compiled",
            "hasten runs as plain Python here, several times slower than it could.",
            "Install a C compiler and the interpreter's headers, then `pip install --force-reinstall --no-binary "
            "hasten hasten` with this very Python, without HASTEN_NO_EXTENSIONS.",
        )
    poller = facts.get("poller") or {}
    if poller.get("error"):
        yield Finding(
            "poller",
            f"No loop can be made: {poller['error']}.",
            f"Unset {choice.VARIABLE}, or set {choice.VARIABLE}=selectors.",
        )
    if facts.get("debug mode"):
        yield Finding(
            "debug mode",
            "Debug mode is on, by PYTHONASYNCIODEBUG or -X dev: every task and callback costs several times as much.",
            "Unset PYTHONASYNCIODEBUG and PYTHONDEVMODE, and leave out -X dev, in production.",
        )
    if facts.get("loop policy"):
        yield Finding(
            "loop policy",
            f"An event loop policy is set, {facts['loop policy']}: run() and new_event_loop() ask it, and the loops "
            "that it makes are not hasten's.",
            "Remove the call of set_event_loop_policy() (or uvloop.install()), or call hasten.install() after it.",
        )


def _judge_variables(facts: Mapping[str, Any]) -> Iterable[Finding]:
    for name, value in (facts.get("environment") or {}).items():
        if name not in VARIABLES:
            near = difflib.get_close_matches(name, VARIABLES, 1, 0.75)
            remedy = f"Is {near[0]} meant?" if near else f"Those that there are: {', '.join(VARIABLES)}."
            yield Finding("environment", f"{name} is set, and hasten knows no such variable.", remedy)
            continue
        allowed = VARIABLES[name]
        if name != choice.VARIABLE and allowed is not None and value not in ("", *allowed):  # the poller has its own
            yield Finding("environment", f"{name}={value} is no value of it.", f"It can be {' or '.join(allowed)}.")


def _judge_files(facts: Mapping[str, Any]) -> Iterable[Finding]:
    files = facts.get("files") or {}
    soft, hard, count = files.get("soft"), files.get("hard"), files.get("open")
    if soft is not None and soft <= 1024:
        most = ENOUGH_FILES if hard is None else min(hard, ENOUGH_FILES)
        yield Finding(
            "files",
            f"At most {soft} files can be open, and each connection is one: more fail with “Too many open files”.",
            f"`ulimit -n {most}` before the program starts, or LimitNOFILE={most} in its systemd unit, or "
            f"`--ulimit nofile={most}` for docker; or in the program: "
            f"resource.setrlimit(resource.RLIMIT_NOFILE, ({most}, {'hard' if hard is None else hard})).",
        )
    elif soft is not None and count is not None and count > 0.8 * soft:
        yield Finding(
            "files", f"{count} of at most {soft} files are open.", "Raise the limit, or look for what is not closed."
        )


def _judge_network(facts: Mapping[str, Any]) -> Iterable[Finding]:
    backlog, ports = facts.get("backlog"), facts.get("ports") or {}
    if backlog is not None and backlog < 1024:
        yield Finding(
            "backlog",
            f"At most {backlog} connections can wait to be accepted, whatever backlog= says: of more that come at once "
            "some are dropped, and their clients try again after a second.",
            f"`sysctl -w net.core.somaxconn={ENOUGH_BACKLOG}` (for docker: --sysctl …), "
            "and give start_server() a backlog= as large.",
        )
    if ports and ports["count"] < FEW_PORTS:
        yield Finding(
            "ports",
            f"Only {ports['count']} ports are there for connections that go out: to one address no more are possible "
            "at a time, and each stays taken for a minute after its end.",
            "`sysctl -w net.ipv4.ip_local_port_range='10240 65535'`, and keep connections for further requests.",
        )
    watches = facts.get("epoll watches")
    if watches is not None and watches < FEW_WATCHES:
        yield Finding(
            "epoll watches",
            f"All processes of this user together can watch {watches} files; one more fails with ENOSPC.",
            "`sysctl -w fs.epoll.max_user_watches=1000000`.",
        )


def _judge_machine(facts: Mapping[str, Any]) -> Iterable[Finding]:
    kernel = _release(facts.get("kernel"))
    if kernel is not None and kernel < (5, 3) and facts.get("sandbox") is None:
        yield Finding(
            "kernel",
            "This kernel is older than 5.3: it has no pidfd, so that a thread waits for each child process.",
            "Nothing has to be done; a newer kernel makes children cheaper.",
        )
    for name, why in (facts.get("refused calls") or {}).items():
        if name == "pidfd_open" and kernel is not None and kernel < (5, 3) and facts.get("sandbox") is None:
            continue
        yield Finding("refused calls", f"The system call {name} does not work here: {why}.", _about_call(name, facts))
    if facts.get("sandbox"):
        yield Finding(
            "sandbox",
            f"This runs in {facts['sandbox']}: each system call costs several times as much as on Linux itself.",
            "Nothing has to be done; figures of speed from here say little of other machines.",
        )
    threads = facts.get("threads") or {}
    if threads and threads["limit"] < FEW_THREADS:
        yield Finding(
            "threads",
            f"At most {threads['limit']} threads and processes can be there (set by: {threads['set by']}): "
            "to_thread(), name lookups and children fail beyond that.",
            "Raise TasksMax= in the systemd unit, --pids-limit for docker, or `ulimit -u`.",
        )
    quota = (facts.get("processors") or {}).get("quota")
    if quota is not None and quota < 1:
        yield Finding(
            "processors",
            f"The control group gives the time of {quota:g} processors: when it is used up, the whole process stands "
            "still until the next period (0.1 s), which looks like a blocked loop.",
            "Give it at least one processor (CPUQuota=100%, --cpus=1, or a higher cpu limit in Kubernetes).",
        )


def _release(text: Any) -> tuple[int, int] | None:
    words = str(text or "").split(".")
    try:
        return int(words[0]), int(words[1])
    except (ValueError, IndexError):
        return None


def _about_call(name: str, facts: Mapping[str, Any]) -> str:
    who = "the sandbox" if facts.get("sandbox") else "the seccomp filter"
    if name == "pidfd_open":
        return f"Children are waited for by threads instead, which is slower. Allow it in {who}, if there is one."
    return f"Allow it in {who} (docker: a newer default profile), or set {choice.VARIABLE}=selectors."
