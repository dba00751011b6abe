"""What is run: the modes, the test modules, and what one child process is told."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

LOOP = "loop"
NAMESPACE = "namespace"
FOREIGN = "foreign"
MODES = (LOOP, NAMESPACE, FOREIGN)

# Everything of test_asyncio but the unit tests of the stdlib's selector and proactor loops, Windows, and `tools`,
# which reads the memory of another process. A module that an interpreter does not have is left out there.
MODULES = (
    "test_base_events",
    "test_buffered_proto",
    "test_context",
    "test_eager_task_factory",
    "test_events",
    "test_free_threading",
    "test_futures",
    "test_futures2",
    "test_graph",
    "test_locks",
    "test_pep492",
    "test_protocols",
    "test_queues",
    "test_runners",
    "test_sendfile",
    "test_server",
    "test_server_context",
    "test_sock_lowlevel",
    "test_ssl",
    "test_sslproto",
    "test_staggered",
    "test_streams",
    "test_subprocess",
    "test_taskgroups",
    "test_tasks",
    "test_threads",
    "test_timeouts",
    "test_transports",
    "test_unix_events",
    "test_waitfor",
)


# Some tests sleep for ten seconds in real time: so many children share the module, and sleep at the same time. In
# foreign mode the suite's virtual clock skips that.
SHARDS = {(mode, "test_tasks"): 6 for mode in (LOOP, NAMESPACE)}

# Where tests use the suite's own loop. The others would do in foreign mode what they do in namespace mode.
WITH_FOREIGN_LOOP = ("test_futures", "test_tasks")


@dataclass(frozen=True)
class Job:
    """One test module in one mode, on one subject."""

    module: str
    mode: str
    # the module that takes asyncio's place; its `new_event_loop` makes the loops. "asyncio" is the runner's self-check.
    subject: str = "hasten"
    # texts one of which a test's id contains, or with `exact` is
    only: tuple[str, ...] = ()
    exact: bool = False
    # run each test whose number modulo `shards` is `shard`
    shard: int = 0
    shards: int = 1
    # ids that a former child has dealt with already
    done: tuple[str, ...] = field(default=(), compare=False)

    def wants(self, test: str) -> bool:
        """Whether `test` (module.Class.test) is asked for."""
        if self.exact:
            return test in self.only
        return not self.only or any(part in test for part in self.only)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        fields = json.loads(text)
        fields["only"], fields["done"] = tuple(fields["only"]), tuple(fields["done"])
        return cls(**fields)


def suite_folder() -> Path | None:
    """Where this interpreter keeps test_asyncio; None where its library comes without (Debian splits it off)."""
    try:
        import test.test_asyncio as suite
    except ImportError:
        return None
    return Path(next(iter(suite.__path__)))


def available(folder: Path, mode: str) -> list[str]:
    """The modules that this interpreter has and that say something in a mode."""
    there = set(os.listdir(folder))
    names = WITH_FOREIGN_LOOP if mode == FOREIGN else MODULES
    return [name for name in names if f"{name}.py" in there]
