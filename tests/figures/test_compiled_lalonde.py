"""LaLonde's tables of this folder are what their compile step writes from the study files, where those are at hand."""

from __future__ import annotations

from pathlib import Path

import compile_lalonde
import pandas as pd
import pytest

BESIDE = Path(__file__).parents[3] / "shared"


@pytest.mark.shared
@pytest.mark.parametrize("name", ["lalonde.csv", "nsw.csv", "cps_comparison.csv.gz", "lalonde_numbers.csv"])
def test_the_tables_are_those_that_the_compile_step_writes(name):
    studies, reference = BESIDE / "data" / "studies", BESIDE / "reference"
    if not (studies.exists() and reference.exists()):
        pytest.skip("the study files are not beside the project")
    compiled = {
        "lalonde.csv": lambda: compile_lalonde.people(studies),
        "nsw.csv": lambda: compile_lalonde.whole_file(studies, "nsw"),
        "cps_comparison.csv.gz": lambda: compile_lalonde.whole_file(studies, "cps"),
        "lalonde_numbers.csv": lambda: compile_lalonde.numbers(reference),
    }[name]()
    kept = pd.read_csv(compile_lalonde.HERE / name)
    pd.testing.assert_frame_equal(compiled, kept, rtol=1e-15, check_dtype=False)
