"""Similar cities in words and figures: a table for the terminal, a sentence a city, the same as JSON.

In: `Peers`. Out: lines and plain values; no number is computed here but differences that a reader could take himself.
"""

from __future__ import annotations

import math
from typing import Any

from wwc_research.design.peers import Certification, Characteristic, Peer, Peers
from wwc_research.errors import listed

FAR_SHARE = 0.5  # the nearest city is no nearer than half of all pairs: nobody is alike


def lines(found: Peers) -> list[str]:
    """The table of the named city and its peers, a sentence a peer, and what was left out and why."""
    when = _span(found.years)
    said = [f"Cities most like {found.label} in {when}, of {found.n_compared:,} compared", ""]
    said += _table(found)
    said += ["", f"Against {found.label} ({status(found.certification)}):"]
    said += [f"{peer.rank:>3}. {sentence(peer, found=found)}" for peer in found.peers]
    said += ["", *notes(found)]
    return said


def as_answer(found: Peers) -> dict[str, Any]:
    """`Peers.as_dict` with a `sentence` for every peer and the `notes`."""
    answer = found.as_dict()
    for record, peer in zip(answer["peers"], found.peers, strict=True):
        record["sentence"] = sentence(peer, found=found)
    return answer | {"notes": notes(found)}


def sentence(peer: Peer, *, found: Peers) -> str:
    """How one peer differs from the named city, characteristic by characteristic, and how near it is overall."""
    parts = [_difference(item, peer.values[item.name]) for item in found.characteristics]
    gaps = {item.words.noun: abs(peer.gaps[item.name]) for item in found.characteristics}
    most = max(gaps, key=lambda noun: gaps[noun] if math.isfinite(gaps[noun]) else -1.0)
    return (
        f"{peer.label}: {'; '.join(parts)}; overall nearer than {_percent(peer.nearer_than_cities_share)} of all "
        f"cities compared and than {_percent(peer.nearer_than_pairs_share)} of all pairs of cities. Least alike in "
        f"{most} ({gaps[most]:.1f} standard deviations). {_capital(status(peer.certification))}."
    )


def status(certification: Certification) -> str:
    """What is known of a city's certification, in a few words."""
    if certification.status == "never":
        return "never certified"
    level = f" {certification.level}" if certification.level else ""
    if certification.status == "undated":
        return f"certified{level}, date unknown"
    edition = f", {certification.edition.upper()}" if certification.edition else ""
    return f"certified{level}, counted from {certification.since}{edition}"


def notes(found: Peers) -> list[str]:
    """What a reader must know: when measured, what is missing, who was left out, whom not to compare with."""
    scale = "Mahalanobis distance: differences in standard deviations, characteristics that go together counted once."
    said = [
        f"Figures are of {_span(found.years)}, before any of these cities was certified. Near means a small {scale}"
    ]
    said += [f"Not compared on: {text}." for text in found.missing]
    said += [f"Left out: {item.units:,} cities, {item.reason}." for item in found.exclusions]
    if found.peers and found.peers[0].nearer_than_pairs_share < FAR_SHARE:
        said.append(
            f"No city is close: even {found.peers[0].label} is nearer than only "
            f"{_percent(found.peers[0].nearer_than_pairs_share)} of all pairs of cities. Compare with care."
        )
    undated = [peer.label for peer in found.peers if peer.certification.status == "undated"]
    if undated:
        said.append(
            f"Certified at a date that is not known, so no comparison for any year: {listed(undated, limit=20)}."
        )
    said.append(
        "Never certified means not on the public roster; who applied and was not certified is not public, and not here."
    )
    return said


def _table(found: Peers) -> list[str]:
    heads = ["", "City", *(item.words.head for item in found.characteristics), "Distance", "Certification"]
    own = {item.name: item.value for item in found.characteristics}
    rows = [["", found.label, *_cells(found, own), "", status(found.certification)]]
    rows += [
        [str(p.rank), p.label, *_cells(found, dict(p.values)), f"{p.distance:.2f}", status(p.certification)]
        for p in found.peers
    ]
    widths = [max(len(row[at]) for row in [heads, *rows]) for at in range(len(heads))]
    left = {1, len(heads) - 1}
    return [
        "  ".join(
            cell.ljust(width) if at in left else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [heads, *rows]
    ]


def _cells(found: Peers, values: dict[str, float]) -> list[str]:
    cells = []
    for item in found.characteristics:
        value = values[item.name]
        cells.append(f"{100 * value:.1f}" if item.words.said_as == "points" else _figure(value))
    return cells


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.3g}"


def _difference(item: Characteristic, value: float) -> str:
    words = item.words
    if words.said_as == "figures":
        return f"{words.noun} {_rounded(value)} against {_rounded(item.value)}"
    if words.said_as == "percent":
        size = 100 * (value / item.value - 1) if item.value else math.nan
        unit, shown = " %", f"{abs(size):.0f}"
    else:
        size = 100 * (value - item.value)
        shown = f"{abs(size):.0f}" if abs(size) >= 1.95 else f"{abs(size):.1f}"
        unit = " point" if shown == "1.0" else " points"
    if not math.isfinite(size):
        return f"{words.noun} cannot be compared"
    if float(shown) == 0:
        return f"{words.noun} alike"
    return f"{words.noun} {shown}{unit} {words.more if size > 0 else words.less}"


def _rounded(value: float) -> str:
    return f"{round(value, -3):,.0f}" if value >= 10_000 else f"{value:,.0f}"


def _percent(share: float) -> str:
    """Whole percent, never rounded up to all."""
    return f"{math.floor(100 * share)} %"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _span(years: tuple[int, ...]) -> str:
    return str(years[0]) if len(years) == 1 else f"{min(years)}-{max(years)}"
