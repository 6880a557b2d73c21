"""BLS Local Area Unemployment Statistics → county unemployment share and labour force, annual averages.

In: workbooks `laucnty<yy>.xlsx`. Out: observation table `annual_averages`.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from wwc_research.errors import DataError, Faults
from wwc_research.sources.observations import Reading, left_out, long_frame
from wwc_research.sources.places import Scope
from wwc_research.sources.workbooks import sheet_rows

SOURCE = "bls_laus"


def read(publishers_dir: Path, *, scope: Scope) -> Reading:
    """`unemployment_share` (unemployed over labour force) and `labor_force_count` by county and year.

    The share is worked out from the published counts, which keeps more digits than the published rate of
    one decimal, and must agree with that rate; otherwise `DataError`. `N.A.` (Puerto Rico in 2020) is a
    missing value with the flag `not_available`.
    """
    files = sorted((Path(publishers_dir) / "bls_laus").glob("laucnty*.xlsx"))
    if not files:
        raise DataError(f"{publishers_dir}/bls_laus: no file laucnty<yy>.xlsx")
    frame = pd.concat([_workbook(file) for file in files], ignore_index=True)
    inside = frame["place_id"].isin(scope.counties)
    frame["share"] = frame["unemployed"] / frame["labor_force"]
    faults = Faults("bls_laus", kind=DataError)
    differs = (frame["share"] * 100 - frame["rate"]).abs() > 0.0501
    for row in frame[differs].head(5).itertuples(index=False):
        faults.add(f"{row.place_id} in {row.year}: counts give {row.share:.4f}, the published rate is {row.rate}")
    faults.raise_if_any()
    table = long_frame(
        frame[inside],
        source=SOURCE,
        vintage="2021-2024",
        values={"unemployment_share": "share", "labor_force_count": "labor_force"},
        missing_flag="not_available",
        decimals={"labor_force_count": 0},
    )
    entries = [("annual_averages", "other counties", "no place of the universe lies in them", int((~inside).sum()))]
    return Reading(observations={"annual_averages": table}, left_out=left_out(entries))


def _workbook(file: Path) -> pd.DataFrame:
    """Rows with a state and county code: header lines, blank lines and footnotes have none."""
    rows = [row for row in sheet_rows(file) if str(row[1]).isdigit()]
    if len(rows) < 3000:
        raise DataError(f"{file.name}: {len(rows):,} county rows; a national file has more than 3,000")
    frame = pd.DataFrame(
        {
            "place_id": [f"{int(row[1]):02d}{int(row[2]):03d}" for row in rows],
            "year": [int(row[4]) for row in rows],
        }
    )
    for column, position in (("labor_force", 6), ("unemployed", 8), ("rate", 9)):
        frame[column] = pd.to_numeric(pd.Series([row[position] for row in rows]), errors="coerce").astype(float)
    return frame
