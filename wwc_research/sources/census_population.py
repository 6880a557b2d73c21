"""Census population estimates → residents of places.

In: the 2019 workbook, yearly figures of 486 places, fetched SUB-EST files. Out: tables `estimates_2019`, `yearly`;
fetched `estimates` (on the census of 2020) and `intercensal` (2010-19, between two censuses).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from wwc_research.errors import DataError, Faults, listed
from wwc_research.sources.delimited import AGAIN, numbers, text_table
from wwc_research.sources.observations import Reading, left_out, long_frame
from wwc_research.sources.places import STATE_OF_CODE, Scope
from wwc_research.sources.retrieval import Remote
from wwc_research.sources.workbooks import ESTIMATE_YEARS, place_estimates

SOURCE = "census_population"
ESTIMATES_FILE = "census_pep/SUB-IP-EST2019-ANNRES.xlsx"
YEARLY_FILE = "census_geo/place-populations.csv"
VARIABLE = "population_count"
INTERCENSAL_FILE = "sub-est2020int.csv"
# Summary levels of SUB-EST files: 162 an incorporated place (Urban Honolulu and the "balance" of a consolidated city
# among them), 157 its part in one county, 170 a consolidated city as a whole (no place code), 172 a place within one.
STATE, COUNTY, PART, PLACE, CONSOLIDATED, WITHIN = "040", "050", "157", "162", "170", "172"
_POSTCENSAL = re.compile(r"sub-est(20\d{2})\.csv")
_ESTIMATE = re.compile(r"POPESTIMATE(\d{4})")  # not POPESTIMATE042020, the base of 1 April in one vintage
_KEYS = ("SUMLEV", "STATE", "COUNTY", "PLACE", "NAME", "STNAME")
_WIDTHS = {"SUMLEV": 3, "STATE": 2, "COUNTY": 3, "PLACE": 5, "CONCIT": 5}
_NO_FIGURE = ("", "(X)", "X", "N/A", "A")
# Census codes change with names and mergers, a few in ten years; more missing places mean a damaged file.
_ABSENT_SHARE = 0.02
_SHOWN = 4


def read(publishers_dir: Path, *, scope: Scope) -> Reading:
    """`population_count` in two vintages that must not be joined without a thought.

    `pep2019`: Population Estimates Program, vintage 2019, one consistent series 2010-19 for the universe.
    `yearly`: the Urban Institute's list of 486 places 2014-23, where every year has the vintage of its day
    and 2020 is the census count, so the step from 2019 to 2020 is partly a correction.
    """
    publishers_dir = Path(publishers_dir)
    frame, entries = _estimates(publishers_dir / ESTIMATES_FILE, scope)
    raw = pd.read_csv(publishers_dir / YEARLY_FILE, dtype={"state": str, "place": str})
    yearly = pd.DataFrame(
        {
            "place_id": raw["state"].str.zfill(2) + raw["place"].str.zfill(5),
            "year": raw["year"],
            "value": raw["population"],
        }
    )
    variable = VARIABLE
    decimals = {variable: 0}
    return Reading(
        observations={
            "estimates_2019": long_frame(
                frame, source=SOURCE, vintage="pep2019", values={variable: "value"}, decimals=decimals
            ),
            "yearly": long_frame(
                yearly, source=SOURCE, vintage="yearly", values={variable: "value"}, decimals=decimals
            ),
        },
        left_out=left_out(entries),
    )


def _estimates(path: Path, scope: Scope) -> tuple[pd.DataFrame, list[tuple[str, str, str, int]]]:
    names = scope.places.names
    universe = names.loc[names["in_universe"], ["place_id", "name", "state"]]
    estimates = place_estimates(path)
    joined = estimates.merge(universe, on=["name", "state"], how="left", validate="many_to_one")
    absent = sorted(set(universe["place_id"]) - set(joined["place_id"].dropna()))
    if absent:
        raise DataError(f"{path.name}: no estimate for places {listed(absent)} of the universe")
    inside = joined["place_id"].notna()
    long = joined[inside].melt("place_id", list(ESTIMATE_YEARS), var_name="year")
    # "(X)" stands for a place that did not exist yet.
    long["value"] = pd.to_numeric(long["value"], errors="coerce")
    reason = "never had the universe's minimum population"
    return long, [("estimates_2019", "other incorporated places", reason, int((~inside).sum()))]


# --- fetched files ---------------------------------------------------------------------------------------


def remotes(*, years: Sequence[int], geographies: Sequence[str], settings: Mapping[str, Any]) -> tuple[Remote, ...]:
    """The newest postcensal file for years from 2020 on, and the intercensal file for 2010-19.

    A file holds all its years, and all of them become figures whichever are asked for: a vintage is one series, and
    years of two vintages make none.
    """
    largest = int(settings["largest_mb"] * 1_000_000)
    newest = int(settings["newest_vintage"])
    found = []
    if any(year < 2020 for year in years):
        found.append(Remote(url=settings["intercensal_url"], name=INTERCENSAL_FILE, kind="csv", largest=largest))
    if any(year >= 2020 for year in years):
        url = settings["url"].format(vintage=newest)
        found.append(Remote(url=url, name=f"sub-est{newest}.csv", kind="csv", largest=largest, year=newest))
    return tuple(found)


def read_fetched(files_dir: Path, *, scope: Scope, vintage: str, settings: Mapping[str, Any], raw_dir: Path) -> Reading:
    """`population_count` of the places of the universe from SUB-EST files.

    Returns
    -------
    Reading
        `estimates`, years 2020 to the vintage of `sub-est<vintage>.csv`; `intercensal`, 2010-19. Of a consolidated
        city the place is its balance, without the independent towns inside (level 162, not 170): Louisville 641,962
        and not 795,222 people in 2025. `left_out` names these, places of the universe without a row, and places
        outside the universe that have reached its minimum population.

    Raises
    ------
    DataError
        All faults at once: a web page, columns that are missing, another vintage inside, a place twice, cells that
        are no numbers, states or most places missing, parts that do not add up to their whole.
    """
    files_dir = Path(files_dir)
    files = {path: int(match.group(1)) for path in sorted(files_dir.glob("*.csv")) if (match := _match(path))}
    between = files_dir / INTERCENSAL_FILE
    if not files and not between.is_file():
        raise DataError(f"{files_dir}: no file sub-est<vintage>.csv or {INTERCENSAL_FILE}")
    if len(files) > 1:
        raise DataError(f"{files_dir}: {listed([f.name for f in files])} are of several vintages; keep one of them")
    observations, entries = {}, []
    faults = Faults(SOURCE, kind=DataError)
    wanted = [("intercensal", between, range(2010, 2020))] if between.is_file() else []
    wanted += [("estimates", path, range(2020, newest + 1)) for path, newest in files.items()]
    for table, path, years in wanted:
        try:
            frame, of_table = _places(path, years=years, table=table, scope=scope, settings=settings)
        except DataError as error:
            faults.add(str(error))
            continue
        observations[table] = long_frame(
            frame, source=SOURCE, vintage=vintage, values={VARIABLE: "value"}, decimals={VARIABLE: 0}
        )
        entries += of_table
    faults.raise_if_any()
    return Reading(observations=observations, left_out=left_out(entries))


def _match(path: Path) -> re.Match[str] | None:
    return _POSTCENSAL.fullmatch(path.name)


def _places(
    path: Path, *, years: range, table: str, scope: Scope, settings: Mapping[str, Any]
) -> tuple[pd.DataFrame, list[tuple[str, str, str, int]]]:
    """Long `place_id`, `year`, `value` of the universe, and what was left out."""
    columns = [f"POPESTIMATE{year}" for year in years]
    cells = text_table(path.read_bytes(), where=path.name, separators=(",",), required=_KEYS)
    faults = Faults(path.name, kind=DataError)
    _check_vintage(cells, years, faults)
    for column, width in _WIDTHS.items():
        if column in cells.columns:
            cells[column] = cells[column].str.zfill(width)
    values = pd.DataFrame({c: numbers(cells[c], faults=faults, missing=_NO_FIGURE) for c in columns})
    frame = pd.concat([cells.drop(columns=columns), values], axis=1)
    frame["place_id"] = frame["STATE"] + frame["PLACE"]
    places = frame[frame["SUMLEV"] == PLACE]
    _check_places(places, frame, minimum=int(settings["minimum_places"]), faults=faults)
    _check_sums(frame, columns, faults)
    universe = frozenset(scope.places.universe)
    absent = sorted(universe - set(places["place_id"]))
    if len(absent) > _ABSENT_SHARE * len(universe):
        faults.add(
            f"{len(absent):,} of {len(universe):,} places of the universe have no row: {listed(absent)}; {AGAIN}"
        )
    faults.raise_if_any()
    inside = places["place_id"].isin(universe)
    long = places[inside].melt("place_id", columns, var_name="year")
    long["year"] = long["year"].str[-4:].astype(int)
    entries = _entries(places[~inside], frame, columns, table=table, least=int(settings["universe_minimum"]))
    entries += [(table, f"place {code}", "the file has no row of it: merged, renamed or recoded", 1) for code in absent]
    return long, entries


def _check_vintage(cells: pd.DataFrame, years: range, faults: Faults) -> None:
    """The estimates' years must be those of the file's name; otherwise nothing else of the file can be trusted."""
    held = sorted(int(match.group(1)) for column in cells.columns if (match := _ESTIMATE.fullmatch(column)))
    missing = sorted(set(years) - set(held))
    later = [year for year in held if year > years[-1] and years[-1] >= 2020]
    if missing or later:
        faults.add(
            f"the estimates are of {listed(held, limit=20) if held else 'no year'}; the file's name promises "
            f"{years[0]} to {years[-1]} (columns POPESTIMATE{years[0]} ...). It is of another vintage; {AGAIN}"
        )
        faults.raise_if_any()


def _check_places(places: pd.DataFrame, frame: pd.DataFrame, *, minimum: int, faults: Faults) -> None:
    odd = ~places["place_id"].str.fullmatch(r"\d{7}")
    if odd.any():
        faults.add(f"codes {listed(places.loc[odd, 'place_id'])} of level {PLACE} are no place codes")
    twice = places[places.duplicated("place_id")]
    if len(twice):
        shown = [f"{row.place_id} {row.NAME} in line {row.Index}" for row in twice.itertuples()]
        faults.add(f"{len(twice):,} places occur more than once at level {PLACE}: {listed(shown)}")
    if len(places) < minimum:
        faults.add(f"{len(places):,} places (level {PLACE}); a national file has {minimum:,} or more; {AGAIN}")
    states = set(frame.loc[frame["SUMLEV"] == STATE, "STATE"])
    lacking = [STATE_OF_CODE[code] for code in sorted(set(STATE_OF_CODE) - (states & set(frame["STATE"])))]
    if lacking:
        faults.add(
            f"no row of level {STATE} for {listed(lacking)}: the file is cut off or of some states only; {AGAIN}"
        )


def _check_sums(frame: pd.DataFrame, columns: list[str], faults: Faults) -> None:
    """Parts must add up to their whole, within half a person a part for rounding."""
    rules = (
        ("counties to their state", COUNTY, STATE, ["STATE"]),
        ("parts in counties to their place", PART, PLACE, ["STATE", "PLACE"]),
        ("places to their consolidated city", WITHIN, CONSOLIDATED, ["STATE", "CONCIT"]),
    )
    for words, part, whole, keys in rules:
        if not set(keys) <= set(frame.columns):
            continue
        parts = frame[frame["SUMLEV"] == part].groupby(keys)[columns]
        total = frame[frame["SUMLEV"] == whole].drop_duplicates(keys).set_index(keys)
        summed, count = parts.sum(min_count=1), parts.size()
        # parts without a whole of their own (the balance of a county) have nothing to add up to
        both = total.index.intersection(summed.index)
        gap = (summed.loc[both] - total.loc[both, columns]).abs()
        wrong = gap.gt(count.loc[both] / 2, axis=0).any(axis=1)
        names = total.loc[both, "NAME"][wrong]
        if len(names):
            first = names.index[0]
            column = columns[int(gap.loc[[first]].to_numpy()[0].argmax())]
            given, wanted = (figures.loc[[first], column].iloc[0] for figures in (summed, total))
            faults.add(
                f"{words}: {len(names):,} do not add up ({listed(names, limit=_SHOWN)}); {column} of {names.iloc[0]}: "
                f"the parts give {given:,.0f}, the whole is {wanted:,.0f}. Rows are missing, twice or damaged; {AGAIN}"
            )


def _entries(
    others: pd.DataFrame, frame: pd.DataFrame, columns: list[str], *, table: str, least: int
) -> list[tuple[str, str, str, int]]:
    large = others[others[columns].max(axis=1) >= least]
    entries = [
        (table, "other incorporated places", "never had the universe's minimum population", len(others) - len(large))
    ]
    for row in large.itertuples():
        label = f"{row.NAME}, {STATE_OF_CODE.get(str(row.STATE), str(row.STATE))} ({row.place_id})"
        entries.append((table, label, f"has reached {least:,} people and is not in the universe of places", 1))
    whole = frame[frame["SUMLEV"] == CONSOLIDATED]
    reason = "the place is what is left without the independent towns inside (balance)"
    entries += [(table, f"{name} as a whole (level {CONSOLIDATED})", reason, 1) for name in whole["NAME"]]
    return entries
