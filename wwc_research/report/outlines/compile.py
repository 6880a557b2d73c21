"""Census state boundaries → states.toml, the simplified outlines this package ships.

In: TopoJSON of the states. Run `python -m wwc_research.report.outlines.compile states-10m.json`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wwc_research.atomic import written_whole
from wwc_research.errors import DataError
from wwc_research.sources.places import STATE_OF_CODE

# Square degrees of the smallest triangle that is kept, and of the smallest island. Alaska is drawn small and Hawaii
# large; elsewhere a triangle is about a tenth of a degree high.
SMALLEST_TRIANGLE = {"AK": 0.15, "HI": 0.002}
SMALLEST_ISLAND = {"AK": 0.5, "HI": 0.03}
ELSEWHERE = 0.03, 0.05
TERRITORIES = frozenset({"PR", "AS", "GU", "MP", "VI"})
SOURCE = {
    "publisher": "U.S. Census Bureau",
    "series": "Cartographic boundary files of the states, in the simplification of us-atlas (its edition 10m)",
    "vintage": "2017",
    "licence": "Boundaries are in the public domain (US Government work); the TopoJSON edition is under the ISC "
    "licence, copyright 2013-2019 Michael Bostock",
    "obtained": "us-atlas 3.0.1, states-10m.json",
}
Floats = npt.NDArray[np.float64]
Arc = int
Ring = tuple[Arc, ...]


def compile_outlines(topology_file: Path, *, out: Path) -> None:
    """Write the outlines of `topology_file` to `out`: each arc simplified once, so that neighbours still meet.

    Lines lose the points that span the smallest triangles with their neighbours (Visvalingam and Whyatt 1993) and are
    rounded to a hundredth of a degree; small islands, the Aleutians beyond the date line, and the territories are left
    out.

    Raises
    ------
    DataError
        Where the file is no topology of states.
    """
    raw = topology_file.read_bytes()
    topology = json.loads(raw)
    if topology.get("type") != "Topology" or "states" not in topology.get("objects", {}):
        raise DataError(f"{topology_file} holds no TopoJSON object 'states'; give states-10m.json of us-atlas")
    owners = _owners(topology)
    arcs = [_simplified(arc, states=owners.get(number, ())) for number, arc in enumerate(_arcs(topology))]
    source = {**SOURCE, "input_sha256": hashlib.sha256(raw).hexdigest()}
    sections = [_section("source", source)]
    sections += [_outline("land", states, ring) for states, ring in _land(arcs, owners)]
    sections += [_outline("border", states, arcs[arc]) for arc, states in sorted(owners.items()) if len(states) == 2]
    head = (
        "# Written by outlines/compile.py, never edited by hand. Points: longitude latitude, hundredths of a degree.\n"
    )
    with written_whole(out) as beside:
        beside.write_text("\n".join([head, *sections]), encoding="utf-8")


def _arcs(topology: Mapping[str, Any]) -> list[Floats]:
    """Arcs in degrees (TopoJSON 1.0, section 2.1.2: quantised and delta-encoded)."""
    scale, shift = (np.array(topology["transform"][key]) for key in ("scale", "translate"))
    return [np.cumsum(np.array(arc), axis=0) * scale + shift for arc in topology["arcs"]]


def _owners(topology: Mapping[str, Any]) -> dict[Arc, tuple[str, ...]]:
    """States on either side of each arc; one where the other side is water or abroad."""
    found: dict[Arc, set[str]] = {}
    for geometry in topology["objects"]["states"]["geometries"]:
        state = STATE_OF_CODE.get(geometry["id"])
        if state is None or state in TERRITORIES:
            continue
        polygons = [geometry["arcs"]] if geometry["type"] == "Polygon" else geometry["arcs"]
        for arc in (arc for polygon in polygons for ring in polygon for arc in ring):
            found.setdefault(arc if arc >= 0 else ~arc, set()).add(state)
    return {arc: tuple(sorted(states)) for arc, states in found.items()}


def _simplified(arc: Floats, *, states: tuple[str, ...]) -> Floats:
    """The arc with fewer points, rounded to a hundredth of a degree; its ends stay."""
    smallest = next((SMALLEST_TRIANGLE[state] for state in states if state in SMALLEST_TRIANGLE), ELSEWHERE[0])
    line = arc
    while len(line) > 2:
        areas = _triangles(line)
        least = int(np.argmin(areas))
        if areas[least] >= smallest:
            break
        line = np.delete(line, least + 1, axis=0)
    rounded = np.round(line, 2)
    moved = np.r_[True, (rounded[1:] != rounded[:-1]).any(axis=1)]
    return rounded[moved]


def _triangles(line: Floats) -> Floats:
    """Area of the triangle of each inner point with its two neighbours, in square degrees."""
    before, after = line[1:-1] - line[:-2], line[2:] - line[1:-1]
    return np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) / 2


def _land(arcs: Sequence[Floats], owners: Mapping[Arc, tuple[str, ...]]) -> list[tuple[tuple[str, ...], Floats]]:
    """Rings of land large enough to be drawn: arcs with one owner, joined end to end; the largest first."""
    coast = [arc for arc, states in sorted(owners.items()) if len(states) == 1]
    rings = []
    left = dict.fromkeys(coast)
    while left:
        ring, states = _walk(next(iter(left)), left, arcs, owners)
        smallest = next((SMALLEST_ISLAND[state] for state in states if state in SMALLEST_ISLAND), ELSEWHERE[1])
        if len(ring) > 3 and _area(ring) >= smallest and ring[:, 0].max() < 0:
            rings.append((tuple(sorted(states)), ring))
    return sorted(rings, key=lambda entry: -_area(entry[1]))


def _walk(
    start: Arc, left: dict[Arc, None], arcs: Sequence[Floats], owners: Mapping[Arc, tuple[str, ...]]
) -> tuple[Floats, set[str]]:
    """One closed ring from `start` over the arcs that are left, which it takes out; and the states along it."""
    del left[start]
    ring, states = arcs[start], set(owners[start])
    while not (ring[0] == ring[-1]).all():
        following = next((arc for arc in left if _touches(arcs[arc], ring[-1])), None)
        if following is None:
            raise DataError(f"the outline that begins at {ring[0].tolist()} does not close; the file is not whole")
        del left[following]
        piece = arcs[following]
        forward = bool((piece[0] == ring[-1]).all())
        ring = np.vstack([ring, (piece if forward else piece[::-1])[1:]])
        states |= set(owners[following])
    return ring, states


def _touches(arc: Floats, point: Floats) -> bool:
    return bool((arc[0] == point).all() or (arc[-1] == point).all())


def _area(ring: Floats) -> float:
    """Area in square degrees, without regard to how degrees of longitude narrow (the shoelace formula)."""
    x, y = ring.T
    return abs(float(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1]))) / 2


def _section(name: str, values: Mapping[str, str]) -> str:
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join([f"[{name}]", *lines, ""])


def _outline(kind: str, states: Sequence[str], points: Floats) -> str:
    whole = " ".join(str(round(value * 100)) for value in points.ravel())
    return f'[[{kind}]]\nstates = "{" ".join(states)}"\npoints = "{whole}"\n'


if __name__ == "__main__":
    compile_outlines(Path(sys.argv[1]), out=Path(__file__).with_name("states.toml"))
