"""Figures of synthetic controls: each function takes rows of evidence and returns axes; none computes a statistic.

In: the plain values of `SyntheticControl.as_dict`. Out: axes in the one style of `plots`.
"""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from wwc_research.messages import counted, message
from wwc_research.report import plots
from wwc_research.report.language import shown
from wwc_research.report.plots import BLUE, GREY, INK, ORANGE, Rows

_FAINT = "#b9b9b9"


def synthetic_series(rows: Rows, *, exposed_from: int, scale: float, label: str, name: str) -> Axes:
    """The outcome of an exposed unit and of its synthetic control over time, and when exposure began.

    Parameters
    ----------
    rows
        Rows with time, exposed, synthetic.
    exposed_from
        First exposed time; a dashed line stands just before it.
    scale, label
        Factor on the outcome, and the name of what is shown.
    name
        The exposed unit.
    """
    axes = plots._axes()
    times = [row["time"] for row in rows]
    axes.axvline(exposed_from - 0.5, color=GREY, linewidth=0.9, linestyle="--")
    own = [scale * row["exposed"] for row in rows]
    mix = [scale * row["synthetic"] for row in rows]
    axes.plot(times, own, marker="o", markersize=5, linewidth=1.8, color=BLUE, label=name)
    axes.plot(
        times,
        mix,
        marker="s",
        markersize=4.5,
        linewidth=1.6,
        linestyle="--",
        color=ORANGE,
        label=shown(message("its synthetic")),
    )
    plots.name_axes(axes, y=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plots.legend_above(axes)
    return axes


def placebo_gaps(
    rows: Rows,
    placebos: Rows,
    *,
    exposed_from: int,
    scale: float,
    unit: str,
    name: str,
    worst_fit: float | None = None,
) -> Axes:
    """Gaps between a unit and its synthetic control, over the same gaps of every placebo.

    Serves the placebo in time as well: its own rows and placebos, and the false date as `exposed_from`.

    Parameters
    ----------
    rows
        Rows with time, gap.
    placebos
        Rows with gaps (one a row of `rows`), pre_rmspe.
    exposed_from
        First exposed time; a dashed line stands just before it.
    scale, unit
        Factor and name of the unit shown.
    name
        The exposed unit.
    worst_fit
        Placebos whose `pre_rmspe` is larger are not drawn, and the legend says how many; by default all are.
    """
    axes = plots._axes()
    times = [row["time"] for row in rows]
    drawn = [row for row in placebos if worst_fit is None or row["pre_rmspe"] <= worst_fit]
    axes.axhline(0, color=INK, linewidth=0.8)
    axes.axvline(exposed_from - 0.5, color=GREY, linewidth=0.9, linestyle="--")
    left_out = len(placebos) - len(drawn)
    told = counted("{n} placebo", "{n} placebos", n=len(drawn))
    if left_out:
        told = counted(
            "{n} placebo ({left_out} of worse fit not drawn)",
            "{n} placebos ({left_out} of worse fit not drawn)",
            n=len(drawn),
            left_out=left_out,
        )
    for number, placebo in enumerate(drawn):
        values = [scale * gap for gap in placebo["gaps"]]
        axes.plot(times, values, color=_FAINT, linewidth=0.9, label=shown(told) if number == 0 else None)
    gaps = [scale * row["gap"] for row in rows]
    axes.plot(times, gaps, marker="o", markersize=5, linewidth=2.0, color=BLUE, label=name)
    plots.name_axes(axes, y=message("Gap, {unit}", unit=unit))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    plots.legend_above(axes)
    return axes


def donor_weights(rows: Rows, *, most: int = 12) -> Axes:
    """How much each donor counts in a synthetic control, in per cent, largest first.

    Parameters
    ----------
    rows
        Rows with label, weight.
    most
        Donors shown; further ones are one bar, the sum of their weights.
    """
    ordered: list[dict[str, Any]] = sorted((dict(row) for row in rows), key=lambda row: -abs(row["weight"]))
    drawn = ordered[:most]
    if ordered[most:]:
        rest = sum(row["weight"] for row in ordered[most:])
        others = counted("{n} other", "{n} others", n=len(ordered) - most)
        drawn.append({"label": others, "weight": rest})
    axes = plots._axes(height=1.0 + 0.32 * max(len(drawn), 2))
    places = range(len(drawn))
    values = [100 * row["weight"] for row in drawn]
    axes.barh(list(places), values, color=[BLUE if value >= 0 else ORANGE for value in values], height=0.65)
    for place, value in zip(places, values, strict=True):
        axes.annotate(
            plots.number("{value:.0f}" if abs(value) >= 1 else "{value:.1f}", value=value),
            (max(value, 0.0), place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=INK,
        )
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(list(places), plots.row_labels([row["label"] for row in drawn]))
    plots.name_axes(axes, x=message("Weight in the synthetic control, per cent"))
    axes.grid(axis="x", color="#e3e3e3")
    axes.grid(axis="y", visible=False)
    axes.invert_yaxis()
    return axes
