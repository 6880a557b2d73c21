"""The adoption timeline: who was awarded what and when, and the rows and the sentence that go with it.

In: a panel, a sample and the public roster of awards, or plain rows. Out: axes, rows, text.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl

mpl.use("agg", force=False)

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from wwc_research import catalog
from wwc_research.design.sample import Sample
from wwc_research.errors import InputError, listed
from wwc_research.panel.panel import Panel
from wwc_research.report.map_plot import one_path, years_told
from wwc_research.report.plots import BLUE, GREY, INK, STYLE, Rows
from wwc_research.standard.timing import LEVEL_DOSE, UNKNOWN_LEVEL

MOST_CITIES = 60
# an honour roll names cities that have no certification, so it is no event of this picture
EVENTS: Final = ("first", "level-up", "recertified")
_LOOKS: Final[Mapping[str, tuple[str, str, str]]] = {
    "silver": ("#9aa3a9", "o", "silver"),
    "gold": ("#E69F00", "s", "gold"),
    "platinum": (BLUE, "D", "platinum"),
    UNKNOWN_LEVEL: ("white", "v", "level not known"),
    "": (BLUE, "o", "first exposed"),
}
_PITCH = 0.175  # inches a city


def timeline_rows(panel: Panel, *, sample: Sample, events: pd.DataFrame) -> list[dict[str, Any]]:
    """One row an award of each exposed city of the sample, or of each exposed city in its exposed counties.

    Only cities that were exposed are in it, and only what the public roster says of them. For a treatment from a level
    on (gold) awards below it are left out, and the first one at it is the first; for a treatment that is no award
    each city has one row, without level.

    Parameters
    ----------
    panel
        The panel from which the sample was drawn.
    sample
        From `Design.sample`.
    events
        Table certification/events: place_id, event, level, announced_on.

    Returns
    -------
    list of dict
        label, event (first, level-up, recertified), level (silver, gold, platinum, unknown; empty for no award),
        announced_on ('' = not dated; as precise as published), year (None = not dated); cities in order of their
        first date, undated ones last.

    Raises
    ------
    InputError
        Where the sample was not drawn from a panel.
    """
    name, unit = sample.settings.get("treatment"), sample.settings.get("unit")
    if name not in catalog.treatments() or unit not in ("place", "county"):
        raise InputError(
            f"the sample has unit {unit!r} and treatment {name!r}; a timeline needs a sample from Design.sample, or "
            "rows of your own for adoption_timeline"
        )
    treatment = catalog.treatment(name)
    places = _exposed_places(panel, sample=sample, treatment=treatment)
    labels = dict(zip(places["place_id"], places["label"], strict=True))
    if treatment.is_award:
        return award_rows(events, labels=labels, minimum_level=treatment.minimum_level)
    dates = zip(places["label"], places[f"{name}_date"], strict=True)
    return _ordered([_row(label, event="first", level="", announced_on=date) for label, date in dates])


def award_rows(events: pd.DataFrame, *, labels: Mapping[str, str], minimum_level: str = "") -> list[dict[str, Any]]:
    """One row an award of the cities in `labels`, as `timeline_rows` gives them.

    Parameters
    ----------
    events
        Table certification/events: place_id, event, level, announced_on.
    labels
        Name on the picture by place_id; other cities are left out.
    minimum_level
        Awards below this level, or of unknown level, are left out.
    """
    chosen = events.loc[events["place_id"].isin(list(labels)) & events["event"].isin(EVENTS)].fillna("")
    least = LEVEL_DOSE[minimum_level or "none"]
    rows: list[dict[str, Any]] = []
    for place_id, awards in chosen.groupby("place_id", sort=True):
        own = [
            _row(labels[str(place_id)], event=event, level=level or UNKNOWN_LEVEL, announced_on=date)
            for event, level, date in awards[["event", "level", "announced_on"]].itertuples(index=False, name=None)
            if not minimum_level or LEVEL_DOSE.get(level, -1.0) >= least
        ]
        own.sort(key=lambda row: (row["event"] != "first", row["announced_on"] == "", row["announced_on"]))
        if minimum_level and own:
            own[0]["event"] = "first"
        rows += own
    return _ordered(rows)


def _exposed_places(panel: Panel, *, sample: Sample, treatment: catalog.Treatment) -> pd.DataFrame:
    """Exposed places of the sample, one row each; in exposed counties those that exposed them."""
    units = sample.frame.loc[sample.frame["cohort"].notna(), "unit"].unique()
    places = panel.frame.drop_duplicates("place_id")
    if sample.settings["unit"] == "place":
        return places.loc[places["place_id"].isin(units)]
    own = places["county_id"].isin(units) & places[f"{treatment.name}_cohort"].notna()
    if treatment.is_award:
        own &= places[f"{treatment.name}_edition"].isin(sample.settings["editions"])
    return places.loc[own]


def _row(label: str, *, event: str, level: str, announced_on: str) -> dict[str, Any]:
    year = int(announced_on[:4]) if announced_on else None
    return {"label": label, "event": event, "level": level, "announced_on": announced_on, "year": year}


def _ordered(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    first = {row["label"]: row["announced_on"] or "~" for row in rows if row["event"] == "first"}
    # a stable sort: awards of one city keep their order
    return sorted(rows, key=lambda row: (first[row["label"]], row["label"]))


def timeline_finding(rows: Rows, *, one: str, many: str) -> str:
    """One sentence for the timeline: how many cities, when, at what level, and how many rose later.

    Parameters
    ----------
    rows
        From `timeline_rows` or `award_rows`.
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
        return f"No {one} is in the sample, so the timeline is empty."
    years = Counter(row["year"] for row in firsts if row["year"] is not None)
    levels = Counter(row["level"] for row in firsts if row["level"])
    single = len(firsts) == 1
    did = (
        ("had its" if single else "had their") + " first award" if levels else f"{'was' if single else 'were'} exposed"
    )
    text = f"{len(firsts)} {one if single else many} {did} {years_told(years) if years else 'at a date not known'}"
    if levels:
        named = {level: f"{levels[level]} at {level}" for level in LEVEL_DOSE if levels[level]}
        if levels[UNKNOWN_LEVEL]:
            named[UNKNOWN_LEVEL] = f"{levels[UNKNOWN_LEVEL]} at a level not known"
        text += f": {', '.join(named.values())}"
    if (undated := len(firsts) - years.total()) and years:
        text += f"; {undated} {'is' if undated == 1 else 'are'} not dated"
    if rose := len({row["label"] for row in rows if row["event"] == "level-up"}):
        text += f"; {rose} later rose to a higher level"
    return f"{text}."


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
        figure, grid = plt.subplots(
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
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 4), fontsize=9, frameon=False)
    return upper


def _year_name(year: int, *, first: int, nowhere: int | None) -> str:
    """`2018`, then `’19`, so that the years stand side by side on a phone."""
    if year == nowhere:
        return "no\ndate"
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
            shown = values > 0
            places = np.array(years)[shown] + 0.5
            axes.bar(places, values[shown], bottom=below[shown], width=0.75, color=colour, edgecolor=INK, linewidth=0.6)
            below += values
    for year, total in zip(years, below, strict=True):
        axes.annotate(
            f"{total:.0f}", (year + 0.5, total), xytext=(0, 2), textcoords="offset points", ha="center", color=INK
        )
    axes.set_axisbelow(True)
    axes.set_ylim(0, max(float(below.max(initial=0)) * 1.15, 1.0))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    axes.set_ylabel("Cities, first award" if any(row["level"] for row in firsts) else "Cities, first exposed")


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
        Line2D([], [], **_marker(colour, marker), label=title)
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
        handles.append(Line2D([], [], **stroke, label="renewed"))
    return handles
