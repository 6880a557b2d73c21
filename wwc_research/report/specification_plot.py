"""The specification curve as a figure: sorted estimates above, the decisions behind each of them below.

In: `SpecificationCurve.as_dict()`. Out: axes. One path a series, so that hundreds of estimates stay a small picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib as mpl

mpl.use("agg", force=False)

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from wwc_research.messages import message
from wwc_research.report import plots
from wwc_research.report.language import shown
from wwc_research.report.plots import BLUE, GREY, INK, ORANGE, STYLE

DECISIONS: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "estimator": (
        message("Method"),
        {
            "imputation": message("imputation"),
            "callaway_santanna": message("Callaway and Sant'Anna"),
            "two_way_fe": message("two-way fixed effects"),
        },
    ),
    "comparison": (
        message("Compared with"),
        {"not_yet": message("not yet or never exposed"), "never": message("never exposed")},
    ),
    "window": (
        message("Years"),
        {
            "plan": message("as planned"),
            "without_2020_2021": message("without 2020 and 2021"),
            "from_2014": message("from 2014"),
        },
    ),
    "covariates": (message("Covariates"), {"none": message("none"), "plan": message("at baseline, as planned")}),
    "cohorts": (
        message("Exposed"),
        {
            "plan": message("as planned"),
            "all_editions": message("all editions"),
            "source_only": message("dates with a source only"),
            "anticipation_1": message("one year of anticipation"),
        },
    ),
    "weighting": (
        message("Weights"),
        {
            "equal": message("equal"),
            "population": message("by population"),
            "precision": message("by survey precision"),
        },
    ),
}
PALE = "#9a9a9a"
_ROW, _GAP = 0.19, 0.45  # inches a row of the matrix; rows between groups


def specification_curve(curve: Mapping[str, Any], *, scale: float, unit: str) -> Axes:
    """Estimates in rising order with 95 % intervals, the planned one marked; below, a tick for every decision taken.

    Estimates whose interval leaves out zero are blue, the others grey; the shaded band holds 95 % of what assignments
    drawn by lot give, sorted in the same way. The axes returned are the upper ones.

    Parameters
    ----------
    curve
        From `SpecificationCurve.as_dict()`, as it is or read back from JSON.
    scale, unit
        Factor and name of the unit shown.
    """
    rows = _decoded(curve)
    groups = _groups(rows)
    height = _ROW * (sum(len(levels) for _, levels in groups.values()) + _GAP * 2 * len(groups))
    layout = ConstrainedLayoutEngine(hspace=0.01, h_pad=0.02)
    with mpl.rc_context(STYLE):
        _, (upper, lower) = plt.subplots(
            2, 1, figsize=(7.2, 2.9 + height), height_ratios=[2.9, height], sharex=True, layout=layout
        )
    _estimates(upper, rows, curve=curve, scale=scale)
    plots.name_axes(upper, y=message("Difference, {unit}", unit=unit))
    upper.yaxis.set_major_formatter(plots.NumberTicks())
    _decisions(lower, rows, groups=groups, planned=curve["headline_row"])
    return upper


def _decoded(curve: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows by column, decisions by name."""
    named = [dict(zip(curve["columns"], row, strict=True)) for row in curve["rows"]]
    levels = curve["levels"]
    return [{key: levels[key][value] if key in levels else value for key, value in row.items()} for row in named]


def _groups(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, list[tuple[str, str]]]]:
    """Decisions of which more than one level is among the rows: title, and (level, label) in the order declared."""
    found = {}
    for name, (title, labels) in DECISIONS.items():
        present = {row[name] for row in rows}
        levels = [(level, labels.get(level, level)) for level in [*labels, *sorted(present - set(labels))]]
        levels = [entry for entry in levels if entry[0] in present]
        if len(levels) > 1:
            found[name] = title, levels
    return found


def _estimates(axes: Axes, rows: Sequence[Mapping[str, Any]], *, curve: Mapping[str, Any], scale: float) -> None:
    axes.axhline(0, color=INK, linewidth=0.8)
    handles = []
    band = np.array(curve["joint"]["band"], dtype=float)
    if band.size:
        place = band[:, 0] * (len(rows) - 1)
        axes.fill_between(place, scale * band[:, 1], scale * band[:, 3], color=ORANGE, alpha=0.13, linewidth=0)
        handles += axes.plot(
            place, scale * band[:, 2], "--", color=ORANGE, linewidth=1, label=shown(message("drawn by lot"))
        )
    width = float(np.clip(150 / max(len(rows), 1), 0.5, 3.0))
    for clear, colour, title in (
        (False, PALE, message("interval holds zero")),
        (True, BLUE, message("interval leaves out zero")),
    ):
        chosen = [(at, row) for at, row in enumerate(rows) if _leaves_out_zero(row) == clear]
        spans = [(at, scale * row["ci_low"], scale * row["ci_high"]) for at, row in chosen if row["ci_low"] is not None]
        _upright(axes, spans, color=colour, linewidth=width, alpha=0.55)
        if chosen:
            values = [scale * row["estimate"] for _, row in chosen]
            places = [at for at, _ in chosen]
            # one path for all: a marker each would be an element each
            ticks = [(at, value) for at, value in zip(places, values, strict=True)]
            _sideways(axes, ticks, half=0.5, color=colour, linewidth=2.6)
            handles.append(Line2D([], [], color=colour, linewidth=2.6, label=shown(title)))
    planned = curve["headline_row"]
    if planned is not None:
        handles += axes.plot(
            [planned],
            [scale * rows[planned]["estimate"]],
            "D",
            color=INK,
            markersize=6,
            linestyle="",
            label=shown(message("as planned")),
        )
    axes.autoscale_view()
    axes.set_xlim(-1, len(rows))
    plots.legend_above(axes, handles, size=8.5)
    axes.tick_params(axis="x", bottom=False, labelbottom=False)


def _leaves_out_zero(row: Mapping[str, Any]) -> bool:
    return row["ci_low"] is not None and (row["ci_low"] > 0 or row["ci_high"] < 0)


def _decisions(
    axes: Axes,
    rows: Sequence[Mapping[str, Any]],
    *,
    groups: Mapping[str, tuple[str, Sequence[tuple[str, str]]]],
    planned: int | None,
) -> None:
    """A row a level, a tick a specification; titles of the decisions stand above their levels."""
    ticks, labels, at = [], [], 0.0
    width = float(np.clip(300 / max(len(rows), 1), 0.7, 4.0))
    for name, (title, levels) in groups.items():
        ticks.append(at)
        labels.append(shown(title))
        for level, label in levels:
            at += 1
            spans = [(place, at - 0.33, at + 0.33) for place, row in enumerate(rows) if row[name] == level]
            _upright(axes, spans, color=BLUE, linewidth=width)
            ticks.append(at)
            labels.append(f"{shown(label)}  ")
        at += 1 + _GAP
    if planned is not None:
        axes.axvline(planned, color=INK, linewidth=0.8)
    axes.set_ylim(at - 0.8, -0.6)
    axes.set_yticks(ticks, labels)
    titles = {shown(title) for title, _ in groups.values()}
    for text in axes.get_yticklabels():
        text.set_fontsize(8.5)
        if text.get_text() in titles:
            text.set_fontweight("bold")
    axes.tick_params(axis="both", length=0, labelbottom=False)
    axes.grid(visible=False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    told = message(
        "{n_specifications:,} specifications, from the lowest estimate to the highest", n_specifications=len(rows)
    )
    plots.name_axes(axes, x=told)
    axes.xaxis.label.set_color(GREY)


def _upright(axes: Axes, spans: Sequence[tuple[float, float, float]], **style: Any) -> None:
    """Vertical strokes (place, low, high) as a single path."""
    _broken(axes, [((at, low), (at, high), (np.nan, np.nan)) for at, low, high in spans], **style)


def _sideways(axes: Axes, ticks: Sequence[tuple[float, float]], *, half: float, **style: Any) -> None:
    """Horizontal strokes (place, height) as a single path."""
    _broken(axes, [((at - half, value), (at + half, value), (np.nan, np.nan)) for at, value in ticks], **style)


def _broken(axes: Axes, points: Sequence[tuple[tuple[float, float], ...]], **style: Any) -> None:
    flat = np.array(points, dtype=float).reshape(-1, 2)
    line = axes.add_line(Line2D(flat[:, 0], flat[:, 1], solid_capstyle="butt", **style))
    # once the line is on its axes, which may make its path anew; simplified, short strokes would be lost
    line.get_path().should_simplify = False
