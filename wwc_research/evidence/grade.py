"""How strong a finding is, in words both readers know: ESSA's tiers and the Clearinghouse's rating of a design.

In: evidence and the code of its verdict. Out: a Grade. Without randomisation nothing is better than moderate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from wwc_research.catalog import VerdictRule
from wwc_research.evidence.evidence import Evidence, Grade, Strength, VerdictCode

# What Works Clearinghouse, Procedures and Standards Handbook 5.0 (2022), baseline equivalence: at most 0.05 standard
# deviations apart satisfies it, up to 0.25 with adjustment, more does not. ESSA: 20 U.S.C. 7801(21)(A); Department of
# Education, Non-Regulatory Guidance (2016, 2023). Both are about schools; here they are used by analogy.
EQUIVALENT: Final = 0.05
ADJUSTABLE: Final = 0.25
_ESSA: Final = {
    "moderate": "like ESSA tier 2 (moderate evidence): a quasi-experiment that passes every check of the plan",
    "promising": "like ESSA tier 3 (promising evidence): a favourable association that modest faults could make",
    "none": "no ESSA tier above 4 (a rationale): no favourable effect is shown",
}
DESIGN_GATES: Final = ("pre_trends", "treated_clusters", "calibration")


def grade(evidence: Evidence, *, code: VerdictCode, rule: VerdictRule) -> Grade:
    """The grade of a finding; `strength` is moderate or promising where an effect is shown, none elsewhere.

    Moderate asks for everything `_short_of_moderate` names; a city chose to take part, so nothing is strong.
    """
    rating, why = _clearinghouse(evidence)
    if code not in ("improvement", "harm"):
        return Grade(strength="none", essa=_ESSA["none"], clearinghouse=rating, because=(why,))
    short = tuple(_short_of_moderate(evidence, rule=rule))
    strength: Strength = "promising" if short else "moderate"
    # the tiers know favourable effects only; harm is as strong, and has no tier
    essa = _ESSA[strength] if code == "improvement" else _ESSA["none"]
    return Grade(strength=strength, essa=essa, clearinghouse=rating, because=(*short, why))


def _short_of_moderate(evidence: Evidence, *, rule: VerdictRule) -> Iterator[str]:
    """Each reason why a shown effect is promising only."""
    breakdown = _number(evidence.sensitivity.get("parallel_trends"), "breakdown_relative_magnitude")
    if breakdown is None or breakdown < rule.moderate_breakdown:
        yield (
            "It would not survive a break in trends "
            f"{rule.moderate_breakdown:g} times the largest one seen before exposure."
            if breakdown is not None
            else "How large a break in trends it would survive could not be computed."
        )
    strength = _number(evidence.sensitivity.get("omitted_variables"), "robustness_value")
    if strength is None or strength < rule.moderate_robustness_value:
        yield (
            f"A hidden cause that explains {strength:.0%} of what is left of exposure and of the outcome would "
            f"remove it; the plan asks for {rule.moderate_robustness_value:.0%}."
            if strength is not None
            else "How strong a hidden cause would have to be could not be computed."
        )
    agreeing = _number(evidence.specifications, "share_same_sign")
    if agreeing is None or agreeing < rule.moderate_same_sign_share:
        yield (
            f"Only {agreeing:.0%} of all declared specifications agree in sign."
            if agreeing is not None
            else "The specification curve could not be made."
        )


def _number(values: Mapping[str, Any] | None, name: str) -> float | None:
    found = (values or {}).get(name)
    return None if found is None else float(found)


def _clearinghouse(evidence: Evidence) -> tuple[str, str]:
    """A rating in the Clearinghouse's words for the design, whatever it found, and the reason."""
    checks = {check.name: check for check in evidence.checks}
    broken = [name for name in DESIGN_GATES if name in checks and checks[name].result != "passed"]
    balance = checks.get("balance")
    apart = balance.statistic if balance is not None else None
    if broken:
        return "does not meet standards", checks[broken[0]].sentence
    if apart is None or apart > ADJUSTABLE:
        said = "was not measured" if apart is None else f"is {apart:.2f} standard deviations"
        return "does not meet standards", f"The largest difference between matched units before exposure {said}."
    adjusted = "" if apart <= EQUIVALENT else ", small enough once each unit is compared with its own past"
    return (
        "meets standards with reservations",
        f"The largest difference between matched units before exposure is {apart:.2f} standard deviations{adjusted}.",
    )
