"""The figures of hasten's loops for OpenTelemetry, by its own API: `pip install hasten[opentelemetry]`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hasten.diagnosis.metrics import Metrics, all_metrics, measure

try:
    from opentelemetry.metrics import CallbackOptions, Observation, get_meter
except ImportError as exc:
    text = "hasten.diagnosis.opentelemetry needs opentelemetry-api: pip install hasten[opentelemetry]"
    raise ImportError(text) from exc

# (name, unit, description, how a loop's figures give the value), as OpenTelemetry's conventions have names and units
_NOW = (
    ("tasks", "{task}", "Tasks that are not done.", lambda m: m.tasks),
    ("ready", "{step}", "Steps and callbacks that wait for their turn.", lambda m: m.ready),
    ("timers", "{timer}", "Timers that are set.", lambda m: m.timers),
    ("transports", "{transport}", "Connections, pipes and datagram sockets that are open.", lambda m: m.transports),
    ("utilization", "1", "The share of the time that the loop did not sleep.", lambda m: m.utilisation),
    (
        "lag.p50",
        "s",
        "Half of the looks for events came within this time after the last.",
        lambda m: m.lag.quantile(0.5),
    ),
    ("lag.p99", "s", "99 of 100 looks for events came within this time.", lambda m: m.lag.quantile(0.99)),
    ("lag.max", "s", "The longest time between two looks for events.", lambda m: m.lag.longest),
)
_EVER = (
    ("busy", "s", "Time in which the loop did not sleep.", lambda m: m.busy),
    ("tasks.made", "{task}", "Tasks that were made.", lambda m: m.tasks_made),
    ("tasks.ended", "{task}", "Tasks that have ended.", lambda m: m.tasks_ended),
    ("steps", "{step}", "Steps of tasks, callbacks and events that have run.", lambda m: m.steps),
    ("polls", "{poll}", "How often the loop has looked for events.", lambda m: m.polls),
    ("transports.made", "{transport}", "Connections, pipes and sockets that were made.", lambda m: m.transports_made),
    ("received", "By", "Bytes that transports have received.", lambda m: m.bytes_received),
    ("sent", "By", "Bytes that transports have sent.", lambda m: m.bytes_sent),
)


def instrument(meter: Any = None, prefix: str = "hasten.loop") -> None:
    """Make observable instruments of the figures of all loops of this process.

    Each loop is an attribute `thread.name`: the name of the thread that runs it. Call it once for a meter.

    Arguments:
        meter: an OpenTelemetry meter; None: the one named "hasten" of the global provider.
        prefix: begins each instrument's name.
    """
    measure()
    meter = get_meter("hasten") if meter is None else meter
    for name, unit, text, value in _NOW:
        meter.create_observable_gauge(f"{prefix}.{name}", [_observed(value)], unit=unit, description=text)
    for name, unit, text, value in _EVER:
        meter.create_observable_counter(f"{prefix}.{name}", [_observed(value)], unit=unit, description=text)


def _observed(value: Callable[[Metrics], float]) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value(each), {"thread.name": each.thread}) for each in all_metrics()]

    return observe
