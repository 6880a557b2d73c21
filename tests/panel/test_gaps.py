import math
from pathlib import Path

import pandas as pd
import pytest

from wwc_research.errors import InputError
from wwc_research.panel.gaps import broadband_gaps, youth_neet_gaps
from wwc_research.sources import raw

RAW = Path(__file__).parents[2] / "data" / "raw"


@pytest.fixture(scope="module")
def youth() -> pd.DataFrame:
    return raw.read_observations(RAW, sources=["youth_neet_county"])


def test_a_gap_is_the_difference_and_its_error_that_of_two_independent_samples(panel):
    gaps = broadband_gaps(panel, kind="income").rows
    row = gaps.iloc[0]
    frame = panel.frame
    cells = frame.loc[frame["place_id"].eq(row["place_id"]) & frame["year"].eq(row["year"])].iloc[0]
    under, over = (f"broadband_5y_income_{side}_50k_share" for side in ("under", "over"))
    assert row["gap"] == pytest.approx(cells[under] - cells[over])
    assert row["std_error"] == pytest.approx(math.hypot(cells[f"{under}_std_error"], cells[f"{over}_std_error"]))
    assert row["is_group_worse"] == (row["gap"] < 0)


@pytest.mark.parametrize(
    ("kind", "reference", "groups", "universe"),
    [
        ("race", "white", {"black", "hispanic", "other_race"}, "people"),
        ("income", "income_over_50k", {"income_under_50k"}, "households"),
    ],
)
def test_gaps_never_cross_the_two_kinds(panel, kind, reference, groups, universe):
    rows = broadband_gaps(panel, kind=kind).rows
    assert set(rows["group"]) == groups
    assert set(rows["reference"]) == {reference}
    assert set(rows["universe"]) == {universe}
    other = "income_under_50k" if kind == "race" else "black"
    with pytest.raises(InputError, match="is no group of kind"):
        broadband_gaps(panel, kind=kind, reference=other)


@pytest.mark.parametrize("kind", ["race", "income"])
@pytest.mark.parametrize("accepted", [(), ("quality_2",), ("quality_2", "quality_3")])
def test_every_published_pair_is_a_gap_or_counted_as_left_out(panel, kind, accepted):
    found = broadband_gaps(panel, kind=kind, accepted_flags=accepted)
    groups = 3 if kind == "race" else 1
    assert len(found.rows) + found.left_out["rows"].sum() == groups * 972
    if len(accepted) == 2:
        assert found.left_out.empty


def test_a_flagged_reference_leaves_out_the_pair_and_is_named(panel):
    left_out = broadband_gaps(panel, kind="race").left_out.set_index(["group", "reason"])["rows"]
    assert left_out["black", "group flagged"] == 549
    assert left_out["black", "reference flagged"] == 4


def test_another_reference_turns_the_gap_round(panel):
    one = broadband_gaps(panel, kind="race").rows.set_index(["place_id", "year", "group"])["gap"]
    two = broadband_gaps(panel, kind="race", reference="black").rows.set_index(["place_id", "year", "group"])["gap"]
    forth, back = one.xs("black", level="group"), two.xs("white", level="group")
    pd.testing.assert_series_equal(forth, -back, check_names=False)


def test_one_row_a_place_year_and_group(panel, youth):
    for found in (broadband_gaps(panel, kind="race"), youth_neet_gaps(youth, kind="race")):
        assert not found.rows.duplicated(["place_id", "year", "kind", "group"]).any()


def test_black_residents_are_less_connected_and_their_youth_more_often_out_of_work(panel, youth):
    broadband = broadband_gaps(panel, kind="race").rows.groupby("group")["gap"].mean()
    assert broadband["black"] == pytest.approx(-0.080, abs=0.001)
    neet = youth_neet_gaps(youth, kind="race").rows
    assert neet.loc[neet["group"] == "black", "gap"].mean() == pytest.approx(0.105, abs=0.001)
    assert neet.loc[neet["group"] == "black", "is_group_worse"].mean() > 0.9


def test_youth_gaps_cover_twenty_counties_and_count_the_merged_one(youth):
    found = youth_neet_gaps(youth, kind="sex")
    assert found.rows["place_id"].nunique() == 20
    assert found.left_out.to_dict("records") == [
        {"kind": "sex", "group": "female", "reason": "merged area without a code", "rows": 16}
    ]


def test_a_figure_from_no_cases_is_no_gap(youth):
    none = youth.loc[youth["flag"].eq("no_cases") & youth["variable"].eq("youth_neet_other_share")]
    rows = youth_neet_gaps(youth, kind="race").rows
    kept = rows.loc[rows["group"] == "other"].set_index(["place_id", "year"]).index
    assert not kept.isin(none.set_index(["place_id", "year"]).index).any()


def test_the_decennial_year_without_errors_gives_a_gap_without_error(youth):
    rows = youth_neet_gaps(youth, kind="sex").rows
    assert rows["std_error"].isna().equals(rows["year"].eq(2000))


def test_a_wrong_kind_and_observations_without_groups_are_refused(panel, youth):
    with pytest.raises(InputError, match="allowed: race and income"):
        broadband_gaps(panel, kind="sex")
    with pytest.raises(InputError, match="hold no youth_neet_female_share"):
        youth_neet_gaps(youth.loc[youth["variable"] != "youth_neet_female_share"], kind="sex")
