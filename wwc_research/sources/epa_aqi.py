"""EPA AirData annual AQI by county → share of days above 100 and its companions, by file vintage.

In: yearly county files of two vintages. Out: observation tables `vintage_2022` and `vintage_2026`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from wwc_research.errors import DataError
from wwc_research.sources.observations import Reading, left_out, long_frame
from wwc_research.sources.places import Places, Scope, state_postal

SOURCE = "epa_aqi"
_OVER_100 = ("Unhealthy for Sensitive Groups Days", "Unhealthy Days", "Very Unhealthy Days", "Hazardous Days")
_FULL_YEAR_DAYS = 350


def read(publishers_dir: Path, *, scope: Scope) -> Reading:
    """`aqi_days_count`, `aqi_over_100_share`, `aqi_good_share`, `aqi_median_index` by county and year.

    Parameters
    ----------
    publishers_dir
        Folder with `epa_aqs/vintage-<vintage>/annual_aqi_by_county_<year>.csv`.
    scope
        Settings: `minimum_days` (fewer days with an AQI give the flag `few_days`), `complete_through` (last
        whole year of each vintage; later years are refused) and `county_names` (names EPA writes
        differently).

    Raises
    ------
    DataError
        If a year counted as whole has no county with 350 days: then the file is of a running year.
    """
    tables, entries = {}, []
    settings = scope.settings
    for vintage, last_year in settings["complete_through"].items():
        table = f"vintage_{vintage}"
        frame, missed = _load(Path(publishers_dir) / "epa_aqs" / f"vintage-{vintage}", table, int(last_year))
        entries += missed
        frame["place_id"] = _county_ids(frame, scope.places, settings.get("county_names", {}))
        frame, missed = _kept(frame, table, scope.counties)
        entries += missed
        frame["flag"] = np.where(frame["days"] < int(settings["minimum_days"]), "few_days", "")
        columns = {
            "aqi_days_count": "days",
            "aqi_over_100_share": "over",
            "aqi_good_share": "good",
            "aqi_median_index": "median",
        }
        flags = dict.fromkeys(columns, "flag")
        tables[table] = long_frame(frame, source=SOURCE, vintage=vintage, values=columns, flags=flags)
    return Reading(observations=tables, left_out=left_out(entries))


def _load(
    folder: Path, table: str, last_year: int
) -> tuple[pd.DataFrame, list[tuple[str, str, str, int]]]:  # fmt: skip
    files = sorted(folder.glob("annual_aqi_by_county_*.csv"))
    if not files:
        raise DataError(f"{folder}: no file annual_aqi_by_county_<year>.csv")
    parts, entries = [], []
    for file in files:
        raw = pd.read_csv(file)
        year = int(raw["Year"].iloc[0])
        if year > last_year:
            entries.append((table, str(year), f"the file was taken before {year} was over", len(raw)))
            continue
        # A running year looks whole until one asks for the fullest county: 317 days in the 2025 file.
        if raw["Days with AQI"].max() < _FULL_YEAR_DAYS:
            raise DataError(
                f"{file.name}: no county has {_FULL_YEAR_DAYS} days with an AQI (most: "
                f"{raw['Days with AQI'].max()}), so {year} is not a whole year; lower `complete_through`"
            )
        days = raw["Days with AQI"]
        parts.append(
            pd.DataFrame(
                {
                    "state_name": raw["State"],
                    "county_name": raw["County"],
                    "year": raw["Year"],
                    "days": days,
                    "over": raw[list(_OVER_100)].sum(axis=1) / days,
                    "good": raw["Good Days"] / days,
                    "median": raw["Median AQI"],
                }
            )
        )
    return pd.concat(parts, ignore_index=True), entries


def _county_ids(frame: pd.DataFrame, places: Places, declared: Mapping[str, str]) -> pd.Series:
    pairs = frame[["county_name", "state_name"]].drop_duplicates().itertuples(index=False, name=None)
    codes = {
        (county, state): declared.get(f"{county}, {state}") or places.resolve_county(county, state=state) or ""
        for county, state in pairs
    }
    return pd.Series(
        [codes[pair] for pair in zip(frame["county_name"], frame["state_name"], strict=True)],
        index=frame.index,
    )


def _kept(
    frame: pd.DataFrame, table: str, counties: Collection[str]
) -> tuple[pd.DataFrame, list[tuple[str, str, str, int]]]:
    abroad = np.array([state_postal(name) is None for name in frame["state_name"]])
    unknown = (frame["place_id"] == "").to_numpy() & ~abroad
    outside = ~abroad & ~unknown & ~frame["place_id"].isin(set(counties)).to_numpy()
    entries = [
        (table, f"{county}, {state}", "no county of this name in the gazetteer", int(rows))
        for (county, state), rows in frame[unknown].groupby(["county_name", "state_name"]).size().items()
    ]
    entries += [
        (table, "areas outside the states and DC", "no place of the universe lies there", int(abroad.sum())),
        (table, "other counties", "no place of the universe lies in them", int(outside.sum())),
    ]
    return frame[~abroad & ~unknown & ~outside].reset_index(drop=True), entries
