"""Synthetic difference-in-differences: R's numbers, planted truths, and the laws its numbers obey."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import Estimate, estimate

FIGURES = Path(__file__).parents[1] / "figures"


@pytest.fixture(scope="module")
def california() -> pd.DataFrame:
    table = pd.read_csv(FIGURES / "proposition99.csv").melt("state", var_name="time", value_name="outcome")
    return long(table["state"], table["time"].astype(int), table["outcome"], table["state"].eq("California"), 1989)


def long(unit, time, outcome, is_exposed, first) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "unit": unit,
            "time": time,
            "outcome": outcome,
            "cohort": np.where(is_exposed, float(first), np.nan),
            "cluster": unit,
            "weight": 1.0,
        }
    )


def run(frame: pd.DataFrame, *, covariates=(), comparison="not_yet", anticipation=0, **options) -> Estimate:
    sample = Sample(frame=frame, covariates=covariates, comparison=comparison, anticipation=anticipation)
    return estimate(sample, "synthetic_did", **{"draws": 20, **options})


def numbers(result: Estimate) -> np.ndarray:
    return np.array([(result.estimate, result.std_error), *((t.estimate, t.std_error) for t in result.event_study)])


def test_r_numbers_on_proposition_99_come_out_with_r_stopping_rule(california):
    # R synthdid 0.0.9; Arkhangelsky et al. (2021), Table 1, prints -15.6, -19.6, -27.3
    wanted = {"sdid": (-15.6038, 5e-5), "sc": (-19.620, 5e-4), "did": (-27.349, 5e-4)}
    for weights, (value, tolerance) in wanted.items():
        result = run(california, weights=weights, solver="frank_wolfe", std_errors="none")
        assert result.estimate == pytest.approx(value, abs=tolerance)
        assert np.isnan(result.std_error)


def test_the_exact_solution_is_near_r_and_its_placebo_error_within_the_noise_of_r(california):
    result = run(california, draws=300, seed=1)
    assert result.estimate == pytest.approx(-15.6054, abs=5e-5)
    # R at 500 draws: 9.3 to 9.8 by seed
    assert 8.5 < result.std_error < 10.6
    assert 0.01 < result.settings["placebo_p_value"] < 0.08
    assert (result.n_obs, result.n_units, result.n_treated, result.n_clusters) == (39 * 31, 39, 1, 39)
    weights = result.settings["cohorts"][0]["time_weights"]
    # Arkhangelsky et al. (2021), Figure 1: only 1986 to 1988 count
    assert [year for year, weight in weights.items() if weight > 1e-6] == [1986, 1987, 1988]


def test_plain_differences_by_hand():
    frame = long(
        ["a"] * 3 + ["b"] * 3 + ["c"] * 3, [1, 2, 3] * 3, [1, 2, 9, 0, 1, 3, 4, 6, 6], [True] * 3 + [False] * 6, 3
    )
    result = run(frame, weights="did", std_errors="none")
    # a: 9 - 1.5; b and c: (3 - 0.5 + 6 - 5) / 2
    assert result.estimate == pytest.approx(7.5 - 1.75)
    assert {t.event_time: t.estimate for t in result.event_study} == pytest.approx({-2: 0.25, -1: -0.25, 0: 5.75})


def factors(
    *, seed: int, effect: float = 1.0, noise: float = 0.3, units: int = 40, cohorts=(2016, 2018)
) -> pd.DataFrame:
    """Units whose trends follow their loading, exposed ones of higher loading: plain differences are biased."""
    generator = np.random.default_rng(seed)
    years = np.arange(2006, 2021)
    loading = generator.uniform(0, 1, size=units)
    order = np.argsort(-loading)
    cohort = np.full(units, np.nan)
    for number, first in enumerate(cohorts):
        cohort[order[3 + number : 3 + 3 * len(cohorts) : len(cohorts)]] = first
    outcome = loading[:, None] * (years - 2006) * 0.4 + generator.normal(size=(units, 1)) * 2
    outcome = outcome + noise * generator.normal(size=outcome.shape) + effect * (years >= cohort[:, None])
    names = np.array([f"u{number:03d}" for number in range(units)])
    frame = long(np.repeat(names, len(years)), np.tile(years, units), outcome.ravel(), False, 0)
    return frame.assign(cohort=np.repeat(cohort, len(years)))


def test_a_planted_effect_is_found_where_plain_differences_are_biased():
    found, plain = [], []
    for seed in range(6):
        frame = factors(seed=seed)
        found.append(run(frame, std_errors="none").estimate)
        plain.append(run(frame, std_errors="none", weights="did").estimate)
    bias, plain_bias = np.mean(found) - 1, np.mean(plain) - 1
    assert plain_bias > 0.5
    # the ridge keeps some comparison units of flatter trend: smaller bias, not none
    assert 0 <= bias < plain_bias / 3


def test_early_stopping_and_jackknife_are_those_of_diff_diff():
    frame = factors(seed=3, cohorts=(2016,))
    result = run(frame, solver="frank_wolfe", std_errors="jackknife")
    # diff-diff 3.13.0, SyntheticDiD(variance_method="jackknife"), itself equal to R on Proposition 99
    assert result.estimate == pytest.approx(0.8937155571662555, rel=1e-9)
    assert result.std_error == pytest.approx(0.2236956153620005, rel=1e-9)


def test_staggered_cohorts_are_their_separate_estimates_averaged_by_unit_times_or_units():
    frame = factors(seed=3)
    both = run(frame, std_errors="none")
    alone = {}
    for first in (2016.0, 2018.0):
        alone[first] = run(frame[frame["cohort"].isin([first]) | frame["cohort"].isna()], std_errors="none").estimate
    assert [c["estimate"] for c in both.settings["cohorts"]] == pytest.approx(list(alone.values()), rel=1e-9)
    # three units each, 5 and 3 years after
    assert both.estimate == pytest.approx((5 * alone[2016.0] + 3 * alone[2018.0]) / 8, rel=1e-9)
    by_unit = run(frame, std_errors="none", aggregation="group")
    assert by_unit.estimate == pytest.approx((alone[2016.0] + alone[2018.0]) / 2, rel=1e-9)


def test_the_jackknife_is_leaving_out_each_cluster_with_weights_held():
    frame = factors(seed=5, units=14, cohorts=(2015,))
    result = run(frame, std_errors="jackknife", weights="did")
    units = frame["unit"].unique()
    # all weights equal: leaving out and estimating anew is the same
    left = np.array([run(frame[frame["unit"] != u], weights="did", std_errors="none").estimate for u in units])
    n = len(units)
    assert result.std_error == pytest.approx(np.sqrt((n - 1) / n * np.sum((left - left.mean()) ** 2)), rel=1e-9)


def test_one_exposed_unit_has_a_placebo_error_and_no_jackknife_or_bootstrap_error(california):
    for kind in ("jackknife", "bootstrap"):
        result = run(california, std_errors=kind)
        assert np.isnan(result.std_error)
        assert np.isnan(result.p_value)


def test_the_three_standard_errors_agree_in_size_with_many_exposed():
    frame = factors(seed=8, units=60, cohorts=(2014, 2015, 2016, 2017))
    errors = [run(frame, std_errors=kind, draws=60).std_error for kind in ("placebo", "bootstrap", "jackknife")]
    assert max(errors) < 2.5 * min(errors)


@pytest.mark.parametrize("kind", ["placebo", "bootstrap", "jackknife"])
def test_shift_scale_order_names_and_calendar_do_what_they_must(kind):
    frame = factors(seed=2, units=24)
    one = run(frame, std_errors=kind)
    before = frame.copy(deep=True)
    moved = frame.assign(outcome=frame["outcome"] + 1000, time=frame["time"] - 500, cohort=frame["cohort"] - 500)
    np.testing.assert_allclose(numbers(run(moved, std_errors=kind)), numbers(one), atol=1e-6)
    scaled = run(frame.assign(outcome=-50 * frame["outcome"]), std_errors=kind)
    np.testing.assert_allclose(numbers(scaled), numbers(one) * [-50, 50], rtol=1e-6, atol=1e-6)
    shuffled = run(frame.sample(frac=1, random_state=4), std_errors=kind)
    np.testing.assert_array_equal(numbers(shuffled), numbers(one))
    renamed = frame.assign(unit=frame["unit"].str[::-1], cluster=frame["cluster"].str[::-1])
    other = run(renamed, std_errors=kind)
    np.testing.assert_allclose(numbers(other)[:, 0], numbers(one)[:, 0], atol=1e-8)
    if kind == "jackknife":
        np.testing.assert_allclose(numbers(other), numbers(one), atol=1e-8)
    pd.testing.assert_frame_equal(frame, before)


def test_a_common_shock_and_a_level_of_ones_own_change_nothing():
    frame = factors(seed=6, units=24)
    level = frame["unit"].map({name: 7.0 * number for number, name in enumerate(frame["unit"].unique())})
    for weights in ("sdid", "did"):
        one, moved = (
            run(data, std_errors="none", weights=weights)
            for data in (frame, frame.assign(outcome=frame["outcome"] + level))
        )
        assert moved.estimate == pytest.approx(one.estimate, abs=1e-7)
    # the ridge of sdid is in changes of the outcome, the common shock among them, as in R's synthdid
    for weights, tolerance in (("sc", 1e-3), ("did", 1e-9)):
        shocked = frame.assign(outcome=frame["outcome"] + 3 * np.cos(frame["time"]))
        one, moved = (run(data, std_errors="none", weights=weights) for data in (frame, shocked))
        assert moved.estimate == pytest.approx(one.estimate, abs=tolerance)


def test_the_same_seed_gives_the_same_error_and_another_seed_another():
    frame = factors(seed=2, units=24)
    assert run(frame).std_error == run(frame).std_error != run(frame, seed=1).std_error


def test_the_placebo_test_keeps_its_size_and_interval_where_nothing_happens():
    rejected, covered = 0, 0
    worlds = 40
    for seed in range(worlds):
        frame = factors(seed=1000 + seed, effect=0.0, units=18, cohorts=(2016,))
        generator = np.random.default_rng(seed)
        names = generator.permutation(frame["unit"].unique())[:2]
        frame = frame.assign(cohort=np.where(frame["unit"].isin(names), 2016.0, np.nan))
        result = run(frame, draws=39, seed=seed)
        rejected += result.settings["placebo_p_value"] <= 0.1
        covered += result.ci[0] < 0 < result.ci[1]
    # 10 % of 40 is 4, standard deviation 1.9
    assert rejected <= 10
    assert covered >= 32


def test_covariates_are_taken_out_first():
    frame = factors(seed=4)
    generator = np.random.default_rng(0)
    income = generator.normal(size=len(frame)) + (frame["time"] >= frame["cohort"])
    shifted = frame.assign(outcome=frame["outcome"] + 2 * income, income=income, constant=1.0)
    with_income = run(shifted, covariates=("income", "constant"), std_errors="none")
    assert with_income.estimate == pytest.approx(1.0, abs=0.35)
    assert run(shifted, std_errors="none").estimate > 2.2
    assert with_income.settings["dropped_covariates"] == ["constant"]


def test_waves_are_what_most_units_have_and_incomplete_units_are_counted_out():
    frame = factors(seed=7, units=30)
    gone = frame["time"].eq(2012)
    without_wave = run(frame[~gone], std_errors="none")
    assert not without_wave.exclusions
    donor = frame.loc[frame["cohort"].isna(), "unit"].iloc[0]
    hole = frame["unit"].eq(donor) & frame["time"].eq(2010)
    rare = gone & ~frame["unit"].isin(frame["unit"].unique()[:5])
    result = run(frame[~hole & ~rare], std_errors="none")
    assert [(e.rows, e.units) for e in result.exclusions] == [(5, 5), (13, 1)]
    clean = frame[~gone & frame["unit"].ne(donor)]
    assert result.estimate == pytest.approx(run(clean, std_errors="none").estimate, rel=1e-9)


def test_anticipation_moves_the_past_back_and_leaves_the_window_blank():
    frame = factors(seed=7, units=30, cohorts=(2016,))
    early = frame.assign(outcome=frame["outcome"] + 5 * frame["time"].eq(2015) * frame["cohort"].notna())
    result = run(early, anticipation=1, std_errors="none")
    assert -1 not in [t.event_time for t in result.event_study]
    assert result.estimate == pytest.approx(run(frame, anticipation=1, std_errors="none").estimate, rel=1e-9)


def test_units_exposed_after_the_last_wave_compare_only_where_not_yet_exposed_may():
    frame = factors(seed=7, units=30)
    late = frame["unit"].eq(frame.loc[frame["cohort"].isna(), "unit"].iloc[0])
    frame = frame.assign(cohort=frame["cohort"].mask(late, 2022.0))
    assert run(frame, std_errors="none").settings["n_comparison"] == 24
    assert run(frame, std_errors="none", comparison="never").settings["n_comparison"] == 23
    assert run(frame, std_errors="none", anticipation=2).settings["n_comparison"] == 23


def test_a_constant_outcome_has_no_effect_and_no_p_value():
    result = run(factors(seed=1).assign(outcome=0.37))
    assert result.estimate == pytest.approx(0, abs=1e-12)
    assert np.isnan(result.std_error)


def test_what_cannot_be_answered_says_why(california):
    with pytest.raises(InputError, match="takes no sample weights"):
        run(california.assign(weight=np.where(california["unit"] == "Utah", 2.0, 1.0)))
    with pytest.raises(InputError, match="draws = 5; take 20 or more"):
        run(california, draws=5)
    with pytest.raises(InputError, match="allowed: sdid, sc, did"):
        run(california, weights="both")
    with pytest.raises(EstimationError, match="fewer than two waves"):
        run(california[california["time"] >= 1988])
    everyone = california.assign(cohort=california["cohort"].fillna(1995.0))
    with pytest.raises(EstimationError, match="0 complete comparison units"):
        run(everyone)
