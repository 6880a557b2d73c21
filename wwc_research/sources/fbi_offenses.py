"""FBI, offenses known to law enforcement by city (Table 8) → violent crimes of cities, and per 100,000 residents.

In: tables saved by hand, as the FBI gives them no lasting address. Out: one table an era of definitions.
"""

from __future__ import annotations

import csv
import io
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wwc_research.errors import DataError, Faults, InputError, WwcError, listed
from wwc_research.sources.archives import open_member, text_of
from wwc_research.sources.census_counts import census_residents, residents_in
from wwc_research.sources.delimited import numbers
from wwc_research.sources.observations import Reading, left_out, long_frame
from wwc_research.sources.places import Match, Scope, state_postal
from wwc_research.sources.retrieval import Kind, Remote
from wwc_research.sources.universe_names import UniverseNames
from wwc_research.sources.workbooks import sheet_rows

SOURCE = "fbi_offenses"
COUNT, RATE = "violent_crime_count", "violent_crime_per_100k"
UNPACKED_LIMIT = 50_000_000
# Last year and table of each era: forcible rape alone; the wider definition beside it, as each department chose; the
# wider one alone; incident-based reports alone; these and summary reports again.
ERAS = (
    (2012, "forcible_rape"),
    (2016, "either_rape"),
    (2020, "revised_rape"),
    (2021, "incidents_only"),
    (9999, "both_forms"),
)
_ZIP = re.compile(r"offenses-known-to-le-(\d{4})\.zip", flags=re.IGNORECASE)
# Table_8_..._by_City_2019.xlsx, CIUS_Table_8_..._2024.xlsx, table-8-2018.csv; in 2016 the table was number 6
_TABLE = re.compile(r"(?:cius_)?table[-_ ]?0?[68]\D.*?(\d{4})\.(xlsx|csv|xls)", flags=re.IGNORECASE)
_KINDS: Mapping[str, Kind] = {".zip": "zip", ".xlsx": "xlsx", ".csv": "csv"}
_ZIPPED_FROM = 2020
_VIOLENT = "violent crime"
_RAPE = re.compile(r"(forcible )?rape\b.*")
_PARTS = ("murder and nonnegligent manslaughter", "robbery", "aggravated assault")
_FOOTNOTE = re.compile(r"[\d,\s]+$")
_TERRITORIES = ("puerto rico", "guam", "virgin islands", "u.s. virgin islands", "american samoa")
_AGAIN = "save it again from the FBI's page"
_SHOWN = 4
_Entries = list[tuple[str, str, str, int]]


def found(folder: Path, *, settings: Mapping[str, Any]) -> tuple[Remote, ...]:
    """The tables of a folder as `table_files` finds them, with the page from which each is saved for its address."""
    largest = int(settings["largest_mb"] * 1_000_000)
    return tuple(
        Remote(
            url=settings["url" if year >= _ZIPPED_FROM else "older_url"],
            name=path.name,
            kind=_KINDS[path.suffix.lower()],
            largest=largest,
            year=year,
        )
        for path, year in table_files(folder).items()
    )


def remotes(*, years: Sequence[int], geographies: Sequence[str], settings: Mapping[str, Any]) -> tuple[Remote, ...]:
    """Nothing: the FBI signs each address anew, for minutes.

    Raises
    ------
    InputError
        Always; it says where the tables are and how they are saved.
    """
    raise InputError(f"{SOURCE}, {listed(sorted(set(years)), limit=30)}: {settings['how']}")


def table_files(folder: Path) -> dict[Path, int]:
    """The tables of a folder, and the year of each by its name: what `read_fetched` reads.

    Raises
    ------
    DataError
        If there is none, a year has two, or one is in the old Excel format.
    """
    found = {}
    faults = Faults(str(folder), kind=DataError)
    for path in sorted(Path(folder).iterdir()) if Path(folder).is_dir() else []:
        match = _ZIP.fullmatch(path.name) or _TABLE.fullmatch(path.name)
        if match is None:
            continue
        if path.suffix.lower() == ".xls":
            faults.add(f"{path.name} is in the old Excel format; open it and save it as {path.stem}.xlsx or .csv")
        found[path] = int(match.group(1))
    years = list(found.values())
    for year in sorted({year for year in years if years.count(year) > 1}):
        names = [path.name for path, of in found.items() if of == year]
        faults.add(f"{listed(names)} are of the same year; keep one of them")
    if not found:
        faults.add("no file offenses-known-to-le-<year>.zip, and no Table 8 with the year at the end of its name")
    faults.raise_if_any()
    return found


def read_fetched(files_dir: Path, *, scope: Scope, vintage: str, settings: Mapping[str, Any], raw_dir: Path) -> Reading:
    """`violent_crime_count` and `violent_crime_per_100k` of every city of the universe, by year.

    Parameters
    ----------
    files_dir
        Folder with one file a year: the FBI's `offenses-known-to-le-<year>.zip`, or its Table 8 as .xlsx or .csv with
        the year at the end of the name.
    settings
        `[fbi_offenses.fetch]`: `agencies` (police departments of other names, with their place),
        `most_population_ratio` (residents by the FBI and by the census), `minimum_cities`, `named_from`,
        `most_odd_share`.

    Returns
    -------
    Reading
        A table of `ERAS` for the years of each. The rate stands on the residents whom the FBI gives. A city without a
        row or without a total is missing (`not_published`), never zero; one whose total is not the sum of its
        offenses, or that two departments claim, is `not_available`; a rate without residents is `no_population`.
        `left_out`: each of these, cities by name where large; agencies of other places; agencies whose residents are
        far from those of the place of their name.

    Raises
    ------
    DataError
        All faults of all files at once: no workbook or a web page, no heading with city and violent crime, another
        year in the title, states that are none, cells that are no numbers, rows twice, far too few cities, or many
        totals that are no sums.
    """
    faults = Faults(SOURCE, kind=DataError)
    index = UniverseNames(scope.places)
    people = census_residents(raw_dir, key="place_id")
    entries: _Entries = []
    parts: dict[str, list[pd.DataFrame]] = {}
    for path, year in table_files(files_dir).items():
        table = next(name for last, name in ERAS if year <= last)
        try:
            cities = _cities(path, year=year, settings=settings)
            frame, notes = _figures(cities, year=year, table=table, index=index, people=people, settings=settings)
        except WwcError as error:
            faults.add(str(error))
            continue
        parts.setdefault(table, []).append(frame)
        entries += notes
    faults.raise_if_any()
    observations = {
        table: long_frame(
            pd.concat(frames, ignore_index=True),
            source=SOURCE,
            vintage=vintage,
            values={COUNT: "count", RATE: "rate"},
            flags={COUNT: "flag", RATE: "rate_flag"},
        )
        for table, frames in parts.items()
    }
    return Reading(observations=observations, left_out=left_out(entries))


# --- one file --------------------------------------------------------------------------------------------


def _cities(path: Path, *, year: int, settings: Mapping[str, Any]) -> pd.DataFrame:
    """`state`, `city`, `population`, `violent`, `is_sum`, one row an agency, in the order of the file."""
    name, rows = _rows(path)
    start, end, columns = _heading(rows, where=name)
    faults = Faults(name, kind=DataError)
    title = " ".join(cell for row in rows[:start] for cell in row)
    years = set(re.findall(r"\b(?:19|20)\d{2}\b", title))
    if years and str(year) not in years:
        faults.add(f"the title is of {listed(sorted(years))}, the file's name of {year}; give the file its right name")
    kept = [(line, row) for line, row in enumerate(rows[end:], start=end + 1) if _is_city(row, columns)]
    cells = pd.DataFrame(
        {column: [row[at] if at < len(row) else "" for _, row in kept] for column, at in columns.items()},
        index=pd.Index([line for line, _ in kept], name="line"),
        dtype=object,
    )
    counts = {
        column: numbers(cells[column], faults=faults, missing=("",)) for column in cells if column in _counted(cells)
    }
    state = _states(rows[end:], kept, columns["state"], start=end + 1, faults=faults)
    city = cells["city"].str.replace(_FOOTNOTE, "", regex=True)
    if len(cells) < int(settings["minimum_cities"]):
        faults.add(f"{len(cells):,} cities; a national table has {settings['minimum_cities']:,} or more; {_AGAIN}")
    faults.raise_if_any()
    frame = pd.DataFrame({"state": state, "city": city, "violent": counts[_VIOLENT]})
    frame["population"] = counts.get("population", np.nan)
    twice = frame.duplicated() & (frame["state"] != "")
    if twice.any():
        shown = [f"{row.city} in line {row.Index}" for row in frame[twice].head(_SHOWN).itertuples()]
        faults.add(f"{int(twice.sum()):,} rows occur more than once: {listed(shown)}; {_AGAIN}")
    frame["is_sum"] = _is_sum(counts)
    odd = ~frame["is_sum"]
    if odd.mean() > float(settings["most_odd_share"]):
        shown = [f"{row.city} in line {row.Index}" for row in frame[odd].head(_SHOWN).itertuples()]
        faults.add(
            f"violent crime is not the sum of murder, rape, robbery and assault in {int(odd.sum()):,} rows: "
            f"{listed(shown)}; columns have moved or cells are damaged; {_AGAIN}"
        )
    faults.raise_if_any()
    return frame


def _rows(path: Path) -> tuple[str, list[list[str]]]:
    """The file as the user knows it, and its cells as text."""
    if path.suffix.lower() == ".csv":
        text = text_of(path.read_bytes(), where=path.name)
        if text.lstrip()[:1] == "<":
            raise DataError(f"{path.name}: a web page was saved instead of the table; {_AGAIN}")
        try:
            return path.name, [[_text(cell) for cell in row] for row in csv.reader(io.StringIO(text, newline=""))]
        except csv.Error as error:
            raise DataError(f"{path.name}: cannot be read as a table ({error}); {_AGAIN}") from error
    if path.suffix.lower() == ".xlsx":
        return path.name, [[_text(cell) for cell in row] for row in sheet_rows(path)]
    with tempfile.TemporaryDirectory() as folder:
        member = Path(folder) / "Table 8.xlsx"
        with open_member(path, "*Table_8_*.xlsx", largest=UNPACKED_LIMIT, is_workbook=True) as stream:
            member.write_bytes(stream.read())
        try:
            rows = sheet_rows(member)
        except WwcError as error:
            raise DataError(f"{path.name}, {error}") from error
    return f"{path.name}, Table 8", [[_text(cell) for cell in row] for row in rows]


def _text(cell: object) -> str:
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return "" if cell is None else " ".join(str(cell).split())


def _heading(rows: list[list[str]], *, where: str) -> tuple[int, int, dict[str, int]]:
    """First row of the heading, first row below it, and the columns by name without footnotes."""
    at = next((i for i, row in enumerate(rows) if "city" in [_word(cell) for cell in row]), None)
    if at is None:
        begin = " ".join(cell for row in rows[:3] for cell in row)[:60]
        raise DataError(f"{where}: no row with the heading City; the sheet begins with {begin!r}; {_AGAIN}")
    start, end = at, at + 1
    # a title fills one cell; the upper half of a heading fills several
    while start > 0 and sum(map(bool, rows[start - 1])) > 2:
        start -= 1
    city = [_word(cell) for cell in rows[at]].index("city")
    while (
        end < len(rows)
        and sum(map(bool, rows[end])) > 1
        and not any(re.search(r"\d{2}|^\d", cell) for cell in rows[end][city:])
    ):
        if len(rows[end]) > city and rows[end][city]:
            break
        end += 1
    width = max(len(row) for row in rows[start:end])
    names = [_word(" ".join(row[i] for row in rows[start:end] if i < len(row) and row[i])) for i in range(width)]
    wanted = ("state", "city", "population", _VIOLENT, *_PARTS)
    columns = {name: i for i, name in enumerate(names) if name in wanted or _RAPE.fullmatch(name)}
    faults = Faults(where, kind=DataError)
    missing = [name for name in ("state", "city", _VIOLENT) if name not in columns]
    if missing:
        shown = [name for name in names if name]
        faults.add(
            f"columns {listed(missing)} are missing; found {listed(shown, limit=20)}; expected "
            f"{listed(wanted, limit=20)}; {_AGAIN}"
        )
    twice = sorted({name for name in names if name in columns and names.count(name) > 1})
    if twice:
        faults.add(f"columns {listed(twice)} occur more than once")
    faults.raise_if_any()
    return start, end, columns


def _word(text: str) -> str:
    """Small letters and single blanks alone, without footnotes: `Rape1` gives `rape`."""
    return " ".join(re.sub(r"[^a-z]+", " ", text.lower()).split())


def _counted(cells: pd.DataFrame) -> list[str]:
    return [column for column in cells.columns if column not in ("state", "city")]


def _is_city(row: list[str], columns: Mapping[str, int]) -> bool:
    return columns["city"] < len(row) and bool(row[columns["city"]])


def _states(
    rows: list[list[str]], kept: list[tuple[int, list[str]]], at: int, *, start: int, faults: Faults
) -> pd.Series:
    """Postal code of each kept row, filled down from the heading of its state; '' in a territory."""
    wanted = {line for line, _ in kept}
    postal, found, odd = None, {}, []
    for line, row in enumerate(rows, start=start):
        text = _FOOTNOTE.sub("", row[at]) if at < len(row) else ""
        known = state_postal(text) if text else None
        if known is not None:  # beside a city, or on a line of its own
            postal = known
        elif text.lower() in _TERRITORIES:
            postal = ""
        elif line in wanted and (text or postal is None):
            odd.append(f"{row[at]!r} in line {line}")
        if line in wanted:
            found[line] = postal or ""
    if odd:
        faults.add(f"state: {len(odd):,} cells name no state: {listed(odd, limit=_SHOWN)}")
    return pd.Series(found, dtype=object)


def _is_sum(counts: Mapping[str, pd.Series]) -> pd.Series:
    """Whether the total is that of its parts, within two cases or a hundredth; True where a part is not given."""
    total = counts[_VIOLENT]
    fits = pd.Series(True, index=total.index)
    if not set(_PARTS) <= set(counts):
        return fits
    others = sum((counts[name] for name in _PARTS), start=pd.Series(0.0, index=total.index))
    rapes = [values for name, values in counts.items() if _RAPE.fullmatch(name)]
    gaps = pd.DataFrame({i: (others + rape - total).abs() for i, rape in enumerate(rapes)}, index=total.index)
    nearest = gaps.min(axis=1)
    return ~(nearest > np.maximum(2.0, total * 0.01))


# --- cities ----------------------------------------------------------------------------------------------


def _figures(
    cities: pd.DataFrame,
    *,
    year: int,
    table: str,
    index: UniverseNames,
    people: pd.DataFrame,
    settings: Mapping[str, Any],
) -> tuple[pd.DataFrame, _Entries]:
    """One row a place of the universe: `count`, `rate` and their flags; what was left out."""
    entries: _Entries = [
        (
            table,
            f"{year}: agencies of territories",
            "outside the fifty states and DC",
            int((cities["state"] == "").sum()),
        )
    ]
    cities = cities[cities["state"] != ""]
    declared: Mapping[str, str] = settings["agencies"]
    labels = cities["city"] + ", " + cities["state"]
    place = pd.Series("", index=cities.index, dtype=object)
    for line, label, city, state in zip(cities.index, labels, cities["city"], cities["state"], strict=True):
        found = index.find(city, state=state)
        if label in declared:
            place[line] = declared[label]
        elif isinstance(found, Match) and found.place_id in index.universe:
            place[line] = found.place_id
        elif found is not None and not isinstance(found, Match):
            entries.append((table, f"{year}: {label}", f"names several places: {listed(found.candidates)}", 1))
    own_people = residents_in(people, areas=place, years=pd.Series(year, index=place.index))
    ratio = cities["population"] / own_people
    most = float(settings["most_population_ratio"])
    far = (ratio.gt(most) | ratio.lt(1 / most)) & cities["population"].gt(0) & ~labels.isin(list(declared))
    for line in cities.index[far]:
        reason = (
            f"serves {cities.loc[line, 'population']:,.0f} people, and {index.places.name(place[line])} had "
            f"{own_people[line]:,.0f} by the census: another place of that name"
        )
        entries.append((table, f"{year}: {labels[line]}", reason, 1))
    own = cities.assign(place=place.mask(far, ""))
    other = int(((place == "") & ~far).sum())
    entries.append((table, f"{year}: agencies of other places", "no place of the universe goes by their name", other))
    own = own[own["place"] != ""]
    shared = own["place"].duplicated(keep=False)
    for code, rows in own[shared].groupby("place"):
        reason = f"{listed(labels[rows.index])} both stand for it, and which one is its police is not known"
        entries.append((table, f"{year}: {index.places.name(str(code))} ({code})", reason, len(rows)))
    for line in own.index[~shared & ~own["is_sum"]]:
        reason = "violent crime is not the sum of murder, rape, robbery and assault"
        entries.append((table, f"{year}: {labels[line]}", reason, 1))
    frame = pd.DataFrame({"place_id": sorted(index.universe)}).merge(
        own[~shared].rename(columns={"place": "place_id"}), on="place_id", how="left"
    )
    entries += _absences(
        frame, set(own["place"]), year=year, table=table, index=index, people=people, settings=settings
    )
    held_back = frame["place_id"].isin(own.loc[shared, "place"]) | frame["is_sum"].eq(False)
    count = frame["violent"].astype(float).mask(held_back)
    flag = np.select([held_back, count.isna()], ["not_available", "not_published"], "")
    rate = count / frame["population"].where(frame["population"] > 0) * 100_000
    frame = frame[["place_id"]].assign(year=year, count=count, rate=rate, flag=flag)
    frame["rate_flag"] = frame["flag"].mask(rate.isna() & count.notna(), "no_population")
    return frame, entries


def _absences(
    frame: pd.DataFrame,
    present: set[str],
    *,
    year: int,
    table: str,
    index: UniverseNames,
    people: pd.DataFrame,
    settings: Mapping[str, Any],
) -> _Entries:
    """Cities that have no row, or a row without a total: the large ones by name, the others counted."""
    reason = "did not report twelve months of the year"
    if year == 2021:
        reason += " as single incidents, the only form that the FBI took"
    entries: _Entries = []
    small = 0
    for row in frame[frame["violent"].isna() & ~(frame["place_id"].isin(present) & frame["city"].isna())].itertuples():
        if people[2020].get(row.place_id, 0.0) < float(settings["named_from"]):
            small += 1
            continue
        why = "its row has no total of violent crimes" if row.place_id in present else f"no row of it: {reason}"
        entries.append((table, f"{year}: {index.places.name(row.place_id)} ({row.place_id})", why, 1))
    entries.append((table, f"{year}: smaller cities of the universe", f"no row or no total: {reason}", small))
    return entries
