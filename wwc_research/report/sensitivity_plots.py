"""Figures of sensitivity: what assumptions that do not hold would do to a finding; none computes a statistic.

In: plain rows of `omitted_variables` and of bounds on parallel trends. Out: axes in the one style of `plots`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from wwc_research.evidence.omitted_variables import EVERYTHING
from wwc_research.messages import message
from wwc_research.report import plots
from wwc_research.report.language import shown
from wwc_research.report.plots import BLUE, GREY, INK, ORANGE, Rows

_FAINT = "#b9b9b9"
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")


def omitted_variable_contour(
    contour: Mapping[str, Any], bounds: Rows, *, estimate: float, scale: float, unit: str, alpha: float = 0.05
) -> Axes:
    """The estimate over both strengths of an omitted variable, with the covariates known marked as yardsticks.

    Parameters
    ----------
    contour
        `OmittedVariables.as_dict()["contour"]`: with_treatment, with_outcome, estimates (one row a value of
        with_outcome), zero and significance (null where no variable is strong enough).
    bounds
        Rows with name, title, times, partial_r2_treatment, partial_r2_outcome; those beyond the plane stand at its
        edge and say so in the legend. Only those of single covariates, once as strong (`times` 1), are drawn.
    estimate
        With nothing omitted, drawn where both strengths are zero.
    scale, unit
        Factor and name of the unit shown.
    alpha
        Level of the line of significance.
    """
    yardsticks = [row for row in bounds if row["times"] == 1 and row["partial_r2_treatment"] is not None]
    yardsticks = [row for row in yardsticks if row["name"] != EVERYTHING]
    axes = plots._axes(height=4.2 + 0.19 * len(yardsticks))
    across, up = np.array(contour["with_treatment"], dtype=float), np.array(contour["with_outcome"], dtype=float)
    values = scale * np.array(contour["estimates"], dtype=float)
    steps = [level for level in MaxNLocator(6).tick_values(values.min(), values.max()) if abs(level) > 1e-12]
    lines = axes.contour(
        100 * across, 100 * up, values, levels=steps, colors=_FAINT, linewidths=0.9, linestyles="solid"
    )
    axes.clabel(lines, fontsize=8, colors=GREY, fmt=lambda value: plots.number("{value:.2g}", value=value))
    for name, colour, style, label in (
        ("significance", BLUE, "--", message("no longer significant (p = {alpha:g})", alpha=alpha)),
        ("zero", ORANGE, "-", message("nothing left: estimate 0")),
    ):
        line = np.array([np.nan if value is None else value for value in contour[name]], dtype=float)
        # a line along zero says that nothing is significant anyway, which is no finding about the omitted variable
        if (line <= up[-1]).any() and np.nanmax(line) > 0:
            axes.plot(100 * across, 100 * line, color=colour, linestyle=style, linewidth=1.8, label=shown(label))
    estimated = message("as estimated: {value:.2g} {unit}", value=scale * estimate, unit=unit)
    axes.plot([0], [0], "o", color=INK, markersize=7, clip_on=False, label=shown(estimated))
    _yardsticks(axes, yardsticks, right=float(across[-1]), top=float(up[-1]))
    axes.set_xlim(0, 100 * across[-1])
    axes.set_ylim(0, 100 * up[-1])
    axes.grid(visible=False)
    plots.name_axes(
        axes,
        x=message("Share of what is left of exposure that it explains, %"),
        y=message("Share of what is left of the outcome that it explains, %"),
    )
    axes.figure.legend(loc="outside lower left", ncols=1, fontsize=9, frameon=False)
    return axes


def _yardsticks(axes: Axes, rows: Rows, *, right: float, top: float) -> None:
    """A hollow marker for an omitted variable as strong as each covariate known."""
    for position, row in enumerate(rows):
        x, y = row["partial_r2_treatment"], row["partial_r2_outcome"]
        told = message("as strong as: {covariate}", covariate=row["title"])
        if x > right or y > top:
            told = message("as strong as: {covariate} (beyond the edge)", covariate=row["title"])
        axes.plot(
            [100 * min(x, right)],
            [100 * min(y, top)],
            _MARKERS[position % len(_MARKERS)],
            color=BLUE if position < len(_MARKERS) else ORANGE,
            markerfacecolor="white",
            markersize=7,
            clip_on=False,
            linestyle="none",
            label=shown(told),
        )


def trend_violations(
    rows: Rows, *, original: Mapping[str, Any], scale: float, unit: str, label: str, breakdown: float | None = None
) -> Axes:
    """Intervals under ever larger violations of parallel trends, the original interval first.

    Parameters
    ----------
    rows
        Rows with size, ci_low, ci_high, in rising order of size; an end of null is open and drawn to the edge.
    original
        ci_low and ci_high as if trends were parallel.
    scale, unit
        Factor and name of the unit shown.
    label
        What `size` measures, such as "Largest violation after exposure, in multiples of the largest before".
    breakdown
        Size at which the interval first holds zero; a dashed line, where there is one.
    """
    axes = plots._axes()
    every: list[Mapping[str, Any]] = [original, *rows]
    known = [scale * row[end] for row in every for end in ("ci_low", "ci_high") if row[end] is not None]
    span = (max([*known, 0.0]) - min([*known, 0.0])) or 1.0
    bottom, top = min([*known, 0.0]) - 0.08 * span, max([*known, 0.0]) + 0.08 * span
    axes.axhline(0, color=INK, linewidth=0.8)
    for place, row in enumerate(every):
        colour, marker = (ORANGE, "s") if place == 0 else (BLUE, "o")
        low = bottom if row["ci_low"] is None else scale * row["ci_low"]
        high = top if row["ci_high"] is None else scale * row["ci_high"]
        axes.plot([place, place], [low, high], color=colour, linewidth=2.2)
        ends = [end for end, name in ((low, "ci_low"), (high, "ci_high")) if row[name] is not None]
        axes.plot([place] * len(ends), ends, marker, color=colour, markersize=4.5, linestyle="none")
    if breakdown is not None:
        axes.axvline(_place(rows, breakdown), color=GREY, linewidth=0.9, linestyle="--")
        told = message("dashed: from {breakdown:.2g} on the interval holds zero", breakdown=breakdown)
        axes.set_title(shown(told), fontsize=9, color=INK, loc="right")
    axes.set_ylim(bottom, top)
    axes.set_xlim(-0.5, len(every) - 0.5)
    sizes = [plots.number("{size:.3g}", size=row["size"]) for row in rows]
    parallel = textwrap.fill(shown(message("parallel trends")), 10, break_long_words=False)
    axes.set_xticks(range(len(every)), [parallel, *sizes])
    plots.name_axes(axes, x=label, y=message("95 % interval, {unit}", unit=unit))
    return axes


def _place(rows: Rows, size: float) -> float:
    """Where on the axis a size stands: between the two rows it lies between (the first row stands at 1)."""
    sizes: Sequence[float] = [row["size"] for row in rows]
    return float(np.interp(size, sizes, np.arange(1, len(sizes) + 1)))
