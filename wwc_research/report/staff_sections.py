"""The parts of an outcome page for programme staff: two screens, plain words, no term without its meaning.

In: evidence. Out: a Block each, nothing computed but sizes in the reader's units.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from wwc_research import catalog
from wwc_research.catalog import Outcome, Treatment
from wwc_research.evidence.evidence import Evidence
from wwc_research.messages import Message, message
from wwc_research.report import html, plots, sections, wording
from wwc_research.report.html import Block

# what an unmet condition means, in words that need no statistics
UNMET: Final = {
    "pre_trends": message("The two groups were already moving differently before, so the comparison is not fair."),
    "treated_clusters": message("Too few places take part, so that a few of them decide the result."),
    "balance": message("No group of other cities alike enough could be found for a cross-check."),
    "one_unit": message("The result hangs on one single place."),
    "calibration": message("Tried on places where nothing had happened, the method finds effects too often."),
    "placebo_dates": message("A difference shows at made-up earlier dates too, when nothing had begun yet."),
    "anticipation": message("A difference shows in the years just before the start already."),
    "overlap": message("Some of the places that take part have no similar place to be compared with."),
}
OPEN: Final = {
    "pre_trends": message("There are too few years before the start to see whether the groups moved alike."),
    "treated_clusters": message("It is not known on how many places the result rests."),
    "direction": message("It is not known whether other ways of asking agree."),
    "balance": message("No group of similar cities could be formed as a cross-check."),
    "one_unit": message("It is not known whether the result hangs on one single place."),
    "calibration": message("How often the method finds effects where there are none could not be tried."),
}
MET: Final = {
    "pre_trends": message("No clear sign that the two groups moved differently in the years before."),
    "treated_clusters": message("Enough places take part."),
    "direction": message("Other reasonable ways of asking point the same way."),
    "balance": message(
        "A group of other cities alike in size, income and composition could be found as a cross-check; the main "
        "estimate uses all cities."
    ),
    "one_unit": message("The result does not hang on one single place."),
    "calibration": message(
        "Tried on places where nothing had happened, the method finds effects about as seldom as it should."
    ),
}
ALSO: Final = ("placebo_dates", "anticipation", "overlap")  # told where they failed, though they do not decide
STEPS: Final = (
    message("We cannot tell"),
    message("A first sign"),
    message("Moderately sure"),
    message("Very sure: only a lottery could show it"),
)


def _entries(evidence: Evidence) -> tuple[Outcome, Treatment]:
    return catalog.outcome(evidence.outcome), catalog.treatment(evidence.treatment)


def answer(evidence: Evidence) -> Block:
    """Title, the sentence to quote, and its size in a city that can be pictured."""
    outcome, _ = _entries(evidence)
    parts = [sections.title_and_answer(evidence)]
    if _is_known(evidence):
        size = html.paragraph(in_a_city(evidence.judged, outcome))
        parts.append(_part("how-big", html.heading(message("How big")), size))
    return html.joined(parts)


def _part(name: str, *inside: Block) -> Block:
    """A part of the page, which the styles may set beside another one."""
    return html.block('<section class="part {name}">{inside}</section>', name=name, inside=html.joined(inside))


def _is_known(evidence: Evidence) -> bool:
    return evidence.judged.get("std_error") is not None


def in_a_city(values: Mapping[str, float], outcome: Outcome) -> Message:
    """The estimate and its interval as numbers of things in a city that can be pictured.

    Parameters
    ----------
    values
        `estimate`, `ci_low` and `ci_high` in the unit of the outcome.
    """
    best, low, high = (_in_city(values[key], outcome) for key in ("estimate", "ci_low", "ci_high"))
    return message(
        "The best estimate means {best} {base}. The figures fit anything from {low} to {high}.",
        best=_more_or_fewer(best, outcome),
        base=outcome.city_base,
        low=_more_or_fewer(low, outcome),
        high=_more_or_fewer(high, outcome),
    )


def _in_city(value: float, outcome: Outcome) -> float:
    """An effect as a number of things in the city that is pictured; one on a logarithm is a growth first."""
    return outcome.city_factor * (math.expm1(value) if outcome.transform == "log" else value)


def _more_or_fewer(value: float, outcome: Outcome) -> Message:
    """`about 480 more connected households`; two significant digits, since more would not be honest."""
    size = abs(value)
    rounded = round(size, 1 - math.floor(math.log10(size))) if size >= 1 else round(size, 1)
    number = wording.number(rounded, decimals=0 if rounded >= 1 else 1)
    if rounded == 0:
        return message("no difference in {thing}", thing=outcome.city_thing)
    if value > 0:
        return message("about {number} more {thing}", number=number, thing=outcome.city_thing)
    return message("about {number} fewer {thing}", number=number, thing=outcome.city_thing)


def picture(evidence: Evidence) -> Block:
    """One picture: the figures of both groups by year as published, or the estimate where there are none."""
    outcome, _ = _entries(evidence)
    if evidence.trends:
        return _part("picture-part", html.heading(message("Both groups, year by year")), _by_year(evidence))
    if not _is_known(evidence):
        return html.block("")
    drawn = [{"title": evidence.headline.title, "is_headline": True, **evidence.judged}]
    axes = plots.estimates([wording.row_in_unit(row, outcome) for row in drawn], scale=1.0, unit=outcome.unit)
    text = message(
        "The best estimate is {best}; the figures fit anything from {spread}.",
        best=wording.effect(evidence.judged["estimate"], outcome),
        spread=wording.interval(evidence.judged, outcome),
    )
    caption = message("The difference between the groups, and the range that fits the figures. Zero is no difference.")
    drawing = html.figure(axes, alt=text, caption=caption)
    return _part("picture-part", html.heading(message("The difference in a picture")), drawing)


def _by_year(evidence: Evidence) -> Block:
    outcome, _ = _entries(evidence)
    told = [
        message("What is measured: {noun}.", noun=outcome.noun),
        message(
            "Each line is the average of one group, over the places that have a figure for every year shown. Nothing "
            "is done here to make the groups alike."
        ),
    ]
    if sections.has_survey_errors(evidence):
        told.append(message("The shading shows how far an average may be off because surveys ask only some people."))
    columns = {
        "year": message("Year"),
        "group": message("Group"),
        "mean": message("Average"),
        "n_units": message("Number of places"),
    }
    caption = message("{parts:sentences}", parts=told)
    # small, so that its letters are still large beside a column of text
    return sections.means_by_year(evidence, caption=caption, columns=columns, width=5.4, height=3.3)


def how_sure(evidence: Evidence) -> Block:
    """How sure on a scale of four steps, the conditions met and not met, and what could not have been seen."""
    outcome, _ = _entries(evidence)
    strength = evidence.verdict.grade.strength if evidence.verdict else "none"
    here = {"none": 0, "promising": 1, "moderate": 2}[strength]
    steps = html.joined(
        [
            html.block(
                '<li aria-current="true"><strong>{step}</strong></li>' if index == here else "<li>{step}</li>",
                step=step,
            )
            for index, step in enumerate(STEPS)
        ]
    )
    scale = html.block('<ol class="sure" aria-label="{label}">{steps}</ol>', label=message("How sure"), steps=steps)
    good, bad = _for_and_against(evidence)
    parts = [html.heading(message("How sure, and why")), scale]
    reason = _reason(evidence)
    parts += [html.paragraph(reason)] if reason else []
    cards = [(message("What speaks for the comparison"), good), (message("What speaks against it or is open"), bad)]
    inside = html.joined([_card(title, lines) for title, lines in cards if lines])
    parts += [html.block('<div class="cards">{inside}</div>', inside=inside)] if good or bad else []
    parts += [html.paragraph(not_seen(evidence, outcome))] if _is_known(evidence) else []
    return _part("sureness", *parts)


def _for_and_against(evidence: Evidence) -> tuple[list[Message], list[Message]]:
    """What the deciding checks, and the few others that a reader must know of, say for and against the comparison."""
    checks = {check.name: check for check in evidence.checks}
    few = "treated_clusters" in checks and checks["treated_clusters"].result != "passed"
    good, bad = [], []
    for name in (*evidence.rules.get("gates", ()), *ALSO):
        check = checks.get(name)
        if check is None:
            continue
        if check.result == "failed" and name == "direction":
            bad.append(message("Other reasonable ways of asking do not all agree. {counts}", counts=check.sentence))
        elif check.result == "failed" and name in UNMET:
            bad.append(UNMET[name])
        elif check.result == "cannot_tell" and name in OPEN:
            bad.append(OPEN[name])
        # where few places decide, that no single one does is no comfort
        elif check.result == "passed" and name in MET and not (name == "one_unit" and few):
            good.append(MET[name])
    return good, bad


def _card(title: Message, lines: list[Message]) -> Block:
    return html.block(
        '<section class="card">{title}{lines}</section>', title=html.heading(title, level=3), lines=html.bullets(lines)
    )


def _reason(evidence: Evidence) -> Message | None:
    verdict = evidence.verdict
    if verdict is None or not _is_known(evidence):
        return message("The public figures do not allow an answer at all.")
    failed = {check.name for check in evidence.checks if check.result != "passed"}
    if verdict.cause == "imprecise" and failed & set(evidence.rules.get("gates", ())):
        return message(
            "The comparison passed the tests that it takes to rule a difference out, not all that it takes to claim "
            "one; and it is too coarse: the figures fit no difference at all as well as differences large enough to "
            "matter."
        )
    if verdict.cause == "imprecise":
        return message(
            "The comparison is sound as far as we could test it, but too coarse: the figures fit no difference at all "
            "as well as differences large enough to matter."
        )
    if verdict.cause == "unreliable":
        return message("The comparison did not pass every test that we set for it in advance.")
    if verdict.code == "no_effect_larger":
        return message("Every size that would matter lies outside the range that fits the figures.")
    return message("The comparison passed every test that we set for it in advance.")


def not_seen(evidence: Evidence, outcome: Outcome) -> Message:
    """The smallest effect that would probably have been seen, in the outcome's unit and in a city: power 80 %."""
    smallest = evidence.judged["minimum_detectable_effect"]
    return message(
        "What we could have seen: a true difference of {size} would have stood out four times in five. That is {thing} "
        "{base}. Smaller ones easily escape us.",
        size=wording.effect(smallest, outcome, signed=False),
        thing=_amount(_in_city(smallest, outcome), outcome),
        base=outcome.city_base,
    )


def _amount(value: float, outcome: Outcome) -> Message:
    rounded = round(value, 1 - math.floor(math.log10(value))) if value >= 1 else round(value, 1)
    return message(
        "about {number} {thing}",
        number=wording.number(rounded, decimals=0 if rounded >= 1 else 1),
        thing=outcome.city_thing,
    )


def not_to_claim(evidence: Evidence) -> Block:
    """What no reader should say on the strength of the page."""
    outcome, treatment = _entries(evidence)
    lines = wording.not_to_claim(evidence, outcome, treatment)
    return _part("claims", html.heading(message("What not to claim")), html.bullets(lines))


def change_of_mind(evidence: Evidence) -> Block:
    """What would change the answer, by what stands in its way."""
    outcome, treatment = _entries(evidence)
    results = {check.name: check.result for check in evidence.checks}
    lines = []
    smallest = evidence.judged.get("minimum_detectable_effect")
    if smallest is not None and evidence.verdict is not None and evidence.verdict.code == "cannot_tell":
        lines.append(
            message(
                "More cities. With four times as many, all else alike, a difference of {half} instead of {now} would "
                "probably be seen.",
                half=wording.effect(smallest / 2, outcome, signed=False),
                now=wording.effect(smallest, outcome, signed=False),
            )
        )
    if results.get("pre_trends") == "failed":
        lines.append(message("Other cities to compare with, that moved alike in the years before."))
    if results.get("balance") == "failed":
        lines.append(message("Figures on cities that are more alike, or on more of their characteristics."))
    if outcome.geography == "county":
        lines.append(message("Figures for the cities themselves: those used here belong to whole counties."))
    if evidence.verdict is not None and evidence.verdict.code in ("improvement", "harm"):
        lines.append(message("The same difference missing in later years, or in cities that join from now on."))
    if evidence.verdict is not None and evidence.verdict.code == "no_effect_larger":
        lines.append(message("A difference that shows in later years, longer after the start than we can see now."))
    if treatment.known_through is not None:
        lines.append(
            message("Dates of what began after {year}, so that later years count too.", year=treatment.known_through)
        )
    if treatment.is_award:
        lines += [
            message(
                "The names and scores of cities that narrowly failed: they are the fairest comparison there could be."
            ),
            message("Support given by lottery among cities that apply: nothing else can show cause for certain."),
        ]
    return _part("changes", html.heading(message("What would change our mind")), html.bullets(lines))


def about(evidence: Evidence) -> Block:
    """Who was compared, from which figures, and what the words mean."""
    outcome, treatment = _entries(evidence)
    values = evidence.headline.estimate
    parts = [html.heading(message("About this page"))]
    if values:
        first, last = wording.years_analysed(evidence, treatment)
        parts.append(
            html.paragraph(
                message(
                    "{n_treated} {exposed} were compared with others, {n_units} in all, over {first} to {last}.",
                    n_treated=wording.count(values["n_treated"]),
                    exposed=wording.exposed_units(evidence, treatment),
                    n_units=wording.count(values["n_units"]),
                    first=first,
                    last=last,
                )
            )
        )
    if not evidence.trends:
        parts.append(html.paragraph(message("What is measured: {noun}.", noun=outcome.noun)))
    terms = [
        (
            message("The range that fits the figures"),
            message("An interval made so that, in 95 of 100 such studies, it holds the true difference."),
        ),
        (
            message("Points"),
            message(
                "Percentage points: from 80 % to 81 % is one point, whatever is counted and whatever the start was."
            ),
        ),
        (
            message("A difference is no proof of cause"),
            message("Cities choose to take part, and those that do may have been on another path already."),
        ),
    ]
    shown = [term for term in terms if str(term[0]) != "Points" or outcome.unit == "percentage points"]
    rows = html.joined([html.block("<dt>{term}</dt><dd>{meaning}</dd>", term=t, meaning=m) for t, m in shown])
    parts.append(html.block('<dl class="gloss">{rows}</dl>', rows=rows))
    return _part("about", *parts)


__all__ = ["about", "answer", "change_of_mind", "how_sure", "in_a_city", "not_seen", "not_to_claim", "picture"]
