import pytest
from hypothesis import given
from hypothesis import strategies as st

from wwc_research.errors import InputError
from wwc_research.report import html, plots


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
    assert '<th scope="col" class="number">Value</th>' in made
    assert '<th scope="col">Note</th>' in made
    assert 'aria-label="Table: Cities"' in made


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
    assert "data:image/svg+xml;base64," in made[0]


def test_points_after_exposure_are_filled_and_before_hollow():
    before, after = [line for line in drawn().get_lines() if line.get_marker() == "o"]
    assert before.get_markerfacecolor() == "white"
    assert after.get_markerfacecolor() == plots.BLUE
