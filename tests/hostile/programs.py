"""The random programs of the property tests, those of one seed."""

from __future__ import annotations

import functools
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from properties import grammar, themes

SHORTEST = 60  # characters of a program: shorter ones do next to nothing


@functools.cache  # so that no pass leaves objects of hypothesis's behind
def programs(seed: int, count: int) -> list[Any]:
    """`count` programs of everything; what an implementation lacks, its programs are told."""
    found: list[Any] = []
    parts = themes.parts_of(list(themes.THEMES))

    @hypothesis.seed(seed)
    @settings(
        max_examples=3 * count + 20,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(program=grammar.programs(*parts))
    def collect(program: Any) -> None:
        if len(repr(program)) >= SHORTEST:
            found.append(program)

    collect()
    return found[-count:]  # those that come later are the larger ones
