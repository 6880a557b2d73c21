import math

import pandas as pd
import pytest

from wwc_research.panel.areas import area_values_to_places


def observations(**values: tuple[float, float]) -> pd.DataFrame:
    rows = [(area, 2020, value, error) for area, (value, error) in values.items()]
    return pd.DataFrame(rows, columns=["place_id", "year", "value", "std_error"])


def crosswalk(*rows: tuple) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["place_id", "area_id", "share", "first_year", "last_year"])
    return frame.assign(weight=frame["share"])


def test_a_city_in_one_county_has_exactly_the_county_figure():
    found = area_values_to_places(observations(a=(0.3, 0.01)), crosswalk=crosswalk(("city", "a", 1.0, 2010, 2030)))
    assert found.iloc[0][["value", "std_error", "covered_share"]].tolist() == [0.3, 0.01, 1.0]


def test_a_city_in_two_counties_has_the_population_weighted_mean_and_its_error():
    found = area_values_to_places(
        observations(a=(0.2, 0.03), b=(0.4, 0.04)),
        crosswalk=crosswalk(("city", "a", 0.75, 2010, 2030), ("city", "b", 0.25, 2010, 2030)),
    ).iloc[0]
    assert found["value"] == pytest.approx(0.25)
    assert found["std_error"] == pytest.approx(math.sqrt((0.75 * 0.03) ** 2 + (0.25 * 0.04) ** 2))
    assert found["covered_share"] == 1.0


def test_the_share_without_a_figure_is_told_and_does_not_pull_the_mean():
    found = area_values_to_places(
        observations(a=(0.2, math.nan), b=(math.nan, math.nan)),
        crosswalk=crosswalk(("city", "a", 0.6, 2010, 2030), ("city", "b", 0.4, 2010, 2030)),
    ).iloc[0]
    assert found["value"] == pytest.approx(0.2)
    assert found["covered_share"] == pytest.approx(0.6)
    assert math.isnan(found["std_error"])


def test_an_unknown_error_of_one_area_makes_the_citys_error_unknown():
    found = area_values_to_places(
        observations(a=(0.2, 0.01), b=(0.4, math.nan)),
        crosswalk=crosswalk(("city", "a", 0.5, 2010, 2030), ("city", "b", 0.5, 2010, 2030)),
    ).iloc[0]
    assert math.isnan(found["std_error"])


def test_a_crosswalk_counts_only_in_the_years_it_was_drawn_for():
    found = area_values_to_places(observations(a=(0.2, 0.01)), crosswalk=crosswalk(("city", "a", 1.0, 2010, 2019)))
    assert found.empty


def test_a_figure_is_weighted_by_those_it_counts_where_their_number_is_known():
    areas = crosswalk(("city", "a", 0.5, 2010, 2030), ("city", "b", 0.5, 2010, 2030)).assign(weight=[300.0, 100.0])
    found = area_values_to_places(observations(a=(0.1, math.nan), b=(0.3, math.nan)), crosswalk=areas).iloc[0]
    assert found["value"] == pytest.approx(0.15)
    assert found["covered_share"] == 1.0
