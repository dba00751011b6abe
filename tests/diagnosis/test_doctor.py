"""The doctor's facts, by a kernel that is made of a few files; and what it says of bad settings."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hasten import compat
from hasten.aio import companions
from hasten.diagnosis import doctor, machine
from hasten.diagnosis.doctor import examine, findings
from hasten.diagnosis.machine import Files

GOOD = {
    "compiled": True,
    "poller": {"name": "epoll", "asked for": None, "error": None},
    "debug mode": False,
    "loop policy": None,
    "environment": {},
    "files": {"soft": 65536, "hard": None, "open": 9},
    "ports": {"first": 32768, "last": 60999, "count": 28232},
    "backlog": 4096,
    "epoll watches": 1000000,
    "kernel": "6.1.0",
    "refused calls": {},
    "threads": {"limit": 32768, "set by": "kernel"},
    "processors": {"usable": 2, "all": 2, "quota": None},
}
OLD = {"kernel": "4.18.0-553.el8", "refused calls": {"pidfd_open": "[Errno 38] Function not implemented"}}
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"compiled": False}, "runs as plain Python", "C compiler"),
    ({"poller": {"error": "refused"}}, "No loop can be made: refused.", "HASTEN_POLLER=selectors"),
    ({"debug mode": True}, "Debug mode is on", "leave out -X dev"),
    ({"loop policy": "uvloop.EventLoopPolicy"}, "uvloop.EventLoopPolicy", "hasten.install()"),
    ({"environment": {"HASTEN_POLER": "epoll"}}, "HASTEN_POLER is set", "Is HASTEN_POLLER meant?"),
    ({"environment": {"HASTEN_XYZZY": "1"}}, "HASTEN_XYZZY is set", "Those that there are: HASTEN_POLLER, "),
    ({"environment": {"HASTEN_BATCH_WRITES": "yes"}}, "HASTEN_BATCH_WRITES=yes is no value", "0 or 1"),
    ({"files": {"soft": 1024, "hard": 4096, "open": 9}}, "At most 1024 files", "LimitNOFILE=4096"),
    ({"files": {"soft": 1024, "hard": None, "open": 9}}, "At most 1024 files", "(65536, hard)"),
    ({"files": {"soft": 5000, "hard": None, "open": 4900}}, "4900 of at most 5000", "Raise the limit"),
    ({"backlog": 128}, "At most 128 connections", "net.core.somaxconn=4096"),
    ({"ports": {"first": 1, "last": 9, "count": 9}}, "Only 9 ports", "ip_local_port_range"),
    ({"epoll watches": 100}, "watch 100 files", "max_user_watches"),
    ({"refused calls": {"epoll_create1": "no"}}, "The system call epoll_create1 does not work here: no.", "seccomp"),
    ({"refused calls": {"pidfd_open": "no"}}, "The system call pidfd_open does not work", "threads instead"),
    (OLD, "older than 5.3", "Nothing has to be done"),
    ({"sandbox": "gVisor"}, "This runs in gVisor", "Nothing has to be done"),
    ({"threads": {"limit": 100, "set by": "control group"}}, "At most 100 threads", "TasksMax="),
    ({"processors": {"quota": 0.5}}, "the time of 0.5 processors", "at least one"),
]


def test_nothing_is_said_of_good_settings() -> None:
    assert list(findings(GOOD)) == []
    assert list(findings({})) == []  # where nothing could be found out
    fine = {"HASTEN_POLLER": "selectors", "HASTEN_BATCH_WRITES": "0", "HASTEN_INSPECT": ""}
    assert list(findings(GOOD | {"environment": fine})) == []


@pytest.mark.parametrize(("facts", "problem", "remedy"), BAD, ids=[problem for _, problem, _ in BAD])
def test_a_bad_setting_is_told_once(facts: dict[str, Any], problem: str, remedy: str) -> None:
    (found,) = findings(GOOD | facts)
    assert problem in found.problem
    assert remedy in found.remedy
    assert found.about in facts


def test_each_variable_that_is_looked_at_is_known() -> None:
    source = Path(doctor.__file__).parents[1]
    looked_at = re.compile(r'(?:environ\.get\(|environ\[|VARIABLE = )"(HASTEN_\w+)"')
    found = {name for path in source.rglob("*.py") for name in looked_at.findall(path.read_text())}
    assert {"HASTEN_POLLER", "HASTEN_BATCH_WRITES"} <= found
    assert {*found, *companions.BY_VARIABLE} <= set(doctor.VARIABLES)


def kernel(root: Path, **more: str) -> Files:
    """Write a kernel's files; in the names `__` stands for `/`."""
    tree = {
        "proc__version": "Linux version 5.10.0 (me@here) #1",
        "proc__sys__kernel__osrelease": "5.10.0\n",
        "proc__sys__kernel__threads-max": "63000\n",
        "proc__sys__kernel__pid_max": "32768\n",
        "proc__sys__net__core__somaxconn": "128\n",
        "proc__sys__net__ipv4__ip_local_port_range": "32768\t33000\n",
        "proc__meminfo": "MemTotal:        2097152 kB\nMemFree: 1 kB\n",
        "proc__self__status": "Name:\tpython\nSeccomp:\t2\n",
    }
    for name, text in (tree | more).items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Files(str(root))


@pytest.mark.skipif(sys.platform != "linux", reason="files of Linux")
def test_what_the_kernel_says(tmp_path: Path) -> None:
    found = examine(files=kernel(tmp_path), environment={})
    assert found["kernel"] == "5.10.0"
    assert found["backlog"] == 128
    assert found["ports"] == {"first": 32768, "last": 33000, "count": 233}
    assert found["seccomp"] == 2
    assert found["memory"] == {"total": 2 << 30, "limit": None}
    assert found["threads"]["limit"] <= 32768
    with pytest.raises(KeyError):
        found["epoll watches"]
    assert {"backlog", "ports"} <= {finding.about for finding in found.findings}


GROUPS = {
    "2": {
        "proc__self__cgroup": "0::/a/b\n",
        "sys__fs__cgroup__a__b__memory.max": "max\n",
        "sys__fs__cgroup__a__memory.max": "1073741824\n",
        "sys__fs__cgroup__a__cpu.max": "50000 100000\n",
        "sys__fs__cgroup__a__b__cpu.max": "max 100000\n",
        "sys__fs__cgroup__a__b__pids.max": "64\n",
    },
    "1": {
        "proc__self__cgroup": "4:cpu,cpuacct:/a\n3:memory:/a/b\n2:pids:/a\n1:name=systemd:/a\n",
        "sys__fs__cgroup__memory__a__memory.limit_in_bytes": "1073741824\n",
        "sys__fs__cgroup__memory__memory.limit_in_bytes": "9223372036854771712\n",
        "sys__fs__cgroup__cpu__a__cpu.cfs_quota_us": "50000\n",
        "sys__fs__cgroup__cpu__a__cpu.cfs_period_us": "100000\n",
        "sys__fs__cgroup__cpu__cpu.cfs_quota_us": "-1\n",
        "sys__fs__cgroup__cpu__cpu.cfs_period_us": "100000\n",
        "sys__fs__cgroup__pids__pids.max": "64\n",
    },
    "2, in a container": {
        "proc__self__cgroup": "0::/docker/0123\n",
        "sys__fs__cgroup__memory.max": "1073741824\n",
        "sys__fs__cgroup__cpu.max": "50000 100000\n",
        "sys__fs__cgroup__pids.max": "64\n",
    },
}


@pytest.mark.skipif(sys.platform != "linux", reason="files of Linux")
@pytest.mark.parametrize("version", GROUPS)
def test_limits_of_control_groups(version: str, tmp_path: Path) -> None:
    found = examine(files=kernel(tmp_path, **GROUPS[version]), environment={})
    assert found["memory"]["limit"] == 1 << 30
    assert found["processors"]["quota"] == 0.5
    assert found["threads"] == {"limit": 64, "set by": "control group"}
    assert {"processors", "threads"} <= {finding.about for finding in found.findings}


@pytest.mark.parametrize("text", ["Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016", "Linux 6.1 (gVisor)"])
@pytest.mark.skipif(sys.platform != "linux", reason="files of Linux")
def test_gvisor_is_known(text: str, tmp_path: Path) -> None:
    assert examine(files=kernel(tmp_path, proc__version=text), environment={})["sandbox"] == "gVisor"


def test_where_there_is_no_such_kernel(tmp_path: Path) -> None:
    found = examine(files=Files(str(tmp_path)), environment={})
    assert found["version"]
    assert not {"not found out"} & {fact.topic for fact in found.facts}
    assert not {"ports", "backlog", "memory", "epoll watches"} & {fact.name for fact in found.facts}


def test_refused_calls_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse() -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(machine, "ATTEMPTS", {"pidfd_open": refuse, "eventfd": lambda: None})
    facts = {fact.name: fact.value for fact in machine._refusals(Files(str(tmp_path)))}
    assert facts == {"pidfd": False, "refused calls": {"pidfd_open": "[Errno 1] Operation not permitted"}}


def test_of_this_process() -> None:
    found = examine(environment={})
    assert found["compiled"] is compat.compiled()
    assert found["Python"]["version"].startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")
    assert found["DNS threads"] >= 5
    assert json.loads(json.dumps(found.as_dict())) == found.as_dict()
    wrong = examine(environment={"HASTEN_POLLER": "uring"})
    assert wrong["poller"]["name"] is None
    assert [each.about for each in wrong.findings if each.about in ("poller", "environment")] == ["poller"]
    assert examine(environment={"HASTEN_POLLER": "selectors"})["poller"]["name"] == "selectors"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_policy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Policy(asyncio.AbstractEventLoopPolicy):
        pass

    monkeypatch.setattr(asyncio.events, "_event_loop_policy", Policy())
    found = examine(environment={})
    assert "Policy" in found["loop policy"]
    assert "loop policy" in [each.about for each in found.findings]


def test_what_fails_does_not_hide_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> Iterator[machine.Fact]:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(doctor, "_tls", fails)
    found = examine(environment={})
    assert found["fails"] == "RuntimeError: unforeseen"
    assert found["DNS threads"]


def test_why_it_is_not_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert "HASTEN_NO_EXTENSIONS" in doctor._why_not_compiled(tmp_path)
    (tmp_path / "kernel").mkdir()
    (tmp_path / "kernel" / "step.cpython-27-x86_64-linux-gnu.so").touch()
    why = doctor._why_not_compiled(tmp_path)
    assert "another Python: cpython-27-x86_64-linux-gnu" in why
    assert f"cpython-3{sys.version_info[1]}" in why


def test_a_companion_adds_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "COMPANIONS", {"a": "json", "b": "a_module_that_is_not_there", "c": "keyword"})
    monkeypatch.setattr(json, "how", lambda: "by a thread", raising=False)
    assert examine(environment={})["a"] == "by a thread"
    names = {fact.name for fact in examine(environment={}).facts}
    assert not {"b", "c"} & names
