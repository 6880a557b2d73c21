"""One question of a researcher's own, from a panel with own columns to evidence and a page.

In: a panel, a plan that declares the question. Out: judged evidence, kept in parts, and the path of a page.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from wwc_research import catalog
from wwc_research.catalog import Plan
from wwc_research.errors import EstimationError, InputError, listed
from wwc_research.evidence import run
from wwc_research.evidence.evidence import Evidence
from wwc_research.evidence.questions import Question
from wwc_research.panel.panel import Panel
from wwc_research.report import engine, language
from wwc_research.report.batch_files import data_hash
from wwc_research.report.page_work import Audience, PageWork

NOTEBOOK = "outcome_report.ipynb"
FOLDER = "own"


def answer_own(panel: Panel, *, plan: Plan, root: Path, jobs: int = 2, say: Callable[[str], None] = print) -> Evidence:
    """Evidence for the one question of the plan, with calibration, specification curve and verdict.

    The panel and the finished parts are kept under data/processed/own, so that a second call, or one after a
    stop, only does what is missing.

    Parameters
    ----------
    panel
        With the own columns; see `panel.own_data`.
    plan
        With one analysis and one treatment; see `panel.own_data.plan_text`.
    jobs
        Processes at the same time.
    say
        Called with a line for each finished part.

    Raises
    ------
    InputError
        Where the plan asks more than one question.
    EstimationError
        Where the data do not allow an answer.
    """
    if len(plan.analyses) != 1 or len(plan.treatments) != 1:
        asked = [f"{treatment}/{outcome}" for treatment in plan.treatments for outcome in plan.analyses]
        raise InputError(f"the plan asks {listed(asked, limit=9)}; keep one analysis and one treatment")
    question = Question(treatment=plan.treatments[0], outcome=next(iter(plan.analyses)))
    work = root / "data" / "processed" / FOLDER
    path = work / "panel.parquet"
    panel.write(path)
    figures = f"{data_hash(root, figures=plan.figures)} {panel.data_hash}"
    setting = run.setting_of(root, panel_path=path, plan=plan, data_hash=figures)
    answers = run.answer([question], setting=setting, jobs=jobs, root=root, tick=say)
    if question in answers.failed:
        raise EstimationError(answers.failed[question])
    evidence = answers.found[question]
    evidence.write(_evidence_path(root, question))
    return evidence


def _evidence_path(root: Path, question: Question) -> Path:
    return root / "data" / "processed" / "evidence" / FOLDER / f"{question.name}.json"


def write_own_page(evidence: Evidence, *, root: Path, audience: Audience = "research", code: str = "en") -> Path:
    """The page of evidence that `answer_own` gave, in reports/own; the path that was written.

    Parameters
    ----------
    code
        Language of the page: en, es or pt. Titles and nouns of one's own are shown as they were given.

    Raises
    ------
    ReportError
        Where the page could not be made.
    """
    question = Question(treatment=evidence.treatment, outcome=evidence.outcome)
    kept = _evidence_path(root, question)
    evidence.write(kept)
    outcome, treatment = catalog.outcome(question.outcome), catalog.treatment(question.treatment)
    name = f"{question.name}.{audience}.{code}"
    notebook = root / "notebooks" / NOTEBOOK
    with language.speaking(code):
        title = f"{language.shown(outcome.title)}: {language.shown(treatment.title)}"
    work = PageWork(
        name=name,
        notebook=notebook,
        executed=root / "data" / "processed" / "notebooks" / FOLDER / f"{name}.ipynb",
        target=root / "reports" / FOLDER / f"{name}.html",
        # relative, so that the page does not show where a machine keeps its files
        parameters={
            "evidence_path": Path(os.path.relpath(kept, notebook.parent)).as_posix(),
            "audience": audience,
            "language": code,
        },
        title=title,
        language=code,
        audience=audience,
    )
    engine.render_one(work)
    return work.target


__all__ = ["answer_own", "write_own_page"]
