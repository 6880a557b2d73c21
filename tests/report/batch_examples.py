"""A batch whose evidence is put together by hand, and an engine that writes pages without kernels.

In: a project's folder. Out: what takes their place in `report.batch`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from tests.report.example_evidence import example_evidence
from wwc_research.atomic import write_text
from wwc_research.evidence.run import Answers
from wwc_research.report import batch, engine
from wwc_research.report.batch_plan import Batch
from wwc_research.report.page_work import PageWork


@dataclass
class Written:
    """An engine that writes what a page rests on; it takes `seconds` a page and fails for names that hold `refused`."""

    seconds: float = 0.0
    refused: str = ""
    names: list[str] = field(default_factory=list)

    def render(self, works: Sequence[PageWork], *, jobs: int, kind: str, tick: Callable[[str], None]) -> dict[str, str]:
        failed = {}
        for work in works:
            time.sleep(self.seconds)
            if self.refused and self.refused in work.name:
                failed[work.name] = "planted failure"
            else:
                evidence = (work.notebook.parent / work.parameters["evidence_path"]).read_text(encoding="utf-8")
                write_text(work.target, f"{work.title}\n{dict(work.parameters)}\n{work.links}\n{evidence}")
                self.names.append(work.name)
            tick(work.name)
        return failed


def answers_by_hand(wanted: Batch, **_: Any) -> Answers:
    """Evidence for every question that is asked, the same for all but for its name."""
    found = {
        question: dataclasses.replace(
            example_evidence("improvement" if question.outcome == "broadband" else "cannot_tell"),
            outcome=question.outcome,
            treatment=question.treatment,
        )
        for question in wanted.questions
    }
    return Answers(found=found, failed={})


def take_their_place(put: Callable[[Any, str, Any], None], **options: Any) -> Written:
    """Set evidence and engine by `put(object, name, value)`."""
    written = Written(**options)
    put(batch, "answer_batch", answers_by_hand)
    put(engine, "render", written.render)
    return written


def write_template(root: Path, code: str) -> None:
    """Put a template into the project that takes the parameters of a page and runs one cell of `code`."""
    given = "evidence_path = ''\naudience = 'research'\nlanguage = 'en'"
    notebook = nbformat.v4.new_notebook(
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        cells=[
            nbformat.v4.new_code_cell(given, id="given", metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(code, id="code"),
        ],
    )
    nbformat.write(notebook, root / "notebooks" / "outcome_report.ipynb")
