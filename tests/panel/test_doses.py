"""Doses as panel columns: levels and cohorts by the roster, shares of counties, confidential scores."""

import numpy as np
import pandas as pd
import pytest

from wwc_research.catalog.editions import edition
from wwc_research.errors import InputError
from wwc_research.panel import doses
from wwc_research.standard.responses import Responses
from wwc_research.standard.scoring import score

DETROIT, LOUISVILLE, CHARLOTTE = "2622000", "2148006", "3712000"


def at(panel, place_id: str, year: int) -> pd.Series:
    rows = panel.frame
    return rows.loc[(rows["place_id"] == place_id) & (rows["year"] == year)].iloc[0]


def test_the_level_dose_follows_the_roster(panel):
    # Louisville: silver in January 2018, gold in 2019, platinum in 2021 (roster)
    levels = [at(panel, LOUISVILLE, year)["certification_level_dose"] for year in (2017, 2018, 2024)]
    assert levels == [0, 1, 3]
    assert at(panel, "0100820", 2024)["certification_level_dose"] == 0


def test_a_level_that_cannot_be_dated_is_unknown_and_not_none(panel):
    charlotte = panel.frame.loc[panel.frame["place_id"] == CHARLOTTE].set_index("year")
    unknown = charlotte["has_been_certified"].isna()
    assert unknown.any()
    assert not unknown.loc[2017]


def test_a_dated_city_has_been_certified_from_its_cohort_on(panel):
    frame = panel.frame
    dated = frame.loc[frame["certification_cohort"].notna()]
    expected = (dated["year"] >= dated["certification_cohort"]).astype(float)
    pd.testing.assert_series_equal(dated["has_been_certified"], expected, check_names=False)


def test_the_shares_of_a_county_never_exceed_one_and_a_city_county_is_whole(panel):
    frame = panel.frame.loc[panel.frame["year"] == 2015]
    assert frame["county_people_share"].notna().all()
    assert (frame.groupby("county_id")["county_people_share"].sum() <= 1).all()
    assert at(panel, "0820000", 2015)["county_people_share"] == 1  # Denver is city and county


def test_gold_is_dated_by_the_year_in_which_it_was_reached(panel):
    frame = panel.frame.drop_duplicates("place_id").set_index("place_id")
    dated = frame["gold_certification_cohort"].dropna()
    first = frame["certification_cohort"]
    assert len(dated) >= 20
    assert (dated >= first.reindex(dated.index)).all()
    reached = panel.frame.loc[panel.frame["certification_level_dose"] >= 2].groupby("place_id")["year"].min()
    pd.testing.assert_series_equal(reached.reindex(dated.index).astype(float), dated, check_names=False)


def test_a_city_whose_gold_may_lie_earlier_is_undated():
    rows = pd.DataFrame(
        {
            "place_id": ["a"] * 3 + ["b"] * 3 + ["c"] * 3,
            "year": [2019, 2020, 2021] * 3,
            "dose": [0, 2, 2, np.nan, 2, 2, 0, np.nan, 1],
        }
    )
    events = pd.DataFrame(
        {
            "place_id": ["a", "a", "b"],
            "level": ["gold", "platinum", "gold"],
            "announced_on": ["2019-10", "2023-01", "2019-11"],
            "standard_edition": ["v1", "v3", "v2"],
        }
    )
    found = doses.level_cohorts(rows, events, level="gold")
    assert found["cohort"].to_dict() == pytest.approx({"a": 2020, "b": np.nan, "c": np.nan}, nan_ok=True)
    assert found["is_undated"].to_dict() == {"a": False, "b": True, "c": True}
    assert found.loc["a", "edition"] == "v1"


def scores(panel, places: list[str]):
    v2 = edition("v2")
    values = np.zeros((len(places), len(v2.criteria)), dtype=int)
    values[:, :27] = 1
    return score(
        Responses(
            values,
            place_ids=places,
            assessed_on=["2018-03"] * len(places),
            criteria=list(v2.criteria),
            edition=v2,
        ),
        v2,
    )


def test_a_score_counts_from_its_assessment_and_was_not_zero_before(panel):
    scored = doses.with_score_dose(panel, scores(panel, [DETROIT]))
    frame = scored.frame.loc[scored.frame["place_id"] == DETROIT].set_index("year")["score_dose"]
    assert frame.loc[:2017].isna().all()
    assert (frame.loc[2018:] == 27 / 45).all()
    assert scored.frame.loc[scored.frame["place_id"] != DETROIT, "score_dose"].isna().all()


def test_a_panel_with_scores_refuses_to_be_written(panel, tmp_path):
    scored = doses.with_score_dose(panel, scores(panel, [DETROIT]))
    with pytest.raises(InputError, match="confidential"):
        scored.write(tmp_path / "panel.parquet")
    assert list(tmp_path.iterdir()) == []


def test_a_practice_that_the_edition_lacks_is_refused_with_those_it_has(panel):
    with pytest.raises(InputError, match="no practice 'XX'"):
        doses.with_score_dose(panel, scores(panel, [DETROIT]), practice="XX")


def test_scores_of_cities_outside_the_panel_are_refused_without_a_name(panel):
    with pytest.raises(InputError, match="none of the 1 assessments") as error:
        doses.with_score_dose(panel, scores(panel, ["9999999"]))
    assert "9999999" not in str(error.value)
