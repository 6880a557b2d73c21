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


# csdid 0.4.3 on mpdta. Every county-year as an observation of its own (panel=False, analytic errors):
# covariates, adjustment, comparison, simple average with its error, dynamic average with its error.
CROSS_SECTIONS = [
    ((), "dr", "never", (-0.0399512751552, 0.162099949578), (-0.0772398214573, 0.252113689698)),
    ((), "dr", "not_yet", (-0.039763625623, 0.165771888352), (-0.0773993139706, 0.252214819618)),
    (("log_population",), "dr", "never", (-0.0417517720586, 0.046046197755), (-0.080353949744, 0.0513949204513)),
    (("log_population",), "dr", "not_yet", (-0.0413516292992, 0.0474451488142), (-0.0799926209593, 0.0513517719456)),
    (("log_population",), "reg", "never", (-0.0419686124215, 0.14976215461), (-0.0807817453338, 0.243286707401)),
    (("log_population",), "reg", "not_yet", (-0.0413747697923, 0.150232773335), (-0.0802485481759, 0.243230545401)),
    (("log_population",), "ipw", "never", (-0.0417770821991, 0.167226232165), (-0.0803768866458, 0.256598602319)),
    (("log_population",), "ipw", "not_yet", (-0.0413894097548, 0.171058030732), (-0.0800160429543, 0.256047854311)),
]
# balance_e on the panel, without covariates: comparison, e, dynamic average with its error, first event time.
BALANCED = [
    ("never", 0, (-0.01993181678926, 0.01182636405806), -3),
    ("never", 1, (-0.02876076022038, 0.01368558255768), -2),
    ("never", 3, (-0.07974912657473, 0.02636779943503), 0),
    ("not_yet", 0, (-0.01892219908342, 0.01204456868927), -3),
    ("not_yet", 1, (-0.02846977553174, 0.01327330211041), -2),
    ("not_yet", 3, (-0.08369429303802, 0.02570159976801), 0),
]
# Never treated, counties in 29 states: errors of event times -3 to 3 (diff-diff 3.13.0 has them times sqrt(29/28)).
BY_STATE = (0.01654919, 0.01474584, 0.02202822, 0.01028519, 0.02029913, 0.02320191, 0.02079789)


def as_cross_sections(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows, each of them another unit and a cluster of its own."""
    name = [f"r{number:05d}" for number in range(len(frame))]
    return frame.assign(unit=name, cluster=name)


@pytest.mark.parametrize(("covariates", "adjustment", "comparison", "simple", "dynamic"), CROSS_SECTIONS)
def test_repeated_cross_sections_are_those_of_csdid(mpdta, covariates, adjustment, comparison, simple, dynamic):
    rows = as_cross_sections(mpdta)
    options = {"adjustment": adjustment, "panel": "repeated_cross_sections"}
    for aggregation, expected in (("simple", simple), ("dynamic", dynamic)):
        settings = {"covariates": covariates, "comparison": comparison}
        result = run(rows, options={**options, "aggregation": aggregation}, **settings)
        assert (result.estimate, result.std_error) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("comparison", "until", "expected", "first"), BALANCED)
def test_balanced_event_studies_are_those_of_csdid(mpdta, comparison, until, expected, first):
    result = run(mpdta, comparison=comparison, options={"aggregation": "dynamic", "balance_at": until})
    assert (result.estimate, result.std_error) == pytest.approx(expected, rel=1e-9)
    assert [term.event_time for term in result.event_study] == list(range(first, until + 1))
    assert result.estimand.endswith(f"up to {until}, for the cohorts that have them all")


def test_errors_clustered_above_the_unit_are_those_of_csdid(mpdta):
    states = mpdta.assign(cluster=(mpdta["unit"].astype(int) // 1000).astype(str))
    result = run(states, comparison="never")
    assert result.n_clusters == 29
    assert [term.std_error for term in result.event_study] == pytest.approx(BY_STATE, rel=1e-6)
    assert result.std_error * np.sqrt(29 / 28) == pytest.approx(0.015427788411270285, rel=1e-9)  # diff-diff 3.13.0


def test_the_bootstrap_gives_the_errors_and_the_critical_value_of_csdid(mpdta):
    """20,000 draws there and 4,999 here: what is left is the noise of the draws."""
    result = run(mpdta, comparison="never", options={"std_errors": "bootstrap", "draws": 4999})
    analytic = run(mpdta, comparison="never")
    assert result.settings["band_critical_value"] == pytest.approx(2.5234, abs=0.08)
    for one, other in zip(result.event_study, analytic.event_study, strict=True):
        assert one.estimate == other.estimate
        assert one.std_error == pytest.approx(other.std_error, rel=0.06)
    assert result.std_error == pytest.approx(analytic.std_error, rel=0.06)
    assert result.pre_trend_p_value == analytic.pre_trend_p_value


def test_a_band_covers_every_interval_and_only_the_bootstrap_has_one(staggered):
    result = run(staggered, options={"std_errors": "bootstrap", "base_period": "universal", "draws": 499})
    critical = result.settings["band_critical_value"]
    assert 2.2 < critical < 3.5
    for term in result.event_study:
        if term.event_time == -1:
            assert np.isnan(term.band).all()
            continue
        assert term.band == pytest.approx(
            (term.estimate - critical * term.std_error, term.estimate + critical * term.std_error)
        )
        assert term.band[0] < term.ci[0] < term.ci[1] < term.band[1]
    plain = run(staggered)
    assert plain.settings["band_critical_value"] is None
    assert np.isnan([term.band for term in plain.event_study]).all()


def test_a_seed_gives_the_same_draws_again_and_another_seed_others(staggered):
    def errors(seed: int) -> list[float]:
        result = run(staggered, options={"std_errors": "bootstrap", "seed": seed, "draws": 199})
        return [term.std_error for term in result.group_time]

    assert errors(3) == errors(3)
    assert errors(3) != errors(4)
    shuffled = run(
        staggered.sample(frac=1, random_state=1), options={"std_errors": "bootstrap", "seed": 3, "draws": 199}
    )
    assert [term.std_error for term in shuffled.group_time] == errors(3)


def test_bootstrap_bands_hold_all_leads_at_once_about_as_often_as_they_say():
    """240 worlds without effect: 95 % bands hold all terms in nine of ten or more, 95 % intervals in fewer."""
    generator = np.random.default_rng(7)
    times = np.arange(2012, 2018)
    cohort = np.repeat([2014.0, 2016.0, np.nan], [30, 30, 60])
    unit = np.repeat([f"u{number:03d}" for number in range(120)], len(times))
    frame = pd.DataFrame(
        {"unit": unit, "time": np.tile(times, 120), "cohort": np.repeat(cohort, 6), "cluster": unit, "weight": 1.0}
    )
    inside = {"band": 0, "ci": 0}
    for _ in range(240):
        draw = frame.assign(outcome=generator.normal(size=len(frame)))
        terms = run(draw, options={"std_errors": "bootstrap", "draws": 199}).event_study
        for kind in inside:
            inside[kind] += all(low < 0 < high for low, high in (getattr(term, kind) for term in terms))
    assert 0.90 < inside["band"] / 240 < 0.99
    assert inside["ci"] / 240 < 0.87


def test_a_balanced_event_study_has_the_same_cohorts_at_every_event_time(exact):
    """Effects that differ by cohort: the plain event study mixes them differently from term to term."""
    bonus = np.where(exact["time"] >= exact["cohort"], (exact["cohort"] - 2018) * 1.0, 0.0)
    frame = exact.assign(outcome=exact["outcome"] + bonus)
    whole = {t.event_time: t.estimate for t in run(frame).event_study}
    balanced = {t.event_time: t.estimate for t in run(frame, options={"balance_at": 4}).event_study}
    assert list(balanced) == [-1, 0, 1, 3, 4]  # 2018 alone goes to 4; 2020, its event time 2, has no data
    assert [balanced[e] for e in (0, 1, 3, 4)] == pytest.approx([1.0, 1.5, 2.5, 3.0], abs=1e-9)
    assert whole[0] != pytest.approx(balanced[0], abs=0.5)


def test_a_cohort_that_lacks_an_event_time_is_not_in_the_balanced_event_study(exact):
    """2020 has no data: cohort 2020 starts at event time 1, which leaves 2018 alone from 0 to 1."""
    result = run(exact, options={"balance_at": 1})
    assert [term.event_time for term in result.event_study if term.event_time >= 0] == [0, 1]
    with pytest.raises(EstimationError, match="no cohort has an effect at every event time from 0 to 9"):
        run(exact, options={"balance_at": 9})


def test_numbers_out_of_range_are_refused_together(staggered):
    with pytest.raises(InputError, match=r"(?s)3 faults.*balance_at = -1.*draws = 5 is too few.*seed = -2"):
        run(staggered, options={"balance_at": -1, "draws": 5, "seed": -2})


@pytest.mark.parametrize("comparison", COMPARISONS)
def test_cross_sections_find_the_planted_effects(comparison):
    """Other units every year: exact once their own levels are the same."""
    frame = world(seed=4, noise=0.0)
    level = frame.groupby("unit")["outcome"].transform("first")
    rows = as_cross_sections(frame.assign(outcome=frame["outcome"] - level))
    result = run(rows, comparison=comparison, options={"panel": "repeated_cross_sections"})
    for term in result.group_time:
        assert term.estimate == pytest.approx(float(effect_at(np.array(term.time - term.cohort))), abs=1e-9)
    assert result.n_units == result.n_obs == len(rows)


def test_a_balanced_panel_read_as_cross_sections_keeps_its_effects_and_clusters_keep_its_errors(staggered):
    """Without covariates means of changes are changes of means; a unit's rows, tied by cluster, give its change."""
    panel = run(staggered, comparison="never")
    rows = as_cross_sections(staggered).assign(cluster=staggered["cluster"])
    crossed = run(rows, comparison="never", options={"panel": "repeated_cross_sections"})
    assert crossed.estimate == pytest.approx(panel.estimate, rel=1e-10)
    assert crossed.std_error == pytest.approx(panel.std_error, rel=1e-10)
    assert [t.n_treated for t in crossed.group_time] == [t.n_treated for t in panel.group_time]


def test_cross_sections_count_out_cohorts_without_a_past_and_say_why_nothing_is_left(staggered):
    rows = as_cross_sections(staggered)
    early = rows.assign(cohort=rows["cohort"].mask(rows["cohort"] == 2018, 2016.0))
    options = {"panel": "repeated_cross_sections"}
    result = run(early, options=options)
    assert [(e.reason, e.rows) for e in result.exclusions] == [
        ("exposed in or before the first period observed: no past", 90)
    ]
    with pytest.raises(EstimationError, match="it has one period"):
        run(rows[rows["time"] == 2019], options=options)
    with pytest.raises(EstimationError, match="no cohort is seen both before and after"):
        run(rows.assign(cohort=np.nan), options=options)
    with pytest.raises(EstimationError, match="everybody is exposed and comparison = never"):
        run(rows.assign(cohort=rows["cohort"].fillna(2022)), comparison="never", options=options)


@pytest.mark.parametrize("adjustment", ["dr", "reg", "ipw"])
def test_laws_hold_for_repeated_cross_sections(staggered, adjustment):
    rows = as_cross_sections(staggered)

    def numbers(frame: pd.DataFrame) -> np.ndarray:
        options = {"panel": "repeated_cross_sections", "adjustment": adjustment}
        result = run(frame, covariates=("size",), options=options)
        return np.array([(result.estimate, result.std_error), *((t.estimate, t.std_error) for t in result.group_time)])

    one = numbers(rows)
    np.testing.assert_allclose(numbers(rows.assign(outcome=rows["outcome"] + 1000)), one, atol=1e-8)
    np.testing.assert_allclose(numbers(rows.assign(outcome=-50 * rows["outcome"])), one * [-50, 50], rtol=1e-7)
    np.testing.assert_array_equal(numbers(rows.sample(frac=1, random_state=2)), one)
    twice = pd.concat([rows, rows.assign(unit=rows["unit"] + "b")])
    np.testing.assert_allclose(numbers(twice), one, rtol=1e-7)
    doubled = rows.assign(weight=2.0)
    np.testing.assert_allclose(numbers(doubled), one, rtol=1e-9)


def test_cells_whose_groups_are_made_ready_once_are_those_made_ready_each_alone(staggered):
    """A covariate that does not change over time lets cells share a fit; one that hardly does must not differ."""
    fixed = staggered.assign(size=staggered.groupby("unit")["size"].transform("first"))
    quick = run(fixed, covariates=("size",), comparison="never")
    wide = fixed.assign(size=fixed["size"] + 1e-13 * (fixed["time"] - 2016))  # changes over time: no sharing
    slow = run(wide, covariates=("size",), comparison="never")
    for one, other in zip(quick.group_time, slow.group_time, strict=True):
        assert one.estimate == pytest.approx(other.estimate, rel=1e-9, abs=1e-11)
        assert one.std_error == pytest.approx(other.std_error, rel=1e-9)
