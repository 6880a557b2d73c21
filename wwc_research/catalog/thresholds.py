"""Candidate levels for outcomes, declared in `thresholds.toml`: each with its source, none of them a default.

In: the package's own TOML. Out: frozen `Threshold`s by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from wwc_research import catalog
from wwc_research.errors import InputError, listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Threshold:
    """A published level of one panel column; see the head of `thresholds.toml` for the fields."""

    name: str
    title: str
    variable: str
    value: float
    unit: str
    source: str
    confidence: Literal["source", "inferred", "memory", "unknown"]
    averaging_years: int = 1
    effective_from: str = ""


@cache
def thresholds() -> dict[str, Threshold]:
    """All candidate thresholds by name, in the order of the file."""
    return catalog.read_entries(Threshold, catalog.text_of("thresholds.toml"), file="catalog/thresholds.toml")


def threshold(name: str) -> Threshold:
    """The candidate `name`; an unknown name is an InputError that lists the known ones."""
    if name not in thresholds():
        raise InputError(f"there is no threshold {name!r}; give a number, or one of {listed(thresholds(), limit=40)}")
    return thresholds()[name]


def candidates_for(variable: str) -> tuple[Threshold, ...]:
    """The candidates that speak about the panel column `variable`."""
    return tuple(entry for entry in thresholds().values() if entry.variable == variable)
