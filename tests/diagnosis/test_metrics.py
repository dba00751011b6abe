"""hasten.metrics(): figures of a loop, and what exports them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import hasten
from hasten.core import observing
from hasten.diagnosis import metrics
from hasten.diagnosis.metrics import Histogram


@pytest.fixture(autouse=True)
def _measured() -> Iterator[None]:
    yield
    metrics.stop_measuring()


def test_tasks_steps_and_batches_are_counted() -> None:
    async def main() -> None:
        before = hasten.metrics()
        tasks = [hasten.create_task(hasten.sleep(0)) for _ in range(10)]
        made = hasten.metrics()
        assert made.tasks == before.tasks + 10
        assert made.tasks_made == before.tasks_made + 10
        assert made.ready == before.ready + 10
        await hasten.gather(*tasks)
        after = hasten.metrics()
        assert after.tasks == before.tasks == 1
        assert after.tasks_ended == before.tasks_ended + 10
        assert after.steps >= before.steps + 20
        assert after.batches > before.batches
        assert after.thread == "MainThread"

    hasten.run(main())


def test_timers_are_counted_while_they_are_set() -> None:
    async def main() -> None:
        loop = hasten.get_running_loop()
        assert hasten.metrics().timers == 0
        handles = [loop.call_later(1000, print) for _ in range(3)]
        assert hasten.metrics().timers == 3
        for handle in handles:
            handle.cancel()
        assert hasten.metrics().timers == 0

    hasten.run(main())


@pytest.mark.parametrize("size", [1, 1000, 3_000_000])
def test_transports_and_their_bytes_are_counted(size: int) -> None:
    async def main() -> None:
        async def serve(reader: Any, writer: Any) -> None:
            writer.write(await reader.readexactly(size))
            await writer.drain()
            writer.close()

        server = await hasten.start_server(serve, "127.0.0.1", 0)
        reader, writer = await hasten.open_connection(*server.sockets[0].getsockname())
        writer.write(b"x" * size)
        assert hasten.metrics().transports >= 1
        assert await reader.read(-1) == b"x" * size
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()
        found = hasten.metrics()
        assert found.bytes_received == found.bytes_sent == 2 * size
        assert found.transports == 0
        assert found.transports_made == 2

    hasten.run(main())


def test_datagrams_are_counted() -> None:
    async def main() -> None:
        arrived = hasten.Queue[bytes]()

        class Protocol(asyncio.DatagramProtocol):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                arrived.put_nowait(data)

        loop = hasten.get_running_loop()
        ours, _ = await loop.create_datagram_endpoint(Protocol, local_addr=("127.0.0.1", 0))
        theirs, _ = await loop.create_datagram_endpoint(
            Protocol, remote_addr=ours.get_extra_info("socket").getsockname()
        )
        for size in (1, 20, 300):
            theirs.sendto(b"y" * size)
        assert [len(await arrived.get()) for _ in range(3)] == [1, 20, 300]
        found = hasten.metrics()
        assert (found.bytes_sent, found.bytes_received, found.transports) == (321, 321, 2)
        ours.close()
        theirs.close()
        await hasten.sleep(0)
        await hasten.sleep(0)
        assert hasten.metrics().transports == 0

    hasten.run(main())


def test_work_is_busy_and_sleep_is_not() -> None:
    async def main() -> None:
        hasten.metrics()
        await hasten.sleep(0.2)
        asleep = hasten.metrics()
        assert asleep.measured >= 0.2
        assert asleep.busy < 0.1
        time.sleep(0.2)  # noqa: ASYNC251 # work
        await hasten.sleep(0)
        await hasten.sleep(0.001)
        worked = hasten.metrics()
        assert worked.busy - asleep.busy >= 0.2
        assert 0.0 < worked.utilisation < 1.0
        assert worked.lag.longest >= 0.2
        assert sum(worked.lag.counts[worked.lag.bounds.index(0.1) + 1 :]) == 1
        assert worked.lag.total >= 0.2
        assert worked.lag.quantile(1.0) >= 0.2
        assert worked.lag.count < worked.polls

    hasten.run(main())


def test_a_loop_of_another_thread_and_all_loops() -> None:
    ready, end = threading.Event(), threading.Event()
    loops: list[Any] = []

    async def other() -> None:
        loops.append(hasten.get_running_loop())
        ready.set()
        await hasten.to_thread(end.wait)

    async def main() -> None:
        thread = threading.Thread(target=lambda: hasten.run(other()), name="another")
        thread.start()
        ready.wait()
        assert hasten.metrics(loops[0]).thread == "another"
        assert hasten.metrics(loops[0]).tasks == 1
        assert sorted(each.thread for each in hasten.all_metrics()) == ["MainThread", "another"]
        end.set()
        thread.join()
        assert [each.thread for each in hasten.all_metrics()] == ["MainThread"]

    hasten.run(main())


def test_a_loop_that_runs_again_goes_on_counting() -> None:
    loop = hasten.new_event_loop()
    loop.run_until_complete(hasten.sleep(0))
    first = hasten.metrics(loop)
    assert first.thread == ""
    assert first.tasks_ended == 1
    loop.run_until_complete(hasten.sleep(0.01))
    second = hasten.metrics(loop)
    assert second.tasks_ended == 2
    assert second.measured >= 0.01
    time.sleep(0.05)
    assert hasten.metrics(loop).measured == second.measured  # it does not run
    loop.close()
    assert hasten.metrics(loop).tasks_ended == 2


@pytest.mark.parametrize("again", [False, True], ids=["not again", "again"])
def test_a_loop_that_stood_still_when_the_measuring_ended_is_measured_no_more(loop: hasten.Loop, again: bool) -> None:
    loop.run_until_complete(hasten.sleep(0))
    hasten.metrics(loop)
    for _ in range(10):
        loop.run_until_complete(hasten.sleep(0))
    before = hasten.metrics(loop).lag.count
    metrics.stop_measuring()
    if again:
        metrics.measure()
    loop.run_until_complete(hasten.sleep(0))
    kinds = [type(each).__name__ for each in observing.observers_of(loop)]
    assert kinds == (["Meter"] if again else [])
    ran = hasten.metrics(loop).lag.count
    assert (0 < ran < before) if again else ran == 0
    loop.run_until_complete(hasten.sleep(0))
    assert hasten.metrics(loop).lag.count > ran


def test_what_has_no_metrics() -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        hasten.metrics()
    stock = asyncio.new_event_loop()
    try:
        with pytest.raises(TypeError, match="only hasten's own loops"):
            hasten.metrics(stock)
    finally:
        stock.close()


def test_a_histogram_s_quantiles() -> None:
    lag = Histogram((0.1, 1.0), (8, 1, 1), 10.0, 5.0)
    assert [lag.quantile(share) for share in (0.0, 0.5, 0.8, 0.9, 0.95, 1.0)] == [0.1, 0.1, 0.1, 1.0, 5.0, 5.0]
    assert Histogram((0.1,), (3, 0), 0.01, 0.02).quantile(0.5) == 0.02
    assert Histogram((0.1,), (0, 0), 0.0, 0.0).quantile(0.5) == 0.0
    with pytest.raises(ValueError, match="between 0 and 1"):
        lag.quantile(1.5)


def test_prometheus_shows_each_loop() -> None:
    prometheus_client = pytest.importorskip("prometheus_client")
    from hasten.diagnosis import prometheus

    registry = prometheus_client.CollectorRegistry()
    collector = prometheus.register(registry)
    with pytest.raises(ValueError, match="hasten_loop"):
        prometheus.register(registry)

    async def main() -> str:
        await hasten.sleep(0.001)
        return str(prometheus_client.generate_latest(registry).decode())

    text = hasten.run(main())
    assert 'hasten_loop_tasks{thread="MainThread"} 1.0' in text
    assert 'hasten_loop_lag_seconds_bucket{le="+Inf",thread="MainThread"}' in text
    assert 'hasten_loop_steps_total{thread="MainThread"}' in text
    registry.unregister(collector)
    assert "thread" not in prometheus_client.generate_latest(registry).decode()


def test_prometheus_is_told_of_threads_whose_names_are_no_texts() -> None:
    prometheus_client = pytest.importorskip("prometheus_client")
    from hasten.diagnosis import prometheus

    registry = prometheus_client.CollectorRegistry()
    collector = prometheus.register(registry)
    told: list[str] = []

    async def main() -> None:
        told.append(prometheus_client.generate_latest(registry).decode())

    thread = threading.Thread(target=hasten.run, args=(main(),), name='half \ud800 "a\n\x1b')
    thread.start()
    thread.join()
    registry.unregister(collector)
    assert 'hasten_loop_tasks{thread="half \\\\ud800 \\"a\\n\x1b"} 1.0' in told[0]


def test_opentelemetry_shows_each_loop() -> None:
    pytest.importorskip("opentelemetry.sdk.metrics")
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    from hasten.diagnosis import opentelemetry

    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    opentelemetry.instrument(provider.get_meter("test"))

    async def main() -> Any:
        await hasten.sleep(0.001)
        return reader.get_metrics_data()

    data = hasten.run(main())
    found = {
        metric.name: point
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }
    assert found["hasten.loop.tasks"].value == 1
    assert found["hasten.loop.tasks"].attributes == {"thread.name": "MainThread"}
    assert found["hasten.loop.lag.max"].value > 0.0
    assert found["hasten.loop.steps"].value > 0
    provider.shutdown()


@pytest.mark.parametrize("name", ["prometheus", "opentelemetry"])
def test_an_exporter_without_its_library_says_what_to_install(name: str, monkeypatch: Any) -> None:
    import importlib
    import sys

    for library in ("prometheus_client", "prometheus_client.core", "opentelemetry.metrics"):
        monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.delitem(sys.modules, f"hasten.diagnosis.{name}", raising=False)
    with pytest.raises(ImportError, match=rf"pip install hasten\[{name}\]"):
        importlib.import_module(f"hasten.diagnosis.{name}")
