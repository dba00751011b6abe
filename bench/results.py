"""What was measured: every run, the medians over rounds, and the file that keeps them."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.contenders import BASE
from bench.workloads import WORKLOADS

FORMAT = 1


@dataclass(frozen=True)
class Summary:
    """One cell of a table.

    value: the median, in the workload's unit; None when no round gave a figure
    spread: (largest - smallest) / median over the rounds
    rounds: how many gave a figure
    failures: "kind: why" of those that did not, without repetitions
    supported: False when this contender cannot run the workload, which is no fault of it
    """

    value: float | None
    spread: float
    rounds: int
    failures: tuple[str, ...]
    supported: bool


@dataclass
class Results:
    """Runs in the order in which they were made, and what they were made on.

    meta: machine, versions, contenders, date. A run: workload, contender, round, and either figures or failure + why.
    """

    meta: dict[str, Any]
    runs: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> Results:
        """Reads a results file. Raises ValueError when it is none."""
        data = json.loads(path.read_text())
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise ValueError(f"{path} is not a results file of this version of the benchmark")
        return cls(data["meta"], data["runs"])

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"format": FORMAT, "meta": self.meta, "runs": self.runs}, indent=1) + "\n")

    @property
    def calibrations(self) -> list[float]:
        return [run["figures"]["calibration"] for run in self.runs if "calibration" in run.get("figures", {})]

    @property
    def distances(self) -> list[float]:
        """Of the two cores, at each run of a server; see load.c."""
        return [run["figures"]["distance_ns"] for run in self.runs if "distance_ns" in run.get("figures", {})]

    def workloads(self) -> list[str]:
        """The workloads that were run, in our order."""
        present = {run["workload"] for run in self.runs}
        return [name for name in WORKLOADS if name in present]

    def contenders(self) -> list[str]:
        """The contenders that were run, in the order of the columns."""
        present = {run["contender"] for run in self.runs}
        return [key for key in self.meta["contenders"] if key in present]

    def summary(self, workload: str, contender: str) -> Summary | None:
        """The cell of a table; None when that was not run at all."""
        runs = [run for run in self.runs if run["workload"] == workload and run["contender"] == contender]
        if not runs:
            return None
        values = [self._value(workload, run["figures"]) for run in runs if "figures" in run]
        failed = [run for run in runs if "failure" in run]
        failures = tuple(dict.fromkeys(f"{run['failure']}: {run['why']}" for run in failed))
        median = statistics.median(values) if values else None
        spread = (max(values) - min(values)) / median if median else 0.0
        supported = not failed or any(run["failure"] != "unsupported" for run in failed)
        return Summary(median, spread, len(values), failures, supported)

    def ratio(self, workload: str, contender: str) -> float | None:
        """How many times less than the base contender it takes; None when one of the two has no figure."""
        base, own = self.summary(workload, BASE), self.summary(workload, contender)
        if base is None or own is None or not base.value or not own.value:
            return None
        return base.value / own.value

    def _value(self, workload: str, figures: dict[str, float]) -> float:
        if WORKLOADS[workload].unit == "bytes":
            return figures["bytes"]
        value = figures["cpu_ns"]
        if WORKLOADS[workload].group in ("tasks", "demo"):
            # CPU-bound in the process itself: brought to the run's usual speed of the core
            value *= statistics.median(self.calibrations) / figures["calibration"]
        return value

    def noise(self) -> float | None:
        """How far the calibration of the middle 80 % of the runs lies apart, as a share of its median."""
        values = sorted(self.calibrations)
        if len(values) < 10:
            return None
        tenth = len(values) // 10
        return (values[-1 - tenth] - values[tenth]) / statistics.median(values)
