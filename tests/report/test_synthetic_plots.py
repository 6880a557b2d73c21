"""Figures of synthetic controls show the rows they are given."""

from __future__ import annotations

import pytest
from matplotlib import pyplot as plt

from wwc_research.report import synthetic_plots

SERIES = [
    {"time": 2016 + step, "exposed": 0.1 + step / 100, "synthetic": 0.1, "gap": step / 100, "is_past": step < 2}
    for step in range(4)
]
PLACEBOS = [{"gaps": [0.0, 0.01, 0.02, size], "pre_rmspe": size} for size in (0.01, 0.02, 0.5)]


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def test_the_series_and_its_synthetic_are_drawn_in_the_unit_of_the_page():
    axes = synthetic_plots.synthetic_series(SERIES, exposed_from=2018, scale=100, label="Share, %", name="Louisville")
    when, own, mix = axes.get_lines()
    assert when.get_xdata()[0] == 2017.5
    assert list(own.get_ydata()) == pytest.approx([10, 11, 12, 13])
    assert list(mix.get_ydata()) == pytest.approx([10, 10, 10, 10])
    assert [text.get_text() for text in axes.figure.legends[0].get_texts()] == ["Louisville", "its synthetic"]
    assert axes.get_title() == ""


def test_placebos_of_worse_fit_are_left_out_only_when_asked_and_counted():
    every = synthetic_plots.placebo_gaps(
        SERIES, PLACEBOS, exposed_from=2018, scale=100, unit="percentage points", name="Louisville"
    )
    assert len(every.get_lines()) == 2 + 3 + 1
    fewer = synthetic_plots.placebo_gaps(
        SERIES, PLACEBOS, exposed_from=2018, scale=100, unit="percentage points", name="Louisville", worst_fit=0.1
    )
    assert len(fewer.get_lines()) == 2 + 2 + 1
    assert fewer.figure.legends[0].get_texts()[0].get_text() == "2 placebos (1 of worse fit not drawn)"
    assert list(fewer.get_lines()[-1].get_ydata()) == pytest.approx([0, 1, 2, 3])


def test_donor_bars_add_up_to_all_weights():
    rows = [{"label": f"city {number}", "weight": weight} for number, weight in enumerate((0.1, 0.5, -0.1, 0.3, 0.2))]
    axes = synthetic_plots.donor_weights(rows, most=3)
    widths = [bar.get_width() for bar in axes.patches]
    assert widths[:3] == pytest.approx([50, 30, 20])
    assert sum(widths) == pytest.approx(100)
    assert [text.get_text() for text in axes.get_yticklabels()][-1] == "2 others"
