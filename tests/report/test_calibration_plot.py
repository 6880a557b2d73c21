import pytest
from matplotlib import pyplot as plt

from wwc_research.report.calibration_plot import power_curve

TITLES = {"imputation": "Imputation", "callaway_santanna": "Callaway and Sant'Anna"}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def row(name, basis, *, detectable=0.012):
    power = [[0.0, 0.02], [0.01, 0.6], [0.02, 0.99]]
    return {"estimator": name, "basis": basis, "power": power, "minimum_detectable_effect": detectable}


def drawn(*rows, effect=0.015):
    return power_curve({"rows": rows, "effect": effect}, titles=TITLES, scale=100, unit="percentage points")


def test_only_curves_as_judged_are_drawn_under_their_titles():
    axes = drawn(row("imputation", "own_error"), row("imputation", "as_judged"), row("callaway_santanna", "as_judged"))
    assert axes.get_legend_handles_labels()[1] == ["Imputation", "Callaway and Sant'Anna"]
    assert "percentage points" in axes.get_xlabel()


def test_the_mark_stands_where_eighty_percent_find_it_and_the_planned_effect_is_named():
    axes = drawn(row("imputation", "as_judged"))
    curve, mark = axes.lines[-2:]
    assert curve.get_xydata().tolist() == [[0.0, 2.0], [1.0, 60.0], [2.0, 99.0]]
    assert mark.get_xydata().tolist() == [[1.2, 80.0]]
    assert any(line.get_xdata() == [1.5, 1.5] for line in axes.lines if len(line.get_xdata()) == 2)
    assert [text.get_text() for text in axes.texts] == ["smallest effect of interest"]


def test_a_line_that_nothing_can_be_detected_by_has_no_mark():
    with_mark, without = (drawn(row("imputation", "as_judged", detectable=value)) for value in (0.012, None))
    assert len(without.lines) == len(with_mark.lines) - 1
