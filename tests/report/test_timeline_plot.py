"""The timeline: every award of a certified city in its place, and no city that has none."""

from __future__ import annotations

import copy

import pytest
from matplotlib import pyplot as plt

from tests.award_examples import rows
from wwc_research.errors import InputError
from wwc_research.report import html
from wwc_research.report.timeline_plot import adoption_timeline, timeline_finding


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def heights(axes) -> dict[int, float]:
    """Height of the stack in each year."""
    found: dict[int, float] = {}
    for bar in (bar for container in axes.containers for bar in container):
        year = int(bar.get_x() + bar.get_width() / 2)
        found[year] = found.get(year, 0) + bar.get_height()
    return found


def test_bars_count_first_awards_and_an_undated_one_has_a_column_of_its_own():
    given = rows()
    kept = copy.deepcopy(given)
    axes = adoption_timeline(given)
    assert heights(axes) == {2018: 1, 2021: 1, 2027: 1}
    assert [text.get_text() for text in axes.get_xticklabels()][-2:] == ["’26", "no\ndate"]
    assert given == kept


def test_levels_of_one_year_stand_on_one_another():
    made = [
        {"label": f"City {at}", "event": "first", "level": level, "announced_on": "2021", "year": 2021}
        for at, level in enumerate(["silver", "gold", "gold", "platinum", "unknown"])
    ]
    bars = [bar for container in adoption_timeline(made).containers for bar in container]
    assert [(bar.get_y(), bar.get_height()) for bar in bars] == [(0, 1), (1, 2), (3, 1), (4, 1)]


def test_a_marker_stands_at_its_date_in_the_row_of_its_city():
    lower = adoption_timeline(rows()).figure.axes[1]
    spots = {
        (line.get_marker(), round(float(x), 3), int(y))
        for line in lower.get_lines()
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }
    assert spots == {
        ("o", round(2018 + 24 / 31 / 12, 3), 0),
        ("s", round(2024 + 22 / 31 / 12, 3), 0),
        ("D", round(2026 + 14 / 31 / 12, 3), 0),
        ("o", round(2021 + (6 + 13 / 31) / 12, 3), 1),
        ("v", 2027.5, 2),
    }
    assert [text.get_text() for text in lower.texts] == ["Boston, MA", "Detroit, MI", "San Jose, CA"]


def many(n: int) -> list[dict]:
    levels = ("silver", "gold", "platinum", "unknown")
    made = []
    for at in range(n):
        date = f"{2018 + at % 6}-0{1 + at % 9}"
        made.append(
            {
                "label": f"City number {at}, TX",
                "event": "first",
                "level": levels[at % 4],
                "announced_on": date,
                "year": int(date[:4]),
            }
        )
        if at % 2:
            made.append({**made[-1], "event": "level-up", "announced_on": "2025-02-26", "year": 2025})
    return made


@pytest.mark.parametrize(("n", "parts"), [(60, 2), (61, 1)])
def test_single_cities_are_drawn_up_to_sixty_and_bars_always(n, parts):
    axes = adoption_timeline(many(n))
    assert len(axes.figure.axes) == parts
    assert sum(heights(axes).values()) == n


def test_the_timeline_stays_a_small_picture_and_comes_out_the_same_twice():
    first, second = (html._svg(adoption_timeline(many(60))) for _ in range(2))
    assert first == second
    assert len(first) < 16_000
    assert len(html._svg(adoption_timeline(many(35)))) < 11_000


def test_an_empty_timeline_is_drawn_too():
    assert adoption_timeline([]).get_ylabel().startswith("Cities")


def test_rows_that_contradict_themselves_are_refused_with_what_is_allowed():
    good = many(2)
    with pytest.raises(InputError, match="events honor-roll have no place on the timeline; allowed: first, level-up"):
        adoption_timeline([*good, {**good[0], "event": "honor-roll"}])
    with pytest.raises(InputError, match="levels bronze are not known; allowed: silver, gold, platinum and unknown"):
        adoption_timeline([{**good[0], "level": "bronze"}])
    with pytest.raises(InputError, match="City number 0, TX should have exactly one first award"):
        adoption_timeline([good[0], good[0]])
    with pytest.raises(InputError, match="Nowhere should have exactly one first award"):
        adoption_timeline([{**good[0], "label": "Nowhere", "event": "level-up"}])


def test_the_sentence_counts_awards_levels_and_rises():
    told = timeline_finding(rows(), one="certified city", many="certified cities")
    assert told == (
        "3 certified cities had their first award between 2018 and 2021, equally many in each of 2 years: 2 at silver "
        "and 1 at a level not known; 1 is not dated; 1 later rose to a higher level."
    )
    assert timeline_finding([], one="city", many="cities").startswith("No cities are in the sample")
    undated = [row for row in rows() if row["year"] is None]
    assert timeline_finding(undated, one="city", many="cities") == (
        "1 city had its first award at a date not known: 1 at a level not known."
    )
