"""The index of a run: what the data say, outcome by outcome, in a minute.

In: evidence by outcome, failures by outcome. Out: text of one self-contained page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources

import jinja2
from markupsafe import Markup

from wwc_research import __version__, catalog
from wwc_research.catalog import Treatment
from wwc_research.evidence.evidence import Evidence
from wwc_research.report import page, wording


def index_html(
    outcomes: Sequence[str],
    *,
    found: Mapping[str, Evidence],
    failed: Mapping[str, str],
    treatment: Treatment,
) -> str:
    """The index page: a table of verdicts, the sentence of each outcome, and what failed."""
    template = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        resources.files(__package__).joinpath("templates", "index.html.j2").read_text(encoding="utf-8")
    )
    rows = [_row(name, found=found, failed=failed, treatment=treatment) for name in outcomes]
    return template.render(
        title=f"{treatment.title} and residents' lives",
        question=f"Do outcomes for residents differ where there is {treatment.title}?",
        summary=summary([found[name] for name in outcomes if name in found and name not in failed], failed=failed),
        rows=rows,
        css=Markup(page.css()),
        version=__version__,
    )


def _row(
    name: str, *, found: Mapping[str, Evidence], failed: Mapping[str, str], treatment: Treatment
) -> dict[str, str]:
    outcome = catalog.outcome(name)
    if name in failed:
        return {"name": name, "title": outcome.title, "failed": failed[name]}
    evidence = found[name]
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
        "file": f"{name}.html",
        "verdict": wording.VERDICT_TITLES[evidence.verdict.code] if evidence.verdict else "Not judged",
        "q_value": wording.p_value(evidence.q_value),
        "sentence": wording.headline_sentence(evidence, outcome, treatment),
        **numbers,
    }


def summary(found: Sequence[Evidence], *, failed: Mapping[str, str]) -> str:
    """How many outcomes ended with which verdict, in one sentence or two."""
    counts: dict[str, int] = {}
    for evidence in found:
        title = wording.VERDICT_TITLES[evidence.verdict.code] if evidence.verdict else "Not judged"
        counts[title] = counts.get(title, 0) + 1
    said = ", ".join(f"{count} “{title.lower()}”" for title, count in counts.items()) or "none judged"
    text = f"Of {len(found) + len(failed)} outcomes: {said}."
    if failed:
        text += (
            f" {len(failed)} could not be analysed and is marked below."
            if len(failed) == 1
            else (f" {len(failed)} could not be analysed and are marked below.")
        )
    return text
