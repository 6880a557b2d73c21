"""Callaway and Sant'Anna in planted worlds: missing waves, anticipation, few units, clusters."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from conftest import effect_at, world

from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import Estimate, estimate
from wwc_research.estimators.callaway_santanna import aggregate, group_time_effects
from wwc_research.estimators.rows import read_rows

COMPARISONS = ("never", "not_yet")


def run(frame: pd.DataFrame, *, options: dict | None = None, **settings) -> Estimate:
    return estimate(Sample(frame=frame, **settings), "callaway_santanna", **(options or {}))


def cells(result: Estimate) -> dict[tuple[int, int], float]:
    return {(term.cohort, term.time): term.estimate for term in result.group_time}


@pytest.fixture(scope="module")
def exact() -> pd.DataFrame:
    return world(seed=2, noise=0.0)


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_a_missing_wave_costs_only_the_cells_that_need_it(exact, comparison):
    """2020 is missing: cohort 2020 has base 2019 and starts at event time 1, in 2021."""
    result = run(exact, comparison=comparison)
    found = cells(result)
    assert sorted(found) == sorted(
        [(2018, time) for time in (2017, 2018, 2019, 2021, 2022)]
        + [(2020, time) for time in (2017, 2018, 2019, 2021, 2022)]
        + [(2022, time) for time in (2017, 2018, 2019, 2021, 2022)]
    )
    for (cohort, time), value in found.items():
        assert value == pytest.approx(float(effect_at(np.array(time - cohort))), abs=1e-9)
    assert [term.event_time for term in result.event_study] == [-5, -4, -3, -2, -1, 0, 1, 2, 3, 4]
    for term in result.event_study:
        assert term.estimate == pytest.approx(float(effect_at(np.array(term.event_time))), abs=1e-9)


def test_the_base_of_a_cohort_is_the_latest_wave_before_it(exact):
    effects = group_time_effects(read_rows(Sample(frame=exact)), base_period="universal")
    bases = {cohort: set(effects.base[effects.cohort == cohort]) for cohort in (2018, 2020, 2022)}
    assert bases == {2018: {2017}, 2020: {2019}, 2022: {2021}}


@pytest.mark.parametrize("by", ["simple", "group", "calendar", "dynamic"])
def test_every_average_is_that_of_the_planted_effects(exact, by):
    planted = {cohort: [t for t in (2018, 2019, 2021, 2022) if t >= cohort] for cohort in (2018, 2020, 2022)}
    table = pd.DataFrame(
        [(g, t, t - g, float(effect_at(np.array(t - g)))) for g, times in planted.items() for t in times],
        columns=["group", "calendar", "dynamic", "effect"],
    )  # cohorts are of one size, so plain means will do
    expected = table["effect"].mean() if by == "simple" else table.groupby(by)["effect"].mean().mean()
    assert run(exact, options={"aggregation": by}).estimate == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_unit_years_missing_at_random_shrink_their_cells_and_move_nothing(exact, comparison):
    holes = exact.sample(frac=0.15, random_state=4).index
    result = run(exact.drop(index=holes), comparison=comparison)
    for term in result.group_time:
        assert term.estimate == pytest.approx(float(effect_at(np.array(term.time - term.cohort))), abs=1e-9)
        assert 0 < term.n_treated <= 15
    assert min(term.n_treated for term in result.group_time) < 15


def test_a_balanced_part_gives_the_cell_that_the_whole_unbalanced_panel_gives(staggered):
    """One cell needs two waves only: dropping every other wave leaves it as it was."""
    whole = run(staggered, comparison="never")
    part = run(staggered[staggered["time"].isin([2019, 2022])], comparison="never")
    assert cells(part)[2020, 2022] == pytest.approx(cells(whole)[2020, 2022], rel=1e-12)


def test_counts_in_each_cell_are_those_of_the_units_compared(staggered):
    terms = {(t.cohort, t.time): (t.n_treated, t.n_comparison) for t in run(staggered).group_time}
    assert terms[2018, 2019] == (15, 75)  # cohorts 2020 and 2022 are not exposed yet
    assert terms[2018, 2021] == (15, 60)
    assert terms[2018, 2022] == (15, 45)


@pytest.mark.parametrize("comparison", COMPARISONS)
@pytest.mark.parametrize("base_period", ["varying", "universal"])
def test_effects_before_exposure_are_seen_and_left_out_with_anticipation(exact, comparison, base_period):
    early = exact["time"].sub(exact["cohort"]).isin([-2, -1])
    frame = exact.assign(outcome=exact["outcome"] + 0.7 * early)
    naive = run(frame, comparison=comparison, options={"base_period": base_period})
    careful = run(frame, comparison=comparison, anticipation=2, options={"base_period": base_period})
    assert cells(naive)[2022, 2022] == pytest.approx(1 - 0.7, abs=1e-9)
    for (cohort, time), value in cells(careful).items():
        planted = float(effect_at(np.array(time - cohort))) + 0.7 * (time - cohort in (-2, -1))
        assert value == pytest.approx(planted, abs=1e-9)
    assert np.isnan(careful.pre_trend_statistic)  # no noise: a test of nothing


def test_the_base_period_matters_only_before_exposure(staggered):
    varying, universal = (run(staggered, options={"base_period": b}) for b in ("varying", "universal"))
    assert universal.estimate == varying.estimate
    assert universal.std_error == varying.std_error
    after = {key: value for key, value in cells(varying).items() if key[1] >= key[0]}
    assert {key: cells(universal)[key] for key in after} == after
    (base,) = [term for term in universal.event_study if term.event_time == -1]
    assert cells(universal)[2022, 2021] == 0
    assert base.estimate == 0


def test_a_universal_lead_is_the_sum_of_the_varying_steps(staggered):
    """With the never exposed alone the long difference is the chain of short ones."""
    varying, universal = (
        cells(run(staggered, comparison="never", options={"base_period": b})) for b in ("varying", "universal")
    )
    steps = sum(varying[2022, time] for time in (2018, 2019, 2021))
    assert universal[2022, 2017] == pytest.approx(-steps, rel=1e-10)


def test_clusters_above_the_unit_add_up_the_influence_of_their_units(staggered):
    rows = read_rows(Sample(frame=staggered, comparison="never"))
    effects = group_time_effects(rows)
    overall = aggregate(effects, by="simple")
    by_hand = pd.Series(overall.influence).groupby(np.arange(90) // 3).sum()
    assert overall.std_error == pytest.approx(np.sqrt((by_hand**2).sum()) / 90, rel=1e-12)
    alone = run(staggered.assign(cluster=staggered["unit"]), comparison="never")
    assert alone.estimate == overall.estimate
    assert alone.std_error != pytest.approx(overall.std_error, rel=0.01)


def test_covariates_and_weights_are_those_of_the_earlier_period(staggered):
    """Values of the later period, and of any other, must not matter to the cell of 2022 against 2021."""
    options = {"covariates": ("size",), "comparison": "never"}
    changed = staggered.assign(
        size=staggered["size"].mask(staggered["time"] != 2021, 99.0 + staggered["time"]),
        weight=staggered["weight"].mask(staggered["time"] == 2022, 7.0),
    )
    one = {(t.cohort, t.time): t for t in run(staggered, **options).group_time}
    other = {(t.cohort, t.time): t for t in run(changed, **options).group_time}
    assert other[2022, 2022].estimate == pytest.approx(one[2022, 2022].estimate, rel=1e-12)
    assert other[2022, 2022].std_error == pytest.approx(one[2022, 2022].std_error, rel=1e-12)


def test_cells_with_collinear_covariates_are_skipped_and_counted(staggered):
    flat = staggered.assign(size=staggered["size"].mask(staggered["time"] == 2017, 1.0))
    result = run(flat, covariates=("size",), comparison="never")
    assert (2018, 2019) not in cells(result)
    reasons = [(e.reason, e.units) for e in result.exclusions]
    assert any("cohort 2018 at 2018, 2019, 2021 and 2022" in reason and units == 15 for reason, units in reasons)
    assert [cohort for cohort, time in cells(result) if time >= cohort] == [2020, 2020, 2022]


def test_cells_without_comparison_units_are_skipped_and_counted(exact):
    everyone = exact[exact["cohort"].notna()]
    result = run(everyone, comparison="not_yet")
    assert max(time for cohort, time in cells(result)) == 2021
    for (cohort, time), value in cells(result).items():
        assert value == pytest.approx(float(effect_at(np.array(time - cohort))), abs=1e-9)
    assert any("no comparison unit" in exclusion.reason for exclusion in result.exclusions)


def test_no_cell_after_exposure_is_an_error_that_names_the_reasons(staggered):
    flat = staggered.assign(size=3.0)
    with pytest.raises(EstimationError, match=r"no cohort has an effect after exposure.*collinear"):
        run(flat, covariates=("size",))


def test_units_exposed_after_the_window_are_compared_only_while_not_yet_exposed(staggered):
    later = staggered.assign(cohort=staggered["cohort"].mask(staggered["unit"].isin(["u003", "u009"]), 2030.0))
    n_comparison = {c: run(later, comparison=c).group_time[-1].n_comparison for c in COMPARISONS}
    assert n_comparison == {"never": 43, "not_yet": 45}
    assert [(e.units, e.rows) for e in run(later, comparison="never").exclusions] == [(2, 12)]
    assert run(later).exclusions == ()


def test_a_cohort_of_few_units_has_an_effect_and_a_warning(exact):
    few = exact[~(exact["cohort"].eq(2020) & ~exact["unit"].isin(["u001"]))]
    result = run(few)
    assert cells(result)[2020, 2022] == pytest.approx(2.0, abs=1e-9)
    small, joint = result.settings["warnings"]
    assert small == "cohort 2020 has 1 exposed unit: its standard errors are too small."
    assert joint.startswith("the joint pre-trend test rests on cohorts of fewer than 10 units (2020)")
    assert run(exact).settings["warnings"] == []


def test_units_that_change_their_cluster_are_refused(staggered):
    moving = staggered.assign(cluster=staggered["cluster"].mask(staggered["time"] == 2022, "elsewhere"))
    with pytest.raises(InputError, match="90 units change their cluster"):
        run(moving)


def test_a_false_trend_before_exposure_is_found_by_the_joint_test(staggered):
    drift = 0.8 * (staggered["time"] - 2016) * staggered["cohort"].eq(2022)
    honest, drifting = run(staggered), run(staggered.assign(outcome=staggered["outcome"] + drift))
    assert honest.pre_trend_restrictions == 8  # one of 2018's, three of 2020's, four of 2022's cells
    assert honest.pre_trend_p_value > 0.05
    assert drifting.pre_trend_p_value < 0.01


def test_the_test_of_leads_takes_the_event_study_terms_together(staggered):
    sample = Sample(frame=staggered)
    cells_test, leads_test = (estimate(sample, "callaway_santanna", pre_trend=kind) for kind in ("cells", "leads"))
    leads = [term for term in leads_test.event_study if term.event_time < 0]
    assert leads_test.pre_trend_restrictions == len(leads) == 5
    assert leads_test.pre_trend_statistic != cells_test.pre_trend_statistic
    assert leads_test.estimate == cells_test.estimate


def test_leads_hold_the_size_of_the_joint_test_where_small_cohorts_break_that_of_cells():
    """Cohorts of 4, 6 and 20 of 150 units, no effect: a 5 % test of cells rejects more than a fifth of the time."""
    generator = np.random.default_rng(12)
    times = np.arange(2012, 2020)
    cohort = np.repeat([2015.0, 2016.0, 2018.0, np.nan], [4, 6, 20, 120])
    unit = np.repeat([f"u{number:03d}" for number in range(150)], len(times))
    frame = pd.DataFrame({"unit": unit, "time": np.tile(times, 150), "cohort": np.repeat(cohort, len(times))})
    rejected = {"cells": 0, "leads": 0}
    for _ in range(60):
        draw = frame.assign(outcome=generator.normal(size=len(frame)), cluster=frame["unit"], weight=1.0)
        for kind in rejected:
            result = estimate(Sample(frame=draw), "callaway_santanna", pre_trend=kind)
            rejected[kind] += result.pre_trend_p_value < 0.05
    assert rejected["cells"] > 12
    assert rejected["leads"] < rejected["cells"] / 2
