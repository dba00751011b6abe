from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import socket
import threading
from typing import Any

import pytest

from hasten.net import dns

STREAM, DGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
INET, INET6 = socket.AF_INET, socket.AF_INET6
TCP, UDP = socket.IPPROTO_TCP, socket.IPPROTO_UDP
FOUND = [(INET, STREAM, TCP, "", ("192.0.2.7", 80))]


def dns_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("hasten-dns")]


class Names:
    """Stands in for socket.getaddrinfo: answers, refuses, or keeps the thread waiting."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.threads: list[str] = []
        self.begun = threading.Event()
        self.answer = threading.Event()
        self.answer.set()
        monkeypatch.setattr(socket, "getaddrinfo", self)

    def __call__(self, *question: Any) -> list[Any]:
        self.asked.append(question)
        self.threads.append(threading.current_thread().name)
        self.begun.set()
        self.answer.wait(30)
        if question[0] == "unknown.invalid":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return FOUND


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Names:
    return Names(monkeypatch)


@pytest.mark.parametrize(
    ("host", "port", "options"),
    [
        ("127.0.0.1", 80, {}),
        ("127.0.0.1", "80", {"type": STREAM}),
        (b"127.0.0.1", b"80", {"type": STREAM}),
        ("::1", 0, {"type": STREAM}),
        ("::1", None, {"family": INET6, "type": DGRAM}),
        (None, 8080, {"type": STREAM, "flags": socket.AI_PASSIVE}),
        ("127.0.0.1", 80, {"flags": socket.AI_CANONNAME}),
    ],
)
def test_numeric_addresses_give_what_the_system_gives(run, host, port, options) -> None:
    async def main() -> None:
        got = await asyncio.get_running_loop().getaddrinfo(host, port, **options)
        assert got == socket.getaddrinfo(host, port, **options)
        assert dns_threads() == []

    run(main())


def test_numeric_host_of_another_family_is_an_error(run) -> None:
    async def main() -> None:
        with pytest.raises(socket.gaierror):
            await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80, family=INET6)

    run(main())


@pytest.mark.parametrize(("host", "port"), [(5, 80), ("127.0.0.1", 1.5), ("localhost", [])])
def test_wrong_types_are_type_errors_or_socket_errors(run, host, port) -> None:
    async def main() -> None:
        with pytest.raises((TypeError, OSError)):
            await asyncio.get_running_loop().getaddrinfo(host, port)

    run(main())


def test_a_name_is_looked_up_in_a_thread(run, names) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        got = await loop.getaddrinfo("a.example", 80, family=INET, type=STREAM, proto=TCP, flags=3)
        assert got == FOUND
        assert names.asked == [("a.example", 80, INET, STREAM, TCP, 3)]
        assert names.threads != [threading.current_thread().name]

    run(main())


def test_an_unknown_name_raises(run, names) -> None:
    async def main() -> None:
        with pytest.raises(socket.gaierror, match="not known"):
            await asyncio.get_running_loop().getaddrinfo("unknown.invalid", 80)

    run(main())


@pytest.mark.ours("asyncio looks names up in the default executor")
def test_lookups_do_not_wait_behind_the_default_executor(run, names) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(1))
        release = threading.Event()
        blocked = loop.run_in_executor(None, release.wait, 30)
        assert await loop.getaddrinfo("a.example", 80) == FOUND
        assert names.threads[0].startswith("hasten-dns")
        assert not blocked.done()
        release.set()
        assert await blocked

    run(main())


@pytest.mark.ours("asyncio looks names up in the default executor")
def test_lookups_outlive_the_default_executor(run, names) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        await loop.shutdown_default_executor()
        assert await loop.getaddrinfo("a.example", 80) == FOUND

    run(main())


@pytest.mark.ours("asyncio has no threads of its own for names")
def test_closing_the_loop_ends_idle_threads(either_loop, run, names) -> None:
    async def main() -> None:
        await asyncio.get_running_loop().getaddrinfo("a.example", 80)

    run(main())
    assert len(dns_threads()) == 1
    either_loop.run_until_complete(either_loop.shutdown_default_executor())
    either_loop.close()
    assert dns_threads() == []


def test_a_cancelled_lookup_is_given_up(run, names) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        names.answer.clear()
        task = loop.create_task(loop.getaddrinfo("a.example", 80))
        while not names.begun.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        names.answer.set()

    run(main())


def test_a_closed_resolver_refuses() -> None:
    resolver = dns.Resolver()
    resolver.close()
    resolver.close()
    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(RuntimeError, match="closed"):
            loop.run_until_complete(resolver.run(loop, socket.getaddrinfo, "a.example", 80))  # type: ignore[arg-type]
    finally:
        loop.close()


def test_closing_does_not_wait_for_a_stuck_lookup(names) -> None:
    resolver = dns.Resolver()
    names.answer.clear()
    loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(resolver.run(loop, names, "a.example", 80))  # type: ignore[arg-type]
        loop.call_later(0, names.begun.wait, 30)
        loop.run_until_complete(asyncio.sleep(0.001))
        resolver.close()
        assert not task.done()
        names.answer.set()
        assert loop.run_until_complete(task) == FOUND
    finally:
        loop.close()


def test_debug_mode_logs_question_and_answer(either_loop, run, names, caplog) -> None:
    either_loop.set_debug(True)
    either_loop.slow_callback_duration = 3600.0
    caplog.set_level(logging.DEBUG, "asyncio")

    async def main() -> None:
        await asyncio.get_running_loop().getaddrinfo("a.example", 80, family=INET, flags=4)

    run(main())
    told = [(record.levelno, record.getMessage()) for record in caplog.records if "address info" in record.getMessage()]
    assert told[0] == (logging.DEBUG, f"Get address info a.example:80, family={INET!r}, flags=4")
    assert told[1][0] == logging.DEBUG
    assert told[1][1].startswith(f"Getting address info a.example:80, family={INET!r}, flags=4 took ")
    assert told[1][1].endswith(f"ms: {FOUND!r}")


def test_debug_mode_reports_slow_lookups_louder(either_loop, run, names, caplog) -> None:
    either_loop.set_debug(True)
    either_loop.slow_callback_duration = 0.0
    caplog.set_level(logging.INFO, "asyncio")

    async def main() -> None:
        await asyncio.get_running_loop().getaddrinfo("a.example", 80)

    run(main())
    assert "Getting address info a.example:80 took" in caplog.text


def test_getnameinfo(run) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
        assert await loop.getnameinfo(("127.0.0.1", 80), numeric) == ("127.0.0.1", "80")
        assert (await loop.getnameinfo(("127.0.0.1", 65432), socket.NI_NUMERICHOST))[0] == "127.0.0.1"
        with pytest.raises((TypeError, OSError)):
            await loop.getnameinfo("127.0.0.1", numeric)  # type: ignore[arg-type]

    run(main())


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (("1.2.3.4", 80, 0, STREAM, 0), (INET, STREAM, TCP, "", ("1.2.3.4", 80))),
        (("1.2.3.4", "80", 0, STREAM, TCP), (INET, STREAM, TCP, "", ("1.2.3.4", 80))),
        (("1.2.3.4", b"80", INET, DGRAM, UDP), (INET, DGRAM, UDP, "", ("1.2.3.4", 80))),
        ((b"1.2.3.4", "", 0, STREAM, 0), (INET, STREAM, TCP, "", ("1.2.3.4", 0))),
        (("1.2.3.4", None, 0, STREAM, 0), (INET, STREAM, TCP, "", ("1.2.3.4", 0))),
        (("::3", 80, 0, STREAM, 0), (INET6, STREAM, TCP, "", ("::3", 80, 0, 0))),
        (("::3", 80, 0, STREAM, 0, 5, 6), (INET6, STREAM, TCP, "", ("::3", 80, 5, 6))),
        (("::3", 80, INET, STREAM, 0), None),
        (("1.2.3.4", 80, INET6, STREAM, 0), None),
        (("1.2.3.4", 80, socket.AF_UNIX, STREAM, 0), None),
        (("1.2.3.4", "http", 0, STREAM, 0), None),
        (("1.2.3.4", 80, 0, socket.SOCK_RAW, 0), None),
        (("1.2.3.4", 80, 0, STREAM, socket.IPPROTO_ICMP), None),
        (("::1%lo", 80, 0, STREAM, 0), None),
        (("a.example", 80, 0, STREAM, 0), None),
        (("", 80, 0, STREAM, 0), None),
        ((None, 80, 0, STREAM, 0), None),
        ((5, 80, 0, STREAM, 0), None),
    ],
)
def test_numeric_addrinfo(question, answer) -> None:
    assert dns.numeric_addrinfo(*question) == answer


@pytest.mark.parametrize("host", ["127.0.0.1\0", "127.0.0.1\0.a.example", "a.example\0", "\udc80"])
def test_a_host_does_not_end_at_a_nul(either_loop, run, host) -> None:
    async def main() -> None:
        with pytest.raises(ValueError):
            await either_loop.create_connection(asyncio.Protocol, host, 1)
        with socket.socket() as sock, pytest.raises(ValueError):
            sock.setblocking(False)
            await either_loop.sock_connect(sock, (host, 1))

    run(main())


def test_interleave() -> None:
    six = [(INET6, STREAM, TCP, "", (f"::{n}", 1, 0, 0)) for n in range(1, 4)]
    four = [(INET, STREAM, TCP, "", (f"1.1.1.{n}", 1)) for n in range(1, 3)]
    assert dns.interleave(six + four) == [six[0], four[0], six[1], four[1], six[2]]
    assert dns.interleave(six + four, 2) == [six[0], six[1], four[0], six[2], four[1]]
    assert dns.interleave(four + six) == [four[0], six[0], four[1], six[1], six[2]]
    assert dns.interleave(four) == four
    assert dns.interleave(four, 9) == four
    assert dns.interleave([]) == []


def test_a_program_can_put_its_own_resolver_in_place(either_loop, run) -> None:
    async def resolve(host, port, **options):
        asked.append((host, port, options["type"]))
        return [(INET, STREAM, TCP, "", ("127.0.0.1", address[1]))]

    asked: list[Any] = []
    either_loop.getaddrinfo = resolve
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()

        async def main() -> None:
            _, writer = await asyncio.open_connection("a.example", 7)
            assert writer.get_extra_info("peername") == address
            writer.close()
            await writer.wait_closed()

        run(main())
    assert asked == [("a.example", 7, STREAM)]
