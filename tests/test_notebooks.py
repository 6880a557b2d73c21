from pathlib import Path

import jupytext
import nbformat
import pytest

from tests.conftest import ROOT
from wwc_research.evidence.evidence import Evidence
from wwc_research.report import engine
from wwc_research.report.page_work import PageWork

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
RESEARCHERS = ("01_data", "02_scoring", "03_panel", "04_methods")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_has_no_outputs_and_agrees_with_its_text(path: Path):
    notebook = nbformat.read(path, as_version=4)
    text = jupytext.read(path.with_suffix(".py"))
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in text.cells]
    assert [cell.cell_type for cell in notebook.cells] == [cell.cell_type for cell in text.cells]
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert "/home/" not in cell.source


def test_every_text_has_its_notebook():
    assert {path.stem for path in (ROOT / "notebooks").glob("*.py")} == {path.stem for path in NOTEBOOKS}


@pytest.mark.notebook
def test_the_researchers_notebooks_run_from_top_to_bottom(tmp_path):
    works = [
        PageWork(
            name=name,
            notebook=ROOT / "notebooks" / f"{name}.ipynb",
            executed=tmp_path / f"{name}.ipynb",
            target=tmp_path / f"{name}.html",
            parameters={},
            title=name,
        )
        for name in RESEARCHERS
    ]
    assert engine.render(works, jobs=2, tick=lambda name: None) == {}
    for work in works:
        cells = nbformat.read(work.executed, as_version=4).cells
        assert len([cell for cell in cells if cell.cell_type == "code" and cell.outputs]) >= 5


def test_the_template_holds_no_arithmetic():
    notebook = nbformat.read(ROOT / "notebooks" / "outcome_report.ipynb", as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if "parameters" not in cell.metadata.get("tags", []))
    assert not set("+*%@") & set(code)
    assert "import pandas" not in code
    assert "import numpy" not in code


@pytest.mark.notebook
def test_a_question_of_ones_own_ends_in_a_page_that_finds_what_was_planted(project):
    few = {"lots": 49, "placebo_draws": 3, "slow_draws": 1, "specification_draws": 9, "jobs": 1}
    work = PageWork(
        name="own",
        notebook=ROOT / "notebooks" / "05_bring_your_own.ipynb",
        executed=project / "executed.ipynb",
        target=project / "own.html",
        parameters={"root_dir": str(project), **few},
        title="own",
    )
    assert engine.render([work], jobs=1, kind="portable", tick=lambda name: None) == {}
    made = (project / "reports" / "own" / "own_treatment" / "own_outcome.research.en.html").read_text(encoding="utf-8")
    assert "Library visits (simulated)" in made
    assert "late opening of libraries" in made
    evidence = Evidence.read(project / "data" / "processed" / "evidence" / "own" / "own_treatment" / "own_outcome.json")
    assert evidence.judged["ci_low"] < 3.0 < evidence.judged["ci_high"]
    assert evidence.verdict.code == "cannot_tell", "three placebo draws prove no method"
