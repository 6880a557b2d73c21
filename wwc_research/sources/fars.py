"""Fatality Analysis Reporting System → traffic deaths of counties and cities, counted where the crash happened.

In: one national zip a year. Out: tables `counties` and `places`: deaths, and deaths per 100,000 residents.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wwc_research.errors import DataError, Faults, WwcError, listed
from wwc_research.sources.archives import open_member, text_stream
from wwc_research.sources.census_counts import census_residents, residents_in
from wwc_research.sources.delimited import AGAIN, numbers, text_table
from wwc_research.sources.observations import Reading, left_out, long_frame
from wwc_research.sources.places import STATE_OF_CODE, Match, Places, Scope
from wwc_research.sources.retrieval import Remote
from wwc_research.sources.universe_names import UniverseNames

SOURCE = "fars"
COUNT, RATE = "traffic_deaths_count", "traffic_deaths_per_100k"
# What a table may unpack to: some 25 MB of crashes and 60 MB of persons in the largest years.
UNPACKED_LIMIT = 400_000_000
_FILE = re.compile(r"FARS(\d{4})NationalCSV\.zip")
_REQUIRED = ("STATE", "ST_CASE", "COUNTY", "CITY", "YEAR", "FATALS")
# Codes of the General Services Administration, which FARS uses: counties have their Census code, cities have not.
_NO_COUNTY = (0, 997, 998, 999)  # not applicable, other, not reported, unknown
_OUTSIDE, _NO_CODE = 0, 9997  # outside city limits; a city without a code
_UNKNOWN_CITY = (9898, 9999)  # not reported, unknown
_KILLED = "4"  # INJ_SEV of a person
_SHOWN = 3
_Entries = list[tuple[str, str, str, int]]


def remotes(*, years: Sequence[int], geographies: Sequence[str], settings: Mapping[str, Any]) -> tuple[Remote, ...]:
    """One national zip a year; a file serves counties and cities alike."""
    largest = int(settings["largest_mb"] * 1_000_000)
    return tuple(
        Remote(
            url=settings["url"].format(year=year),
            name=f"FARS{year}NationalCSV.zip",
            kind="zip",
            largest=largest,
            year=year,
        )
        for year in sorted(set(years))
    )


def read_fetched(files_dir: Path, *, scope: Scope, vintage: str, settings: Mapping[str, Any], raw_dir: Path) -> Reading:
    """`traffic_deaths_count` and `traffic_deaths_per_100k` by year, for counties and for cities of the universe.

    Returns
    -------
    Reading
        `counties`: every county in scope and year; without a crash it has 0 deaths, since the system counts them all.
        `places`: cities whose name stands beside a city code in any of the files, held against the county of the
        crashes. Crashes are independent and the deaths in one crash are not, so the standard error is that of a
        compound Poisson count: the square root of the sum of squares of the deaths of each crash, over the residents
        for the rate; it is missing, not zero, where nobody died. Residents are those of the censuses of 2010 and 2020,
        between them on a straight line, from 2020 on those of 2020. Flags: `preliminary` (value held; the last of
        `years` of the settings, whose final file comes with that of the year after), `not_located`
        (most_unknown_share of a state's deaths have no known county or city, or a city with many deaths in other
        years has none), `no_population`.
        `left_out`: crashes without a known county or city by state, cities without a code, names that fit no place
        alone, codes whose crashes lie elsewhere, deaths that the file of persons counts otherwise.

    Raises
    ------
    DataError
        All faults of all files at once: no whole zip, columns that are missing, another year inside, a case twice,
        cells that are no numbers, crashes without a death, states missing, far too few crashes, or deaths that the
        file of persons does not bear out.
    """
    found = {path: match for path in sorted(Path(files_dir).glob("*.zip")) if (match := _FILE.fullmatch(path.name))}
    if not found:
        raise DataError(f"{files_dir}: no file FARS<year>NationalCSV.zip")
    faults = Faults(SOURCE, kind=DataError)
    parts: list[pd.DataFrame] = []
    entries: _Entries = []
    for path, match in found.items():
        try:
            part, notes = _year(path, year=int(match.group(1)), settings=settings)
        except WwcError as error:
            faults.add(str(error))
            continue
        parts.append(part)
        entries += notes
    faults.raise_if_any()
    crashes = pd.concat(parts, ignore_index=True)
    observations = {}
    for table, made in (("counties", _counties), ("places", _places)):
        figures, notes = made(crashes, scope=scope, settings=settings, raw_dir=Path(raw_dir))
        entries += notes
        if len(figures):
            observations[table] = _long(figures, vintage=vintage)
    return Reading(observations=observations, left_out=left_out(entries))


# --- one file --------------------------------------------------------------------------------------------


def _year(path: Path, *, year: int, settings: Mapping[str, Any]) -> tuple[pd.DataFrame, _Entries]:
    """One row a crash: `year`, `state`, `county_id` ('' if not known), `city`, `city_name`, `deaths`."""
    with open_member(path, "accident.csv", largest=UNPACKED_LIMIT) as stream:
        cells = text_table(
            stream.read(),
            where=f"{path.name}, accident.csv",
            separators=(",",),
            required=_REQUIRED,
            keep=(*_REQUIRED, "CITYNAME"),
        )
    faults = Faults(f"{path.name}, accident.csv", kind=DataError)
    other = cells["YEAR"][~cells["YEAR"].isin([str(year), f"{year % 100:02d}"])]
    if len(other):
        faults.add(f"YEAR: {len(other):,} crashes are of {listed(sorted(set(other)))}, not of {year}; {AGAIN}")
    twice = cells.duplicated(["STATE", "ST_CASE"])
    if twice.any():
        faults.add(f"ST_CASE: {int(twice.sum()):,} cases occur more than once: {_shown(cells.loc[twice, 'ST_CASE'])}")
    state = numbers(cells["STATE"], faults=faults, least=1)
    county = numbers(cells["COUNTY"], faults=faults, missing=("",))
    city = numbers(cells["CITY"], faults=faults, missing=("",))
    deaths = numbers(cells["FATALS"], faults=faults, least=1)
    faults.raise_if_any()
    code = state.astype(int).astype(str).str.zfill(2)
    lacking = [STATE_OF_CODE[text] for text in sorted(set(STATE_OF_CODE) - set(code))]
    if lacking:
        faults.add(f"no crash in {listed(lacking)}: the file is cut off or of some states only; {AGAIN}")
    if len(cells) < int(settings["minimum_crashes"]):
        faults.add(f"{len(cells):,} crashes; a national file has {settings['minimum_crashes']:,} or more; {AGAIN}")
    faults.raise_if_any()
    known = county.notna() & ~county.isin(_NO_COUNTY)
    frame = pd.DataFrame(
        {
            "year": year,
            "state": code,
            "county_id": (code + county.fillna(0).astype(int).astype(str).str.zfill(3)).where(known, ""),
            "city": city,
            "city_name": cells["CITYNAME"] if "CITYNAME" in cells.columns else "",
            "deaths": deaths,
        }
    )
    entries = _held_against_persons(path, int(deaths.sum()), tolerance=float(settings["most_difference_share"]))
    inside = frame["state"].isin(STATE_OF_CODE)
    reason = "crashes outside the fifty states and DC"
    entries += [("counties", f"{year}, state code {text}", reason, n) for text, n in _counted(code[~inside])]
    return frame[inside], entries


def _held_against_persons(path: Path, deaths: int, *, tolerance: float) -> _Entries:
    """A note where the file of persons counts other deaths; a `DataError` where they are far apart."""
    where = f"{path.name}, person.csv"
    with open_member(path, "person.csv", largest=UNPACKED_LIMIT) as stream:
        lines = csv.reader(text_stream(stream))
        try:
            header = [cell.strip().upper() for cell in next(lines, [])]
            if "INJ_SEV" not in header:
                raise DataError(f"{where}: column INJ_SEV is missing; found {listed(header, limit=20)}. {AGAIN}")
            at = header.index("INJ_SEV")
            killed = sum(len(row) > at and row[at].strip() == _KILLED for row in lines)
        except csv.Error as error:
            raise DataError(f"{where}, line {lines.line_num}: cannot be read as a table ({error}); {AGAIN}") from error
    if abs(killed - deaths) > tolerance * deaths:
        raise DataError(
            f"{path.name}: the crashes count {deaths:,} deaths (FATALS) and the persons {killed:,} (INJ_SEV 4); one "
            f"of the two tables is cut off or damaged; {AGAIN}"
        )
    if killed == deaths:
        return []
    reason = f"the crashes count {deaths:,} deaths and the persons {killed:,}; those of the crashes are used"
    return [("counties", path.name, reason, abs(killed - deaths))]


# --- counties --------------------------------------------------------------------------------------------


def _counties(
    crashes: pd.DataFrame, *, scope: Scope, settings: Mapping[str, Any], raw_dir: Path
) -> tuple[pd.DataFrame, _Entries]:
    people = census_residents(raw_dir, key="county_id")
    known = crashes["county_id"].isin(set(people.index))
    entries = _by_state("counties", crashes[~known], "whose county is not known or has a code of no county")
    inside = crashes["county_id"].isin(scope.counties)
    entries.append(
        ("counties", "other counties", "no place of the universe lies in them", int((known & ~inside).sum()))
    )
    withheld = _unlocated(crashes, ~known, most=float(settings["most_unknown_share"]))
    found = _sums(crashes[inside], area="county_id")
    areas = {county: county[:2] for county in sorted(scope.counties)}
    return _figures(found, areas, sorted(set(crashes["year"])), people, withheld, settings), entries


def _unlocated(crashes: pd.DataFrame, unknown: pd.Series, *, most: float) -> set[tuple[str, int]]:
    """State and year of which more than `most` of the deaths are in no known area: a zero would mean nothing."""
    keys = [crashes["state"], crashes["year"]]
    share = crashes["deaths"].where(unknown, 0).groupby(keys).sum() / crashes["deaths"].groupby(keys).sum()
    return set(share.index[share > most])


# --- cities ----------------------------------------------------------------------------------------------


def _places(
    crashes: pd.DataFrame, *, scope: Scope, settings: Mapping[str, Any], raw_dir: Path
) -> tuple[pd.DataFrame, _Entries]:
    path = raw_dir / "crosswalks" / "place_county.csv"
    people = census_residents(raw_dir, key="place_id")
    unknown = crashes["city"].isna() | crashes["city"].isin(_UNKNOWN_CITY)
    entries = _by_state("places", crashes[unknown], "whose city is not known (codes 9898 and 9999)")
    withheld = _unlocated(crashes, unknown, most=float(settings["most_unknown_share"]))
    coded = crashes[~unknown & ~crashes["city"].isin([_OUTSIDE, _NO_CODE])]
    years_of_states = set(crashes[["state", "year"]].itertuples(index=False, name=None))
    # a state without a single city code has not filled in the column
    withheld |= years_of_states - set(coded[["state", "year"]].itertuples(index=False, name=None))
    codes, notes = _codes(coded, places=scope.places, counties=_counties_of(path))
    entries += notes
    keys = pd.MultiIndex.from_frame(coded[["state", "city"]])
    place = pd.Series([codes.get(key, "") for key in keys], index=coded.index, dtype=object)
    outside = int((place == "").sum())
    entries.append(("places", "crashes in other cities", "their code belongs to no place of the universe", outside))
    found = _sums(coded.assign(place=place)[place != ""], area="place")
    areas = {code: code[:2] for code in sorted(set(codes.values()))}
    for code in sorted(set(scope.places.universe) - set(areas)):
        reason = "no city code of these files bears its name, so that no crash and no figure can be told apart"
        entries.append(("places", f"{scope.places.name(code)} ({code})", reason, 1))
    years = sorted(set(crashes["year"]))
    figures = _figures(found, areas, years, people, withheld, settings)
    return _without_odd_zeros(figures, scope.places, least=float(settings["no_zero_above"]), entries=entries), entries


def _codes(
    coded: pd.DataFrame, *, places: Places, counties: Mapping[str, Collection[str]]
) -> tuple[dict[tuple[str, float], str], _Entries]:
    """Place of each state and city code, by the name beside it and held by the county of its crashes."""
    named = coded[coded["city_name"] != ""]
    names = named.groupby(["state", "city"])["city_name"].agg(lambda texts: sorted(set(texts)))
    index = UniverseNames(places)
    found: dict[tuple[str, float], str] = {}
    entries: _Entries = []
    for key, texts in names.items():
        state = STATE_OF_CODE[key[0]]
        own = [re.sub(r"\s*\(\d+\)$", "", text) for text in texts]
        matches = [match for text in own if (match := index.find(text, state=state)) is not None]
        hits = {match.place_id for match in matches if isinstance(match, Match)}
        label = f"{listed(own)}, {state} (city code {key[1]:.0f})"
        if len(hits) > 1 or not all(isinstance(match, Match) for match in matches):
            entries.append(("places", label, "the names beside the code fit several places", 1))
        elif hits & index.universe:
            found[key] = hits.pop()
    by_code: dict[tuple[str, float], dict[str, float]] = {}
    where = coded[coded["county_id"] != ""].groupby(["state", "city", "county_id"])["deaths"].sum()
    for (state, code, county), deaths in where.items():
        by_code.setdefault((state, code), {})[county] = float(deaths)
    for key, place in list(found.items()):
        of_code = by_code.get(key, {})
        near = sum(deaths for county, deaths in of_code.items() if county in counties.get(place, ()))
        if near < sum(of_code.values()) / 2:
            label = f"{places.name(place)} ({place}; city code {key[1]:.0f})"
            reason = f"most of the code's crashes lie in other counties ({listed(of_code, limit=_SHOWN)})"
            entries.append(("places", label, reason, int(sum(of_code.values()))))
            del found[key]
    return found, entries


def _counties_of(path: Path) -> dict[str, frozenset[str]]:
    rows = pd.read_csv(path, dtype=str, usecols=["place_id", "county_id"])
    return {str(place): frozenset(codes) for place, codes in rows.groupby("place_id")["county_id"]}


def _without_odd_zeros(figures: pd.DataFrame, places: Places, *, least: float, entries: _Entries) -> pd.DataFrame:
    """Figures without zeros that chance does not make: the city's code has changed, or was not used that year."""
    by_place = figures.groupby("place_id")["deaths"]
    others = (by_place.transform("sum") - figures["deaths"].fillna(0)) / (by_place.transform("count") - 1).clip(lower=1)
    odd = figures["deaths"].eq(0) & (others >= least)
    for row in figures[odd].itertuples():
        reason = f"no death in {row.year} and {others[row.Index]:.0f} a year otherwise: the code was not used"
        entries.append(("places", f"{places.name(row.place_id)} ({row.place_id})", reason, 1))
    return _withhold(figures, odd)


# --- figures ---------------------------------------------------------------------------------------------


def _sums(crashes: pd.DataFrame, *, area: str) -> pd.DataFrame:
    """Sum of the deaths of each crash, and of their squares, by area and year."""
    squared = crashes.assign(squares=crashes["deaths"] ** 2)
    return squared.groupby([area, "year"])[["deaths", "squares"]].sum()


def _figures(
    found: pd.DataFrame,
    areas: Mapping[str, str],
    years: Sequence[int],
    people: pd.DataFrame,
    withheld: Collection[tuple[str, int]],
    settings: Mapping[str, Any],
) -> pd.DataFrame:
    """One row an area and year: deaths and their squares (0 where no crash was), residents, flag of the count."""
    grid = pd.MultiIndex.from_product([list(areas), years], names=["place_id", "year"])
    frame = found.rename_axis(["place_id", "year"]).reindex(grid, fill_value=0.0).reset_index()
    frame["residents"] = residents_in(people, areas=frame["place_id"], years=frame["year"])
    frame["flag"] = np.where(frame["year"] >= settings["years"][1], "preliminary", "")
    keys = zip(frame["place_id"].map(areas), frame["year"], strict=True)
    return _withhold(frame, pd.Series([key in withheld for key in keys], index=frame.index, dtype=bool))


def _withhold(frame: pd.DataFrame, rows: pd.Series) -> pd.DataFrame:
    return frame.assign(deaths=frame["deaths"].mask(rows), flag=frame["flag"].mask(rows, "not_located"))


def _long(frame: pd.DataFrame, *, vintage: str) -> pd.DataFrame:
    deaths, residents = frame["deaths"], frame["residents"]
    error = np.sqrt(frame["squares"])
    wide = frame.assign(
        count_error=error,
        rate=deaths / residents * 100_000,
        rate_error=error / residents * 100_000,
        rate_flag=frame["flag"].mask(residents.isna() & deaths.notna(), "no_population"),
    )
    return long_frame(
        wide,
        source=SOURCE,
        vintage=vintage,
        values={COUNT: "deaths", RATE: "rate"},
        std_errors={COUNT: "count_error", RATE: "rate_error"},
        flags={COUNT: "flag", RATE: "rate_flag"},
    )


def _by_state(table: str, crashes: pd.DataFrame, what: str) -> _Entries:
    """One entry a state: crashes that stay out of the table, with the deaths in them."""
    return [
        (
            table,
            f"crashes in {STATE_OF_CODE[str(state)]}",
            f"{rows['deaths'].sum():,.0f} deaths in crashes {what}",
            len(rows),
        )
        for state, rows in crashes.groupby("state")
    ]


def _counted(codes: pd.Series) -> list[tuple[str, int]]:
    return [(str(code), int(rows)) for code, rows in codes.value_counts().items()]


def _shown(values: pd.Series) -> str:
    return listed([f"{value} in line {line}" for line, value in values.head(_SHOWN).items()])
