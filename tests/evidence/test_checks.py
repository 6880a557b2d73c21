import dataclasses
import math

import numpy as np
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
        null_draws=np.zeros(99),
        event_times=(),
        event_estimates=np.zeros(0),
        event_covariance=np.zeros((0, 0)),
        event_weights=np.zeros((0, 0)),
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
    least = RULE.minimum_treated_clusters
    assert check(least, effective=least).result == "passed"
    assert check(least).result == "cannot_tell"
    few = check(40, effective=4.2)
    assert few.result == "failed"
    assert "that of 4 counties of equal weight" in few.sentence
    assert "Only" not in few.sentence


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
    same = {name: estimate(0.2) for name in "acdef"}
    assert checks.direction(headline, others=same).result == "passed"
    against = checks.direction(headline, others={**same, "b": estimate(-0.2)}, n_failed=2)
    assert against.result == "failed"
    assert "Against: b. 2 more could not be made." in against.sentence
    assert checks.direction(headline, others={}).result == "cannot_tell"


def test_few_or_undefined_estimates_do_not_agree_with_anything():
    others = {name: estimate(0.2) for name in "acde"}
    assert checks.direction(estimate(0.1), others=others).result == "cannot_tell"
    undefined = {**others, "b": estimate(math.nan)}
    assert checks.direction(estimate(0.1), others=undefined).result == "cannot_tell"


def test_balance_is_judged_by_the_worst_characteristic_in_either_direction():
    good = [{"title": "a", "smd_after": 0.1}, {"title": "b", "smd_after": -0.2}]
    bad = [{"title": "a", "smd_after": 0.1}, {"title": "b", "smd_after": -0.3}]
    assert checks.balance(good, rule=RULE).result == "passed"
    assert checks.balance(bad, rule=RULE).result == "failed"
    assert "(b)" in checks.balance(bad, rule=RULE).sentence
    assert checks.balance([], rule=RULE).result == "cannot_tell"


def test_the_share_of_survey_noise_is_told_by_group():
    found = checks.survey_noise({"exposed units": 0.4, "comparison units": 0.8})
    assert "40% among exposed units and 80% among comparison units" in found.sentence
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


def answers(*pairs: tuple[float, float], p_values: tuple[float, ...] = ()) -> list[checks.Answer]:
    found = p_values or (math.nan,) * len(pairs)
    return [
        checks.Answer(title=f"way {number}", estimate=value, yardstick=yardstick, p_value=p_value)
        for number, ((value, yardstick), p_value) in enumerate(zip(pairs, found, strict=True))
    ]


def agreement(*pairs: tuple[float, float], **more: str):
    return checks.agreement(
        answers(*pairs), name="x", asks="?", headline=0.10, scale=100.0, unit="percentage points", **more
    )


def test_a_variation_within_one_yardstick_agrees_and_one_beyond_does_not():
    assert agreement((0.149, 0.05)).result == "passed"
    failed = agreement((0.149, 0.05), (0.04, 0.05))
    assert failed.result == "failed"
    assert failed.statistic == pytest.approx(1.2)
    assert "way 1: +4.00 (1.2 standard errors away)" in failed.sentence


def test_a_variation_that_could_not_be_made_leaves_the_question_open_unless_another_fails_it():
    assert agreement((0.12, 0.05), (math.nan, math.nan)).result == "cannot_tell"
    assert agreement((0.22, 0.05), (math.nan, math.nan)).result == "failed"
    assert agreement((math.nan, math.nan)).result == "cannot_tell"
    assert agreement().result == "cannot_tell"
    assert agreement((0.12, math.nan)).statistic is None


def test_a_caveat_is_said_whatever_the_answer():
    assert "beware" in agreement((0.11, 0.05), caveat="beware").sentence
    assert "beware" in agreement((0.41, 0.05), caveat="beware").sentence


def test_the_cohort_that_moves_the_estimate_most_is_named_and_flips_are_counted():
    found = checks.one_cohort(answers((0.09, 0.05), (-0.01, 0.05)), headline=0.10)
    assert found.result == "failed"
    assert found.statistic == pytest.approx(2.2)
    assert "way 1" in found.sentence
    assert "1 of 2 omissions change its sign" in found.sentence
    assert checks.one_cohort(answers((0.09, 0.05)), headline=0.10).result == "passed"
    assert checks.one_cohort(answers((math.nan, 0.05)), headline=0.10).result == "cannot_tell"


@pytest.mark.parametrize(
    ("p_values", "result"), [((0.06, 0.5), "passed"), ((0.04, 0.5), "failed"), ((0.06,), "failed")]
)
def test_placebos_are_judged_by_the_smallest_p_value_times_their_number(p_values, result):
    pairs = [(0.01, 0.01)] * len(p_values)
    found = checks.nil(answers(*pairs, p_values=p_values), name="x", asks="?", rule=RULE, caveat="")
    assert found.result == result
    assert found.statistic == pytest.approx(len(p_values) * min(p_values))
    # 2.80 standard errors are seen at 80 % power
    assert "would have seen 0.03" in found.sentence
    assert ("stands the correction for 2 placebos" in found.sentence) is (result == "passed")


def test_without_a_placebo_nothing_can_be_told():
    assert checks.nil([], name="x", asks="?", rule=RULE, caveat="").result == "cannot_tell"
    missing = checks.nil(answers((math.nan, math.nan)), name="x", asks="?", rule=RULE, caveat="")
    assert missing.result == "cannot_tell"


def test_a_move_just_before_exposure_is_anticipation():
    assert checks.anticipation(lottery(lead_p_value=0.01), rule=RULE).result == "failed"
    assert checks.anticipation(lottery(lead_p_value=0.4), rule=RULE).result == "passed"
    assert checks.anticipation(lottery(lead_p_value=math.nan), rule=RULE).result == "cannot_tell"


def test_rings_fail_together_and_those_too_thin_are_named():
    def found(*p_values: float):
        pairs = [(0.02, 0.01)] * len(p_values)
        return checks.rings(answers(*pairs, p_values=p_values), rule=RULE, scale=100.0, unit="percentage points")

    assert found(0.03, 0.5, 0.5).result == "passed"
    assert found(0.01, 0.5, 0.5).result == "failed"
    thin = found(0.5, math.nan)
    assert thin.result == "passed"
    assert "Too few to tell: way 1" in thin.sentence
    assert found(math.nan).result == "cannot_tell"


def steps(*rows: tuple[float, float]) -> list[dict[str, float]]:
    return [{"treated_before": treated, "control_before": control} for treated, control in rows]


def test_overlap_is_what_both_groups_have_in_common_and_nobody_may_stand_alone():
    shared = checks.overlap(steps((0.5, 0.8), (0.5, 0.2)))
    assert (shared.result, shared.statistic) == ("passed", pytest.approx(0.7))
    assert checks.overlap(steps((0.5, 1.0), (0.5, 0.0))).result == "failed"
    assert checks.overlap(steps((0.1, 0.9), (0.9, 0.1))).result == "failed"
    assert checks.overlap(()).result == "cannot_tell"


def test_every_check_says_what_it_applies_to():
    check = checks.overlap(())
    assert check.applies_to == "matching on the propensity score"
    assert dataclasses.replace(check, name="one_unit").applies_to == "every design"
