"""Figures of a city's page: rows of facts in, axes out; nothing is computed but the unit shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from wwc_research.report.language import localised, shown
from wwc_research.report.plots import BLUE, GREY, INK, ORANGE, STYLE

Rows = Sequence[Mapping[str, Any]]


def history(
    rows: Rows,
    *,
    scale: float,
    unit: str,
    city: str,
    peers: str,
    group: str,
    award: float | None = None,
    award_label: str = "",
    breaks: Sequence[int] = (),
) -> Axes:
    """A city's figures by year with 95 % survey error as a band, beside the means of its peers and of its group.

    Parameters
    ----------
    rows
        Rows with year, value, low, high, peers, group; None where there is none, which breaks the line.
    scale, unit
        Factor and name of the unit shown.
    city, peers, group
        Names of the three series.
    award
        Where the first award stands on the axis of years, whose whole numbers are the middles of years.
    breaks
        First years of new series: no line leads from the year before to such a year, and a dotted one stands between.
    """
    with mpl.rc_context(STYLE):
        _, axes = plt.subplots(figsize=(7.2, 2.9), layout="constrained")
    rows = _parted(rows, breaks)
    years = [row["year"] for row in rows]
    styles = (("group", GREY, ":", "", group), ("peers", ORANGE, "--", "s", peers), ("value", BLUE, "-", "o", city))
    for key, colour, line, marker, label in styles:
        if any(row[key] is not None for row in rows):
            values = _scaled(rows, key, scale)
            axes.plot(years, values, color=colour, linestyle=line, marker=marker, markersize=4.5, label=shown(label))
    if any(row["low"] is not None for row in rows):
        known = [row for row in rows if row["low"] is not None]
        lows, highs = _scaled(known, "low", scale), _scaled(known, "high", scale)
        axes.vlines([row["year"] for row in known], lows, highs, color=BLUE, linewidth=1.2)
        axes.fill_between(years, _scaled(rows, "low", scale), _scaled(rows, "high", scale), color=BLUE, alpha=0.15)
    if award is not None:
        axes.axvline(award, color=INK, linewidth=0.9, linestyle="-.")
        axes.annotate(
            shown(award_label),
            (award, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(-3, -2),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=8.5,
        )
    for year in breaks:
        axes.axvline(year - 0.5, color=GREY, linewidth=0.9, linestyle=":")
    axes.set_ylabel(shown(unit))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: localised(f"{value:,.10g}")))
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=8.5)
    return axes


def _parted(rows: Rows, breaks: Sequence[int]) -> Rows:
    """The rows with an empty one in the middle of winter before each new series."""
    blank = dict.fromkeys(("value", "low", "high", "peers", "group"))
    return sorted([*rows, *({"year": year - 0.5, **blank} for year in breaks)], key=lambda row: row["year"])


def _scaled(rows: Rows, key: str, scale: float) -> list[float]:
    return [float("nan") if row[key] is None else scale * row[key] for row in rows]


__all__ = ["history"]
