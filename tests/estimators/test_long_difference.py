"""The long difference: by hand, against statsmodels, windows and who falls out of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from conftest import world

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError
from wwc_research.estimators import long_difference, two_way_fe


def four_units() -> pd.DataFrame:
    """Mean changes 5 and 7 of those exposed in 2020, 1 and 2 of the others; 2019 is a jump nobody shares."""
    outcome = [[1, 3, 90, 7, 7], [0, 0, -5, 6, 8], [4, 4, 50, 5, 5], [2, 0, 9, 3, 3]]
    return pd.DataFrame(
        {
            "unit": np.repeat(list("abcd"), 5),
            "time": np.tile([2017, 2018, 2019, 2020, 2021], 4),
            "outcome": np.array(outcome, dtype=float).ravel(),
            "cohort": np.repeat([2020.0, 2020.0, np.nan, np.nan], 5),
            "cluster": np.repeat(list("abcd"), 5),
            "weight": 1.0,
        }
    )


def test_the_difference_of_mean_changes_is_as_worked_by_hand():
    result = long_difference.estimate(Sample(frame=four_units()), baseline_last=2018)
    assert result.estimate == pytest.approx((5 + 7) / 2 - (1 + 2) / 2)
    # HC0 variance 2 / 2^2 + 0.5 / 2^2; residuals -1, 1, -.5, .5; G/(G-1) (n-1)/(n-K) with n = G = 4, K = 2
    assert result.std_error == pytest.approx(np.sqrt((2 / 4 + 0.5 / 4) * 4 / 3 * 3 / 2))
    assert (result.df, result.n_obs, result.n_units, result.n_treated) == (3, 16, 4, 2)
    (exclusion,) = result.exclusions
    assert exclusion.reason == "outside the windows 2017-2018 and 2020-2021"
    assert exclusion.rows == 4


def test_two_periods_are_two_way_fixed_effects(mpdta):
    two = mpdta[mpdta["time"].isin([2003, 2007])]
    mine, twfe = long_difference.estimate(Sample(frame=two)), two_way_fe.estimate(Sample(frame=two))
    assert mine.estimate == pytest.approx(twfe.estimate, rel=1e-9)
    # n - 1 over n - K: 500 differences and 2 parameters here, 1000 rows and 3 there
    assert mine.std_error == pytest.approx(twfe.std_error * np.sqrt(499 / 498 * 997 / 999), rel=1e-9)


def test_the_regression_is_that_of_statsmodels(staggered):
    sample = Sample(frame=staggered, covariates=("size",))
    result = long_difference.estimate(sample)
    assert result.settings["baseline_times"] == [2016, 2017]
    assert result.settings["post_times"] == [2019, 2021, 2022]
    assert result.settings["n_units_exposed_inside_the_later_window"] == 30
    wide = staggered.pivot(index="unit", columns="time", values=["outcome", "size"])
    change = wide["outcome"][[2019, 2021, 2022]].mean(axis=1) - wide["outcome"][[2016, 2017]].mean(axis=1)
    units = staggered.groupby("unit")[["cohort", "cluster"]].first()
    design = np.column_stack([np.ones(90), units["cohort"].notna(), wide["size"][[2016, 2017]].mean(axis=1)])
    groups = pd.factorize(units["cluster"])[0]
    theirs = sm.OLS(change.to_numpy(), design.astype(float)).fit(cov_type="cluster", cov_kwds={"groups": groups})
    assert result.estimate == pytest.approx(theirs.params[1], rel=1e-10)
    assert result.std_error == pytest.approx(theirs.bse[1], rel=1e-10)


def test_a_planted_effect_is_recovered_exactly_without_noise():
    frame = world(seed=4, noise=0.0)
    frame = frame[frame["cohort"].isna() | (frame["cohort"] == 2018)]
    result = long_difference.estimate(Sample(frame=frame), post_first=2021, post_last=2022)
    # effects 1 + 0.5 * 3 and 1 + 0.5 * 4
    assert result.estimate == pytest.approx(2.75)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    generator = np.random.default_rng(11)
    frame = world(seed=1, noise=0.0)
    frame["cohort"] = frame["cohort"].where(frame["cohort"].isna(), 2019.0)
    base = np.where(frame["time"] >= frame["cohort"], 0.7, 0.0)
    hits = 0
    for _ in range(200):
        shock = generator.normal(size=(30, 6))[
            frame["cluster"].str[1:].astype(int), frame["time"].rank(method="dense").astype(int) - 1
        ]
        outcome = base + shock + generator.normal(size=len(frame))
        low, high = long_difference.estimate(Sample(frame=frame.assign(outcome=outcome))).ci
        hits += low <= 0.7 <= high
    assert 180 <= hits <= 198  # 95 % of 200, give or take three standard deviations


def test_units_that_are_neither_exposed_nor_clean_are_counted_out(staggered):
    sample = Sample(frame=staggered, anticipation=1)
    one = long_difference.estimate(sample, baseline_last=2016, post_first=2019, post_last=2019)
    assert {e.reason: e.units for e in one.exclusions} == {
        "outside the windows 2016 and 2019": 90,
        "in anticipation of its exposure by 2019": 15,
    }
    assert (one.n_treated, one.n_units) == (15, 75)
    two = long_difference.estimate(Sample(frame=staggered), baseline_last=2018, post_first=2021)
    assert {e.reason: e.units for e in two.exclusions} == {
        "outside the windows 2016-2018 and 2021-2022": 90,
        "exposed or in anticipation within the baseline 2016-2018": 15,
    }
    gone = staggered.drop(index=staggered.index[0])
    three = long_difference.estimate(Sample(frame=gone, comparison="never"), post_first=2018, post_last=2019)
    reasons = {e.reason: e.units for e in three.exclusions}
    assert reasons["unit not observed in each period of both windows"] == 1
    assert reasons["first exposed after 2019, and only the never exposed are compared"] == 30
    assert (three.n_treated, three.n_units) == (14, 59)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"baseline_last": 2000}, r"(?s)the baseline window holds no time; the times observed are 2016, 2017.* 2018"),
        ({"post_first": 2030}, "the later window holds no time"),
        ({"baseline_last": 2019, "post_first": 2018}, "starts at 2018, and the baseline ends at 2019; part them"),
        ({"post_first": 2022, "baseline_last": 2017}, "45 exposed and 0 comparison units"),
    ],
)
def test_windows_that_cannot_work_are_refused_with_the_times_there_are(staggered, options, message):
    exposed_only = staggered[staggered["cohort"].notna()]
    with pytest.raises(EstimationError, match=message):
        long_difference.estimate(Sample(frame=exposed_only), **options)
