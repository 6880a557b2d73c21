"""Residents at two censuses, from the shipped crosswalks → residents of a county or place in any year since.

In: `crosswalks/county_population` or `crosswalks/place_county`. Out: people by area and census, and by year.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

import pandas as pd

from wwc_research.errors import DataError

CENSUSES: Final = {2010: "2010_2019", 2020: "2020_2021"}
_TABLES: Final = {"county_id": "county_population", "place_id": "place_county"}


def census_residents(raw_dir: Path, *, key: Literal["county_id", "place_id"]) -> pd.DataFrame:
    """Residents by area (index `key`) at each census (columns 2010 and 2020); a place's over all its counties.

    Raises
    ------
    DataError
        If the shipped crosswalk is missing.
    """
    path = Path(raw_dir) / "crosswalks" / f"{_TABLES[key]}.csv"
    if not path.is_file():
        raise DataError(f"{path}: the shipped crosswalk is missing; restore it or compile the data again")
    rows = pd.read_csv(path, dtype={"place_id": str, "county_id": str})
    if "county_kind" in rows.columns:  # Connecticut's planning regions hold the same people once more
        rows = rows[rows["county_kind"] == "county"]
    return pd.DataFrame(
        {
            year: rows[rows["period"] == period].groupby(key)["population_count"].sum().astype(float)
            for year, period in CENSUSES.items()
        }
    )


def residents_in(counts: pd.DataFrame, *, areas: pd.Series, years: pd.Series) -> pd.Series:
    """Residents on a straight line between the censuses and constant after the last; NaN before the first.

    Parameters
    ----------
    counts
        As `census_residents` gives them.
    areas, years
        One area and year a row.

    Returns
    -------
    pandas.Series
        People, with the index of `areas`; NaN for unknown areas and where nobody lives.
    """
    first, last = CENSUSES
    start, end = (areas.map(counts[census]).astype(float) for census in CENSUSES)
    passed = ((years - first) / (last - first)).clip(upper=1)
    people = start + (end - start) * passed
    return people.where((people > 0) & (passed >= 0))
