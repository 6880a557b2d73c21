"""The figure of a specification curve shows every estimate, and under it the decisions that made it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from matplotlib import pyplot as plt

from wwc_research.evidence.specifications import COLUMNS
from wwc_research.report import html
from wwc_research.report.specification_plot import specification_curve

LEVELS = {
    "estimator": ["imputation", "two_way_fe"],
    "comparison": ["not_yet"],
    "window": ["plan"],
    "covariates": ["none", "plan"],
    "cohorts": ["plan"],
    "weighting": ["equal"],
}


def curve(n: int = 4, *, headline: int | None = 1, band: bool = True) -> dict:
    values = np.linspace(-0.01, 0.02, n)
    rows = [
        [at % 2, 0, 0, at // 2 % 2, 0, 0, value, 0.005, value - 0.01, value + 0.01, 0.05, None, 40, 400, 0]
        for at, value in enumerate(values)
    ]
    return {
        "columns": list(COLUMNS),
        "levels": LEVELS,
        "rows": rows,
        "headline_row": headline,
        "joint": {"band": [[0.0, -0.02, 0.0, 0.02], [1.0, -0.01, 0.01, 0.03]] if band else []},
    }


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def strokes(line) -> list[float]:
    """Places of the upright strokes that make up a line."""
    return [float(x) for x in line.get_xdata()[::3]]


def test_estimates_stand_in_the_unit_of_the_page_with_their_intervals():
    axes = specification_curve(curve(), scale=100, unit="percentage points")
    assert axes.get_ylabel() == "Difference, percentage points"
    spans = {
        place: (line.get_ydata()[3 * number], line.get_ydata()[3 * number + 1])
        for line in axes.get_lines()
        if len(line.get_xdata()) and len(line.get_xdata()) % 3 == 0 and line.get_alpha() == 0.55
        for number, place in enumerate(strokes(line))
    }
    assert sorted(spans) == [0, 1, 2, 3]
    assert spans[3] == pytest.approx((1.0, 3.0))
    planned = next(line for line in axes.get_lines() if line.get_marker() == "D")
    assert (planned.get_xdata()[0], planned.get_ydata()[0]) == (1, pytest.approx(0.0))


def test_each_specification_has_one_tick_a_decision_and_single_levels_are_not_drawn():
    axes = specification_curve(curve(), scale=1, unit="points")
    lower = axes.figure.axes[1]
    labels = [text.get_text().strip() for text in lower.get_yticklabels()]
    assert labels == [
        "Method",
        "imputation",
        "two-way fixed effects",
        "Covariates",
        "none",
        "at baseline, as planned",
    ]
    ticks = [strokes(line) for line in lower.get_lines() if len(line.get_xdata()) > 2]
    assert ticks == [[0, 2], [1, 3], [0, 1], [2, 3]]


def test_a_curve_without_planned_row_or_band_is_drawn_too():
    axes = specification_curve(curve(headline=None, band=False), scale=1, unit="points")
    assert not any(line.get_marker() == "D" for line in axes.get_lines())
    assert not axes.collections


def test_hundreds_of_specifications_stay_a_small_picture():
    axes = specification_curve(curve(240), scale=100, unit="points")
    shown = html.figure(axes, alt="Two hundred and forty estimates, most near zero.", caption="All specifications.")
    assert len(shown.html.encode()) < 40_000


def test_no_short_stroke_of_hundreds_is_lost_when_the_picture_is_written():
    n = 240
    axes = specification_curve(curve(n, headline=None, band=False), scale=100, unit="points")
    paths = re.findall(r" d='([^']*)'", html._svg(axes))
    upright = [path for path in paths if len(re.findall(r"v-?[\d.]+m", path)) > 20]
    # both estimators, both sets of covariates, and the intervals of either colour
    assert sum(len(re.findall(r"v", path)) for path in upright) == 3 * n
