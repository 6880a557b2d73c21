"""Geocorr files → which share of a city lives in which county or public-use microdata area.

In: three county lists and two PUMA lists. Out: tables `place_county`, `county_population`,
`puma_place_2010`, `puma_place_2020`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from wwc_research.errors import DataError, Faults, listed
from wwc_research.sources.observations import Reading, left_out
from wwc_research.sources.places import Places, Scope

PERIODS = {"2010_2019": (2010, 2019), "2020_2021": (2020, 2021), "2022_on": (2022, 2100)}
_COUNTY_LISTS = {
    "geocorr2018_places_2010": ("geocorr2018_county_place_2010_thru_2019.csv", "county", "placefp", "pop10"),
    "geocorr2018_places_2014": (
        "geocorr2018_county_place_2014_thru_2019.csv",
        "county14",
        "placefp14",
        "pop10",
    ),
    "geocorr2022": ("geocorr2022_county_place_2020_2021.csv", "countyfip", "place", "pop20"),
    "geocorr2022_regions": (
        "geocorr2022_county_place_2022_onwards.csv",
        "countyfip",
        "place",
        "population",
    ),
}
# For each period the lists in order of preference: a place incorporated later, or renamed with a new code,
# is taken from the nearest list that knows it; the column `basis` says which one that was.
_PREFERENCE = {
    "2010_2019": ("geocorr2018_places_2010", "geocorr2018_places_2014", "geocorr2022"),
    "2020_2021": ("geocorr2022", "geocorr2018_places_2014"),
    "2022_on": ("geocorr2022", "geocorr2018_places_2014"),
}


def read(publishers_dir: Path, *, scope: Scope) -> Reading:
    """Population shares of every place of the universe, by period.

    Returns
    -------
    Reading
        `place_county`: `place_id`, `period` (a key of `PERIODS`), `county_id`, `county_kind` (`county`, or
        `planning_region` for Connecticut from 2022), `population_count`, `county_share` (share of the
        place's residents; adds up to 1 over a place, period and kind), `basis` (the list it comes from).
        `county_population`: `county_id`, `period`, `population_count` (all residents of the county, in places or
        not, at the census of the list).
        `puma_place_2010`, `puma_place_2020`: `puma_id`, `place_id`, `population_count`, `puma_share` (of the
        PUMA's residents), `place_share` (of the place's residents), for the publisher's 486 places.

    Notes
    -----
    EPA and BLS keep Connecticut's eight counties after 2021; the ACS does not. Join county series on
    `county_kind == "county"`, of which the 2022 rows carry the 2020 shares on.
    """
    folder = Path(publishers_dir) / "census_geo"
    lists = {basis: _county_list(folder / spec[0], *spec[1:]) for basis, spec in _COUNTY_LISTS.items()}
    universe = set(scope.places.universe)
    county = pd.concat([_period(period, lists, universe) for period in PERIODS])
    regions = lists["geocorr2022_regions"]
    regions = regions[regions["place_id"].isin(universe) & regions["place_id"].str.startswith("09")]
    regions = _shares(regions).assign(period="2022_on", county_kind="planning_region", basis="geocorr2022_regions")
    columns = ["place_id", "period", "county_kind", "county_id", "population_count", "county_share", "basis"]
    table = pd.concat([county, regions])[columns]
    tables = {
        "place_county": table.sort_values(columns[:4], ignore_index=True),
        "county_population": pd.concat([_county_totals(period, lists) for period in PERIODS], ignore_index=True),
        "puma_place_2010": _puma_list(folder / "puma_to_place_2010.csv", "pop10", scope.places),
        "puma_place_2020": _puma_list(folder / "puma_to_place_2020.csv", "pop20", scope.places),
    }
    return Reading(tables=tables, left_out=left_out([]))


def period_of(year: int) -> str:
    """The crosswalk period that a year belongs to; years before 2010 take the first one."""
    for period, (_, last) in PERIODS.items():
        if year <= last:
            return period
    raise DataError(f"year {year} is beyond the last crosswalk period")


def _county_list(path: Path, county: str, place: str, people: str) -> pd.DataFrame:
    raw = pd.read_csv(path, dtype=str, encoding="latin-1")
    raw = raw[raw[county].str.strip().str.isdigit()]
    return pd.DataFrame(
        {
            "place_id": raw["state"].str.strip().str.zfill(2) + raw[place].str.strip().str.zfill(5),
            "county_id": raw[county].str.strip().str.zfill(5),
            "population_count": pd.to_numeric(raw[people]).astype(int),
        }
    )


def _period(period: str, lists: Mapping[str, pd.DataFrame], universe: set[str]) -> pd.DataFrame:
    parts, missing = [], set(universe)
    for basis in _PREFERENCE[period]:
        rows = lists[basis]
        rows = rows[rows["place_id"].isin(missing)]
        parts.append(_shares(rows).assign(basis=basis))
        missing -= set(rows["place_id"])
    if missing:
        raise DataError(f"crosswalks, {period}: no county list knows {listed(sorted(missing))}")
    return pd.concat(parts).assign(period=period, county_kind="county")


def _county_totals(period: str, lists: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Residents of every county by the period's first list, whose rows also hold those who live in no place."""
    totals = lists[_PREFERENCE[period][0]].groupby("county_id")["population_count"].sum().reset_index()
    totals.insert(1, "period", period)
    return totals


def _shares(rows: pd.DataFrame) -> pd.DataFrame:
    total = rows.groupby("place_id")["population_count"].transform("sum")
    share = (rows["population_count"] / total).round(6)
    return rows.assign(county_share=share)[rows["population_count"] > 0]


def _puma_list(path: Path, people: str, places: Places) -> pd.DataFrame:
    raw = pd.read_csv(path, dtype={"statefip": str, "place": str, "puma": str})
    frame = pd.DataFrame(
        {
            "puma_id": "P" + raw["statefip"].str.zfill(2) + raw["puma"].str.zfill(5),
            "place_id": raw["statefip"].str.zfill(2) + raw["place"].str.zfill(5),
            "population_count": raw[people].astype(int),
            "puma_share": raw["afact"].astype(float).round(6),
        }
    )
    # The file's own place factor (`afact2`) is wrong for places of several PUMAs in the 2010 list, so the
    # share of the place is worked out from the people counted in each part.
    total = frame.groupby("place_id")["population_count"].transform("sum")
    frame["place_share"] = (frame["population_count"] / total).round(6)
    faults = Faults(path.name, kind=DataError)
    unknown = sorted(set(frame["place_id"]) - set(places.names["place_id"]))
    if unknown:
        faults.add(f"places {listed(unknown)} are not in the gazetteer")
    if not frame["puma_share"].between(0, 1).all():
        faults.add("shares of a public-use microdata area lie outside 0 to 1")
    faults.raise_if_any()
    return frame.sort_values(["puma_id", "place_id"], ignore_index=True)
