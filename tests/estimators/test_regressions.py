"""The two regressions, two_way_fe and event_study: by hand, against dummies, and where they go wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from conftest import effect_at, world

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import estimate


@pytest.fixture
def four_units() -> Sample:
    """Changes 3 and 5 with exposure, 1 and 3 without."""
    outcome = [10, 13, 0, 5, 7, 8, -2, 1]
    frame = pd.DataFrame(
        {
            "unit": np.repeat(["a", "b", "c", "d"], 2),
            "time": np.tile([2019, 2020], 4),
            "outcome": np.array(outcome, dtype=float),
            "cohort": np.repeat([2020.0, 2020.0, np.nan, np.nan], 2),
            "cluster": np.repeat(["a", "b", "c", "d"], 2),
            "weight": 1.0,
        }
    )
    return Sample(frame=frame, comparison="never")


@pytest.mark.parametrize("name", ["two_way_fe", "event_study"])
def test_two_by_two_is_the_difference_of_differences_worked_by_hand(four_units, name):
    result = estimate(four_units, name)
    assert result.estimate == pytest.approx(4 - 2)
    # HC0 variance of the change regression is 1; times G/(G-1) (n-1)/(n-K) with G = 4, n = 8, K = 1 + 2 years
    assert result.std_error == pytest.approx(np.sqrt(4 / 3 * 7 / 5))
    assert result.df == 3
    assert (result.n_obs, result.n_units, result.n_treated, result.n_clusters) == (8, 4, 2, 4)


def test_the_event_study_is_the_regression_on_its_dummies(mpdta):
    mpdta = mpdta[mpdta["unit"].isin(mpdta["unit"].unique()[::5])]  # 500 dummies would take long
    result = estimate(Sample(frame=mpdta, comparison="never"), "event_study")
    event_time = mpdta["time"] - mpdta["cohort"]
    shown = [-4, -3, -2, 0, 1, 2, 3]
    design = np.column_stack(
        [
            *(event_time.eq(e) for e in shown),
            pd.get_dummies(mpdta["unit"]),
            pd.get_dummies(mpdta["time"]).iloc[:, 1:],
        ]
    ).astype(float)
    groups = pd.factorize(mpdta["cluster"])[0]
    theirs = sm.OLS(mpdta["outcome"].to_numpy(), design).fit(cov_type="cluster", cov_kwds={"groups": groups})
    # statsmodels counts the 100 units among the parameters, fixest does not
    rescale = (500 - 111) / (500 - 12)
    covariance = theirs.cov_params()[:7, :7] * rescale
    terms = [term for term in result.event_study if term.event_time != -1]
    assert [term.event_time for term in terms] == shown
    np.testing.assert_allclose([term.estimate for term in terms], theirs.params[:7], rtol=1e-8)
    np.testing.assert_allclose([term.std_error for term in terms], np.sqrt(np.diag(covariance)), rtol=1e-8)
    average = np.array([0, 0, 0, 1, 1, 1, 1]) / 4
    assert result.estimate == pytest.approx(average @ theirs.params[:7], rel=1e-8)
    assert result.std_error == pytest.approx(np.sqrt(average @ covariance @ average), rel=1e-8)
    leads = theirs.params[:3]
    assert result.pre_trend_statistic == pytest.approx(leads @ np.linalg.solve(covariance[:3, :3], leads))
    assert result.pre_trend_restrictions == 3


def test_the_event_study_recovers_a_common_path_through_a_missing_wave():
    result = estimate(Sample(frame=world(seed=9, noise=0.0)), "event_study")
    assert result.settings["base_period"] == -1
    for term in result.event_study:
        assert term.estimate == pytest.approx(float(effect_at(np.array(term.event_time))), abs=1e-9)


def test_growing_effects_pull_two_way_fixed_effects_below_the_truth_and_callaway_santanna_not():
    frame = world(seed=9, noise=0.0)
    event_time = frame["time"] - frame["cohort"]
    truth = effect_at(event_time[event_time >= 0].to_numpy()).mean()
    assert estimate(Sample(frame=frame), "two_way_fe").estimate < 0.9 * truth
    # cohorts are of one size, so the mean over cells is the mean over exposed unit-years
    assert estimate(Sample(frame=frame), "callaway_santanna").estimate == pytest.approx(truth, abs=1e-9)


def test_a_constant_effect_is_recovered_with_weights_covariate_and_holes():
    frame = world(seed=4, noise=0.0)
    flat = frame["outcome"] - effect_at((frame["time"] - frame["cohort"]).to_numpy())
    exposed = frame["time"] >= frame["cohort"]
    generator = np.random.default_rng(1)
    frame = frame.assign(
        outcome=flat + 0.25 * exposed - 4 * frame["size"], weight=generator.uniform(0.2, 5, len(frame))
    ).sample(frac=0.85, random_state=2)
    result = estimate(Sample(frame=frame, covariates=("size",)), "two_way_fe")
    assert result.estimate == pytest.approx(0.25, abs=1e-9)


def test_the_anticipation_window_is_neither_exposed_nor_reference(staggered):
    early = (staggered["time"] - staggered["cohort"]).isin([-2, -1])
    spoiled = staggered.assign(outcome=staggered["outcome"] + 100 * early)
    result = estimate(Sample(frame=spoiled, anticipation=2), "two_way_fe")
    by_hand = estimate(Sample(frame=staggered[~early]), "two_way_fe")
    assert result.estimate == pytest.approx(by_hand.estimate, rel=1e-12)
    assert [(e.rows, e.units) for e in result.exclusions] == [(90, 15), (45, 30)]
    assert "anticipation window" in result.exclusions[1].reason


def test_the_event_study_shows_the_anticipation_window_and_tests_only_what_is_before(staggered):
    early = (staggered["time"] - staggered["cohort"]).isin([-2, -1])
    spoiled = staggered.assign(outcome=staggered["outcome"] + 100 * early)
    result = estimate(Sample(frame=spoiled, anticipation=2), "event_study")
    assert result.settings["base_period"] == -3
    window = {term.event_time: term.estimate for term in result.event_study}
    assert window[-1] > 90
    assert window[-2] > 90
    assert result.pre_trend_restrictions == sum(event_time < -3 for event_time in window)
    assert result.pre_trend_p_value > 0.01


def test_another_base_shifts_every_coefficient_by_the_same_amount(staggered):
    one = estimate(Sample(frame=staggered), "event_study")
    other = estimate(Sample(frame=staggered), "event_study", base_period=-2)
    gap = {t.event_time: t.estimate for t in one.event_study}[-2]
    np.testing.assert_allclose(
        [t.estimate for t in other.event_study], [t.estimate - gap for t in one.event_study], atol=1e-9
    )
    assert other.pre_trend_p_value == pytest.approx(one.pre_trend_p_value, rel=1e-6)


def test_pooled_ends_are_one_coefficient_each(staggered):
    result = estimate(Sample(frame=staggered), "event_study", bin_before=-3, bin_after=2)
    assert [term.event_time for term in result.event_study] == [-3, -2, -1, 0, 1, 2]
    assert result.estimate == pytest.approx(np.mean([t.estimate for t in result.event_study[3:]]))


def test_options_that_cannot_be_are_refused(staggered):
    sample = Sample(frame=staggered)
    with pytest.raises(EstimationError, match=r"base_period = 0 is not an observed event time before exposure.*-5"):
        estimate(sample, "event_study", base_period=0)
    with pytest.raises(
        InputError, match=r"(?s)2 faults.*bin_before = -1 would pool the base.*bin_after = -1 would pool"
    ):
        estimate(sample, "event_study", bin_before=-1, bin_after=-1)


def test_leads_and_lags_that_nobody_unexposed_can_tell_apart_are_refused_with_advice(staggered):
    everyone = staggered[staggered["cohort"].notna()]
    with pytest.raises(EstimationError, match="nobody is never exposed; add places never exposed, pool the ends"):
        estimate(Sample(frame=everyone), "event_study")
    assert np.isfinite(estimate(Sample(frame=everyone), "two_way_fe").std_error)


def test_covariates_that_never_change_are_dropped_and_named(mpdta):
    with_it = estimate(Sample(frame=mpdta, covariates=("log_population",)), "two_way_fe")
    assert with_it.settings["dropped_covariates"] == ["log_population"]
    without = estimate(Sample(frame=mpdta), "two_way_fe")
    assert with_it.estimate == pytest.approx(without.estimate, rel=1e-9)


@pytest.mark.parametrize("name", ["two_way_fe", "event_study"])
@pytest.mark.parametrize("kind", ["iid", "hetero", "jackknife", "two_way_cluster", "driscoll_kraay", "newey_west"])
def test_the_kind_of_error_moves_the_error_and_never_the_effect(staggered, name, kind):
    clustered = estimate(Sample(frame=staggered), name)
    other = estimate(Sample(frame=staggered), name, std_errors=kind)
    assert other.estimate == clustered.estimate
    assert other.std_error > 0
    assert other.std_error != clustered.std_error
    assert other.settings["std_errors"] == kind


@pytest.fixture
def regions(staggered) -> pd.DataFrame:
    """Two crossed groupings of units, and a shock of each at each time."""
    unit = staggered["unit"].str[1:].astype(int)
    region, size_class = (unit // 3) % 5, (unit // 7) % 4
    shock = 3 * np.sin(region * staggered["time"]) + 2 * np.cos(size_class + 5 * staggered["time"])
    return staggered.assign(
        region="r" + region.astype(str), size_class="s" + size_class.astype(str), outcome=staggered["outcome"] + shock
    )


@pytest.mark.parametrize("name", ["two_way_fe", "event_study"])
def test_further_effects_take_out_what_regions_share_at_each_time(staggered, regions, name):
    unit = staggered["unit"].str[1:].astype(int)
    plain = staggered.assign(region="r" + ((unit // 3) % 5).astype(str), size_class="s" + ((unit // 7) % 4).astype(str))
    effects = ("region", "size_class")
    one = estimate(Sample(frame=plain, effects=effects), name)
    other = estimate(Sample(frame=regions, effects=effects), name)
    assert other.estimate == pytest.approx(one.estimate, rel=1e-8)
    assert other.std_error == pytest.approx(one.std_error, rel=1e-8)
    assert abs(estimate(Sample(frame=regions), name).estimate - estimate(Sample(frame=plain), name).estimate) > 1e-3
    assert other.settings["effects"] == ["region", "size_class"]


def test_further_effects_are_dummies_of_region_and_year(regions):
    result = estimate(Sample(frame=regions, effects=("region",)), "two_way_fe")
    exposed = (regions["time"] >= regions["cohort"]).to_numpy(float)
    region_year = regions["region"] + regions["time"].astype(str)
    design = np.column_stack(
        [exposed, *(pd.get_dummies(c, drop_first=True).to_numpy(float) for c in (regions["unit"], region_year))]
    )
    theirs = np.linalg.lstsq(np.column_stack([design, np.ones(len(design))]), regions["outcome"], rcond=None)[0]
    assert result.estimate == pytest.approx(theirs[0], rel=1e-9)


def test_a_plain_effect_moves_with_its_unit_and_is_refused_where_it_never_does(regions):
    moved = regions.assign(mayor="m" + (regions["unit"].str[1:].astype(int) % 7 + regions["time"] // 3).astype(str))
    plain = {"extra_effects": "plain"}
    result = estimate(Sample(frame=moved, effects=("mayor",)), "two_way_fe", **plain)
    exposed = (moved["time"] >= moved["cohort"]).to_numpy(float)
    dummies = [pd.get_dummies(moved[c], drop_first=True).to_numpy(float) for c in ("unit", "time", "mayor")]
    theirs = np.linalg.lstsq(np.column_stack([exposed, *dummies, np.ones(len(moved))]), moved["outcome"], rcond=None)[0]
    assert result.estimate == pytest.approx(theirs[0], rel=1e-8)
    with pytest.raises(InputError, match="region never changes within a unit, so unit effects hold it already"):
        estimate(Sample(frame=moved, effects=("mayor", "region")), "two_way_fe", **plain)


def test_further_effects_are_refused_where_nobody_would_absorb_them(regions):
    with pytest.raises(InputError, match="effects of region are for two_way_fe and event_study only"):
        estimate(Sample(frame=regions, effects=("region",)), "callaway_santanna")
    with pytest.raises(InputError, match="no column state"):
        estimate(Sample(frame=regions, effects=("state",)), "two_way_fe")
    gap = regions.assign(region=regions["region"].mask(regions["time"] == 2018))
    with pytest.raises(InputError, match="region is missing in some rows"):
        estimate(Sample(frame=gap, effects=("region",)), "two_way_fe")
