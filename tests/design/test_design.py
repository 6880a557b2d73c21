import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wwc_research import catalog
from wwc_research.design.design import Design
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import estimate
from wwc_research.messages import Message

RAW = Path(__file__).parents[2] / "data" / "raw"
OUTCOMES = list(catalog.plan().analyses)
UNDATED = {"3712000", "0668000", "1871000", "3915000", "4075000"}


def design(outcome: str, *, treatment: str = "certification", **changes: object) -> Design:
    planned = Design(
        outcome=catalog.outcome(outcome),
        treatment=catalog.treatment(treatment),
        analysis=catalog.plan().analyses[outcome],
    )
    return planned.with_analysis(**changes) if changes else planned


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_row_of_the_window_is_either_kept_or_excluded_with_a_reason(panel, outcome):
    planned = design(outcome)
    first, last = planned.analysis.window
    rows = planned.unit_years(panel)
    rows = rows.loc[rows["time"].between(first, last)]
    sample = planned.sample(panel)
    assert len(sample.frame) + sum(item.rows for item in sample.exclusions) == len(rows)
    assert all(item.reason and item.rows > 0 and item.units > 0 for item in sample.exclusions)
    assert all(isinstance(item.as_dict()["reason"], Message) for item in sample.exclusions)
    assert np.isfinite(sample.frame["outcome"]).all()


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_city_certified_without_a_date_is_in_no_comparison_group(panel, outcome):
    sample = design(outcome).sample(panel)
    counties = set(panel.frame.loc[panel.frame["place_id"].isin(UNDATED), "county_id"])
    barred = counties if design(outcome).analysis.unit == "county" else UNDATED
    assert not barred & set(sample.frame["unit"])


def test_a_city_first_certified_under_v3_is_comparison_until_its_award_and_then_leaves(panel):
    sample = design("median_income").sample(panel)
    mesa = sample.frame.loc[sample.frame["unit"] == "5101000"]  # Alexandria VA, January 2024
    assert len(mesa) > 5
    assert mesa["cohort"].isna().all()
    carlsbad = design("median_income", window=(2010, 2023)).unit_years(panel)
    later = carlsbad.loc[carlsbad["is_later_edition"].astype(bool) & (carlsbad["cohort"] == 2023), "unit"].unique()
    kept = sample.frame.loc[sample.frame["unit"].isin(later), "time"]
    assert len(later) == 2
    assert kept.max() == 2022


def test_a_city_certified_later_is_not_never_exposed(panel):
    later = panel.frame.drop_duplicates("place_id")
    later = set(later.loc[later["certification_edition"] == "v3", "place_id"])
    never = design("median_income", comparison="never").sample(panel)
    assert len(later) == 19
    assert not later & set(never.frame["unit"])


def test_exposed_units_of_a_sample_all_have_a_past(panel):
    for treatment in ("certification", "open_data_policy"):
        frame = design("employment", treatment=treatment).sample(panel).frame
        first = frame.groupby("unit")["time"].transform("min")
        assert (frame["cohort"].isna() | (frame["cohort"] > first)).all()


def test_adopters_of_an_unknown_day_are_on_neither_side_and_later_years_are_not_analysed(panel):
    sample = design("employment", treatment="open_data_policy").sample(panel)
    assert not {"0664000", "4967000"} & set(sample.frame["unit"])
    assert sample.frame["time"].max() == 2018


def test_only_early_editions_are_treated_by_default_and_v3_on_request(panel):
    early = design("median_income").sample(panel)
    assert early.frame["cohort"].max() == 2022
    every = design("median_income", editions=("v1", "v2", "v3")).sample(panel)
    assert every.frame["cohort"].max() > 2022


def test_a_county_is_exposed_from_the_first_year_one_of_its_cities_is(panel):
    sample = design("unemployment").sample(panel)
    maricopa = sample.frame.loc[sample.frame["unit"] == "04013"]
    assert maricopa["cohort"].unique().tolist() == [2019.0]
    assert not sample.frame.duplicated(["unit", "time"]).any()
    assert (sample.frame["cluster"] == sample.frame["unit"]).all()


def test_a_county_unit_carries_the_figure_of_its_county(panel):
    sample = design("unemployment").sample(panel)
    los_angeles = sample.frame.loc[sample.frame["unit"] == "06037"].set_index("time")["outcome"]
    assert los_angeles[[2010, 2019, 2020]].round(3).tolist() == [0.126, 0.045, 0.123]


def test_median_income_is_analysed_in_logarithms(panel):
    sample = design("median_income").sample(panel)
    new_york = sample.frame.loc[sample.frame["unit"] == "3651000"].set_index("time")["outcome"]
    assert new_york[2019] == pytest.approx(np.log(69407))


def test_a_treatment_without_dates_has_no_before_and_after():
    with pytest.raises(InputError, match="certification and open_data_policy"):
        design("broadband", treatment="partner_network")


def test_another_treatment_needs_no_new_code(panel):
    sample = design("employment", treatment="open_data_policy").sample(panel)
    found = estimate(sample, "callaway_santanna")
    assert found.n_treated > 20
    assert np.isfinite(found.std_error)


def test_a_window_without_exposed_units_is_refused_with_advice(panel):
    with pytest.raises(EstimationError, match="widen the window"):
        design("median_income", editions=("v9",)).sample(panel)


def test_a_sample_does_not_change_the_panel(panel):
    before = panel.frame.copy()
    design("air_quality").sample(panel)
    assert before.equals(panel.frame)


def test_a_design_is_a_value(panel):
    planned = design("broadband")
    changed = planned.with_analysis(anticipation=1)
    assert planned.analysis.anticipation == 0
    assert changed.analysis.anticipation == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        planned.outcome = None


def test_years_at_silver_are_neither_gold_nor_a_comparison_for_it(panel):
    sample = design("broadband", treatment="gold_certification").sample(panel)
    level = panel.frame.set_index(["place_id", "year"])["certification_level_dose"]
    held = level.reindex(list(zip(sample.frame["unit"], sample.frame["time"], strict=True))).to_numpy()
    exposed = (sample.frame["time"] >= sample.frame["cohort"]).to_numpy()
    assert exposed.any()
    assert (held[exposed] >= 2).all()
    assert (held[~exposed] == 0).all()
    assert any("certified below gold" in item.reason for item in sample.exclusions)


def test_the_dose_is_the_level_held_while_exposed_and_zero_else(panel):
    planned = dataclasses.replace(design("broadband"), dose="certification_level_dose")
    frame = planned.sample(panel).frame
    exposed = frame["time"] >= frame["cohort"]
    assert set(frame.loc[exposed, "dose"]) <= {1.0, 2.0, 3.0}
    assert (frame.loc[~exposed, "dose"] == 0).all()


def test_a_countys_dose_is_the_share_of_its_people_in_certified_cities(panel):
    planned = dataclasses.replace(design("air_quality"), dose="people_share")
    frame = planned.sample(panel).frame
    last = frame.loc[frame["dose"] > 0].groupby("unit")["dose"].last()
    assert last["08031"] == 1  # Denver
    assert ((last > 0) & (last <= 1)).all()
    # Wayne County MI, 2010 census (Geocorr): Detroit's 713,777 of 1,820,584 people; Detroit is its only certified city
    wayne = frame.loc[(frame["unit"] == "26163") & (frame["time"] == 2019), "dose"]
    detroit = panel.frame.loc[panel.frame["place_id"] == "2622000"].iloc[0]
    assert wayne.tolist() == pytest.approx([713777 / 1820584 if detroit["certification_cohort"] <= 2019 else 0])


def test_spillover_asks_about_places_never_exposed_beside_exposed_ones(panel):
    ring = dataclasses.replace(design("broadband"), exposure="neighbours").sample(panel)
    own = panel.frame.drop_duplicates("place_id").set_index("place_id")
    assert own.loc[ring.frame["unit"].unique(), "certification_cohort"].isna().all()
    exposed = ring.frame.loc[ring.frame["cohort"].notna()].drop_duplicates("unit")
    assert len(exposed) > 30
    first = own.loc[own["certification_edition"].isin(["v1", "v2"])].groupby("county_id")["certification_cohort"].min()
    assert (exposed["cohort"].to_numpy() == first.reindex(exposed["cluster"]).to_numpy()).all()


@pytest.mark.parametrize(
    ("outcome", "changes", "said"),
    [
        ("air_quality", {"dose": "certification_level_dose"}, "not known for counties"),
        ("air_quality", {"exposure": "neighbours"}, "about places"),
        ("broadband", {"exposure": "near"}, "allowed: own and neighbours|allowed: own, neighbours"),
    ],
)
def test_a_dose_or_exposure_that_makes_no_sense_is_refused(outcome, changes, said):
    with pytest.raises(InputError, match=said):
        dataclasses.replace(design(outcome), **changes)


def test_a_dose_that_the_panel_lacks_is_refused(panel):
    with pytest.raises(InputError, match="no column of the panel"):
        dataclasses.replace(design("broadband"), dose="charm").sample(panel)


def roster() -> pd.DataFrame:
    """First awards of the roster in the United States, as written in the table."""
    events = pd.read_csv(RAW / "certification" / "events.csv", dtype=str).fillna("")
    return events.loc[(events["event"] == "first") & (events["country"] == "USA")].set_index("place_id")


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_only_sure_rows_leaves_out_exactly_the_units_whose_award_no_source_of_its_own_tells(panel, outcome):
    planned = design(outcome)
    every = planned.sample(panel).frame
    sure = dataclasses.replace(planned, roster="source_only").sample(panel)
    first = roster()
    doubtful = set(first.index[(first["confidence"] != "source") & first["announced_on"].ne("")])
    assert doubtful == {"1303440", "3231900", "0455000", "0666000"}  # Athens, Henderson, Phoenix, San Diego
    if planned.analysis.unit == "county":
        doubtful = set(panel.frame.loc[panel.frame["place_id"].isin(doubtful), "county_id"])
    assert set(every["unit"]) - set(sure.frame["unit"]) == doubtful & set(every["unit"])
    kept = every.loc[~every["unit"].isin(doubtful), ["unit", "time", "outcome", "cohort"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(sure.frame[["unit", "time", "outcome", "cohort"]], kept)
    if doubtful & set(every["unit"]):
        assert sum("source of its own" in item.reason for item in sure.exclusions) == 1
        assert sure.settings["roster"] == "source_only"


@pytest.mark.parametrize(("month", "moved"), [(13, "07"), (1, "06")])
def test_another_exposure_rule_moves_exactly_the_awards_on_its_side_of_the_year(panel, month, moved):
    planned = design("median_income")
    usual = planned.unit_years(panel).drop_duplicates("unit").set_index("unit")["cohort"].dropna()
    other = dataclasses.replace(planned, exposure_month=month).unit_years(panel)
    other = other.drop_duplicates("unit").set_index("unit")["cohort"].dropna()
    assert set(usual.index) == set(other.index)
    dates = roster()["announced_on"].reindex(usual.index)
    year, in_month = dates.str[:4].astype(float), dates.str[5:7]
    shifted = in_month >= moved if month == 13 else in_month <= moved
    assert 0 < shifted.sum() < len(shifted)
    assert ((other - usual) == np.where(shifted, -1 if month == 13 else 1, 0)).all()
    assert (other == (year if month == 13 else year + 1)).all()


def test_the_rule_of_the_treatment_itself_changes_nothing(panel):
    planned = design("broadband")
    same = dataclasses.replace(planned, exposure_month=planned.treatment.exposure_month).sample(panel)
    pd.testing.assert_frame_equal(same.frame, planned.sample(panel).frame)


def test_a_policy_of_the_first_half_year_counts_from_the_next_where_the_rule_says_so(panel):
    planned = design("employment", treatment="open_data_policy")
    usual, later = (
        item.unit_years(panel).drop_duplicates("unit").set_index("unit")["cohort"]
        for item in (planned, dataclasses.replace(planned, exposure_month=1))
    )
    assert set((later - usual).dropna()) == {0.0, 1.0}
    assert usual.notna().equals(later.notna())


def test_undated_cities_are_comparison_only_where_the_design_says_so(panel):
    planned = design("median_income")
    out, within = (dataclasses.replace(planned, undated=side).sample(panel).frame for side in ("out", "comparison"))
    joined = set(within["unit"]) - set(out["unit"])
    assert joined == UNDATED
    assert within.loc[within["unit"].isin(joined), "cohort"].isna().all()
    assert not set(out["unit"]) - set(within["unit"])


def test_options_that_do_not_exist_are_refused_with_those_that_do():
    with pytest.raises(InputError, match="allowed: all and source_only"):
        dataclasses.replace(design("broadband"), roster="some")
    with pytest.raises(InputError, match="allowed: out and comparison"):
        dataclasses.replace(design("broadband"), undated="in")
    with pytest.raises(InputError, match="between 1 and 13"):
        dataclasses.replace(design("broadband"), exposure_month=0)


def test_an_old_panel_without_the_confidence_of_its_awards_says_to_build_it_again(panel):
    old = dataclasses.replace(panel, frame=panel.frame.drop(columns="certification_confidence"))
    with pytest.raises(InputError, match="panel build"):
        dataclasses.replace(design("broadband"), roster="source_only").sample(old)


def test_a_neighbour_whose_award_is_not_sure_takes_its_county_along(panel):
    planned = dataclasses.replace(design("broadband"), exposure="neighbours")
    every = set(planned.sample(panel).frame["unit"])
    sure = set(dataclasses.replace(planned, roster="source_only").sample(panel).frame["unit"])
    gone = panel.frame.loc[panel.frame["place_id"].isin(every - sure), "county_id"]
    # Phoenix, San Diego and Henderson; Athens is the only place of its county
    assert set(gone) == {"04013", "06073", "32003"}
