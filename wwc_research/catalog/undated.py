"""First certifications of unknown day, declared in `undated.toml`: the interval, and the cohorts that remain.

In: the package's own TOML. Out: frozen `Interval`s by event.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from wwc_research import catalog
from wwc_research.errors import DataError, Faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """When an undated event can have happened; `name` is its `event_id`. See the head of `undated.toml`."""

    name: str
    place_id: str
    label: str
    earliest: str
    latest: str
    evidence: str
    source: str
    confidence: Literal["source", "inferred", "memory", "unknown"]
    candidates: tuple[str, ...] = ()


def read_intervals(text: str, *, file: str = "catalog/undated.toml") -> dict[str, Interval]:
    """The intervals of a TOML text by event.

    Raises
    ------
    DataError
        With every fault: ill-typed fields, an interval that ends before it begins, candidates outside it.
    """
    entries = catalog.read_entries(Interval, text, file=file)
    faults = Faults(file, kind=DataError)
    for entry in entries.values():
        if entry.earliest > entry.latest:
            faults.add(f"[{entry.name}] earliest {entry.earliest} lies after latest {entry.latest}")
        for date in entry.candidates:
            # dates of one precision compare as text; a month counts as inside where it touches the interval
            if not entry.earliest[: len(date)] <= date <= entry.latest[: len(date)]:
                faults.add(f"[{entry.name}] candidate {date} lies outside {entry.earliest} to {entry.latest}")
    faults.raise_if_any()
    return entries


@cache
def intervals() -> dict[str, Interval]:
    """The declared intervals by event, in the order of the file."""
    return read_intervals(catalog.text_of("undated.toml"))
