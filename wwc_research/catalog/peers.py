"""What makes two cities alike, declared in `peers.toml`: characteristics, years, and the words for differences.

In: the package's own TOML. Out: a frozen `PeersRule`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from wwc_research import catalog
from wwc_research.errors import DataError, Faults, listed


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """How one covariate is headed and its differences said; see the head of `peers.toml`."""

    name: str
    head: str
    noun: str
    said_as: Literal["figures", "percent", "points"]
    more: str = "higher"
    less: str = "lower"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeersRule:
    """What cities are compared on where no outcome is named, and the words for every covariate of the catalog."""

    baseline_years: tuple[int, ...]
    characteristics: tuple[str, ...]
    words: Mapping[str, Words]


def read_peers_rule(text: str, *, file: str = "catalog/peers.toml") -> PeersRule:
    """The rule of a TOML text, checked against the covariates of the catalog.

    Raises
    ------
    DataError
        With every fault: ill-typed fields, covariates that do not exist, covariates without words.
    """
    raw = tomllib.loads(text)
    faults = Faults(file, kind=DataError)
    words = {name: catalog.build_entry(Words, name, values, faults) for name, values in raw.pop("words", {}).items()}
    rule = catalog.build_entry(PeersRule, "peers", {**raw, "words": words}, faults)
    known = catalog.covariates()
    for name in (*words, *raw.get("characteristics", ())):
        if name not in known:
            faults.add(f"{name!r} is no covariate; allowed: {listed(known, limit=40)}")
    for name in known:
        if name not in words:
            faults.add(f"covariate {name!r} has no [words.{name}]; say how its differences are said")
    faults.raise_if_any()
    assert rule is not None  # raise_if_any has raised otherwise
    return rule


@cache
def peers_rule() -> PeersRule:
    """The rule that ships with the package."""
    return read_peers_rule(catalog.text_of("peers.toml"))
