"""The tables of this folder are what their compile step writes from the study files, where those are at hand."""

from __future__ import annotations

from pathlib import Path

import compile_figures
import pandas as pd
import pytest

BESIDE = Path(__file__).parents[3] / "shared"


@pytest.mark.shared
@pytest.mark.parametrize("name", ["mpdta", "grunfeld", "reference_numbers"])
def test_the_tables_are_those_that_the_compile_step_writes(name):
    folder = BESIDE / ("reference" if name == "reference_numbers" else "data/studies")
    if not folder.exists():
        pytest.skip("the study files are not beside the project")
    compiled = getattr(compile_figures, name)(folder)
    kept = pd.read_csv(compile_figures.HERE / f"{name}.csv")
    pd.testing.assert_frame_equal(compiled, kept, rtol=1e-15, check_dtype=False)
