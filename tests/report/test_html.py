import csv
import io
import re
from html import unescape
from importlib import resources
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwc_research import catalog
from wwc_research.errors import InputError
from wwc_research.report import html, plots, wording


@given(st.text(max_size=40))
def test_text_from_data_is_shown_and_never_obeyed(text):
    hostile = f"<script>alert(1)</script>{text}<img src=x onerror=y>"
    made = html.table([{"a": hostile, "b": hostile}], caption=hostile, columns={"a": hostile, "b": hostile})
    shown = made + html.paragraph(hostile) + html.bullets([hostile]) + html.heading(hostile) + html.fold(hostile, made)
    assert "<script" not in shown.html
    assert "<img" not in shown.html


def test_a_table_has_a_caption_scopes_and_numbers_on_the_right():
    made = html.table(
        [{"city": "A", "value": "+1.2", "note": "text 3"}, {"city": "B", "value": "–", "note": "x"}],
        caption="Cities",
        columns={"city": "City", "value": "Value", "note": "Note"},
    ).html
    assert "<caption>Cities</caption>" in made
    assert made.count('scope="col"') == 3
    assert made.count('scope="row"') == 2
    assert '<th scope="col">Value<th scope="col">Note' in made
    assert '<table class="n2 g3">' in made
    assert 'aria-label="Table: Cities"' in made


def test_rows_are_gathered_under_lines_of_their_own_and_other_values_saved():
    rows = [{"a": "x", "v": 1, "of": "P"}, {"a": "y", "v": 2, "of": "Q"}, {"a": "z", "v": 3, "of": "P"}]
    made = html.table(rows, caption="C", columns={"a": "A", "v": "V"}, group="of", saved=("of", "v")).html
    assert [re.sub("<[^>]*>", " ", body).split() for body in re.findall(r"<tbody>(.*?)(?=<tbody|</table)", made)] == [
        ["P", "x", "1", "z", "3"],
        ["Q", "y", "2"],
    ]
    assert made.count('<th scope="rowgroup" colspan="2">') == 2
    assert "of,v%0AP,1%0AQ,2%0AP,3%0A" in made


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=30))
def test_the_values_behind_a_link_come_back_as_they_were(text):
    made = html.table([{"a": "x", "b": f"b{text}"}], caption="C", columns={"a": "A", "b": "B"}).html
    address = re.search(r'href="data:text/csv;charset=utf-8,([^"]*)"', made).group(1)
    assert not re.search(r"[\s<>#]", address, re.ASCII)
    assert list(csv.reader(io.StringIO(unquote(unescape(address)), newline="")))[1] == ["x", f"b{text}"]


@pytest.mark.parametrize("at", range(2, 14))
def test_the_style_sheet_knows_the_columns_of_figures(at):
    style = resources.files("wwc_research.report").joinpath("templates/page/page.css").read_text(encoding="utf-8")
    assert f".n{at} tr>:nth-child({at})" in style


def drawn():
    return plots.event_study(
        [
            {"event_time": -2, "estimate": 0.1, "ci_low": -0.2, "ci_high": 0.4},
            {"event_time": -1, "estimate": 0.0, "ci_low": None, "ci_high": None},
            {"event_time": 0, "estimate": 0.3, "ci_low": 0.1, "ci_high": 0.5},
        ],
        scale=1.0,
        unit="points",
    )


def test_a_figure_needs_alt_text_that_is_not_its_caption():
    with pytest.raises(InputError, match="alt text"):
        html.figure(drawn(), alt="a plot", caption="A plot")
    with pytest.raises(InputError, match="alt text"):
        html.figure(drawn(), alt="The very same long sentence.", caption="The very same long sentence.")


def test_the_same_figure_has_the_same_bytes():
    made = [html.figure(drawn(), alt="An effect of 0.3 after exposure.", caption="Effects").html for _ in range(2)]
    assert made[0] == made[1]
    assert 'src="data:image/svg+xml,%3Csvg' in made[0]


def test_points_after_exposure_are_filled_and_before_hollow():
    before, after = [line for line in drawn().get_lines() if line.get_marker() == "o"]
    assert before.get_markerfacecolor() == "white"
    assert after.get_markerfacecolor() == plots.BLUE


def test_an_interval_is_saved_as_two_numbers_and_what_is_undefined_as_nothing():
    broadband = catalog.outcome("broadband")
    known, unknown = {"ci_low": -0.008123, "ci_high": 0.021}, {"ci_low": None, "ci_high": None}
    rows = [
        {"a": "x", "bare": wording.bare_interval(known, broadband), "told": wording.interval(known, broadband)},
        {
            "a": "y",
            "bare": wording.bare_interval(unknown, broadband),
            "told": wording.bare_interval(unknown, broadband),
        },
    ]
    made = html.table(rows, caption="C", columns={"a": "A", "bare": "Bare", "told": "Told"}).html
    address = re.search(r'href="data:text/csv;charset=utf-8,([^"]*)"', made).group(1)
    assert list(csv.reader(io.StringIO(unquote(unescape(address))))) == [
        ["a", "bare_low", "bare_high", "told_low", "told_high"],
        ["x", "-0.8123", "2.1", "-0.8123", "2.1"],
        ["y", "", "", "", ""],
    ]
