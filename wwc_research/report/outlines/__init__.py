"""Outlines of the states as shipped: land and the borders between states, in degrees.

In: states.toml, written by `compile`. Out: frozen `Outline` values and where they come from.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

Kind = Literal["land", "border"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """A ring of land, or a border between two states.

    Attributes
    ----------
    kind
        `land`: the outer edge of connected states or of an island, first point = last point; `border`: an open line.
    states
        Postal codes of the states it encloses, or of the two it parts.
    points
        (longitude, latitude) in degrees east and north.
    """

    kind: Kind
    states: tuple[str, ...]
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where the outlines come from."""

    publisher: str
    series: str
    vintage: str
    licence: str
    obtained: str
    input_sha256: str


@cache
def state_outlines() -> tuple[Outline, ...]:
    """Land and borders of the fifty states and the District of Columbia, to about a tenth of a degree."""
    return tuple(
        Outline(kind=kind, states=tuple(entry["states"].split()), points=_points(entry["points"]))
        for kind in ("land", "border")
        for entry in _file()[kind]
    )


def outline_source() -> Source:
    """Publisher, series, vintage and licence of the outlines."""
    return Source(**_file()["source"])


@cache
def _file() -> dict:
    return tomllib.loads((resources.files(__package__) / "states.toml").read_text(encoding="utf-8"))


def _points(text: str) -> tuple[tuple[float, float], ...]:
    """Points from `longitude latitude` pairs in hundredths of a degree."""
    numbers = [int(part) / 100 for part in text.split()]
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))
