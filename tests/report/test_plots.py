import pytest
from matplotlib import pyplot as plt

from tests.lalonde import read_lalonde
from wwc_research.design.balance import overlap
from wwc_research.design.matching import nearest
from wwc_research.inference import confidence_interval
from wwc_research.messages import message
from wwc_research.report import html, language, plots


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


RISING = [
    {"group": group, "year": year, "mean": 0.5 + 0.01 * at, "std_error": 0.002 if group == "A" else None}
    for group in ("A", "B")
    for at, year in enumerate((2016, 2017, 2018))
]


@pytest.fixture
def invented(monkeypatch):
    """A language in which every text is in capitals with a sign before it, numbered as in Portuguese."""

    class Capitals(dict):
        def get(self, key, default=None):
            return f"¡{key}" if key and key[0].isalpha() else default

    made = language.Catalogue(texts=Capitals(), plural_index=lambda n: int(n != 1))
    monkeypatch.setattr(language, "catalogue", lambda code: made)
    with language.speaking("pt"):
        yield


def test_trends_have_a_band_of_the_surveys_error_where_it_is_known_and_none_elsewhere():
    axes = plots.trends(RISING, scale=100, label="Share")
    (band,) = axes.collections
    low, high = confidence_interval(0.5, 0.002)
    at_first = band.get_paths()[0].vertices
    ends = at_first[at_first[:, 0] == 2016][:, 1]
    assert (ends.min(), ends.max()) == pytest.approx((100 * low, 100 * high))
    without = [{key: row[key] for key in ("group", "year", "mean")} for row in RISING]
    assert not plots.trends(without, scale=100, label="Share").collections


def test_texts_and_numbers_of_a_picture_are_in_the_language_spoken_when_it_was_made(invented):
    rows = [{"title": "Way", "estimate": 0.25, "ci_low": -12500.0, "ci_high": 12500.0, "is_headline": True}]
    axes = plots.estimates(rows, scale=1, unit="points")
    assert axes.get_xlabel() == "¡Difference, ¡points"
    assert [label.get_text() for label in axes.get_yticklabels()] == ["¡Way"]
    with language.speaking("en"):
        axes.figure.canvas.draw()
    numbers = [label.get_text() for label in axes.get_xticklabels()]
    assert "−10.000" in numbers
    assert "10.000" in numbers
    fine = plots.trends(RISING, scale=1, label=message("Share"))
    fine.figure.canvas.draw()
    assert any(label.get_text().startswith("0,5") for label in fine.get_yticklabels())
    assert {label.get_text() for label in fine.get_xticklabels()} >= {"2016", "2017", "2018"}
    assert [text.get_text() for text in fine.figure.legends[0].get_texts()] == ["¡A", "¡B"]


def test_long_texts_go_on_in_further_lines_and_the_legend_keeps_to_the_width():
    long = "A name of a group that goes on for a good while longer than others"
    rows = [{**row, "group": f"{row['group']} {long}"} for row in RISING]
    axes = plots.trends(rows, scale=1, label=long)
    assert axes.get_ylabel().count("\n") >= 1
    axes.figure.canvas.draw()
    legend = axes.figure.legends[0].get_window_extent()
    assert legend.x0 >= 0
    assert legend.x1 <= axes.figure.bbox.x1


def test_plain_figures_weigh_a_few_kilobytes_and_come_out_the_same_twice():
    rows = [
        {"title": f"Way {at}", "estimate": at, "ci_low": -1, "ci_high": at + 1, "is_headline": at == 0}
        for at in range(12)
    ]
    first, second = (html._svg(plots.estimates(rows, scale=1, unit="points")) for _ in range(2))
    assert first == second
    assert len(first.encode()) < 6_000


def test_no_row_of_a_picture_touches_its_frame_and_no_label_reaches_into_the_next():
    short = [{"title": "a", "estimate": 0.1, "ci_low": 0.0, "ci_high": 0.2, "is_headline": False}] * 3
    long = [{**row, "title": "a name of a method " * 5} for row in short]
    few, many = (plots.estimates(rows, scale=1.0, unit="points") for rows in (short, long))
    bottom, top = few.get_ylim()
    assert bottom - 2 >= 0.5
    assert top <= -0.5
    assert many.figure.get_size_inches()[1] > few.figure.get_size_inches()[1]


def test_a_legend_begins_on_the_left_and_leaves_a_third_of_the_width_free():
    axes = plots._axes()
    for name in ("cities certified early", "cities certified late", "cities not certified"):
        axes.plot([0, 1], [0, 1], label=name)
    plots.legend_above(axes)
    axes.figure.canvas.draw()
    box = axes.figure.legends[0].get_window_extent()
    assert box.x0 < 0.05 * axes.figure.bbox.width
    assert box.x1 < 0.68 * axes.figure.bbox.width
