"""The timeline: every award of a certified city in its place, and no city that has none."""

from __future__ import annotations

import copy
import json

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from wwc_research.design.sample import Sample
from wwc_research.errors import InputError
from wwc_research.panel.panel import Panel
from wwc_research.report import html
from wwc_research.report.timeline_plot import adoption_timeline, award_rows, timeline_finding, timeline_rows

LABELS = {"2622000": "Detroit, MI", "2507000": "Boston, MA", "0668000": "San Jose, CA"}


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def events() -> pd.DataFrame:
    rows = [
        ("2622000", "first", "silver", "2021-07-14"),
        ("2622000", "recertified", "silver", "2023"),
        ("2507000", "level-up", "gold", "2024-01-23"),
        ("2507000", "first", "silver", "2018-01-25"),
        ("2507000", "level-up", "platinum", "2026-01"),
        ("0668000", "first", "", ""),
        ("0668000", "honor-roll", "", "2019-05"),
        ("3916000", "honor-roll", "", "2020-06-29"),
    ]
    return pd.DataFrame(rows, columns=["place_id", "event", "level", "announced_on"])


def rows() -> list[dict]:
    return award_rows(events(), labels={**LABELS, "3916000": "Cleveland, OH"})


def test_cities_come_in_order_of_their_first_award_and_undated_ones_last():
    found = rows()
    assert list(dict.fromkeys(row["label"] for row in found)) == ["Boston, MA", "Detroit, MI", "San Jose, CA"]
    boston = [(row["event"], row["level"], row["year"]) for row in found if row["label"] == "Boston, MA"]
    assert boston == [("first", "silver", 2018), ("level-up", "gold", 2024), ("level-up", "platinum", 2026)]
    assert found[-1] == {
        "label": "San Jose, CA",
        "event": "first",
        "level": "unknown",
        "announced_on": "",
        "year": None,
    }


def test_a_city_on_an_honour_roll_without_certification_is_not_named():
    assert "Cleveland" not in json.dumps(rows())
    assert "honor-roll" not in json.dumps(rows())


def test_from_gold_on_the_first_award_is_the_first_at_gold():
    found = award_rows(events(), labels=LABELS, minimum_level="gold")
    assert [(row["label"], row["event"], row["level"]) for row in found] == [
        ("Boston, MA", "first", "gold"),
        ("Boston, MA", "level-up", "platinum"),
    ]


def panel() -> Panel:
    frame = pd.DataFrame(
        {
            "place_id": ["2622000", "2507000", "0668000", "3916000"],
            "label": [*LABELS.values(), "Cleveland, OH"],
            "county_id": ["26163", "25025", "26163", "39035"],
            "certification_cohort": [2022.0, 2018.0, np.nan, np.nan],
            "certification_edition": ["v2", "v3", "", ""],
            "open_data_policy_cohort": [np.nan, 2014.0, np.nan, np.nan],
            "open_data_policy_date": ["", "2014-04-07", "", ""],
        }
    )
    return Panel(frame=frame.assign(year=2022), columns=(), data_hash="")


def sample(units: dict[str, float], **settings: object) -> Sample:
    frame = pd.DataFrame({"unit": list(units), "cohort": list(units.values())})
    return Sample(frame=frame, settings={"unit": "place", "treatment": "certification", **settings})


def test_only_exposed_cities_of_the_sample_are_shown():
    found = timeline_rows(panel(), sample=sample({"2622000": 2022.0, "2507000": np.nan}), events=events())
    assert {row["label"] for row in found} == {"Detroit, MI"}


def test_a_county_shows_those_of_its_cities_that_exposed_it():
    counties = sample({"26163": 2022.0, "25025": 2018.0, "39035": np.nan}, unit="county", editions=["v1", "v2"])
    found = timeline_rows(panel(), sample=counties, events=events())
    # San Jose stands for a city of an exposed county without an award, Boston for one of another edition
    assert {row["label"] for row in found} == {"Detroit, MI"}


def test_a_treatment_that_is_no_award_is_dated_by_the_panel():
    policies = sample({"2507000": 2014.0}, treatment="open_data_policy")
    found = timeline_rows(panel(), sample=policies, events=events())
    assert found == [{"label": "Boston, MA", "event": "first", "level": "", "announced_on": "2014-04-07", "year": 2014}]
    assert timeline_finding(found, one="city", many="cities") == "1 city was exposed in 2014."


def test_a_sample_of_another_origin_is_refused():
    with pytest.raises(InputError, match=r"needs a sample from Design\.sample"):
        timeline_rows(panel(), sample=Sample(frame=pd.DataFrame()), events=events())


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
    # most of it is the list of fonts that matplotlib repeats in each of the texts
    assert len(first) < 55_000
    assert len(html._svg(adoption_timeline(many(35)))) < 40_000


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
        "3 certified cities had their first award between 2018 and 2021, equally many in each of 2 years: 2 at silver, "
        "1 at a level not known; 1 is not dated; 1 later rose to a higher level."
    )
    assert timeline_finding([], one="city", many="cities").startswith("No city is in the sample")
    undated = [row for row in rows() if row["year"] is None]
    assert timeline_finding(undated, one="city", many="cities") == (
        "1 city had its first award at a date not known: 1 at a level not known."
    )
