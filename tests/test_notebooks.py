from pathlib import Path

import jupytext
import nbformat
import pytest

from tests.conftest import ROOT
from wwc_research.report import page

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


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
@pytest.mark.parametrize("name", ["01_data", "02_scoring", "03_panel", "04_methods"])
def test_a_researchers_notebook_runs_from_top_to_bottom(name, tmp_path):
    executed = tmp_path / "executed.ipynb"
    page.execute(ROOT / "notebooks" / f"{name}.ipynb", executed=executed, parameters={})
    cells = nbformat.read(executed, as_version=4).cells
    shown = [cell for cell in cells if cell.cell_type == "code" and cell.outputs]
    assert len(shown) >= 5


def test_the_template_holds_no_arithmetic():
    notebook = nbformat.read(ROOT / "notebooks" / "outcome_report.ipynb", as_version=4)
    code = "\n".join(cell.source for cell in notebook.cells if "parameters" not in cell.metadata.get("tags", []))
    assert not set("+*%@") & set(code)
    assert "import pandas" not in code
    assert "import numpy" not in code
