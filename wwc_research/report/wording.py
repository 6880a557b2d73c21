"""Effects, verdicts and caveats in plain English.

In: evidence and catalog entries. Out: sentences and formatted numbers for pages and the index.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from wwc_research.catalog import Outcome, Treatment
from wwc_research.evidence.evidence import Evidence

VERDICT_COUNTED = {
    "improvement": "evidence of improvement",
    "harm": "evidence of harm",
    "no_effect_larger": "no effect as large as planned",
    "cannot_tell": "cannot tell",
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


def typeset(text: str) -> str:
    """The text with true minus signs before numbers."""
    return re.sub(r"(?<![\w.])-(?=\d)", MINUS, text)


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


def verdict_title(evidence: Evidence, outcome: Outcome) -> str:
    """The verdict in a few words."""
    if evidence.verdict is None:
        return "Not judged"
    if evidence.verdict.code == "no_effect_larger":
        return f"No effect larger than {effect(evidence.minimum_effect_of_interest, outcome, signed=False)}"
    return {
        "improvement": "Evidence of improvement",
        "harm": "Evidence of harm",
        "cannot_tell": "Cannot tell",
    }[evidence.verdict.code]


def headline_sentence(evidence: Evidence, outcome: Outcome, treatment: Treatment) -> str:
    """The one sentence a member of programme staff may quote."""
    values = evidence.judged
    if evidence.headline.estimate is None or evidence.verdict is None or values.get("std_error") is None:
        return f"The public data cannot say whether {treatment.noun} goes with {outcome.better}."
    subject = exposed_units(evidence, treatment)
    spread = interval(values, outcome)
    best = effect(values["estimate"], outcome)
    code = evidence.verdict.code
    if code == "cannot_tell":
        doubt = f"We cannot tell whether {treatment.noun} goes with {outcome.better}"
        if evidence.verdict.cause == "unreliable":
            return f"{doubt}: the comparison cannot be relied on. It gives {best} for {outcome.topic} ({spread})."
        return f"{doubt}: the best estimate for {outcome.topic} is {best}, and anything from {spread} fits the data."
    if code == "no_effect_larger":
        limit = effect(evidence.minimum_effect_of_interest, outcome, signed=False)
        return (
            f"In {outcome.topic}, {subject} neither pulled ahead nor fell behind by as much as {limit}, "
            f"{horizon(evidence)}: the best estimate is {best} ({spread})."
        )
    moved = "rise" if values["estimate"] > 0 else "fall"
    size = effect(abs(values["estimate"]), outcome, signed=False)
    return (
        f"{subject[0].upper()}{subject[1:]} saw {outcome.noun} {moved} by {size} against others ({spread}), "
        f"{horizon(evidence)}; this is an association, not proof of cause."
    )


def horizon(evidence: Evidence) -> str:
    """How long after first exposure the effect is seen, on average."""
    years = evidence.judged.get("years_after")
    if years is None:
        return "after first exposure"
    return f"on average {years:.1f} years after first exposure"


def how_sure(evidence: Evidence) -> str:
    """How sure we are and why, from the verdict's own reasons."""
    if evidence.verdict is None:
        return "Not judged."
    code, strength = evidence.verdict.code, evidence.verdict.grade.strength
    if code == "no_effect_larger":
        sure = {
            "moderate": "Moderately sure that there is no sizeable difference in these years.",
            "promising": "No sizeable difference in these years, if the compared groups would have moved alike.",
        }.get(strength, "Not sure.")
    else:
        sure = {
            "moderate": "Moderately sure that the two go together.",
            "promising": "A first sign that the two go together, not more.",
        }.get(strength, "Not sure.")
    return typeset(" ".join((sure, *evidence.verdict.because)))


def graded(evidence: Evidence) -> str:
    """The grade in the words of ESSA and of the What Works Clearinghouse, and what it rests on."""
    if evidence.verdict is None:
        return "Not graded."
    grade = evidence.verdict.grade
    return (
        f"Grade by the plan's rule: {grade.essa}. In the words of the What Works Clearinghouse (a rating of studies, "
        f"no part of What Works Cities) the design {grade.clearinghouse}. {' '.join(grade.because)} Without a lottery "
        "deciding which cities take part, no finding here can be better than moderate."
    )


def how_judged(evidence: Evidence) -> str:
    """Which inference the interval rests on."""
    values = evidence.judged
    if values.get("std_error") is None:
        return "No inference was possible."
    basis = {
        "lot": "drawing the exposed places by lot gives the wider interval, and it is used here",
        "cluster": "errors clustered by county give the wider interval, and they are used here",
    }[values["basis"]]
    return (
        f"Two ways of judging chance were compared, and the more cautious counts: {basis}. By lot "
        f"({values['draws']:,} draws) p = {p_value(values['lot_p_value'])}."
    )


def smallest_visible(evidence: Evidence, outcome: Outcome) -> str:
    """What the data could have shown at all."""
    value = evidence.judged.get("minimum_detectable_effect")
    if value is None:
        return "What size of effect could have been seen is not known."
    size = effect(value, outcome, signed=False)
    asked = evidence.adjusted.get("n_hypotheses") or 1
    more = f"the correction for {asked} questions and " if asked > 1 else ""
    text = (
        f"A true effect of {size} would have been significant by itself four times in five, a smaller one less often; "
        f"the verdict asks for more ({more}every check that decides), so that somewhat larger ones can be missed too."
    )
    if evidence.verdict is not None and evidence.verdict.cause == "unreliable":
        return f"{text} That holds only if the comparison could be relied on."
    return text


def not_to_claim(evidence: Evidence, outcome: Outcome, treatment: Treatment) -> list[str]:
    """What no reader should say on the strength of the page."""
    lines = []
    if evidence.verdict is None or evidence.verdict.code in ("cannot_tell", "no_effect_larger"):
        lines.append(f"That {treatment.noun} brings {outcome.better}: the data do not show it.")
        lines.append(
            f"That {treatment.noun} does nothing for {outcome.topic}: effects too small to be seen here remain "
            "possible."
        )
    else:
        lines.append(f"That {treatment.noun} causes the difference: {units(evidence)} chose to take part.")
    if outcome.is_award_condition and treatment.is_award:
        editions = (evidence.headline.estimate or {}).get("settings", {}).get("editions", [])
        used = "They count as exposed here." if "v3" in editions else "They do not count as exposed here."
        lines.append(
            "Anything about cities first certified since August 2022: showing good results on such outcomes has since "
            f"then been a condition of the award, so they would look better by rule. {used}"
        )
    lines.append("Anything about a single city: the estimate is an average.")
    return lines
