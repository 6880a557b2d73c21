"""ACS tables as fetched, by either road (table-based Summary File, Census interface) → the figures declared of them.

In: `acsdt1y2022-b28003-place.dat`, `acs1-2022-b28003-place-53.json`. Out: `places`, `counties`, `pumas_<decade>`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from wwc_research.errors import DataError, Faults, listed
from wwc_research.sources import acs_api, acs_summary_file
from wwc_research.sources.acs_cells import Cells, lines_needed, named_columns, read_cells
from wwc_research.sources.acs_definitions import Definition, Product, definitions
from wwc_research.sources.acs_geographies import (
    API_WORDS,
    GEOGRAPHIES,
    PLURAL,
    is_of_year,
    place_ids,
    state_of,
    table_name,
)
from wwc_research.sources.acs_margins import proportion_margin, std_error, sum_margin
from wwc_research.sources.observations import FLAG_WORDS, Reading, left_out, long_frame
from wwc_research.sources.places import STATE_CODE, STATE_OF_CODE, Scope
from wwc_research.sources.retrieval import Remote

API_PREFIX: Final = "api_"
_SHORT: Final = {"one_year": "acs1", "five_year": "acs5"}
_SUMMARY_NAME: Final = re.compile(r"acsdt(?P<span>[15])y(?P<year>\d{4})-(?P<group>[a-z0-9]+)-(?P<kinds>[a-z-]+)\.dat")
_API_NAME: Final = re.compile(
    r"acs(?P<span>[15])-(?P<year>\d{4})-(?P<group>[a-z0-9]+)-(?P<kinds>[a-z]+)(?:-(?P<state>\d{2}))?\.json"
)
# Columns beside the lines that both roads are known to carry.
_ALWAYS: Final = frozenset({"GEO_ID", "NAME", "state", "place", "county", "public use microdata area"})
_OUTSIDE: Final = {
    "place": "no place of the universe",
    "county": "no county that holds part of a place of the universe",
    "puma": "outside the fifty states and DC",
}
Entry = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """One file of a vintage, by what its name says."""

    path: Path
    year: int
    group: str
    geographies: tuple[str, ...]
    is_api: bool
    state: str

    @property
    def asked(self) -> tuple[tuple[int, str], ...]:
        """Year and kind of area that the file answers for."""
        return tuple((self.year, geography) for geography in self.geographies)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What one file holds of one kind of area.

    Attributes
    ----------
    text
        Rows of the areas in scope by `place_id`; columns `E001`, `M001`, ... of the lines that are wanted.
    outside
        The other areas.
    """

    source: _Source
    geography: str
    text: pd.DataFrame
    outside: frozenset[str]


# --- what to ask for -------------------------------------------------------------------------------------


def remotes(
    product: Product, *, years: Sequence[int], geographies: Sequence[str], settings: Mapping[str, Any]
) -> tuple[Remote, ...]:
    """The files for these releases and geographies, one a table and year, or a page a state from the interface.

    Parameters
    ----------
    geographies
        `place`, `county`, `puma`: from the Summary File, which wants no key; `api_place`, `api_county`, `api_puma`:
        from the Census Bureau's interface, with the key in the environment variable of `settings["key"]`.
    settings
        `[<source>.fetch]`: `years`, `missing_years` (year to reason), `summary_files` (spans and addresses), `api`,
        `key`, `largest_mb` of a file and `largest_page_mb` of a page.

    Raises
    ------
    InputError
        With every fault: an unknown geography, a year without a release, a year that no key-free file holds.
    """
    faults = Faults(f"acs_{product}")
    allowed = [*GEOGRAPHIES, *(API_PREFIX + word for word in GEOGRAPHIES)]
    odd = [word for word in geographies if word not in allowed]
    if odd:
        faults.add(f"geography {listed(odd)} is not offered; there are {listed(allowed, limit=6)}")
    if not years or not geographies:
        faults.add("give at least one year and one geography")
    by_file = tuple(word for word in GEOGRAPHIES if word in geographies)
    by_api = tuple(word for word in GEOGRAPHIES if API_PREFIX + word in geographies)
    both = [word for word in by_file if word in by_api]
    if both:
        faults.add(f"{listed(both)} asked for by both roads; ask for {listed(both)} or for {API_PREFIX}{both[0]}")
    found: list[Remote] = []
    for year in sorted(set(years)):
        reason = _no_release(product, year, settings)
        if reason:
            faults.add(reason)
            continue
        if "puma" in (*by_file, *by_api) and year < 2012:
            faults.add(f"{year}: public-use microdata areas before 2012 were drawn after the 2000 census, for which "
                       "there is no crosswalk; ask for 2012 or later")  # fmt: skip
        if by_file:
            found += _summary_remotes(product, year, by_file, settings, faults)
        for geography in by_api:
            found += _api_remotes(product, year, geography, settings)
    faults.raise_if_any()
    return tuple(found)


def _no_release(product: Product, year: int, settings: Mapping[str, Any]) -> str:
    """Why there is no release of that year; '' where there is one."""
    missing = settings.get("missing_years", {}).get(str(year))
    if missing:
        return f"{year}: {missing}"
    first, last = settings["years"]
    if not first <= year <= last:
        return f"{year}: releases are declared for {first} to {last}"
    if not definitions().groups_of(year, product=product):
        return f"{year}: catalog/acs_tables.toml defines no figure for this release"
    return ""


def _summary_remotes(
    product: Product, year: int, geographies: tuple[str, ...], settings: Mapping[str, Any], faults: Faults
) -> Iterator[Remote]:
    spans = settings["summary_files"]
    address = next((span["url"] for span in spans if span["years"][0] <= year <= span["years"][1]), None)
    if address is None:
        offered = listed([f"{span['years'][0]}-{span['years'][1]}" for span in spans], limit=9)
        faults.add(
            f"{year}: the Summary File comes one file a table for releases {offered}; before, it is cut into sequences "
            f"by state, which are not read here. Ask for {API_PREFIX}{geographies[0]}, which takes the Census Bureau's "
            f"interface and a free key in {settings['key'][1]}"
        )
        return
    for group in definitions().groups_of(year, product=product):
        url = address.format(year=year, table=group.lower())
        stem = url.rsplit("/", 1)[1].removesuffix(".dat")
        name = f"{stem}-{'-'.join(geographies)}.dat"
        largest = int(settings["largest_mb"] * 1_000_000)
        yield Remote(url=url, name=name, kind="text", largest=largest, year=year)


def _api_remotes(product: Product, year: int, geography: str, settings: Mapping[str, Any]) -> Iterator[Remote]:
    base = settings["api"].format(year=year)
    parameter, variable = settings["key"]
    for group in definitions().groups_of(year, product=product):
        asked = f"{base}?get=group({group})&for={API_WORDS[geography]}:*"
        stem = f"{_SHORT[product]}-{year}-{group.lower()}-{geography}"
        pages = [("", "")] if geography == "county" else [(f"&in=state:{s}", f"-{s}") for s in STATE_CODE.values()]
        for inside, suffix in pages:
            yield Remote(
                url=asked + inside,
                name=f"{stem}{suffix}.json",
                kind="json",
                largest=int(settings["largest_page_mb"] * 1_000_000),
                key=(parameter, variable),
                year=year,
                may_be_empty=geography == "place",
            )


def measured(product: Product) -> dict[str, str]:
    """What every figure of the product measures, by its name in the observations: of whatever kind of area."""
    return {entry.variable(product): entry.measured(product) for entry in definitions().variables.values()}


# --- what was got ----------------------------------------------------------------------------------------


def read_fetched(
    product: Product, files_dir: Path, *, scope: Scope, vintage: str, settings: Mapping[str, Any]
) -> Reading:
    """The declared figures of the places and counties in scope, and of every public-use microdata area.

    Returns
    -------
    Reading
        Observations `places`, `counties`, `pumas_2010`, `pumas_2020`, as far as asked for. A figure that the publisher
        withholds is missing with a flag; a figure without sampling error (`controlled`) has no standard error.
        `left_out`: areas outside the scope, areas of the scope that no answer holds, figures without a value, and
        figures whose lines mean something else in a release; all counted by state or variable, with the reason.

    Raises
    ------
    DataError
        With every fault of all files.
    """
    faults = Faults(f"acs_{product}, {files_dir}", kind=DataError)
    sources = _sources(product, files_dir, settings, faults)
    entries: list[Entry] = []
    parts = [part for source in sources for part in _parts(source, scope=scope, faults=faults, entries=entries)]
    frames: dict[tuple[str, int], dict[str, pd.DataFrame]] = {}
    outside: dict[tuple[str, int], dict[str, frozenset[str]]] = {}
    for key, pages in _together(parts).items():
        geography, year, group = key
        outside.setdefault((geography, year), {})[group] = frozenset().union(*(page.outside for page in pages))
        made = _figures(pages, product=product, year=year, group=group, faults=faults)
        frames.setdefault((geography, year), {})[group] = made
    faults.raise_if_any()
    asked = sorted({(geography, source.year) for source in sources for geography in source.geographies})
    for geography, year in asked:
        figures = frames.get((geography, year), {})
        groups = sorted({source.group for source in sources if (source.year, geography) in source.asked})
        wanted = frozenset(code for code in _wanted(geography, scope) or () if is_of_year(code, year=year))
        held = {group: frozenset(figures[group].index if group in figures else ()) for group in groups}
        absent = {group: wanted - ids for group, ids in held.items()}
        table = table_name(geography, year=year)
        if geography == "puma":
            entries += _states_without_areas(held, table=table, year=year)
        entries += _by_group(absent, table=table, year=year, reason=f"{PLURAL[geography]} asked for and absent")
        entries += _by_group(outside.get((geography, year), {}), table=table, year=year, reason=_OUTSIDE[geography])
    entries += _other_meaning(product, asked)
    observations = _observations(product, frames, vintage=vintage)
    entries += [entry for name, table in observations.items() for entry in _without_value(name, table)]
    return Reading(observations=observations, left_out=left_out(_added_up(entries)))


def _sources(product: Product, files_dir: Path, settings: Mapping[str, Any], faults: Faults) -> list[_Source]:
    """Every file by its name; a name that says something else, a year without release, a missing page is a fault."""
    found: list[_Source] = []
    span = "1" if product == "one_year" else "5"
    for path in sorted(Path(files_dir).glob("*")):
        match = _SUMMARY_NAME.fullmatch(path.name) or _API_NAME.fullmatch(path.name)
        words = match.groupdict() if match else {}
        kinds = tuple(words.get("kinds", "").split("-"))
        group = words.get("group", "").upper()
        if match is None or set(kinds) - set(GEOGRAPHIES):
            faults.add(f"{path.name}: is no file of this source (acsdt{span}y<year>-<table>-<geography>.dat, …json)")
        elif words["span"] != span:
            faults.add(f"{path.name}: is of the {words['span']}-year survey; this source reads the {span}-year one")
        elif group not in definitions().groups:
            faults.add(f"{path.name}: catalog/acs_tables.toml has no table {group}")
        elif reason := _no_release(product, int(words["year"]), settings):
            faults.add(f"{path.name}: {reason}")
        elif group not in definitions().groups_of(int(words["year"]), product=product):
            first = definitions().of_group(group)[0]
            faults.add(f"{path.name}: no figure is defined of this release of {group}: {first.otherwise}")
        else:
            state = words.get("state") or ""
            found.append(
                _Source(
                    path=path,
                    year=int(words["year"]),
                    group=group,
                    geographies=kinds,
                    is_api=path.suffix == ".json",
                    state=state,
                )
            )
    if not found and not faults:
        faults.add("holds no file; fetch the source again")
    _check_pages(found, faults)
    return found


def _check_pages(sources: Sequence[_Source], faults: Faults) -> None:
    roads: dict[tuple[int, str, str], list[_Source]] = {}
    for source in sources:
        for geography in source.geographies:
            roads.setdefault((source.year, source.group, geography), []).append(source)
    for (year, group, geography), files in roads.items():
        what = f"{year} {group}, {PLURAL[geography]}"
        states = {source.state for source in files if source.is_api}
        if len(files) > 1 and not all(source.is_api for source in files):
            faults.add(f"{what}: comes by both roads ({listed([source.path.name for source in files], limit=3)})")
        elif states and geography != "county":
            missing = [STATE_OF_CODE[code] for code in STATE_OF_CODE if code not in states]
            if missing:
                faults.add(f"{what}: there is no page of {listed(missing)}; fetch again")


def _parts(source: _Source, *, scope: Scope, faults: Faults, entries: list[Entry]) -> Iterator[_Part]:
    """What one file holds by kind of area; nothing where a fault was noted.

    Areas out of scope and lines that no figure needs go at once: a 5-year file holds 30,000 places.
    """
    where = source.path.name
    rows: Mapping[str, pd.DataFrame]
    if source.is_api:
        if source.geographies[0] != "place" and not source.path.read_bytes().strip():
            faults.add(f"{where}: is empty, and every state has {PLURAL[source.geographies[0]]}; fetch again")
            return
        answer = acs_api.read_rows(source.path, where=where, faults=faults)
        header, rows = (answer[0], {source.geographies[0]: answer[1]}) if answer else ([], {})
    else:
        read = acs_summary_file.read_rows(source.path, geographies=source.geographies, where=where, faults=faults)
        header, rows = read or ([], {})
    if not rows:
        return
    group = definitions().groups[source.group]
    columns = named_columns(header, group=group, where=where, faults=faults)
    if columns is None:
        return
    extra = [name for name in header if name not in columns and name not in _ALWAYS]
    entries += [(table_name(source.geographies[0], year=source.year), f"{where}, column {name}",
                 "a column that is not known, not read", 1) for name in extra]  # fmt: skip
    for geography, text in rows.items():
        before = len(faults)
        ids = place_ids(text["GEO_ID"], geography=geography, year=source.year, where=where, faults=faults)
        _check_states(text, ids, source=source, faults=faults)
        if len(faults) == before:
            inside = _is_in_scope(ids, geography=geography, scope=scope)
            needed = lines_needed(group, known=definitions())
            kept = {name: column for name, column in columns.items() if int(column[-3:]) in needed}
            lines = text.loc[inside, list(kept)].rename(columns=kept).set_index(ids[inside])
            yield _Part(source=source, geography=geography, text=lines, outside=frozenset(ids[~inside]))


def _check_states(text: pd.DataFrame, ids: pd.Series, *, source: _Source, faults: Faults) -> None:
    """Fault where the state of a page, its column `state` and its GEO_IDs are not of one mind."""
    digits = ids.str.removeprefix("P").str[:2]
    said = text.get("state", digits)
    odd = digits != said
    if source.state:
        odd |= digits != source.state
    if odd.any():
        first = text.loc[odd, "GEO_ID"].iloc[0]
        faults.add(
            f"{source.path.name}: {int(odd.sum()):,} rows are of another state than the page or its column state says, "
            f"e.g. {first} in state {said[odd].iloc[0]}"
        )


def _together(parts: Iterable[_Part]) -> dict[tuple[str, int, str], list[_Part]]:
    pages: dict[tuple[str, int, str], list[_Part]] = {}
    for part in parts:
        pages.setdefault((part.geography, part.source.year, part.source.group), []).append(part)
    return pages


def _is_in_scope(ids: pd.Series, *, geography: str, scope: Scope) -> pd.Series:
    wanted = _wanted(geography, scope)
    return ids.str[1:3].isin(list(STATE_OF_CODE)) if wanted is None else ids.isin(wanted)


def _wanted(geography: str, scope: Scope) -> frozenset[str] | None:
    if geography == "puma":
        return None
    return frozenset(scope.places.universe) if geography == "place" else scope.counties


# --- figures ---------------------------------------------------------------------------------------------


def _figures(pages: Sequence[_Part], *, product: Product, year: int, group: str, faults: Faults) -> pd.DataFrame:
    """A column each for value, standard error and flag of every figure of the table, by `place_id`."""
    known = definitions()
    wanted = [entry for entry in known.of_group(group) if entry.holds(year, product=product)]
    text = pd.concat([page.text for page in pages])
    files = pd.Series([page.source.path.name for page in pages for _ in range(len(page.text))], dtype=object)
    if text.empty:
        return pd.DataFrame()
    cells = read_cells(text, files, group=known.groups[group], known=known, faults=faults)
    columns: dict[str, pd.Series] = {}
    for entry in wanted:
        figure = median_figure(entry, cells) if entry.is_median else share_figure(entry, cells)
        _check_share(entry, figure, files=files, faults=faults)
        columns |= {f"{entry.variable(product)}{end}": figure[name] for name, end in _ENDINGS.items()}
    return pd.DataFrame(columns, index=text.index)


_ENDINGS: Final = {"value": "", "std_error": "__se", "flag": "__flag"}


def share_figure(entry: Definition, cells: Cells) -> pd.DataFrame:
    """Columns `value`, `std_error`, `flag` of a share: numerator lines over denominator lines less excluded ones.

    Notes
    -----
    Errors as in `acs_margins`. A controlled line has no sampling error and enters with margin 0; where all lines are
    controlled the share has none either: its standard error is missing and the flag says `controlled`. Where a line's
    margin is not known the error is missing with `no_margin`; so it is where the formula gives 0, as for a share of 1
    with equal margins, which is no certainty. A share over nobody is missing with `no_cases`.
    """
    top, base = list(entry.numerator), [*entry.denominator, *entry.excluded]
    signs = np.array([1.0] * len(entry.denominator) + [-1.0] * len(entry.excluded))
    numerator = cells.estimate[top].sum(axis=1, skipna=False).to_numpy()
    denominator = cells.estimate[base].to_numpy() @ signs
    nobody = denominator == 0
    below = np.where(nobody, np.nan, denominator)
    margin = proportion_margin(
        numerator,
        below,
        numerator_margin=sum_margin(cells.estimate[top].to_numpy(), cells.margin[top].to_numpy()),
        denominator_margin=sum_margin(cells.estimate[base].to_numpy(), cells.margin[base].to_numpy()),
    )
    value = numerator / below
    flag = _first_flag(cells.estimate_flag[[*base, *top]])
    flag = np.where((flag == "") & nobody, "no_cases", flag)
    controlled = (cells.margin_flag[[*base, *top]] == "controlled").all(axis=1).to_numpy()
    return _figure(value, margin, flag, controlled=controlled, index=cells.estimate.index)


def median_figure(entry: Definition, cells: Cells) -> pd.DataFrame:
    """Columns `value`, `std_error`, `flag` of a published median.

    A median in an open interval (`250,000+`, given as 250001) is a bound and no figure: it is missing with
    `open_interval`, whether the margin's code, the annotation or the number itself says so.
    """
    line = entry.line
    value = cells.estimate[line].to_numpy(dtype=float)
    is_open = cells.is_open[line].to_numpy() | (cells.margin_flag[line] == "open_interval").to_numpy()
    if entry.lowest is not None:
        is_open |= value <= entry.lowest
    if entry.highest is not None:
        is_open |= value >= entry.highest
    flag = cells.estimate_flag[line].to_numpy(dtype=object)
    flag = np.where((flag == "") & is_open, "open_interval", flag)
    value = np.where(is_open, np.nan, value)
    controlled = (cells.margin_flag[line] == "controlled").to_numpy()
    margin = cells.margin[line].to_numpy(dtype=float)
    return _figure(value, margin, flag, controlled=controlled, index=cells.estimate.index)


def _figure(
    value: np.ndarray, margin: np.ndarray, flag: np.ndarray, *, controlled: np.ndarray, index: pd.Index
) -> pd.DataFrame:
    present = ~np.isnan(value)
    error = np.where(present & ~controlled, std_error(margin), np.nan)
    flag = np.where(present & controlled, "controlled", flag)
    flag = np.where(present & ~controlled & np.isnan(error), "no_margin", flag)
    return pd.DataFrame({"value": value, "std_error": error, "flag": flag}, index=index)


def _first_flag(flags: pd.DataFrame) -> np.ndarray:
    """The first flag of every row that is not empty; the denominator's come first."""
    found = np.full(len(flags), "", dtype=object)
    for column in flags.columns:
        found = np.where(found == "", flags[column].to_numpy(dtype=object), found)
    return found


def _check_share(entry: Definition, figure: pd.DataFrame, *, files: pd.Series, faults: Faults) -> None:
    value = figure["value"].to_numpy()
    outside = np.flatnonzero(((value < 0) | (value > 1)) & (not entry.is_median))
    if len(outside):
        first = int(outside[0])
        faults.add(
            f"{files.iloc[first]}: {entry.name} lies outside 0 to 1 in {len(outside):,} rows, e.g. {value[first]:.4g} "
            f"for {figure.index[first]}; the lines have moved or the file is damaged"
        )


def _observations(
    product: Product, frames: Mapping[tuple[str, int], Mapping[str, pd.DataFrame]], *, vintage: str
) -> dict[str, pd.DataFrame]:
    tables: dict[str, list[pd.DataFrame]] = {}
    for (geography, year), groups in frames.items():
        for figures in groups.values():
            names = [name for name in figures.columns if "__" not in name]
            if len(figures):
                wide = figures.assign(place_id=figures.index, year=year)
                table = long_frame(
                    wide,
                    source=f"acs_{product}",
                    vintage=vintage,
                    values={name: name for name in names},
                    std_errors={name: f"{name}__se" for name in names},
                    flags={name: f"{name}__flag" for name in names},
                )
                tables.setdefault(table_name(geography, year=year), []).append(table)
    order = ["variable", "place_id", "year"]
    return {name: pd.concat(parts).sort_values(order, ignore_index=True) for name, parts in sorted(tables.items())}


# --- what is not there -----------------------------------------------------------------------------------


def _by_group(ids: Mapping[str, frozenset[str]], *, table: str, year: int, reason: str) -> list[Entry]:
    """Areas counted by state: those of all tables in one entry, those of some tables in an entry a table."""
    if not ids:
        return []
    everywhere = frozenset.intersection(*ids.values())
    entries = _by_state(everywhere, label=f"{year}, all tables", table=table, reason=reason)
    for group, some in ids.items():
        entries += _by_state(some - everywhere, label=f"{year} {group}", table=table, reason=reason)
    return entries


def _states_without_areas(held: Mapping[str, frozenset[str]], *, table: str, year: int) -> list[Entry]:
    """States that a file has no area of: microdata areas cover the country, so something is missing."""
    return [
        (table, f"{year} {group}, {state}", f"the file has no row of {PLURAL['puma']} of this state", 1)
        for group, ids in held.items()
        for state in sorted(set(STATE_CODE) - {state_of(place_id) for place_id in ids})
    ]


def _by_state(ids: Iterable[str], *, label: str, table: str, reason: str) -> list[Entry]:
    counts = pd.Series([state_of(place_id) for place_id in ids], dtype=object).value_counts().sort_index()
    return [(table, f"{label}, {state}", reason, int(count)) for state, count in counts.items()]


def _other_meaning(product: Product, asked: Iterable[tuple[str, int]]) -> list[Entry]:
    """Figures that are not made of a release because its lines mean something else."""
    return [
        (table_name(geography, year=year), f"{year} {entry.variable(product)}", entry.otherwise, 1)
        for geography, year in asked
        for entry in definitions().variables.values()
        if not entry.holds(year, product=product)
    ]


def _without_value(table: str, frame: pd.DataFrame) -> list[Entry]:
    """Figures that stand in the table without a value, counted by release, variable, state and reason."""
    rows = frame[frame["value"].isna()]
    keys = [rows["year"].astype(str) + " " + rows["variable"] + ", " + rows["place_id"].map(state_of), rows["flag"]]
    counts = rows.groupby(keys).size()
    return [
        (table, str(item), f"a row without a value: {FLAG_WORDS.get(str(flag), flag)}", int(count))
        for (item, flag), count in counts.items()
    ]


def _added_up(entries: Iterable[Entry]) -> list[Entry]:
    """One entry a table, item and reason, in order."""
    total: dict[tuple[str, str, str], int] = {}
    for table, item, reason, rows in entries:
        total[table, item, reason] = total.get((table, item, reason), 0) + rows
    return [(*key, rows) for key, rows in sorted(total.items())]
