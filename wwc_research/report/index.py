"""The index of a run: what the data say, question by question, in a minute.

In: evidence and failures by question, links to their pages. Out: text of one self-contained page with sort and filter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from markupsafe import Markup

from wwc_research import catalog
from wwc_research.catalog import Outcome
from wwc_research.evidence.evidence import Evidence
from wwc_research.evidence.questions import Question
from wwc_research.messages import Message, counted, message
from wwc_research.report import language, shell, wording
from wwc_research.report.page_work import Link
from wwc_research.report.sparkline import interval_mark, sparkline

FAILED: Final = "failed"
NOT_JUDGED: Final = "not_judged"
# in the order in which a reader wants to see them
VERDICTS: Final[Mapping[str, Message]] = {
    "improvement": message("Evidence of improvement"),
    "harm": message("Evidence of harm"),
    "no_effect_larger": message("No effect as large as planned"),
    "cannot_tell": message("Cannot tell"),
    NOT_JUDGED: message("Not judged"),
    FAILED: message("Failed"),
}


def index_html(
    questions: Sequence[Question],
    *,
    found: Mapping[Question, Evidence],
    failed: Mapping[str, str],
    links: Mapping[str, Sequence[Link]],
    also: Sequence[Link],
    language: str,
) -> str:
    """The index page: a sentence on the whole, then a row of verdict, size and certainty for each question.

    Parameters
    ----------
    failed
        One line of explanation by `Question.name`.
    links
        By `Question.name`, the pages of the question in this language, that for staff first.
    also
        The other pages of the run at the head of the page; files for programs (CSV, JSON) are named at its end.
    language
        `en`, `es` or `pt`.

    Raises
    ------
    InputError
        For a language that there is not.
    """
    with _speaking(language):
        return _index(questions, found=found, failed=failed, links=links, also=also)


def _index(
    questions: Sequence[Question],
    *,
    found: Mapping[Question, Evidence],
    failed: Mapping[str, str],
    links: Mapping[str, Sequence[Link]],
    also: Sequence[Link],
) -> str:
    treatments = [catalog.treatment(name) for name in dict.fromkeys(question.treatment for question in questions)]
    files = [link for link in also if is_file(link)]
    judged = {question: found[question] for question in questions if question.name not in failed}
    widest = scale(judged.values())
    rows = [
        failed_row(item, why=failed[item.name], links=links.get(item.name, ()))
        if item.name in failed
        else row(item, found[item], links=links.get(item.name, ()), scale_to=widest)
        for item in questions
    ]
    codes = {one["code"] for one in rows}
    page = shell.surroundings(
        title=message("{names:list}, and residents' lives", names=[one.title for one in treatments]),
        links=[link for link in also if not is_file(link)],
        script=shell.script("index.js"),
    )
    return shell.render(
        "index.html.j2",
        page=page,
        summary=[shown(text) for text in summary(judged, failed=failed)],
        verdicts={code: shown(text) for code, text in VERDICTS.items() if code in codes},
        treatments=[
            {"name": one.name, "title": shown(one.title), "description": shown(one.description)} for one in treatments
        ],
        rows=rows,
        plan=shown(next((one.plan_status.get("sentence", "") for one in judged.values()), "")),
        files=files,
    )


def is_file(link: Link) -> bool:
    """Whether a link goes to a file for programs."""
    return link.href.endswith((".csv", ".json"))


def scale(found: Iterable[Evidence]) -> float:
    """How far the marks of all rows reach, in multiples of each outcome's smallest effect of interest; 4 at most."""
    ends = [
        abs(one.judged[name]) / one.minimum_effect_of_interest
        for one in found
        if one.judged.get("std_error") is not None
        for name in ("ci_low", "ci_high")
    ]
    return min(max([1.5, *ends]), 4.0)


def row(question: Question, evidence: Evidence, *, links: Sequence[Link] = (), scale_to: float = 4.0) -> dict[str, Any]:
    """What the index shows of one answered question, said in the language that is spoken.

    Parameters
    ----------
    scale_to
        Reach of the drawn interval, in multiples of the smallest effect of interest.
    """
    outcome, treatment = catalog.outcome(question.outcome), catalog.treatment(question.treatment)
    values = evidence.judged
    code = evidence.verdict.code if evidence.verdict else NOT_JUDGED
    return {
        **_named(question, links=links, code=code),
        "verdict": shown(wording.verdict_title(evidence, outcome)),
        "sentence": shown(wording.headline_sentence(evidence, outcome, treatment)),
        "failed_in_english": False,
        **(_sizes(evidence, outcome, scale_to=scale_to) if values.get("std_error") is not None else _NO_SIZES),
        "sparkline": _gap_line(evidence, outcome),
        "p": shown(wording.p_value(evidence.family_p_value)),
        "p_key": _key(evidence.family_p_value),
        "q": shown(wording.p_value(evidence.q_value)),
        "q_key": _key(evidence.q_value),
    }


_NO_SIZES: Final = {"estimate": "", "interval": "", "estimate_key": "", "smallest": "", "interval_mark": ""}


def failed_row(question: Question, *, why: str, links: Sequence[Link] = ()) -> dict[str, Any]:
    """What the index shows of a question without an answer: the reason, marked as English where it is."""
    is_foreign = not isinstance(why, Message) and _here() != "en"
    return {
        **_named(question, links=links, code=FAILED),
        "verdict": shown(VERDICTS[FAILED]),
        "sentence": shown(why) if isinstance(why, Message) else why,
        "failed_in_english": is_foreign,
        **_NO_SIZES,
        "sparkline": "",
        "p": "–",
        "p_key": "",
        "q": "–",
        "q_key": "",
    }


def _named(question: Question, *, links: Sequence[Link], code: str) -> dict[str, Any]:
    return {
        "code": code,
        "rank": list(VERDICTS).index(code),
        "treatment": question.treatment,
        "title": shown(catalog.outcome(question.outcome).title),
        "treatment_title": shown(catalog.treatment(question.treatment).title),
        "links": tuple(links),
    }


def _sizes(evidence: Evidence, outcome: Outcome, *, scale_to: float) -> dict[str, Any]:
    values, unit = evidence.judged, evidence.minimum_effect_of_interest
    low, high, best = (values[name] for name in ("ci_low", "ci_high", "estimate"))
    spread = message("{low} to {high}", low=wording.bare_effect(low, outcome), high=wording.bare_effect(high, outcome))
    return {
        "estimate": shown(wording.effect(best, outcome)),
        "interval": shown(spread),
        # units differ: rows are drawn and sorted in multiples of each outcome's smallest effect of interest
        "estimate_key": _key(best / unit),
        "smallest": shown(wording.effect(values["minimum_detectable_effect"], outcome, signed=False)),
        "interval_mark": interval_mark(
            best / unit, low / unit, high / unit, limit=1.0, scale_to=scale_to, label=spread
        ),
    }


def gaps(evidence: Evidence) -> dict[int, float | None]:
    """By year, how far the mean of the exposed lies from that of the others, in the outcome's own unit.

    None stands for a year between the first and the last in which one of the two is not known.
    """
    groups = list(dict.fromkeys(one["group"] for one in evidence.trends))
    if len(groups) < 2:
        return {}
    exposed, others = ({one["year"]: one["mean"] for one in evidence.trends if one["group"] == g} for g in groups[:2])
    known = [year for year in exposed.keys() & others.keys() if exposed[year] is not None and others[year] is not None]
    if not known:
        return {}
    years = range(min(known), max(known) + 1)
    return {year: exposed[year] - others[year] if year in known else None for year in years}


def _gap_line(evidence: Evidence, outcome: Outcome) -> str:
    """The gap by year as a line, with its first and last value in words; empty where it is known for one year only."""
    found = gaps(evidence)
    if len(found) < 2:
        return ""
    first, last = min(found), max(found)
    label = message(
        "{first} in {first_year}, {last} in {last_year}",
        first=wording.effect(found[first], outcome),
        first_year=first,
        last=wording.effect(found[last], outcome),
        last_year=last,
    )
    span = message("{first}–{last}", first=first, last=last)
    better = message("{years}; lower is better", years=span) if outcome.direction == "lower" else span
    years = Markup('<span class="under">{}</span>').format(shown(better))
    values = list(found.values())
    # with zero on every scale a gap that only shrinks cannot look like a lead that grows
    known = [value for value in values if value is not None]
    low, high = min(0.0, *known), max(0.0, *known)
    line = sparkline(values, label=label, low=low, high=high) if low < high else sparkline(values, label=label)
    return line + years


def _key(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.6g}"


def _here() -> str:
    return language.current().code


def summary(found: Mapping[Question, Evidence], *, failed: Mapping[str, str]) -> list[Message]:
    """How many questions ended with which verdict, then what was found, then what failed."""
    codes = [evidence.verdict.code if evidence.verdict else NOT_JUDGED for evidence in found.values()]
    counts = {code: codes.count(code) for code in VERDICTS if code in codes}
    parts = [message("{n:,} “{verdict}”", n=count, verdict=VERDICTS[code]) for code, count in counts.items()]
    n_asked = len(found) + len(failed)
    lines = [
        counted(
            "Of {n:,} question asked: {parts:list}.", "Of {n:,} questions asked: {parts:list}.", n=n_asked, parts=parts
        )
        if parts
        else counted("{n:,} question was asked.", "{n:,} questions were asked.", n=n_asked)
    ]
    lines += _findings(found)
    if failed:
        lines.append(
            counted(
                "{n:,} could not be analysed and is marked below.",
                "{n:,} could not be analysed and are marked below.",
                n=len(failed),
            )
        )
    return lines


def _findings(found: Mapping[Question, Evidence]) -> Iterable[Message]:
    """The questions with a finding, by name; or that there is none."""
    named: dict[str, list[Message]] = {}
    for question, evidence in found.items():
        if evidence.verdict is not None:
            named.setdefault(evidence.verdict.code, []).append(
                message(
                    "{outcome} ({treatment})",
                    outcome=catalog.outcome(question.outcome).title,
                    treatment=catalog.treatment(question.treatment).title,
                )
            )
    if "improvement" in named:
        yield message("Evidence of improvement: {names:list}.", names=named["improvement"])
    if "harm" in named:
        yield message("Evidence of harm: {names:list}.", names=named["harm"])
    if found and not {"improvement", "harm"} & named.keys():
        yield message("Nowhere do the data show improvement or harm that can be relied on.")
    doubtful = [evidence for evidence in found.values() if _shows_but_is_not_relied_on(evidence)]
    if doubtful:
        yield counted(
            "In {n} question a difference shows, but the comparison behind it did not pass every deciding check.",
            "In {n} questions a difference shows, but the comparisons behind it did not pass every deciding check.",
            n=len(doubtful),
        )


def _shows_but_is_not_relied_on(evidence: Evidence) -> bool:
    size, p_value = evidence.rules.get("size"), evidence.family_p_value
    is_open = evidence.verdict is not None and evidence.verdict.code == "cannot_tell"
    return is_open and size is not None and p_value is not None and p_value < size


shown = language.shown
_speaking = language.speaking

__all__ = ["VERDICTS", "failed_row", "gaps", "index_html", "is_file", "row", "scale", "summary"]
