"""LaLonde study file and R's matching numbers beside the project -> our own compact tables in this folder.

Run: python tests/figures/compile_lalonde.py <folder with data/studies and reference/reference_numbers.csv>

The people are those of LaLonde (1986) in the sample of Dehejia and Wahba (1999), as in R's MatchIt; the numbers
were computed with R 4.2.2, MatchIt 4.7.2 and Matching 4.10.8, as named in each row. Figures are facts; no code of
these packages is here. The order of the people matters: it decides between equally near controls.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
NAMES = {
    "race": "race",
    "treat": "treated",
    "age": "age",
    "educ": "schooling_years",
    "married": "is_married",
    "nodegree": "has_no_degree",
    "re74": "earnings_1974_usd",
    "re75": "earnings_1975_usd",
    "re78": "earnings_1978_usd",
}


def people(studies: Path) -> pd.DataFrame:
    """One row a person, in the file's order: person, race, treated, ..., earnings_1978_usd."""
    table = pd.read_csv(studies / "lalonde_matchit.csv")[list(NAMES)].rename(columns=NAMES)
    table.insert(0, "person", [f"p{number:03d}" for number in range(1, len(table) + 1)])
    return table


def numbers(reference: Path) -> pd.DataFrame:
    """R's numbers on nearest neighbours: spec, estimate, std_error, source; each once."""
    raw = pd.read_csv(reference / "reference_numbers.csv")
    own = raw.loc[raw["dataset"] == "lalonde(MatchIt)"].rename(columns={"se": "std_error"})
    wanted = own["spec"].str.startswith(("NN", "SMD", "Matching::Match Mahalanobis"))
    table = own.loc[wanted, ["spec", "estimate", "std_error", "source"]]
    return table.drop_duplicates("spec").sort_values("spec")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("beside", type=Path, help="folder with data/studies and reference/")
    beside = parser.parse_args(arguments).beside
    tables = {
        "lalonde": people(beside / "data" / "studies"),
        "lalonde_numbers": numbers(beside / "reference"),
    }
    for name, table in tables.items():
        table.to_csv(HERE / f"{name}.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
