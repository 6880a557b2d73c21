"""The power curve of a calibration card: how large an effect the page could have seen.

In: rows of the card. Out: axes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MultipleLocator

from wwc_research.messages import message
from wwc_research.report import plots
from wwc_research.report.language import shown

FOUND = 80  # per cent of draws: the power at which an effect counts as detectable


def power_curve(card: Mapping[str, Any], *, titles: Mapping[str, str], scale: float, unit: str) -> Axes:
    """Share of placebo draws that find an effect of each size, for the headline and its fallback as judged.

    The planned smallest effect of interest is marked, and where each curve reaches 80 %.

    Parameters
    ----------
    card
        `Calibration.as_dict()`: its rows `as_judged` are drawn.
    titles
        What estimators are called, by name.
    scale, unit
        Factor and name of the unit shown, which is said in the language spoken.
    """
    axes = plots._axes(height=3.4)
    rows = [row for row in card["rows"] if row["basis"] == "as_judged" and row["power"]]
    styles = ((plots.BLUE, "o", "-"), (plots.ORANGE, "s", "--"))
    axes.axhline(FOUND, color=plots.GREY, linewidth=0.9, linestyle=":")
    planned = scale * abs(card["effect"])
    axes.axvline(planned, color=plots.GREEN, linewidth=1.4, linestyle="-.")
    axes.annotate(
        shown(message("smallest effect of interest")),
        (planned, 3),
        xytext=(4, 0),
        textcoords="offset points",
        color=plots.GREEN,
        fontsize=9,
    )
    for row, (colour, marker, line) in zip(rows, styles, strict=False):
        effects = [scale * effect for effect, _ in row["power"]]
        shares = [100 * share for _, share in row["power"]]
        name = shown(titles.get(row["estimator"], row["estimator"]))
        axes.plot(effects, shares, color=colour, linestyle=line, linewidth=1.6, label=name)
        detectable = row["minimum_detectable_effect"]
        if detectable is not None:
            axes.plot([scale * detectable], [FOUND], marker, color=colour, markersize=6)
    ends = [scale * row["power"][-1][0] for row in rows]
    axes.set_xlim(0, max([*ends, planned]))
    axes.set_ylim(0, 102)
    axes.yaxis.set_major_locator(MultipleLocator(20))
    label = message("True effect, {unit} (marks: found by {share:.0%} of draws)", unit=unit, share=FOUND / 100)
    axes.set_xlabel(shown(label))
    axes.set_ylabel(shown(message("Placebo draws that find it, %")))
    plots.legend_above(axes)
    return axes
