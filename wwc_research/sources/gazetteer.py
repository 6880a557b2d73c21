"""Census place lists → the universe of places, all incorporated place names, and county names.

In: population estimates, Geocorr lists and coordinates. Out: tables `universe`, `names`, `counties`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from wwc_research.errors import DataError, Faults, listed
from wwc_research.sources.observations import Reading, left_out
from wwc_research.sources.places import (
    STATE_OF_CODE,
    alternative_names,
    legal_type,
    normalised,
    short_name,
)
from wwc_research.sources.workbooks import ESTIMATE_YEARS, place_estimates

POPULATION_FILE = "census_pep/SUB-IP-EST2019-ANNRES.xlsx"
# Geocorr 2018 lists 2010 and 2014 places, Geocorr 2022 the places of 2020; together they name every code.
PLACE_LISTS = (
    ("census_geo/geocorr2018_county_place_2010_thru_2019.csv", "state", "placefp", "placenm"),
    ("census_geo/geocorr2018_county_place_2014_thru_2019.csv", "state", "placefp14", "placenm14"),
    ("census_geo/geocorr2022_county_place_2020_2021.csv", "state", "place", "PlaceName"),
)


def read(publishers_dir: Path, *, settings: Mapping[str, Any]) -> Reading:
    """Universe (places of `minimum_population` in any year 2010-19, and roster cities), names, counties.

    Returns
    -------
    Reading
        Tables `universe` (`place_id`, `name`, `state`, `legal_type`, `county_id` of the county that holds
        most residents, `latitude`, `longitude`, `population_2019_count`, `population_max_count`, `why`),
        `names` (`place_id`, `name`, `state`, `in_universe`, `aliases`) of all incorporated places with a
        code, and `counties` (`county_id`, `name`, `state`).

    Raises
    ------
    DataError
        If a place of the universe has no code, no county, or two codes.
    """
    publishers_dir = Path(publishers_dir)
    estimates = place_estimates(publishers_dir / POPULATION_FILE)
    codes = place_codes(publishers_dir)
    named, missed = _with_codes(estimates, codes)
    named["population_max_count"] = named[list(ESTIMATE_YEARS)].max(axis=1)
    roster = _roster_places(publishers_dir)
    large = named["population_max_count"] >= int(settings["minimum_population"])
    in_roster = named["place_id"].isin(roster)
    _check_universe(missed, named, roster, minimum=int(settings["minimum_population"]))
    aliases = {place_id: "|".join(texts) for place_id, texts in settings.get("aliases", {}).items()}
    names = named[["place_id", "name", "state"]].assign(
        in_universe=(large | in_roster).astype(int), aliases=named["place_id"].map(aliases).fillna("")
    )
    universe = named[large | in_roster].copy()
    universe["why"] = "population"
    universe.loc[~large & in_roster, "why"] = "roster"
    universe = _with_geography(universe, publishers_dir)
    entries = [
        (
            "names",
            "places without a unique code",
            "their name and state match no or several codes",
            len(missed),
        )
    ]
    return Reading(
        tables={
            "universe": universe.sort_values("place_id", ignore_index=True),
            "names": names.sort_values("place_id", ignore_index=True),
            "counties": county_names(publishers_dir),
        },
        left_out=left_out(entries if len(missed) else []),
    )


def place_codes(publishers_dir: Path) -> pd.DataFrame:
    """Every 7-digit place code with its state and Census name, over all place lists."""
    parts = []
    for file, state, place, name in PLACE_LISTS:
        # Names hold accented letters in Latin-1; state and place codes come with and without leading zeros.
        raw = pd.read_csv(Path(publishers_dir) / file, dtype=str, encoding="latin-1")
        raw = raw[raw[state].str.strip().str.isdigit()]
        code = raw[state].str.strip().str.zfill(2) + raw[place].str.strip().str.zfill(5)
        label = raw[name].str.rsplit(",", n=1).str[0].str.strip()
        parts.append(pd.DataFrame({"place_id": code, "label": label}))
    codes = pd.concat(parts).drop_duplicates()
    codes = codes[~codes["place_id"].str.endswith("99999")]
    return codes.assign(state=codes["place_id"].str[:2].map(STATE_OF_CODE)).dropna(subset=["state"])


def county_names(publishers_dir: Path) -> pd.DataFrame:
    """`county_id`, `name`, `state` of every county and Connecticut planning region of 2014 to 2023."""
    path = Path(publishers_dir) / "census_geo/county-populations.csv"
    raw = pd.read_csv(path, dtype=str, encoding="latin-1")
    # One row of the file has its comma inside the quotes: "New Mexico, Doña Ana County" as the state.
    joined = raw["county_name"].isna()
    parts = raw.loc[joined, "state_name"].str.split(",", n=1)
    raw.loc[joined, "county_name"] = parts.str[1]
    frame = pd.DataFrame(
        {
            "county_id": raw["state"] + raw["county"],
            "name": raw["county_name"].str.strip(),
            "state": raw["state"].map(STATE_OF_CODE),
        }
    )
    return (
        frame.dropna(subset=["state"])
        .drop_duplicates("county_id", keep="first")
        .sort_values("county_id", ignore_index=True)
    )


def _with_codes(estimates: pd.DataFrame, codes: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    keyed = codes.assign(key=[normalised(text) for text in codes["label"]])
    groups = keyed.groupby(["state", "key"])["place_id"].agg(lambda ids: sorted(set(ids)))
    index = groups.to_dict()
    found = [
        index.get((state, normalised(name)), [])
        for state, name in zip(estimates["state"], estimates["name"], strict=True)
    ]
    unique = [ids[0] if len(ids) == 1 else None for ids in found]
    frame = estimates.assign(place_id=pd.Series(unique, index=estimates.index, dtype=object))
    twice = frame["place_id"].notna() & frame.duplicated("place_id", keep=False)
    good = frame["place_id"].notna() & ~twice
    return frame[good].copy(), frame[~good].copy()


def _roster_places(publishers_dir: Path) -> set[str]:
    path = publishers_dir / "treatment/roster.csv"
    return set(pd.read_csv(path, dtype=str)["place_geoid"].dropna())


def _check_universe(missed: pd.DataFrame, named: pd.DataFrame, roster: set[str], *, minimum: int) -> None:
    faults = Faults("gazetteer", kind=DataError)
    large = missed.loc[missed[list(ESTIMATE_YEARS)].max(axis=1) >= minimum]
    for name, state in zip(large["name"], large["state"], strict=True):
        faults.add(f"{name}, {state} has {minimum:,} people or more and no unique code in the place lists")
    absent = sorted(roster - set(named["place_id"]))
    if absent:
        faults.add(f"roster codes {listed(absent)} are in no population estimate; correct the roster")
    faults.raise_if_any()


def _with_geography(universe: pd.DataFrame, publishers_dir: Path) -> pd.DataFrame:
    frame = universe.assign(
        legal_type=[legal_type(name) for name in universe["name"]],
        population_2019_count=universe[2019].astype(int),
        population_max_count=universe["population_max_count"].astype(int),
        county_id=universe["place_id"].map(_main_county(publishers_dir)),
    )
    if frame["county_id"].isna().any():
        raise DataError(f"gazetteer: no county for {listed(frame.loc[frame['county_id'].isna(), 'name'])}")
    points = _coordinates(publishers_dir)
    found = [_point(name, state, points) for name, state in zip(frame["name"], frame["state"], strict=True)]
    frame["latitude"] = [point[0] for point in found]
    frame["longitude"] = [point[1] for point in found]
    columns = ["place_id", "name", "state", "legal_type", "county_id", "latitude", "longitude"]
    return frame[[*columns, "population_2019_count", "population_max_count", "why"]]


def _main_county(publishers_dir: Path) -> dict[str, str]:
    # Later lists overwrite earlier ones, but Connecticut keeps its counties (the 2020-21 list).
    main: dict[str, str] = {}
    for file, county, place, people in (
        ("geocorr2018_county_place_2014_thru_2019.csv", "county14", "placefp14", "pop10"),
        ("geocorr2022_county_place_2020_2021.csv", "countyfip", "place", "pop20"),
    ):
        raw = pd.read_csv(publishers_dir / "census_geo" / file, dtype=str, encoding="latin-1")
        raw = raw[raw[county].str.strip().str.isdigit()]
        frame = pd.DataFrame(
            {
                "place_id": raw["state"].str.strip().str.zfill(2) + raw[place].str.strip().str.zfill(5),
                "county_id": raw[county].str.strip().str.zfill(5),
                "people": pd.to_numeric(raw[people]),
            }
        )
        largest = frame.sort_values(["people", "county_id"], ascending=[False, True])
        main |= largest.drop_duplicates("place_id").set_index("place_id")["county_id"].to_dict()
    return main


def _coordinates(publishers_dir: Path) -> dict[tuple[str, str], list[tuple[str, float, float]]]:
    raw = pd.read_csv(publishers_dir / "census_geo/us2021census-coordinates.csv")
    points: dict[tuple[str, str], list[tuple[str, float, float]]] = {}
    for row in raw.itertuples(index=False):
        key = (str(row.State), normalised(str(row.City)))
        points.setdefault(key, []).append((str(row.Type).lower(), float(row.Latitude), float(row.Longitude)))
    return points


def _point(
    name: str, state: str, points: Mapping[tuple[str, str], list[tuple[str, float, float]]]
) -> tuple[float, float]:
    """Latitude and longitude, NaN unless one row of the list carries the name (and, if several, the type)."""
    for text in (short_name(name), *alternative_names(name), short_name(name).removesuffix(" City")):
        rows = points.get((state, normalised(text)), [])
        if len(rows) > 1:
            rows = [row for row in rows if row[0] == legal_type(name)]
        if len(rows) == 1:
            return rows[0][1], rows[0][2]
    return float("nan"), float("nan")
