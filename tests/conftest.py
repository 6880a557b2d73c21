import shutil
from pathlib import Path

import pytest

from wwc_research.panel.build import build_panel
from wwc_research.panel.panel import Panel

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def panel() -> Panel:
    """The panel of the shipped figures, built once for all tests of a worker."""
    return build_panel(ROOT / "data" / "raw")


@pytest.fixture
def project(tmp_path) -> Path:
    """A fresh project folder: the shipped tables, the template notebook, nothing made yet."""
    root = tmp_path / "project"
    shutil.copytree(ROOT / "data" / "raw", root / "data" / "raw")
    (root / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / "outcome_report.ipynb", root / "notebooks")
    return root
