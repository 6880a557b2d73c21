"""The index of a run: what the data say, question by question, in a minute.

In: evidence and failures by question. Out: text of one self-contained page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources

import jinja2
from markupsafe import Markup

from wwc_research import __version__, catalog
from wwc_research.evidence.evidence import Evidence
from wwc_research.evidence.questions import Question
from wwc_research.report import page, wording


def index_html(questions: Sequence[Question], *, found: Mapping[Question, Evidence], failed: Mapping[str, str]) -> str:
    """The index page: a table of verdicts for each treatment, the sentence of each question, and what failed.

    Parameters
    ----------
    failed
        One line of explanation by `Question.name`.
    """
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        resources.files(__package__).joinpath("templates", "index.html.j2").read_text(encoding="utf-8")
    )
    treatments = dict.fromkeys(question.treatment for question in questions)
    groups = [
        {
            "name": name,
            "title": catalog.treatment(name).title,
            "description": catalog.treatment(name).description,
            "rows": [_row(item, found=found, failed=failed) for item in questions if item.treatment == name],
        }
        for name in treatments
    ]
    titles = " and ".join(str(group["title"]) for group in groups)
    shown = [found[question] for question in questions if question.name not in failed]
    return template.render(
        title=f"{titles}, and residents' lives",
        question="Do outcomes for residents differ between the cities that have it and the others?",
        summary=summary(shown, failed=failed),
        plan=shown[0].plan_status.get("sentence", "") if shown else "",
        groups=groups,
        css=Markup(page.css()),
        version=__version__,
    )


def _row(question: Question, *, found: Mapping[Question, Evidence], failed: Mapping[str, str]) -> dict[str, str]:
    outcome, treatment = catalog.outcome(question.outcome), catalog.treatment(question.treatment)
    name = question.name.replace("/", "-")
    if question.name in failed:
        return {"name": name, "title": outcome.title, "failed": failed[question.name]}
    evidence = found[question]
    values = evidence.judged
    numbers = {"estimate": "–", "interval": "–", "smallest": "–", "unit": outcome.unit}
    if values.get("std_error") is not None:
        numbers = {
            "unit": outcome.unit,
            "estimate": wording.bare_effect(values["estimate"], outcome),
            "interval": f"{wording.bare_effect(values['ci_low'], outcome)} to "
            f"{wording.bare_effect(values['ci_high'], outcome)}",
            "smallest": wording.bare_effect(values["minimum_detectable_effect"], outcome).removeprefix("+"),
        }
    return {
        "name": name,
        "title": outcome.title,
        "failed": "",
        "file": f"{question.name}.html",
        "verdict": wording.verdict_title(evidence, outcome),
        "q_value": wording.p_value(evidence.q_value),
        "family_p_value": wording.p_value(evidence.family_p_value),
        "sentence": wording.headline_sentence(evidence, outcome, treatment),
        **numbers,
    }


def summary(found: Sequence[Evidence], *, failed: Mapping[str, str]) -> str:
    """How many questions ended with which verdict, in one sentence or two."""
    counts: dict[str, int] = {}
    for evidence in found:
        said = wording.VERDICT_COUNTED[evidence.verdict.code] if evidence.verdict else "not judged"
        counts[said] = counts.get(said, 0) + 1
    listed = ", ".join(f"{count} “{said}”" for said, count in counts.items()) or "none judged"
    text = f"Of {len(found) + len(failed)} questions asked: {listed}."
    if failed:
        text += (
            f" {len(failed)} could not be analysed and is marked below."
            if len(failed) == 1
            else (f" {len(failed)} could not be analysed and are marked below.")
        )
    return text
