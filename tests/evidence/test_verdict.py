import dataclasses
import itertools

import pytest

from wwc_research import catalog
from wwc_research.evidence.evidence import Check, CheckResult, Evidence, Named
from wwc_research.evidence.grade import DESIGN_GATES
from wwc_research.evidence.verdict import decide
from wwc_research.report import wording

RULE = catalog.plan().verdict
GATES = tuple(dict.fromkeys((*RULE.difference_gates, *RULE.null_gates)))
BROADBAND, AIR = catalog.outcome("broadband"), catalog.outcome("air_quality")
CERTIFICATION = catalog.treatment("certification")


def sound(estimate: float, **changes: dict) -> dict:
    """Analyses of the very estimate that heads the page, which survives them."""
    at_half = {"kind": "relative_magnitudes", "size": RULE.moderate_breakdown, "ci_low": -0.015, "ci_high": 0.015}
    made = {
        "parallel_trends": {"estimate": estimate, "breakdown_relative_magnitude": 1.0, "rows": [at_half]},
        "omitted_variables": {"estimate": estimate, "robustness_value": 0.3},
    }
    return {name: {**values, **changes.get(name, {})} for name, values in made.items()}


def evidence(
    *,
    estimate: float = 0.03,
    half: float = 0.01,
    p_value: float | None = 0.01,
    apart: float | None = 0.04,
    same_sign: float | None = 1.0,
    sensitivity: dict | None = None,
    matched: float | None = 0.0,
    others: tuple[Check, ...] = (),
    **results: CheckResult,
) -> Evidence:
    assert set(results) <= set(GATES)
    checks = tuple(
        Check(
            name=name,
            asks="?",
            result=results.get(name, "passed"),
            statistic=apart if name == "balance" else None,
            sentence=f"{name} said so.",
        )
        for name in GATES
    )
    matched = estimate if matched == 0.0 else matched
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
        headline=Named(name="imputation", title="Imputation", estimate=values),
        judged={**values, "years_after": 1.5},
        alternatives=(Named(name="matched_difference", title="Matched", estimate={"estimate": matched}),)
        if matched is not None
        else (),
        checks=(*checks, *others),
        verdict=None,
        cohorts=(),
        trends=(),
        balance=(),
        overlap=(),
        matched=(),
        sensitivity=sound(estimate) if sensitivity is None else sensitivity,
        specifications=None if same_sign is None else {"share_same_sign": same_sign},
        adjusted={"family": p_value, "benjamini_hochberg": p_value, "n_hypotheses": 6},
    )


def judged(found: Evidence, *, outcome=BROADBAND) -> Evidence:
    return dataclasses.replace(found, verdict=decide(found, outcome=outcome, rule=RULE))


def test_the_plan_gates_a_difference_by_everything_that_gates_a_null():
    assert set(RULE.null_gates) <= set(RULE.difference_gates)
    assert {"calibration", *DESIGN_GATES} <= set(RULE.difference_gates)


def test_a_difference_that_passes_everything_is_evidence_in_its_direction():
    assert decide(evidence(), outcome=BROADBAND, rule=RULE).code == "improvement"
    assert decide(evidence(estimate=-0.03), outcome=BROADBAND, rule=RULE).code == "harm"


def test_for_an_outcome_where_lower_is_better_a_rise_is_harm():
    assert decide(evidence(estimate=0.03), outcome=AIR, rule=RULE).code == "harm"
    assert decide(evidence(estimate=-0.03), outcome=AIR, rule=RULE).code == "improvement"


@pytest.mark.parametrize("gate", RULE.difference_gates)
@pytest.mark.parametrize("result", ["failed", "cannot_tell"])
def test_a_difference_that_fails_or_lacks_any_gate_is_never_claimed(gate, result):
    found = decide(evidence(**{gate: result}), outcome=BROADBAND, rule=RULE)
    assert found.code == "cannot_tell"
    assert f"{gate} said so." in found.because
    assert found.cause == "unreliable"


@pytest.mark.parametrize("gate", RULE.difference_gates)
def test_a_gate_that_was_never_put_stops_unless_it_has_no_meaning_here(gate):
    whole = evidence()
    without = dataclasses.replace(whole, checks=tuple(check for check in whole.checks if check.name != gate))
    stopped = decide(without, outcome=BROADBAND, rule=RULE)
    assert stopped.code == "cannot_tell"
    assert any(gate in line for line in stopped.because)
    excused = dataclasses.replace(without, not_applicable={gate: "it has no meaning here"})
    assert decide(excused, outcome=BROADBAND, rule=RULE).code == "improvement"


def test_a_difference_that_does_not_survive_the_correction_is_not_claimed():
    assert decide(evidence(p_value=0.2), outcome=BROADBAND, rule=RULE).code == "cannot_tell"
    assert decide(evidence(p_value=None), outcome=BROADBAND, rule=RULE).code == "cannot_tell"
    assert decide(evidence(p_value=RULE.size), outcome=BROADBAND, rule=RULE).code == "cannot_tell"


def test_no_sizeable_effect_needs_the_whole_interval_inside_the_limit():
    inside = evidence(estimate=0.004, half=0.015, p_value=0.6)
    outside = evidence(estimate=0.006, half=0.015, p_value=0.6)
    assert decide(inside, outcome=BROADBAND, rule=RULE).code == "no_effect_larger"
    found = decide(outside, outcome=BROADBAND, rule=RULE)
    assert (found.code, found.cause) == ("cannot_tell", "imprecise")


@pytest.mark.parametrize("gate", RULE.null_gates)
def test_an_interval_that_cannot_be_trusted_rules_nothing_out(gate):
    narrow = evidence(estimate=0.0, half=0.001, p_value=0.9, **{gate: "failed"})
    assert decide(narrow, outcome=BROADBAND, rule=RULE).code == "cannot_tell"


def test_without_an_estimate_or_its_error_nothing_can_be_told():
    failed = dataclasses.replace(evidence(), headline=Named(name="x", title="X", estimate=None, failed="no units"))
    assert decide(failed, outcome=BROADBAND, rule=RULE).because == ("no units",)
    without_error = dataclasses.replace(evidence(), judged={"estimate": 1.0, "std_error": None})
    assert decide(without_error, outcome=BROADBAND, rule=RULE).code == "cannot_tell"


def test_an_effect_is_moderate_only_if_nothing_modest_could_make_it():
    assert decide(evidence(), outcome=BROADBAND, rule=RULE).grade.strength == "moderate"
    half = RULE.moderate_breakdown / 2
    weaker = [
        {"sensitivity": sound(0.03, parallel_trends={"breakdown_relative_magnitude": half})},
        {"sensitivity": {**sound(0.03), "parallel_trends": {"failed": "no leads"}}},
        {"sensitivity": sound(0.03, omitted_variables={"robustness_value": RULE.moderate_robustness_value / 2})},
        {"sensitivity": {**sound(0.03), "omitted_variables": {"failed": "no covariates"}}},
        {"same_sign": RULE.moderate_same_sign_share - 0.01},
        {"same_sign": None},
        {"others": (failed(RULE.moderate_checks[0]),)},
    ]
    for changes in weaker:
        grade = decide(evidence(**changes), outcome=BROADBAND, rule=RULE).grade
        assert (grade.strength, len(grade.because)) == ("promising", 2)
        assert "tier 3" in grade.essa


def failed(name: str) -> Check:
    return Check(name=name, asks=f"Is {name} fine?", result="failed", statistic=None, sentence=f"{name} said no.")


@pytest.mark.parametrize("other", [0.01, -0.03])
def test_sensitivity_of_another_estimate_makes_no_finding_moderate(other):
    """The bounds are about the event study or a regression, which may say something else than the headline."""
    for name in ("parallel_trends", "omitted_variables"):
        found = evidence(sensitivity=sound(0.03, **{name: {"estimate": other}}))
        grade = decide(found, outcome=BROADBAND, rule=RULE).grade
        assert grade.strength == "promising"
        assert any("not known for the estimate that heads the page" in line for line in grade.because)


def test_a_claim_names_the_checks_that_were_failed_and_do_not_decide():
    found = decide(evidence(others=(failed("rings"),)), outcome=BROADBAND, rule=RULE)
    assert found.code == "improvement"
    assert any("Is rings fine?" in line for line in found.because)


def test_absence_is_moderate_only_if_it_survives_a_break_in_trends():
    inside = {"estimate": 0.004, "half": 0.015, "p_value": 0.6}
    assert decide(evidence(**inside), outcome=BROADBAND, rule=RULE).grade.strength == "moderate"
    wide = [{"kind": "relative_magnitudes", "size": RULE.moderate_breakdown, "ci_low": -0.03, "ci_high": 0.01}]
    for rows in (wide, []):
        found = evidence(**inside, sensitivity=sound(0.004, parallel_trends={"rows": rows}))
        known = decide(found, outcome=BROADBAND, rule=RULE)
        assert (known.code, known.grade.strength) == ("no_effect_larger", "promising")


def test_what_is_significant_alone_and_not_once_corrected_is_not_said_to_include_nothing():
    found = decide(evidence(p_value=0.2), outcome=BROADBAND, rule=RULE)
    assert "not once corrected" in found.because[0]


def test_harm_is_graded_and_has_no_tier_of_a_law_about_what_helps():
    grade = decide(evidence(estimate=-0.03), outcome=BROADBAND, rule=RULE).grade
    assert grade.strength == "moderate"
    assert "no ESSA tier" in grade.essa


def test_a_design_meets_standards_with_reservations_at_best():
    for apart, rating in ((0.04, "with reservations"), (0.2, "with reservations"), (0.26, "does not meet")):
        assert rating in decide(evidence(apart=apart), outcome=BROADBAND, rule=RULE).grade.clearinghouse
    for changes in ({"apart": None}, {"matched": None}, {"matched": -0.03}):
        assert "does not meet" in decide(evidence(**changes), outcome=BROADBAND, rule=RULE).grade.clearinghouse
    for gate in DESIGN_GATES:
        found = decide(evidence(**{gate: "failed"}), outcome=BROADBAND, rule=RULE).grade
        assert found.clearinghouse == "does not meet standards"
        assert f"{gate} said so." in found.because


def every_branch() -> list[Evidence]:
    """One evidence for each way through the rule."""
    gates = [{gate: result} for gate in GATES for result in ("failed", "cannot_tell")]
    made = [
        evidence(estimate=estimate, half=half, p_value=p_value, **stopped)
        for estimate, half in ((0.03, 0.01), (-0.03, 0.01), (0.004, 0.015), (0.006, 0.015))
        for p_value in (0.01, 0.6, None)
        for stopped in ({}, *gates)
    ]
    failed = Named(name="x", title="X", estimate=None, failed="no units")
    fragile = evidence(estimate=0.004, half=0.015, p_value=0.6, sensitivity={})
    return [
        *made,
        dataclasses.replace(evidence(), headline=failed),
        evidence(same_sign=0.5),
        evidence(apart=0.5),
        fragile,
    ]


def test_the_sentence_on_top_says_what_the_verdict_is_in_every_branch_and_never_more():
    seen = set()
    for found, outcome in itertools.product(every_branch(), (BROADBAND, AIR)):
        known = judged(found, outcome=outcome)
        code, strength = known.verdict.code, known.verdict.grade.strength
        seen.add((code, strength, known.verdict.cause))
        sentence = wording.headline_sentence(known, outcome, CERTIFICATION)
        title = wording.verdict_title(known, outcome)
        text = " ".join((sentence, wording.how_sure(known), wording.graded(known)))
        assert "no finding here can be better than moderate" in text
        assert "proves" not in text
        if code == "cannot_tell":
            assert title == "Cannot tell"
            assert sentence.startswith(("We cannot tell", "The public data cannot say"))
            assert "Not sure." in text
        elif code == "no_effect_larger":
            assert title.startswith("No effect larger than 2")
            assert "neither pulled ahead nor fell behind" in sentence
        else:
            assert title == {"improvement": "Evidence of improvement", "harm": "Evidence of harm"}[code]
            assert "this is an association, not proof of cause" in sentence
            rose = known.judged["estimate"] > 0
            assert ("rise" if rose else "fall") in sentence
        if code != "cannot_tell":
            assert ("Moderately sure" in text) == (strength == "moderate")
    assert seen == {
        ("improvement", "moderate", ""),
        ("improvement", "promising", ""),
        ("harm", "moderate", ""),
        ("harm", "promising", ""),
        ("no_effect_larger", "moderate", ""),
        ("no_effect_larger", "promising", ""),
        ("cannot_tell", "none", "unreliable"),
        ("cannot_tell", "none", "imprecise"),
    }
