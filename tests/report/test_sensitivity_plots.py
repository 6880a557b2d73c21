"""Figures of sensitivity show the rows they are given."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt

from wwc_research.evidence import omitted_variables as ov
from wwc_research.report import sensitivity_plots
from wwc_research.report.html import figure

ROWS = [{"size": size, "ci_low": 0.01 - size / 50, "ci_high": 0.03 + size / 50} for size in (0.0, 0.5, 1.0)]


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def _drawn(estimate: float = 0.05, std_error: float = 0.01):
    contour = ov.contour(estimate, std_error, df=200, largest_treatment=0.4, largest_outcome=0.4).as_dict()
    strong = {"name": "x", "title": "Population", "partial_r2_treatment": 0.1, "partial_r2_outcome": 0.05}
    bounds = [
        {**strong, "times": 1.0},
        {**strong, "times": 2.0},
        {**strong, "name": "y", "title": "Income", "partial_r2_outcome": 0.9, "times": 1.0},
        {**strong, "name": ov.EVERYTHING, "title": ov.EVERYTHING, "times": 1.0},
        {**strong, "name": "z", "times": 1.0, "partial_r2_treatment": None, "partial_r2_outcome": None},
    ]
    axes = sensitivity_plots.omitted_variable_contour(contour, bounds, estimate=estimate, scale=100, unit="points")
    return contour, axes


def test_each_covariate_stands_once_where_its_strengths_are():
    _, axes = _drawn()
    marks = {line.get_label(): (line.get_xdata()[0], line.get_ydata()[0]) for line in axes.get_lines()}
    assert marks["as strong as: Population"] == pytest.approx((10, 5))
    assert marks["as strong as: Income (beyond the edge)"] == pytest.approx((10, 40))
    assert sum(label.startswith("as strong as") for label in marks) == 2


def test_both_critical_lines_are_drawn_in_per_cent():
    contour, axes = _drawn()
    lines = {line.get_label(): line for line in axes.get_lines()}
    drawn = lines["nothing left: estimate 0"]
    known = np.array([np.nan if value is None else value for value in contour["zero"]])
    np.testing.assert_allclose(drawn.get_ydata(), 100 * known)
    assert "no longer significant (p = 0.05)" in lines
    _, axes = _drawn(0.005, 0.01)
    assert "no longer significant (p = 0.05)" not in {line.get_label() for line in axes.get_lines()}


def test_the_original_interval_comes_first_and_each_size_has_its_own():
    axes = sensitivity_plots.trend_violations(
        ROWS, original={"ci_low": 0.012, "ci_high": 0.028}, scale=100, unit="points", label="Size", breakdown=0.5
    )
    spans = [line.get_ydata() for line in axes.get_lines() if line.get_linewidth() == 2.2]
    assert list(spans[0]) == pytest.approx([1.2, 2.8])
    assert list(spans[3]) == pytest.approx([-1, 5])
    assert [label.get_text() for label in axes.get_xticklabels()] == ["parallel\ntrends", "0", "0.5", "1"]
    dashed = [line for line in axes.get_lines() if line.get_linestyle() == "--"]
    assert dashed[0].get_xdata()[0] == pytest.approx(2)


def test_an_open_interval_reaches_the_edge_without_an_end_mark():
    rows = [*ROWS, {"size": 2.0, "ci_low": None, "ci_high": None}]
    axes = sensitivity_plots.trend_violations(
        rows, original={"ci_low": 0.012, "ci_high": 0.028}, scale=100, unit="points", label="Size"
    )
    last = [line for line in axes.get_lines() if line.get_linewidth() == 2.2][-1]
    assert list(last.get_ydata()) == pytest.approx(list(axes.get_ylim()))
    assert len(axes.get_lines()[-1].get_ydata()) == 0


def test_the_legend_outside_is_part_of_the_picture_on_the_page():
    _, axes = _drawn()
    block = figure(axes, alt="The estimate falls as the omitted variable grows stronger.", caption="Omitted variable")
    assert "svg+xml" in block.html
