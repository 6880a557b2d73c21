"""The treatments side by side, outcome by outcome, and why their effects cannot be ranked against each other.

In: evidence and failures by question. Out: text of one self-contained page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes

from wwc_research import catalog
from wwc_research.catalog import Outcome, Treatment
from wwc_research.evidence.evidence import Evidence
from wwc_research.evidence.questions import Question
from wwc_research.messages import Message, message
from wwc_research.report import html, shell, wording
from wwc_research.report import language as languages
from wwc_research.report.html import Block
from wwc_research.report.page_work import Link
from wwc_research.report.plots import BLUE, GREY, INK, STYLE, plt


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One treatment in the comparison on one outcome: its evidence, or why there is none."""

    treatment: Treatment
    evidence: Evidence | None
    failed: str = ""

    @property
    def is_drawn(self) -> bool:
        """Whether there is an estimate with an interval."""
        return self.evidence is not None and self.evidence.judged.get("std_error") is not None


def comparison_html(
    questions: Sequence[Question],
    *,
    found: Mapping[Question, Evidence],
    failed: Mapping[str, str],
    links: Sequence[Link],
    language: str,
) -> str:
    """The page: for each outcome a figure and a table with every treatment that the run asks about.

    Parameters
    ----------
    failed
        One line of explanation by `Question.name`.
    links
        At the head of the page.
    language
        `en`, `es` or `pt`.

    Raises
    ------
    InputError
        For a language that there is not.
    """
    treatments = [catalog.treatment(name) for name in dict.fromkeys(question.treatment for question in questions)]
    with languages.speaking(language):
        parts = []
        for name in dict.fromkeys(question.outcome for question in questions):
            parts += _part(name, entries(name, treatments, found=found, failed=failed))
        parts += [html.heading(message("What is compared")), _definitions(treatments)]
        title = message("Side by side: {names:list}", names=[one.title for one in treatments])
        return shell.render(
            "plain.html.j2",
            page=shell.surroundings(title=title, links=links),
            kicker=shell.say("What goes with better outcomes for residents, outcome by outcome?"),
            lead=languages.shown(no_ranking()),
            body=html.joined(parts).html,
        )


def entries(
    outcome: str,
    treatments: Sequence[Treatment],
    *,
    found: Mapping[Question, Evidence],
    failed: Mapping[str, str],
) -> list[Entry]:
    """Every treatment for one outcome, in order; one that was not asked about has neither evidence nor a failure."""
    made = []
    for treatment in treatments:
        question = Question(treatment=treatment.name, outcome=outcome)
        why = failed.get(question.name, "")
        made.append(Entry(treatment=treatment, evidence=None if why else found.get(question), failed=why))
    return made


def no_ranking() -> Message:
    """Why the effects of two treatments must not be ranked."""
    return message(
        "Do not rank these against each other: each is judged on other cities, other years and other dates of "
        "beginning, so that a larger number for one does not show that it does more. No difference between them is "
        "tested here."
    )


def _part(name: str, found: Sequence[Entry]) -> list[Block]:
    outcome = catalog.outcome(name)
    parts = [html.heading(outcome.title)]
    drawn = [one for one in found if one.is_drawn]
    if drawn:
        caption = message(
            "{outcome}: best estimate and 95 % interval of each, in {unit}; the dotted lines are the smallest effect "
            "that the plan calls of interest.",
            outcome=outcome.title,
            unit=outcome.unit,
        )
        parts.append(html.figure(forest(drawn, outcome), alt=_alt(drawn, outcome), caption=caption))
    parts += [_table(found, outcome), *_missing(found)]
    return parts


def forest(drawn: Sequence[Entry], outcome: Outcome) -> Axes:
    """A dot and its 95 % interval for each treatment, in the outcome's unit, one below the other."""
    shown = languages.shown
    with mpl.rc_context(STYLE):
        _, axes = plt.subplots(figsize=(7.2, 0.95 + 0.5 * len(drawn)), layout="constrained")
    axes.axvline(0, color=INK, linewidth=0.9)
    limits = {one.evidence.minimum_effect_of_interest for one in drawn if one.evidence}
    for limit in limits if len(limits) == 1 else ():
        for end in (-limit, limit):
            axes.axvline(wording.in_unit(end, outcome), color=GREY, linewidth=0.9, linestyle=":")
    for at, one in enumerate(drawn):
        values = one.evidence.judged if one.evidence else {}
        low, best, high = (wording.in_unit(values[key], outcome) for key in ("ci_low", "estimate", "ci_high"))
        axes.plot([low, high], [at, at], color=BLUE, linewidth=1.8, solid_capstyle="butt")
        axes.plot([best], [at], "o", color=BLUE, markersize=6.5)
        label = shown(wording.bare_effect(values["estimate"], outcome))
        axes.annotate(label, (best, at), xytext=(0, 7), textcoords="offset points", ha="center", fontsize=9)
    axes.set_yticks(range(len(drawn)), [_wrapped(shown(one.treatment.title)) for one in drawn])
    axes.set_ylim(len(drawn) - 0.5, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", visible=False)
    axes.grid(axis="x", visible=True)
    axes.xaxis.set_major_formatter(lambda value, _: languages.localised(f"{value:g}"))
    axes.set_xlabel(shown(message("Difference, {unit}", unit=outcome.unit)))
    axes.spines["left"].set_visible(False)
    return axes


def _wrapped(text: str) -> str:
    """A label over as many lines as it needs beside the picture."""
    from textwrap import fill

    return fill(text, 26)


def _alt(drawn: Sequence[Entry], outcome: Outcome) -> Message:
    """What the figure shows: every estimate with its interval, and what includes zero."""
    said = [
        message(
            "{treatment}: {estimate}, from {low} to {high}",
            treatment=one.treatment.title,
            estimate=wording.effect(one.evidence.judged["estimate"], outcome),
            low=wording.bare_effect(one.evidence.judged["ci_low"], outcome),
            high=wording.bare_effect(one.evidence.judged["ci_high"], outcome),
        )
        for one in drawn
        if one.evidence
    ]
    away = [one.treatment.title for one in drawn if one.evidence and _leaves_out_zero(one.evidence)]
    if not away:
        return message("Every interval includes zero. {parts:semicolons}.", parts=said)
    return message("The interval does not include zero for {names:list}. {parts:semicolons}.", names=away, parts=said)


def _leaves_out_zero(evidence: Evidence) -> bool:
    return bool(evidence.judged["ci_low"] > 0 or evidence.judged["ci_high"] < 0)


def _table(found: Sequence[Entry], outcome: Outcome) -> Block:
    rows = [_row(one, outcome) for one in found]
    columns = {
        "treatment": message("Practice or award"),
        "verdict": message("Verdict"),
        "estimate": message("Best estimate"),
        "interval": message("95 % interval"),
        "p": message("p, corrected"),
        "exposed": message("Exposed"),
        "cohorts": message("First exposed"),
        "years": message("Years of figures"),
    }
    caption = message("{outcome}, in {unit}", outcome=outcome.title, unit=outcome.unit)
    return html.table(rows, caption=caption, columns=columns, name=f"comparison_{outcome.name}")


def _row(one: Entry, outcome: Outcome) -> dict[str, Any]:
    empty = dict.fromkeys(("estimate", "interval", "p", "exposed", "cohorts", "years"), message("–"))
    evidence = one.evidence
    if evidence is None:
        verdict = message("Not analysed") if one.failed else message("Not asked")
        return {"treatment": one.treatment.title, "verdict": verdict, **empty}
    row = {
        "treatment": one.treatment.title,
        "verdict": _verdict(evidence, outcome),
        **empty,
        "p": wording.p_value(evidence.family_p_value),
        "exposed": _exposed(evidence),
        "cohorts": _span([cohort["cohort"] for cohort in evidence.cohorts]),
        "years": _span([trend["year"] for trend in evidence.trends]),
    }
    if one.is_drawn:
        low, high = (wording.bare_effect(evidence.judged[key], outcome) for key in ("ci_low", "ci_high"))
        row["estimate"] = wording.bare_effect(evidence.judged["estimate"], outcome)
        row["interval"] = message("{low} to {high}", low=low, high=high)
    return row


def _verdict(evidence: Evidence, outcome: Outcome) -> Message:
    """The verdict, and where nothing can be told why."""
    title = wording.verdict_title(evidence, outcome)
    cause = evidence.verdict.cause if evidence.verdict else ""
    if cause == "unreliable":
        return message("{verdict}: the comparison cannot be relied on", verdict=title)
    return message("{verdict}: too coarse", verdict=title) if cause == "imprecise" else title


def _exposed(evidence: Evidence) -> Message:
    """How many units are exposed, and what they are."""
    values = evidence.headline.estimate
    if values is None or values.get("n_treated") is None:
        return message("–")
    if values.get("settings", {}).get("unit") == "county":
        return message("{n:,} counties", n=values["n_treated"])
    return message("{n:,} cities", n=values["n_treated"])


def _span(years: Sequence[int]) -> Message:
    return message("{first}–{last}", first=min(years), last=max(years)) if years else message("–")


def _missing(found: Sequence[Entry]) -> list[Block]:
    """A sentence for each treatment without an estimate."""
    parts = []
    for one in found:
        title = one.treatment.title
        if one.failed:
            said = message("{treatment} is missing here, because it could not be analysed:", treatment=title)
            reason = html.block("{why}", why=one.failed)
            if not isinstance(one.failed, Message):
                reason = html.block('<span lang="en">{why}</span>', why=one.failed)
            parts.append(html.block("<p>{said} {reason}</p>", said=said, reason=reason))
        elif one.evidence is None:
            parts.append(
                html.paragraph(message("{treatment} is missing here: the run did not ask about it.", treatment=title))
            )
        elif not one.is_drawn:
            text = message("{treatment} has no interval here, so that nothing is drawn for it.", treatment=title)
            parts.append(html.paragraph(text))
    return parts


def _definitions(treatments: Sequence[Treatment]) -> Block:
    rows = [
        html.block("<dt>{title}</dt><dd>{description}</dd>", title=one.title, description=one.description)
        for one in treatments
    ]
    return html.block('<dl class="gloss">{rows}</dl>', rows=html.joined(rows))


__all__ = ["Entry", "comparison_html", "entries", "forest", "no_ranking"]
