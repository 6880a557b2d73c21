"""The adoption timeline: who was awarded what and when, and the sentence that goes with it.

In: plain rows. Out: axes, text.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl

mpl.use("agg", force=False)

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from wwc_research.errors import InputError, listed
from wwc_research.evidence.adoptions import EVENTS
from wwc_research.messages import Message, counted, message
from wwc_research.report import plots
from wwc_research.report.language import shown
from wwc_research.report.map_plot import one_path, years_told
from wwc_research.report.plots import BLUE, GREY, INK, STYLE, Rows
from wwc_research.standard.timing import LEVEL_DOSE, UNKNOWN_LEVEL

MOST_CITIES = 60
_LOOKS: Final[Mapping[str, tuple[str, str, Message]]] = {
    "silver": ("#9aa3a9", "o", message("silver")),
    "gold": ("#E69F00", "s", message("gold")),
    "platinum": (BLUE, "D", message("platinum")),
    UNKNOWN_LEVEL: ("white", "v", message("level not known")),
    "": (BLUE, "o", message("first exposed")),
}
MOST_LETTERS = 24  # of a line that names the axis of the bars, which is short
_PITCH = 0.175  # inches a city


def level_word(level: str) -> Message:
    """What a level is called: `silver`; empty where there are no levels."""
    return _LOOKS[level][2] if level else Message("")


def timeline_finding(rows: Rows, *, one: str, many: str) -> Message:
    """One sentence for the timeline: how many cities, when, at what level, and how many rose later.

    Parameters
    ----------
    rows
        From `evidence.adoptions`: `timeline_rows` or `award_rows`.
    one, many
        What a city is called: `certified city`, `certified cities`.

    Examples
    --------
    >>> first = {"label": "A", "event": "first", "level": "silver", "year": 2018}
    >>> rose = {"label": "A", "event": "level-up", "level": "gold", "year": 2020}
    >>> timeline_finding([first, rose], one="certified city", many="certified cities")
    '1 certified city had its first award in 2018: 1 at silver; 1 later rose to a higher level.'
    """
    firsts = [row for row in rows if row["event"] == "first"]
    if not firsts:
        return message("No {many} are in the sample, so the timeline is empty.", many=many)
    years = Counter(row["year"] for row in firsts if row["year"] is not None)
    levels = Counter(row["level"] for row in firsts if row["level"])
    when = years_told(years) if years else message("at a date not known")
    named: dict[str, Any] = {"n": len(firsts), "one": one, "many": many, "when": when}
    if levels:
        parts = [
            counted(
                "{n:,} {one} had its first award {when}: {levels:list}",
                "{n:,} {many} had their first award {when}: {levels:list}",
                levels=_levels_told(levels),
                **named,
            )
        ]
    else:
        parts = [counted("{n:,} {one} was exposed {when}", "{n:,} {many} were exposed {when}", **named)]
    if (undated := len(firsts) - years.total()) and years:
        parts.append(counted("{n} is not dated", "{n} are not dated", n=undated))
    if rose := len({row["label"] for row in rows if row["event"] == "level-up"}):
        parts.append(counted("{n} later rose to a higher level", "{n} later rose to a higher level", n=rose))
    return message("{parts:semicolons}.", parts=parts)


def _levels_told(levels: Mapping[str, int]) -> list[Message]:
    """How many at which level, from the lowest up, those of unknown level last."""
    told = [
        message("{n_cities:,} at {level}", n_cities=levels[level], level=_LOOKS[level][2])
        for level in LEVEL_DOSE
        if levels.get(level) and level in _LOOKS
    ]
    unknown = levels.get(UNKNOWN_LEVEL, 0)
    return [*told, message("{n_cities:,} at a level not known", n_cities=unknown)] if unknown else told


def timeline_caption(*, is_award: bool = True) -> Message:
    """What stands under the timeline: which year an award, or another beginning, is shown in."""
    if not is_award:
        return message(
            "Each city in the calendar year in which it began; the analysis counts a city as exposed from the first "
            "year that this can have reached, which can be the year after."
        )
    return message(
        "Each award in the calendar year in which it was announced; the analysis counts a city as exposed from the "
        "first year that the award can have reached, which can be the year after."
    )


def adoption_timeline(rows: Rows) -> Axes:
    """First awards a year as bars stacked by level, and below each city's first award, later rises and renewals.

    Bars count calendar years of announcement. Awards without a date stand in a column of their own on the right. The
    lower part is drawn for up to sixty cities. The axes returned are the upper ones.

    Parameters
    ----------
    rows
        Rows with label, event, level, announced_on, year, cities in the order wanted.

    Raises
    ------
    InputError
        Where a row's event or level is not known, or a city has not exactly one first award.
    """
    _check(rows)
    cities = list(dict.fromkeys(row["label"] for row in rows))
    is_listed = 0 < len(cities) <= MOST_CITIES
    drawn = rows if is_listed else [row for row in rows if row["event"] == "first"]
    years = [row["year"] for row in drawn if row["year"] is not None]
    span = (min(years), max(years)) if years else (2018, 2018)
    nowhere = span[1] + 1 if any(row["year"] is None for row in drawn) else None
    heights = [1.9, _PITCH * (len(cities) + 1)] if is_listed else [2.4]
    with mpl.rc_context({**STYLE, "font.size": 9}):
        _, grid = plt.subplots(
            len(heights),
            1,
            figsize=(5.2, sum(heights) + 0.75),
            height_ratios=heights,
            sharex=True,
            squeeze=False,
            layout="constrained",
        )
    upper = grid[0, 0]
    _bars(upper, [row for row in rows if row["event"] == "first"], nowhere=nowhere)
    if is_listed:
        _dots(grid[1, 0], rows, cities=cities, nowhere=nowhere)
    last = nowhere or span[1]
    upper.set_xlim(span[0] - 0.1, last + 1.1)
    names = [_year_name(year, first=span[0], nowhere=nowhere) for year in range(span[0], last + 1)]
    upper.set_xticks([year + 0.5 for year in range(span[0], last + 1)], names)
    upper.tick_params(axis="x", bottom=False, labelbottom=True)
    if is_listed:
        grid[1, 0].tick_params(axis="x", bottom=False, labelbottom=False)
        turns = [np.array([(year, -0.7), (year, len(cities) - 0.3)]) for year in range(span[0], last + 2)]
        grid[1, 0].add_patch(one_path(turns, facecolor="none", edgecolor="#e9e9e9", linewidth=0.8, zorder=0.5))
    handles = _handles(drawn)
    plots.legend_above(upper, handles)
    return upper


def _year_name(year: int, *, first: int, nowhere: int | None) -> str:
    """`2018`, then `’19`, so that the years stand side by side on a phone."""
    if year == nowhere:
        return textwrap.fill(shown(message("no date")), 6, break_long_words=False)
    return str(year) if year == first else f"’{year % 100:02d}"


def _check(rows: Rows) -> None:
    wrong = sorted({str(row["event"]) for row in rows} - {*EVENTS})
    if wrong:
        raise InputError(f"events {listed(wrong)} have no place on the timeline; allowed: {listed(EVENTS)}")
    unknown = sorted({str(row["level"]) for row in rows} - {*_LOOKS})
    if unknown:
        raise InputError(
            f"levels {listed(unknown)} are not known; allowed: {listed(level for level in _LOOKS if level)}"
        )
    firsts = Counter(row["label"] for row in rows if row["event"] == "first")
    unclear = sorted({row["label"] for row in rows if firsts[row["label"]] != 1})
    if unclear:
        raise InputError(f"{listed(unclear)} should have exactly one first award each; correct the rows")


def _bars(axes: Axes, firsts: Rows, *, nowhere: int | None) -> None:
    """Number of first awards a year, stacked from the lowest level up, with the sum above each bar."""
    counts = Counter((int(_when(row, nowhere=nowhere)), row["level"]) for row in firsts)
    years = sorted({year for year, _ in counts})
    below = np.zeros(len(years))
    for level, (colour, _, _) in _LOOKS.items():
        values = np.array([counts[year, level] for year in years], dtype=float)
        if values.any():
            is_there = values > 0
            places = np.array(years)[is_there] + 0.5
            axes.bar(
                places, values[is_there], bottom=below[is_there], width=0.75, color=colour, edgecolor=INK, linewidth=0.6
            )
            below += values
    for year, total in zip(years, below, strict=True):
        axes.annotate(
            plots.number("{total:,.0f}", total=total),
            (year + 0.5, total),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            color=INK,
        )
    axes.set_axisbelow(True)
    axes.set_ylim(0, max(float(below.max(initial=0)) * 1.15, 1.0))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.yaxis.set_major_formatter(plots.NumberTicks())
    with_levels = any(row["level"] for row in firsts)
    told = shown(message("Cities, first award") if with_levels else message("Cities, first exposed"))
    axes.set_ylabel(textwrap.fill(told, MOST_LETTERS, break_long_words=False))


def _dots(axes: Axes, rows: Rows, *, cities: Sequence[str], nowhere: int | None) -> None:
    """A line a city: its first award and rises as markers of the level, renewals as strokes."""
    at = {city: place for place, city in enumerate(cities)}
    points = [(_when(row, nowhere=nowhere), at[row["label"]], row) for row in rows]
    reach: dict[int, list[float]] = {}
    for when, place, row in points:
        if row["year"] is not None:
            reach.setdefault(place, []).append(when)
    spans = [np.array([(min(own), place), (max(own), place)]) for place, own in reach.items() if len(own) > 1]
    if spans:
        axes.add_patch(one_path(spans, facecolor="none", edgecolor="#c4c4c4", linewidth=1.0))
    strokes = [
        np.array([(when, place - 0.25), (when, place + 0.25)])
        for when, place, row in points
        if row["event"] == "recertified"
    ]
    if strokes:
        axes.add_patch(one_path(strokes, facecolor="none", edgecolor=GREY, linewidth=1.4))
    for level, (colour, marker, _) in _LOOKS.items():
        chosen = [(when, place) for when, place, row in points if row["level"] == level and row["event"] != EVENTS[2]]
        if chosen:
            axes.plot(*np.array(chosen).T, **_marker(colour, marker))
    axes.set_ylim(len(cities) - 0.3, -0.7)
    axes.set_yticks([])
    # plain texts: tick labels would make half as much file again
    style: dict[str, Any] = {
        "ha": "right",
        "va": "center_baseline",
        "fontsize": 8.5,
        "transform": axes.get_yaxis_transform(),
    }
    for city, row_number in at.items():
        axes.text(-0.01, row_number, city, **style)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _when(row: Mapping[str, Any], *, nowhere: int | None) -> float:
    """Date as a fraction of a year: the middle of a month or year where no day is published."""
    if row["year"] is None:
        return math.nan if nowhere is None else nowhere + 0.5
    year, *rest = (int(part) for part in row["announced_on"].split("-"))
    if not rest:
        return year + 0.5
    day = rest[1] if len(rest) > 1 else 15
    return year + (rest[0] - 1 + (day - 1) / 31) / 12


def _marker(colour: str, marker: str) -> dict[str, Any]:
    return {
        "linestyle": "",
        "marker": marker,
        "markersize": 5.5,
        "markerfacecolor": colour,
        "markeredgecolor": INK,
        "markeredgewidth": 0.6,
    }


def _handles(rows: Rows) -> list[Line2D]:
    present = {row["level"] for row in rows}
    handles = [
        Line2D([], [], **_marker(colour, marker), label=shown(title))
        for level, (colour, marker, title) in _LOOKS.items()
        if level in present
    ]
    if any(row["event"] == "recertified" for row in rows):
        stroke: dict[str, Any] = {
            "linestyle": "",
            "marker": "|",
            "color": GREY,
            "markersize": 6,
            "markeredgewidth": 1.4,
        }
        handles.append(Line2D([], [], **stroke, label=shown(message("renewed"))))
    return handles
