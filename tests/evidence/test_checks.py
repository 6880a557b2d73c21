import dataclasses
import math

import pytest

from wwc_research import catalog
from wwc_research.estimators.estimate import Estimate
from wwc_research.estimators.few_clusters import small_sample_rule
from wwc_research.estimators.wild_bootstrap import WildBootstrap
from wwc_research.evidence import checks
from wwc_research.evidence.randomisation import Lottery

RULE = catalog.plan().verdict


def estimate(value: float = 0.1, *, statistic: float = math.nan, restrictions: int = 0) -> Estimate:
    return Estimate(
        estimator="x",
        estimand="y",
        estimate=value,
        std_error=0.05,
        df=100,
        n_obs=10,
        n_units=5,
        n_treated=2,
        n_clusters=5,
        pre_trend_statistic=statistic,
        pre_trend_restrictions=restrictions,
    )


def lottery(
    *, lead_p_value: float = 0.5, drift_p_value: float = 0.5, placebo_mean: float = 0.0, **without_one: float
) -> Lottery:
    return Lottery(
        estimate=0.1,
        p_value=0.5,
        std_error=0.05,
        placebo_mean=placebo_mean,
        leads=(-3, -2),
        lead_p_value=lead_p_value,
        drift_p_value=drift_p_value,
        draws=99,
        without_one=without_one or {"a": 0.1, "b": 0.12},
    )


def test_leads_that_differ_fail_and_leads_that_do_not_pass():
    assert checks.pre_trends(lottery(lead_p_value=0.01), rule=RULE).result == "failed"
    assert checks.pre_trends(lottery(lead_p_value=0.4), rule=RULE).result == "passed"
    assert checks.pre_trends(lottery(lead_p_value=0.4, drift_p_value=0.02), rule=RULE).result == "failed"
    assert checks.pre_trends(lottery(lead_p_value=0.4, drift_p_value=math.nan), rule=RULE).result == "passed"


def test_without_leads_nothing_can_be_told():
    assert checks.pre_trends(lottery(lead_p_value=math.nan), rule=RULE).result == "cannot_tell"


def test_an_estimate_that_hangs_on_one_unit_fails_and_names_it():
    labels = {"a": "Adams", "b": "Baker"}
    assert checks.one_unit(lottery(a=0.1, b=0.11), labels=labels).result == "passed"
    failed = checks.one_unit(lottery(a=0.1, b=-0.1), labels=labels)
    assert failed.result == "failed"
    assert "Baker" in failed.sentence
    assert "1 of 2 omissions change its sign" in failed.sentence


def test_too_few_treated_clusters_fail():
    def check(treated: int, *, effective: float = math.nan):
        allowed = small_sample_rule(n_treated=treated, n_clusters=100, effective=effective)
        return checks.treated_clusters(allowed, rule=RULE)

    assert check(3).result == "failed"
    assert check(RULE.minimum_treated_clusters).result == "passed"
    few = check(40, effective=4.2)
    assert few.result == "failed"
    assert "as 4 counties of equal weight" in few.sentence


@pytest.mark.parametrize(("bootstrapped", "result"), [(0.04, "failed"), (0.9, "passed"), (math.nan, "cannot_tell")])
def test_methods_for_few_clusters_agree_or_not(bootstrapped, result):
    def regression(std_error: float):
        return dataclasses.replace(estimate(), std_error=std_error)

    bootstrap = WildBootstrap(
        p_value=bootstrapped,
        ci_low=-1,
        ci_high=1,
        statistic=1,
        estimate=0.1,
        draws=99,
        n_clusters=20,
        is_enumerated=False,
    )
    found = checks.small_samples(regression(0.1), reduced=regression(0.2), bootstrap=bootstrap, size=0.05)
    assert found.result == result
    assert "wild cluster bootstrap" in found.sentence


def test_one_estimate_of_the_other_sign_fails_the_direction():
    headline = estimate(0.1)
    assert checks.direction(headline, others={"a": estimate(0.2)}).result == "passed"
    against = checks.direction(headline, others={"a": estimate(0.2), "b": estimate(-0.2)})
    assert against.result == "failed"
    assert "Against: b." in against.sentence
    assert checks.direction(headline, others={}).result == "cannot_tell"


def test_balance_is_judged_by_the_worst_characteristic_in_either_direction():
    good = [{"title": "a", "smd_after": 0.1}, {"title": "b", "smd_after": -0.2}]
    bad = [{"title": "a", "smd_after": 0.1}, {"title": "b", "smd_after": -0.3}]
    assert checks.balance(good, rule=RULE).result == "passed"
    assert checks.balance(bad, rule=RULE).result == "failed"
    assert "(b)" in checks.balance(bad, rule=RULE).sentence
    assert checks.balance([], rule=RULE).result == "cannot_tell"


def test_the_share_of_survey_noise_is_told_by_group():
    found = checks.survey_noise({"exposed units": 0.4, "comparison units": 0.8})
    assert "40% among exposed units, 80% among comparison units" in found.sentence
    assert found.result == "failed"
    assert checks.survey_noise({"exposed units": 0.1}).result == "passed"
    assert checks.survey_noise({"all units": math.nan}).result == "cannot_tell"


def test_places_as_populous_that_move_alike_pass_and_those_that_do_not_are_subtracted():
    alike = checks.as_populous(lottery(placebo_mean=0.01), scale=100, unit="percentage points")
    apart = checks.as_populous(lottery(placebo_mean=-0.04), scale=100, unit="percentage points")
    assert alike.result == "passed"
    assert apart.result == "failed"
    assert "differ from all places by -4.00 percentage points" in apart.sentence
    assert "The estimate (+10.00) less that is +14.00." in apart.sentence


def test_neighbours_that_moved_fail_and_those_that_did_not_pass():
    moved = checks.spillover(estimate(0.2), why="", scale=100, unit="points")
    still = checks.spillover(estimate(0.01), why="", scale=100, unit="points")
    assert (moved.result, still.result) == ("failed", "passed")
    assert "changed by +20.00 points" in moved.sentence
    unknown = checks.spillover(None, why="Nobody has a neighbour.", scale=100, unit="points")
    assert (unknown.result, unknown.sentence) == ("cannot_tell", "Nobody has a neighbour.")
