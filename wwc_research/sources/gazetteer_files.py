"""Census Gazetteer files → land area and coordinates of places and counties, held against the shipped gazetteer.

In: `<year>_Gaz_place_national.zip`, `<year>_Gaz_counties_national.zip`. Out: tables `places`, `counties`, `changes`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wwc_research.errors import DataError, Faults, WwcError, listed
from wwc_research.sources.archives import open_member
from wwc_research.sources.delimited import AGAIN, numbers, text_table
from wwc_research.sources.observations import Reading, left_out
from wwc_research.sources.places import STATE_CODE, Scope, legal_type, normalised, short_name
from wwc_research.sources.retrieval import Remote

SOURCE = "gazetteer_files"
# The word in the file's name, and the digits of its codes.
LAYERS = {"place": ("place", 7), "county": ("counties", 5)}
_FILE = re.compile(r"(\d{4})_Gaz_(place|counties)_national\.zip")
# GEOIDFQ came with 2025, LSAD and FUNCSTAT stand in the places' file only; neither is needed.
_REQUIRED = ("USPS", "GEOID", "NAME", "ALAND", "AWATER", "ALAND_SQMI", "INTPTLAT", "INTPTLONG")
# The files of places hold some 3 MB.
UNPACKED_LIMIT = 60_000_000
_KM2_PER_SQMI = 2.589988110336
_EARTH_KM = 6371.0088
# Statistical entities, which no government stands behind; Urban Honolulu is one and stays, being in the universe.
_STATISTICAL = re.compile(r" (?:CDP|comunidad|zona urbana)$")
_PUERTO_RICO = "PR"
_COLUMNS = {
    "place": ["place_id", "year", "name", "state", "land_km2", "water_km2", "latitude", "longitude"],
    "county": ["county_id", "year", "name", "state", "land_km2", "water_km2", "latitude", "longitude"],
}


def remotes(*, years: Sequence[int], geographies: Sequence[str], settings: Mapping[str, Any]) -> tuple[Remote, ...]:
    """One zip a year and layer (`place`, `county`)."""
    largest = int(settings["largest_mb"] * 1_000_000)
    return tuple(
        Remote(
            url=settings["url"].format(year=year, layer=LAYERS[geography][0]),
            name=f"{year}_Gaz_{LAYERS[geography][0]}_national.zip",
            kind="zip",
            largest=largest,
            year=year,
        )
        for year in sorted(set(years))
        for geography in dict.fromkeys(geographies)
    )


def read_fetched(files_dir: Path, *, scope: Scope, vintage: str, settings: Mapping[str, Any], raw_dir: Path) -> Reading:
    """Areas and coordinates by year of the boundaries, and what has changed against the shipped gazetteer.

    Returns
    -------
    Reading
        `places` (incorporated places and the universe) and `counties`: `place_id` or `county_id`, `year`, `name`,
        `state`, `land_km2`, `water_km2` (square kilometres, from the square metres of ALAND and AWATER), `latitude`,
        `longitude` (degrees, of a point inside). A layer that was not fetched has no table.
        `changes`: `geography`, `id`, `change` (`absent`, `renamed`, `legal_type`, `moved`), `shipped`, `published`,
        `distance_km`; the newest year against the shipped universe and counties. Each is also in `left_out`.

    Raises
    ------
    DataError
        All faults of all files at once.
    """
    found = {path: match for path in sorted(Path(files_dir).glob("*.zip")) if (match := _FILE.fullmatch(path.name))}
    if not found:
        raise DataError(f"{files_dir}: no file <year>_Gaz_place_national.zip or <year>_Gaz_counties_national.zip")
    faults = Faults(SOURCE, kind=DataError)
    parts: dict[str, list[pd.DataFrame]] = {}
    for path, match in found.items():
        geography = next(name for name, (word, _) in LAYERS.items() if word == match.group(2))
        try:
            frame = _layer(path, geography=geography, minimum=int(settings[f"minimum_{match.group(2)}"]))
        except WwcError as error:
            faults.add(str(error))
            continue
        parts.setdefault(geography, []).append(frame.assign(year=int(match.group(1))))
    faults.raise_if_any()
    tables, changes, entries = {}, [], []
    for geography, frames in parts.items():
        name = "places" if geography == "place" else "counties"
        frame = pd.concat(frames, ignore_index=True)
        kept, left = _kept(frame, geography=geography, scope=scope)
        entries += [(name, item, reason, count) for item, reason, count in left]
        tables[name] = kept.sort_values(list(kept.columns[:2]), ignore_index=True)
        newest = frame[frame["year"] == frame["year"].max()]
        shipped = _shipped(geography, scope=scope, raw_dir=Path(raw_dir))
        changed = _changes(newest, shipped, geography=geography, moved_km=float(settings["moved_km"]))
        changes.append(changed)
        entries += [(name, _label(row), _reason(row), 1) for row in changed.itertuples(index=False)]
    tables["changes"] = pd.concat(changes, ignore_index=True)
    return Reading(tables=tables, left_out=left_out(entries))


# --- one file --------------------------------------------------------------------------------------------


def _layer(path: Path, *, geography: str, minimum: int) -> pd.DataFrame:
    """Columns of `_COLUMNS` without the year, one row an area of the file, checked."""
    with open_member(path, "*.txt", largest=UNPACKED_LIMIT) as stream:
        content = stream.read()
    # tab-separated to 2024 (with blanks behind the last heading), with pipes since 2025
    cells = text_table(content, where=path.name, separators=("\t", "|", ","), required=_REQUIRED)
    faults = Faults(path.name, kind=DataError)
    key, digits = _COLUMNS[geography][0], LAYERS[geography][1]
    ids = cells["GEOID"].str.zfill(digits)
    odd = ~ids.str.fullmatch(rf"\d{{{digits}}}")
    if odd.any():
        faults.add(f"GEOID: {int(odd.sum()):,} codes are not of {digits} digits: {_shown(cells.loc[odd, 'GEOID'])}")
    twice = ids.duplicated()
    if twice.any():
        faults.add(f"GEOID: {int(twice.sum()):,} codes occur more than once: {_shown(ids[twice])}")
    state = cells["USPS"].map(STATE_CODE).where(cells["USPS"] != _PUERTO_RICO, "72")
    other = state.ne(ids.str[:2]) & ~odd
    if other.any():
        faults.add(f"USPS and GEOID name different states in {int(other.sum()):,} rows: {_shown(ids[other])}")
    nameless = cells["NAME"] == ""
    if nameless.any():
        faults.add(f"NAME: {int(nameless.sum()):,} rows have none: {_shown(ids[nameless])}")
    if len(cells) < minimum:
        faults.add(f"{len(cells):,} rows; a national file has {minimum:,} or more; {AGAIN}")
    land, water = (numbers(cells[name], faults=faults) for name in ("ALAND", "AWATER"))
    miles = numbers(cells["ALAND_SQMI"], faults=faults, whole=False)
    latitude = numbers(cells["INTPTLAT"], faults=faults, whole=False, least=-90.0)
    longitude = numbers(cells["INTPTLONG"], faults=faults, whole=False, least=-180.0)
    _check_area(land, miles, ids, faults)
    outside = (latitude > 90) | (longitude > 180)
    if outside.any():
        faults.add(f"{int(outside.sum()):,} points lie off the globe: {_shown(ids[outside])}")
    faults.raise_if_any()
    return pd.DataFrame(
        {
            key: ids,
            "name": cells["NAME"],
            "state": cells["USPS"],
            "land_km2": (land / 1e6).round(4),
            "water_km2": (water / 1e6).round(4),
            "latitude": latitude,
            "longitude": longitude,
        }
    ).reset_index(drop=True)


def _check_area(land: pd.Series, miles: pd.Series, ids: pd.Series, faults: Faults) -> None:
    """Square metres and square miles must be one area: a column that has moved or changed its unit shows here."""
    gap = (land / 1e6 / _KM2_PER_SQMI - miles).abs()
    # three decimals, one in some years
    wrong = gap > 0.06 + miles * 0.001
    if wrong.any():
        faults.add(f"ALAND (square metres) and ALAND_SQMI differ in {int(wrong.sum()):,} rows: {_shown(ids[wrong])}")


def _shown(values: pd.Series) -> str:
    return listed([f"{value!r} in line {line}" for line, value in values.head(4).items()])


# --- the shipped gazetteer -------------------------------------------------------------------------------


def _kept(frame: pd.DataFrame, *, geography: str, scope: Scope) -> tuple[pd.DataFrame, list[tuple[str, str, int]]]:
    puerto_rico = frame["state"] == _PUERTO_RICO
    left = [("areas of Puerto Rico", "outside the fifty states and DC", int(puerto_rico.sum()))]
    keep = ~puerto_rico
    if geography == "place":
        statistical = frame["name"].str.contains(_STATISTICAL) & ~frame["place_id"].isin(scope.places.universe)
        left.append(
            ("census-designated places", "statistical areas without a government", int((statistical & keep).sum()))
        )
        keep &= ~statistical
    return frame.loc[keep, _COLUMNS[geography]], left


def _shipped(geography: str, *, scope: Scope, raw_dir: Path) -> pd.DataFrame:
    """`id`, `name`, `state` and, for places, the coordinates that are shipped."""
    if geography == "county":
        known = scope.places.counties.rename(columns={"county_id": "id"})
        return known[["id", "name", "state"]].assign(latitude=np.nan, longitude=np.nan)
    path = raw_dir / "gazetteer" / "universe.csv"
    if not path.is_file():
        raise DataError(f"{path}: the shipped universe of places is missing; restore it or compile the data again")
    universe = pd.read_csv(path, dtype={"place_id": str, "name": str, "state": str}).rename(columns={"place_id": "id"})
    return universe[["id", "name", "state", "latitude", "longitude"]]


def _changes(published: pd.DataFrame, shipped: pd.DataFrame, *, geography: str, moved_km: float) -> pd.DataFrame:
    """One row a difference: an area may be renamed and moved at once."""
    key = _COLUMNS[geography][0]
    now = published.rename(columns={key: "id"})[["id", "name", "latitude", "longitude"]]
    both = shipped.merge(now, on="id", how="left", suffixes=("", "_now"))
    gone = both["name_now"].isna()
    told = both["name_now"].fillna("")
    own = [_own_name(a) != _own_name(b) for a, b in zip(both["name"], told, strict=True)]
    kind = [legal_type(a) != legal_type(b) for a, b in zip(both["name"], told, strict=True)]
    distance = _distance_km(both["latitude"], both["longitude"], both["latitude_now"], both["longitude_now"])
    renamed = np.array(own, dtype=bool) & ~gone
    retyped = np.array(kind, dtype=bool) & ~gone & (geography == "place")
    moved = (distance > moved_km) & ~gone
    rows = [
        (
            geography,
            row.id,
            change,
            _point(row.latitude, row.longitude) if change == "moved" else row.name,
            _point(row.latitude_now, row.longitude_now) if change == "moved" else row.told,
            row.km if change == "moved" else np.nan,
        )
        for change, those in (("absent", gone), ("renamed", renamed), ("legal_type", retyped), ("moved", moved))
        for row in both.assign(told=told, km=distance.round(1))[those].itertuples(index=False)
    ]
    frame = pd.DataFrame(rows, columns=["geography", "id", "change", "shipped", "published", "distance_km"])
    return frame.astype({"distance_km": float}).sort_values(["id", "change"], ignore_index=True)


def _own_name(name: str) -> str:
    return normalised(short_name(name))


def _point(latitude: float, longitude: float) -> str:
    return f"{latitude:.3f} {longitude:.3f}"


def _distance_km(lat: pd.Series, lon: pd.Series, lat_now: pd.Series, lon_now: pd.Series) -> pd.Series:
    """Great-circle distance by the haversine formula (Sinnott 1984), NaN where a point is missing."""
    a, b, c, d = (np.radians(series.astype(float)) for series in (lat, lat_now, lon, lon_now))
    chord = np.sin((b - a) / 2) ** 2 + np.cos(a) * np.cos(b) * np.sin((d - c) / 2) ** 2
    return 2 * _EARTH_KM * np.arcsin(np.sqrt(chord.clip(0, 1)))


def _label(row: Any) -> str:
    return f"{row.geography} {row.id}"


def _reason(row: Any) -> str:
    if row.change == "absent":
        return f"shipped as {row.shipped}; its code is no longer in the file: merged, dissolved or recoded"
    if row.change == "moved":
        return f"the shipped point {row.shipped} lies {row.distance_km:.1f} km from the published {row.published}"
    words = "own name" if row.change == "renamed" else "legal type"
    return f"another {words}: shipped as {row.shipped}, published as {row.published}"
