"""The Darfur survey and R's sensitivity numbers beside the project -> our own compact tables in this folder.

Run: python tests/figures/compile_darfur.py <folder with data/studies and reference/reference_numbers.csv>

The answers are those of Hazlett's survey of Darfurian refugees in eastern Chad, as the data set `darfur` of the R
package sensemakr 0.1.6 (licence of the package: GPL-3); the study is C. Hazlett, "Angry or Weary? How Violence Impacts
Attitudes toward Peace among Darfurian Refugees". The numbers were computed with sensemakr 0.1.6 on R 4.2.2. Figures
are facts; no code of the package is here. Only the columns of the published regression are kept, and villages have
numbers in place of names: the regression asks only who came from the same one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
NAMES = {
    "peacefactor": "peace_index",
    "directlyharmed": "is_harmed",
    "village": "village",
    "female": "is_female",
    "age": "age_years",
    "farmer_dar": "is_farmer",
    "herder_dar": "is_herder",
    "pastvoted": "has_voted",
    "hhsize_darfur": "household_count",
}


def people(studies: Path) -> pd.DataFrame:
    """One row a person, in the file's order, villages numbered in the order of their names."""
    table = pd.read_csv(studies / "darfur.csv")[list(NAMES)].rename(columns=NAMES)
    codes = pd.factorize(table["village"], sort=True)[0]
    return table.assign(village=[f"v{code + 1:03d}" for code in codes])


def numbers(reference: Path) -> pd.DataFrame:
    """R's numbers on these people: spec, estimate, std_error, source; each once."""
    raw = pd.read_csv(reference / "reference_numbers.csv")
    own = raw.loc[raw["dataset"] == "darfur"].rename(columns={"se": "std_error"})
    return own[["spec", "estimate", "std_error", "source"]].drop_duplicates("spec").reset_index(drop=True)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("beside", type=Path, help="folder with data/studies and reference/")
    beside = parser.parse_args(arguments).beside
    people(beside / "data" / "studies").to_csv(HERE / "darfur.csv", index=False, lineterminator="\n")
    numbers(beside / "reference").to_csv(HERE / "darfur_numbers.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
