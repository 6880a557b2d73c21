"""Publishers' files ⇄ the shipped tables under `data/raw`: compile, manifest, check, read, correct.

In: a folder of publishers' files, or `data/raw`. Out: CSV tables with a manifest; checked frames.
"""

from __future__ import annotations

import hashlib
import io
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from wwc_research.atomic import written_whole
from wwc_research.errors import DataError, Faults, InputError, listed
from wwc_research.sources import (
    acs_broadband,
    acs_demographics,
    acs_income,
    bls_laus,
    census_population,
    certification,
    crosswalks,
    epa_aqi,
    epa_pm25,
    gazetteer,
    open_data_policy,
    partner_network,
    urban_mobility,
    youth_neet_county,
    youth_neet_puma,
)
from wwc_research.sources.corrections import apply_corrections, load_corrections
from wwc_research.sources.observations import LEFT_OUT_COLUMNS, Reading, sorted_frame, validate
from wwc_research.sources.places import Places, Scope
from wwc_research.sources.tables import DOWNLOADS, MANIFEST, Table, csv_bytes, manifest_text, to_long, to_wide

__all__ = [
    "Table",
    "apply_corrections",
    "check",
    "compile_all",
    "list_tables",
    "load_corrections",
    "load_sources",
    "read_observations",
    "read_publishers",
    "read_table",
]

CATALOG = Path(__file__).parents[1] / "catalog"
LEFT_OUT = "left_out"
SIZE_LIMIT = 1_400_000
_RESTORE = "Restore the shipped manifest, or run `wwc-research data compile`"

# Every reader but the gazetteer, whose tables the others need. Adding a source adds a line.
READERS: Mapping[str, Callable[..., Reading]] = {
    "certification": certification.read,
    "open_data_policy": open_data_policy.read,
    "partner_network": partner_network.read,
    "acs_broadband": acs_broadband.read,
    "acs_income": acs_income.read,
    "acs_demographics": acs_demographics.read,
    "epa_aqi": epa_aqi.read,
    "epa_pm25": epa_pm25.read,
    "bls_laus": bls_laus.read,
    "census_population": census_population.read,
    "urban_mobility": urban_mobility.read,
    "youth_neet_county": youth_neet_county.read,
    "youth_neet_puma": youth_neet_puma.read,
}
# What each source reads, as patterns below the folder of the publishers' files; adding a source adds a line here too.
PUBLISHERS_FILES: Mapping[str, tuple[str, ...]] = {
    "gazetteer": (
        gazetteer.POPULATION_FILE,
        *(file for file, *_ in gazetteer.PLACE_LISTS),
        "census_geo/county-populations.csv",
        "census_geo/us2021census-coordinates.csv",
        certification.FILE,
    ),
    "crosswalks": (
        "census_geo/geocorr2018_county_place_2010_thru_2019.csv",
        "census_geo/geocorr2018_county_place_2014_thru_2019.csv",
        "census_geo/geocorr2022_county_place_2020_2021.csv",
        "census_geo/geocorr2022_county_place_2022_onwards.csv",
        "census_geo/puma_to_place_2010.csv",
        "census_geo/puma_to_place_2020.csv",
    ),
    "certification": (certification.FILE,),
    "open_data_policy": (open_data_policy.FILE,),
    "partner_network": (partner_network.FILE,),
    "acs_broadband": tuple(acs_broadband.FILES.values()),
    "acs_income": (acs_income.FILE,),
    "acs_demographics": (acs_demographics.FILE,),
    "epa_aqi": tuple(f"epa_aqs/vintage-{vintage}/annual_aqi_by_county_*.csv" for vintage in ("2022", "2026")),
    "epa_pm25": (epa_pm25.FILE,),
    "bls_laus": ("bls_laus/laucnty*.xlsx",),
    "census_population": (census_population.ESTIMATES_FILE, census_population.YEARLY_FILE),
    "urban_mobility": tuple(urban_mobility.FILES.values()),
    "youth_neet_county": (youth_neet_county.FILE,),
    "youth_neet_puma": (youth_neet_puma.FILE,),
}
# Columns of plain tables that hold numbers; all others are text, so that codes keep their zeros.
_NUMBERS = {
    "year": "int64", "as_of": "int64", "policies_count": "int64", "in_universe": "int64",
    "with_sunlight": "int64", "rows": "int64", "population_count": "int64", "population_2019_count": "int64",
    "population_max_count": "int64", "county_share": "float64", "puma_share": "float64",
    "place_share": "float64", "latitude": "float64", "longitude": "float64",
    "land_km2": "float64", "water_km2": "float64", "distance_km": "float64",
}  # fmt: skip


def load_sources() -> dict[str, dict[str, Any]]:
    """The source catalog (`catalog/sources.toml`) by name of the source."""
    return tomllib.loads((CATALOG / "sources.toml").read_text(encoding="utf-8"))


# --- compile ---------------------------------------------------------------------------------------------


def compile_all(publishers_dir: Path, raw_dir: Path, *, progress: Callable[[str], None] | None = None) -> list[Table]:
    """Read every publisher's files and write `data/raw` anew; the manifest entries written.

    Everything is read before anything is written; then every table is written beside its place and renamed,
    the manifest last, and the bytes depend on the publishers' files alone. CSV files that no table stands for
    any more are removed.

    Raises
    ------
    InputError
        If the folder or any of `PUBLISHERS_FILES` is missing: all of them in one message.
    DataError
        If a file is not what its reader or the catalog expects.
    """
    publishers_dir, raw_dir = Path(publishers_dir), Path(raw_dir)
    if not publishers_dir.is_dir():
        raise InputError(f"{publishers_dir}: no such folder of publishers' files")
    catalog = load_sources()
    made: list[tuple[Table, bytes]] = []
    remains = []
    for source, reading in read_publishers(publishers_dir, catalog=catalog):
        if progress is not None:
            progress(source)
        made += _source_tables(source, reading, catalog[source])
        remains.append(reading.left_out.assign(source=source))
    rest = pd.concat([part for part in remains if len(part)], ignore_index=True)[list(LEFT_OUT_COLUMNS)]
    rest = rest[rest["rows"] > 0].sort_values(["source", "table", "item", "reason"], ignore_index=True)
    made.append(_left_out_table(rest))
    made.sort(key=lambda pair: pair[0].name)
    for table, content in made:
        _replace(raw_dir / table.path, content)
    written = [table for table, _ in made]
    _replace(raw_dir / MANIFEST, manifest_text(written).encode())
    kept = {table.path for table in written}
    for path in sorted(raw_dir.rglob("*.csv")):
        if path.relative_to(raw_dir).as_posix() not in kept:
            path.unlink()
    return written


def read_publishers(
    publishers_dir: Path, *, catalog: Mapping[str, Mapping[str, Any]] | None = None
) -> Iterator[tuple[str, Reading]]:
    """Each source's name and reading, gazetteer and crosswalks first; observations are validated.

    All missing files are one `InputError`, before any is read.
    """
    _refuse_missing_files(Path(publishers_dir))
    catalog = load_sources() if catalog is None else catalog
    gazette = gazetteer.read(publishers_dir, settings=catalog["gazetteer"]["settings"])
    yield "gazetteer", gazette
    names = gazette.tables["names"]
    places = Places(names.assign(in_universe=names["in_universe"] == 1), gazette.tables["counties"])
    walks = crosswalks.read(publishers_dir, scope=Scope(places=places))
    yield "crosswalks", walks
    county = walks.tables["place_county"]
    counties = frozenset(county.loc[county["county_kind"] == "county", "county_id"])
    for source, reader in READERS.items():
        settings = catalog[source].get("settings", {})
        reading = reader(publishers_dir, scope=Scope(places=places, counties=counties, settings=settings))
        for table, frame in reading.observations.items():
            validate(frame, where=f"{source}/{table}")
        yield source, reading


def _refuse_missing_files(publishers_dir: Path) -> None:
    readers: dict[str, list[str]] = {}
    for source, patterns in PUBLISHERS_FILES.items():
        for pattern in patterns:
            readers.setdefault(pattern, []).append(source)
    missing = [pattern for pattern in readers if not any(path.is_file() for path in publishers_dir.glob(pattern))]
    if missing:
        lines = "\n".join(f"  {pattern} ({listed(readers[pattern])})" for pattern in sorted(missing))
        raise InputError(
            f"{publishers_dir}: {len(missing)} of the {len(readers)} publishers' files are missing. Give the folder "
            f"that holds them all; catalog/sources.toml says where each source is from.\n{lines}"
        )


def _source_tables(source: str, reading: Reading, entry: Mapping[str, Any]) -> list[tuple[Table, bytes]]:
    declared = set(entry["tables"])
    made = {*reading.observations, *reading.tables}
    if declared != made:
        raise DataError(
            f"catalog/sources.toml, {source}: declares tables {listed(sorted(declared))}; "
            f"the reader makes {listed(sorted(made))}"
        )
    tables = []
    for name, frame in {**reading.observations, **reading.tables}.items():
        wide = to_wide(frame) if name in reading.observations else frame
        facts = {key: entry[key] for key in ("title", "publisher", "licence", "retrieved", "geography", "url")}
        facts |= {key: value for key, value in entry["tables"][name].items() if key not in ("key", "definitions")}
        facts["key"] = ("place_id", "year") if name in reading.observations else entry["tables"][name]["key"]
        tables.append(_table_and_content(f"{source}/{name}", wide, facts))
    return tables


def _left_out_table(rest: pd.DataFrame) -> tuple[Table, bytes]:
    blank = dict.fromkeys(("vintage", "retrieved", "geography", "url"), "")
    facts = blank | {
        "kind": "table",
        "key": ("source", "table", "item", "reason"),
        "title": "Rows left out, with the reason",
        "publisher": "this project",
        "series": "log of the compile step",
        "licence": "MIT",
        "years": (2000, 2026),
        "obtained": "written by the compile step",
    }
    return _table_and_content(LEFT_OUT, rest, facts)


def _table_and_content(name: str, frame: pd.DataFrame, facts: Mapping[str, Any]) -> tuple[Table, bytes]:
    content = csv_bytes(frame)
    if len(content) > SIZE_LIMIT:
        raise DataError(f"{name}.csv would hold {len(content):,} bytes; the limit is {SIZE_LIMIT:,}. Split it")
    known = {
        **facts,
        "name": name,
        "path": f"{name}.csv",
        "sha256": hashlib.sha256(content).hexdigest(),
        "rows": len(frame),
        "key": tuple(facts["key"]),
        "years": (int(facts["years"][0]), int(facts["years"][1])),
    }
    return Table(**known), content


def _replace(path: Path, content: bytes) -> None:
    with written_whole(path) as beside:
        beside.write_bytes(content)


# --- read and check --------------------------------------------------------------------------------------


def list_tables(raw_dir: Path, *, way_out: str = _RESTORE) -> list[Table]:
    """The entries of the manifest under `raw_dir`, in its order; `way_out` ends the message about a damaged one."""
    path = Path(raw_dir) / MANIFEST
    if not path.is_file():
        raise DataError(f"{path}: no manifest; run `wwc-research data compile` or restore the shipped data")
    try:
        entries = tomllib.loads(path.read_bytes().decode("utf-8")).get("tables", [])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as TOML: {error}. {way_out}") from error
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise DataError(f"{path}: the manifest is damaged or empty: it names no table. {way_out}")
    wanted = {item.name for item in fields(Table)}
    faults = Faults(str(path), kind=DataError)
    for number, entry in enumerate(entries, start=1):
        if set(entry) != wanted:
            odd = sorted(wanted ^ set(entry))
            faults.add(f"entry {number} ({entry.get('name', '?')}): missing or unknown fields {listed(odd)}")
        else:
            wrong = sorted(name for name, value in entry.items() if not _is_of_field(value, name))
            if wrong:
                faults.add(f"entry {number} ({entry['name']}): {listed(wrong)} of a wrong type. {way_out}")
    names = [entry.get("name") for entry in entries]
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        faults.add(f"tables named twice: {listed(twice)}")
    faults.raise_if_any()
    return [Table(**{**e, "key": tuple(e["key"]), "years": tuple(e["years"])}) for e in entries]


def _is_of_field(value: Any, name: str) -> bool:
    """Whether a value of the manifest has the type of that field of `Table`."""
    inside = {"key": str, "years": int}.get(name)
    if inside is None:
        return isinstance(value, int if name == "rows" else str)
    right_length = name != "years" or (isinstance(value, list) and len(value) == 2)
    return right_length and isinstance(value, list) and all(isinstance(item, inside) for item in value)


def read_table(raw_dir: Path, name: str) -> pd.DataFrame:
    """One shipped table as it is: text columns as text ('' for nothing), declared numbers as numbers.

    Observation tables come wide (`place_id`, `year`, a column a variable); `read_observations` gives the
    long form. A file that is not what the manifest says is refused with a `DataError`.
    """
    known = {table.name: table for table in list_tables(raw_dir)}
    if name not in known:
        raise InputError(f"no table '{name}' in {Path(raw_dir) / MANIFEST}; there are {listed(known, limit=40)}")
    return _load_table(Path(raw_dir), known[name])


def _fetch_again(folder: Path) -> str:
    source, vintage = folder.parent.name, folder.name
    command = f"wwc-research data fetch {source} --vintage {vintage}"
    return f"Delete the folder {folder} of that vintage and fetch it again with `{command}`"


def _load_table(raw_dir: Path, table: Table) -> pd.DataFrame:
    path = raw_dir / table.path
    if not path.is_file():
        way_out = _fetch_again(raw_dir) if (raw_dir / DOWNLOADS).is_file() else "Restore it or compile again"
        raise DataError(f"{path}: the manifest names this file and it is absent. {way_out}")
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != table.sha256:
        hashes = f"(sha256 {found[:12]}…, the manifest says {table.sha256[:12]}…)"
        if (raw_dir / DOWNLOADS).is_file():
            raise DataError(
                f"{path}: the file has changed since it was fetched {hashes}. Fetched figures are never edited by "
                f"hand. {_fetch_again(raw_dir)}"
            )
        raise DataError(
            f"{path}: the file has changed since it was compiled {hashes}. Shipped figures are never edited by hand: "
            "restore the file, or correct the reader or corrections.toml and compile again"
        )
    text = io.BytesIO(content)
    if table.kind != "observations":
        frame = pd.read_csv(text, dtype=str, keep_default_na=False)
        numbers = {c: kind for c, kind in _NUMBERS.items() if c in frame.columns}
        for column, kind in numbers.items():
            frame[column] = pd.to_numeric(frame[column].replace("", np.nan)).astype(kind)
        return frame
    header = content[: content.index(b"\n")].decode().split(",")
    types: dict[str, Any] = {column: str for column in header if column.endswith("__flag")}
    frame = pd.read_csv(
        text,
        dtype={"place_id": str, "year": "int64", **types},
        keep_default_na=False,
        na_values={c: [""] for c in header if c not in types and c != "place_id"},
    )
    return frame


def read_observations(
    raw_dir: Path,
    *,
    sources: Collection[str] | None = None,
    variables: Collection[str] | None = None,
    corrected: bool = True,
) -> pd.DataFrame:
    """Shipped observations in long form, with known errors removed unless `corrected` is False.

    Parameters
    ----------
    sources, variables
        Keep only these; everything if left out. An unknown source or variable is an `InputError`.
    corrected
        Apply `catalog/corrections.toml`; `apply_corrections` gives the log of what it changed.

    Returns
    -------
    DataFrame
        Columns `COLUMNS` of `wwc_research.sources.observations`, sorted. Vintages stay apart.
    """
    tables = [table for table in list_tables(raw_dir) if table.kind == "observations"]
    known = sorted({table.source for table in tables})
    odd = sorted(set(sources or ()) - set(known))
    if odd:
        raise InputError(f"no observations of source {listed(odd)}; there are {listed(known, limit=40)}")
    chosen = [table for table in tables if sources is None or table.source in sources]
    parts = []
    for table in chosen:
        wide = _load_table(Path(raw_dir), table)
        if variables is not None:
            kept = [c for c in wide.columns if c.split("__")[0] in {*variables, "place_id", "year"}]
            if len(kept) <= 2:
                continue
            wide = wide[kept]
        parts.append(to_long(wide, source=table.source, vintage=table.vintage))
    found = {str(name) for part in parts for name in part["variable"].unique()}
    unknown = sorted(set(variables or ()) - found)
    if unknown:
        raise InputError(f"no variable {listed(unknown)} in {listed(sorted({t.name for t in chosen}), limit=40)}")
    frame = sorted_frame(pd.concat(parts, ignore_index=True))
    if corrected:
        frame, _ = apply_corrections(frame, load_corrections())
    return frame


def check(raw_dir: Path, *, each: Callable[[Table, pd.DataFrame], None] | None = None) -> list[Table]:
    """The manifest, if everything under `raw_dir` is what it says; else one `DataError` with every fault.

    Checked: hashes, row counts, unique keys, the observation contract (units, bounds, flags), years within
    the declared span, CSV files without an entry, and that every known error is still in the raw figures.
    `each` is given every table that could be read, so that another check need not read it again.
    """
    raw_dir = Path(raw_dir)
    tables = list_tables(raw_dir)
    faults = Faults(str(raw_dir), kind=DataError)
    frames = []
    for table in tables:
        try:
            frame = _load_table(raw_dir, table)
            if each is not None:
                each(table, frame)
            _check_table(table, frame, faults)
            if table.kind == "observations":
                long = sorted_frame(to_long(frame, source=table.source, vintage=table.vintage))
                frames.append(validate(long, where=table.name))
        except DataError as error:
            faults.add(str(error))
    named = {table.path for table in tables}
    for path in sorted(raw_dir.rglob("*.csv")):
        if path.relative_to(raw_dir).as_posix() not in named:
            faults.add(f"{path.relative_to(raw_dir)}: the manifest has no entry for this file; remove it")
    if frames:
        try:
            apply_corrections(pd.concat(frames, ignore_index=True), load_corrections())
        except DataError as error:
            faults.add(str(error))
    faults.raise_if_any()
    return tables


def _check_table(table: Table, frame: pd.DataFrame, faults: Faults) -> None:
    if len(frame) != table.rows:
        faults.add(f"{table.path}: {len(frame):,} rows; the manifest says {table.rows:,}")
    key = list(table.key)
    absent = [column for column in key if column not in frame.columns]
    if absent:
        faults.add(f"{table.path}: key columns {listed(absent)} are missing")
    elif key and frame.duplicated(key).any():
        twice = frame.loc[frame.duplicated(key), key].astype(str).agg(" ".join, axis=1)
        faults.add(f"{table.path}: keys occur more than once: {listed(twice, limit=3)}")
    if table.kind == "observations":
        outside = sorted(set(frame.loc[~frame["year"].between(*table.years), "year"]))
        if outside:
            faults.add(f"{table.path}: years {listed(outside)} lie outside {table.years[0]}-{table.years[1]}")
