"""The Medicaid event study and R's sensitivity analysis of it, beside the project -> our own tables in this folder.

Run: python tests/figures/compile_ehec.py <folder with data/studies and reference/reference_numbers.csv>

The estimates are those of an event study of insurance coverage in US states that widened Medicaid in 2014 (years
2008 to 2015, base 2013, clustered by state), as in the worked example of R's HonestDiD (Rambachan and Roth 2023);
the intervals are those it publishes. Figures are facts; no code of the package is here.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).parent
EXPOSED = 2014


def coefficients(studies: Path) -> pd.DataFrame:
    """One row a year but 2013: event_time, year, estimate, and the covariance with each year's estimate."""
    estimates = pd.read_csv(studies / "ehec_beta.csv")["beta"]
    covariance = pd.read_csv(studies / "ehec_sigma.csv")
    years = [int(re.search(r"\d{4}", name)[0]) for name in covariance.columns]
    table = pd.DataFrame({"event_time": [year - EXPOSED for year in years], "year": years, "estimate": estimates})
    covariance.columns = [f"covariance_{year}" for year in years]
    return pd.concat([table, covariance], axis=1)


def numbers(reference: Path) -> pd.DataFrame:
    """Published interval ends: kind, size, end, value, source."""
    raw = pd.read_csv(reference / "reference_numbers.csv")
    own = raw.loc[raw["dataset"].str.startswith("ehec") & raw["estimator"].str.startswith("HonestDiD")]
    size = own["spec"].str.extract(r"M(?:bar)?=(?P<size>[\d.]+) (?P<end>lower|upper)")
    kind = own["estimator"].map(
        {"HonestDiD DeltaRM C-LF": "relative_magnitudes", "HonestDiD DeltaSD FLCI": "smoothness"}
    )
    table = size.assign(kind=kind, size=size["size"].astype(float), value=own["estimate"], source="HonestDiD README")
    return table[["kind", "size", "end", "value", "source"]].reset_index(drop=True)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("beside", type=Path, help="folder with data/studies and reference/")
    beside = parser.parse_args(arguments).beside
    coefficients(beside / "data" / "studies").to_csv(HERE / "ehec_coefficients.csv", index=False, lineterminator="\n")
    numbers(beside / "reference").to_csv(HERE / "ehec_numbers.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
