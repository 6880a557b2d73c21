"""The Medicaid tables of this folder are what their compile step writes, where the study files are at hand."""

from __future__ import annotations

from pathlib import Path

import compile_ehec
import pandas as pd
import pytest

BESIDE = Path(__file__).parents[3] / "shared"


@pytest.mark.shared
@pytest.mark.parametrize("name", ["ehec_coefficients.csv", "ehec_numbers.csv"])
def test_the_tables_are_those_that_the_compile_step_writes(name):
    studies, reference = BESIDE / "data" / "studies", BESIDE / "reference"
    if not (studies.exists() and reference.exists()):
        pytest.skip("the study files are not beside the project")
    compiled = {
        "ehec_coefficients.csv": lambda: compile_ehec.coefficients(studies),
        "ehec_numbers.csv": lambda: compile_ehec.numbers(reference),
    }[name]()
    kept = pd.read_csv(compile_ehec.HERE / name)
    pd.testing.assert_frame_equal(compiled, kept, rtol=1e-15, check_dtype=False)
