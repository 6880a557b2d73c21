import pytest
from matplotlib import pyplot as plt

from tests.lalonde import read_lalonde
from wwc_research.design.balance import overlap
from wwc_research.design.matching import nearest
from wwc_research.report import plots


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_an_overlap_plot_has_a_bar_for_every_step_exposed_up_and_comparison_down():
    frame = read_lalonde()
    matches = nearest(frame, treatment="treated", covariates=["age", "race", "is_married"])
    rows = overlap(frame, treatment="treated", propensity=matches.propensity, weights=matches.weights, bins=8)
    axes = plots.overlap_plot(rows.to_dict("records"))
    heights = [bar.get_height() for bar in axes.patches if hasattr(bar, "get_height")]
    assert heights[:8] == pytest.approx(100 * rows["treated_after"])
    assert heights[8:16] == pytest.approx(-100 * rows["control_after"])
    names = axes.get_legend_handles_labels()[1]
    assert sorted(names) == ["comparison, after", "comparison, before", "exposed, after", "exposed, before"]
    axes.figure.canvas.draw()
    assert "−" not in "".join(label.get_text() for label in axes.get_yticklabels())
