"""Similar cities in words and figures: a table for the terminal, a sentence a city, the same as JSON.

In: `Peers`. Out: lines and plain values; no number is computed here but differences that a reader could take himself.
"""

from __future__ import annotations

import math
from typing import Any

from wwc_research.design.peers import Certification, Characteristic, Peer, Peers
from wwc_research.messages import Message, counted, message
from wwc_research.report.wording import number

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


def sentence(peer: Peer, *, found: Peers) -> Message:
    """How one peer differs from the named city, characteristic by characteristic, and how near it is overall."""
    parts = [_difference(item, peer.values[item.name]) for item in found.characteristics]
    gaps = {item.words.noun: abs(peer.gaps[item.name]) for item in found.characteristics}
    most = max(gaps, key=lambda noun: gaps[noun] if math.isfinite(gaps[noun]) else -1.0)
    return message(
        "{city}: {parts:semicolons}; overall nearer than {cities} % of all cities compared and than {pairs} % of all "
        "pairs of cities. Least alike in {noun} ({gap:.1f} standard deviations). Certification: {status}.",
        city=peer.label,
        parts=parts,
        cities=_percent(peer.nearer_than_cities_share),
        pairs=_percent(peer.nearer_than_pairs_share),
        noun=most,
        gap=gaps[most],
        status=status(peer.certification),
    )


def status(certification: Certification) -> Message:
    """What is known of a city's certification, in a few words."""
    level, since = certification.level, certification.since
    if certification.status == "never":
        return message("not on the list")
    if certification.status == "undated":
        if level:
            return message("certified {level}, date unknown", level=level)
        return message("certified, date unknown")
    edition = certification.edition.upper()
    if level and edition:
        return message("certified {level}, counted from {since}, {edition}", level=level, since=since, edition=edition)
    if level:
        return message("certified {level}, counted from {since}", level=level, since=since)
    return message("certified, counted from {since}", since=since)


def notes(found: Peers) -> list[Message]:
    """What a reader must know: when measured, what is missing, who was left out, whom not to compare with."""
    said = [
        message(
            "Figures are of {years}, before any of these cities was certified. Near means a small Mahalanobis "
            "distance: differences in standard deviations, characteristics that go together counted once.",
            years=_span(found.years),
        )
    ]
    said += [message("Not compared on: {text}.", text=text) for text in found.missing]
    said += [
        counted(
            "Left out: {n:,} city, {reason}.", "Left out: {n:,} cities, {reason}.", n=item.units, reason=item.reason
        )
        for item in found.exclusions
    ]
    if is_far(found):
        said.append(
            message(
                "No city is close: even {city} is nearer than only {pairs} % of all pairs of cities. Compare with "
                "care.",
                city=found.peers[0].label,
                pairs=_percent(found.peers[0].nearer_than_pairs_share),
            )
        )
    undated = [peer.label for peer in found.peers if peer.certification.status == "undated"]
    if undated:
        said.append(
            message(
                "Certified at a date that is not known, so no comparison for any year: {cities:list}.", cities=undated
            )
        )
    said.append(
        message(
            "Not on the list means not on the public roster of certified cities; nothing more is public, and nothing "
            "more is said here."
        )
    )
    return said


def is_far(found: Peers) -> bool:
    """Whether even the nearest city is not close."""
    return bool(found.peers) and found.peers[0].nearer_than_pairs_share < FAR_SHARE


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


def _difference(item: Characteristic, value: float) -> Message:
    words = item.words
    if words.said_as == "figures":
        return message(
            "{noun} {value:,.0f} against {own:,.0f}", noun=words.noun, value=_rounded(value), own=_rounded(item.value)
        )
    size = 100 * (value / item.value - 1 if item.value else math.nan)
    if words.said_as == "points":
        size = 100 * (value - item.value)
    if not math.isfinite(size):
        return message("{noun} cannot be compared", noun=words.noun)
    decimals = 0 if words.said_as == "percent" or abs(size) >= 1.95 else 1
    shown = round(abs(size), decimals)
    if shown == 0:
        return message("{noun} alike", noun=words.noun)
    told = {"noun": words.noun, "size": number(shown, decimals=decimals), "way": words.more if size > 0 else words.less}
    if words.said_as == "percent":
        return message("{noun} {size} % {way}", **told)
    if shown == 1.0:
        return message("{noun} {size} point {way}", **told)
    return message("{noun} {size} points {way}", **told)


def _rounded(value: float) -> float:
    return round(value, -3) if value >= 10_000 else value


def _percent(share: float) -> int:
    """Whole percent, never rounded up to all."""
    return math.floor(100 * share)


def _span(years: tuple[int, ...]) -> str:
    return str(years[0]) if len(years) == 1 else f"{min(years)}-{max(years)}"
