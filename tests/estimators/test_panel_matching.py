"""Panel matching: worked by hand, against R where it is Callaway and Sant'Anna, planted truths, laws, coverage."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.estimators.conftest import world
from wwc_research.design.sample import Sample
from wwc_research.errors import EstimationError, InputError
from wwc_research.estimators import panel_matching
from wwc_research.estimators.panel_matching import estimate

FIGURES = Path(__file__).parents[1] / "figures"
REFINEMENTS = ("mahalanobis", "propensity", "propensity_weights", "balancing", "none")


def numbers(result) -> np.ndarray:
    terms = [(t.estimate, t.std_error) for t in (*result.event_study, *result.group_time)]
    return np.array([(result.estimate, result.std_error), *terms])


def hand_made() -> pd.DataFrame:
    """One city exposed at 3 among three that never are; histories at 1 and 2, one lead."""
    outcomes = {"Detroit": [5, 6, 9], "Cleveland": [5, 7, 8], "Milwaukee": [4, 6, 7], "Phoenix": [50, 60, 90]}
    rows = [(unit, t, float(y)) for unit, values in outcomes.items() for t, y in enumerate(values, start=1)]
    frame = pd.DataFrame(rows, columns=["unit", "time", "outcome"])
    return frame.assign(
        cohort=np.where(frame["unit"] == "Detroit", 3.0, np.nan), cluster=frame["unit"], weight=1.0, label=frame["unit"]
    )


def of_unit(result, unit: str) -> dict:
    return next(record for record in result.settings["matched_sets"] if record["unit"] == unit)


def test_one_city_is_compared_with_its_two_nearest_as_by_hand():
    result = estimate(Sample(frame=hand_made()), size=2, lags=2)
    # Detroit rose by 3; Cleveland by 1, Milwaukee by 1
    assert result.estimate == pytest.approx(3 - (1 + 1) / 2)
    record = of_unit(result, "Detroit")
    assert [control["label"] for control in record["controls"]] == ["Cleveland", "Milwaukee"]
    assert [control["weight"] for control in record["controls"]] == [0.5, 0.5]
    assert record["time"] == 3
    # distances: mean over lags of |difference| over the standard deviation of all four there
    spread = np.std([[5, 5, 4, 50], [6, 7, 6, 60]], axis=1, ddof=1)
    assert record["controls"][0]["distance"] == pytest.approx((0 / spread[0] + 1 / spread[1]) / 2)
    assert record["controls"][1]["distance"] == pytest.approx((1 / spread[0] + 0 / spread[1]) / 2)
    assert math.isnan(result.std_error)  # one exposed city
    assert json.dumps(result.as_dict())


def test_a_nearest_city_alone_makes_the_two_by_two_by_hand():
    result = estimate(Sample(frame=hand_made()), size=1, lags=1)
    # at the base Milwaukee has the same outcome
    assert of_unit(result, "Detroit")["controls"][0]["unit"] == "Milwaukee"
    assert result.estimate == pytest.approx((9 - 6) - (7 - 6))


def reference_rows():
    rows = pd.read_csv(FIGURES / "reference_numbers.csv")
    spec = rows["spec"].str.extract(r"^~1 dr never universal dynamic at (-?\d+)$")[0]
    rows = rows[(rows["dataset"] == "mpdta") & (rows["estimator"] == "CS") & spec.notna()]
    for at, value, error in zip(spec[rows.index].astype(int), rows["estimate"], rows["std_error"], strict=True):
        yield pytest.param(at, value, error, id=f"event time {at}")


@pytest.mark.parametrize(("at", "value", "error"), list(reference_rows()))
def test_unrefined_sets_against_the_never_exposed_are_those_of_r(mpdta, at, value, error):
    result = estimate(Sample(frame=mpdta, comparison="never"), refinement="none")
    term = next(term for term in result.event_study if term.event_time == at)
    assert term.estimate == pytest.approx(value, rel=1e-9, abs=1e-12)
    if at != -1:
        small_sample = math.sqrt(result.n_clusters / (result.n_clusters - 1))
        assert term.std_error == pytest.approx(error * small_sample, rel=1e-9)


def test_the_average_of_unrefined_sets_is_the_simple_average_of_r(mpdta):
    rows = pd.read_csv(FIGURES / "reference_numbers.csv")
    rows = rows[(rows["dataset"] == "mpdta") & rows["spec"].eq("~1 dr nevertreated agg simple overall analytic SE")]
    result = estimate(Sample(frame=mpdta, comparison="never"), refinement="none")
    assert result.estimate == pytest.approx(rows["estimate"].iloc[0], rel=1e-9)
    assert result.std_error == pytest.approx(rows["std_error"].iloc[0] * math.sqrt(500 / 499), rel=1e-9)


def test_one_cohort_unrefined_is_the_two_by_two_by_hand(staggered):
    frame = staggered[staggered["cohort"].isna() | staggered["cohort"].eq(2018.0)]
    result = estimate(Sample(frame=frame), refinement="none", leads=0)
    at = frame.pivot(index="unit", columns="time", values="outcome")
    change = at[2018] - at[2017]
    is_exposed = frame.groupby("unit")["cohort"].first().notna()
    assert result.estimate == pytest.approx(change[is_exposed].mean() - change[~is_exposed].mean(), rel=1e-12)


@pytest.mark.parametrize("refinement", REFINEMENTS)
@pytest.mark.parametrize("adjustment", ["none", "doubly_robust"])
@pytest.mark.parametrize("comparison", ["never", "not_yet"])
def test_a_planted_effect_is_found_to_the_last_digit_without_noise(refinement, adjustment, comparison):
    sample = Sample(frame=world(seed=5, noise=0.0), comparison=comparison)
    result = estimate(sample, refinement=refinement, adjustment=adjustment, lags=1)
    terms = {t.event_time: t.estimate for t in result.event_study}
    for event_time, value in terms.items():
        expected = 1 + 0.5 * event_time if event_time >= 0 else 0.0
        assert value == pytest.approx(expected, abs=1e-9)
    assert math.isnan(result.std_error)


def lagged_world(generator, *, n: int = 200) -> pd.DataFrame:
    """Exposure follows last year's outcome, which also moves this year's; the effect is 0.5."""
    outcome = np.zeros((29, n))
    for t in range(1, 29):
        outcome[t] = 0.6 * outcome[t - 1] + generator.normal(size=n) + 0.1 * generator.normal()
    outcome = outcome[20:]
    cohort = np.full(n, np.inf)
    cohort[generator.random(n) < 0.15] = 6
    cohort[(generator.random(n) < 1 / (1 + np.exp(2.2 - 0.8 * outcome[3]))) & np.isinf(cohort)] = 4
    outcome = outcome + 0.5 * (np.arange(9)[:, None] >= cohort)
    unit, period = np.repeat(np.arange(n), 9), np.tile(np.arange(9), n)
    return pd.DataFrame(
        {
            "unit": [f"u{k:04d}" for k in unit],
            "time": period,
            "outcome": outcome.T.ravel(),
            "cohort": np.where(np.isinf(cohort), np.nan, cohort)[unit],
            "cluster": [f"u{k:04d}" for k in unit],
            "weight": 1.0,
        }
    )


def test_doubly_robust_intervals_cover_where_exposure_follows_the_history():
    generator = np.random.default_rng(1)
    found, covered, plain = [], [], []
    for _ in range(60):
        sample = Sample(frame=lagged_world(generator))
        result = estimate(sample, adjustment="doubly_robust")
        found.append(result.estimate)
        covered.append(result.ci[0] < 0.5 < result.ci[1])
        plain.append(estimate(sample, refinement="none").estimate)
    # 200 draws: mean 0.508, coverage 0.97; without matching 0.10
    assert np.mean(found) == pytest.approx(0.5, abs=0.07)
    assert np.mean(covered) >= 0.88
    assert np.mean(plain) < 0.3


def test_matching_on_the_history_makes_the_leads_matched_on_alike_and_keeps_them_out_of_the_test(staggered):
    plain = estimate(Sample(frame=staggered))
    assert plain.settings["leads_matched_on"][-1] == -1
    assert plain.pre_trend_restrictions == len(
        [t for t in plain.event_study if t.event_time < -5 and math.isfinite(t.std_error)]
    )
    held = estimate(Sample(frame=staggered), held_out=2, lags=1)
    assert held.pre_trend_restrictions > plain.pre_trend_restrictions
    assert not set(held.settings["leads_matched_on"]) & {-1}
    assert 0 < held.pre_trend_p_value < 1


def test_balanced_weights_leave_a_regression_nothing_to_correct(mpdta):
    sample = Sample(frame=mpdta, covariates=("log_population",))
    balanced = estimate(sample, refinement="balancing")
    both = estimate(sample, refinement="balancing", adjustment="doubly_robust")
    assert both.estimate == pytest.approx(balanced.estimate, rel=1e-6)
    assert estimate(sample, refinement="none").estimate != pytest.approx(balanced.estimate, rel=1e-3)


def test_the_four_standard_errors_are_of_one_size_with_many_units(mpdta):
    sample = Sample(frame=mpdta)
    errors = {
        kind: estimate(sample, std_errors=kind).std_error for kind in ("cluster", "unit", "imai_kim_wang", "bootstrap")
    }
    assert errors["cluster"] == pytest.approx(errors["unit"], rel=1e-12)  # each county is its own cluster
    for kind in ("imai_kim_wang", "bootstrap"):
        assert errors[kind] == pytest.approx(errors["unit"], rel=0.15)


def test_the_authors_error_is_the_variance_of_weighted_sums_by_unit():
    frame = pd.concat([hand_made(), hand_made().assign(unit=lambda f: f["unit"] + " 2")])
    frame = frame.assign(cohort=np.where(frame["unit"].str.startswith("Detroit"), 3.0, np.nan), cluster=frame["unit"])
    result = estimate(Sample(frame=frame), refinement="none", leads=0, std_errors="imai_kim_wang")
    change = frame.pivot(index="unit", columns="time", values="outcome").eval("`3` - `2`")
    share = np.where(change.index.str.startswith("Detroit"), 1.0, -2 / 6)
    assert result.estimate == pytest.approx((share @ change) / 2)
    assert result.std_error == pytest.approx(math.sqrt(8 * np.var(share * change, ddof=1)) / 2)


@pytest.mark.parametrize("refinement", REFINEMENTS)
def test_shift_scale_calendar_and_order_leave_the_comparison_as_it_is(mpdta, refinement):
    sample = Sample(frame=mpdta, covariates=("log_population",))
    one = numbers(estimate(sample, refinement=refinement))

    def run(frame):
        return estimate(Sample(frame=frame, covariates=("log_population",)), refinement=refinement)

    np.testing.assert_allclose(numbers(run(mpdta.assign(outcome=mpdta["outcome"] + 100))), one, rtol=1e-6, atol=1e-9)
    scaled = run(mpdta.assign(outcome=-50 * mpdta["outcome"]))
    np.testing.assert_allclose(numbers(scaled), one * [-50, 50], rtol=1e-6, atol=1e-8)
    moved = run(mpdta.assign(time=mpdta["time"] - 500, cohort=mpdta["cohort"] - 500))
    np.testing.assert_array_equal(numbers(moved), one)
    shuffled = mpdta.sample(frac=1, random_state=4)
    before = shuffled.copy(deep=True)
    np.testing.assert_array_equal(numbers(run(shuffled)), one)
    pd.testing.assert_frame_equal(shuffled, before)
    renamed = mpdta.assign(unit=mpdta["unit"].str[::-1], cluster=mpdta["unit"].str[::-1])
    np.testing.assert_allclose(numbers(run(renamed)), one, rtol=1e-8, atol=1e-10)


def test_a_movement_that_all_units_share_changes_neither_estimate_nor_error(staggered):
    shocked = staggered.assign(outcome=staggered["outcome"] + 7.0 * (staggered["time"] >= 2019))
    np.testing.assert_allclose(
        numbers(estimate(Sample(frame=shocked))), numbers(estimate(Sample(frame=staggered))), atol=1e-9
    )


def test_every_unit_twice_in_its_cluster_adds_no_information_to_unrefined_sets(staggered):
    twice = pd.concat([staggered, staggered.assign(unit=staggered["unit"] + "b")])
    one, other = (estimate(Sample(frame=frame), refinement="none") for frame in (staggered, twice))
    np.testing.assert_allclose(numbers(other), numbers(one), rtol=1e-9, atol=1e-12)
    is_heavy = staggered["unit"].str[-1].isin(list("02468"))
    weighted = staggered.assign(weight=np.where(is_heavy, 2.0, 1.0))
    copied = pd.concat([staggered, staggered[is_heavy].assign(unit=lambda rows: rows["unit"] + "b")])
    one, other = (estimate(Sample(frame=frame), refinement="none") for frame in (weighted, copied))
    np.testing.assert_allclose(numbers(other), numbers(one), rtol=1e-9, atol=1e-12)


def test_no_exposed_unit_is_ever_a_control_while_exposed_and_never_its_own(staggered):
    result = estimate(Sample(frame=staggered), leads=2)
    cohort = staggered.groupby("unit")["cohort"].first().fillna(np.inf)
    for record in result.settings["matched_sets"]:
        until = min(record["time"] + 2, 2022)
        for control in record["controls"]:
            assert control["unit"] != record["unit"]
            assert cohort[control["unit"]] > until
        assert sum(control["weight"] for control in record["controls"]) == pytest.approx(1)
    never = estimate(Sample(frame=staggered, comparison="never"))
    assert all(np.isinf(cohort[c["unit"]]) for record in never.settings["matched_sets"] for c in record["controls"])


def test_a_control_that_is_missing_at_a_time_leaves_its_share_to_the_others():
    frame = hand_made()
    gap = frame["unit"].eq("Cleveland") & frame["time"].eq(3)
    frame.loc[frame["unit"].eq("Milwaukee") & frame["time"].eq(3), "outcome"] = 8.0
    result = estimate(Sample(frame=frame[~gap]), size=2, lags=2)
    assert result.estimate == pytest.approx(3 - 2)


def test_what_cannot_be_matched_is_counted_and_the_estimand_says_so(staggered):
    hole = staggered["unit"].eq("u000") & staggered["time"].eq(2017)
    result = estimate(Sample(frame=staggered[~hole]))
    lost = [item for item in result.exclusions if "not all figures matched on" in item.reason]
    assert [(item.units, item.rows) for item in lost] == [(1, 5)]
    assert result.estimand.startswith("effect on the matched exposed")
    assert result.n_treated == 44
    nobody = [item for item in result.exclusions if "nobody's match" in item.reason]
    assert result.n_units + sum(item.units for item in (*lost, *nobody)) == 90


def test_a_refinement_that_does_not_exist_for_a_cohort_leaves_it_out_and_says_why():
    with pytest.raises(EstimationError, match=r"cohort 3: .*perfectly"):
        estimate(Sample(frame=hand_made()), refinement="propensity", lags=2)


def test_options_out_of_range_are_named_at_once(staggered):
    with pytest.raises(InputError, match=r"(?s)lags = 0 must be 1.*size = 0 must be 1"):
        estimate(Sample(frame=staggered), lags=0, size=0)
    with pytest.raises(InputError, match="allowed: mahalanobis, propensity"):
        estimate(Sample(frame=staggered), refinement="genetic")
    with pytest.raises(EstimationError, match="no time before exposure is left to match on"):
        estimate(Sample(frame=staggered), held_out=9)
    moved = staggered.assign(cluster=staggered["cluster"] + staggered["time"].astype(str))
    with pytest.raises(InputError, match="change their cluster"):
        estimate(Sample(frame=moved))


def test_a_constant_outcome_has_no_effect_and_no_p_value(staggered):
    result = estimate(Sample(frame=staggered.assign(outcome=0.37)))
    assert result.estimate == 0
    assert math.isnan(result.std_error)
    assert result.pre_trend_restrictions == 0
    assert result.settings["ties"] == 45
    assert math.isnan(result.pre_trend_p_value)


def test_nine_hundred_cities_take_a_fraction_of_a_second():
    generator = np.random.default_rng(2)
    n, periods = 900, 12
    unit, period = np.repeat(np.arange(n), periods), np.tile(np.arange(2010, 2010 + periods), n)
    cohort = np.where(np.arange(n) < 90, 2015.0 + np.arange(n) % 5, np.nan)
    frame = pd.DataFrame(
        {
            "unit": [f"{k:07d}" for k in unit],
            "time": period,
            "outcome": generator.normal(size=n)[unit] + generator.normal(size=n * periods),
            "cohort": cohort[unit],
            "cluster": [f"{k:05d}" for k in unit // 2],
            "weight": 1.0,
        }
    )
    began = time.perf_counter()
    estimate(Sample(frame=frame))
    assert time.perf_counter() - began < 3  # 0.1 s on an idle machine


def test_the_method_card_is_whole():
    for heading in ("Estimand", "Assumptions", "Equation", "Standard errors", "Edge cases", "Reference", "Deviations"):
        assert f"**{heading}.**" in (panel_matching.__doc__ or "")
