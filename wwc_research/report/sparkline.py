"""Pictures as small as a word, for tables: a series as a line, and an estimate with its interval as a mark.

In: values. Out: an inline SVG of some hundred bytes, in the colours of the text around it, in dark mode too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby

from markupsafe import Markup

from wwc_research.errors import Faults
from wwc_research.report.language import shown

WIDTH, HEIGHT, EDGE = 96, 20, 3  # CSS pixels; EDGE keeps strokes inside
MOST_VALUES = 48  # more steps than this could not be seen in the width
_ACCENT = "var(--accent,currentColor)"


def sparkline(
    values: Sequence[float | None],
    *,
    label: str,
    low: float | None = None,
    high: float | None = None,
    mark: float | None = None,
) -> Markup:
    """The series as a line that breaks where a value is missing, with its last value as a dot.

    Parameters
    ----------
    values
        At equal steps; None or NaN where there is none. Of more than `MOST_VALUES` evenly chosen ones are drawn.
    label
        What it shows, for those who cannot see it: text or a message.
    low, high
        Ends of the scale, to draw several series alike; those of the values where None.
    mark
        Position among the values at which a thin upright line stands, such as 3.5 between the fourth and the fifth.

    Raises
    ------
    InputError
        For an empty label, and ends of a scale in the wrong order.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    bottom = min(known, default=0.0) if low is None else low
    top = max(known, default=1.0) if high is None else high
    faults = Faults("sparkline")
    if not str(label).strip():
        faults.add("label is empty; say what the line shows.")
    if low is not None and high is not None and low >= high:
        faults.add(f"low = {low:g} is not below high = {high:g}.")
    faults.raise_if_any()
    last = max(len(values) - 1, 1)
    step = max(1, math.ceil(last / MOST_VALUES))

    def across(position: float) -> int:
        return round(EDGE + (WIDTH - 2 * EDGE) * position / last)

    def up(value: float) -> int:
        share = (value - bottom) / (top - bottom) if top > bottom else 0.5
        return round(HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * min(max(share, 0.0), 1.0))

    chosen = [*range(0, last, step), last] if len(values) > 1 else list(range(len(values)))
    points = [
        None if (value := values[at]) is None or not math.isfinite(value) else (across(at), up(value)) for at in chosen
    ]
    runs = [[point for point in run if point] for is_known, run in groupby(points, key=bool) if is_known]
    parts = (
        [Markup('<path d="M{} 1V{}" stroke-dasharray="2"/>').format(across(mark), HEIGHT - 1)]
        if mark is not None
        else []
    )
    if runs:
        parts.append(
            Markup('<path d="{}" style="stroke:{}" stroke-width="1.5"/>').format("".join(map(_run, runs)), _ACCENT)
        )
        parts.append(
            Markup('<circle cx="{}" cy="{}" r="2.2" style="fill:{}" stroke="none"/>').format(*runs[-1][-1], _ACCENT)
        )
    return _picture(parts, label=label)


def _run(points: Sequence[tuple[int, int]]) -> str:
    """The points as a path of relative steps; a single one is a stroke of no length, which round caps make a dot."""
    (x, y), *rest = points
    path = f"M{x} {y}" + ("l" if rest else "h0")
    for at, (next_x, next_y) in enumerate(rest):
        path += f"{' ' if at else ''}{next_x - x} {next_y - y}"
        x, y = next_x, next_y
    return path.replace(" -", "-")


def interval_mark(
    estimate: float | None,
    low: float | None,
    high: float | None,
    *,
    limit: float | None,
    scale_to: float,
    label: str,
) -> Markup:
    """An estimate as a dot on its interval, with a line at zero and dotted ones at the smallest effect of interest.

    Parameters
    ----------
    estimate, low, high
        In one unit; None or NaN where undefined: then only the lines are drawn. What goes beyond the scale ends in an
        arrow at its edge.
    limit
        The smallest effect of interest, marked on either side of zero; None for none.
    scale_to
        Size of effect at either edge, the same for all marks that are read together.
    label
        What it shows, for those who cannot see it: text or a message.

    Raises
    ------
    InputError
        For an empty label, and a scale that is not positive.
    """
    faults = Faults("interval mark")
    if not str(label).strip():
        faults.add("label is empty; say what the mark shows.")
    if not (math.isfinite(scale_to) and scale_to > 0):
        faults.add(f"scale_to = {scale_to} is not a positive number.")
    faults.raise_if_any()
    middle, half, reach = HEIGHT // 2, WIDTH / 2, WIDTH / 2 - EDGE

    def across(value: float) -> float:
        return round(half + reach * min(max(value / scale_to, -1.0), 1.0), 1)

    parts = [Markup('<path d="M{:g} 1V{}" opacity=".6"/>').format(half, HEIGHT - 1)]
    if limit is not None and 0 < abs(limit) <= scale_to:
        ends = (across(-abs(limit)), across(abs(limit)))
        path = "".join(f"M{end:g} 3V{HEIGHT - 3}" for end in ends)
        parts.append(Markup('<path d="{}" stroke-dasharray="1 2"/>').format(path))
    drawn = [value for value in (estimate, low, high) if value is not None and math.isfinite(value)]
    if len(drawn) == 3:
        first, left, right = drawn
        path = f"M{across(left):g} {middle}H{across(right):g}"
        path += "m-3-3 3 3-3 3" if right > scale_to else ""
        path += f"M{across(left) + 3:g} {middle - 3}l-3 3 3 3" if left < -scale_to else ""
        parts.append(Markup('<path d="{}" style="stroke:{}" stroke-width="2"/>').format(path, _ACCENT))
        dot = '<circle cx="{:g}" cy="{}" r="3" style="fill:{}" stroke="none"/>'
        parts.append(Markup(dot).format(across(first), middle, _ACCENT))
    return _picture(parts, label=label)


def _picture(parts: Sequence[Markup], *, label: str) -> Markup:
    whole = (
        '<svg role="img" aria-label="{}" width="{}" height="{}" viewBox="0 0 {} {}" fill="none" stroke="currentColor" '
        'stroke-linecap="round">{}</svg>'
    )
    return Markup(whole).format(shown(label), WIDTH, HEIGHT, WIDTH, HEIGHT, Markup("").join(parts))


__all__ = ["interval_mark", "sparkline"]
