import dataclasses

import pytest

from wwc_research import catalog
from wwc_research.evidence.evidence import Check, CheckResult, Evidence, Named
from wwc_research.evidence.verdict import GATES, decide

RULE = catalog.plan().verdict
BROADBAND, AIR = catalog.outcome("broadband"), catalog.outcome("air_quality")


def evidence(
    *, estimate: float = 0.03, half: float = 0.01, q_value: float | None = 0.01, **results: CheckResult
) -> Evidence:
    checks = tuple(
        Check(name=name, asks="?", result=results.get(name, "passed"), statistic=None, sentence=f"{name} said so.")
        for name in GATES
    )
    values = {
        "estimate": estimate,
        "std_error": half / 1.96,
        "ci_low": estimate - half,
        "ci_high": estimate + half,
        "settings": {"unit": "place"},
    }
    return Evidence(
        outcome="broadband",
        treatment="certification",
        family="residents",
        minimum_effect_of_interest=0.02,
        headline=Named(name="callaway_santanna", title="CS", estimate=values),
        judged={**values, "years_after": 1.5},
        alternatives=(),
        checks=checks,
        q_value=q_value,
        verdict=None,
        cohorts=(),
        trends=(),
        balance=(),
        matched=(),
    )


def test_a_difference_that_passes_everything_is_an_association_in_its_direction():
    assert decide(evidence(), outcome=BROADBAND, rule=RULE).code == "associated_better"
    assert decide(evidence(estimate=-0.03), outcome=BROADBAND, rule=RULE).code == "associated_worse"


def test_for_an_outcome_where_lower_is_better_a_rise_is_worse():
    assert decide(evidence(estimate=0.03), outcome=AIR, rule=RULE).code == "associated_worse"
    assert decide(evidence(estimate=-0.03), outcome=AIR, rule=RULE).code == "associated_better"


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("result", ["failed", "cannot_tell"])
def test_a_difference_that_fails_or_lacks_any_gate_is_never_claimed(gate, result):
    found = decide(evidence(**{gate: result}), outcome=BROADBAND, rule=RULE)
    assert found.code == "cannot_tell"
    assert f"{gate} said so." in found.because
    assert found.cause == "unreliable"


def test_a_difference_that_does_not_survive_the_correction_is_not_claimed():
    assert decide(evidence(q_value=0.2), outcome=BROADBAND, rule=RULE).code == "cannot_tell"
    assert decide(evidence(q_value=None), outcome=BROADBAND, rule=RULE).code == "cannot_tell"


def test_no_sizeable_effect_needs_the_whole_interval_inside_the_limit():
    inside = evidence(estimate=0.004, half=0.015, q_value=0.6)
    outside = evidence(estimate=0.006, half=0.015, q_value=0.6)
    assert decide(inside, outcome=BROADBAND, rule=RULE).code == "no_effect_as_large"
    assert decide(outside, outcome=BROADBAND, rule=RULE).code == "cannot_tell"


@pytest.mark.parametrize("gate", ["pre_trends", "treated_clusters"])
def test_an_interval_that_cannot_be_trusted_rules_nothing_out(gate):
    narrow = evidence(estimate=0.0, half=0.001, q_value=0.9, **{gate: "failed"})
    assert decide(narrow, outcome=BROADBAND, rule=RULE).code == "cannot_tell"


def test_without_an_estimate_or_its_error_nothing_can_be_told():
    failed = dataclasses.replace(evidence(), headline=Named(name="x", title="X", estimate=None, failed="no units"))
    assert decide(failed, outcome=BROADBAND, rule=RULE).because == ("no units",)
    without_error = dataclasses.replace(evidence(), judged={"estimate": 1.0, "std_error": None})
    assert decide(without_error, outcome=BROADBAND, rule=RULE).code == "cannot_tell"
