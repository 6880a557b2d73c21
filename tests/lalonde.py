"""LaLonde's men, as `tests/figures/lalonde.csv` keeps them."""

from pathlib import Path

import pandas as pd

COVARIATES = [
    "age",
    "schooling_years",
    "race",
    "is_married",
    "has_no_degree",
    "earnings_1974_usd",
    "earnings_1975_usd",
]


def read_lalonde() -> pd.DataFrame:
    return pd.read_csv(Path(__file__).parent / "figures" / "lalonde.csv", index_col="person")
