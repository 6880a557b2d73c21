"""LaLonde's study files and R's matching numbers beside the project -> our own compact tables in this folder.

Run: python tests/figures/compile_lalonde.py <folder with data/studies and reference/reference_numbers.csv>

The people are those of LaLonde (1986) in the sample of Dehejia and Wahba (1999), as in R's MatchIt; the numbers
were computed with R 4.2.2, MatchIt 4.7.2 and Matching 4.10.8, as named in each row. Figures are facts; no code of
these packages is here. The order of the people matters: it decides between equally near controls. The experiment
(nsw) and the men of the Current Population Survey (cps) are those of Dehejia and Wahba (1999), their whole files.
"""

from __future__ import annotations

import argparse
import gzip
import io
import sys
from pathlib import Path

import numpy as np
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


def whole_file(studies: Path, name: str) -> pd.DataFrame:
    """One row a person of `nsw.csv` or `cps.csv`, under the names of `people`."""
    raw = pd.read_csv(studies / f"{name}.csv").rename(columns={"marr": "married"})
    raw["race"] = np.select([raw["black"] == 1, raw["hisp"] == 1], ["black", "hispan"], "white")
    table = raw[list(NAMES)].rename(columns=NAMES)
    table.insert(0, "person", [f"{name}{number:05d}" for number in range(1, len(table) + 1)])
    return table


def numbers(reference: Path) -> pd.DataFrame:
    """R's numbers on these men: spec, estimate, std_error, source; each once."""
    raw = pd.read_csv(reference / "reference_numbers.csv")
    own = raw.loc[raw["dataset"].isin(["lalonde(MatchIt)", "nsw(DW)"])].rename(columns={"se": "std_error"})
    table = own[["spec", "estimate", "std_error", "source"]]
    return table.drop_duplicates("spec").sort_values("spec", ignore_index=True)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("beside", type=Path, help="folder with data/studies and reference/")
    beside = parser.parse_args(arguments).beside
    studies = beside / "data" / "studies"
    people(studies).to_csv(HERE / "lalonde.csv", index=False, lineterminator="\n")
    whole_file(studies, "nsw").to_csv(HERE / "nsw.csv", index=False, lineterminator="\n")
    numbers(beside / "reference").to_csv(HERE / "lalonde_numbers.csv", index=False, lineterminator="\n")
    text = io.StringIO()
    whole_file(studies, "cps").to_csv(text, index=False, lineterminator="\n")
    # without a time in its head the packed file is the same each time it is written
    (HERE / "cps_comparison.csv.gz").write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))


if __name__ == "__main__":
    main(sys.argv[1:])
