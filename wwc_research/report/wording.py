"""Effects, verdicts and caveats in plain English.

In: evidence and catalog entries. Out: sentences and formatted numbers for pages and the index.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from wwc_research.catalog import Outcome, Treatment
from wwc_research.evidence.evidence import Evidence

VERDICT_TITLES = {
    "associated_better": "Goes with better outcomes",
    "associated_worse": "Goes with worse outcomes",
    "no_effect_as_large": "No sizeable difference",
    "cannot_tell": "Cannot tell",
}
MINUS = "\N{MINUS SIGN}"


def number(value: float | None, *, decimals: int, signed: bool = False) -> str:
    """A number with a true minus sign and thousands separators; an undefined one is an en dash."""
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{abs(value):,.{decimals}f}"
    if float(text.replace(",", "")) == 0:
        return text
    sign = MINUS if value < 0 else ("+" if signed else "")
    return sign + text


def p_value(value: float | None) -> str:
    """A p-value to three decimals, never as zero."""
    if value is None or not math.isfinite(value):
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def effect(value: float | None, outcome: Outcome, *, signed: bool = True) -> str:
    """An effect in the outcome's unit: `+0.4 percentage points`."""
    scaled = None if value is None else value * outcome.scale
    return f"{number(scaled, decimals=outcome.decimals, signed=signed)} {outcome.unit}"


def bare_effect(value: float | None, outcome: Outcome) -> str:
    """An effect in the outcome's unit, without the unit's name."""
    return number(None if value is None else value * outcome.scale, decimals=outcome.decimals, signed=True)


def interval(estimate: Mapping[str, Any], outcome: Outcome) -> str:
    """The 95 % interval in the outcome's unit: `−0.9 to +1.7 percentage points`."""
    return f"{bare_effect(estimate['ci_low'], outcome)} to {effect(estimate['ci_high'], outcome)}"


def natural_size(estimate: Mapping[str, Any], outcome: Outcome) -> str:
    """The effect and its interval as a count that can be pictured: `about 4 more households per 1,000`."""

    def counted(value: float) -> str:
        decimals = 0 if abs(value * outcome.natural_factor) >= 10 else 1
        return number(value * outcome.natural_factor, decimals=decimals, signed=True)

    return (
        f"about {counted(estimate['estimate'])} {outcome.natural_unit} "
        f"(from {counted(estimate['ci_low'])} to {counted(estimate['ci_high'])})"
    )


def units(evidence: Evidence) -> str:
    """`cities` or `counties`, as the analysis counts them."""
    settings = (evidence.headline.estimate or {}).get("settings", {})
    return "counties" if settings.get("unit") == "county" else "cities"


def exposed_units(evidence: Evidence, treatment: Treatment) -> str:
    """What exposed units are called: `certified cities`, `counties with certified cities`."""
    if units(evidence) == "counties":
        return f"counties with {treatment.exposed.format(units='cities')}"
    return treatment.exposed.format(units="cities")


def headline_sentence(evidence: Evidence, outcome: Outcome, treatment: Treatment) -> str:
    """The one sentence a member of programme staff may quote."""
    estimate = evidence.headline.estimate
    if estimate is None or evidence.verdict is None or estimate["std_error"] is None:
        return f"The public data cannot say whether {treatment.title} goes with {outcome.better}."
    subject = exposed_units(evidence, treatment)
    spread = interval(estimate, outcome)
    best = effect(estimate["estimate"], outcome)
    code = evidence.verdict.code
    if code == "cannot_tell":
        return (
            f"We cannot tell whether {treatment.title} goes with {outcome.better}: the best estimate for "
            f"{outcome.topic} is {best}, and anything from {spread} fits the data."
        )
    if code == "no_effect_as_large":
        limit = effect(evidence.minimum_effect_of_interest, outcome, signed=False)
        return (
            f"In {outcome.topic}, {subject} neither pulled ahead nor fell behind by as much as {limit}: "
            f"the best estimate is {best} ({spread})."
        )
    moved = "rise" if estimate["estimate"] > 0 else "fall"
    size = effect(abs(estimate["estimate"]), outcome, signed=False)
    return (
        f"{subject[0].upper()}{subject[1:]} saw {outcome.noun} {moved} by {size} against others ({spread}); "
        "this is an association, not proof of cause."
    )


def how_sure(evidence: Evidence) -> str:
    """How sure we are and why, from the verdict's own reasons."""
    if evidence.verdict is None:
        return "Not judged."
    sure = {
        "associated_better": "Moderately sure that the two go together.",
        "associated_worse": "Moderately sure that the two go together.",
        "no_effect_as_large": "Fairly sure that there is no sizeable difference.",
        "cannot_tell": "Not sure.",
    }[evidence.verdict.code]
    return " ".join((sure, *evidence.verdict.because))


def smallest_visible(evidence: Evidence, outcome: Outcome) -> str:
    """What the data could have shown at all."""
    estimate = evidence.headline.estimate
    if estimate is None or estimate.get("minimum_detectable_effect") is None:
        return "What size of effect could have been seen is not known."
    size = effect(estimate["minimum_detectable_effect"], outcome, signed=False)
    return (
        f"A true effect of {size} would have been found four times in five by the usual test at the 5 % level; "
        "a smaller one less often."
    )


def not_to_claim(evidence: Evidence, outcome: Outcome, treatment: Treatment) -> list[str]:
    """What no reader should say on the strength of the page."""
    lines = []
    if evidence.verdict is None or evidence.verdict.code in ("cannot_tell", "no_effect_as_large"):
        lines.append(f"That {treatment.title} brings {outcome.better}: the data do not show it.")
        lines.append(
            f"That {treatment.title} does nothing for {outcome.topic}: effects too small to be seen here remain "
            "possible."
        )
    else:
        lines.append(f"That {treatment.title} causes the difference: {units(evidence)} chose to take part.")
    if outcome.is_award_condition and treatment.name == "certification":
        lines.append(
            "Anything about cities certified since 2022: showing good results on such outcomes has since then been "
            "a condition of the award, so they would look better by rule. They are not used as treated here."
        )
    lines.append("Anything about a single city: the estimate is an average.")
    return lines
