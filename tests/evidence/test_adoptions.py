"""Rows of the map and of the timeline: nobody is named in them who is not on the public roster."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from tests.award_examples import LABELS, events, rows
from wwc_research.design.sample import Sample
from wwc_research.errors import InputError
from wwc_research.evidence.adoptions import MOST_DOTS, award_rows, map_rows, thinned, timeline_rows
from wwc_research.panel.panel import Panel


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


def test_a_timeline_of_a_sample_of_another_origin_is_refused():
    with pytest.raises(InputError, match=r"needs a sample from Design\.sample"):
        timeline_rows(panel(), sample=Sample(frame=pd.DataFrame()), events=events())


def map_panel() -> Panel:
    places = pd.DataFrame(
        {
            "place_id": ["2622000", "2649000", "3916000", "0203000"],
            "label": ["Detroit, MI", "Livonia, MI", "Cleveland, OH", "Anchorage, AK"],
            "state": ["MI", "MI", "OH", "AK"],
            "county_id": ["26163", "26163", "39035", "02020"],
            "latitude": [42.4, 42.6, 41.5, np.nan],
            "longitude": [-83.1, -83.3, -81.7, np.nan],
            "certification_cohort": [2022.0, np.nan, np.nan, np.nan],
            "open_data_policy_cohort": [2015.0, np.nan, np.nan, np.nan],
        }
    )
    frame = places.merge(pd.DataFrame({"year": [2021, 2022]}), how="cross")
    held = frame["place_id"].eq("2622000") & frame["year"].eq(2022)
    return Panel(frame=frame.assign(certification_level_dose=np.where(held, 2.0, 0.0)), columns=(), data_hash="")


def map_sample(*, unit: str = "place", treatment: str = "certification") -> Sample:
    units = {
        "place": {"2622000": "Detroit, MI", "3916000": "Cleveland, OH", "0203000": "Anchorage, AK"},
        "county": {"26163": "Wayne County, MI", "39035": "Cuyahoga County, OH"},
    }[unit]
    year = {"certification": 2022.0, "open_data_policy": 2015.0}[treatment]
    cohorts = [year if at == 0 else np.nan for at in range(len(units))]
    frame = pd.DataFrame({"unit": list(units), "label": list(units.values()), "cohort": cohorts})
    frame = frame.merge(pd.DataFrame({"time": [2021, 2022]}), how="cross")
    return Sample(frame=frame, settings={"unit": unit, "treatment": treatment})


def test_rows_name_the_exposed_and_nobody_else():
    rows = map_rows(map_panel(), sample=map_sample())
    assert rows[0] == {
        "label": "Detroit, MI",
        "state": "MI",
        "latitude": 42.4,
        "longitude": -83.1,
        "cohort": 2022,
        "level": "gold",
    }
    assert [row["label"] for row in rows[1:]] == ["", ""]
    assert [(row["state"], row["latitude"]) for row in rows[1:]] == [("AK", None), ("OH", 41.5)]
    assert "Cleveland" not in json.dumps(rows)


def test_a_county_stands_at_the_mean_of_its_places_with_their_highest_level():
    rows = map_rows(map_panel(), sample=map_sample(unit="county"))
    assert rows[0]["label"] == "Wayne County, MI"
    assert rows[0]["latitude"] == pytest.approx(42.5)
    assert (rows[0]["cohort"], rows[0]["level"]) == (2022, "gold")


def test_a_treatment_that_is_no_award_has_no_levels():
    rows = map_rows(map_panel(), sample=map_sample(treatment="open_data_policy"))
    assert (rows[0]["cohort"], rows[0]["level"]) == (2015, "")


def test_a_map_of_a_sample_of_another_origin_is_refused():
    with pytest.raises(InputError, match=r"needs a sample from Design\.sample"):
        map_rows(map_panel(), sample=Sample(frame=pd.DataFrame()))
    other = map_sample()
    other.frame.loc[:, "unit"] = "9999999"
    with pytest.raises(InputError, match="9999999, are not in the panel"):
        map_rows(map_panel(), sample=other)


def test_a_neighbour_of_an_exposed_place_is_not_named_as_exposed():
    neighbours = map_sample()
    neighbours.frame.loc[neighbours.frame["unit"] == "3916000", "cohort"] = 2022.0
    with pytest.raises(InputError, match="1 units, such as 3916000, count as exposed in the sample and were not"):
        map_rows(map_panel(), sample=neighbours)


def compared(latitude: float | None, longitude: float | None, state: str = "OH") -> dict:
    return {"label": "", "state": state, "latitude": latitude, "longitude": longitude, "cohort": None, "level": ""}


def test_a_thinned_map_keeps_every_exposed_place_and_counts_every_comparison_unit():
    rng = np.random.default_rng(3)
    exposed = [{**compared(42.0, -83.0, "MI"), "label": f"City {at}", "cohort": 2018} for at in range(4)]
    others = [compared(*spot) for spot in np.column_stack([rng.uniform(31, 48, 900), rng.uniform(-120, -76, 900)])]
    found = thinned([*exposed, *others, compared(None, None), compared(None, None, "PR")])
    assert [row["label"] for row in found[:4]] == ["City 0", "City 1", "City 2", "City 3"]
    dots = found[4:]
    assert sum(row["n_units"] for row in dots) == 902
    assert dots[-1]["latitude"] is None
    assert dots[-1]["n_units"] == 2
    assert len(dots) <= MOST_DOTS + 1
    given = {(row["latitude"], row["longitude"]) for row in others}
    assert all((row["latitude"], row["longitude"]) in given for row in dots[:-1])


def test_units_of_two_states_do_not_become_one():
    assert [row["state"] for row in thinned([compared(41.7, -83.5, "OH"), compared(41.71, -83.5, "MI")])] == [
        "MI",
        "OH",
    ]


def test_degrees_are_kept_to_a_hundred_metres():
    fine = map_panel()
    fine.frame.loc[:, "latitude"] += 0.00012
    assert map_rows(fine, sample=map_sample())[0]["latitude"] == 42.4
