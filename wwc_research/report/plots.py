"""Figures: each function takes rows of evidence and returns axes; no function computes a statistic.

One style: Okabe-Ito colours, marker shape as well as colour, direct labels, 9-10 pt in print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl

mpl.use("agg", force=False)

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#6b6b6b", "#1a1a1a"
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#e3e3e3",
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "white",
    "legend.frameon": False,
}
Rows = Sequence[Mapping[str, Any]]


def _axes(*, width: float = 7.2, height: float = 3.8) -> Axes:
    with mpl.rc_context(STYLE):
        _, axes = plt.subplots(figsize=(width, height), layout="constrained")
    return axes


def event_study(terms: Rows, *, scale: float, unit: str) -> Axes:
    """Effects by years from first exposure with 95 % intervals; the years before exposure are hollow.

    Parameters
    ----------
    terms
        Rows with event_time, estimate, ci_low, ci_high (null where there is none).
    scale, unit
        Factor and name of the unit shown.
    """
    axes = _axes()
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.axvline(-0.5, color=GREY, linewidth=0.8, linestyle="--")
    for before, face in ((True, "white"), (False, BLUE)):
        chosen = [term for term in terms if (term["event_time"] < 0) == before and term["estimate"] is not None]
        times = [term["event_time"] for term in chosen]
        values = [scale * term["estimate"] for term in chosen]
        for term, time in zip(chosen, times, strict=True):
            if term["ci_low"] is not None:
                axes.plot([time, time], [scale * term["ci_low"], scale * term["ci_high"]], color=BLUE, linewidth=1.4)
        axes.plot(times, values, "o", color=BLUE, markerfacecolor=face, markersize=6)
    axes.set_xlabel("Years from first exposure (left of the dashed line: before)")
    axes.set_ylabel(f"Difference, {unit}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return axes


def trends(rows: Rows, *, scale: float, label: str) -> Axes:
    """Yearly means of exposed and comparison units that have a figure in every year shown.

    Parameters
    ----------
    rows
        Rows with group, year, mean.
    """
    axes = _axes()
    groups = list(dict.fromkeys(row["group"] for row in rows))
    for group, colour, marker in zip(groups, (BLUE, ORANGE, GREEN), ("o", "s", "^"), strict=False):
        chosen = [row for row in rows if row["group"] == group]
        years = [row["year"] for row in chosen]
        values = [scale * row["mean"] for row in chosen]
        axes.plot(years, values, marker=marker, color=colour, linewidth=1.6, markersize=5, label=group)
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.16), ncols=2)
    return axes


def love_plot(rows: Rows, *, limit: float) -> Axes:
    """Absolute standardised differences of the covariates before and after matching.

    Parameters
    ----------
    rows
        Rows with title, smd_before, smd_after.
    limit
        The declared limit on the difference after matching.
    """
    axes = _axes(height=1.2 + 0.38 * max(len(rows), 2))
    places = range(len(rows))
    before = [abs(row["smd_before"]) for row in rows]
    after = [abs(row["smd_after"]) for row in rows]
    axes.axvline(limit, color=GREY, linestyle="--", linewidth=0.9)
    axes.hlines(list(places), after, before, color="#c9c9c9", linewidth=1.2)
    axes.plot(before, list(places), "o", color=ORANGE, markerfacecolor="white", label="before matching")
    axes.plot(after, list(places), "s", color=BLUE, label="after matching")
    axes.set_yticks(list(places), [row["title"] for row in rows])
    axes.set_xlabel(f"Standardised difference (dashed: limit {limit:g})")
    axes.set_xlim(left=0)
    axes.grid(axis="x", color="#e3e3e3")
    axes.invert_yaxis()
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.0 + 0.55 / max(len(rows), 2)), ncols=2)
    return axes


def overlap_plot(rows: Rows) -> Axes:
    """Propensity scores of exposed units (up) and comparison units (down), before and after matching or weighting.

    Parameters
    ----------
    rows
        Rows with low, high, treated_before, control_before, treated_after, control_after: each group's share in a
        step of the score.
    """
    axes = _axes()
    lows = [row["low"] for row in rows]
    widths = [row["high"] - row["low"] for row in rows]
    sides = (("treated", 1, BLUE, "exposed"), ("control", -1, ORANGE, "comparison"))
    for group, sign, colour, title in sides:
        after = [100 * sign * row[f"{group}_after"] for row in rows]
        before = [100 * sign * row[f"{group}_before"] for row in rows]
        axes.bar(lows, after, width=widths, align="edge", color=colour, alpha=0.45, label=f"{title}, after")
        axes.stairs(before, [*lows, rows[-1]["high"]], color=colour, linewidth=1.3, label=f"{title}, before")
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.set_xlabel("Estimated probability of exposure")
    axes.set_ylabel("Units of the group, %\n(exposed up, comparison down)")
    axes.yaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=2)
    return axes


def estimates(rows: Rows, *, scale: float, unit: str) -> Axes:
    """All estimates of one effect side by side with their 95 % intervals, the headline filled.

    Parameters
    ----------
    rows
        Rows with title, estimate, ci_low, ci_high, is_headline.
    """
    axes = _axes(height=0.9 + 0.42 * max(len(rows), 2))
    axes.axvline(0, color=INK, linewidth=0.8)
    for place, row in enumerate(rows):
        face = BLUE if row["is_headline"] else "white"
        if row["ci_low"] is not None:
            axes.plot([scale * row["ci_low"], scale * row["ci_high"]], [place, place], color=BLUE, linewidth=1.4)
        axes.plot([scale * row["estimate"]], [place], "o", color=BLUE, markerfacecolor=face, markersize=6)
    axes.set_yticks(range(len(rows)), [row["title"] for row in rows])
    axes.set_xlabel(f"Difference, {unit}")
    axes.grid(axis="x", color="#e3e3e3")
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()
    return axes
