"""The Darfur tables of this folder are what their compile step writes from the study file, where that is at hand."""

from __future__ import annotations

from pathlib import Path

import compile_darfur
import pandas as pd
import pytest

BESIDE = Path(__file__).parents[3] / "shared"


@pytest.mark.shared
@pytest.mark.parametrize("name", ["darfur.csv", "darfur_numbers.csv"])
def test_the_tables_are_those_that_the_compile_step_writes(name):
    studies, reference = BESIDE / "data" / "studies", BESIDE / "reference"
    if not (studies.exists() and reference.exists()):
        pytest.skip("the study files are not beside the project")
    compiled = compile_darfur.people(studies) if name == "darfur.csv" else compile_darfur.numbers(reference)
    kept = pd.read_csv(compile_darfur.HERE / name)
    pd.testing.assert_frame_equal(compiled, kept, rtol=1e-15, check_dtype=False)
