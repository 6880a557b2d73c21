import dataclasses

import numpy as np
import pandas as pd
import pytest

from tests.design.test_design import design
from wwc_research.design.baseline import cross_section, long_difference
from wwc_research.errors import EstimationError
from wwc_research.panel.panel import Panel


def with_changed_figures_after(panel: Panel, year: int) -> Panel:
    """The panel with every figure after `year` scaled: what a baseline must not see."""
    frame = panel.frame.copy()
    figures = [entry.name for entry in panel.columns if entry.name in frame and entry.unit not in ("yes or no",)]
    numeric = [name for name in figures if not name.endswith("_cohort")]
    frame.loc[frame["year"] > year, numeric] *= 1.5
    return dataclasses.replace(panel, frame=frame)


def test_matching_columns_see_nothing_measured_after_the_baseline(panel):
    planned = design("broadband")
    real = long_difference(panel, design=planned)
    changed = long_difference(with_changed_figures_after(panel, 2017), design=planned)
    columns = list(real.columns)
    pd.testing.assert_frame_equal(real.frame[["unit", *columns]], changed.frame[["unit", *columns]])
    assert not np.allclose(real.frame["outcome"], changed.frame["outcome"])


def test_the_change_is_later_mean_minus_baseline_mean(panel):
    found = long_difference(panel, design=design("broadband")).frame.set_index("unit")
    detroit = panel.frame.loc[panel.frame["place_id"] == "2622000"].set_index("year")["broadband_share"]
    assert found.loc["2622000", "outcome"] == pytest.approx(detroit[2022] - detroit[[2016, 2017]].mean())
    assert found.loc["2622000", "outcome_trend"] == pytest.approx(detroit[2017] - detroit[2016])


def test_units_exposed_in_the_baseline_years_are_left_out_and_counted(panel):
    years = {"baseline_years": (2014, 2015), "post_years": (2017, 2018)}
    found = long_difference(panel, design=design("employment", treatment="open_data_policy", **years))
    reasons = {item.reason: item.units for item in found.exclusions}
    assert reasons["exposed in 2015 or before: no baseline"] > 10


def test_years_after_the_last_known_exposure_are_not_compared(panel):
    with pytest.raises(EstimationError, match="known through 2018 only"):
        long_difference(panel, design=design("employment", treatment="open_data_policy"))


def test_a_unit_without_a_figure_in_every_year_compared_is_left_out(panel):
    found = long_difference(panel, design=design("median_income"))
    seen = panel.frame.dropna(subset="median_income_usd").set_index(["place_id", "year"]).index
    years = [*design("median_income").analysis.baseline_years, 2022, 2023]
    assert all((unit, year) in seen for unit in found.frame["unit"] for year in years)


def test_every_unit_is_kept_or_left_out_with_a_reason(panel):
    planned = design("air_quality")
    found = long_difference(panel, design=planned)
    units = planned.unit_years(panel)["unit"].nunique()
    assert len(found.frame) + sum(item.units for item in found.exclusions) == units


def test_no_later_award_and_no_undated_city_is_compared(panel):
    found = long_difference(panel, design=design("broadband")).frame
    cohorts = panel.frame.drop_duplicates("place_id").set_index("place_id")["certification_cohort"]
    treated = found.loc[found["treated"], "unit"].map(cohorts)
    assert treated.between(2018, 2022).all()
    assert not found["unit"].isin(["3712000", "0668000", "1871000", "3915000", "4075000"]).any()


def test_the_cross_section_compares_levels_of_one_year(panel):
    found = cross_section(panel, design=design("youth_neet"), variable="youth_neet_2021_share", year=2021)
    assert found.frame.set_index("unit").loc["0644000", "outcome"] == pytest.approx(0.1390, abs=1e-3)
    assert found.frame["treated"].sum() == 19
    cohorts = panel.frame.drop_duplicates("place_id").set_index("place_id")["certification_cohort"]
    assert found.frame.loc[~found.frame["treated"], "unit"].map(cohorts).isna().all()
