"""The figures of hasten's loops for Prometheus, by its own client library: `pip install hasten[prometheus]`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hasten.diagnosis.metrics import Metrics, all_metrics, measure

try:
    from prometheus_client import REGISTRY
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
except ImportError as exc:
    raise ImportError("hasten.diagnosis.prometheus needs prometheus-client: pip install hasten[prometheus]") from exc

# (name, description, field of Metrics)
_GAUGES = (
    ("tasks", "Tasks that are not done.", "tasks"),
    ("ready", "Steps and callbacks that wait for their turn.", "ready"),
    ("timers", "Timers that are set.", "timers"),
    ("transports", "Connections, pipes and datagram sockets that are open.", "transports"),
    ("utilisation_ratio", "The share of the time that the loop did not sleep, 0 to 1.", "utilisation"),
)
_COUNTERS = (
    ("busy_seconds", "Time in which the loop did not sleep.", "busy"),
    ("measured_seconds", "Time in which the loop ran and was measured.", "measured"),
    ("tasks_made", "Tasks that were made.", "tasks_made"),
    ("tasks_ended", "Tasks that have ended.", "tasks_ended"),
    ("steps", "Steps of tasks, callbacks and events of transports that have run.", "steps"),
    ("batches", "Rounds of the loop.", "batches"),
    ("polls", "How often the loop has looked for events.", "polls"),
    ("transports_made", "Connections, pipes and datagram sockets that were made.", "transports_made"),
    ("received_bytes", "Bytes that transports have received.", "bytes_received"),
    ("sent_bytes", "Bytes that transports have sent.", "bytes_sent"),
)


class Collector:
    """What a registry of prometheus_client asks for the figures. `prefix` begins each name.

    Each loop is a label `thread`: the name of the thread that runs it.
    """

    def __init__(self, prefix: str = "hasten") -> None:
        self.prefix = prefix
        measure()

    def describe(self) -> Iterator[Any]:
        """Yield the families without values: a registry looks at their names only."""
        return self._families([])

    def collect(self) -> Iterator[Any]:
        """Yield the families, with the values of now."""
        return self._families(all_metrics())

    def _families(self, found: list[Metrics]) -> Iterator[Any]:
        labels = labels_of(found)
        for family, kind in ((GaugeMetricFamily, _GAUGES), (CounterMetricFamily, _COUNTERS)):
            for name, text, field in kind:
                made = family(f"{self.prefix}_loop_{name}", text, labels=["thread"])
                for label, each in zip(labels, found, strict=True):
                    made.add_metric([label], getattr(each, field))
                yield made
        text = "Time between two looks for events: so long had what happened meanwhile to wait, at most."
        lag = HistogramMetricFamily(f"{self.prefix}_loop_lag_seconds", text, labels=["thread"])
        for label, each in zip(labels, found, strict=True):
            buckets, below = [], 0
            for bound, count in zip((*each.lag.bounds, "+Inf"), each.lag.counts, strict=True):
                below += count
                buckets.append((str(bound), below))
            lag.add_metric([label], buckets, sum_value=each.lag.total)
        yield lag


def labels_of(found: list[Metrics]) -> list[str]:
    """Return the threads' names, each once: a second thread of a name gets a number behind it."""
    labels: list[str] = []
    for each in found:
        name = each.thread.encode(errors="backslashreplace").decode()  # half a letter would end the whole answer
        label, number = name, 1
        while label in labels:
            number += 1
            label = f"{name}-{number}"
        labels.append(label)
    return labels


def register(registry: Any = REGISTRY, prefix: str = "hasten") -> Collector:
    """Have a registry show the figures of all loops of this process; return the collector, for `unregister()`.

    Raises ValueError if the registry has such names already, as it does after a second call.
    """
    collector = Collector(prefix)
    registry.register(collector)
    return collector
