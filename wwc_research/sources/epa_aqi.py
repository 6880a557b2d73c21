"""EPA AirData annual AQI by county → share of days above 100 and its companions, by file vintage.

In: yearly county files, shipped or fetched. Out: observation tables `vintage_2022` and `vintage_2026`, or `counties`.
"""

from __future__ import annotations

import calendar
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wwc_research.errors import DataError, Faults, listed
from wwc_research.sources.airdata import YearFile, note, numbers, read_year, yearly_files, yearly_remotes
from wwc_research.sources.observations import Reading, left_out, long_frame
from wwc_research.sources.places import Places, Scope, state_postal
from wwc_research.sources.retrieval import Remote

SOURCE = "epa_aqi"
FETCHED = "counties"
_STEM = "annual_aqi_by_county"
_OVER_100 = ("Unhealthy for Sensitive Groups Days", "Unhealthy Days", "Very Unhealthy Days", "Hazardous Days")
_CATEGORIES = ("Good Days", "Moderate Days", *_OVER_100)
_COLUMNS = ("State", "County", "Days with AQI", *_CATEGORIES, "Median AQI")
# The pollutants that EPA counts change (older files have sulphur dioxide too), so only their sum is checked.
_POLLUTANTS = ("Days CO", "Days NO2", "Days Ozone", "Days SO2", "Days PM2.5", "Days PM10")
# Names in the column of states that are none of the fifty and DC; any other is a name that cannot be read.
_ABROAD = ("American Samoa", "Canada", "Country Of Mexico", "Guam", "Northern Mariana Islands", "Puerto Rico",
           "Virgin Islands")  # fmt: skip
_FULL_YEAR_DAYS = 350
_VALUES = {
    "aqi_days_count": "days",
    "aqi_over_100_share": "over",
    "aqi_good_share": "good",
    "aqi_median_index": "median",
}
_Entries = list[tuple[str, str, str, int]]


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
        If a file is not what `read_year` and the sums of its days ask for, or a year counted as whole has no county
        with 350 days: then the file is of a running year. All faults of all files are in one error.
    """
    tables: dict[str, pd.DataFrame] = {}
    entries: _Entries = []
    faults = Faults(SOURCE, kind=DataError)
    for vintage, last_year in scope.settings["complete_through"].items():
        table = f"vintage_{vintage}"
        files = yearly_files(Path(publishers_dir) / "epa_aqs" / f"vintage-{vintage}", _STEM)
        parts = []
        for file in files:
            part = _year(file, faults)
            if part is None:
                continue
            year = int(part["year"].iloc[0])
            if year > int(last_year):
                entries.append((table, str(year), f"the file was taken before {year} was over", len(part)))
            elif running := _running(part):
                faults.add(f"{file.name}: {running}; lower `complete_through`")
            else:
                parts.append(part)
        if parts:
            tables[table] = _table(parts, table, vintage, scope, entries)
        elif not faults:
            faults.add(f"vintage {vintage}: no whole year among {len(files)} files; raise `complete_through`")
    faults.raise_if_any()
    return Reading(observations=tables, left_out=left_out(entries))


def remotes(*, years: Sequence[int], geographies: Sequence[str], settings: Mapping[str, Any]) -> tuple[Remote, ...]:
    """One zip a year, `annual_aqi_by_county_<year>.zip`; each is national and its only geography is the county.

    Raises
    ------
    InputError
        If a year lies outside `years` of `[epa_aqi.fetch]`.
    """
    return yearly_remotes(
        years, address=settings["url"], span=settings["years"], largest_mb=settings["largest_mb"], where=SOURCE
    )


def read_fetched(files_dir: Path, *, scope: Scope, vintage: str, settings: Mapping[str, Any], raw_dir: Path) -> Reading:
    """The variables of `read` in one table `counties`, from the files that `remotes` names.

    A year in which no county has 350 days with an AQI is not over: it is left out with that reason, and the whole
    years are kept.

    Parameters
    ----------
    files_dir
        Folder with `annual_aqi_by_county_<year>.zip` (or `.csv`).
    scope
        As for `read`, without `complete_through`.
    vintage
        Name of the vintage, written into every row.
    settings
        `scored_as`: the shipped table with the same breakpoints; `largest_difference`: mean absolute difference of
        the share of good days beyond which two tables are scored differently; `fewest_in_common`: county-years
        needed to tell.
    raw_dir
        The shipped tables, which the scoring is held against.

    Raises
    ------
    DataError
        If a file is faulty (all faults of all files in one error), no year is whole, or the share of good days says
        that the files are scored with other breakpoints than `scored_as`.
    """
    faults = Faults(SOURCE, kind=DataError)
    entries: _Entries = []
    parts, refused = [], []
    for file in yearly_files(files_dir, _STEM):
        part = _year(file, faults)
        if part is None:
            continue
        running = _running(part)
        if running:
            reason = f"{running}; fetch it once the year is over and EPA has refreshed its files (June)"
            refused.append(f"{file.name}: {reason}")
            entries.append((FETCHED, str(part["year"].iloc[0]), reason, len(part)))
        else:
            parts.append(part)
    if not parts:
        for reason in refused:
            faults.add(reason)
    faults.raise_if_any()
    table = _table(parts, FETCHED, vintage, scope, entries)
    check_breakpoints(table, raw_dir=raw_dir, settings=settings)
    return Reading(observations={FETCHED: table}, left_out=left_out(entries))


def check_breakpoints(table: pd.DataFrame, *, raw_dir: Path, settings: Mapping[str, Any]) -> dict[str, float]:
    """Mean absolute difference of the share of good days to each shipped table with enough county-years in common.

    EPA re-scores the whole history when it changes the breakpoints of the index, and the files do not say so. In
    2019-22 the two shipped vintages differ by 0.112 to 0.120 a county-year, although the share of days above 100
    does not move; two retrievals under the same breakpoints differ by late reports alone.

    Parameters
    ----------
    table
        Long observations with `aqi_good_share`.
    raw_dir
        Folder with `epa_aqi/vintage_<vintage>.csv`.
    settings
        As for `read_fetched`.

    Raises
    ------
    DataError
        If the figures are not scored as `scored_as` is, or as another shipped table is.
    """
    good = table.loc[table["variable"] == "aqi_good_share", ["place_id", "year", "value"]]
    found: dict[str, float] = {}
    for path in sorted((Path(raw_dir) / SOURCE).glob("vintage_*.csv")):
        held = pd.read_csv(path, dtype={"place_id": str}, usecols=["place_id", "year", "aqi_good_share"])
        both = good.merge(held, on=["place_id", "year"])
        if len(both) >= int(settings["fewest_in_common"]):
            found[path.stem] = float((both["value"] - both["aqi_good_share"]).abs().mean())
    limit = float(settings["largest_difference"])
    faults = Faults(f"{SOURCE}, share of good days", kind=DataError)
    declare = "Give the new figures a definition of their own in catalog/sources.toml ([epa_aqi.fetch.tables.counties])"
    for name, difference in found.items():
        if name == settings["scored_as"] and difference > limit:
            faults.add(
                f"differs from the shipped {name} by {difference:.3f} a county-year (limit {limit:g}): EPA has scored "
                f"these files with other breakpoints. {declare}"
            )
        elif name != settings["scored_as"] and difference <= limit:
            faults.add(
                f"agrees with the shipped {name} (difference {difference:.3f} a county-year) and should be scored as "
                f"{settings['scored_as']}: the files are of an older retrieval. Fetch them again"
            )
    faults.raise_if_any()
    return found


def _year(path: Path, faults: Faults) -> pd.DataFrame | None:
    """One year's rows with numbers, or None where a fault was noted."""
    before = len(faults)
    file = read_year(path, columns=_COLUMNS, optional=_POLLUTANTS, faults=faults)
    if file is None:
        return None
    longest = 366 if calendar.isleap(file.year) else 365
    days = numbers(file, "Days with AQI", low=1, high=longest, faults=faults, whole=True)
    counted = {
        column: numbers(file, column, low=0, high=longest, faults=faults, whole=True)
        for column in (*_CATEGORIES, *(name for name in _POLLUTANTS if name in file.rows.columns))
    }
    median = numbers(file, "Median AQI", low=0, high=500, faults=faults)
    _check_sum(file, days, {name: counted[name] for name in _CATEGORIES}, "the days by category", faults)
    _check_sum(file, days, {k: v for k, v in counted.items() if k not in _CATEGORIES}, "the days by pollutant", faults)
    names = file.rows[["State", "County"]]
    note(file, "County", (names == "").any(axis=1), "no name of a state or county", faults)
    twice = names.duplicated(keep=False)
    note(file, "County", twice, "a county more than once", faults, told=lambda row: f"{row['County']}, {row['State']}")
    if len(faults) > before:
        return None
    return pd.DataFrame(
        {
            "state_name": names["State"],
            "county_name": names["County"],
            "year": file.year,
            "days": days,
            "over": sum(counted[name] for name in _OVER_100) / days,
            "good": counted["Good Days"] / days,
            "median": median,
        }
    )


def _check_sum(file: YearFile, days: pd.Series, parts: Mapping[str, pd.Series], what: str, faults: Faults) -> None:
    if not parts:
        return
    total = sum(parts.values())
    wrong = (total != days) & pd.notna(total) & days.notna()
    sums = dict(zip(file.rows["line"], total, strict=True))

    def told(row: pd.Series) -> str:
        return f"{row['County']}, {row['State']}: {sums[row['line']]:g} of {row['Days with AQI']}"

    note(file, "Days with AQI", wrong, f"{what} do not add up to it", faults, told=told)


def _running(part: pd.DataFrame) -> str:
    """Why the year is not whole; '' if it is."""
    # A running year looks whole until one asks for the fullest county: 317 days in a file of 2025.
    most = int(part["days"].max())
    if most >= _FULL_YEAR_DAYS:
        return ""
    year = part["year"].iloc[0]
    return f"no county has {_FULL_YEAR_DAYS} days with an AQI (most: {most}), so {year} is not a whole year"


def _table(parts: list[pd.DataFrame], table: str, vintage: str, scope: Scope, entries: _Entries) -> pd.DataFrame:
    """Long observations of the counties in scope; what is left out goes to `entries`."""
    frame = pd.concat(parts, ignore_index=True)
    frame["place_id"] = _county_ids(frame, scope.places, scope.settings.get("county_names", {}))
    _refuse_two_names(frame, table)
    frame, missed = _kept(frame, table, scope.counties)
    entries += missed
    frame["flag"] = np.where(frame["days"] < int(scope.settings["minimum_days"]), "few_days", "")
    flags = dict.fromkeys(_VALUES, "flag")
    return long_frame(frame, source=SOURCE, vintage=vintage, values=_VALUES, flags=flags)


def _refuse_two_names(frame: pd.DataFrame, table: str) -> None:
    twice = frame[(frame["place_id"] != "") & frame.duplicated(["place_id", "year"], keep=False)]
    if len(twice):
        rows = twice["county_name"] + ", " + twice["state_name"] + " in " + twice["year"].astype(str)
        raise DataError(
            f"{SOURCE}, {table}: one county stands under two names in a year: {listed(rows, limit=4)}. Keep the right "
            "one: fetch the file again, or give the other name its code in county_names of catalog/sources.toml"
        )


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


def _unread(state: str) -> str:
    return "county" if state_postal(state) else "state"


def _kept(frame: pd.DataFrame, table: str, counties: Collection[str]) -> tuple[pd.DataFrame, _Entries]:
    abroad = frame["state_name"].isin(_ABROAD).to_numpy()
    unknown = (frame["place_id"] == "").to_numpy() & ~abroad
    outside = ~abroad & ~unknown & ~frame["place_id"].isin(set(counties)).to_numpy()
    entries = [
        (table, f"{county}, {state}", f"no {_unread(state)} of this name in the gazetteer", int(rows))
        for (county, state), rows in frame[unknown].groupby(["county_name", "state_name"]).size().items()
    ]
    entries += [
        (table, "areas outside the states and DC", "no place of the universe lies there", int(abroad.sum())),
        (table, "other counties", "no place of the universe lies in them", int(outside.sum())),
    ]
    return frame[~abroad & ~unknown & ~outside].reset_index(drop=True), entries
