"""Study files and R's numbers beside the project -> our own compact tables in this folder.

Run: python tests/figures/compile_figures.py <folder with data/studies and reference/reference_numbers.csv>
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
KEPT = {
    "mpdta": ("TWFE", "CS", "BJS imputation", "Gardner did2s", "Goodman-Bacon", "Sun-Abraham"),
    "Grunfeld": ("plm within", "plm random", "plm pooling", "fixest within"),
    "quakes": ("OLS",),
    "p25(BH1995 style)": ("p.adjust",),
}


def mpdta(studies: Path) -> pd.DataFrame:
    """One row a county: county, first_treat (0 = never), log_population, log_employment_2003 .. 2007."""
    raw = pd.read_csv(studies / "mpdta.csv")
    wide = raw.pivot(index="countyreal", columns="year", values="lemp").add_prefix("log_employment_")
    fixed = raw.groupby("countyreal")[["first.treat", "lpop"]].agg(["first", "nunique"])
    if (fixed.xs("nunique", axis=1, level=1) > 1).any(axis=None) or wide.isna().any(axis=None):
        raise SystemExit("mpdta.csv: no longer one cohort and population a county, or no longer balanced")
    first = fixed.xs("first", axis=1, level=1)
    table = pd.concat([first.rename(columns={"first.treat": "first_treat", "lpop": "log_population"}), wide], axis=1)
    return table.astype({"first_treat": int}).rename_axis("county").reset_index()


def grunfeld(studies: Path) -> pd.DataFrame:
    """One row a firm and year: firm, year, investment, value, capital."""
    raw = pd.read_csv(studies / "grunfeld.csv")
    return raw.rename(columns={"inv": "investment"}).sort_values(["firm", "year"], ignore_index=True)


def reference_numbers(reference: Path) -> pd.DataFrame:
    """R's numbers used by the tests: dataset, estimator, spec, estimate, std_error, source; each once."""
    raw = pd.read_csv(reference / "reference_numbers.csv")
    wanted = pd.concat([raw[raw["dataset"].eq(d) & raw["estimator"].isin(e)] for d, e in KEPT.items()])
    return wanted.rename(columns={"se": "std_error"}).drop_duplicates().reset_index(drop=True)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("beside", type=Path, help="folder with data/studies and reference/reference_numbers.csv")
    beside = parser.parse_args(arguments).beside
    tables = {
        "mpdta": mpdta(beside / "data" / "studies"),
        "grunfeld": grunfeld(beside / "data" / "studies"),
        "reference_numbers": reference_numbers(beside / "reference"),
    }
    for name, table in tables.items():
        table.to_csv(HERE / f"{name}.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
