"""Effects, verdicts and caveats in plain words, as messages that can be said in every language.

In: evidence and catalog entries. Out: sentences and formatted numbers for pages and the index.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from wwc_research.catalog import Outcome, Treatment
from wwc_research.evidence.evidence import Evidence
from wwc_research.messages import Message, message

VERDICT_COUNTED = {
    "improvement": message("evidence of improvement"),
    "harm": message("evidence of harm"),
    "no_effect_larger": message("no effect as large as planned"),
    "cannot_tell": message("cannot tell"),
}


def number(value: float | None, *, decimals: int, signed: bool = False) -> Message:
    """A number with thousands separators; zero has no sign, and an undefined one is an en dash."""
    if value is None or not math.isfinite(value):
        return Message("–")
    is_zero = float(f"{value:.{decimals}f}") == 0
    sign = "+" if signed and not is_zero else ""
    return Message(f"{{value:{sign},.{decimals}f}}", {"value": abs(value) if is_zero else value})


def count(value: int) -> Message:
    """A count with thousands separators."""
    return Message("{value:,}", {"value": value})


def p_value(value: float | None) -> Message:
    """A p-value to three decimals, never as zero."""
    if value is None or not math.isfinite(value):
        return Message("–")
    return Message("< {limit:.3f}", {"limit": 0.001}) if value < 0.001 else Message("{value:.3f}", {"value": value})


def percent(share: float | None, *, decimals: int = 1) -> Message:
    """A share as a percentage; an undefined one is an en dash."""
    if share is None or not math.isfinite(share):
        return Message("–")
    return Message(f"{{value:.{decimals}%}}", {"value": share})


def in_unit(value: float, outcome: Outcome) -> float:
    """An effect in the outcome's unit; one on a logarithm is 100 (exp(effect) - 1) per cent, not its log points."""
    return outcome.scale * (math.expm1(value) if outcome.transform == "log" else value)


def row_in_unit(row: Mapping[str, Any], outcome: Outcome) -> dict[str, Any]:
    """The row with its estimate, interval and smallest visible effect in the outcome's unit, for a picture."""
    keys = ("estimate", "ci_low", "ci_high", "minimum_detectable_effect")
    return {**row, **{key: in_unit(row[key], outcome) for key in keys if row.get(key) is not None}}


def axis_unit(outcome: Outcome) -> Message:
    """The unit of a picture or table that stays on the scale of the analysis, such as one with standard errors."""
    if outcome.transform == "log":
        return message("{unit} (log points)", unit=outcome.unit)
    return Message(outcome.unit)


def effect(value: float | None, outcome: Outcome, *, signed: bool = True) -> Message:
    """An effect in the outcome's unit: `+0.4 percentage points`."""
    scaled = None if value is None else in_unit(value, outcome)
    return message("{value} {unit}", value=number(scaled, decimals=outcome.decimals, signed=signed), unit=outcome.unit)


def bare_effect(value: float | None, outcome: Outcome) -> Message:
    """An effect in the outcome's unit, without the unit's name."""
    return number(None if value is None else in_unit(value, outcome), decimals=outcome.decimals, signed=True)


def interval(estimate: Mapping[str, Any], outcome: Outcome) -> Message:
    """The 95 % interval in the outcome's unit: `-0.9 to +1.7 percentage points`."""
    return message(
        "{low} to {high}", low=bare_effect(estimate["ci_low"], outcome), high=effect(estimate["ci_high"], outcome)
    )


def bare_interval(estimate: Mapping[str, Any] | None, outcome: Outcome) -> Message:
    """The 95 % interval without the unit's name, for a cell of a table; an undefined one is an en dash."""
    if not estimate or estimate["ci_low"] is None:
        return number(None, decimals=0)
    ends = {end: bare_effect(estimate[f"ci_{end}"], outcome) for end in ("low", "high")}
    return message("{low} to {high}", **ends)


def natural_size(estimate: Mapping[str, Any], outcome: Outcome) -> Message:
    """The effect and its interval as a count that can be pictured: `about +4 connected households per 1,000`."""
    factor = outcome.natural_factor / outcome.scale
    sizes = {name: factor * in_unit(estimate[name], outcome) for name in ("estimate", "ci_low", "ci_high")}
    best, low, high = (number(size, decimals=0 if abs(size) >= 10 else 1, signed=True) for size in sizes.values())
    return message(
        "about {best} {unit} (from {low} to {high})", best=best, unit=outcome.natural_unit, low=low, high=high
    )


def units(evidence: Evidence) -> Message:
    """`cities` or `counties`, as the analysis counts them."""
    return message("counties") if _by_county(evidence) else message("cities")


def _by_county(evidence: Evidence) -> bool:
    return (evidence.headline.estimate or {}).get("settings", {}).get("unit") == "county"


def exposed_units(evidence: Evidence, treatment: Treatment) -> Message:
    """What exposed units are called: `certified cities`, `counties with certified cities`."""
    exposed = exposed_cities(treatment)
    return message("counties with {exposed}", exposed=exposed) if _by_county(evidence) else exposed


def years_analysed(evidence: Evidence, treatment: Treatment) -> tuple[int, int]:
    """First and last year of the planned window, as far as exposures are known."""
    first, *_, last = (evidence.headline.estimate or {})["settings"]["window"]
    return first, last if treatment.known_through is None else min(last, treatment.known_through)


def exposed_unit(evidence: Evidence, treatment: Treatment) -> Message:
    """What one exposed unit is called: `certified city`, `county with certified cities`."""
    if _by_county(evidence):
        return message("county with {exposed}", exposed=exposed_cities(treatment))
    return Message(treatment.exposed_city)


def exposed_cities(treatment: Treatment) -> Message:
    """What exposed cities are called: `certified cities`."""
    return Message(treatment.exposed, {"units": message("cities")})


def verdict_title(evidence: Evidence, outcome: Outcome) -> Message:
    """The verdict in a few words."""
    if evidence.verdict is None:
        return message("Not judged")
    if evidence.verdict.code == "no_effect_larger":
        return message(
            "No effect larger than {size}", size=effect(evidence.minimum_effect_of_interest, outcome, signed=False)
        )
    return {
        "improvement": message("Evidence of improvement"),
        "harm": message("Evidence of harm"),
        "cannot_tell": message("Cannot tell"),
    }[evidence.verdict.code]


def headline_sentence(evidence: Evidence, outcome: Outcome, treatment: Treatment) -> Message:
    """The one sentence a member of programme staff may quote."""
    values, asked = evidence.judged, {"noun": treatment.noun, "better": outcome.better}
    if evidence.headline.estimate is None or evidence.verdict is None or values.get("std_error") is None:
        return message("The public data cannot say whether {noun} goes with {better}.", **asked)
    found = {"topic": outcome.topic, "spread": interval(values, outcome), "best": effect(values["estimate"], outcome)}
    if evidence.verdict.cause == "unreliable":
        return message(
            "We cannot tell whether {noun} goes with {better}: the comparison cannot be relied on. It gives {best} for "
            "{topic} ({spread}).",
            **asked,
            **found,
        )
    if evidence.verdict.code == "cannot_tell":
        return message(
            "We cannot tell whether {noun} goes with {better}: the best estimate for {topic} is {best}, and anything "
            "from {spread} fits the data.",
            **asked,
            **found,
        )
    found |= {"subject": exposed_units(evidence, treatment), "horizon": horizon(evidence)}
    if evidence.verdict.code == "no_effect_larger":
        return message(
            "In {topic}, {subject} neither pulled ahead nor fell behind by as much as {limit}, {horizon}: the best "
            "estimate is {best} ({spread}).",
            limit=effect(evidence.minimum_effect_of_interest, outcome, signed=False),
            **found,
        )
    found |= {"outcome": outcome.noun, "size": effect(abs(values["estimate"]), outcome, signed=False)}
    if values["estimate"] > 0:
        return message(
            "Against others, {subject} saw {outcome} rise by {size} ({spread}), {horizon}; this is an association, not "
            "proof of cause.",
            **found,
        )
    return message(
        "Against others, {subject} saw {outcome} fall by {size} ({spread}), {horizon}; this is an association, not "
        "proof of cause.",
        **found,
    )


def horizon(evidence: Evidence) -> Message:
    """How long after first exposure the effect is seen, on average."""
    years = evidence.judged.get("years_after")
    if years is None:
        return message("after first exposure")
    return message("on average {years:.1f} years after first exposure", years=years)


def how_sure(evidence: Evidence) -> Message:
    """How sure we are and why, from the verdict's own reasons."""
    if evidence.verdict is None:
        return message("Not judged.")
    code, strength = evidence.verdict.code, evidence.verdict.grade.strength
    if code == "no_effect_larger":
        sure = {
            "moderate": message("Moderately sure that there is no sizeable difference in these years."),
            "promising": message(
                "No sizeable difference in these years, if the compared groups would have moved alike."
            ),
        }.get(strength, message("Not sure."))
    else:
        sure = {
            "moderate": message("Moderately sure that the two go together."),
            "promising": message("A first sign that the two go together, not more."),
        }.get(strength, message("Not sure."))
    return message("{parts:sentences}", parts=[sure, *evidence.verdict.because])


def graded(evidence: Evidence) -> Message:
    """The grade in the words of ESSA and of the What Works Clearinghouse, and what it rests on."""
    if evidence.verdict is None:
        return message("Not graded.")
    grade = evidence.verdict.grade
    return message(
        "Grade by the plan's rule: {essa}. In the words of the What Works Clearinghouse (a rating of studies, no part "
        "of What Works Cities) the design {clearinghouse}. {because:sentences} Without a lottery deciding which cities "
        "take part, no finding here can be better than moderate.",
        essa=grade.essa,
        clearinghouse=grade.clearinghouse,
        because=grade.because,
    )


_FAMILIES: Final = {"residents": message("residents' lives"), "economy": message("the economy")}


def family(evidence: Evidence) -> str:
    """What the questions that are corrected together are about; a family of a researcher's own plan by its name."""
    return _FAMILIES.get(evidence.family, evidence.family)


def how_judged(evidence: Evidence) -> Message:
    """Which inference the interval rests on."""
    values = evidence.judged
    if values.get("std_error") is None:
        return message("No inference was possible.")
    told = {"draws": values["draws"], "p": p_value(values["lot_p_value"])}
    if values["basis"] == "lot":
        return message(
            "Two ways of judging chance were compared, and the more cautious counts: drawing the exposed places by lot "
            "gives the wider interval, and it is used here. By lot ({draws:,} draws) p = {p}.",
            **told,
        )
    return message(
        "Two ways of judging chance were compared, and the more cautious counts: errors clustered by county give the "
        "wider interval, and they are used here. By lot ({draws:,} draws) p = {p}.",
        **told,
    )


def smallest_visible(evidence: Evidence, outcome: Outcome) -> Message:
    """What the data could have shown at all."""
    value = evidence.judged.get("minimum_detectable_effect")
    if value is None:
        return message("What size of effect could have been seen is not known.")
    size = effect(value, outcome, signed=False)
    asked = evidence.adjusted.get("n_hypotheses") or 1
    if asked > 1:
        text = message(
            "A true effect of {size} would have been significant by itself four times in five, a smaller one less "
            "often; the verdict asks for more (the correction for {asked} questions and every check that decides), so "
            "that somewhat larger ones can be missed too.",
            size=size,
            asked=asked,
        )
    else:
        text = message(
            "A true effect of {size} would have been significant by itself four times in five, a smaller one less "
            "often; the verdict asks for more (every check that decides), so that somewhat larger ones can be missed "
            "too.",
            size=size,
        )
    if evidence.verdict is None or evidence.verdict.cause != "unreliable":
        return text
    doubt = message("That holds only if the comparison could be relied on.")
    return message("{parts:sentences}", parts=[text, doubt])


def not_to_claim(evidence: Evidence, outcome: Outcome, treatment: Treatment) -> list[Message]:
    """What no reader should say on the strength of the page."""
    lines = []
    if evidence.verdict is None or evidence.verdict.code in ("cannot_tell", "no_effect_larger"):
        lines += [
            message(
                "That {noun} brings {better}: the data do not show it.", noun=treatment.noun, better=outcome.better
            ),
            message(
                "That {noun} does nothing for {topic}: effects too small to be seen here remain possible.",
                noun=treatment.noun,
                topic=outcome.topic,
            ),
        ]
    elif _by_county(evidence):
        lines.append(message("That {noun} causes the difference: counties chose to take part.", noun=treatment.noun))
    else:
        lines.append(message("That {noun} causes the difference: cities chose to take part.", noun=treatment.noun))
    if outcome.is_award_condition and treatment.is_award:
        editions = (evidence.headline.estimate or {}).get("settings", {}).get("editions", [])
        used = (
            message("They are among the certified cities compared here.")
            if "v3" in editions
            else message("They are not among the certified cities compared here.")
        )
        lines.append(
            message(
                "Anything about cities first certified since August 2022: showing good results on such outcomes has "
                "since then been a condition of the award, so they would look better by rule. {used}",
                used=used,
            )
        )
    lines.append(message("Anything about a single city: the estimate is an average."))
    return lines
