"""Figures: each function takes rows of evidence and returns axes; no function computes a statistic.

One style: Okabe-Ito colours, marker shape and line style as well as colour, 9-10 pt in print, texts and numbers in the
language that is spoken.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import matplotlib as mpl

mpl.use("agg", force=False)

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, ScalarFormatter

from wwc_research.inference import confidence_interval
from wwc_research.messages import MINUS, Message, message
from wwc_research.report.language import current, localised, shown, speaking

BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#6b6b6b", "#1a1a1a"
STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": "white",
    "legend.frameon": False,
}
LOOKS: Final = ((BLUE, "o", "-"), (ORANGE, "s", "--"), (GREEN, "^", "-."))  # of groups drawn as lines, in this order
LABEL_LETTERS = 36  # of a label beside a row, before it goes on in a second line
TALLEST_LABEL = 280.0  # points; an axis of several parts is not named over all of its height
_LETTER = 0.55  # mean width of a letter in parts of its size
_LEGEND_SHARE = 0.68  # of the width, for a legend: what a phone shows of a picture before it is scrolled
_LINE = 0.17  # inches a line of a label takes
Rows = Sequence[Mapping[str, Any]]


class NumberTicks(ScalarFormatter):
    """Tick labels with numbers as the language writes them that was spoken when the axes were made."""

    def __init__(self) -> None:
        super().__init__(useOffset=False)
        self.set_scientific(False)
        self.language = current().code

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The number at `x`; from five digits on in thousands, so that years stay whole."""
        whole, point, rest = super().__call__(x, pos).replace(MINUS, "-").partition(".")
        grouped = f"{int(whole):,}" if len(whole.lstrip("-")) > 4 else whole
        with speaking(self.language):
            return localised(f"{grouped}{point}{rest}")


class Sizes(NumberTicks):
    """Tick labels without signs, for an axis that counts both ways."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        """The size of the number at `x`."""
        return super().__call__(abs(x), pos)


def number(template: str, **values: float) -> str:
    """A number on a picture in the language spoken: `number("{value:.2g}", value=0.1)`."""
    return shown(Message(template, values))


def _axes(*, width: float = 7.2, height: float = 3.8) -> Axes:
    with mpl.rc_context(STYLE):
        _, axes = plt.subplots(figsize=(width, height), layout="constrained")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(NumberTicks())
    return axes


def name_axes(axes: Axes, *, x: str = "", y: str = "") -> None:
    """Say what the axes show, in as many lines as fit beside them."""
    width, height = _points(axes)
    if x:
        axes.set_xlabel(_wrapped(shown(x), points=0.8 * width))
    if y:
        axes.set_ylabel(_wrapped(shown(y), points=0.75 * min(height, TALLEST_LABEL)))


def _points(axes: Axes) -> tuple[float, float]:
    """Width and height of the figure in points."""
    width, height = cast("Figure", axes.figure).get_size_inches()
    return 72 * float(width), 72 * float(height)


def _wrapped(text: str, *, points: float, size: float = 10.0) -> str:
    return textwrap.fill(text, max(12, int(points / (_LETTER * size))), break_long_words=False)


def row_labels(titles: Sequence[str]) -> list[str]:
    """What stands beside the rows of a picture, in the language spoken; long ones in lines of their own."""
    return [textwrap.fill(shown(title), LABEL_LETTERS, break_long_words=False) for title in titles]


def _row_height(labels: Sequence[str], *, least: float) -> float:
    """Inches a row needs, so that the longest label does not reach into the next one."""
    return max(least, _LINE * max((label.count("\n") + 1 for label in labels), default=1) + 0.06)


def _rows_down(axes: Axes, labels: Sequence[str]) -> None:
    """Rows from the top down with their labels, the first and the last half a row from the frame."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0)


def legend_above(axes: Axes, handles: Sequence[Artist] | None = None, *, size: float = 9.0) -> None:
    """The legend over the left of the picture, in as many columns as a phone shows of it."""
    entries = list(axes.get_legend_handles_labels()[0] if handles is None else handles)
    labels = [str(entry.get_label()) for entry in entries]
    if not labels:
        return
    column = max(map(len, labels)) * _LETTER * size + 5 * size
    columns = max(1, min(len(labels), int(_LEGEND_SHARE * _points(axes)[0] / column)))
    style: dict[str, Any] = {"handles": entries, "ncols": columns, "fontsize": size, "frameon": False}
    axes.figure.legend(loc="outside upper left", **style)


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
    name_axes(
        axes,
        x=message("Years from first exposure (left of the dashed line: before)"),
        y=message("Difference, {unit}", unit=unit),
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return axes


def trends(rows: Rows, *, scale: float, label: str, width: float = 7.2, height: float = 3.8) -> Axes:
    """Yearly means of exposed and comparison units that have a figure in every year shown.

    Parameters
    ----------
    rows
        Rows with group, year, mean, and where it is known std_error, the error of the mean that comes from the surveys:
        a band around the line holds the mean with a probability of 95 % then.
    scale, label
        Factor on the outcome, and the name of what is shown.
    width, height
        Inches; the smaller, the larger the letters where the picture is fitted to its place on a page.
    """
    axes = _axes(width=width, height=height)
    groups = list(dict.fromkeys(row["group"] for row in rows))
    for group, (colour, marker, line) in zip(groups, LOOKS, strict=False):
        chosen = [row for row in rows if row["group"] == group]
        years = [row["year"] for row in chosen]
        values = [scale * row["mean"] for row in chosen]
        ends = np.array([confidence_interval(row["mean"], _or_nan(row.get("std_error"))) for row in chosen]) * scale
        if np.isfinite(ends).any():
            axes.fill_between(years, ends[:, 0], ends[:, 1], color=colour, alpha=0.18, linewidth=0)
        style: dict[str, Any] = {"marker": marker, "color": colour, "linestyle": line, "label": shown(group)}
        axes.plot(years, values, linewidth=1.6, markersize=5, **style)
    name_axes(axes, y=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(axes)
    return axes


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def love_plot(rows: Rows, *, limit: float) -> Axes:
    """Absolute standardised differences of the covariates before and after matching.

    Parameters
    ----------
    rows
        Rows with title, smd_before, smd_after.
    limit
        The declared limit on the difference after matching.
    """
    labels = row_labels([row["title"] for row in rows])
    axes = _axes(height=1.2 + _row_height(labels, least=0.38) * max(len(rows), 2))
    places = range(len(rows))
    before = [abs(row["smd_before"]) for row in rows]
    after = [abs(row["smd_after"]) for row in rows]
    axes.axvline(limit, color=GREY, linestyle="--", linewidth=0.9)
    axes.hlines(list(places), after, before, color="#c9c9c9", linewidth=1.2)
    axes.plot(before, list(places), "o", color=ORANGE, markerfacecolor="white", label=shown(message("before matching")))
    axes.plot(after, list(places), "s", color=BLUE, label=shown(message("after matching")))
    _rows_down(axes, labels)
    name_axes(axes, x=message("Standardised difference (dashed: limit {limit:g})", limit=limit))
    axes.set_xlim(left=0)
    axes.grid(axis="x", color="#e3e3e3")
    legend_above(axes)
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
    sides = (
        ("treated", 1, BLUE, message("exposed, after"), message("exposed, before")),
        ("control", -1, ORANGE, message("comparison, after"), message("comparison, before")),
    )
    for group, sign, colour, *titles in sides:
        names = [shown(title) for title in titles]
        after = [100 * sign * row[f"{group}_after"] for row in rows]
        before = [100 * sign * row[f"{group}_before"] for row in rows]
        axes.bar(lows, after, width=widths, align="edge", color=colour, alpha=0.45, label=names[0])
        axes.stairs(before, [*lows, rows[-1]["high"]], color=colour, linewidth=1.3, label=names[1])
    axes.axhline(0, color=INK, linewidth=0.8)
    name_axes(
        axes,
        x=message("Estimated probability of exposure"),
        y=message("Units of the group, % (exposed up, comparison down)"),
    )
    axes.yaxis.set_major_formatter(Sizes())
    legend_above(axes)
    return axes


def estimates(rows: Rows, *, scale: float, unit: str) -> Axes:
    """All estimates of one effect side by side with their 95 % intervals, the headline filled.

    Parameters
    ----------
    rows
        Rows with title, estimate, ci_low, ci_high, is_headline.
    """
    labels = row_labels([row["title"] for row in rows])
    axes = _axes(height=0.9 + _row_height(labels, least=0.42) * max(len(rows), 2))
    axes.axvline(0, color=INK, linewidth=0.8)
    for place, row in enumerate(rows):
        face = BLUE if row["is_headline"] else "white"
        if row["ci_low"] is not None:
            axes.plot([scale * row["ci_low"], scale * row["ci_high"]], [place, place], color=BLUE, linewidth=1.4)
        axes.plot([scale * row["estimate"]], [place], "o", color=BLUE, markerfacecolor=face, markersize=6)
    _rows_down(axes, labels)
    name_axes(axes, x=message("Difference, {unit}", unit=unit))
    axes.grid(axis="x", color="#e3e3e3")
    axes.grid(axis="y", visible=False)
    return axes
