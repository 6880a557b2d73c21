"""BLS Local Area Unemployment Statistics → county unemployment share and labour force, annual averages.

In: workbooks `laucnty<yy>.xlsx`, or the flat file `la.data.64.County`. Out: `annual_averages`, `releases`.
"""

from __future__ import annotations

import csv
import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from wwc_research.errors import DataError, Faults, InputError, listed
from wwc_research.sources.archives import MIXED_TEXT
from wwc_research.sources.delimited import AGAIN, parsed
from wwc_research.sources.observations import Reading, left_out, long_frame
from wwc_research.sources.places import STATE_OF_CODE, Scope
from wwc_research.sources.retrieval import Remote
from wwc_research.sources.workbooks import sheet_rows

SOURCE = "bls_laus"
TABLE = "annual_averages"
SERIES_FILE = "la.data.64.County"
LEAST_COUNTIES = 3000
# A published rate has one decimal, so counts give it within half of the last digit.
_RATE_TOLERANCE = 0.0501
_SHOWN = 5

_FILE = re.compile(r"laucnty(\d{2})\.xlsx")
_CODE = re.compile(r"CN(\d{2})(\d{3})0{8}")
_RELEASED = re.compile(r"\b([A-Z][a-z]+ \d{1,2}, \d{4})\b")
_YEAR = re.compile(r"(\d{4})(?:\.0)?\s*(?:\(\w{1,2}\))?")
_NOT_AVAILABLE = frozenset({"", "N.A.", "NA", "N/A", "-", "–", "—", "(N)"})
# The heads of the columns, letters only, in the layouts of three lines (to 2022) and of one line (since).
_COLUMNS = {
    "laus": ("lauscode",),
    "state": ("statefipscode",),
    "county": ("countyfipscode",),
    "year": ("year",),
    "labor_force": ("laborforce",),
    "unemployed": ("unemployed",),
    "rate": ("unemploymentrate%", "%"),
}
_EXPECTED = (
    "LAUS Code", "State FIPS Code", "County FIPS Code", "Year", "Labor Force", "Unemployed", "Unemployment Rate (%)"
)  # fmt: skip
# Last two digits of a series: https://download.bls.gov/pub/time.series/la/la.measure
_MEASURES = {"03": "rate", "04": "unemployed", "06": "labor_force"}
_SERIES = re.compile(r"LAUCN(\d{5})0{8}(03|04|06)")
_SERIES_COLUMNS = ("series_id", "year", "period", "value")
_ANNUAL = "M13"
_PIECE = 500_000  # rows held at once; the file has some seven million


@dataclass(frozen=True, slots=True, kw_only=True)
class _Year:
    """Counties of one workbook: `rows` (`place_id`, `year`, `labor_force`, `unemployed`, `rate`) and its release."""

    file: str
    rows: pd.DataFrame
    released: str


def read(publishers_dir: Path, *, scope: Scope) -> Reading:
    """`unemployment_share` (unemployed over labour force) and `labor_force_count` by county and year.

    The share is worked out from the published counts, which keeps more digits than the published rate of
    one decimal, and must agree with that rate; otherwise `DataError`. `N.A.` (Puerto Rico in 2020) is a
    missing value with the flag `not_available`.
    """
    books = _workbooks(Path(publishers_dir) / "bls_laus")
    frame = pd.concat([book.rows for book in books], ignore_index=True)
    table, entries = _observations(frame, scope=scope, counties=scope.counties, vintage="2021-2024")
    return Reading(observations={TABLE: table}, left_out=left_out(entries))


def remotes(*, years: Sequence[int], geographies: Sequence[str], settings: Mapping[str, Any]) -> tuple[Remote, ...]:
    """One workbook a year (`county`), or the one file of all county series since 1990 (`county_series`).

    Both hold the figures of the same database. The workbooks are the default: a quarter of a megabyte a year against
    several hundred, they carry the day of their release, and BLS writes all that it revised anew each spring, so that
    years fetched together bear one release as far as BLS gives one. The flat file is the road for all years at once.

    Raises
    ------
    InputError
        If both roads are asked for, which would give every figure twice.
    """
    if "county" in geographies and "county_series" in geographies:
        raise InputError(
            "bls_laus: 'county' and 'county_series' are two roads to the same figures; ask for one of them"
        )
    if "county_series" in geographies:
        largest = int(settings["series_largest_mb"] * 1_000_000)
        return (Remote(url=settings["series_url"], name=SERIES_FILE, kind="text", largest=largest),)
    largest = int(settings["largest_mb"] * 1_000_000)
    return tuple(
        Remote(
            url=settings["url"].format(yy=f"{year % 100:02d}"),
            name=f"laucnty{year % 100:02d}.xlsx",
            kind="xlsx",
            largest=largest,
            year=year,
        )
        for year in sorted(set(years))
    )


def read_fetched(files_dir: Path, *, scope: Scope, vintage: str, settings: Mapping[str, Any], raw_dir: Path) -> Reading:
    """The same figures from fetched files, with Connecticut's planning regions, and the day of each release.

    Returns
    -------
    Reading
        Observations `annual_averages`: counties that hold part of a place of the universe, and planning regions,
        which took the place of Connecticut's counties for all years with the release of March 2025. Averages of
        years in `scope.settings["incomplete_years"]` carry the flag `partial_year`.
        Table `releases`: `year`, `file`, `released` (ISO day that the file bears; '' in the flat file), `rows`.

    Raises
    ------
    DataError
        All faults of all files at once: a web page or a damaged workbook, columns that are missing, another year
        inside, counties twice, less than 3,000 counties, counts that do not give the published rate.
    """
    files_dir = Path(files_dir)
    series = files_dir / SERIES_FILE
    if series.is_file():
        frame, entries_of_files = _series_rows(series, years=settings["years"])
        counts = frame.groupby("year").size()
        releases = pd.DataFrame({"year": counts.index, "file": SERIES_FILE, "released": "", "rows": counts.to_numpy()})
    else:
        books, entries_of_files = _workbooks(files_dir), []
        frame = pd.concat([book.rows for book in books], ignore_index=True)
        releases = pd.DataFrame(
            [(int(b.rows["year"].iloc[0]), b.file, b.released, len(b.rows)) for b in books],
            columns=["year", "file", "released", "rows"],
        )
    regions = _planning_regions(scope)
    table, entries = _observations(frame, scope=scope, counties=scope.counties | regions, vintage=vintage)
    entries += entries_of_files + _absent(frame, scope=scope, regions=regions) + _seams(releases)
    return Reading(
        observations={TABLE: table},
        tables={"releases": releases.sort_values("year", ignore_index=True)},
        left_out=left_out(entries),
    )


# --- figures ---------------------------------------------------------------------------------------------


def _observations(
    frame: pd.DataFrame, *, scope: Scope, counties: frozenset[str], vintage: str
) -> tuple[pd.DataFrame, list[tuple[str, str, str, int]]]:
    frame = frame.assign(share=frame["unemployed"] / frame["labor_force"])
    faults = Faults(SOURCE, kind=DataError)
    differs = (frame["share"] * 100 - frame["rate"]).abs() > _RATE_TOLERANCE
    for row in frame[differs].head(_SHOWN).itertuples(index=False):
        faults.add(f"{row.place_id} in {row.year}: counts give {row.share:.4f}, the published rate is {row.rate}")
    if differs.sum() > _SHOWN:
        faults.add(f"{int(differs.sum()) - _SHOWN:,} more rows where counts and rate disagree; {AGAIN}")
    faults.raise_if_any()
    partial = frame["year"].isin(scope.settings.get("incomplete_years", ()))
    frame["flag"] = ""
    frame.loc[partial & frame["share"].notna(), "flag"] = "partial_year"
    inside = frame["place_id"].isin(counties)
    table = long_frame(
        frame[inside],
        source=SOURCE,
        vintage=vintage,
        values={"unemployment_share": "share", "labor_force_count": "labor_force"},
        flags={"unemployment_share": "flag", "labor_force_count": "flag"},
        missing_flag="not_available",
        decimals={"labor_force_count": 0},
    )
    return table, [(TABLE, "other counties", "no place of the universe lies in them", int((~inside).sum()))]


def _planning_regions(scope: Scope) -> frozenset[str]:
    known = scope.places.counties
    return frozenset(known.loc[known["name"].str.endswith("Planning Region"), "county_id"])


def _absent(frame: pd.DataFrame, *, scope: Scope, regions: frozenset[str]) -> list[tuple[str, str, str, int]]:
    """One entry a county of the scope that a year does not hold; Connecticut's are told apart."""
    held = {year: set(part) for year, part in frame.groupby("year")["place_id"]}
    entries = []
    for county in sorted(scope.counties):
        years = [int(year) for year, ids in held.items() if county not in ids]
        # the old counties are not missed in a year that has the regions
        replaced = [year for year in years if county.startswith("09") and held[year] & regions]
        if replaced:
            reason = "planning regions have taken its place; crosswalks/place_county holds their shares"
            entries.append((TABLE, f"county {county}", reason, len(replaced)))
        if len(years) > len(replaced):
            missing = [year for year in years if year not in replaced]
            entries.append((TABLE, f"county {county}", f"the file has no row in {listed(missing)}", len(missing)))
    return entries


def _seams(releases: pd.DataFrame) -> list[tuple[str, str, str, int]]:
    """One entry for each release beside the newest one: a comparison over that border is one over two estimates."""
    newest = max(releases["released"])
    entries = []
    for released, part in releases.groupby("released"):
        if released != newest:
            first, last = part["year"].min(), part["year"].max()
            years = f"{first}" if first == last else f"{first}-{last}"
            reason = f"they bear the release of {released or 'an unknown day'}, the newest is of {newest}: a seam"
            entries.append((TABLE, f"a common release of {years}", reason, len(part)))
    return entries


# --- workbooks -------------------------------------------------------------------------------------------


def _workbooks(folder: Path) -> list[_Year]:
    files = sorted(path for path in folder.glob("laucnty*.xlsx") if _FILE.fullmatch(path.name))
    if not files:
        raise DataError(f"{folder}: no file laucnty<yy>.xlsx")
    faults = Faults(SOURCE, kind=DataError)
    books = []
    for file in files:
        try:
            books.append(_workbook(file))
        except DataError as error:
            faults.add(str(error))
    faults.raise_if_any()
    return sorted(books, key=lambda book: int(book.rows["year"].iloc[0]))


def _workbook(file: Path) -> _Year:
    """Rows with a LAUS code of a county; titles, blank lines and footnotes have none."""
    rows = [[_text(cell) for cell in row] for row in sheet_rows(file)]
    first = next((i for i, row in enumerate(rows) if any(_CODE.fullmatch(cell) for cell in row)), None)
    if first is None:
        raise DataError(f"{file.name}: no row has the code of a county, such as CN0100100000000; {AGAIN}")
    width = max(len(row) for row in rows)
    rows = [row + [""] * (width - len(row)) for row in rows]
    columns = _columns(rows[:first], width=width, where=file.name)
    laus, state, county = columns["laus"], columns["state"], columns["county"]
    numbered = [(i, row) for i, row in enumerate(rows, start=1) if row[laus].startswith("CN") or row[state].isdigit()]
    faults = Faults(file.name, kind=DataError)
    odd = [
        f"{row[laus]!r} with {row[state]!r} and {row[county]!r} in row {i}"
        for i, row in numbered
        if (match := _CODE.fullmatch(row[laus])) is None
        or match.groups() != (row[state].zfill(2), row[county].zfill(3))
    ]
    if odd:
        faults.add(
            f"{len(odd):,} LAUS codes are damaged or differ from the state and county beside them: {listed(odd)}"
        )
        faults.raise_if_any()
    frame = pd.DataFrame(
        {
            "place_id": [row[state].zfill(2) + row[county].zfill(3) for _, row in numbered],
            "year": [_year(row[columns["year"]]) for _, row in numbered],
        }
    )
    for name in ("labor_force", "unemployed", "rate"):
        frame[name] = _figures([row[columns[name]] for _, row in numbered], [i for i, _ in numbered], name, faults)
    _check_counties(frame, faults=faults)
    asked = _year_of(file)
    other = frame["year"] != asked
    if other.any():
        texts = listed(sorted({row[columns["year"]] for (_, row), bad in zip(numbered, other, strict=True) if bad}))
        faults.add(f"{int(other.sum()):,} rows are of year {texts}; the file's name says {asked}")
    faults.raise_if_any()
    return _Year(file=file.name, rows=frame, released=_released([*rows[:first], *rows[numbered[-1][0] :]]))


def _columns(head: list[list[str]], *, width: int, where: str) -> dict[str, int]:
    """Positions of the columns by the words above them, which stand in one line or broken over three."""
    # A title fills one cell of its line.
    lines = [row for row in head if sum(bool(cell) for cell in row) > 1]
    heads = [" ".join(row[i] for row in lines if row[i]).replace("- ", "") for i in range(width)]
    letters = [re.sub(r"[^a-z%]", "", text.lower()) for text in heads]
    if letters.count("code") == 3:
        # copies that have lost the upper lines of the head keep the publisher's order
        laus, state, county = (i for i, text in enumerate(letters) if text == "code")
        letters[laus], letters[state], letters[county] = "lauscode", "statefipscode", "countyfipscode"
    places = {name: [i for i, text in enumerate(letters) if text in texts] for name, texts in _COLUMNS.items()}
    wrong = [name for name, found in places.items() if len(found) != 1]
    if wrong:
        shown = [text for text in heads if text] or ["no heads"]
        raise DataError(
            f"{where}: columns for {listed(wrong, limit=10)} are missing, twice or renamed; found "
            f"{listed(shown, limit=20)}; expected {listed(_EXPECTED, limit=20)}. {AGAIN.capitalize()}"
        )
    return {name: found[0] for name, found in places.items()}


def _figures(cells: list[str], lines: list[int], name: str, faults: Faults) -> pd.Series:
    text = pd.Series(cells, dtype=object)
    values = parsed(text)
    wrong = (values.isna() & ~text.str.upper().isin(_NOT_AVAILABLE)) | (values < 0)
    if wrong.any():
        shown = [f"{text[i]!r} in row {lines[i]}" for i in text.index[wrong]]
        faults.add(f"{name}: {len(shown):,} cells are neither a number nor N.A.: {listed(shown)}")
    return values


def _check_counties(frame: pd.DataFrame, *, faults: Faults, of: str = "") -> None:
    """Faults of one year's counties: too few, a county twice, codes of no state, states without a county."""
    if len(frame) < LEAST_COUNTIES:
        faults.add(f"{of}{len(frame):,} county rows; a national file has more than {LEAST_COUNTIES:,}; {AGAIN}")
    twice = sorted(set(frame.loc[frame.duplicated("place_id"), "place_id"]))
    if twice:
        faults.add(f"{of}counties {listed(twice)} occur more than once")
    states = set(frame["place_id"].str[:2])
    unknown = sorted(states - set(STATE_OF_CODE) - {"72"})
    if unknown:
        faults.add(f"{of}state codes {listed(unknown)} are none of the states, DC and Puerto Rico")
    absent = [STATE_OF_CODE[code] for code in sorted(set(STATE_OF_CODE) - states)]
    if absent:
        faults.add(f"{of}no county of {listed(absent)}: the file is cut off; {AGAIN}")


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


def _year(text: str) -> int:
    match = _YEAR.fullmatch(text)
    return int(match.group(1)) if match else -1


def _year_of(file: Path) -> int:
    match = _FILE.fullmatch(file.name)
    short = int(match.group(1)) if match else 0
    # the series begin in 1990
    return 1900 + short if short >= 90 else 2000 + short


def _released(lines: list[list[str]]) -> str:
    """The ISO day in the lines above or below the rows, '' where there is none."""
    for cell in (cell for row in lines for cell in row):
        for text in _RELEASED.findall(cell):
            try:
                return datetime.datetime.strptime(text, "%B %d, %Y").date().isoformat()
            except ValueError:
                continue
    return ""


# --- the flat file ---------------------------------------------------------------------------------------


def _series_rows(path: Path, *, years: Sequence[int]) -> tuple[pd.DataFrame, list[tuple[str, str, str, int]]]:
    """Annual averages (period M13) of `la.data.64.County`, one row a county and year, and what it lacks.

    The file is read in pieces.
    """
    faults = Faults(path.name, kind=DataError)
    parts = []
    try:
        with pd.read_csv(
            path,
            sep="\t",
            dtype=str,
            keep_default_na=False,
            chunksize=_PIECE,
            encoding="utf-8-sig",
            encoding_errors=MIXED_TEXT,
            quoting=csv.QUOTE_NONE,
        ) as pieces:
            for piece in pieces:
                parts.append(_annual(piece, years=years, where=path.name, faults=faults))
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path.name}: cannot be read as tab-separated text ({error}); {AGAIN}") from error
    rows = pd.concat(parts)
    if rows.empty:
        faults.raise_if_any()
        raise DataError(f"{path.name}: no annual average (period {_ANNUAL}) of a county; {AGAIN}")
    twice = rows[rows.duplicated(["place_id", "year", "measure"])]
    if len(twice):
        shown = twice["place_id"] + " " + twice["year"].astype(str) + " measure " + twice["measure"]
        faults.add(f"{len(twice):,} figures occur more than once: {listed(shown)}")
    absent = sorted(set(_MEASURES) - set(rows["measure"]))
    if absent:
        faults.add(f"no series of measure {listed(absent)} (03 rate, 04 unemployed, 06 labor force)")
    rows["number"] = _figures(list(rows["value"]), list(rows.index), "value", faults).to_numpy()
    faults.raise_if_any()
    keyed = rows.set_index(["place_id", "year"])
    columns = [keyed.loc[keyed["measure"] == code, "number"].rename(name) for code, name in _MEASURES.items()]
    frame = pd.concat(columns, axis=1).sort_index().reset_index()
    for year, part in frame.groupby("year"):
        _check_counties(part, faults=faults, of=f"{year}: ")
    faults.raise_if_any()
    return frame, _lacking(rows)


def _lacking(rows: pd.DataFrame) -> list[tuple[str, str, str, int]]:
    """One entry a county and measure without a row where the county's other measures have one."""
    keys = pd.MultiIndex.from_frame(rows[["place_id", "year"]].drop_duplicates())
    entries = []
    for code, name in _MEASURES.items():
        held = pd.MultiIndex.from_frame(rows.loc[rows["measure"] == code, ["place_id", "year"]])
        gaps = keys.difference(held).get_level_values("place_id").value_counts().sort_index()
        reason = f"the file has no row of measure {code} ({name})"
        entries += [(TABLE, f"county {place_id}", reason, int(count)) for place_id, count in gaps.items()]
    return entries


def _annual(piece: pd.DataFrame, *, years: Sequence[int], where: str, faults: Faults) -> pd.DataFrame:
    piece = piece.rename(columns=str.strip)
    missing = [name for name in _SERIES_COLUMNS if name not in piece.columns]
    if missing:
        raise DataError(
            f"{where}: columns {listed(missing)} are missing; found {listed([c[:60] for c in piece.columns])}; "
            f"expected {listed(_SERIES_COLUMNS)}. A web page may have come instead; {AGAIN}"
        )
    piece = piece[piece["period"].str.strip() == _ANNUAL]
    ids, year = piece["series_id"].str.strip(), piece["year"].str.strip()
    for name, texts, shape in (("series_id", ids, r"LAU[A-Z]{2}\d{15}"), ("year", year, r"\d{4}")):
        wrong = texts[~texts.str.fullmatch(shape).astype(bool)]
        if len(wrong):
            shown = listed([f"{text!r} in line {line + 2}" for line, text in wrong.head(_SHOWN).items()])
            faults.add(f"{name}: {len(wrong):,} cells cannot be read: {shown}; {AGAIN}")
    series = ids.str.extract(_SERIES)
    rows = pd.DataFrame(
        {
            "place_id": series[0],
            "measure": series[1],
            "year": pd.to_numeric(year, errors="coerce"),
            "value": piece["value"].str.strip(),
        }
    )
    rows = rows[rows["place_id"].notna() & rows["year"].between(years[0], years[-1])]
    rows.index = rows.index + 2  # line of the file, below the head
    return rows.astype({"year": int})
