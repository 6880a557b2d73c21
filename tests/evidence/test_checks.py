import math

from wwc_research import catalog
from wwc_research.estimators.estimate import Estimate
from wwc_research.evidence import checks

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


def test_leads_that_differ_from_zero_fail_and_leads_that_do_not_pass():
    assert checks.pre_trends(estimate(statistic=40.0, restrictions=5), rule=RULE).result == "failed"
    assert checks.pre_trends(estimate(statistic=2.0, restrictions=5), rule=RULE).result == "passed"


def test_without_leads_nothing_can_be_told():
    assert checks.pre_trends(estimate(), rule=RULE).result == "cannot_tell"
    assert checks.pre_trends(None, rule=RULE).result == "cannot_tell"


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


def test_the_share_of_survey_noise_is_told():
    assert "40%" in checks.survey_noise(0.4, 1.0).sentence
    assert checks.survey_noise(0.8, 1.0).result == "failed"
    assert checks.survey_noise(math.nan, 1.0).result == "cannot_tell"
