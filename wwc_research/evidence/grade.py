"""How strong a finding is, in words both readers know: ESSA's tiers and the Clearinghouse's rating of a design.

In: evidence and the code of its verdict. Out: a Grade. Without randomisation nothing is better than moderate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from wwc_research.catalog import VerdictRule
from wwc_research.evidence.evidence import Evidence, Grade, Strength, VerdictCode
from wwc_research.messages import Message, message

# What Works Clearinghouse, Procedures and Standards Handbook 5.0 (2022), baseline equivalence: at most 0.05 standard
# deviations apart satisfies it, up to 0.25 with adjustment, more does not. ESSA: 20 U.S.C. 7801(21)(A); Department of
# Education, Non-Regulatory Guidance (2016, 2023). Both are about schools; here they are used by analogy.
EQUIVALENT: Final = 0.05
ADJUSTABLE: Final = 0.25
_ESSA: Final = {
    "moderate": message(
        "like ESSA tier 2 (moderate evidence): a quasi-experiment that passes every check the plan asks for"
    ),
    "promising": message(
        "like ESSA tier 3 (promising evidence): a favourable association that modest faults could make"
    ),
    "none": message("no ESSA tier above 4 (a rationale): no favourable effect is shown"),
}
_NOT_MET: Final = message("does not meet standards")
DESIGN_GATES: Final = ("pre_trends", "treated_clusters", "calibration")


def grade(evidence: Evidence, *, code: VerdictCode, rule: VerdictRule) -> Grade:
    """The grade of a finding; `strength` is moderate or promising where something is shown, none elsewhere.

    Moderate asks for everything `_short_of_moderate` names, and for the absence of an effect that it survives a break
    in trends of the planned size; a city chose to take part, so nothing is strong.
    """
    rating, why = _clearinghouse(evidence)
    if code == "cannot_tell":
        return Grade(strength="none", essa=_ESSA["none"], clearinghouse=rating, because=(why,))
    short = tuple(_short_of_absence(evidence, rule=rule) if code == "no_effect_larger" else ())
    if code != "no_effect_larger":
        short = tuple(_short_of_moderate(evidence, rule=rule))
    strength: Strength = "promising" if short else "moderate"
    # the tiers know favourable effects only; harm and absence are as strong, and have no tier
    essa = _ESSA[strength] if code == "improvement" else _ESSA["none"]
    return Grade(strength=strength, essa=essa, clearinghouse=rating, because=(*short, why))


def _short_of_absence(evidence: Evidence, *, rule: VerdictRule) -> Iterator[str]:
    """Why the absence of a larger effect holds only as far as trends would have been parallel."""
    bounds = _of_the_headline(evidence, "parallel_trends")
    rows = (bounds or {}).get("rows", ())
    row = next((r for r in rows if r["kind"] == "relative_magnitudes" and r["size"] == rule.moderate_breakdown), None)
    limit = evidence.minimum_effect_of_interest
    if row is None:
        yield message("What a break in trends would change could not be computed for the estimate that heads the page.")
    elif row["ci_low"] is None or row["ci_high"] is None or row["ci_low"] <= -limit or row["ci_high"] >= limit:
        yield message(
            "It holds as far as trends would have been parallel: a break {times:g} times the largest step seen before "
            "exposure would leave room for larger effects.",
            times=rule.moderate_breakdown,
        )


def _short_of_moderate(evidence: Evidence, *, rule: VerdictRule) -> Iterator[str]:
    """Each reason why a shown effect is promising only."""
    failed = [
        check.asks for check in evidence.checks if check.name in rule.moderate_checks and check.result == "failed"
    ]
    if failed:
        yield message("Failed, of what moderate evidence asks for: {checks:sentences}", checks=failed)
    breakdown = _number(_of_the_headline(evidence, "parallel_trends"), "breakdown_relative_magnitude")
    if breakdown is None or breakdown < rule.moderate_breakdown:
        yield (
            message(
                "It would not survive a break in trends {times:g} times the largest one seen before exposure.",
                times=rule.moderate_breakdown,
            )
            if breakdown is not None
            else message(
                "How large a break in trends it would survive is not known for the estimate that heads the page."
            )
        )
    strength = _number(_of_the_headline(evidence, "omitted_variables"), "robustness_value")
    if strength is None or strength < rule.moderate_robustness_value:
        yield (
            message(
                "A hidden cause that explains {strength:.0%} of what is left of exposure and of the outcome would "
                "remove it; the plan asks for {asked:.0%}.",
                strength=strength,
                asked=rule.moderate_robustness_value,
            )
            if strength is not None
            else message(
                "How strong a hidden cause would have to be is not known for the estimate that heads the page."
            )
        )
    agreeing = _number(evidence.specifications, "share_same_sign")
    if agreeing is None or agreeing < rule.moderate_same_sign_share:
        yield (
            message("Only {agreeing:.0%} of all declared specifications agree in sign.", agreeing=agreeing)
            if agreeing is not None
            else message("The specification curve could not be made.")
        )


def _of_the_headline(evidence: Evidence, name: str) -> Mapping[str, Any] | None:
    """The analysis, if the estimate that it bounds is about the one that heads the page: same sign, one error apart."""
    values = evidence.sensitivity.get(name, {})
    bounded, headed = values.get("estimate"), evidence.judged.get("estimate")
    if bounded is None or headed is None or evidence.judged.get("std_error") is None:
        return None
    if abs(bounded - headed) > evidence.judged["std_error"]:
        return None
    # where nothing is shown, two estimates about zero need not share a sign
    shown = evidence.judged["ci_low"] > 0 or evidence.judged["ci_high"] < 0
    return None if shown and bounded * headed <= 0 else values


def _number(values: Mapping[str, Any] | None, name: str) -> float | None:
    found = (values or {}).get(name)
    return None if found is None else float(found)


def _clearinghouse(evidence: Evidence) -> tuple[str, str]:
    """A rating in the Clearinghouse's words for the design, whatever it found, and the reason.

    The headline compares units that are not matched, so baseline equivalence is that of the matched comparison, and it
    counts only where the matched estimate agrees with the headline within one of its errors.
    """
    checks = {check.name: check for check in evidence.checks}
    for name in DESIGN_GATES:
        if name not in checks:
            return _NOT_MET, message("The check '{name}' was not made.", name=name)
        if checks[name].result != "passed":
            return _NOT_MET, checks[name].sentence
    balance = checks.get("balance")
    apart = balance.statistic if balance is not None else None
    if apart is None:
        return _NOT_MET, message("The largest difference between matched units before exposure was not measured.")
    if apart > ADJUSTABLE:
        why = message(
            "The largest difference between matched units before exposure is {apart:.2f} standard deviations.",
            apart=apart,
        )
        return _NOT_MET, why
    gap = _matched_gap(evidence)
    if gap is None:
        why = message(
            "Matched units are alike before exposure ({apart:.2f} standard deviations at most), but the headline "
            "compares units that are not matched, and the matched estimate could not be made.",
            apart=apart,
        )
        return _NOT_MET, why
    if gap > 1:
        why = message(
            "Matched units are alike before exposure ({apart:.2f} standard deviations at most), but the headline "
            "compares units that are not matched, and the matched estimate lies {gap:.1f} standard errors from the "
            "headline.",
            apart=apart,
            gap=gap,
        )
        return _NOT_MET, why
    return message("meets standards with reservations"), _why_reserved(apart)


def _why_reserved(apart: float) -> Message:
    """Why a matched comparison that agrees meets standards, and only with reservations."""
    if apart <= EQUIVALENT:
        return message(
            "Matched units differ before exposure by {apart:.2f} standard deviations at most, and the matched estimate "
            "agrees with the headline, which compares units that are not matched.",
            apart=apart,
        )
    return message(
        "Matched units differ before exposure by {apart:.2f} standard deviations at most, which the comparison of each "
        "unit with its own past is to take out, and the matched estimate agrees with the headline, which compares "
        "units that are not matched.",
        apart=apart,
    )


def _matched_gap(evidence: Evidence) -> float | None:
    """How far the matched estimate lies from the headline, in judged standard errors."""
    matched = next((item.estimate for item in evidence.alternatives if item.name == "matched_difference"), None)
    error = evidence.judged.get("std_error")
    if matched is None or matched.get("estimate") is None or not error:
        return None
    return abs(float(matched["estimate"]) - float(evidence.judged["estimate"])) / float(error)
