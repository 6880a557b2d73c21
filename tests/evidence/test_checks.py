import math

from wwc_research import catalog
from wwc_research.estimators.estimate import Estimate
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


def lottery(*, lead_p_value: float = 0.5, drift_p_value: float = 0.5, **without_one: float) -> Lottery:
    return Lottery(
        estimate=0.1,
        p_value=0.5,
        std_error=0.05,
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
    assert checks.treated_clusters(3, rule=RULE).result == "failed"
    assert checks.treated_clusters(RULE.minimum_treated_clusters, rule=RULE).result == "passed"


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
